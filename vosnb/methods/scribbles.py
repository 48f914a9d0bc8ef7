"""From scribbles to the pixels that a segmenter learns from them (S2 section 2.3).

DAVIS's interactive benchmark made a stroke's fractions by dividing pixels by (W, H) and draws them at (W - 1, H - 1),
truncated; so does `draw`, but for strokes that carry the width of their brush: these are where the user saw them.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation", and its davisinteractive package.
"""

import cv2
import numpy as np

from vosnb.clips.scribbles import Scribble, from_davis, to_davis

__all__ = ["NO_INK", "Scribble", "boxes", "bresenham", "draw", "from_davis", "select", "to_davis"]

NO_INK = -1


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

    All on one picture, whatever their frames. thickness: in pixels; of strokes without a width of their own.
    joined: with lines between a path's points. A box leaves no ink: it does not say which of its pixels are the
    object's (`trackers.grabcut` finds out).
    """
    labels, across = np.full(size, NO_INK, np.int16), np.array(size[::-1])
    for s in scribbles:
        if s.box:
            continue
        path, shift = ((s.path * (across - 1)).astype(int), 0) if s.width is None else (s.path * across - 0.5, 4)
        if (wide := s.width or thickness) > 1:
            path = np.vstack([path[:1], path])  # so that a dot is a line, too
            fixed = np.rint(2**shift * path).astype(np.int32)  # a brush goes between pixels
            cv2.polylines(labels, [fixed], False, int(s.object), wide, shift=shift)
        else:
            path = np.rint(path).clip(0, across - 1).astype(int)
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
