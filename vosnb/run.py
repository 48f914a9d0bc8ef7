"""`vosnb run`: follow the objects of a first mask through any folder of frames or video file.

Into the output folder go one palette PNG a frame, named like the frame; `overlay.mp4` to look at; and `run.json`, which
says what the masks were made from and with. A run that was stopped or killed goes on where it was: besides the masks
the tracker itself is kept in `resume.pt` (its memory is more than the masks it wrote), so that the masks of a resumed
run are those of an uninterrupted one. `resume.pt` is a pickle: resume folders of your own only.
"""

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import vosnb
from vosnb.benchmark import describe
from vosnb.clips import Clip, ClipError, read_mask, write_mask
from vosnb.lesson import live
from vosnb.show import overlay
from vosnb.trackers import Tracker, make_tracker, segment
from vosnb.video import Video, write_video

SAVE_EVERY = 20.0  # seconds between two copies of the tracker: what a killed run has to do again, at most
OVERLAY_HEIGHT = 360  # pixels; small clips are magnified to it
FPS = 24.0  # of the overlay, where the clip does not say
CODECS = ((".mp4", "vp09"), (".mp4", "mp4v"), (".avi", "MJPG"))  # browsers play the first; every OpenCV has the last


def run(clip: Clip, out: str | Path, tracker: str = "matching", settings: dict | None = None) -> tuple[int, Path]:
    """Segment a clip and write masks and overlay into the folder `out`; goes on with a run that was stopped.

    tracker, settings: as for `make_tracker`. On Ctrl-C the frame at hand is finished and everything is kept.
    Returns how many of the clip's frames have their mask now, and the overlay video of those.
    Raises ClipError when `out` holds something else, ValueError for an unknown tracker or setting.
    """
    out, settings = Path(out), settings or {}
    names = clip.info.get("names") or [f"{t:05d}" for t in range(len(clip))]
    files = [out / f"{name}.png" for name in names]
    resume = out / "resume.pt"
    objects = {"first mask": clip.first_mask}  # what is wrong with the clip or its mask is told before weights are read
    follower, done = make_tracker(tracker, **settings), 0
    _claim(out, _identity(clip, **objects) | {"tracker": tracker} | describe(follower, settings))
    if resume.exists():
        follower, done = torch.load(resume, weights_only=False)
    elif all(file.exists() for file in files):
        done = len(clip)

    saved = time.monotonic()
    bar = tqdm(total=len(clip), initial=done, desc=clip.name, unit="frame", disable=not live())
    with _finish_the_frame() as stopped, bar:
        for t, mask, _ in segment(follower, clip, start=done):
            write_mask(files[t], mask)
            bar.update()
            done = t + 1
            if stopped() or time.monotonic() - saved > SAVE_EVERY:
                _save(resume, (follower, done))
                saved = time.monotonic()
            if stopped():
                break
    if done == len(clip):
        resume.unlink(missing_ok=True)
    return done, write_overlay(clip, files[:done], out)


def run_scribbles(
    clip: Clip, out: str | Path, scribbles: str | Path, tracker: str = "ridge+st-rnn", settings: dict | None = None
) -> tuple[int, Path]:
    """Segment a clip from scribbles on any of its frames; writes what `run` does, all frames at once.

    scribbles: a DAVIS interactive json, as the scribble pad saves it. tracker: "ridge", "ridge+rnn" or "ridge+st-rnn";
    settings: its `backbone`, `lam`, or `negatives`, `propagated`, `seed` of `trackers.ridge.InteractiveSegmenter`.
    Raises ClipError when `out` holds something else, ValueError for anything else that does not fit.
    """
    from vosnb.methods.scribbles import from_davis
    from vosnb.trackers.ridge import BY_NAME, InteractiveSegmenter

    out, settings = Path(out), dict(settings or {})
    if tracker not in BY_NAME:
        raise ValueError(f"{tracker!r} needs a first mask: with scribbles choose from {', '.join(BY_NAME)}.")
    known = ("backbone", "lam", "negatives", "propagated", "seed")
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"with scribbles {tracker!r} has no setting {unknown[0]!r}: it takes {', '.join(known)}.")
    strokes = from_davis(scribbles, len(clip))
    drawn = np.frombuffer(Path(scribbles).read_bytes(), np.uint8)
    _claim(out, _identity(clip, scribbles=drawn) | {"tracker": tracker, "settings": settings})
    parts = ((BY_NAME[tracker], settings.pop("backbone", "metric")),)
    segmenter = InteractiveSegmenter(clip.frames, parts, **settings)
    segmenter.add(strokes)
    names = clip.info.get("names") or [f"{t:05d}" for t in range(len(clip))]
    files = [out / f"{name}.png" for name in names]
    for file, mask in zip(files, segmenter.finish(), strict=True):
        write_mask(file, mask)
    return len(clip), write_overlay(clip, files, out)


def _identity(clip: Clip, **objects: np.ndarray) -> dict:
    """What must be the same of the clip, and of the package, for two runs to share a folder."""
    arrays = {"first frame": clip.frames[0], "last frame": clip.frames[-1], **objects}
    digests = {name: hashlib.sha256(np.ascontiguousarray(a)).hexdigest()[:16] for name, a in arrays.items()}
    return {"vosnb": vosnb.__version__, "frames": len(clip), "size": list(clip.size), **digests}


def _claim(out: Path, identity: dict) -> None:
    """Make the folder this run's own, or raise ClipError if it belongs to something else."""
    note = out / "run.json"
    if note.exists():
        before = json.loads(note.read_text())
        for key, value in identity.items():
            if before.get(key) != value:
                raise ClipError(
                    f"{out} holds a run with {key} {before.get(key)!r}, this one has {value!r}; "
                    "give another --out, or delete that folder."
                )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ClipError(f"{out} exists and `vosnb run` did not make it; give another --out, new or empty.")
    else:
        out.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(identity, indent=1))


def _save(file: Path, state: tuple[Tracker, int]) -> None:
    """Keep tracker and number of frames done; a kill in the middle leaves the copy before."""
    half_written = file.with_suffix(".tmp")
    torch.save(state, half_written)
    half_written.replace(file)


@contextmanager
def _finish_the_frame() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C or a request to terminate only makes the yielded function say True; a second one ends at once."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield came.is_set
        return
    before = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}

    def handle(which, _frame):
        came.set()
        signal.signal(which, before[which])

    for which in before:
        signal.signal(which, handle)
    try:
        yield came.is_set
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def write_overlay(clip: Clip, files: Sequence[Path], out: Path) -> Path:
    """Write `overlay.mp4` into `out`, or another format where that fails; files: the masks of frames 0, 1, ...

    Returns the video. Raises ClipError when no format works.
    """
    for suffix, codec in CODECS:
        video = out / f"overlay{suffix}"
        frames = tqdm(files, "overlay", unit="frame", leave=False, disable=not live())
        scale = OVERLAY_HEIGHT / clip.size[0]
        pictures = (overlay(clip.frames[t], read_mask(file), scale=scale) for t, file in enumerate(frames))
        try:
            write_video(video, pictures, clip.info.get("fps") or FPS, codec)
            Video(video)
            return video
        except ClipError:
            video.unlink(missing_ok=True)
    raise ClipError(f"No video could be written to {out}, perhaps the disk is full; the masks are all there.")
