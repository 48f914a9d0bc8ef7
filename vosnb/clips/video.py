"""Video files: exact random access to their frames, and writing them, both checked against the file itself."""

import math
import os
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from vosnb.clips.containers import INTRA, NO_VIDEO, Container, look
from vosnb.clips.pictures import ClipError, regular_file, require_frame, require_pixels
from vosnb.files import written

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong with a file is said once, and by us
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
BACKEND = cv2.CAP_FFMPEG if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG) else cv2.CAP_ANY
DELAYED = 2  # frames that a decoder may owe at the end of an intact file, where frames depend on later ones


class PlainName:
    """A name for a file that OpenCV and FFmpeg take as it is, as long as this object lives.

    A relative name with a colon is a protocol to FFmpeg, so names are absolute. One that is no UTF-8 (from an old zip
    archive) makes OpenCV crash: then it is a link in a temporary folder.
    """

    def __init__(self, path: Path):
        self.name = os.path.abspath(path)
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in self.name):
            self._folder = tempfile.TemporaryDirectory()
            suffix = path.suffix if path.suffix.isascii() else ""
            link = os.path.join(self._folder.name, f"video{suffix}")
            os.symlink(self.name, link)
            self.name = link


class Video:
    """Random access to a video file, exact to the frame.

    OpenCV's own seeking lands beside the frame in many files, so this one decodes forward, from the start again when
    it must go back, and keeps the latest frames. Opening runs through the file once to count what can be decoded, and
    compares that with what the container lists.

    path: the file. length: frames. fps: frames per second, 0 where the file does not say.
    Raises ClipError for what is no video, is too large, is damaged or cut off, or has a codec that is not known here.
    """

    KEPT = 32  # frames
    KEPT_BYTES = 2**26

    def __init__(self, path: str | Path):
        self.path, self._kept = regular_file(Path(path)), {}
        with self.path.open("rb") as file:
            start = file.read(8)
        for begin, what in NO_VIDEO.items():
            if start.startswith(begin):
                raise ClipError(f"{path} is {what}.")
        container = look(self.path)
        if not container.pictures:
            raise ClipError(f"{path} is sound without pictures; give a video.")
        self._plain = PlainName(self.path)
        self._restart()
        size = [self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        require_pixels(self.path, *size)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and fps > 0 else 0.0
        times = []
        while self._capture.grab():
            times.append(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        self.length = len(times)
        _require_whole(self.path, container, times)
        self._restart()

    def _restart(self):
        self._capture, self._next = cv2.VideoCapture(self._plain.name, BACKEND), 0

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
            while len(self._kept) > max(1, min(self.KEPT, self.KEPT_BYTES // image.nbytes)):
                del self._kept[next(iter(self._kept))]  # the oldest
        return self._kept[t].copy()


def _require_whole(path: Path, container: Container, times: list[float]) -> None:
    """Raise ClipError where fewer frames were decoded than there are in the file; times: theirs, in milliseconds.

    Where frames depend on later ones, the last two may be owed by an intact file, but not two from its middle.
    """
    decoded, again = len(times), "copy or download it again"
    if not decoded:
        cure = "convert it to H.264 (ffmpeg -i video -c:v libx264 new.mp4) or to a folder of frames"
        if container.codec and not container.cut:
            raise ClipError(
                f"{path} cannot be decoded: this OpenCV does not know its codec '{container.codec}', or the file is "
                f"damaged; {cure}."
            )
        raise ClipError(f"{path} is no video that can be decoded, or it is cut off; {cure}.")
    missing = max(0, (container.frames or 0) - decoded)
    steps = [b - a for a, b in pairwise(times)]
    hole = bool(steps) and max(steps) > 1.5 * float(np.median(steps))
    if missing > (0 if hole or container.codec.lower() in INTRA else DELAYED):
        raise ClipError(f"{path} is damaged: {container.frames} frames announced, {decoded} can be decoded; {again}.")
    if container.cut and decoded != container.frames:
        raise ClipError(f"{path} is cut off: its end is missing, {decoded} frames can be decoded; {again}.")


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float = 24, codec: str | None = None) -> None:
    """Write (H, W, 3) uint8 RGB frames to a video file, whole or not at all; every codec here loses a little.

    Sides of an odd number of pixels, which most codecs do not take, get one more: their last row or column twice.

    codec: four letters, by default "mp4v" for .mp4 and "MJPG" for .avi, which every OpenCV has.
    Raises OSError if the disk is full and the like, and ClipError for frames that are none or differ in size, and if
    OpenCV cannot write such a file.
    """
    path = Path(path)
    codec = codec or ("MJPG" if path.suffix.lower() == ".avi" else "mp4v")
    if len(codec) != 4 or not codec.isascii():
        raise ClipError(f"{codec!r} is no codec: four letters are wanted, as mp4v or MJPG.")
    if not (isinstance(fps, int | float | np.number) and math.isfinite(fps) and fps > 0):
        raise ClipError(f"{path} needs a number of frames per second above 0: {fps!r} is not.")
    with written(path) as half:
        plain = PlainName(half)
        count = _encode(plain.name, path, frames, fps, codec)
        if _decodable(plain.name) != count:
            _ask_the_disk(half)
            raise ClipError(
                f"{path} could not be written whole as {codec} video; use a name that ends in .mp4 or .avi, and frames "
                "that are not too large or too narrow."
            )


def _encode(name: str, path: Path, frames: Iterable[np.ndarray], fps: float, codec: str) -> int:
    """Write the frames to the file `name`; returns how many there were. `path` is for messages."""
    writer, count, shape = None, 0, None
    try:
        for frame in frames:
            frame = require_frame(frame, f"Frame {count} for {path}")
            if writer is None:
                shape = frame.shape
                require_pixels(path, shape[1], shape[0])
                size = (shape[1] + shape[1] % 2, shape[0] + shape[0] % 2)
                writer = cv2.VideoWriter(name, BACKEND, cv2.VideoWriter_fourcc(*codec), fps, size)
                if not writer.isOpened():
                    _ask_the_disk(Path(name))
                    raise ClipError(f"{path} cannot be written as {codec} video; use a name that ends in .mp4 or .avi.")
            if frame.shape != shape:
                raise ClipError(
                    f"Frame {count} for {path} is {frame.shape[1]} x {frame.shape[0]} pixels but the first is "
                    f"{shape[1]} x {shape[0]}; bring all to one size."
                )
            even = cv2.copyMakeBorder(frame, 0, shape[0] % 2, 0, shape[1] % 2, cv2.BORDER_REPLICATE)
            writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))
            count += 1
    finally:
        if writer is not None:
            writer.release()
    if not count:
        raise ClipError(f"There are no frames to write to {path}; give at least one.")
    return count


def _decodable(name: str) -> int:
    """How many frames of a file can be decoded."""
    capture, count = cv2.VideoCapture(name, BACKEND), 0
    while capture.grab():
        count += 1
    return count


def _ask_the_disk(file: Path) -> None:
    """Raise the system's own OSError where no more can be written to a file; OpenCV does not tell."""
    with file.open("ab") as end:
        end.write(bytes(2**16))
        end.flush()
        os.fsync(end.fileno())
