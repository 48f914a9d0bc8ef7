"""Scribbles in, the masks of a whole clip out: a classifier of pixels in closed form (S2 sections 2.3, 2.4.2)."""

import time
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.clips.scribbles import Scribble
from vosnb.features import Device, device_of, load_weights
from vosnb.methods.matching import MatchingNet
from vosnb.methods.ridge import Ridge
from vosnb.methods.scribbles import draw, select
from vosnb.settings import NotNegative, Positive, Seed, Share, checked
from vosnb.trackers.base import ShortSide, check_frame, fit_frame
from vosnb.trackers.grabcut import grabcut
from vosnb.trackers.matching import MatchingTracker
from vosnb.trackers.ridge import SHARPNESS, PixelFeatures

GRID = 32  # pixels that a box teaches, along the frame's shorter side: about one a cell


class ClipFeatures:
    """All of a clip through the feature extractors, once: what several segmenters of it share.

    frames: sequence of (H, W, 3) uint8 RGB; short_side, device: as for `NetworkTracker`.
    """

    @checked
    def __init__(self, frames: Sequence[np.ndarray], short_side: ShortSide = 128, device: Device = None):
        if not len(frames):
            raise ValueError("there is nothing to segment: the clip has no frames.")
        for frame in frames:
            check_frame(frame)
            check_frame(frame, frames[0].shape[:2])
        self.frames, self.device = frames, device_of(device)
        self.size = frames[0].shape[:2]
        self.images = torch.cat([fit_frame(frame, short_side, self.device) for frame in frames])
        self.of = cache(lambda context, backbone: PixelFeatures(context, backbone, device=self.device)(self.images))


class InteractiveSegmenter:
    """Scribbles in, the masks of a whole clip out: the ridge gets a few sums more, and is solved (S2 2.3, 2.4.2).

    frames: of the clip, or its `ClipFeatures`. parts: (context, backbone) pairs, whose scores are averaged; the paper
    averages two backbones. lam: lambda of S2-E3. negatives: background pixels for each pixel of an object; S2
    has 1. propagated: share of the last round's propagation (`finish`). seed: of the choice of background pixels.
    What there is: `scribbles`, all so far; `masks` (T, H, W) uint8; `seconds`, what the last answer took.

    A frame with a new box teaches a grid of pixels of what GrabCut makes of all prompts on it so far, and no longer
    what it taught before: what is outside one object's box may lie in the next one's.
    """

    @checked
    def __init__(
        self,
        frames: Sequence[np.ndarray] | ClipFeatures,
        parts: Sequence[tuple[str, str]] = (("st-rnn", "metric"),),
        lam: Positive = 10.0,
        negatives: NotNegative = 10.0,
        propagated: Share = 0.0,
        seed: Seed = 0,
    ):
        self.negatives, self.propagated = negatives, propagated
        self.clip = frames if isinstance(frames, ClipFeatures) else ClipFeatures(frames)
        self.X = [self.clip.of(*part) for part in parts]  # each (T, D, h, w)
        self.lam, self.seed = lam, seed
        self.rounds: list[dict] = []  # of each: scribbles; samples {t: [(y, x, labels)]} up to it; masks
        self.seconds = 0.0
        self.ridges = [Ridge(X.shape[1], 1, self.clip.device) for X in self.X]

    @property
    def scribbles(self) -> list[Scribble]:
        return [stroke for one in self.rounds for stroke in one["scribbles"]]

    @property
    def masks(self) -> np.ndarray:
        return self.rounds[-1]["masks"] if self.rounds else np.zeros((len(self.clip.frames), *self.clip.size), np.uint8)

    def add(self, scribbles: Sequence[Scribble]) -> np.ndarray:
        """A round: scribbles on one or several frames; returns the masks (T, H, W) uint8 of all frames.

        Raises ValueError where there is nothing to learn from, or a frame does not exist; nothing is changed then.
        """
        began, rng = time.perf_counter(), np.random.default_rng([self.seed, len(self.rounds)])
        if not all(isinstance(stroke, Scribble) for stroke in scribbles):
            raise ValueError("scribbles are a list of Scribble(frame, object, path), as `from_davis` reads them.")
        frames = sorted({stroke.frame for stroke in scribbles})
        if not frames or not 0 <= frames[0] <= frames[-1] < len(self.clip.frames):
            raise ValueError(f"scribbles are on frames {frames}: draw on frames 0 to {len(self.clip.frames) - 1}.")
        samples = dict(self._samples())
        for t in frames:
            new, known = [stroke for stroke in scribbles if stroke.frame == t], samples.get(t, [])
            ink = draw(new, self.clip.size)
            if any(stroke.box for stroke in new):
                known, earlier = [], [stroke for stroke in self.scribbles if stroke.frame == t]
                step = max(1, min(self.clip.size) // GRID)
                cells = np.s_[step // 2 :: step, step // 2 :: step]
                ink = draw([*earlier, *new], self.clip.size)
                ink[cells] = grabcut(self.clip.frames[t], [*earlier, *new])[cells]
            samples[t] = known
            labels = np.concatenate([ink[ink >= 0], *(found for some in samples.values() for *_, found in some)])
            wanted = round(self.negatives * (labels > 0).sum() - (labels == 0).sum())
            chosen = select(ink, self.masks[t] if self.rounds else None, max(0, wanted), rng)
            y, x = np.nonzero(chosen >= 0)
            samples[t] = [*known, (y, x, chosen[y, x])]
        self._learn(samples)
        self.rounds.append({"scribbles": list(scribbles), "samples": samples})
        try:
            self.rounds[-1]["masks"] = self._masks(self._scores)
        except ValueError:
            self.undo()
            raise
        self.seconds = time.perf_counter() - began
        return self.masks

    def undo(self) -> np.ndarray:
        """Take the last round back: the masks as if it had never been there."""
        if self.rounds:
            self._learn(self.rounds[-2]["samples"] if len(self.rounds) > 1 else {})
            self.rounds.pop()
        return self.masks

    def finish(self) -> np.ndarray:
        """The last round of S2 section 3: masks of annotated frames are propagated to their neighbours.

        From each annotated frame the matcher follows the objects half way to the next one, on either side; its
        probabilities count with the share `propagated`, the classifier's with the rest. Returns the masks (T, H, W).
        """
        share = self.propagated
        annotated = sorted({stroke.frame for stroke in self.scribbles if share and self.masks[stroke.frame].any()})
        found, last = {}, len(self.clip.frames) - 1
        net = load_weights(MatchingNet(), "matching") if annotated else None  # once, for all trackers
        for n, t in enumerate(annotated):
            after = (t + annotated[n + 1]) // 2 if n + 1 < len(annotated) else last
            before = (annotated[n - 1] + t) // 2 + 1 if n else 0
            for way in (range(t + 1, after + 1), range(t - 1, before - 1, -1)):
                tracker = MatchingTracker(net=net, device=self.clip.device)
                tracker.start(self.clip.frames[t], self.masks[t])
                found |= {i: tracker.step(self.clip.frames[i]) for i in way}

        def mixed(t: int) -> torch.Tensor:
            p = torch.softmax(SHARPNESS * self._scores(t), 0)
            if t in found:
                p *= 1 - share
                p[: len(found[t])] += share * found[t].to(p)
            return p

        if annotated:
            self.rounds[-1]["masks"] = self._masks(mixed)
        return self.masks

    def _samples(self) -> dict:
        return self.rounds[-1]["samples"] if self.rounds else {}

    def _learn(self, samples: dict) -> None:
        """Make all sums those of `samples`: what is new is added to them, and what is gone taken away."""
        changes = [(self._samples(), samples, -1), (samples, self._samples(), 1)]
        for some, others, times in changes:
            for t, one in [(frame, one) for frame in some for one in some[frame]]:
                if any(one is other for other in others.get(t, [])):
                    continue
                y, x, labels = one
                Y = F.one_hot(torch.from_numpy(labels).long(), max(len(self.ridges[0].XY.T), int(labels.max()) + 1)).T
                for ridge, X in zip(self.ridges, self.X, strict=True):
                    ridge.add(at_pixels(X[t], y, x, self.clip.size), Y.to(X.device), times)

    def _masks(self, scores) -> np.ndarray:
        """The best class of each pixel, by scores(t) (C, H, W); solved for once."""
        self.W = [ridge.solve(self.lam).float() for ridge in self.ridges]
        drawn = np.concatenate([labels for some in self._samples().values() for *_, labels in some])
        self.absent = np.setdiff1d(np.arange(self.W[0].shape[1]), drawn)  # objects without a scribble, or any more
        return np.stack([scores(t).max(0).indices.byte().cpu().numpy() for t in range(len(self.clip.frames))])

    def _scores(self, t: int) -> torch.Tensor:
        """What each class scores in frame t, (C, H, W); nothing for objects without a scribble."""
        scores = sum(torch.einsum("dc,dhw->chw", W, X[t]) for W, X in zip(self.W, self.X, strict=True)) / len(self.X)
        scores = F.interpolate(scores[None], self.clip.size, mode="bilinear", align_corners=False)[0]
        scores[self.absent] = -torch.inf  # not before: a weight of 0 at the border would make it NaN
        return scores


def at_pixels(X: torch.Tensor, y: np.ndarray, x: np.ndarray, size) -> torch.Tensor:
    """What describes pixels (y, x) of a frame of `size`, interpolated in its map X (D, h, w): (D, n)."""
    at = torch.from_numpy(np.stack([(x + 0.5) / size[1], (y + 0.5) / size[0]], -1)).to(X)
    return F.grid_sample(X[None], 2 * at[None, None] - 1, padding_mode="border", align_corners=False)[0, :, 0]
