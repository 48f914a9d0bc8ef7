"""What needs no network: the first mask unmoved, and colour alone."""

import numpy as np
import torch

from vosnb.methods.matching import soft_aggregate
from vosnb.trackers.base import Tracker


class StillTracker(Tracker):
    """The first mask, never moved: what a method must beat to have seen anything."""

    def _reset(self) -> None:
        self.masks: list[torch.Tensor] = []

    def _add(self, frame, mask, ids):
        self.masks += [torch.from_numpy(mask == k).float() for k in ids]

    def _step(self, frame):
        return soft_aggregate(torch.stack(self.masks))


class HistogramTracker(Tracker):
    """Colour alone: P(object | colour) by Bayes' rule from RGB histograms of the first frame.

    bins: per channel. Colours that the first frame does not show are taken as background.
    """

    def __init__(self, bins: int = 16):
        super().__init__()
        if not 2 <= bins <= 256:
            raise ValueError(f"bins={bins}: take between 2 and 256 bins a channel.")
        self.bins = bins

    def _reset(self) -> None:
        self.counts: np.ndarray | None = None  # (1 + objects, bins^3)

    def _colours(self, frame: np.ndarray) -> np.ndarray:
        r, g, b = np.moveaxis(frame.astype(np.int64) * self.bins // 256, -1, 0)
        return (r * self.bins + g) * self.bins + b

    def _add(self, frame, mask, ids):
        colours, cells = self._colours(frame), self.bins**3
        count = [np.bincount(colours[mask == k], minlength=cells) for k in ids]
        if self.counts is None:
            count.insert(0, np.bincount(colours[mask == 0], minlength=cells) + 1e-3)
        self.counts = np.stack(count) if self.counts is None else np.concatenate([self.counts, count])

    def _step(self, frame):
        return torch.from_numpy((self.counts / self.counts.sum(0))[:, self._colours(frame)]).float()
