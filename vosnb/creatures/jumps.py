"""Jumps of the camera, after which everything is seen somewhere else."""

import numpy as np

QUARTER = 0.25  # of the frame's width and height
INNER = 0.24  # the target's middle stays this share of the frame away from its border, where that is possible


class Jumps:
    """How far the camera's jumps have moved what is seen. Called with times, it gives frame heights, (..., 2)."""

    def __init__(self, rng, count, frames: int, aspect: float, path):
        """count: (least, most). path(t): where the target is seen without jumps, (..., 2). Draws nothing if count is 0.

        Jumps lie evenly over the clip, each about a quarter of the frame long, in a direction that keeps the target in.
        """
        self.times, self.offsets = np.zeros(0), np.zeros((1, 2))
        number = int(rng.integers(int(count[0]), int(count[1]) + 1)) if count[1] else 0
        if not number:
            return
        spacing, frame = frames / (number + 1), np.array([aspect, 1.0])
        self.times = spacing * (np.arange(1, number + 1) + rng.uniform(-0.25, 0.25, number))
        ends = [*self.times[1:], frames - 1]
        for start, end in zip(self.times, ends, strict=True):
            seen = path(np.linspace(start, end, 5)) + self.offsets[-1]
            angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, 16, endpoint=False)
            leaps = QUARTER * rng.uniform(0.85, 1.15) * np.stack([np.cos(angles), np.sin(angles)], -1)
            beyond = np.abs((seen / frame) + leaps[:, None] - 0.5).max((1, 2)) - (0.5 - INNER)
            good = np.flatnonzero(beyond <= max(0.0, beyond.min()))
            self.offsets = np.vstack([self.offsets, self.offsets[-1] + leaps[rng.choice(good)] * frame])

    def __bool__(self):
        return len(self.times) > 0

    def __call__(self, t) -> np.ndarray:
        return self.offsets[np.searchsorted(self.times, t, side="right")]
