"""The overlay video: the masks over the frames, to look at."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from vosnb.audience import live
from vosnb.clips import Clip, ClipError
from vosnb.clips.video import write_video
from vosnb.files import explain
from vosnb.run.folder import written_mask
from vosnb.show import overlay

HEIGHT, LONGEST = 360, 1920  # pixels: lower clips are magnified to the first; no side is longer than the second
SMALLEST = 16  # pixels a side that codecs take
FPS = 24.0  # where the clip does not say
CODECS = ((".mp4", "vp09"), (".mp4", "mp4v"), (".avi", "MJPG"))  # browsers play the first; every OpenCV has the last


def write_overlay(clip: Clip, files: Sequence[Path], out: Path) -> Path:
    """Write `overlay.mp4` into `out`, or another format where that fails; files: the masks of frames 0, 1, ...

    The video is there whole, or not at all. Returns it. Raises ClipError with the reason where it cannot be written,
    and as the clip and the masks do.
    """
    fps = clip.info.get("fps") or FPS
    for suffix, codec in CODECS:
        video, pictures = out / f"overlay{suffix}", Pictures(clip, files)
        try:
            write_video(video, pictures, fps if 0 < fps < 1000 else FPS, codec)
        except OSError as error:
            raise ClipError(
                f"The masks are all there, but their overlay could not be written. {explain(error)} "
                "Then the same command writes it."
            ) from error
        except (ClipError, cv2.error):
            if pictures.error:
                raise pictures.error from None
            continue
        for other in {s for s, _ in CODECS} - {suffix}:
            (out / f"overlay{other}").unlink(missing_ok=True)  # of fewer frames, or of a machine with other codecs
        return video
    tried = ", ".join(codec for _, codec in CODECS)
    raise ClipError(
        f"The masks are all there, but this OpenCV can write no video of them to {out} (tried: {tried}); "
        "install opencv-python-headless again, or look at the masks themselves."
    )


class Pictures:
    """The pictures of an overlay; error: what was wrong with the clip or a mask, if it was not the video's fault."""

    def __init__(self, clip: Clip, files: Sequence[Path]):
        self.clip, self.files, self.error = clip, files, None
        h, w = clip.size
        self.scale = min(max(1.0, HEIGHT / h), LONGEST / max(h, w))

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for t, file in enumerate(tqdm(self.files, "overlay", unit="frame", leave=False, disable=not live())):
                yield fit_for_codecs(overlay(self.clip.frames[t], written_mask(file), scale=self.scale))
        except Exception as error:
            self.error = error
            raise


def fit_for_codecs(picture: np.ndarray) -> np.ndarray:
    """A picture that no codec finds too short: at the right and below black is added."""
    more = [max(0, SMALLEST - n) for n in picture.shape[:2]]
    return np.pad(picture, ((0, more[0]), (0, more[1]), (0, 0)))
