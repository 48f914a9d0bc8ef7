"""Video files: exact random access to their frames, and writing them."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from vosnb.masks import ClipError


class Video:
    """Random access to a video file, exact to the frame.

    OpenCV's own seeking lands beside the frame in many files, so this one decodes forward, from the start again when
    it must go back, and keeps the latest frames. Opening runs through the file once to count what can be decoded.

    path: the file. length: frames. fps: frames per second. Raises ClipError if nothing can be decoded.
    """

    KEPT = 32

    def __init__(self, path: Path):
        self.path, self._kept = path, {}
        self._restart()
        self.fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.length = 0
        while self._capture.grab():
            self.length += 1
        if self.length == 0:
            raise ClipError(
                f"{path} is no video that can be decoded; convert it, e.g. to mp4, or to a folder of frames."
            )
        self._restart()

    def _restart(self):
        self._capture, self._next = cv2.VideoCapture(str(self.path)), 0

    def frame(self, t: int) -> np.ndarray:
        """Frame t as (H, W, 3) uint8 RGB."""
        if t not in self._kept:
            if t < self._next:
                self._restart()
            while self._next < t:
                self._capture.grab()
                self._next += 1
            decoded, image = self._capture.read()
            if not decoded:
                raise ClipError(f"Frame {t} of {self.path} cannot be decoded any more; has the file changed?")
            self._next += 1
            self._kept[t] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            if len(self._kept) > self.KEPT:
                del self._kept[next(iter(self._kept))]  # the oldest
        return self._kept[t].copy()


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float = 24, codec: str | None = None) -> None:
    """Write (H, W, 3) uint8 RGB frames to a video file; every codec here loses a little.

    codec: four letters, by default "mp4v" for .mp4 and "MJPG" for .avi, which every OpenCV has.
    Raises ClipError if OpenCV cannot write such a file there.
    """
    path, writer = Path(path), None
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = codec or ("MJPG" if path.suffix == ".avi" else "mp4v")
    try:
        for frame in frames:
            if writer is None:
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, frame.shape[1::-1])
                if not writer.isOpened():
                    raise ClipError(f"{path} cannot be written as {codec} video; use a name that ends in .mp4 or .avi.")
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        if writer is not None:
            writer.release()
