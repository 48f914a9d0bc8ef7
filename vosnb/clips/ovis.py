"""OVIS's layout, which is YouTube-VIS's: read and written.

    <split>/<video>/img_0000001.jpg   annotations_<split>.json, in the manner of COCO:
    {"videos": [{"id", "width", "height", "file_names": [...]}], "categories": [{"id", "name"}],
    "annotations": [{"id", "video_id", "category_id", "segmentations": [a mask or null for each frame]}]}

YouTube-VIS 2019 calls the file <split>.json and has the frames in <split>/JPEGImages, 2021 <split>/instances.json. A
mask is written in one of COCO's ways (see `coco`). Objects are renumbered to 1..K as in `youtube_vos`;
`clip.info["ids"]` keeps the ids of their annotations.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from vosnb.clips import coco
from vosnb.clips.clip import Clip, clip_of
from vosnb.clips.folders import folder_or_error, split_or_error
from vosnb.clips.layouts import checked_name, damaged, names_to_write, subfolders
from vosnb.clips.masks import VOID
from vosnb.clips.pictures import MAX_PIXELS, ClipError, write_frame
from vosnb.files import read_json, write_text


class _Video(BaseModel):
    id: int | str
    width: int
    height: int
    file_names: list[str]


class _Category(BaseModel):
    id: int | str
    name: str


class _Annotation(BaseModel):
    id: int
    video_id: int | str
    category_id: int | str | None = None
    segmentations: list[Any] | None = None  # looked at with their frames


class _Content(BaseModel):
    videos: list[_Video]
    categories: list[_Category] | None = None
    annotations: list[_Annotation] | None = None


def annotation_files(root: Path) -> dict[str, Path]:
    """{split: json file}, by the names that OVIS and YouTube-VIS give them; nothing where there are none."""
    found = {}
    for file in sorted(
        [*root.glob("annotations*.json"), *root.glob("annotations/*.json"), *root.glob("*instances*.json")]
    ):
        split = file.stem
        for word in ("annotations", "instances"):
            split = split.removeprefix(word).removesuffix(word).strip("_")
        if not file.name.startswith("."):
            found.setdefault(split or root.resolve().name, file)
    for split in ("train", "val", "valid", "test"):
        if (file := root / f"{split}.json").exists():
            found.setdefault(split, file)
    for folder in subfolders(root):
        for file in (folder / "instances.json", folder / "annotations.json"):
            if file.exists():
                found.setdefault(folder.name, file)
    return found


def read_ovis(root: Path, split: str, limit: int | None = None) -> list[Clip]:
    """The clips of a split in OVIS's layout, or YouTube-VIS's of 2019 or 2021.

    An object is one annotation; where two overlap, the later one in the file lies on top. Frames in which no object is
    visible have an empty mask; videos without annotations (the public "valid" and "test") have none at all.

    Raises ClipError for an unknown split or a damaged json file and if a video's folder is missing. What else is wrong
    with a clip is told when it is looked at.
    """
    files = annotation_files(root)
    file = files.get(root.resolve().name) or split_or_error(root, split, files)  # the folder of one split
    content = read_json(file, _Content, ClipError)
    if not content.videos:
        raise ClipError(f"{file} lists no videos; download it again.")
    number, times = Counter(video.id for video in content.videos).most_common(1)[0]
    if times > 1:
        raise ClipError(f"{file} has {times} videos with the id {number}; give each an id of its own.")
    names = {c.id: c.name for c in content.categories or ()}
    annotations = defaultdict(list)
    for annotation in content.annotations or ():
        annotations[annotation.video_id].append(annotation)
    return [_clip(root, split, file, v, annotations[v.id], names) for v in content.videos[:limit]]


def _clip(root: Path, split: str, file: Path, video: _Video, annotations: list[_Annotation], names: dict) -> Clip:
    if not video.file_names:
        return damaged(str(video.id), ClipError(f"{file} lists no frames for video {video.id}; download it again."))
    for frame in video.file_names:
        for step in frame.split("/"):
            checked_name(step, file)
    first = Path(video.file_names[0])
    bases = [root / split, root / split / "JPEGImages", root / "JPEGImages" / split, root / "JPEGImages", root]
    base = next((b for b in bases if (b / first).exists()), None)
    base = base or next((b for b in bases if len(first.parts) > 1 and (b / first.parent).is_dir()), bases[0])
    folder_or_error((base / first).parent, "folder of frames")
    name = first.parent.name or str(video.id)
    frames = [base / frame for frame in video.file_names]
    if fault := _fault(file, video, frames, annotations):
        return damaged(name, ClipError(fault))

    shown = {a.id: [t for t, mask in enumerate(a.segmentations or ()) if mask] for a in annotations}
    order = sorted(annotations, key=lambda a: min(shown[a.id], default=len(frames)))
    number = {a.id: k for k, a in enumerate(order, 1)}
    visible = defaultdict(list)  # {frame: annotations, the topmost last}
    for a in annotations:
        for t in shown[a.id]:
            visible[t].append(a)

    def painted(t: int) -> np.ndarray:
        mask = np.zeros((video.height, video.width), np.uint8)
        for a in visible[t]:
            mask[coco.decode(a.segmentations[t], mask.shape, f"annotation {a.id} of {file}")] = number[a.id]
        return mask

    info = {"ids": [a.id for a in order]}
    if all(a.category_id in names for a in order):
        info["categories"] = {k: names[a.category_id] for k, a in enumerate(order, 1)}
    return clip_of(name, frames, list(range(len(frames))) if annotations else [None] * len(frames), info, painted)


def _fault(file: Path, video: _Video, frames: list[Path], annotations: list[_Annotation]) -> str | None:
    """What makes a clip unusable, found without reading a frame or a mask."""
    for folder in {frame.parent for frame in frames}:
        there = {p.name for p in folder.iterdir()} if folder.is_dir() else ()
        for frame in frames:
            if frame.parent == folder and frame.name not in there:
                return f"{frame} is missing, though {file} lists it; copy the clip again."
    if not 0 < video.width * video.height <= MAX_PIXELS or video.width < 0:
        return f"{file} gives video {video.id} {video.width} x {video.height} pixels; download it again."
    for a in annotations:
        if a.segmentations is not None and len(a.segmentations) != len(frames):
            return (
                f"{file} has {len(a.segmentations)} masks for annotation {a.id} but {len(frames)} frames for its "
                "video; download the file again."
            )
    if len({a.id for a in annotations}) < len(annotations):
        return f"{file} has two annotations of one id for video {video.id}; give each an id of its own."
    if len(annotations) >= VOID:
        return f"Video {video.id} of {file} has {len(annotations)} objects; an index mask holds at most 254."
    return None


def write_ovis(clip: Clip, root: Path, split: str = "train", quality: int = 95) -> None:
    """Write a clip's frames to <root>/<split>/<clip> and its masks into <root>/annotations_<split>.json.

    Void has no place in this layout and becomes background. Frames are JPEG. Raises ClipError for a name that is none
    of a folder, and for a json file there that is damaged.
    """
    root = Path(root)
    names_to_write(clip.name, split)
    names = [f"img_{t:07d}.jpg" for t in range(1, len(clip) + 1)]
    file = root / f"annotations_{split}.json"
    content = {"videos": [], "categories": [], "annotations": []}
    if file.exists():
        read_json(file, _Content, ClipError)
        content |= {key: value for key, value in json.loads(file.read_bytes()).items() if value is not None}
    video, free = (1 + max((item["id"] for item in content[kind]), default=0) for kind in ("videos", "annotations"))
    ids = [free + k for k in range(max(clip.objects, default=0))]
    new = vis_json(clip.name, names, clip.size, clip.masks, ids, clip.info.get("categories", {}))
    known = {c["name"]: c["id"] for c in content["categories"]}
    numbers = {c["id"]: known.setdefault(c["name"], 1 + max(known.values(), default=0)) for c in new["categories"]}
    content["categories"] = [{"id": number, "name": name} for name, number in known.items()]
    for name, frame in zip(names, clip.frames, strict=True):
        write_frame(root / split / clip.name / name, frame, quality)
    content["videos"] += [v | {"id": video} for v in new["videos"]]
    content["annotations"] += [
        a | {"video_id": video, "category_id": numbers[a["category_id"]]} for a in new["annotations"]
    ]
    write_text(file, json.dumps(content))


def vis_json(
    name: str,
    file_names: Sequence[str],
    size: tuple[int, int],
    masks: Iterable[np.ndarray | None],
    ids: Sequence[int],
    categories: Mapping[int, str],
) -> dict:
    """One clip's masks in YouTube-VIS's manner: what the json file of such a data set holds, for `json.dumps`.

    name: of the clip, which is the folder of its frames there. file_names: of the frames, without the folder.
    size: (H, W) in pixels. masks: for each frame an (H, W) index mask or None; they are looked at once, in order.
    ids: the annotation's id for object k at place k - 1. categories: {k: name}, "object" where there is none.

    Segmentations are run lengths as numbers ("counts", first of background, down the columns), null where an object is
    not visible; "areas" are in pixels, "bboxes" are [x, y, width, height]. Void becomes background. An object that no
    mask shows has no annotation.
    """
    h, w = size
    numbers = {
        k: i for i, k in enumerate(dict.fromkeys(categories.get(k, "object") for k in range(1, len(ids) + 1)), 1)
    }
    found = [{"segmentations": [], "areas": [], "bboxes": []} for _ in ids]
    for mask in masks:
        for k, about in enumerate(found, 1):
            runs = None if mask is None else coco.encode(mask == k)
            about["segmentations"].append(runs)
            about["areas"].append(runs and int((mask == k).sum()))
            about["bboxes"].append(runs and coco.box(mask == k))
    about = {"width": w, "height": h, "length": len(file_names)}
    annotations = [
        {"id": number, "video_id": 1, "category_id": numbers[categories.get(k, "object")], "iscrowd": 0} | about | masks
        for k, (number, masks) in enumerate(zip(ids, found, strict=True), 1)
        if any(masks["segmentations"])
    ]
    return {
        "videos": [{"id": 1} | about | {"file_names": [f"{name}/{file}" for file in file_names]}],
        "categories": [{"id": number, "name": category} for category, number in numbers.items()],
        "annotations": annotations,
    }
