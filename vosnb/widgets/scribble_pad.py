"""Scribble pad: paint strokes on any frame of a clip, and see after each what the segmenter makes of all of them."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import traitlets as T
from PIL import Image, ImageDraw

from vosnb import show
from vosnb.methods.scribbles import Scribble, from_davis, to_davis
from vosnb.widgets import base

INK = 2  # width of a stroke in pixels, and as much again that smoothing adds
GROUND = "#FFFFFF"  # ink of the background, which has no colour among the objects'


class ScribblePad(base.Widget):
    """A clip to paint on: strokes of objects 1, 2, .. and of the background (0), by mouse, pen, touch or keyboard.

    frames: sequence of (H, W, 3) uint8; segmenter: anything with `add(list of Scribble)` and `undo()`, which takes the
    last `add` back; both return index masks (T, H, W) of the whole clip, and an `add` that raises leaves everything as
    it was; `masks` that it has already are shown; without a segmenter the pad collects strokes; objects: how many there
    are to choose from, at first; alt: what the widget shows, in a sentence; scribbles: list of Scribble, given to the
    segmenter at once; sequence: the clip's name in saved files. What was painted is in `scribbles`, the answer in
    `masks`; `observe(f, "steps")` calls f after each stroke. Strokes that the segmenter refuses with an error stay, the
    pad shows the error, and they go to it again together with the next. The position is in the traits `frame, object,
    alpha`.
    Raises ValueError where sizes or numbers do not fit.

    Keys: arrows: a cursor in the frame (with shift: finely); space: begin and end a stroke there; Escape: drop it;
    0..9: background or object; n: one more object; u: undo; , . : frame; Home, End; p: play; + -: opacity.
    """

    STATE = ("frame", "object", "alpha")
    _esm = base.module("scribble_pad.js")
    frames = T.List(T.Bytes()).tag(sync=True)
    labels = T.List(T.Bytes()).tag(sync=True)  # [frame] grey PNG of indices; empty while there is no answer
    drawings = T.List(T.Dict()).tag(sync=True)
    steps = T.List(T.List(T.Dict())).tag(sync=True)  # what undo takes back: strokes {frame, object, path}
    waiting = T.Int(0).tag(sync=True)  # how many of the last steps have no answer yet
    seconds = T.Float(None, allow_none=True).tag(sync=True)  # what the last answer took
    heard = T.Dict().tag(sync=True)  # the last message from the browser: its id, and what went wrong
    live = T.Bool(True).tag(sync=True)  # whether somebody hears messages: not in an exported page
    width, height = T.Int().tag(sync=True), T.Int().tag(sync=True)
    fps = T.Float(8.0).tag(sync=True)
    sequence = T.Unicode("clip").tag(sync=True)
    objects = T.Int(2, min=1, max=254).tag(sync=True)
    frame = T.Int(0).tag(sync=True)
    object = T.Int(1).tag(sync=True)
    alpha = T.Float(0.5, min=0.0, max=1.0).tag(sync=True)

    def __init__(self, frames, segmenter=None, *, alt: str, objects: int = 2, scribbles=(), **state):
        self._frames = base.read_frames(frames)
        self._segmenter = segmenter
        self._steps, self._answers = [], []  # lists of Scribble; how many of them each answer took in
        self.masks = None  # (T, H, W) uint8, or None while there is no answer
        super().__init__(
            alt=alt,
            frames=[base.jpeg(frame) for frame in self._frames],
            height=self._frames[0].shape[0],
            width=self._frames[0].shape[1],
            objects=objects,
            **state,
        )
        self.on_msg(self._hear)
        if np.any(masks := getattr(segmenter, "masks", 0)):  # from strokes before the pad
            self._keep(masks)
            self._tell()
        if len(scribbles):
            self.add(scribbles)

    @T.validate("frame")
    def _check_frame(self, proposal):
        return self._frame_number(proposal["value"])

    @T.validate("object")
    def _check_object(self, proposal):
        return self._object_number(proposal["value"])

    def _frame_number(self, t: int) -> int:
        if not 0 <= t < len(self._frames):
            raise ValueError(f"frame {t} does not exist: the clip has frames 0 to {len(self._frames) - 1}.")
        return t

    def _object_number(self, k: int) -> int:
        if not 0 <= k <= self.objects:
            raise ValueError(f"object {k} does not exist: there are 1 to {self.objects}, and 0 is the background.")
        return k

    # ------------------------------------------------------------ strokes

    @property
    def scribbles(self) -> list[Scribble]:
        """Every stroke, in the order in which they were painted."""
        return [scribble for step in self._steps for scribble in step]

    def add(self, scribbles) -> None:
        """Take strokes in as one step and show the answer; raises what the segmenter raises, with the strokes kept."""
        step = list(scribbles)
        for scribble in step:
            self._frame_number(scribble.frame)
        if not step:
            raise ValueError("there is no stroke to add: give a list of at least one Scribble.")
        self._steps.append(step)
        self._answer()

    def undo(self) -> None:
        """Take back the last step; without one, do nothing."""
        if not self._steps:
            return
        if sum(self._answers) == len(self._steps):  # the last answer took it in
            self._keep(self._segmenter.undo())
            self._answers.pop()
        self._steps.pop()
        self._tell()

    def clear(self) -> None:
        """Take back every step."""
        while self._answers:
            self._keep(self._segmenter.undo())
            self._answers.pop()
        self._steps = []
        self._tell()

    def save(self, path) -> Path:
        """Write the strokes as DAVIS interactive json; returns the path."""
        path = Path(path)
        path.write_text(json.dumps(to_davis(self.scribbles, len(self._frames), self.sequence)), encoding="utf-8")
        return path

    def load(self, path) -> None:
        """Add the strokes of a DAVIS interactive json, a path or what it holds as a dict, as one step."""
        self.add(from_davis(path, len(self._frames)))

    def _answer(self) -> None:
        """Ask the segmenter about all strokes that wait for it."""
        step = self._steps[sum(self._answers) :]
        start = time.perf_counter()
        try:
            if self._segmenter is not None:
                masks = self._segmenter.add([scribble for strokes in step for scribble in strokes])
                self._answers.append(len(step))
                self._keep(masks)
                self.seconds = time.perf_counter() - start
        finally:
            self._tell()

    def _keep(self, masks) -> None:
        """Check and keep an answer."""
        if len(masks) != len(self._frames):
            raise ValueError(f"the segmenter answered with {len(masks)} masks for {len(self._frames)} frames.")
        checked = [show.check_mask(mask, frame) for mask, frame in zip(masks, self._frames, strict=True)]
        self.masks = np.stack(checked)

    def _tell(self) -> None:
        """Bring the browser up to date, in one message."""
        with self.hold_sync():
            self.objects = max([self.objects, *(int(scribble.object) for scribble in self.scribbles)])
            self.steps = [[_as_dict(scribble) for scribble in step] for step in self._steps]
            self.waiting = 0 if self._segmenter is None else len(self._steps) - sum(self._answers)
            if self.masks is not None:
                self.labels = [base.label_png(mask) for mask in self.masks]
                self.drawings = [base.drawing(mask) for mask in self.masks]

    def _hear(self, _, message, buffers) -> None:
        """Do what the browser asks; what goes wrong is an answer too, shown where the reader looks."""
        trouble = ""
        with self.hold_sync():
            try:
                match message.get("type"):
                    case "add":
                        self.add([Scribble(**stroke) for stroke in message["strokes"]])
                    case "load":
                        self.load(message["davis"])
                    case "undo":
                        self.undo()
                    case "clear":
                        self.clear()
            except ValueError as error:
                trouble = str(error)
            except Exception as error:  # nobody reads a callback's traceback
                trouble = f"{type(error).__name__}: {error}"
            self.heard = {"id": message.get("id"), "trouble": trouble}

    # ------------------------------------------------------------ without a browser

    def render(self, state: dict | None = None) -> np.ndarray:
        """One frame under its mask and its strokes, (H, W, 3) uint8; see `Widget.render`."""
        state = self.with_state(state)
        t, k = self._frame_number(state["frame"]), self._object_number(state["object"])
        scale = 420 / self.width
        mask = None if self.masks is None else self.masks[t]
        image = show.overlay(self._frames[t], mask, state["alpha"], scale=scale)
        for scribble in self.scribbles:
            if scribble.frame == t:
                image = _paint(image, scribble)
        sheet = Image.new("RGB", (image.shape[1], 40), "white")
        pen = ImageDraw.Draw(sheet)
        position = f"frame {t} of {len(self._frames) - 1}, painting {'background' if k == 0 else f'object {k}'}"
        for line, text in enumerate((position, self._reading())):
            pen.text((0, 16 + 18 * line), show.shorten(text, sheet.width), "#222222", show.font(12), "ls")
        return np.vstack([image, np.array(sheet)])

    def _reading(self) -> str:
        """How many strokes there are, and how long the answer took."""
        scribbles = self.scribbles
        frames = sorted({scribble.frame for scribble in scribbles})
        parts = [f"{len(scribbles)} stroke{'' if len(scribbles) == 1 else 's'}"]
        if frames:
            parts[0] += f" on frame{'' if len(frames) == 1 else 's'} {', '.join(map(str, frames))}"
        if self.waiting:
            parts.append("not all answered")
        if self.seconds is not None and self._answers:
            parts.append(f"answer in {1000 * self.seconds:.0f} ms")
        return "; ".join(parts)

    def export_state(self) -> dict:
        """The traits, for a page in which strokes can be painted and saved, but nobody answers."""
        return super().export_state() | {"live": False}


def _as_dict(scribble: Scribble) -> dict:
    """A stroke as the browser has it."""
    path = np.round(scribble.path, 5).tolist()
    return {"frame": int(scribble.frame), "object": int(scribble.object), "path": path}


def _paint(image: np.ndarray, scribble: Scribble) -> np.ndarray:
    """The image with one stroke: ink with a dark rim, dashed as the object's outline, its number where it begins."""
    k = scribble.object
    color = show.rgb(show.object_color(k) if k else GROUND)
    points = np.asarray(scribble.path) * image.shape[1::-1] - 0.5
    dash = [2 * INK * length for length in show.DASHES[(k - 1) % len(show.DASHES)]] if k else []
    for tint, width in (((0, 0, 0), INK + 2), (color, INK)):
        pieces = show.dashed(points, dash) if tint == color and len(points) > 1 else [points]
        fixed = [np.rint(8 * piece).astype(np.int32) for piece in pieces]
        cv2.polylines(image, fixed, False, tint, width, cv2.LINE_AA, shift=3)
    picture = Image.fromarray(image)
    style = {"stroke_width": 1, "stroke_fill": "black"}
    ImageDraw.Draw(picture).text(tuple(points[0]), str(k) if k else "bg", "white", show.font(12), "rm", **style)
    return np.array(picture)
