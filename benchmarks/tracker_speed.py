"""What adaptation costs: seconds on the first frame, and frames per second after it.

    python benchmarks/tracker_speed.py

The shipped test clips of `twins`, object 1; two threads; medians over clips, trackers in turns. Only `matching` is run
with both memories, as its adaptation is: the others do not have them.
"""

import statistics
import time

import torch

from vosnb import clips
from vosnb.trackers import make_tracker

TRACKERS = {
    "matching, static": ("matching", {"memory": "first"}),
    "matching+context, static": ("matching+context", {"memory": "first"}),
    "matching, updated": ("matching", {}),
    "matching+context, updated": ("matching+context", {}),
    "target-model": ("target-model", {}),
    "frtm-static": ("frtm-static", {}),
    "frtm": ("frtm", {}),
    "frtm-fast": ("frtm-fast", {}),
    "base-net": ("base-net", {}),
}


def main():
    torch.set_num_threads(2)
    twins = [clip.only(1) for clip in clips.load("embedded", "test") if clip.info["difficulty"] == "twins"]
    trackers = {name: make_tracker(tracker, device="cpu", **settings) for name, (tracker, settings) in TRACKERS.items()}
    seconds = {name: ([], []) for name in trackers}
    for clip in [twins[0], *twins]:  # the first one is run once before it counts
        for name, tracker in trackers.items():
            began = time.perf_counter()
            tracker.start(clip.frames[0], clip.first_mask)
            started = time.perf_counter()
            for frame in clip.frames[1:]:
                tracker.step(frame)
            seconds[name][0].append(started - began)
            seconds[name][1].append((len(clip) - 1) / (time.perf_counter() - started))
    print(f"{'tracker':26} {'first frame, s':>14} {'frames/s':>9}")
    for name, (start, rate) in seconds.items():
        print(f"{name:26} {statistics.median(start[1:]):14.2f} {statistics.median(rate[1:]):9.1f}")


if __name__ == "__main__":
    main()
