"""What the layouts of data sets share: where frames and masks lie, names that lead nowhere else, damaged clips.

Hidden files and folders, as computers leave them among data, are not looked at.
"""

import os
import re
from pathlib import Path, PureWindowsPath

from vosnb.clips.clip import Clip, Lazy, clip_of, gapless
from vosnb.clips.folders import split_or_error
from vosnb.clips.names import MASK_SUFFIXES, consecutive, image_files, mask_files
from vosnb.clips.pictures import FRAME_SUFFIXES, ClipError

FRAMES = ("JPEGImages", "images", "frames")  # what the folder of frames is called, in small or capital letters
MASKS = ("Annotations", "masks", "labels", "Annotations_unsupervised")
_IMAGES = tuple(FRAME_SUFFIXES | MASK_SUFFIXES)


def place(base: Path, names: tuple[str, ...]) -> Path | None:
    """The folder in `base` that has the first of these names that there is."""
    found = {folder.name.lower(): folder for folder in subfolders(base)}
    return next((found[name.lower()] for name in names if name.lower() in found), None)


def masks_of(base: Path) -> Path | None:
    """The folder of masks in `base`, or of folders of them; one that holds neither (but json, perhaps) is none."""
    folder = place(base, MASKS)
    return folder if folder and (subfolders(folder) or holds_images(folder)) else None


def splits_of(root: Path) -> dict[str, Path]:
    """{split: its folder} where each split has frames or a meta.json of its own."""
    return {folder.name: folder for folder in subfolders(root) if has_data(folder)}


def has_data(base: Path) -> bool:
    """Whether frames, or YouTube-VOS's notes on them, lie directly in a folder."""
    return place(base, FRAMES) is not None or (base / "meta.json").exists()


def split_folder(root: Path, split: str) -> Path:
    """`root` where it has data itself, else that of the split in it; ClipError for an unknown split."""
    splits = {} if has_data(root) else splits_of(root)
    return split_or_error(root, split, splits) if splits else root


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if not e.name.startswith((".", "__MACOSX")) and e.is_dir()]
    return [folder / name for name in sorted(names)]


def holds_images(folder: Path) -> bool:
    """Whether there is an image directly in the folder."""
    with os.scandir(folder) as entries:
        return any(e.name.lower().endswith(_IMAGES) and not e.name.startswith(".") for e in entries)


def checked_name(name: str, where: str | Path) -> str:
    """A name from outside that becomes that of a folder or a file, if it is one step down and no more; else ClipError.

    where: what it stands in, for the message.
    """
    one_step = name not in ("", ".", "..") and PureWindowsPath(name).name == name == Path(name).name
    if not one_step or name != name.strip() or re.search(r"[\x00-\x1f\x7f]", name):  # Windows: / and \ separate
        raise ClipError(f"{where} has the name {name!r}, which no folder can have; give it a plain one.")
    return name


def names_to_write(*names: str) -> None:
    """Raise ClipError unless each can be the name of a folder, and stand in a list or a json file."""
    for name in names:
        checked_name(name, "What is to be written")
        if not name.isprintable():
            raise ClipError(
                f"What is to be written has the name {name!r}, with signs that no text can hold; rename it."
            )


def damaged(name: str, error: ClipError) -> Clip:
    """A clip of which nothing can be read: it says so, with `error`, when it is looked at, and stops no other clip."""

    def tell(_):
        raise error

    return Clip(name, Lazy(1, tell), Lazy(1, tell))


def clip_of_folders(name: str, frames: Path, masks: Path | None, info: dict | None = None) -> Clip:
    """A clip of a folder of frames and one of masks, which are called like their frames; its objects are the masks'.

    Frames without a mask file are not annotated. A frame that is missing and the like is told when the clip is looked
    at.
    """
    try:
        images = image_files(frames)
        known = {file.stem for file in images}
        found = mask_files(masks) if masks else {}
        for stem, mask in found.items():
            if stem not in known:
                raise ClipError(
                    f"{images[0].with_stem(stem)} is missing, though there is a mask {mask}; "
                    "restore it or remove the mask."
                )
        consecutive(images)
    except ClipError as error:
        return damaged(name, error)
    files = [found.get(file.stem) for file in images]
    return clip_of(name, images, files, info, gapless(files))
