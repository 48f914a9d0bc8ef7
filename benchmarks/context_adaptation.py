"""What adapting the keys costs: seconds on the first frame, and frames per second after it, with and without.

    python benchmarks/context_adaptation.py

The shipped test clips of `twins`, object 1, both memory modes; one thread; medians over clips, trackers in turns.
"""

import statistics
import time

import torch

from vosnb import clips
from vosnb.trackers import make_tracker

TRACKERS = ("matching", "matching+context")


def main():
    torch.set_num_threads(1)
    twins = [clip.only(1) for clip in clips.load("embedded", "test") if clip.info["difficulty"] == "twins"]
    print(f"{'memory':11} {'tracker':18} {'first frame, s':>14} {'frames/s':>9}")
    for memory in ("first", "every+last"):
        trackers = {name: make_tracker(name, memory=memory, device="cpu") for name in TRACKERS}
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
        for name, (start, rate) in seconds.items():
            print(f"{memory:11} {name:18} {statistics.median(start[1:]):14.2f} {statistics.median(rate[1:]):9.1f}")


if __name__ == "__main__":
    main()
