"""The overlay video: masks over the frames of a clip, to look at in any player."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vosnb.clips.pictures import ClipError
from vosnb.clips.video import write_video
from vosnb.drawing import overlay

HEIGHT, LONGEST = 360, 1920  # pixels: lower clips are magnified to the first; no side is longer than the second
SMALLEST = 16  # pixels a side that codecs take
FPS = 24.0  # where the clip does not say
CODECS = ((".mp4", "vp09"), (".mp4", "mp4v"), (".avi", "MJPG"))  # browsers play the first; every OpenCV has the last


def write_overlays(
    path: str | Path,
    frames: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    fps: float | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
) -> Path:
    """Write a video of the frames (H, W, 3) under their masks (H, W), which may be fewer; returns its path.

    The first of `CODECS` that this OpenCV can write is taken, and its suffix. watch: goes round the pictures, as a
    progress bar does. The video is there whole, or not at all. Raises ClipError where no codec does, OSError where the
    disk does not take it, and whatever frames and masks raise.
    """
    fps = fps if fps and 0 < fps < 1000 else FPS
    for suffix, codec in CODECS:
        video, pictures = Path(path).with_suffix(suffix), _Pictures(frames, masks, watch)
        try:
            write_video(video, pictures, fps, codec)
            return video
        except (ClipError, cv2.error):
            if pictures.error:
                raise pictures.error from None
    tried = ", ".join(codec for _, codec in CODECS)
    raise ClipError(
        f"The masks are all there, but this OpenCV can write no video of them to {Path(path).parent} (tried: {tried}); "
        "install opencv-python-headless again, or look at the masks themselves."
    )


class _Pictures:
    """The pictures of an overlay; error: what was wrong with a frame or a mask, if it was not the video's fault."""

    def __init__(self, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray], watch):
        self.frames, self.masks, self.watch, self.error = frames, masks, watch, None
        h, w = frames[0].shape[:2]
        self.scale = min(max(1.0, HEIGHT / h), LONGEST / max(h, w))

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for t in self.watch(range(len(self.masks))):
                yield _fit_for_codecs(overlay(self.frames[t], self.masks[t], scale=self.scale))
        except Exception as error:
            self.error = error
            raise


def _fit_for_codecs(picture: np.ndarray) -> np.ndarray:
    """A picture that no codec finds too short: at the right and below black is added."""
    more = [max(0, SMALLEST - n) for n in picture.shape[:2]]
    return np.pad(picture, ((0, more[0]), (0, more[1]), (0, 0)))
