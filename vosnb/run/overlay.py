"""The overlay video of a run."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vosnb.audience import live
from vosnb.clips import Clip, ClipError
from vosnb.clips.clip import Lazy
from vosnb.files import explain
from vosnb.run.folder import written_mask
from vosnb.show import overlays


def write_overlay(clip: Clip, files: Sequence[Path], out: Path) -> Path:
    """Write `overlay.mp4` into `out`, or another format where that fails; files: the masks of frames 0, 1, ...

    The video is there whole, or not at all. Returns it. Raises ClipError with the reason where it cannot be written,
    and as the clip and the masks do.
    """
    masks = Lazy(len(files), lambda t: written_mask(files[t]))
    bar = partial(tqdm, desc="overlay", unit="frame", leave=False, disable=not live())
    try:
        video = overlays.write_overlays(out / "overlay", clip.frames, masks, clip.info.get("fps"), bar)
    except OSError as error:
        raise ClipError(
            f"The masks are all there, but their overlay could not be written. {explain(error)} "
            "Then the same command writes it."
        ) from error
    for other in {suffix for suffix, _ in overlays.CODECS} - {video.suffix}:
        (out / f"overlay{other}").unlink(missing_ok=True)  # of fewer frames, or of a machine with other codecs
    return video
