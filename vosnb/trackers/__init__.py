"""One interface for everything that follows objects through a video, and a name for each way of doing it.

    tracker = make_tracker("matching", memory="first")
    tracker.start(frame, mask)            # RGB frame (H, W, 3) uint8, index mask (H, W): 0 background, 1..K, 255 void
    probabilities = tracker.step(frame)   # (K + 1, H, W) float32 on the CPU, sums to one, background first

`segment(tracker, clip)` does this for a whole clip.
"""

from vosnb.trackers.base import Tracker
from vosnb.trackers.follow import segment
from vosnb.trackers.matching import MatchingTracker
from vosnb.trackers.registry import TRACKERS, make_tracker, parse_tracker, settings_of, split_spec, tracker_names
from vosnb.trackers.replay import ReplayTracker
from vosnb.trackers.simple import HistogramTracker, StillTracker
from vosnb.trackers.tricks import Ensemble

__all__ = [
    "TRACKERS",
    "Ensemble",
    "HistogramTracker",
    "MatchingTracker",
    "ReplayTracker",
    "StillTracker",
    "Tracker",
    "make_tracker",
    "parse_tracker",
    "segment",
    "settings_of",
    "split_spec",
    "tracker_names",
]
