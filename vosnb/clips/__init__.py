"""Clips: the frames of a short video and its index masks, in from files of many layouts, and out again.

An index mask is an (H, W) uint8 array: 0 is background, 1..K are the objects, 255 is void (pixels that nobody scores).

    open_clip("holiday.mp4")    one folder of frames or one video file
    write_davis(clip, folder)   and its kin: the same clip in the layout of a benchmark

`vosnb.datasets.load` opens whole data sets. Whatever is wrong with a file, the reader says in one sentence what it is
and how to mend it (`ClipError`).
"""

from vosnb.clips.clip import Clip, Lazy
from vosnb.clips.davis import read_davis, write_davis
from vosnb.clips.folders import open_clip, write_folder
from vosnb.clips.masks import (
    VOID,
    ClipError,
    mask_from_colours,
    object_ids,
    palette,
    read_frame,
    read_mask,
    write_frame,
    write_mask,
)
from vosnb.clips.ovis import read_ovis, write_ovis
from vosnb.clips.youtube_vos import read_youtube_vos, write_youtube_vos

__all__ = [
    "VOID", "Clip", "ClipError", "Lazy", "load", "mask_from_colours", "object_ids", "open_clip", "palette",
    "read_davis", "read_frame", "read_mask", "read_ovis", "read_youtube_vos", "write_davis", "write_folder",
    "write_frame", "write_mask", "write_ovis", "write_youtube_vos",
]  # fmt: skip


def __getattr__(name):
    if name == "load":  # lessons say `clips.load`; its home is above this room
        from vosnb.datasets import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
