"""Webcam: a button that takes some pictures one after the other, in the reader's browser."""

from collections.abc import Callable, Mapping

import numpy as np
import traitlets as T
from PIL import Image, ImageDraw

from vosnb import show
from vosnb.widgets import base


class Webcam(base.Widget):
    """A button that takes `count` pictures within `seconds` with the webcam of whoever looks on.

    take: called with the pictures, {name: JPEG}, named so that their order is that in time; what it makes of them is
    its own to say. A camera that is missing, busy or forbidden is answered by a sentence below the button. The pictures
    go to the kernel and nowhere else. alt: what the button is for, in a sentence.
    """

    _esm = base.module("webcam.js")
    count = T.Int(20, min=1, max=100).tag(sync=True)
    seconds = T.Float(2.0, min=0.1).tag(sync=True)
    live = T.Bool(True).tag(sync=True)  # whether somebody takes the pictures: not in an exported page

    def __init__(self, take: Callable[[Mapping[str, bytes]], None], *, alt: str, **traits):
        self._take = take
        super().__init__(alt=alt, **traits)
        self.on_msg(self._hear)

    def _hear(self, _, message, buffers) -> None:
        if message.get("type") == "pictures":
            self._take({f"webcam {t:03d}.jpg": bytes(picture) for t, picture in enumerate(buffers)})

    def render(self, state: dict | None = None) -> np.ndarray:
        """A sheet with a button on it, (H, W, 3) uint8; see `Widget.render`."""
        self.with_state(state)
        sheet = Image.new("RGB", (420, 44), "white")
        pen = ImageDraw.Draw(sheet)
        pen.rounded_rectangle((6, 6, 150, 38), 16, outline="#777777")
        pen.text((78, 22), "Use the webcam", "#222222", show.font(13), "mm")
        return np.array(sheet)

    def export_state(self) -> dict:
        """The traits, for a page in which nobody takes the pictures."""
        return super().export_state() | {"live": False}
