"""From a clip to its masks in a folder, with a tracker or from scribbles."""

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vosnb.audience import live
from vosnb.benchmark import describe
from vosnb.clips import Clip, object_ids, write_mask
from vosnb.files import explain
from vosnb.run.folder import (
    RESUME,
    claimed,
    digest_of,
    identity,
    is_mask,
    mask_files,
    written_mask,
)
from vosnb.run.overlay import write_overlay
from vosnb.trackers import Tracker, make_tracker, segment
from vosnb.trackers.follow import corrected_objects
from vosnb.trackers.state import State, StateError, save_state

SAVE_EVERY = 20.0  # seconds between two copies of the tracker: what a killed run has to do again, at most


def run(clip: Clip, out: str | Path, tracker: str = "matching", settings: dict | None = None) -> tuple[int, Path]:
    """Segment a clip and write masks and overlay into the folder `out`; goes on with a run that was stopped.

    tracker, settings: as for `make_tracker`. The run starts where the first mask is; later masks bring in objects, and
    correct those that are known (see `segment`). Masks that are there already stay; one that is missing, cannot be read
    or has another size is made again. On Ctrl-C the frame at hand is finished and everything is kept.
    Returns how many of the clip's frames have their mask now, and the overlay video of those.
    Raises ClipError when `out` holds something else, ValueError for an unknown tracker or setting, OSError where
    something cannot be written; the same call goes on then, once there is room.
    """
    out, settings = Path(out), settings or {}
    if not clip.appearances:  # what is wrong with the clip or its masks is told before weights are read
        _ = clip.first_mask
    files = mask_files(clip, out)
    follower = make_tracker(tracker, **settings)
    known = identity(clip, tracker=tracker, **describe(follower, settings))
    run_key = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    with claimed(out, known):
        there = [is_mask(file, clip.size) for file in files]
        for said in _about_masks(clip):
            _say(said)
        done = _take_up(follower, clip, out, there, run_key)
        with _finish_the_frame() as stopped, _bar(clip, done) as bar:
            saved, differs = time.monotonic(), []
            for t, mask, _ in segment(follower, clip, done, corrections=True) if not all(there) else ():
                for said in _about_correction(clip, t, mask):
                    _say(said)
                mask = clip.labelled(mask)
                if not there[t]:
                    write_mask(files[t], mask)
                    there[t] = True
                elif (written_mask(files[t]) != mask).any():
                    differs.append(files[t].name)
                bar.update()
                if all(there):
                    break
                if stopped() or time.monotonic() - saved > SAVE_EVERY:
                    kept = _keep(out, follower, t + 1, run_key)
                    saved = time.monotonic() if kept else np.inf  # it is said once
                if stopped():
                    break
        if differs:
            _say(
                f"{_some(differs)} in {out} differ from the tracker's answer, and stay; delete what is to be made anew."
            )
        if all(there):
            (out / RESUME).unlink(missing_ok=True)
        first = (there + [False]).index(False)
        return sum(there), write_overlay(clip, files[:first], out)


def run_scribbles(
    clip: Clip, out: str | Path, scribbles: str | Path, tracker: str = "ridge", settings: dict | None = None
) -> tuple[int, Path]:
    """Segment a clip from scribbles on any of its frames; writes what `run` does, all frames at once.

    scribbles: a DAVIS interactive json, as the scribble pad saves it. tracker: "ridge", "ridge+rnn" or "ridge+st-rnn";
    settings: its `backbone`, or `lam`, `seed` of `trackers.interactive.InteractiveSegmenter`.
    Raises ClipError when `out` holds something else, ValueError for anything else that does not fit, OSError where
    something cannot be written.
    """
    from vosnb.clips.scribbles import from_davis
    from vosnb.trackers.interactive import InteractiveSegmenter
    from vosnb.trackers.ridge import BY_NAME

    out, settings = Path(out), dict(settings or {})
    if tracker not in BY_NAME:
        raise ValueError(f"{tracker!r} needs a first mask: with scribbles choose from {', '.join(BY_NAME)}.")
    known = ("backbone", "lam", "seed")
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"with scribbles {tracker!r} has no setting {unknown[0]!r}: it takes {', '.join(known)}.")
    strokes, files = from_davis(scribbles, len(clip)), mask_files(clip, out)
    backbone = {key: settings[key] for key in ("backbone",) if key in settings}
    known = identity(clip, tracker=tracker, **describe(make_tracker(tracker, **backbone), settings))
    known["files"]["what was drawn"] = digest_of(Path(scribbles))
    with claimed(out, known):
        there = [is_mask(file, clip.size) for file in files]
        if not all(there):
            parts = ((BY_NAME[tracker], settings.pop("backbone", "photos")),)
            segmenter = InteractiveSegmenter(clip.frames, parts, **settings)
            segmenter.add(strokes)
            masks = segmenter.finish()
            for t, mask in enumerate(masks):
                if not there[t]:
                    write_mask(files[t], mask)
        return len(clip), write_overlay(clip, files, out)


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if names[4:] else "")


def _about_masks(clip: Clip) -> Iterator[str]:
    """What is not plain about the masks that were given: where they begin, and what becomes of later ones."""
    names, first = clip.names, min(clip.appearances.values())
    if first:
        before = (
            "the frame before it gets an empty one" if first == 1 else f"the {first} frames before it get empty ones"
        )
        yield f"The first mask is that of frame {names[first]}: {before}."
    empty, corrections = [], []
    for t, mask in enumerate(clip.masks):
        if mask is not None:
            shown = object_ids(mask)
            empty += [] if shown else [names[t]]
            corrections += [names[t]] if any(clip.appearances[k] < t for k in shown) else []
    if empty:
        yield f"Given, but without an object and not used: the mask of frame {_some(empty)}."
    if corrections:
        yield f"Objects that are known already are corrected by the mask of frame {_some(corrections)}."


def _about_correction(clip: Clip, t: int, answer: np.ndarray) -> Iterator[str]:
    """Which objects are lost in frame t, because the tracker starts anew there and its answer does not show them."""
    known = [k for k, first in clip.appearances.items() if first <= t]
    if corrected_objects(clip, t) and (lost := sorted({*known} - {*object_ids(answer)})):
        numbers, name = clip.labels, clip.names[t]
        which = ", ".join(str(numbers[k - 1]) for k in lost)
        yield f"Not to be seen in frame {name}, where others are corrected, and followed no further: object {which}."


def _take_up(follower: Tracker, clip: Clip, out: Path, there: list[bool], run_key: str) -> int:
    """Bring the tracker to where an earlier run had kept it, before the first mask that is to be made.

    Returns the frame to go on with; 0 where there is nothing of use, and that is said if something was done before.
    """
    if not any(there) or all(there):
        return len(clip) if all(there) else 0
    first = there.index(False)
    try:
        state = State(out / RESUME)
        if state.about.get("run") != run_key:
            raise StateError(f"{out / RESUME} is of another run")
        if state.about.get("done", 0) > first:
            raise StateError(f"The mask of frame {clip.names[first]} is missing or damaged")
        if hasattr(follower, "about"):
            follower.about(clip)
        state.restore(follower)
        return state.about["done"]
    except StateError as error:
        _say(f"{error}: the clip is followed from its beginning again; masks that are there stay.")
        return 0


def _keep(out: Path, follower: Tracker, done: int, run_key: str) -> bool:
    """Keep the tracker, or say why it cannot be kept: a run that is stopped begins again then."""
    try:
        save_state(out / RESUME, follower, done=done, run=run_key)
        return True
    except (OSError, StateError) as error:
        why = explain(error) if isinstance(error, OSError) else f"{error}."
        _say(
            f"The tracker was not kept, so that a run that is stopped follows the clip from its beginning again. {why}"
        )
        return False


def _bar(clip: Clip, done: int) -> tqdm:
    return tqdm(total=len(clip), initial=done, desc=clip.name, unit="frame", disable=not live())


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
