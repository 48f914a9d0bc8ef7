"""Mask player: scrub and play a clip with any number of masks, side by side or switched, their scores below."""

import math

import cv2
import numpy as np
import traitlets as T
from PIL import Image, ImageDraw

from vosnb import show
from vosnb.widgets import base


class MaskPlayer(base.Widget):
    """A clip and its masks, drawn in the browser: frames travel there once, as JPEG.

    frames: sequence of (H, W, 3) uint8; masks: {name: sequence of (H, W) index masks}, one entry a frame, None where a
    frame has no mask; scores: {name: one number a frame}, names among the masks', NaN or None where there is none,
    drawn as curves below; score: what they are called; alt: what the widget shows, in a sentence. The position is in
    the traits `frame, chosen, side_by_side, alpha, fill`, which can be set here and follow what the user does.
    moving: a film (`show.film`) of all masks stands in where no kernel runs, not the picture of one frame; the player
    then draws contours in the film's colours, without fill. Raises ValueError where sizes, lengths or names do not fit.

    Keys: left and right, or , and ., Home, End: frame; space or p: play; s: side by side; 1..9: one mask alone; + -:
    opacity; f: fill.
    """

    STATE = ("frame", "chosen", "side_by_side", "alpha", "fill")
    _esm = base.module("mask_player.js")
    frames = T.List(T.Bytes()).tag(sync=True)
    names = T.List(T.Unicode()).tag(sync=True)
    masks = T.List(T.List(T.Bytes())).tag(sync=True)  # [mask][frame] grey PNG of indices, empty where there is none
    drawings = T.List(T.List(T.Dict())).tag(sync=True)  # [mask][frame] outlines and places of the numbers
    scores = T.List(T.List(T.Float(allow_none=True))).tag(sync=True)  # [mask][frame], an empty list without scores
    score = T.Unicode("J").tag(sync=True)
    width, height = T.Int().tag(sync=True), T.Int().tag(sync=True)
    fps = T.Float(8.0).tag(sync=True)
    frame = T.Int(0).tag(sync=True)
    chosen = T.Unicode().tag(sync=True)
    side_by_side = T.Bool().tag(sync=True)
    alpha = T.Float(0.5, min=0.0, max=1.0).tag(sync=True)
    fill = T.Bool(True).tag(sync=True)

    def __init__(self, frames, masks=None, *, alt: str, scores=None, score: str = "J", moving=False, **state):
        frames = base.read_frames(frames)
        if not isinstance(masks, dict | None) or not isinstance(scores, dict | None):
            raise ValueError("masks and scores have names: give them as {'truth': one a frame}, also if there is one.")
        masks = {name: _read_masks(name, sequence, frames) for name, sequence in (masks or {"": ()}).items()}
        self._frames, self._masks, self._colors = frames, masks, {}
        if moving:
            for sequence in masks.values():
                self._colors = show.contour_colors(frames, sequence) | self._colors
            palette = [self._colors.get(k + 1, show.object_color(k + 1)) for k in range(max(self._colors, default=1))]
            state = {"fill": False, "palette": palette} | state
        self._moving = bool(moving)
        super().__init__(
            alt=alt,
            frames=[base.jpeg(frame) for frame in frames],
            names=list(masks),
            masks=[[b"" if m is None else base.label_png(m) for m in sequence] for sequence in masks.values()],
            drawings=[[base.drawing(m) for m in sequence] for sequence in masks.values()],
            scores=_read_scores(scores or {}, masks, len(frames)),
            score=score,
            height=frames[0].shape[0],
            width=frames[0].shape[1],
            **{"chosen": next(iter(masks)), "side_by_side": 1 < len(masks) <= 4, **state},
        )

    @T.validate("frame")
    def _check_frame(self, proposal):
        return self._frame_number(proposal["value"])

    @T.validate("chosen")
    def _check_chosen(self, proposal):
        return self._mask_name(proposal["value"])

    def _frame_number(self, t: int) -> int:
        if not 0 <= t < len(self._frames):
            raise ValueError(f"frame {t} does not exist: the clip has frames 0 to {len(self._frames) - 1}.")
        return t

    def _mask_name(self, name: str) -> str:
        if name not in self._masks:
            raise ValueError(f"there is no mask named {name!r}; there are {', '.join(map(repr, self._masks))}.")
        return name

    def render(self, state: dict | None = None) -> np.ndarray:
        """The panels at one frame over the curves, (H, W, 3) uint8; see `Widget.render`."""
        state = self.with_state(state)
        t, chosen = self._frame_number(state["frame"]), self._mask_name(state["chosen"])
        names = self.names if state["side_by_side"] else [chosen]
        columns = min(len(names), 3)
        scale = min(420, (show.WIDTH - 6 * (columns - 1)) / columns) / self.width
        panels = [
            show.overlay(self._frames[t], self._masks[n][t], state["alpha"], fill=state["fill"], scale=scale)
            for n in names
        ]
        titles = [self._title(name, t) for name in names]
        sheet = show.grid(panels, titles, columns)
        return np.vstack([sheet, self._strip(sheet.shape[1], t)])

    def stand_in(self) -> show.Picture:
        """One frame, or all of them if the player was made with `moving`; see `Widget.stand_in`."""
        if not self._moving:
            return super().stand_in()
        return show.film(self._frames, self._masks, alt=self.alt, fps=self.fps, still=self.frame, colors=self._colors)

    def _title(self, name: str, t: int) -> str:
        """A panel's name, its score at frame t, and whether there is a mask at all."""
        scores = self.scores[self.names.index(name)]
        number = f"  {self.score} {scores[t]:.2f}" if scores and scores[t] is not None else ""
        return name + number + ("  (no mask here)" if name and self._masks[name][t] is None else "")

    def _strip(self, width: int, t: int, height: int = 76) -> np.ndarray:
        """The score curves over the frames with a cursor at frame t, or the position alone where there are none."""
        last = max(1, len(self._frames) - 1)
        sheet = Image.new("RGB", (width, height if any(self.scores) else 22), "white")
        pen = ImageDraw.Draw(sheet)
        pen.text((0, sheet.height - 4), f"frame {t} of {len(self._frames) - 1}", "#222222", show.font(12), "ls")
        if not any(self.scores):
            return np.array(sheet)

        def place(i, value):
            return 40 + i / last * (width - 48), 10 + (1 - value) * (height - 34)

        for value in (0, 1):
            pen.line([place(0, value), place(last, value)], "#CCCCCC")
            pen.text((30, place(0, value)[1]), str(value), "#222222", show.font(11), "rm")
        pen.line([place(t, 0), place(t, 1)], "#222222")
        image = np.array(sheet)
        for i, values in enumerate(self.scores):
            color, dash = (
                show.rgb(self.series[i % len(self.series)]),
                [2 * d for d in self.dashes[i % len(self.dashes)]],
            )
            for run in _runs(values):
                pieces = show.dashed(np.array([place(j, values[j]) for j in run]), dash)
                cv2.polylines(image, [np.rint(8 * p).astype(np.int32) for p in pieces], False, color, 2, cv2.LINE_AA, 3)
        return image


def _runs(values) -> list[list[int]]:
    """The stretches of consecutive positions that hold a number: [1, None, 2, 3] -> [[0], [2, 3]]."""
    runs = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(i)
    return [run for run in runs if run]


def _read_masks(name: str, masks, frames) -> list[np.ndarray | None]:
    """Index masks, one a frame, or a ValueError that says which does not fit."""
    if not name:
        return [None] * len(frames)
    if show.sized(masks) != len(frames):
        raise ValueError(
            f"there are {len(frames)} frames but {len(masks)} masks of {name!r}: give one (or None) a frame."
        )
    read = []
    for t, frame in enumerate(frames):
        try:
            read.append(None if masks[t] is None else show.check_mask(masks[t], frame))
        except ValueError as error:
            raise ValueError(f"{name!r}, frame {t}: {error}") from None
    return read


def _read_scores(scores: dict, masks: dict, length: int) -> list[list[float | None]]:
    """Scores in the order of the masks, NaN as None."""
    read = {}
    for name, values in scores.items():
        if name not in masks:
            raise ValueError(f"scores are named {name!r}, but the masks are {', '.join(map(repr, masks))}.")
        if show.sized(values) != length:
            raise ValueError(
                f"there are {length} frames but {len(values)} scores of {name!r}: give one (or NaN) a frame."
            )
        numbers = show.numbers_in([math.nan if value is None else value for value in values], f"scores of {name!r}", 1)
        read[name] = [None if math.isnan(value) else float(value) for value in numbers]
    return [read.get(name, []) for name in masks]
