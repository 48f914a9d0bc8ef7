"""YouTube-VOS's layout, and LVOS's, which has ranges for lists of frames: read and written.

    <split>/JPEGImages/<clip>/00000.jpg   <split>/Annotations/<clip>/00000.png   <split>/meta.json
    meta.json: {"videos": {clip: {"objects": {id: {"category": name, "frames": ["00000", ...]}}}}}
    LVOS:                                     {id: {"frame_range": {"start": "0", ...}}}

Objects are numbered there as their owners please, so masks are renumbered to 1..K in the order in which the objects
appear; `clip.info["ids"]` keeps the ids of the data set (the id of object k at place k - 1), and the writer puts them
back. Where meta.json names no objects (Ref-YouTube-VOS has "expressions"), they are those in the masks.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from vosnb.clips.clip import Clip, clip_of
from vosnb.clips.folders import folder_or_error
from vosnb.clips.layouts import checked_name, clip_of_folders, damaged, names_to_write, split_folder
from vosnb.clips.masks import VOID, object_ids, read_mask, write_mask
from vosnb.clips.names import image_files, mask_files
from vosnb.clips.pictures import ClipError, write_frame
from vosnb.files import read_json, write_text


class _Range(BaseModel):
    start: int


class _Object(BaseModel):
    category: str | None = None
    frames: list[str] | None = None
    frame_range: _Range | None = None


class _Video(BaseModel):
    objects: dict[str, _Object] | None = None


class _Meta(BaseModel):
    videos: dict[str, _Video]


def notes_of(base: Path) -> Path | None:
    """The folder of a split's meta.json and Annotations, or None: `base`, or "valid" for "valid_all_frames"."""
    places = [base, base.with_name(base.name.removesuffix("_all_frames") or base.name)]
    return next((folder for folder in places if (folder / "meta.json").exists()), None)


def read_youtube_vos(root: Path, split: str, limit: int | None = None) -> list[Clip]:
    """The clips of a split ("train", "valid", "valid_all_frames", ...) in YouTube-VOS layout.

    root: the folder of all splits, or that of one split, where the name of the split does not matter.
    Frames without a mask file are not annotated (the owners annotate every fifth); an object may appear in a later
    frame, see `Clip.appearances`. Where meta.json names categories, info has "categories", and "seen" if the training
    split lies beside this one.

    Raises ClipError for an unknown split, a damaged meta.json and a clip without a folder. What else is wrong with a
    clip, as an id in a mask that meta.json does not know, is told when it is looked at.
    """
    base = split_folder(Path(root), split)
    notes = notes_of(base)
    if notes is None:
        raise ClipError(f"{base / 'meta.json'} is missing; copy it from the data set.")
    videos = read_json(notes / "meta.json", _Meta, ClipError).videos
    if not videos:
        raise ClipError(f"{notes / 'meta.json'} lists no videos; download it again.")
    train = base.parent / "train" / "meta.json"
    seen = None
    if train.exists() and base.name != "train":
        others = read_json(train, _Meta, ClipError).videos.values()
        seen = {about.category for video in others for about in (video.objects or {}).values()}
    return [_clip(base, notes, name, videos[name].objects, seen) for name in sorted(videos)[:limit]]


def _clip(base: Path, notes: Path, name: str, objects: dict[str, _Object] | None, seen: set[str] | None) -> Clip:
    meta, annotated = notes / "meta.json", notes / "Annotations" / checked_name(name, notes / "meta.json")
    folder = folder_or_error(base / "JPEGImages" / name, "folder of frames")
    if not objects:
        if mask_files(annotated):
            return clip_of_folders(name, folder, annotated)
        return damaged(name, ClipError(f"{meta} lists no objects for {name}, and there are no masks in {annotated}."))
    try:
        frames = image_files(folder)
        masks = mask_files(annotated)
        ids, starts = _objects(meta, objects, {frame.stem: t for t, frame in enumerate(frames)}, folder)
    except ClipError as error:
        return damaged(name, error)
    ids.sort(key=lambda i: (starts[i], i))
    info = {"ids": ids}
    by_id = {int(i): about.category for i, about in objects.items()}
    categories = {k: by_id[i] for k, i in enumerate(ids, 1)}
    if all(categories.values()):
        info["categories"] = categories
        if seen is not None:
            info["seen"] = {k: category in seen for k, category in categories.items()}

    def renumbered(file: Path) -> np.ndarray:
        mask, table = read_mask(file), np.zeros(256, np.uint8)
        table[VOID], table[ids] = VOID, np.arange(1, len(ids) + 1)
        strangers = sorted(set(object_ids(mask)) - set(ids))
        if strangers:
            raise ClipError(f"{file} has object {strangers[0]}, which {meta} does not list; add it there.")
        return table[mask]

    return clip_of(name, frames, [masks.get(frame.stem) for frame in frames], info, renumbered)


def _objects(meta: Path, objects: dict[str, _Object], known: dict[str, int], folder: Path) -> tuple[list, dict]:
    """The ids in meta.json and {id: where the object appears first, by frame}. known: {name of a frame: its index}."""
    starts = {}
    for number, about in objects.items():
        if not (number.isascii() and number.isdigit() and len(number) < 9 and 0 < int(number) < VOID):
            raise ClipError(f"{meta} has an object with the id '{number}'; an index mask holds the ids 1 to 254.")
        for stem in about.frames or ():
            if stem not in known:
                raise ClipError(
                    f"{folder / stem}.jpg is missing, though {meta} lists it for object {number}; copy the clip again."
                )
        if about.frames is not None:
            starts[int(number)] = min((known[stem] for stem in about.frames), default=len(known))
        else:
            starts[int(number)] = about.frame_range.start if about.frame_range else 0
    if len(starts) < len(objects):
        raise ClipError(f"{meta} has two objects of one id for {folder.name}; give each an id of its own.")
    return list(starts), starts


def write_youtube_vos(clip: Clip, root: Path, split: str = "train", quality: int = 95) -> None:
    """Write a clip into <root>/<split> in YouTube-VOS layout and add it to meta.json; frames are JPEG.

    Raises ClipError for a name that is none of a folder, and for a meta.json there that is damaged.
    """
    names_to_write(clip.name, split)
    base = Path(root) / split
    file = base / "meta.json"
    meta = {"videos": {}}
    if file.exists():
        read_json(file, _Meta, ClipError)
        meta = json.loads(file.read_bytes())
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
    meta["videos"][clip.name] = {"objects": objects}
    write_text(file, json.dumps(meta, indent=1))


def _original_ids(clip: Clip) -> dict[int, int]:
    """{object id of the clip: id in the data set that it came from}."""
    return {k: clip.info["ids"][k - 1] if "ids" in clip.info else k for k in clip.objects}
