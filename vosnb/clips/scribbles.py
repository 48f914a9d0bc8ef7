"""Scribbles: strokes that a user draws on frames, and the json in which DAVIS's interactive benchmark keeps them.

A stroke's path is in fractions of the frame, so that it fits every size of it.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation", and its davisinteractive package.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vosnb.clips.masks import VOID
from vosnb.clips.pictures import ClipError, regular_file
from vosnb.files import first_fault, read_json

MAX_BYTES = 2**26  # of a file; a point takes about 40
MAX_POINTS = 10**6  # of all strokes together
WIDEST = 40  # pixels of the frame that a stroke is wide, at most


class _Stroke(BaseModel):
    model_config = ConfigDict(strict=True)  # "1" is no number
    object_id: int
    path: Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(min_length=1)]
    box: bool = False
    width: int | None = None


class _Scribbles(BaseModel):
    """What is used of the json; the benchmark's own files hold more."""

    scribbles: Annotated[list[list[_Stroke]], Field(max_length=10**6)]


@dataclass(frozen=True, eq=False)
class Scribble:
    """A stroke on one frame: `object` 0 is background, 1..K the objects; `path` (n, 2) holds x, y in 0..1, n >= 1.

    A single point is a click. box: `path` holds two opposite corners of a box around the object instead. width: of the
    brush, 1 to 40 pixels of the frame; None is a line as DAVIS draws it.
    Raises ValueError where a frame, an object, a path, a box or a width cannot be.
    """

    frame: int
    object: int
    path: np.ndarray
    box: bool = False
    width: int | None = None

    def __post_init__(self):
        for name, value in (("frame", self.frame), ("object", self.object)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(f"a scribble's {name} is a whole number from 0 on: {value!r} is not.")
        if self.object >= VOID:
            raise ValueError(f"a scribble's object is one of 0 to {VOID - 1}, as in masks: {self.object} is not.")
        try:
            path = np.array(self.path, float)
        except (OverflowError, TypeError, ValueError):
            path = np.empty(0)
        if path.ndim != 2 or path.shape[1] != 2 or not len(path):
            raise ValueError("a scribble's path is a list of at least one point [x, y].")
        if not ((path >= 0) & (path <= 1)).all():
            raise ValueError("a scribble leaves the frame: its x and y are fractions of width and height, from 0 to 1.")
        if not isinstance(self.box, bool):
            raise ValueError(f"a scribble's box is true or false: {self.box!r} is not.")
        if self.box and (len(path) != 2 or (path[0] == path[1]).any()):
            raise ValueError("a box's path is two opposite corners [x, y], apart in both directions.")
        if self.box and not self.object:
            raise ValueError("a box is around an object, and the background (0) is none: mark it with strokes.")
        wide = self.width
        if wide is not None and (
            isinstance(wide, bool) or not isinstance(wide, int | np.integer) or not 1 <= wide <= WIDEST
        ):
            raise ValueError(f"a scribble's width is a whole number of pixels, 1 to {WIDEST}: {wide!r} is not.")
        object.__setattr__(self, "path", path)


def to_davis(scribbles: list[Scribble], frames: int, sequence: str) -> dict:
    """Scribbles as DAVIS's interactive json holds them: for each of a clip's `frames` the list of its strokes.

    DAVIS knows neither boxes nor brushes: a box has a third key, "box": true, and a brush's stroke "width", in pixels.
    Raises ValueError for a scribble on a frame that the clip has not.
    """
    strokes = [[] for _ in range(frames)]
    for s in scribbles:
        if s.frame >= frames:
            raise ValueError(f"a scribble is on frame {s.frame}, but the clip ends with frame {frames - 1}.")
        stroke = {"path": s.path.tolist(), "object_id": int(s.object)}
        stroke |= {"box": True} if s.box else {}
        strokes[s.frame].append(stroke | ({} if s.width is None else {"width": int(s.width)}))
    return {"sequence": sequence, "scribbles": strokes}


def from_davis(source: dict | str | Path, frames: int | None = None) -> list[Scribble]:
    """The scribbles in a DAVIS interactive json, given as the dict or as the file's path, frame by frame.

    frames: how many the clip has, where that is to be checked. Raises ClipError that says what in the json is wrong.
    """
    if isinstance(source, dict):
        what = "these scribbles"
        try:
            strokes = _Scribbles.model_validate(source).scribbles
        except ValidationError as problems:
            raise ClipError(f"these scribbles are none of DAVIS's: {first_fault(problems)}.") from None
    else:
        what = str(source)
        if regular_file(Path(source)).stat().st_size > MAX_BYTES:
            raise ClipError(f"{source} is too large for scribbles ({MAX_BYTES // 2**20} MB at most); check the path.")
        strokes = read_json(source, _Scribbles, ClipError).scribbles
    if frames is not None and len(strokes) != frames:
        raise ClipError(f"{what}: these are for a clip of {len(strokes)} frames, and this one has {frames}.")
    if sum(len(stroke.path) for frame in strokes for stroke in frame) > MAX_POINTS:
        raise ClipError(f"{what}: there are more than {MAX_POINTS} points; draw fewer, or thin them out.")
    found = []
    for t, frame in enumerate(strokes):
        for stroke in frame:
            try:
                found.append(Scribble(t, stroke.object_id, stroke.path, stroke.box, stroke.width))
            except ValueError as error:
                raise ClipError(f"{what}: frame {t}: {error}") from None
    return found
