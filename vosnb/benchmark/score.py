"""One tracker on one clip, run, timed and scored: the unit of work of every table.

- J, F and their statistics are as `vosnb.metrics.score_clip` defines them, averaged over objects.
- `fps`: frames after the first, over the seconds that the tracker itself took for them. Reading frames and scoring do
  not count. `start_s` are the seconds for the first frame, in which a method may adapt.
- `peak_memory_mb`: on CUDA the most memory that PyTorch held for tensors while the tracker ran; on the CPU the largest
  resident size of the whole process in that time, Python, PyTorch and the loaded trackers included (on systems other
  than Linux: since the process began).

What cannot be scored has a record as well, which says why as `left_out`, and stops nothing.
"""

import math
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from vosnb import datasets
from vosnb.benchmark.save import save_masks
from vosnb.clips import Clip
from vosnb.files import explain
from vosnb.metrics import score_clip
from vosnb.trackers import Tracker, make_tracker, parse_tracker, segment

PROTOCOLS = {
    "first": "object 1 alone is given and scored (S0, section 4.2)",
    "all": "all objects at once (DAVIS 2017, YouTube-VOS)",
    "each": "every object of the first frame in turn, alone",
}
SCORES = ("J", "F", "J_recall", "J_decay", "F_recall", "F_decay")
FAILURES = (ValueError, RuntimeError, MemoryError, OSError, cv2.error)  # of a clip or a tracker, not of the program


def parts_of(clip: Clip, objects: str) -> list[Clip]:
    """The clips that a tracker is run on, under a protocol."""
    if objects == "all":
        return [clip]
    ids = clip.labels
    clip = replace(clip, info={**clip.info, "ids": ids, "all ids": ids})
    return [clip.only(k) for k in ([1] if objects == "first" else [k for k, t in clip.appearances.items() if t == 0])]


def _trackable(clip: Clip, objects: str) -> list[Clip]:
    """The parts with an object; ValueError if there is none."""
    if parts := [part for part in parts_of(clip, objects) if part.appearances]:
        return parts
    what = "no object in its first mask" if objects == "each" and clip.appearances else "no mask with an object"
    raise ValueError(f"{what}: nothing to track")


class _Timed:
    """A tracker whose seconds are counted."""

    def __init__(self, tracker: Tracker):
        self.tracker, self.start_seconds, self.step_seconds, self.steps = tracker, 0.0, 0.0, 0

    def _clock(self, function, *arguments):
        begin = time.perf_counter()
        answer = function(*arguments)
        if torch.cuda.is_initialized():  # what the GPU was given may not be done yet
            torch.cuda.synchronize()
        return answer, time.perf_counter() - begin

    def about(self, clip):
        self.tracker.about(clip)

    def start(self, frame, mask):
        _, seconds = self._clock(self.tracker.start, frame, mask)
        self.start_seconds += seconds

    def add(self, frame, mask):
        _, seconds = self._clock(self.tracker.add, frame, mask)
        self.step_seconds += seconds

    def step(self, frame):
        answer, seconds = self._clock(self.tracker.step, frame)
        self.step_seconds += seconds
        self.steps += 1
        return answer


def why_left_out(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "not enough memory"
    said = explain(error) if isinstance(error, OSError) else str(error)
    told = isinstance(error, ValueError | OSError)  # a sentence of ours, or as good as one
    line = next((line.strip() for line in said.splitlines() if line.strip()), "")
    return line if told and line else f"{type(error).__name__}: {line}".removesuffix(": ")


def _unscorable(clip: Clip) -> str | None:
    """Why a clip that a tracker can run on has nothing to score, or None."""
    annotated = [t for t, mask in enumerate(clip.masks) if mask is not None]
    if len(annotated) == 1:
        return "first mask only: nothing to score"
    if not any(min(clip.appearances.values()) < t < len(clip) - 1 for t in annotated):
        return "no annotated frame between the first mask and the last frame: nothing to score"
    return None


def warm_up(tracker: Tracker, clip: Clip, objects: str) -> None:
    part = _trackable(clip, objects)[0]
    first = min(part.appearances.values())
    for _ in segment(tracker, part.subclip(first, first + 2)):
        pass


def score_tracker(tracker: Tracker, clip: Clip, objects: str = "all") -> dict:
    """Run a tracker over one clip under a protocol and score it; the record that `bench` keeps for each clip.

    J, F and their recall and decay are means over the clip's objects; J_objects and F_objects list them one by one.
    A clip without anything to score has `left_out` in their place. Raises ValueError when there is nothing to track,
    and what reading the clip and running the tracker raise.
    """
    return _run(tracker, clip, objects)[0]


def _run(tracker: Tracker, clip: Clip, objects: str) -> tuple[dict, list[np.ndarray]]:
    """The record of `score_tracker`, and the predicted masks: with several parts, those of the last."""
    device = torch.device(getattr(tracker, "device", "cpu"))
    per_object, seen, predictions = [], [], []
    start_seconds = step_seconds = steps = peak = 0
    for part in _trackable(clip, objects):
        timed = _Timed(tracker)
        _reset_peak(device)
        predictions = [mask for _, mask, _ in segment(timed, part)]
        peak = max(peak, _peak_mb(device))
        start_seconds, step_seconds = start_seconds + timed.start_seconds, step_seconds + timed.step_seconds
        steps += timed.steps
        if not (unscorable := _unscorable(part)):
            scores = score_clip(part.masks, predictions, appearances=part.appearances)
            for k, (j, f) in enumerate(zip(scores.stats_J, scores.stats_F, strict=True), start=1):
                if j:
                    per_object.append((j.mean, f.mean, j.recall, j.decay, f.recall, f.decay))
                    seen.append(part.info.get("seen", {}).get(k))
    record = {"clip": clip.name, "difficulty": clip.info.get("difficulty")}
    measured = {
        "frames": steps,
        "seconds": step_seconds,
        "fps": steps / step_seconds if steps else math.nan,
        "start_s": start_seconds,
        "peak_memory_mb": peak,
    }
    if not per_object:
        return rounded(record | {"left_out": unscorable} | measured), predictions
    values = np.array(per_object).T
    means = dict(zip(SCORES, values.mean(axis=1).tolist(), strict=True))
    record |= {"objects": len(per_object), "J": means["J"], "F": means["F"], "JF": (means["J"] + means["F"]) / 2}
    record |= means | measured | {"J_objects": values[0].tolist(), "F_objects": values[1].tolist()}
    return rounded(record if None in seen else record | {"seen": seen}), predictions


def unit(spec: str, tracker: Tracker, clip: Clip, objects: str, save: Path | None, warm: set[str]) -> dict:
    """The record of a tracker on a clip, come what may; `left_out` where it failed.

    save: the folder that the predicted masks go to. warm: the specs that ran before; the others begin with a frame
    untimed, so that nobody pays for warming up. Raises OSError when masks cannot be saved.
    """
    try:
        clip = replace(clip, masks=list(clip.masks))  # decoded once: they are needed again and again
        if spec not in warm:
            warm_up(tracker, clip, objects)
            warm.add(spec)
        record, predictions = _run(tracker, clip, objects)
    except FAILURES as error:
        return left_out(spec, clip, error)
    record = {"tracker": spec} | record
    if save is not None:
        (part,) = parts_of(clip, objects)
        record["saved"] = save_masks(save, part, predictions)
    return record


def left_out(spec: str, clip: Clip, error: Exception) -> dict:
    """The record of a tracker on a clip that could not be run."""
    about = {"tracker": spec, "clip": clip.name, "difficulty": clip.info.get("difficulty")}
    return about | {"left_out": why_left_out(error)}


_here = threading.local()  # a worker's own: the data set that it has open, the trackers that it has made and warmed up


def score_one(spec: str, dataset: str, split: str, name: str, objects: str, save: Path | None = None) -> dict:
    """`unit` for a clip by its name and a tracker by its spec: what any `concurrent.futures.Executor` can run.

    Loads the clip and makes the tracker; both are kept for the next call in the same worker.
    Raises ClipError and ValueError as `load` and `make_tracker` do, ValueError for a clip that is not there.
    """
    if getattr(_here, "data", None) != (dataset, split):
        _here.clips = {clip.name: clip for clip in datasets.load(dataset, split)}
        _here.data = dataset, split
    if name not in _here.clips:
        raise ValueError(f"there is no clip {name!r} in {dataset}, split {split}.")
    trackers, warm = (_here.__dict__.setdefault(key, kind()) for key, kind in (("trackers", dict), ("warm", set)))
    if spec not in trackers:
        kind, settings = parse_tracker(spec)
        trackers[spec] = make_tracker(kind, **settings)
    return unit(spec, trackers[spec], _here.clips[name], objects, save, warm)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif (clear := Path("/proc/self/clear_refs")).exists():
        with suppress(OSError):  # some containers do not allow it: then the peak is that since the process began
            clear.write_text("5")  # Linux: begin the peak of the resident size anew


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if (status := Path("/proc/self/status")).exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def rounded(record: dict) -> dict:
    """Six decimals, as results are stored; NaN becomes None, which JSON knows."""

    def short(value):
        if isinstance(value, list):
            return [short(item) for item in value]
        if isinstance(value, float):
            return None if math.isnan(value) else round(value, 6)
        return value

    return {key: short(value) for key, value in record.items()}
