"""Affinity explorer: point at a place in the query frame and see where in memory its affinity goes."""

import operator

import cv2
import numpy as np
import traitlets as T

from vosnb import show
from vosnb.widgets import base

DECADES = 4  # the logarithmic scale reaches from the largest affinity down to its 10^-4
SCALES = ("row", "linear", "log")


class AffinityExplorer(base.Widget):
    """One query frame, several memory frames, and the affinity between a cell of the one and all cells of the others.

    frames: sequence of (H, W, 3) uint8, a whole clip; query: number of the query frame; memory: numbers of the M memory
    frames; grid: (h, w), how many cells the features have, which together cover the frame; probe: called with a query
    cell i = row * w + column, returns its affinity to every memory cell, (M, h, w), which sums to one (row i of S0-E1);
    heatmap: (h, w), the total affinity h_i of each query cell to the object's memory, if there is one to show; masks:
    index masks of the clip's frames, a sequence or {frame number: mask}, drawn as outlines.

    The position is in the traits `cell` (i), `view` ("affinity", or "heatmap" over the query frame) and `scale`:
    "row" (bright is this query's largest affinity), "linear" (bright is the largest seen so far), "log" (four decades
    below this query's largest). Raises ValueError where sizes or numbers do not fit.

    Keys: arrows: the query cell; h: heatmap; c: scale; Enter: pin the cell, so that the mouse leaves it alone.
    """

    STATE = ("cell", "view", "scale")
    _esm = base.module("affinity_explorer.js")
    frames = T.List(T.Bytes()).tag(sync=True)  # the query frame, then the memory frames
    drawings = T.List(T.Dict()).tag(sync=True)
    numbers = T.List(T.Int()).tag(sync=True)  # their numbers in the clip
    width, height = T.Int().tag(sync=True), T.Int().tag(sync=True)
    rows, columns = T.Int().tag(sync=True), T.Int().tag(sync=True)
    heatmap = T.Bytes().tag(sync=True)  # float32 (h, w), or empty
    answered = T.Int(-1).tag(sync=True)  # the cell at the start, and its answer: nobody waits for a kernel that is busy
    answer = T.Bytes().tag(sync=True)
    top = T.Float(0.0).tag(sync=True)  # the largest affinity seen so far
    table = T.Bytes().tag(sync=True)  # only in exported pages: see `export_state`
    peaks = T.Bytes().tag(sync=True)
    stride = T.Int(1).tag(sync=True)
    cell = T.Int(0).tag(sync=True)
    view = T.Enum(("affinity", "heatmap"), "affinity").tag(sync=True)
    scale = T.Enum(SCALES, "row").tag(sync=True)

    def __init__(self, frames, *, query: int, memory, grid, probe, alt: str, heatmap=None, masks=None, **state):
        rows, columns, *rest = [*_whole(grid, "grid"), 0, 0]
        if rows < 1 or columns < 1 or rest != [0, 0]:
            raise ValueError(f"grid={grid} must be (rows, columns) of the feature map, both at least 1.")
        query, memory = _whole([query], "query")[0], _whole(memory, "memory")
        if not memory:
            raise ValueError("there is no memory to look at: give the number of at least one frame as memory=[..].")
        for t in (query, *memory):
            if not 0 <= t < show.sized(frames):
                raise ValueError(f"frame {t} does not exist: the clip has frames 0 to {len(frames) - 1}.")
        numbers = [query, *memory]
        self._frames = base.read_frames([frames[t] for t in numbers])
        self._masks = [_mask_of(masks, t, self._frames[0]) for t in numbers]
        self._heatmap = None if heatmap is None else np.asarray(heatmap, np.float32)
        if self._heatmap is not None and self._heatmap.shape != (rows, columns):
            raise ValueError(f"the heatmap is {self._heatmap.shape} but the grid is {(rows, columns)}.")
        self._probe, self._shape = probe, (len(memory), rows, columns)
        super().__init__(
            alt=alt,
            frames=[base.jpeg(frame) for frame in self._frames],
            drawings=[base.drawing(mask) for mask in self._masks],
            numbers=numbers,
            height=self._frames[0].shape[0],
            width=self._frames[0].shape[1],
            rows=rows,
            columns=columns,
            heatmap=b"" if self._heatmap is None else self._heatmap.tobytes(),
            **{"cell": rows // 2 * columns + columns // 2, **state},
        )
        self.answer, self.answered = self.affinity(self.cell).tobytes(), self.cell
        self.on_msg(self._answer)

    @T.validate("cell")
    def _check_cell(self, proposal):
        return self._cell_number(proposal["value"])

    @T.validate("view")
    def _check_view(self, proposal):
        return self._possible(proposal["value"])

    def _cell_number(self, i: int) -> int:
        count = self._shape[1] * self._shape[2]
        if not 0 <= i < count:
            raise ValueError(f"query cell {i} does not exist: the grid has cells 0 to {count - 1}.")
        return i

    def _possible(self, view: str) -> str:
        if view == "heatmap" and self._heatmap is None:
            raise ValueError("there is no heatmap to show: give one as heatmap=(h, w).")
        return view

    def affinity(self, i: int) -> np.ndarray:
        """What the probe says of query cell i, (M, h, w) float32; raises ValueError if it is not of that shape."""
        values = self._probe(self._cell_number(i))
        values = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, np.float32)
        if values.shape != self._shape:
            raise ValueError(f"probe({i}) is {values.shape}, but memory and grid ask for {self._shape}.")
        self.top = max(self.top, float(values.max()))
        return values

    def _answer(self, _, message, buffers) -> None:
        """Answer the browser's question for one cell; a failing probe is an answer too, so that the next can come."""
        if message.get("type") != "probe":
            return
        try:
            values = self.affinity(message["cell"])
        except Exception as error:  # whatever the lesson's probe raises is shown where the reader looks
            self.send({"type": "failed", "cell": message["cell"], "text": f"{type(error).__name__}: {error}"})
        else:
            self.send({"type": "affinity", "cell": message["cell"]}, buffers=[values.tobytes()])

    def render(self, state: dict | None = None) -> np.ndarray:
        """The query frame, and the memory frames under one cell's affinity, (H, W, 3) uint8; see `Widget.render`."""
        state = self.with_state(state)
        i, view = self._cell_number(state["cell"]), self._possible(state["view"])
        if state["scale"] not in SCALES:
            raise ValueError(f"there is no scale {state['scale']!r}; there are {', '.join(SCALES)}.")
        values = self.affinity(i)
        columns = min(1 + len(values), 3)
        size = min(360, (show.WIDTH - 6 * (columns - 1)) / columns) / self.width
        if view == "heatmap":
            shown = scaled(self._heatmap, state["scale"], 1.0)
            query = show.heat_over(self._frames[0], shown, self._masks[0], scale=size)
        else:
            query = show.overlay(self._frames[0], self._masks[0], fill=False, numbers=False, scale=size)
        _frame_cell(query, i, self._shape[1:])
        panels = [
            show.heat_over(frame, shown, mask, scale=size)
            for frame, mask, shown in zip(
                self._frames[1:], self._masks[1:], scaled(values, state["scale"], self.top), strict=True
            )
        ]
        h = "" if self._heatmap is None else f", h {self._heatmap.flat[i]:.2f}"
        titles = [f"query: frame {self.numbers[0]}{h}"]
        titles += [f"memory: frame {t}, {100 * v.sum():.0f} %" for t, v in zip(self.numbers[1:], values, strict=True)]
        return show.grid([query, *panels], titles, columns)

    def stand_in(self) -> show.Picture:
        """As every widget's, and as frames of video are stored."""
        return show.Photo(self.render(), self.alt)

    def export_state(self) -> dict:
        """The traits, and the affinity of a coarse grid of queries: a page without a kernel has nobody to ask.

        Each row is stored as the square root of its ratio to its peak, in one byte, so that four decades stay apart;
        every `stride`-th query row and column is there, so that the page takes about 4 MB at most.
        """
        memory, rows, columns = self._shape
        stride = 1
        while -(-rows // stride) * -(-columns // stride) * memory * rows * columns > 3_000_000:
            stride += 1
        cells = [y * columns + x for y in range(0, rows, stride) for x in range(0, columns, stride)]
        answers = np.stack([self.affinity(i).ravel() for i in cells])
        peaks = answers.max(1).astype(np.float32)
        table = np.rint(255 * np.sqrt(np.maximum(answers, 0) / np.maximum(peaks, 1e-30)[:, None])).astype(np.uint8)
        return super().export_state() | {"stride": stride, "table": table.tobytes(), "peaks": peaks.tobytes()}


def _whole(numbers, name: str) -> list[int]:
    """The numbers as a list of int, or a ValueError where they are no whole numbers."""
    try:
        found = [operator.index(n) for n in numbers]
    except TypeError:
        raise ValueError(f"{name}={numbers!r} takes whole numbers, of frames or cells.") from None
    return found


def scaled(values: np.ndarray, scale: str, top: float) -> np.ndarray:
    """Affinities as brightness 0..1 on one of the scales; `top` is what the linear scale shows brightest."""
    peak = max(float(values.max()), 1e-30)
    if scale == "log":
        return np.clip(1 + np.log10(np.maximum(values, 1e-30) / peak) / DECADES, 0, 1)
    return np.clip(values / (peak if scale == "row" else max(top, 1e-30)), 0, 1)


def _frame_cell(image: np.ndarray, i: int, grid: tuple[int, int]) -> None:
    """Draw a black and white frame around cell i of the grid into the image."""
    rows, columns = grid
    y, x = divmod(i, columns)
    top, bottom = (round(n * image.shape[0] / rows) for n in (y, y + 1))
    left, right = (round(n * image.shape[1] / columns) for n in (x, x + 1))
    for margin, color in ((2, (0, 0, 0)), (1, (255, 255, 255))):
        cv2.rectangle(image, (left - margin, top - margin), (right + margin - 1, bottom + margin - 1), color)


def _mask_of(masks, t: int, frame: np.ndarray) -> np.ndarray | None:
    """The mask of frame t from a sequence or a dict, or None where there is none; checked against the frame."""
    mask = masks.get(t) if isinstance(masks, dict) else None if masks is None else masks[t]
    return None if mask is None else show.check_mask(mask, frame)
