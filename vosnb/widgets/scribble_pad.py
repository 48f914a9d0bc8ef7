"""Scribble pad: strokes, clicks and boxes on any frame of a clip, and after each what a segmenter makes of all."""

import asyncio
import io
import json
import tempfile
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import traitlets as T
from PIL import Image, ImageDraw

from vosnb import show
from vosnb.audience import live
from vosnb.clips.coco import from_vis
from vosnb.clips.masks import object_ids, write_mask
from vosnb.clips.ovis import vis_json
from vosnb.clips.scribbles import WIDEST, Scribble, from_davis, to_davis
from vosnb.files import safe_name, write_bytes, write_text
from vosnb.show.overlays import write_overlays
from vosnb.widgets import base

TOOLS = ("stroke", "eraser", "box")
REST = 0.01  # seconds between two steps of a propagation, in which the next stroke is heard
SHOWN_EVERY = 0.2  # seconds: to show a step takes time as well, in a long clip as long as the step
BOX_DASH = (4, 3)  # of a box's sides, on and off, in widths of a stroke
INK = 2  # width of a stroke in pixels, and as much again that smoothing adds
GROUND = "#FFFFFF"  # ink of the background, which has no colour among the objects'


class ScribblePad(base.Widget):
    """A clip to paint on: strokes and clicks of objects 1, 2, .. and of the background (0), and boxes around objects.

    frames: sequence of (H, W, 3) uint8; segmenter: anything with `add(list of Scribble)` and `undo()`, which takes the
    last `add` back; both return index masks (T, H, W) of the whole clip, and an `add` that raises leaves everything as
    it was; `masks` that it has already are shown; without a segmenter the pad collects strokes; objects: how many there
    are to choose from, at first; alt: what the widget shows, in a sentence; scribbles: list of Scribble, given to the
    segmenter at once; sequence: the clip's name in saved files. What was painted is in `scribbles`, the answer in
    `masks`; `observe(f, "steps")` calls f after each stroke. Strokes that the segmenter refuses with an error stay, the
    pad shows the error, and they go to it again together with the next. The position is in the traits `frame, object,
    alpha, brush` (pixels of the frame) and `tool`, "stroke", "eraser" (a stroke of the background) or "box".
    Raises ValueError where sizes or numbers do not fit.

    What a segmenter may have besides, and the pad then uses: `redo()`, which returns masks as well; `suggest()`, which
    frame to correct next and why, (frame, reason) or None; `propagate()`, a generator that carries the answer through
    the clip in small steps and yields (done, total, masks). In JupyterLab the pad runs it between your strokes, with a
    bar; the next stroke ends it, and it begins anew after that one's answer. In a notebook's cell, strokes that you
    `add` from Python are answered at once and carried once the cell has ended; where nobody looks on (a script, a test,
    a notebook that a program runs) nothing is carried by itself. In both cases `propagate()` goes through to the end
    before it returns, `carried` and `total` say how far it is, and the pad shows it.

    Keys: arrows: a cursor in the frame (with shift: finely); space: begin and end a stroke or a box there; Escape: drop
    it; e: eraser or stroke; b: box or stroke; [ ]: size of the brush; 0..9: background or object; n: one more object;
    u: undo; r: redo; z x: zoom in and out; f: the whole frame; m: move the zoomed frame by dragging; , . : frame; Home,
    End; p: play; s: which frame next; c, held: masks before the last answer; + -: opacity.

    `vosnb paint holiday.mp4` opens a pad on a video of one's own. Or on its first frame alone, which `vosnb run` wants
    a mask of (`open_clip` is in `vosnb.clips`, `GrabCutSegmenter` in `vosnb.trackers.grabcut`):

        frames = open_clip("holiday.mp4").frames[:1]
        pad = ScribblePad(frames, GrabCutSegmenter(frames), alt="The beach; the dog is to be followed.")
        pad  # ends its cell: draw a box around the object, then click where the mask is wrong
        pad.save_mask("first_mask.png")  # and then: vosnb run holiday.mp4 --mask first_mask.png --out holiday_masks
    """

    STATE = ("frame", "object", "alpha", "tool", "brush")
    _esm = base.module("scribble_pad.js")
    frames = T.List(T.Bytes()).tag(sync=True)
    labels = T.List(T.Bytes()).tag(sync=True)  # [frame] grey PNG of indices; empty while there is no answer
    drawings = T.List(T.Dict()).tag(sync=True)
    answers = T.Int(0).tag(sync=True)  # how many there were; a step of a propagation is none
    carried, total = T.Int(0).tag(sync=True), T.Int(0).tag(sync=True)  # steps; 0 of 0: nothing to carry
    advice = T.Unicode().tag(sync=True)  # why this frame is the one to correct next
    steps = T.List(T.List(T.Dict())).tag(sync=True)  # what undo takes back: strokes {frame, object, path, box, width}
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
    tool = T.Unicode("stroke").tag(sync=True)
    brush = T.Int(1, min=1, max=WIDEST).tag(sync=True)

    def __init__(self, frames, segmenter=None, *, alt: str, objects: int = 2, scribbles=(), **state):
        self._frames = base.read_frames(frames)
        self._segmenter = segmenter
        self._steps, self._answers = [], []  # lists of Scribble; how many of them each answer took in
        self._undone = []  # what redo brings back: (step, how many steps its answer had taken in, 0 if it had none)
        self._carrying, self._task = None, None  # the generator of a propagation; what runs it between messages
        self._latest, self._show_at = None, 0.0  # its last step, if it is not shown yet; when the next one will be
        self.masks = None  # (T, H, W) uint8, or None while there is no answer
        self._shown = None  # the masks that the browser has
        state.setdefault("brush", max(1, round(min(self._frames[0].shape[:2]) / 96)))
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

    @T.validate("tool")
    def _check_tool(self, proposal):
        return self._tool_name(proposal["value"])

    def _tool_name(self, tool: str) -> str:
        if tool not in TOOLS:
            raise ValueError(f"there is no tool {tool!r}: choose {', '.join(TOOLS[:-1])} or {TOOLS[-1]}.")
        return tool

    def _frame_number(self, t: int) -> int:
        if not 0 <= t < len(self._frames):
            raise ValueError(f"frame {t} does not exist: the clip has frames 0 to {len(self._frames) - 1}.")
        return t

    def _object_number(self, k: int) -> int:
        if not 0 <= k <= self.objects:
            raise ValueError(f"object {k} does not exist: there are 1 to {self.objects}, and 0 is the background.")
        return k

    # ------------------------------------------------------------ strokes and boxes

    @property
    def scribbles(self) -> list[Scribble]:
        """Every stroke and box, in the order in which they were painted."""
        return [scribble for step in self._steps for scribble in step]

    def add(self, scribbles) -> None:
        """Take strokes in as one step and show the answer; raises what the segmenter raises, with the strokes kept.

        The segmenter's `propagate` begins after it, if somebody looks on: see `propagate`.
        """
        step = list(scribbles)
        for scribble in step:
            self._frame_number(scribble.frame)
        if not step:
            raise ValueError("there is no stroke to add: give a list of at least one Scribble.")
        self._undone = []
        self._steps.append(step)
        self._answer()

    def undo(self) -> None:
        """Take back the last step; without one, do nothing."""
        if self._steps:
            self._stop()
            self._take_back()
            self._tell()
            self._begin()

    def redo(self) -> None:
        """Bring back the step that was taken back last; without one, do nothing."""
        if not self._undone:
            return
        step, taken = self._undone.pop()
        self._steps.append(step)
        if not taken:  # it had no answer
            self._tell()
        elif hasattr(self._segmenter, "redo"):
            self._stop()
            self._keep(self._segmenter.redo())
            self._answers.append(taken)
            self.answers += 1
            self._tell()
            self._begin()
        else:
            self._answer()

    def clear(self) -> None:
        """Take back every step; `redo` brings them back, one by one."""
        self._stop()
        while self._steps:
            self._take_back()
        self._tell()
        self._begin()

    def suggest(self) -> str:
        """Go to the frame that is to be corrected next; returns the reason, which the pad shows.

        Without a segmenter that knows, it is the frame farthest from all that have strokes.
        """
        found = self._segmenter.suggest() if hasattr(self._segmenter, "suggest") else None
        t, reason = found or self._farthest()
        self.frame = self._frame_number(int(t))
        self.advice = f"Frame {self.frame}: {str(reason).rstrip('.')}."
        return self.advice

    def _farthest(self) -> tuple[int, str]:
        drawn = sorted({int(scribble.frame) for scribble in self.scribbles})
        if not drawn:
            return self.frame, "nothing is painted yet, and you may begin on any frame"
        away = [min(abs(t - other) for other in drawn) for t in range(len(self._frames))]
        if not max(away):
            return self.frame, "every frame has strokes already"
        return int(np.argmax(away)), f"no other is as far from the frames with strokes ({', '.join(map(str, drawn))})"

    def _take_back(self) -> None:
        """The last step, and its answer if it has one."""
        taken = 0
        if sum(self._answers) == len(self._steps):
            self._keep(self._segmenter.undo())
            taken = self._answers.pop()
            self.answers += 1
        self._undone.append((self._steps.pop(), taken))

    # ------------------------------------------------------------ from the frames drawn on through the clip

    def propagate(self) -> None:
        """Carry the answer through the whole clip, from where it is, before this returns; or raise what goes wrong.

        Without a segmenter that propagates, or where it has come to the end, do nothing.
        """
        self._hold()
        if self.carried < self.total:
            steps = self._carrying or self._segmenter.propagate()
            self._carrying = None
            while self._advance(steps):
                pass

    def _begin(self) -> None:
        """Have the answer carried between the messages of the browser, if there is a loop that brings them."""
        if self.masks is None or not hasattr(self._segmenter, "propagate"):
            return  # where everything was taken back, other frames are still to be emptied
        self.carried, self.total = 0, len(self._frames)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        if live():
            self._carrying = self._segmenter.propagate()
            self._go_on()

    def _hold(self) -> None:
        """Rest while a stroke is being drawn, so that its answer need not wait for a step."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _go_on(self) -> None:
        if self._carrying is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._carry(self._carrying))

    async def _carry(self, steps) -> None:
        try:
            await asyncio.sleep(REST)
            while self._advance(steps):
                await asyncio.sleep(REST)
        except Exception as error:  # nobody reads a task's traceback
            self.heard = {"id": None, "trouble": f"the masks are carried no farther: {_sentence(error)}"}
        self._carrying, self._task = None, None

    def _advance(self, steps) -> bool:
        """One step of a propagation, shown if it is time, or the last; returns False after that."""
        step = next(steps, None)
        self._latest = step or self._latest
        if self._latest and (step is None or time.perf_counter() > self._show_at):
            done, total, masks = self._latest
            self._keep(masks)
            with self.hold_sync():
                self.carried, self.total = (int(total if step is None else done), int(total))
                self._tell()
            self._latest, self._show_at = None, time.perf_counter() + SHOWN_EVERY
        elif step is None:
            self.carried = self.total
        return step is not None

    def _stop(self) -> None:
        """End a propagation: the masks stay as far as they came."""
        self._hold()
        if self._carrying is not None:
            self._carrying.close()
        self._carrying, self._latest, self._show_at, self.carried, self.total = None, None, 0.0, 0, 0

    # ------------------------------------------------------------ files

    def save(self, path) -> Path:
        """Write strokes and boxes as DAVIS interactive json; returns the path. Raises FileError or OSError."""
        return write_text(path, json.dumps(to_davis(self.scribbles, len(self._frames), self.sequence)))

    def load(self, path) -> None:
        """Add the strokes of a DAVIS interactive json, a path or what it holds as a dict, as one step."""
        self.add(from_davis(path, len(self._frames)))

    def save_zip(self, path) -> Path:
        """Write the masks of all frames as a zip of palette PNGs, 00000.png, ..; returns its path.

        This, `save_video` and `save_coco` carry the answer through the clip first, where that is not done. Raises
        ValueError where there is no answer, and what `propagate` does; OSError.
        """
        masks, packed = self._all_masks(), io.BytesIO()
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w") as archive:
            for t, mask in enumerate(masks):
                write_mask(Path(folder) / "mask.png", mask)
                archive.write(Path(folder) / "mask.png", f"{t:05d}.png")
        return write_bytes(path, packed.getvalue())

    def save_video(self, path) -> Path:
        """Write the clip under its masks as a video, .mp4 or, where OpenCV cannot, .avi; returns its path."""
        return write_overlays(path, self._frames, self._all_masks(), self.fps)

    def save_coco(self, path) -> Path:
        """Write the masks as COCO's json, whose file names are those of `save_zip`; returns its path."""
        masks = self._all_masks()
        ids = sorted({k for mask in masks for k in object_ids(mask)})
        number = np.zeros(256, np.uint8)
        number[ids] = np.arange(1, len(ids) + 1)
        names = [f"{t:05d}.png" for t in range(len(masks))]
        content = vis_json(self.sequence, names, (self.height, self.width), (number[mask] for mask in masks), ids, {})
        return write_text(path, json.dumps(from_vis(content, names)))

    def _all_masks(self) -> np.ndarray:
        """The answer on all frames, carried to the end."""
        self._answered()
        self.propagate()
        return self.masks

    def _answered(self) -> None:
        """Raise ValueError where the masks are not the answer to what was painted."""
        if self.masks is None:
            raise ValueError("there is no mask yet: give the pad a segmenter, and draw a box or a stroke of an object.")
        if self.waiting:
            raise ValueError("the last strokes have no answer yet: take them back, or add what the segmenter asks for.")

    def _file(self, what: str) -> tuple[str, bytes]:
        """What the browser saves: a file's name and its contents."""
        files = {
            "mask": (f"{self.frame:05d}.png", self.save_mask),
            "masks": ("masks.zip", self.save_zip),
            "scribbles": ("scribbles.json", self.save),
            "video": ("overlay.mp4", self.save_video),
            "coco": ("coco.json", self.save_coco),
        }
        if what not in files:
            raise ValueError("the pad cannot save that: load the page again.")
        name, save = files[what]
        with tempfile.TemporaryDirectory() as folder:
            path = save(Path(folder) / f"{safe_name(self.sequence)}-{name}")
            return path.name, path.read_bytes()

    def save_mask(self, path, frame: int | None = None) -> Path:
        """Write the answer on a frame, by default the one that is shown, as a palette PNG; returns its path.

        `vosnb run --mask` takes it, for a clip that begins with this frame. Raises ValueError where there is no answer,
        or no object in it; OSError.
        """
        t = self._frame_number(self.frame if frame is None else frame)
        self._answered()
        if not self.masks[t].any():
            raise ValueError(f"the mask of frame {t} is empty: draw a box or a stroke of an object there.")
        write_mask(path, self.masks[t])
        return Path(path)

    def save_masks(self, folder, names=None) -> list[Path]:
        """Write the masks of all frames that have strokes or boxes, but for empty ones; returns their paths.

        names: of all frames, as `clip.info["names"]`; 00000, 00001, .. by default, as `vosnb run --mask FOLDER` knows
        those of a video. Raises what `save_mask` does.
        """
        names = [f"{t:05d}" for t in range(len(self._frames))] if names is None else list(names)
        if len(names) != len(self._frames):
            raise ValueError(f"there are {len(names)} names for {len(self._frames)} frames: give one for each.")
        drawn = sorted({scribble.frame for scribble in self.scribbles})
        there = [t for t in drawn if self.masks is not None and self.masks[t].any()]
        return [self.save_mask(Path(folder) / f"{names[t]}.png", t) for t in there or drawn[:1] or [self.frame]]

    def _answer(self) -> None:
        """Ask the segmenter about all strokes that wait for it."""
        self._stop()
        self.advice = ""
        step = self._steps[sum(self._answers) :]
        start = time.perf_counter()
        try:
            if self._segmenter is not None:
                masks = self._segmenter.add([scribble for strokes in step for scribble in strokes])
                self._answers.append(len(step))
                self._keep(masks)
                self.seconds = time.perf_counter() - start
                self.answers += 1
        finally:
            self._tell()
            self._begin()

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
                new = [t for t, mask in enumerate(self.masks) if self._shown is None or (mask != self._shown[t]).any()]
                labels, drawings = dict(enumerate(self.labels)), dict(enumerate(self.drawings))
                labels |= {t: base.label_png(self.masks[t]) for t in new}
                drawings |= {t: base.drawing(self.masks[t]) for t in new}
                self.labels, self.drawings = list(labels.values()), list(drawings.values())
                self._shown = self.masks

    def _hear(self, _, message, buffers) -> None:
        """Do what the browser asks; what goes wrong is an answer too, shown where the reader looks."""
        trouble = ""
        with self.hold_sync():
            try:
                match message:
                    case {"type": "add", "strokes": [*strokes]}:
                        self.add([_from_dict(stroke) for stroke in strokes])
                    case {"type": "load", "davis": davis} if isinstance(davis, dict):  # a path would open a file here
                        self.load(davis)
                    case {"type": "undo"}:
                        self.undo()
                    case {"type": "redo"}:
                        self.redo()
                    case {"type": "hold"}:
                        self._hold()
                    case {"type": "go on"}:
                        self._go_on()
                    case {"type": "suggest"}:
                        self.suggest()
                    case {"type": "save", "what": str(what)}:
                        name, data = self._file(what)
                        self.send({"type": "file", "id": message.get("id"), "name": name}, [data])
                    case {"type": "clear"}:
                        self.clear()
                    case _:
                        raise ValueError("the pad does not know what the browser asks for: load the page again.")
            except Exception as error:  # nobody reads a callback's traceback
                trouble = _sentence(error)
            self.heard = {"id": message.get("id") if isinstance(message, dict) else None, "trouble": trouble}

    # ------------------------------------------------------------ without a browser

    def render(self, state: dict | None = None) -> np.ndarray:
        """One frame under its mask and its strokes, (H, W, 3) uint8; see `Widget.render`."""
        state = self.with_state(state)
        t, k = self._frame_number(state["frame"]), self._object_number(state["object"])
        tool = self._tool_name(state["tool"])
        what = "a box around" if tool == "box" and k else "painting"
        k = 0 if tool == "eraser" else k
        scale = 480 / self.width
        mask = None if self.masks is None else self.masks[t]
        image = show.overlay(self._frames[t], mask, state["alpha"], scale=scale)
        for number, step in enumerate(self._steps):
            for scribble in (one for one in step if one.frame == t):
                image = _paint(image, scribble, scale if number >= sum(self._answers) else 0)
        sheet = Image.new("RGB", (image.shape[1], 40), "white")
        pen = ImageDraw.Draw(sheet)
        position = f"frame {t} of {len(self._frames) - 1}, {what} {'background' if k == 0 else f'object {k}'}"
        for line, text in enumerate((position, self._reading())):
            pen.text((0, 16 + 18 * line), show.shorten(text, sheet.width), "#222222", show.font(12), "ls")
        return np.vstack([image, np.array(sheet)])

    def _reading(self) -> str:
        """How many boxes and strokes there are, and how long the answer took."""
        scribbles = self.scribbles
        frames = sorted({scribble.frame for scribble in scribbles})
        boxes = sum(scribble.box for scribble in scribbles)
        strokes = len(scribbles) - boxes
        counts = [f"{boxes} box{'' if boxes == 1 else 'es'}"] if boxes else []
        counts += [f"{strokes} stroke{'' if strokes == 1 else 's'}"] if strokes or not boxes else []
        parts = [", ".join(counts)]
        if frames:
            parts[0] += f" on frame{'' if len(frames) == 1 else 's'} {', '.join(map(str, frames))}"
        if self.waiting:
            parts.append("not all answered")
        if self.seconds is not None and self._answers:
            parts.append(f"answer in {1000 * self.seconds:.0f} ms")
        if self.carried < self.total:
            parts.append(f"carried through the clip: {self.carried / self.total:.0%}")
        return "; ".join(parts)

    def stand_in(self) -> show.Photo:
        """A photograph with thin strokes: a JPEG keeps both, where a small PNG would have few colours."""
        return show.Photo(self.render(), self.alt)

    def export_state(self) -> dict:
        """The traits, for a page in which strokes can be painted and saved, but nobody answers."""
        return super().export_state() | {"live": False}


def _as_dict(scribble: Scribble) -> dict:
    """A stroke or a box as the browser has it."""
    path = np.round(scribble.path, 5).tolist()
    stroke = {"frame": int(scribble.frame), "object": int(scribble.object), "path": path}
    stroke |= {"box": True} if scribble.box else {}
    return stroke | ({} if scribble.width is None else {"width": int(scribble.width)})


def _from_dict(stroke) -> Scribble:
    """The way back, whatever the browser sent; raises ValueError."""
    match stroke:
        case {"frame": t, "object": k, "path": path}:
            return Scribble(t, k, path, stroke.get("box", False), stroke.get("width"))
    raise ValueError("a stroke has a frame, an object and a path: load the page again.")


def _sentence(error: Exception) -> str:
    """What went wrong, for a reader; of an error that has no words for one, its kind too."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _paint(image: np.ndarray, scribble: Scribble, wide: float) -> np.ndarray:
    """The image with one stroke or box: ink with a dark rim, and its number where it begins.

    wide: pixels of the image to one of its brush's; 0 where the mask shows already what was painted. A stroke is dashed
    as the object's outline, a box always, so that it looks like none.
    """
    k = scribble.object
    color = show.rgb(show.object_color(k) if k else GROUND)
    path = scribble.path
    if scribble.box:
        (left, top), (right, bottom) = path.min(0), path.max(0)
        path = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    points = path * image.shape[1::-1] - 0.5
    if (scribble.width or 0) * wide > INK + 2:
        tinted = image.copy()
        line = np.rint(8 * np.vstack([points[:1], points])).astype(np.int32)
        cv2.polylines(tinted, [line], False, color, round(scribble.width * wide), cv2.LINE_AA, shift=3)
        image = cv2.addWeighted(image, 0.5, tinted, 0.5, 0)
    pattern = BOX_DASH if scribble.box else show.DASHES[(k - 1) % len(show.DASHES)] if k else ()
    dash = [2 * INK * length for length in pattern]
    for tint, width in (((0, 0, 0), INK + 2), (color, INK)):
        pieces = show.dashed(points, dash) if tint == color and len(points) > 1 else [points]
        fixed = [np.rint(8 * piece).astype(np.int32) for piece in pieces]
        cv2.polylines(image, fixed, False, tint, width, cv2.LINE_AA, shift=3)
    picture = Image.fromarray(image)
    style = {"stroke_width": 1, "stroke_fill": "black"}
    ImageDraw.Draw(picture).text(tuple(points[0]), str(k) if k else "bg", "white", show.font(12), "rm", **style)
    return np.array(picture)
