"""Two more data set layouts, read and written: YouTube-VOS and OVIS. (DAVIS is in `clips.py`.)

Both number their objects as they please, so masks are renumbered to 1..K in the order in which the objects appear;
`clip.info["ids"]` keeps the ids of the data set (the id of object k at place k - 1), and the writers put them back.
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from vosnb.clips import Clip, clip_of, folder_or_error, image_files, split_or_error
from vosnb.masks import VOID, ClipError, object_ids, read_mask, write_frame, write_mask

# ------------------------------------------------------------------------------------------------------- YouTube-VOS
#   <split>/JPEGImages/<clip>/00000.jpg   <split>/Annotations/<clip>/00000.png   <split>/meta.json
#   meta.json: {"videos": {clip: {"objects": {id: {"category": name, "frames": ["00000", ...]}}}}}


def is_youtube_vos(root: Path) -> bool:
    """Whether the folder, or a split in it, has YouTube-VOS's meta.json."""
    return (root / "meta.json").exists() or any(root.glob("*/meta.json"))


def read_youtube_vos(root: Path, split: str, limit: int | None = None) -> list[Clip]:
    """The clips of a split ("train", "valid", "valid_all_frames", ...) in YouTube-VOS layout.

    root: the folder of all splits, or that of one split, where the name of the split does not matter.
    Frames without a mask file are not annotated (the owners annotate every fifth); an object may appear in a later
    frame, see `Clip.appearances`. Where meta.json names categories, info has "categories", and "seen" if the training
    split lies beside this one.

    Raises ClipError for an unknown split, a frame of meta.json that is missing, and, when a mask is read, for an id
    that meta.json does not know.
    """
    if (root / "meta.json").exists():
        base = root
    else:
        base = split_or_error(root, split, {meta.parent.name: meta.parent for meta in sorted(root.glob("*/meta.json"))})
    train = base.parent / "train" / "meta.json"
    seen = _categories(train) if train.exists() and base.name != "train" else None
    videos = _read_json(base / "meta.json", "videos")
    return [_youtube_vos_clip(base, name, videos[name]["objects"], seen) for name in sorted(videos)[:limit]]


def _categories(meta: Path) -> set[str]:
    return {o.get("category") for video in _read_json(meta, "videos").values() for o in video["objects"].values()}


def _youtube_vos_clip(base: Path, name: str, objects: dict, seen: set[str] | None) -> Clip:
    frames = image_files(folder_or_error(base / "JPEGImages" / name, "folder of frames"))
    known = {frame.stem for frame in frames}
    for number, about in objects.items():
        for stem in about["frames"]:
            if stem not in known:
                raise ClipError(
                    f"{base / 'JPEGImages' / name / stem}.jpg is missing, though {base / 'meta.json'} lists it for "
                    f"object {number}; copy the clip again."
                )
    ids = sorted((int(i) for i in objects), key=lambda i: (min(objects[str(i)]["frames"], default="~"), i))
    info = {"ids": ids}
    categories = {k: objects[str(i)].get("category") for k, i in enumerate(ids, 1)}
    if all(categories.values()):
        info["categories"] = categories
        if seen is not None:
            info["seen"] = {k: category in seen for k, category in categories.items()}

    def renumbered(file: Path) -> np.ndarray:
        mask, table = read_mask(file), np.zeros(256, np.uint8)
        table[VOID], table[ids] = VOID, np.arange(1, len(ids) + 1)
        strangers = sorted(set(object_ids(mask)) - set(ids))
        if strangers:
            raise ClipError(
                f"{file} has object {strangers[0]}, which {base / 'meta.json'} does not list; add it there."
            )
        return table[mask]

    masks = [base / "Annotations" / name / f"{frame.stem}.png" for frame in frames]
    return clip_of(name, frames, [m if m.exists() else None for m in masks], info, renumbered)


def write_youtube_vos(clip: Clip, root: Path, split: str = "train", quality: int = 95) -> None:
    """Write a clip into <root>/<split> in YouTube-VOS layout and add it to meta.json; frames are JPEG."""
    base = Path(root) / split
    ids = _original_ids(clip)
    categories = clip.info.get("categories", {})
    objects = {str(ids[k]): {"category": categories.get(k, "object"), "frames": []} for k in clip.objects}
    table = np.zeros(256, np.uint8)
    table[VOID] = VOID
    table[list(ids)] = list(ids.values())
    for t, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        write_frame(base / "JPEGImages" / clip.name / f"{t:05d}.jpg", frame, quality)
        if mask is not None:
            write_mask(base / "Annotations" / clip.name / f"{t:05d}.png", table[mask])
            for k in object_ids(mask):
                objects[str(ids[k])]["frames"].append(f"{t:05d}")
    file = base / "meta.json"
    videos = _read_json(file, "videos") if file.exists() else {}
    file.write_text(json.dumps({"videos": videos | {clip.name: {"objects": objects}}}, indent=1))


def _original_ids(clip: Clip) -> dict[int, int]:
    """{object id of the clip: id in the data set that it came from}."""
    return {k: clip.info["ids"][k - 1] if "ids" in clip.info else k for k in clip.objects}


# -------------------------------------------------------------------------------------------------------------- OVIS
#   <split>/<video>/img_0000001.jpg   annotations_<split>.json, in the manner of COCO:
#   {"videos": [{"id", "width", "height", "file_names": [...]}], "categories": [{"id", "name"}],
#    "annotations": [{"id", "video_id", "category_id", "segmentations": [run lengths or null for each frame]}]}


def is_ovis(root: Path) -> bool:
    """Whether the folder has json annotations for OVIS's splits."""
    return bool(_annotation_files(root))


def _annotation_files(root: Path) -> dict[str, Path]:
    """{split: json file}, from annotations_train.json, annotations/train.json and the like."""
    return {
        p.stem.split("_")[-1]: p for p in sorted([*root.glob("annotations*.json"), *root.glob("annotations/*.json")])
    }


def read_ovis(root: Path, split: str, limit: int | None = None) -> list[Clip]:
    """The clips of a split in OVIS's layout (and YouTube-VIS's, which is the same).

    An object is one annotation; where two overlap, the later one in the file lies on top. Frames in which no object is
    visible have an empty mask; videos without annotations (the public "valid" and "test") have none at all.

    Raises ClipError for an unknown split or a damaged json file, if a video's folder is missing, and, when a mask is
    read, for run lengths that do not fill the frame.
    """
    file = split_or_error(root, split, _annotation_files(root))
    content = _read_json(file, "videos", whole=True)
    names = {c["id"]: c["name"] for c in content.get("categories", [])}
    annotations = defaultdict(list)
    for annotation in content.get("annotations") or []:
        annotations[annotation["video_id"]].append(annotation)
    return [_ovis_clip(root, split, file, v, annotations[v["id"]], names) for v in content["videos"][:limit]]


def _ovis_clip(root: Path, split: str, file: Path, video: dict, annotations: list, names: dict) -> Clip:
    bases = [root / split, root / split / "JPEGImages", root / "JPEGImages", root]
    name = str(Path(video["file_names"][0]).parent)
    base = next((b for b in bases if (b / name).is_dir()), bases[0])
    folder_or_error(base / name, "folder of frames")
    frames = [base / f for f in video["file_names"]]
    for frame in frames:
        if not frame.exists():
            raise ClipError(f"{frame} is missing, though {file} lists it; copy the clip again.")
    for a in annotations:
        if len(a["segmentations"]) != len(frames):
            raise ClipError(
                f"{file} has {len(a['segmentations'])} masks for annotation {a['id']} but {len(frames)} frames for its "
                "video; download the file again."
            )
    if len(annotations) >= VOID:
        raise ClipError(f"Video {name} of {file} has {len(annotations)} objects; an index mask holds at most 254.")

    order = sorted(annotations, key=lambda a: next((t for t, s in enumerate(a["segmentations"]) if s), len(frames)))
    number = {a["id"]: k for k, a in enumerate(order, 1)}

    def painted(t: int) -> np.ndarray:
        mask = np.zeros((video["height"], video["width"]), np.uint8)
        for a in annotations:
            if a["segmentations"][t]:
                mask[_decode(a["segmentations"][t], mask.shape, f"annotation {a['id']} of {file}")] = number[a["id"]]
        return mask

    info = {"ids": [a["id"] for a in order]}
    if all(a.get("category_id") in names for a in order):
        info["categories"] = {k: names[a["category_id"]] for k, a in enumerate(order, 1)}
    return clip_of(name, frames, list(range(len(frames))) if annotations else [None] * len(frames), info, painted)


def _decode(segmentation: dict, size: tuple[int, int], where: str) -> np.ndarray:
    """The (H, W) bool mask of one object. Its run lengths, first of background, go down the columns."""
    try:
        runs = segmentation["counts"]
        runs = _runs_of_text(runs) if isinstance(runs, str) else runs
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return flat.reshape(size[::-1]).T
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ClipError(f"A mask in {where} cannot be decoded ({error}); download the file again.") from None


def _runs_of_text(text: str) -> list[int]:
    """The numbers in COCO's text form of run lengths.

    A number is written in groups of five bits, low ones first, a character (from code 48) a group; bit 5 says that more
    follow, bit 4 of the last that it is negative. From the fourth on they are differences to the last but one.
    """
    runs, number, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= bool(bits & 16) << shift
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number, shift = 0, 0
    return runs


def write_ovis(clip: Clip, root: Path, split: str = "train", quality: int = 95) -> None:
    """Write a clip's frames to <root>/<split>/<clip> and its masks into <root>/annotations_<split>.json.

    Void has no place in this layout and becomes background. Frames are JPEG.
    """
    root = Path(root)
    names = [f"{clip.name}/img_{t:07d}.jpg" for t in range(1, len(clip) + 1)]
    for name, frame in zip(names, clip.frames, strict=True):
        write_frame(root / split / name, frame, quality)
    file = root / f"annotations_{split}.json"
    content = {"videos": [], "categories": [], "annotations": []}
    if file.exists():
        content = _read_json(file, "videos", whole=True)
    h, w = clip.size
    video = 1 + max((v["id"] for v in content["videos"]), default=0)
    content["videos"].append({"id": video, "width": w, "height": h, "length": len(clip), "file_names": names})
    free = 1 + max((a["id"] for a in content["annotations"]), default=0)
    category_ids = {c["name"]: c["id"] for c in content["categories"]}

    def run_lengths(mask, k):
        if mask is None or not (mask == k).any():
            return None
        flat = (mask == k).T.ravel()
        ends = np.flatnonzero(np.diff(flat)) + 1
        return {"size": [h, w], "counts": np.diff([0, *([0] if flat[0] else []), *ends, flat.size]).tolist()}

    for k in clip.objects:
        category = category_ids.setdefault(clip.info.get("categories", {}).get(k, "object"), len(category_ids) + 1)
        segmentations = [run_lengths(mask, k) for mask in clip.masks]
        content["annotations"].append(
            {"id": free + k - 1, "video_id": video, "category_id": category, "segmentations": segmentations}
        )
    content["categories"] = [{"id": i, "name": name} for name, i in category_ids.items()]
    file.write_text(json.dumps(content))


def _read_json(file: Path, key: str, whole: bool = False):
    """content[key] of a json file, or all of it; ClipError if it is damaged or has no such key."""
    try:
        content = json.loads(file.read_text())
        return content if content[key] is not None and whole else content[key]
    except (ValueError, KeyError, TypeError):
        raise ClipError(f'{file} is damaged or has no "{key}"; download it again.') from None
