"""A clip of one folder of frames or one video file, and what all folders of files need."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vosnb.clips.clip import Clip, Lazy, clip_of, gapless
from vosnb.clips.masks import as_mask, write_mask
from vosnb.clips.names import FRAME_SUFFIXES, consecutive, image_files, mask_files
from vosnb.clips.pictures import ClipError, as_path, picture_size, regular_file, write_frame
from vosnb.clips.video import Video

__all__ = [
    "FRAME_SUFFIXES", "consecutive", "folder_or_error", "image_files", "mask_files", "near", "open_clip",
    "split_or_error", "write_folder",
]  # fmt: skip


def folder_or_error(path: Path, what: str) -> Path:
    """`path` if it is a folder, else ClipError with the names that come near."""
    if path.is_dir():
        return path
    beside = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    raise ClipError(f"There is no {what} {path}; {near(path.name, beside, 'check the path')}.")


def split_or_error(root: Path, split: str, known: dict):
    """known[split], else ClipError with the splits that there are."""
    if split in known:
        return known[split]
    raise ClipError(
        f"{root} has no split '{split}' but {', '.join(known)}; {near(split, known, 'choose one of these')}."
    )


def near(name: str, known: Iterable[str], otherwise: str) -> str:
    found = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"perhaps you mean {' or '.join(found)}" if found else otherwise


def open_clip(path: str | Path, mask: str | Path | np.ndarray | None = None) -> Clip:
    """A clip of one folder of frames or one video file.

    mask: that of the first frame, as a file or an (H, W) array; or a folder of masks named like the frames (00000.png
    and so on for a video); or nothing. Ids with gaps are renumbered to 1..K, see `Clip.ids`.

    Raises ClipError if there is nothing that can be read, for frames of different sizes, for masks that belong to no
    frame, for a single one named like a later frame and, when it is looked at, for a mask that does not fit.
    """
    path = as_path(path, "the clip").expanduser()
    mask = Path(mask).expanduser() if isinstance(mask, str | Path) else mask
    if path.is_dir():
        frames = consecutive(image_files(path, mask if isinstance(mask, Path) and mask.is_file() else None))
        names = [p.stem for p in frames]
        info = {"names": names}
        _require_one_size(frames)
    elif os.path.lexists(path):
        if path.suffix.lower() in FRAME_SUFFIXES:
            raise ClipError(f"{path} is a single picture; give the folder that its clip's frames lie in.")
        video = Video(path)
        frames, info = Lazy(video.length, video.frame, [path] * video.length), {"fps": video.fps}
        names = [f"{t:05d}" for t in range(video.length)]
    else:
        raise ClipError(f"There is no folder or video {path}; check the path.")

    masks = [None] * len(frames)
    if isinstance(mask, Path) and mask.is_dir():
        masks = _masks_for(names, mask, path)
    elif isinstance(mask, Path):
        if mask.stem in names[1:]:
            raise ClipError(
                f"{mask} is named like a later frame, not like the first ({names[0]}); if it is the first frame's, "
                "rename it, else give the folder that it lies in, and the clip begins there."
            )
        masks[0] = regular_file(mask)
    elif mask is not None:
        masks[0] = as_mask(mask, "The mask of frame 0")
    return clip_of(path.resolve().stem, frames, masks, info, gapless(masks))


def _require_one_size(frames: list[Path]) -> None:
    """Raise ClipError where headers tell that a frame has another size than the first, or is no picture."""
    height, width = picture_size(frames[0])
    for frame in frames[1:]:
        h, w = picture_size(frame)
        if (h, w) != (height, width):
            raise ClipError(
                f"{frame} is {w} x {h} pixels but {frames[0].name} is {width} x {height}; bring all to one size."
            )


def _masks_for(names: list[str], folder: Path, clip: Path) -> list[Path | None]:
    """The file of each frame's mask in a folder, or None; ClipError for masks that belong to no frame."""
    if clip.is_dir() and folder.samefile(clip):
        raise ClipError(f"{folder} is given for frames and for masks; move the masks to a folder of their own.")
    found = mask_files(folder)
    strangers = [file.name for name, file in found.items() if name not in set(names)]
    if len(strangers) == len(found):
        what = f" (but {strangers[0]} ...)" if strangers else ""
        raise ClipError(f"No mask in {folder} is named like a frame ({names[0]}.png ...){what}; rename the masks.")
    if strangers:
        raise ClipError(
            f"{len(strangers)} of the masks in {folder} belong to no frame of {clip} ({', '.join(strangers[:3])}); "
            "rename or remove them."
        )
    return [found.get(name) for name in names]


def write_folder(clip: Clip, folder: str | Path, suffix: str = ".jpg") -> None:
    """Write frames to <folder>/00000.jpg ... and masks, where there are any, to <folder>/masks/00000.png ..."""
    for t, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        write_frame(Path(folder) / f"{t:05d}{suffix}", frame)
        if mask is not None:
            write_mask(Path(folder) / "masks" / f"{t:05d}.png", mask)
