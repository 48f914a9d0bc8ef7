"""Tricks at inference, for any tracker: mirrored frames, other sizes, several trackers (S3 section 3.3, table 3).

    Ensemble(tracker, flip=True)                 # the frames, and their mirror images
    Ensemble(tracker, scales=(1, 1.25))          # the frames, and the same a quarter larger
    Ensemble(one, another)                       # whatever two trackers say

All are the same thing: several trackers, each with frames as it sees them, and the mean of their logits.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from vosnb.trackers.base import NetworkTracker, Tracker, resize
from vosnb.trackers.replay import ReplayTracker

LARGEST = 8  # of the scales: beyond, frames only take memory


class View(NamedTuple):
    """How a member sees a frame: mirrored or not, and larger or smaller."""

    mirrored: bool
    scale: float

    def frame(self, frame: np.ndarray) -> np.ndarray:
        return self._mirror(self._scale(frame, cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR))

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Labels are not mixed; an object too small for the new grid keeps one pixel."""
        seen = self._scale(mask.astype(np.uint8), cv2.INTER_NEAREST_EXACT)
        for k in np.setdiff1d(mask, seen):
            y, x = np.argwhere(mask == k)[0] * seen.shape // mask.shape
            seen[y, x] = k
        return self._mirror(seen)

    def back(self, p: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Probabilities (K + 1, h, w) of what was seen, as those of the frame (K + 1, H, W)."""
        return resize((p.flip(-1) if self.mirrored else p)[None], size)[0]

    def _scale(self, x: np.ndarray, interpolation: int) -> np.ndarray:
        height, width = (max(1, round(n * self.scale)) for n in x.shape[:2])
        return x if self.scale == 1 else cv2.resize(x, (width, height), interpolation=interpolation)

    def _mirror(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x[:, ::-1]) if self.mirrored else x


class Ensemble(Tracker):
    """Copies of the trackers, one for each view; the answer is the softmax of their mean logits.

    flip: whether each tracker also sees mirrored frames. scales: of the frames, for each tracker; a network's
    `short_side` changes with them, so that it does work on that many pixels. Each member lives by its own answers.
    """

    def __init__(self, *trackers: Tracker, flip: bool = False, scales: Sequence[float] = (1.0,)):
        super().__init__()
        if not trackers or not len(scales) or not all(0 < scale <= LARGEST for scale in scales):
            known = f"above 0 and at most {LARGEST}"
            raise ValueError(f"an ensemble has at least one tracker and one scale, {known}; not scales={scales}.")
        if (flip or any(scale != 1 for scale in scales)) and any(isinstance(t, ReplayTracker) for t in trackers):
            raise ValueError("masks that are replayed look at no frame: leave flip and scales out beside `masks`.")
        views = [View(mirrored, scale) for scale in scales for mirrored in (False, True)[: 1 + flip]]
        self.members = [(scaled(copy.deepcopy(tracker), view.scale), view) for tracker in trackers for view in views]
        self.device = getattr(trackers[0], "device", torch.device("cpu"))
        parts = [value for tracker, _ in self.members for value in vars(tracker).values()]
        self.nets = nn.ModuleList(value for value in parts if isinstance(value, nn.Module))  # for `benchmark.describe`

    def about(self, clip):
        for tracker, _ in self.members:
            tracker.about(clip)

    def _reset(self):
        pass  # a member forgets when it starts

    def _add(self, frame, mask, ids):
        for tracker, view in self.members:
            (tracker.start if self.objects == ids else tracker.add)(view.frame(frame), view.mask(mask))

    def _step(self, frame):
        answers = [view.back(tracker.step(view.frame(frame)), frame.shape[:2]) for tracker, view in self.members]
        logits = torch.stack(answers)[:, [0, *self.objects]].clamp_min(1e-7).log()
        return torch.softmax(logits.mean(0), 0)


def scaled(tracker: Tracker, scale: float) -> Tracker:
    """The tracker, its network working at another size."""
    if isinstance(tracker, NetworkTracker):
        tracker.short_side = round(tracker.short_side * scale)
    return tracker
