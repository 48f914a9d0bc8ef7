"""Masks as the json that other programs take: COCO (CVAT imports it) and YouTube-VIS."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vosnb.clips import VOID, Clip, object_ids
from vosnb.clips.coco import from_vis
from vosnb.clips.ovis import vis_json
from vosnb.files import write_text
from vosnb.run.folder import mask_files, printable, written_mask

EXPORTS = ("coco", "youtube-vis")


def export(clip: Clip, out: str | Path, form: str) -> Path:
    """Write the masks of a finished run in the folder `out` as `out`/<form>.json; returns that file.

    form: "youtube-vis", one annotation an object; or "coco", one annotation an object and frame, whose attribute
    "track_id" says which object it is. Ids are those of the masks; frames have the names of their files.
    Raises ClipError where a mask cannot be read, OSError where the file cannot be written.
    """
    out = Path(out)
    files = mask_files(clip, out)
    sources = getattr(clip.frames, "sources", [None] * len(clip))
    names = [
        printable(source.name if isinstance(source, Path) and source.stem == name else f"{name}.png")
        for name, source in zip(clip.names, sources, strict=True)
    ]
    ids = sorted({k for file in files for k in object_ids(written_mask(file))})
    number = np.zeros(VOID + 1, np.uint8)
    number[ids] = np.arange(1, len(ids) + 1)
    masks: Iterator[np.ndarray] = (number[written_mask(file)] for file in files)
    content = vis_json(printable(clip.name), names, clip.size, masks, ids, {})
    if form == "coco":
        content = from_vis(content, names)
    return write_text(out / f"{form}.json", json.dumps(content))
