"""A clip of the student's own in the notebook: choose files or use a webcam, mark an object, follow it, look."""

import html
import tempfile
from collections.abc import Mapping
from pathlib import Path

import ipywidgets
import numpy as np

from vosnb import show
from vosnb.clips import Clip, ClipError, open_clip
from vosnb.clips.names import FRAME_SUFFIXES
from vosnb.trackers import Tracker, segment
from vosnb.trackers.grabcut import GrabCutSegmenter
from vosnb.widgets import MaskPlayer, ScribblePad, Webcam
from vosnb.widgets.base import with_picture

SHORT_SIDE = 240  # pixels: what the trackers on photographs look at
FRAMES = 40  # at most: ten seconds of waiting on a laptop, for the slower trackers
A_SECOND = 8  # frames of a video that are taken


class OwnClip(ipywidgets.VBox):
    """Buttons for files and for a webcam, then a pad to mark an object on, then a player with the tracker's masks.

    tracker: any that starts on a mask. example: a clip whose first frame has a mask; where nobody looks on, it shows
    what one would see here. Whatever is wrong with a file is said in a sentence below the buttons.
    """

    def __init__(self, tracker: Tracker, example: Clip):
        self.tracker, self.example = tracker, example
        self.clip: Clip | None = None
        self.pad: ScribblePad | None = None
        self.player: MaskPlayer | None = None
        self.upload = ipywidgets.FileUpload(
            accept="video/*,image/*", multiple=True, description="Choose a video or pictures", layout={"width": "16em"}
        )
        self.webcam = Webcam(self.take, alt="Or take pictures with your webcam, which are the frames of your clip.")
        self.button = ipywidgets.Button(description="Follow", disabled=True, button_style="primary")
        self.said = ipywidgets.HTML()
        self.upload.observe(lambda change: self.take(self._chosen()), "value")
        self.button.on_click(lambda button: self.follow())
        super().__init__([self.upload, self.webcam, self.said])

    def _chosen(self) -> dict[str, bytes]:
        return {file["name"]: bytes(file["content"]) for file in self.upload.value}

    def take(self, files: Mapping[str, bytes]) -> None:
        """Open what was chosen, {name: contents}, and show its first frame to mark an object on."""
        if not files:
            return
        try:
            self.clip = read(files)
        except (ClipError, ValueError, OSError) as error:
            self._say(str(error))
            return
        frames = self.clip.frames[:1]
        self.pad = ScribblePad(
            frames,
            GrabCutSegmenter(frames),
            alt="The first frame of your clip, to mark an object on: draw a box around it.",
            objects=1,
            tool="box",
        )
        self.button.disabled = False
        self._say(f"{len(self.clip)} frames. Draw a box around an object, correct it with clicks, and press Follow.")
        self.children = [self.upload, self.webcam, self.said, self.pad, self.button]

    def follow(self) -> None:
        """Run the tracker from what is marked on the pad, and show its masks."""
        mask = None if self.pad is None or self.pad.masks is None else self.pad.masks[0]
        if mask is None or not (mask == 1).any():
            self._say("Nothing is marked yet: draw a box around an object in the frame.")
            return
        self.button.disabled = True
        try:
            masks = []
            clip = Clip.from_arrays("your clip", self.clip.frames, [mask] + [None] * (len(self.clip) - 1))
            for t, answer, _ in segment(self.tracker, clip):
                masks.append(answer)
                self._say(f"Following: frame {t + 1} of {len(clip)}.")
            self.player = MaskPlayer(clip.frames, {"followed": masks}, alt="Your clip with the mask that was followed.")
            self._say("Done. Press the space bar on the picture to play it. You can mark something else and follow it.")
            self.children = [self.upload, self.webcam, self.said, self.pad, self.button, self.player]
        except (ClipError, ValueError, RuntimeError) as error:
            self._say(str(error))
        finally:
            self.button.disabled = False

    def _say(self, text: str) -> None:
        self.said.value = html.escape(text)

    def render(self) -> show.Photo:
        """What stands in where nobody looks on: the first frame of the example and its mask."""
        return show.frames(
            self.example.subclip(0, 1),
            titles=["In JupyterLab: your own clip, with an object marked"],
            alt="The first frame of a clip with a line around the object that is to be followed. In JupyterLab there "
            "is a button here to choose a video or pictures of one's own.",
        )

    def _repr_mimebundle_(self, **kwargs):
        return with_picture((super()._repr_mimebundle_(**kwargs), {}), self.render())

    def __repr__(self) -> str:
        return self.render().alt


def read(files: Mapping[str, bytes]) -> Clip:
    """The clip in one video file, or in pictures of one size, {name: contents}: small, short and in memory.

    Of a video about `A_SECOND` frames a second are taken; of either at most `FRAMES` frames. Pictures come in the order
    of their names. Raises ClipError for files that are no clip.
    """
    pictures = {name: data for name, data in files.items() if Path(name).suffix.lower() in FRAME_SUFFIXES}
    if len(files) > 1 and len(pictures) < len(files):
        other = next(name for name in files if name not in pictures)
        raise ClipError(f"{other} is no picture: choose either one video, or several pictures.")
    if len(files) == 1 and pictures:
        raise ClipError("That is a single picture: choose several of one scene, which are the frames, or a video.")
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(sorted(files)):
            file = Path(folder) / (f"{number:05d}{Path(name).suffix.lower()}" if pictures else Path(name).name)
            file.write_bytes(files[name])
        clip = open_clip(folder if pictures else file)
        every = 1 if pictures else max(1, round(clip.info.get("fps", A_SECOND) / A_SECOND))
        scale = min(1, SHORT_SIDE / min(clip.size))
        small = clip.resized(*(max(16, round(scale * side)) for side in clip.size))
        frames = [np.array(small.frames[t]) for t in range(0, len(clip), every)[:FRAMES]]
    return Clip.from_arrays("your clip", frames, [None] * len(frames))
