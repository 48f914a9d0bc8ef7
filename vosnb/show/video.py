"""Frames of video with contours, large enough to look at: side by side (`frames`), or moving (`film`)."""

import numpy as np

from vosnb.drawing import check_frame, contour_colors, contoured, tiled
from vosnb.settings import Positive, Share, Steps, between, checked
from vosnb.show.pictures import SIDES, Film, Photo, sized


@checked
def frames(
    frames,
    masks=None,
    times=None,
    *,
    alt: str,
    titles=None,
    columns: between(1, 3) | None = None,
    colors=None,
    fill: Share = 0.0,
    numbers: bool | None = None,
) -> Photo:
    """Frames at some times, at most three side by side, with the contours of their objects; stored as JPEG.

    frames: a `Clip` (whose own masks are then shown by default) or a sequence of (H, W, 3) uint8 frames; masks: one
    index mask a frame (None where there is none), or {name: such a sequence}, one row after the other; times: frame
    numbers, by default three, spread evenly; titles: one a panel in reading order, instead of name and frame number.
    colors: {object: "#RRGGBB"}; by default chosen against the object and its ground in the first frame that shows it,
    so that a clip has the same colours in every figure. fill: opacity of a tint inside the contours. numbers: write
    each object's number; by default where there are several. A clip whose info has a "credit" shows it below.
    Raises ValueError where sizes or lengths do not fit.
    """
    credit = _credit(frames)
    frames, rows = _rows(frames, masks)
    times = np.unique(np.linspace(0, len(frames) - 1, 3).round().astype(int)).tolist() if times is None else list(times)
    if not times:
        raise ValueError("there is nothing to show: give at least one frame number as times=[..].")
    if wrong := [t for t in times if not isinstance(t, int | np.integer) or not -len(frames) <= t < len(frames)]:
        raise ValueError(f"frame {wrong[0]!r} does not exist: the clip has frames 0 to {len(frames) - 1}.")
    draw = _Panels(frames, rows, columns or min(3, len(times) if len(times) > 1 else len(rows)), colors, fill, numbers)
    panels = [draw(name, t) for name in rows for t in times]
    titles = titles or [draw.title(name, t % len(frames)) for name in rows for t in times]
    return Photo(tiled(panels, titles, draw.columns, note=credit), alt)


@checked
def film(
    frames,
    masks=None,
    *,
    alt: str,
    fps: Positive = 8.0,
    still: Steps | None = None,
    columns: between(1, 3) | None = None,
    colors=None,
    fill: Share = 0.0,
    numbers: bool | None = None,
    limit: between(20_000, 5_000_000) = 500_000,
) -> Film:
    """A moving picture of a clip, of one or several trackers' answers side by side; it needs no kernel to move.

        show.film(clip, {"truth": clip.masks, "nearest": answers}, alt="...")

    frames, masks, colors, fill, numbers: as in `frames`; fps: frames a second; still: the frame that stands in where
    nothing can or shall move, by default the middle one; limit: bytes (in a notebook they take a third more).
    """
    credit = _credit(frames)
    frames, rows = _rows(frames, masks)
    still = len(frames) // 2 if still is None else still
    if still >= len(frames):
        raise ValueError(f"frame {still} does not exist: the clip has frames 0 to {len(frames) - 1}.")
    draw = _Panels(frames, rows, columns or min(3, len(rows)), colors, fill, numbers)
    images = [
        tiled([draw(name, t) for name in rows], [draw.title(name, t) for name in rows], draw.columns, note=credit)
        for t in range(len(frames))
    ]
    return Film(images, alt, fps, still, limit)


class _Panels:
    """Draws any frame under any of the masks, with colours and sizes that are the same in all of them."""

    def __init__(self, frames, rows: dict, columns: int, colors: dict | None, fill: float, numbers: bool | None):
        self.frames, self.rows, self.columns, self.fill = frames, rows, columns, fill
        self.colors, known = {}, [row for row in rows.values() if row is not None]
        for row in known:  # the first row decides, others may only add objects
            self.colors = contour_colors(frames, row) | self.colors
        self.colors |= colors or {}
        self.numbers = len(self.colors) > 1 if numbers is None else numbers

    def __call__(self, name: str, t: int) -> np.ndarray:
        frame, row = self.frames[t], self.rows[name]
        mask = None if row is None else row[t]
        scale = SIDES[self.columns] / frame.shape[1]
        return contoured(frame, mask, self.colors, fill=self.fill, numbers=self.numbers, scale=scale)

    def title(self, name: str, t: int) -> str:
        return f"{name}  {t}" if name else f"frame {t}"


def _credit(frames) -> str:
    """Whose frames these are, where a clip says so and its licence wants it shown."""
    return getattr(frames, "info", {}).get("credit", "")


def _rows(frames, masks) -> tuple[list, dict]:
    """Frames as a list and {name: one mask a frame, or None}, or a ValueError that says what does not fit."""
    if hasattr(frames, "frames"):
        frames, masks = frames.frames, frames.masks if masks is None else masks
    if not sized(frames):
        raise ValueError("there is nothing to show: the clip has no frames.")
    frames = [check_frame(frames[t]) for t in range(len(frames))]
    rows = masks if isinstance(masks, dict) else {"": masks}
    if not rows:
        raise ValueError("there is nothing to show: masks= is an empty dict; give {name: one mask a frame}.")
    for name, row in rows.items():
        if row is not None and sized(row) != len(frames):
            raise ValueError(f"there are {len(frames)} frames but {sized(row)} masks{name and f' of {name}'}.")
    return frames, {name: row if row is None else [row[t] for t in range(len(row))] for name, row in rows.items()}
