"""Predicted masks as the servers of DAVIS, YouTube-VOS and MOSE take them.

    DIR/<tracker>/<clip>/<name of the frame>.png       palette PNGs, with the ids that the data set has

Zip the clip folders of one tracker. A mask for each frame of the clip's folder of frames: all of DAVIS's, those that
YouTube-VOS's `valid` has.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vosnb.clips import Clip, write_mask
from vosnb.files import safe_name


def files_of(folder: Path, clip: Clip) -> list[Path]:
    """Where the masks of the clip's frames go, `folder` being the tracker's."""
    return [folder / safe_name(clip.name) / f"{name}.png" for name in clip.names]


def save_masks(folder: Path, clip: Clip, masks: Sequence[np.ndarray]) -> str:
    """Write the index masks (H, W) of a clip's frames with its original ids; returns their `digest`."""
    files = files_of(folder, clip)
    for file, mask in zip(files, masks, strict=True):
        write_mask(file, clip.labelled(mask))
    return digest(files)


def digest(files: Sequence[Path]) -> str | None:
    """What masks are known again by; None where one is missing."""
    found = hashlib.sha256()
    for file in files:
        if not file.is_file():
            return None
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def refuse_others(folder: Path, clip: Clip) -> None:
    """Raise ValueError if a clip's folder holds anything that this clip's masks would not replace."""
    files = files_of(folder, clip)
    there = files[0].parent
    strangers = sorted(set(there.iterdir()) - set(files)) if there.is_dir() else []
    if strangers := [file for file in strangers if not file.name.startswith(".")]:
        raise ValueError(f"{strangers[0]} is no mask of clip {clip.name!r}: save to another folder, or move it away.")
