"""COCO's ways to write the mask of one object: run lengths as numbers or as text, polygons.

Run lengths, first of background, go down the columns.
"""

import math
import re

import numpy as np

from vosnb.clips.pictures import ClipError


def decode(segmentation, size: tuple[int, int], where: str) -> np.ndarray:
    """The (H, W) bool mask of one object. Raises ClipError, which says `where`, for what does not fill the frame."""
    try:
        if isinstance(segmentation, list):
            return np.logical_or.reduce([_polygon(points, size) for points in segmentation])
        runs = segmentation["counts"]
        if list(segmentation.get("size", size)) != list(size):
            raise ValueError("it is of another size than its video")
        runs = _runs_of_text(runs) if isinstance(runs, str) else runs
        if not all(type(run) is int and run >= 0 for run in runs):
            raise ValueError("its run lengths are no whole numbers")
        if sum(runs) != math.prod(size):  # before they are spread out: a number is short, what it stands for may not be
            raise ValueError(f"its run lengths fill {sum(runs)} pixels of {math.prod(size)}")
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = "it has no run lengths" if not isinstance(error, ValueError) else error
        raise ClipError(f"A mask in {where} cannot be decoded ({what}); download the file again.") from None


def _runs_of_text(text: str) -> list[int]:
    """The numbers in COCO's text form of run lengths.

    A number is written in groups of five bits, low ones first, a character (from code 48) a group; bit 5 says that more
    follow, bit 4 of the last that it is negative. From the fourth on they are differences to the last but one.
    """
    if not re.fullmatch(r"(?:[P-o]{0,6}[0-O])*", text):
        raise ValueError("its text is cut off or damaged")
    runs, number, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= bool(bits & 16) << shift
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number, shift = 0, 0
    return runs


def _polygon(points: list[float], size: tuple[int, int]) -> np.ndarray:
    """The (H, W) bool mask inside a polygon [x, y, x, y, ...], pixel by pixel as pycocotools fills it.

    The outline is walked in steps of a fifth of a pixel; where it crosses the middle of a column, inside and outside
    change places from there on.
    """
    h, w = size
    xy = np.array(points, float)
    if xy.ndim != 1 or len(xy) < 6 or len(xy) % 2:
        raise ValueError("a polygon is a list of at least three pairs x, y")
    if not (np.abs(xy) <= 2 * (h + w)).all():  # also for what is no number
        raise ValueError("a corner of a polygon lies far outside the frame")
    corners = np.trunc(5 * xy.reshape(-1, 2) + 0.5).astype(int)
    walk = np.concatenate([_line(a, b) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)])
    steps = np.minimum(walk[1:], walk[:-1])[walk[1:, 0] != walk[:-1, 0]]
    x, y = ((steps + 0.5) / 5 - 0.5).T
    middle = (x == np.floor(x)) & (x >= 0) & (x <= w - 1)
    changes = (x[middle] * h + np.ceil(np.clip(y[middle], 0, h))).astype(int)
    return (np.cumsum(np.bincount(changes, minlength=h * w)[: h * w]) % 2 == 1).reshape(w, h).T


def _line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(N, 2) whole points on a line, both ends included; reckoned from its left or upper end, whichever way it goes."""
    way = end - start
    long = int(abs(way[1]) > abs(way[0]))  # the axis of the steps
    if way[long] < 0:
        return _line(end, start)[::-1]
    t = np.arange(way[long] + 1)[:, None]
    return np.trunc(start + way / max(way[long], 1) * t + 0.5).astype(int)


def encode(mask: np.ndarray) -> dict | None:
    """The run lengths of an (H, W) bool mask, as numbers; None for one without a pixel."""
    if not mask.any():
        return None
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    return {"size": list(mask.shape), "counts": np.diff([0, *([0] if flat[0] else []), *ends, flat.size]).tolist()}


def box(mask: np.ndarray) -> list[int]:
    """[x, y, width, height] of what an (H, W) bool mask shows; it must show something."""
    (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis))[[0, -1]].tolist() for axis in (1, 0))
    return [left, top, right - left + 1, bottom - top + 1]


def from_vis(vis: dict, names: list[str]) -> dict:
    """YouTube-VIS's content, as `ovis.vis_json` makes it, as COCO's: an image a frame, an annotation an object in it.

    names: of the frames' files. The attribute "track_id" says which object it is.
    """
    h, w = (vis["videos"][0][side] for side in ("height", "width"))
    images = [{"id": t, "file_name": name, "width": w, "height": h} for t, name in enumerate(names, 1)]
    annotations = []
    for track in vis["annotations"]:
        shown = zip(track["segmentations"], track["areas"], track["bboxes"], strict=True)
        for t, (segmentation, area, box) in enumerate(shown, 1):
            if segmentation is not None:
                about = {"image_id": t, "category_id": track["category_id"], "iscrowd": 0, "area": area, "bbox": box}
                about |= {"segmentation": segmentation, "attributes": {"track_id": track["id"], "occluded": False}}
                annotations.append({"id": len(annotations) + 1} | about)
    return {"images": images, "annotations": annotations, "categories": vis["categories"]}
