"""Scribbles: strokes that a user draws on frames, and the pixels that a segmenter learns from them (S2 section 2.3).

A stroke's path is in fractions of the frame, so that it fits every size of it. DAVIS's interactive benchmark made them
by dividing pixels by (W, H) and draws them at (W - 1, H - 1), truncated; so does `draw`.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation", and its davisinteractive package.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vosnb.masks import VOID

NO_INK = -1


@dataclass(frozen=True, eq=False)
class Scribble:
    """A stroke on one frame: `object` 0 is background, 1..K the objects; `path` (n, 2) holds x, y in 0..1, n >= 1.

    Raises ValueError where a frame, an object or a path cannot be.
    """

    frame: int
    object: int
    path: np.ndarray

    def __post_init__(self):
        for name, value in (("frame", self.frame), ("object", self.object)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(f"a scribble's {name} is a whole number from 0 on: {value!r} is not.")
        if self.object >= VOID:
            raise ValueError(f"a scribble's object is one of 0 to {VOID - 1}, as in masks: {self.object} is not.")
        try:
            path = np.array(self.path, float)
        except (TypeError, ValueError):
            path = np.empty(0)
        if path.ndim != 2 or path.shape[1] != 2 or not len(path):
            raise ValueError("a scribble's path is a list of at least one point [x, y].")
        if not ((path >= 0) & (path <= 1)).all():
            raise ValueError("a scribble leaves the frame: its x and y are fractions of width and height, from 0 to 1.")
        object.__setattr__(self, "path", path)


def to_davis(scribbles: list[Scribble], frames: int, sequence: str) -> dict:
    """Scribbles as DAVIS's interactive json holds them: for each of a clip's `frames` the list of its strokes.

    Raises ValueError for a scribble on a frame that the clip has not.
    """
    strokes = [[] for _ in range(frames)]
    for s in scribbles:
        if s.frame >= frames:
            raise ValueError(f"a scribble is on frame {s.frame}, but the clip ends with frame {frames - 1}.")
        strokes[s.frame].append({"path": s.path.tolist(), "object_id": int(s.object)})
    return {"sequence": sequence, "scribbles": strokes}


def from_davis(source: dict | str | Path, frames: int | None = None) -> list[Scribble]:
    """The scribbles in a DAVIS interactive json, given as the dict or as the file's path, frame by frame.

    frames: how many the clip has, where that is to be checked. Raises ValueError that says what in the json is wrong.
    """
    if not isinstance(source, dict):
        try:
            source = json.loads(Path(source).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{source} cannot be read as json ({error}).") from None
    strokes = source.get("scribbles") if isinstance(source, dict) else None
    if not isinstance(strokes, list) or not all(isinstance(frame, list) for frame in strokes):
        raise ValueError(
            'these are no DAVIS scribbles: a list "scribbles" with a list of strokes for each frame is wanted.'
        )
    if frames is not None and len(strokes) != frames:
        raise ValueError(f"these scribbles are for a clip of {len(strokes)} frames, and this one has {frames}.")
    found = []
    for t, frame in enumerate(strokes):
        for stroke in frame:
            try:
                found.append(Scribble(t, stroke["object_id"], stroke["path"]))
            except (KeyError, TypeError):
                raise ValueError(f'frame {t}: every stroke needs an "object_id" and a "path".') from None
            except ValueError as error:
                raise ValueError(f"frame {t}: {error}") from None
    return found


def bresenham(points: np.ndarray) -> np.ndarray:
    """The pixels (m, 2) of the lines from each of `points` (n, 2), whole numbers, to the next, both ends of each."""
    points = np.asarray(points, int)
    if len(points) < 2:
        return points
    way = np.diff(points, axis=0)
    steps = abs(way).max(1)
    line = np.repeat(np.arange(len(way)), steps + 1)
    step = np.arange(len(line)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    # |way| step / steps, rounded half up, in whole numbers
    moved = (2 * abs(way[line]) * step[:, None] + steps[line, None]) // np.maximum(2 * steps[line, None], 1)
    return points[line] + np.sign(way[line]) * moved


def draw(scribbles: list[Scribble], size: tuple[int, int], thickness: int = 1, joined: bool = True) -> np.ndarray:
    """The ink of scribbles, later ones over earlier ones: (H, W) int16 object ids, -1 where there is none.

    All on one picture, whatever their frames. thickness: in pixels. joined: with lines between a path's points.
    """
    labels = np.full(size, NO_INK, np.int16)
    for s in scribbles:
        path = (s.path * (size[1] - 1, size[0] - 1)).astype(int)
        if thickness > 1:
            path = np.vstack([path[:1], path]).astype(np.int32)  # so that a dot is a line, too
            cv2.polylines(labels, [path], False, int(s.object), thickness)
        else:
            x, y = (bresenham(path) if joined else path).T
            labels[y, x] = s.object
    return labels


def boxes(labels: np.ndarray, margin: float = 1.2) -> dict[int, tuple[int, int, int, int]]:
    """{id: (top, left, bottom, right)} of each id's ink in labels (H, W), background's too; bottom, right exclusive.

    Tight boxes, made `margin` times as high and wide about their centres, to whole pixels outwards, within the frame.
    """
    found = {}
    for k in np.unique(labels[labels >= 0]):
        pixels = np.argwhere(labels == k)
        low, high = pixels.min(0), pixels.max(0) + 1
        grow = (margin - 1) / 2 * (high - low)
        low, high = np.floor(low - grow).clip(0), np.minimum(np.ceil(high + grow), labels.shape)
        found[int(k)] = (*map(int, low), *map(int, high))
    return found


def select(
    labels: np.ndarray,
    prediction: np.ndarray | None,
    wanted: int | None,
    rng: np.random.Generator,
    margin: float = 1.2,
) -> np.ndarray:
    """What a frame teaches after new ink on it (S2 section 2.3): (H, W) int16 samples, -1 where there is none.

    labels: (H, W) from `draw`; all ink is a sample. prediction: (H, W) index mask of the round before, None in the
    first. Random negatives join it, outside the `boxes` of all new ink and where background was predicted: `wanted` of
    them, or with None as many as make background samples equal to object samples; fewer where there is no room.
    """
    free = np.ones(labels.shape, bool) if prediction is None else np.asarray(prediction) == 0
    if free.shape != labels.shape:
        raise ValueError(f"ink {labels.shape} and prediction {free.shape} are of different sizes: draw at the mask's.")
    for top, left, bottom, right in boxes(labels, margin).values():
        free[top:bottom, left:right] = False
    room = np.flatnonzero(free)
    if wanted is None:
        wanted = np.count_nonzero(labels > 0) - np.count_nonzero(labels == 0)
    samples = labels.astype(np.int16)
    samples.flat[rng.choice(room, min(max(wanted, 0), len(room)), replace=False)] = 0
    return samples
