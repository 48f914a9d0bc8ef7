"""DAVIS's layout, 2016 and 2017, and what is left of it without some of its folders: MOSE's, LVOS's, two folders."""

import os
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat

from vosnb.clips.clip import Clip
from vosnb.clips.folders import folder_or_error, split_or_error
from vosnb.clips.layouts import (
    FRAMES,
    checked_name,
    clip_of_folders,
    holds_images,
    masks_of,
    names_to_write,
    place,
    split_folder,
    subfolders,
)
from vosnb.clips.masks import write_mask
from vosnb.clips.names import mask_files
from vosnb.clips.pictures import ClipError, write_frame
from vosnb.files import read_json, write_bytes


class _Known(BaseModel):
    """What clips.json says of one clip; whatever else stands there goes into `info` as well."""

    model_config = ConfigDict(extra="allow")
    difficulty: str | None = None
    fps: PositiveFloat | None = None
    seen: dict[int, bool] | None = None


class _Clips(BaseModel):
    clips: dict[str, _Known]


def read_davis(root: Path, split: str, limit: int | None = None, resolution: str | None = None) -> list[Clip]:
    """The clips of a split in DAVIS layout, 2016 or 2017, or in one that lacks some of its folders.

        JPEGImages/<resolution>/<clip>/00000.jpg   Annotations/<resolution>/<clip>/00000.png
        ImageSets/<2017, 2016 or resolution>/<split>.txt   names of clips (DAVIS 2016: pairs of paths), line by line

    Without folders of resolutions (MOSE, LVOS) the clips lie in JPEGImages; the frames of a single clip may, too. The
    folders may be called images or frames, and masks, and each split may have its own in a folder of its name. Else,
    and without ImageSets, every clip belongs to every split.
    resolution: default "480p", or the smallest. Frames without a mask file are not annotated. `clips.json` at the root
    ({"clips": {name: {...}}}) adds to info.

    Raises ClipError for an unknown split or resolution, for a clip in a list that has no folder, for masks of other
    clips, and where there is no clip at all. What else is wrong with a clip is told when it is looked at.
    """
    root = split_folder(Path(root), split)
    frames = place(root, FRAMES) or folder_or_error(root / FRAMES[0], "folder of clips")
    masks = masks_of(root)
    level = _level(frames, split, resolution)
    masks_home = masks and _masks_home(masks, level)
    file = root / "clips.json"
    known = read_json(file, _Clips, ClipError).clips if file.exists() else {}
    lists = _lists(root, level)
    if lists:
        names = _names(split_or_error(root, split, lists), frames / level)
    elif level == "." and holds_images(frames) and not any(map(holds_images, subfolders(frames))):
        return [clip_of_folders(root.resolve().name, frames, masks)]
    else:
        names = [
            folder.name
            for folder in subfolders(frames / level)
            if holds_images(folder) or masks and mask_files(masks_home / folder.name)
        ]
        if not names:
            raise ClipError(
                f"{frames / level} holds no folder with frames; a clip lies in {frames / 'NAME' / '00000.jpg'} and so "
                f"on, or in {frames / 'RESOLUTION' / 'NAME' / '00000.jpg'}."
            )
    strange = masks and any(subfolders(masks)) and not any((masks_home / name).is_dir() for name in names)
    if strange and not lists:  # a list may be of clips whose masks are not public
        raise ClipError(
            f"{masks} has no masks of the clips in {frames / level}; those of {names[0]} belong in "
            f"{masks / level / names[0]}."
        )
    return [
        clip_of_folders(
            name,
            folder_or_error(frames / level / name, "folder of frames"),
            masks and masks_home / name,
            known[name].model_dump(exclude_unset=True, exclude={"names", "ids"}) if name in known else {},
        )
        for name in names[:limit]
    ]


def _level(frames: Path, split: str, resolution: str | None) -> str:
    """The folder of a resolution, between `frames` and its clips, that is to be read; "." where there is none."""
    sizes = [p.name for p in subfolders(frames) if not holds_images(p) and subfolders(p)]
    if resolution is not None:
        if resolution not in sizes:
            raise ClipError(
                f"{frames.parent} has no frames of resolution '{resolution}'; it has {', '.join(sizes) or 'none'}."
            )
        return resolution
    if not sizes or any(map(holds_images, subfolders(frames))):
        return "."
    smallest = sorted((s for s in sizes if re.fullmatch(r"\d+p", s)), key=lambda s: int(s[:-1]))
    usual = [s for s in ("480p", split, *smallest, "Full-Resolution") if s in sizes]
    if not usual and len(sizes) > 1:
        raise ClipError(
            f"{frames} holds {', '.join(sizes)}, each with folders of its own; give one of these as the split, or "
            f"bring the clips to {frames / 'NAME' / '00000.jpg'} and so on."
        )
    return (usual or sizes)[0]


def _masks_home(masks: Path, level: str) -> Path:
    """The folder whose folders hold the masks: of the frames' resolution, or of whichever there is."""
    if (masks / level).is_dir() and level != ".":
        return masks / level
    inner = [p for p in subfolders(masks) if not holds_images(p) and subfolders(p)]
    return inner[0] if len(inner) == 1 and not any(map(holds_images, subfolders(masks))) else masks


def _lists(root: Path, level: str) -> dict[str, Path]:
    """{split: file with the names of its clips}."""
    found = {}
    for folder in ("2017", "2016", level, "."):
        for file in sorted((root / "ImageSets" / folder).glob("*.txt")):
            if not file.name.startswith("."):
                found.setdefault(file.stem, file)
    return found


def _names(file: Path, folder: Path) -> list[str]:
    """The clips in a list: names, or DAVIS 2016's pairs of paths, one a line; # begins a comment."""
    names = {}
    for line in filter(None, map(str.strip, _text(file).splitlines())):
        if line.startswith("#") and not (folder / line).is_dir():
            continue
        name = Path(line.split()[0]).parent.name if "/" in line else line
        names[checked_name(name, file)] = None
    if not names:
        raise ClipError(f"{file} names no clip; write the names of the split's clips into it, one a line.")
    return list(names)


def _text(file: Path) -> str:
    """The text of a file that any system may have written; bytes that are no UTF-8 stay what they are in file names."""
    data = file.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # a shell of Windows
        return data.decode("utf-16", "replace")
    return os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))


def write_davis(
    clip: Clip,
    root: str | Path,
    split: str | None = None,
    resolution: str = "480p",
    year: str = "2017",
    quality: int = 95,
) -> None:
    """Write a clip in DAVIS layout and, if a split is given, its name into ImageSets/<year>/<split>.txt.

    year: "2017" writes palette masks, "2016" black-and-white ones in which all objects are one.
    quality: of the JPEG frames. Raises ClipError for a name that is none of a folder.
    """
    root = Path(root)
    names_to_write(clip.name, resolution, year, *([] if split is None else [split]))
    for t, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        write_frame(root / "JPEGImages" / resolution / clip.name / f"{t:05d}.jpg", frame, quality)
        if mask is not None:
            write_mask(root / "Annotations" / resolution / clip.name / f"{t:05d}.png", mask, binary=year == "2016")
    if split is not None:
        file = root / "ImageSets" / year / f"{split}.txt"
        names = [line.strip() for line in _text(file).splitlines() if line.strip()] if file.exists() else []
        write_bytes(file, os.fsencode("\n".join(dict.fromkeys([*names, clip.name])) + "\n"))
