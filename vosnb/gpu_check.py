"""`make gpu-check`: does the GPU give the CPU's masks, and how fast are trackers and lessons on it?"""

import sys
import time
from collections.abc import Iterable

import numpy as np
import torch

from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.trackers import TRACKERS, Tracker, make_tracker, segment, settings_of, tracker_names

EQUAL = 0.99  # share of pixels; the devices round differently, which moves a few pixels of an outline
CLIPS = 8  # of the embedded val split, which has every difficulty


def masks_and_speed(tracker: Tracker, clips: Iterable[Clip]) -> tuple[list[np.ndarray], float]:
    """The masks (T, H, W) of every clip and the frames per second of all but the first clip, which warms up."""
    masks, frames, seconds = [], 0, 0.0
    for number, clip in enumerate(clips):
        decoded = Clip.from_arrays(clip.name, list(clip.frames), list(clip.masks))
        start = time.perf_counter()
        masks.append(np.stack([mask for _, mask, _ in segment(tracker, decoded)]))
        if number:
            seconds += time.perf_counter() - start
            frames += len(clip)
    return masks, frames / seconds


def compare(name: str, clips: list[Clip], devices: tuple[str, str] = ("cpu", "cuda")) -> dict:
    """Run a tracker on two devices; the share of pixels with the same label, and frames/s on either.

    A tracker that does not compute with torch has no device to choose; it is run twice all the same.
    """
    takes_device = "device" in settings_of(TRACKERS[name])
    runs = [
        masks_and_speed(make_tracker(name, **({"device": device} if takes_device else {})), clips) for device in devices
    ]
    (masks, fps), (other_masks, other_fps) = runs
    equal = np.mean([(a == b).mean() for a, b in zip(masks, other_masks, strict=True)])
    return {"tracker": name, "equal": float(equal), f"fps {devices[0]}": fps, f"fps {devices[1]}": other_fps}


def main() -> int:
    """Print the comparison and the seconds of each lesson; returns 1 if masks differ or a lesson fails, else 0."""
    if not torch.cuda.is_available():
        print("gpu-check is skipped: torch finds no CUDA device here.")
        return 0
    from vosnb.audience import table
    from vosnb.course.headless import run_course

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    clips = load("embedded", "val", limit=CLIPS)
    rows = [compare(name, clips) for name in tracker_names() if name != "masks"]  # which computes nothing
    table(rows, digits=4)
    different = [row["tracker"] for row in rows if row["equal"] < EQUAL]
    if different:
        print(f"The masks of {', '.join(different)} differ in more than {1 - EQUAL:.0%} of the pixels.")
    lessons = run_course(jobs=1)
    return int(bool(different) or any(row["result"] != "ok" for row in lessons))


if __name__ == "__main__":
    sys.exit(main())
