"""Scribbles in, the masks of a whole clip out: a classifier of pixels in closed form (S2 sections 2.3, 2.4.2).

`InteractiveSegmenter` is the tool: the closed form says what a painted frame shows, S1's R draws it, and
`propagate` carries it through the clip. `PaperSegmenter` is S2 as printed: the closed form classifies all frames.
"""

import time
from collections.abc import Iterator, Sequence
from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from vosnb.clips.scribbles import Scribble
from vosnb.features import Device, device_of
from vosnb.methods.matching import soft_aggregate
from vosnb.methods.ridge import Ridge, ridge
from vosnb.methods.scribbles import NO_INK, draw, select
from vosnb.settings import NotNegative, Positive, Seed, Share, checked
from vosnb.trackers.base import ShortSide, check_frame, fit_frame, resize
from vosnb.trackers.grabcut import grabcut
from vosnb.trackers.matching import MatchingTracker
from vosnb.trackers.propagate import Propagation
from vosnb.trackers.ridge import SHARPNESS, PixelFeatures

GRID = 32  # pixels that a box teaches, along the frame's shorter side: about one a cell
PHOTOS = ("none", "photos")
THICKNESS = 0.01  # of a stroke without a width of its own, of the frame's shorter side
FAR = 0.2  # of the frame's diagonal: what is farther from all ink is background, as long as nobody says otherwise
NEAR = 0.08  # of the diagonal: around new ink, what was said of these pixels before no longer counts
REACH, REACHES = 0.35, (0.006, 0.1)  # of a stroke, in its own extent; no less and no more than this of the diagonal
CLICK = 0.1  # of the diagonal: the extent that a click stands for
MOST = 3000  # painted pixels that a label learns from; of more, some


class ClipFeatures:
    """All of a clip through the feature extractors, once: what several segmenters of it share.

    frames: sequence of (H, W, 3) uint8 RGB; short_side, device: as for `NetworkTracker`. bar: of progress.
    """

    @checked
    def __init__(
        self, frames: Sequence[np.ndarray], short_side: ShortSide = 240, device: Device = None, bar: bool = False
    ):
        if not len(frames):
            raise ValueError("there is nothing to segment: the clip has no frames.")
        for frame in frames:
            check_frame(frame)
            check_frame(frame, frames[0].shape[:2])
        self.frames, self.device = frames, device_of(device)
        self.size = frames[0].shape[:2]
        self.short_side, self.bar = short_side, bar
        self.of = cache(self._look)

    def _look(self, context: str, backbone: str) -> tuple[PixelFeatures, dict[str, torch.Tensor]]:
        """The feature extractor, and what it sees in all frames."""
        features = PixelFeatures(context, backbone, device=self.device)
        images = torch.cat([fit_frame(frame, self.short_side, self.device) for frame in self.frames])
        return features, features.look(images, self.bar)

    def X(self, part: tuple[str, str], t: int) -> torch.Tensor:
        """What describes the pixels of frame t, (D, h, w), for a (context, backbone)."""
        features, maps = self.of(*part)
        return features.joined({name: x[t : t + 1] for name, x in maps.items()})[0]


class InteractiveSegmenter:
    """Strokes in, masks out: at once on the frames that are painted, by and by on all others.

    clip: frames, or their `ClipFeatures`. lam: lambda of S2-E3, in units of a sample's mean weight. parts: (context,
    backbone) pairs, whose scores are averaged. seed: of what propagation draws at random.
    What there is: `scribbles`, all so far; `masks` (T, H, W) uint8; `seconds`, what the last answer took.

    Ink is law: painted pixels have the label that was painted last. What is not painted is decided in four steps:
    1. Ridge regression (S2-E3) on the pixels of a painted frame. All ink of the clip teaches. So does what the frame
       showed before, but near new ink; at first, that what is far from all ink is background. Its scores count within
       reach of the new strokes, what the frame showed before counts elsewhere.
    2. R of S1 draws a mask from them.
    3. Of what this would change, only regions that new ink touches do change.
    4. `propagate` carries the painted frames' masks to all others, and leaves the painted ones alone.
    """

    @checked
    def __init__(
        self,
        clip: Sequence[np.ndarray] | ClipFeatures,
        parts: Sequence[tuple[str, str]] = (PHOTOS,),
        lam: Positive = 0.03,
        seed: Seed = 0,
    ):
        self.clip = clip if isinstance(clip, ClipFeatures) else ClipFeatures(clip)
        self.parts, self.lam, self.seconds = list(parts), lam, 0.0
        for part in self.parts:
            self.clip.of(*part)
        self.encoder, maps = self.clip.of(*PHOTOS)
        self.maps = [maps[name] for name in "842"]
        self.propagation = Propagation(self.clip.frames, self.encoder.encoder, self.maps, seed)
        self.refiner = self.propagation.net
        self.masks = np.zeros((len(self.clip.frames), *self.clip.size), np.uint8)
        self.rounds: list[dict] = []  # of each: its scribbles, and {t: mask} of the frames as they were before it

    @property
    def scribbles(self) -> list[Scribble]:
        return [stroke for one in self.rounds for stroke in one["scribbles"]]

    @property
    def corrected(self) -> list[int]:
        """The frames that somebody painted on, in that order."""
        return list(dict.fromkeys(stroke.frame for stroke in self.scribbles))

    def add(self, scribbles: Sequence[Scribble]) -> np.ndarray:
        """A round: scribbles on one or several frames; returns the masks (T, H, W) uint8, new on these frames.

        Raises ValueError where there is nothing to learn from, or a frame does not exist; nothing is changed then.
        """
        began = time.perf_counter()
        frames = painted(scribbles, len(self.clip.frames))
        everything = [*self.scribbles, *scribbles]
        new = {t: self._answer(t, [s for s in scribbles if s.frame == t], everything) for t in frames}
        self.rounds.append({"scribbles": list(scribbles), "before": {t: self.masks[t].copy() for t in frames}})
        for t, mask in new.items():
            self.masks[t] = mask
        self.seconds = time.perf_counter() - began
        return self.masks

    def undo(self) -> np.ndarray:
        """Take the last round back on the frames that it painted; `propagate` brings the others after."""
        if self.rounds:
            for t, mask in self.rounds.pop()["before"].items():
                self.masks[t] = mask
        return self.masks

    def propagate(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Carry the painted frames' masks to all others, step by step: (done, of how many, masks).

        It may be dropped at any time; the masks are then as far as it came.
        """
        known = {t: self.masks[t] for t in self.corrected}
        if not any(mask.any() for mask in known.values()):
            left = [t for t in range(len(self.masks)) if t not in known]
            self.masks[left] = 0
            yield 1, 1, self.masks
            return
        for done, total, *found in self.propagation.run(known):
            if found:
                t, p = found
                self.masks[t] = p.max(0).indices.numpy()
            yield done, total, self.masks

    def finish(self) -> np.ndarray:
        """All of `propagate`; returns the masks."""
        for _ in self.propagate():
            pass
        return self.masks

    def suggest(self) -> tuple[int, str] | None:
        """The frame that is worth a look next, and why; None where there is none left."""
        known = self.corrected
        left = [t for t in range(len(self.masks)) if t not in known]
        if not known or not left:
            return None
        distance = {t: min(abs(t - one) for one in known) for t in left}
        t = max(left, key=distance.get)
        return t, f"it is {distance[t]} frames from the next one that you painted on: nothing is farther"

    def _answer(self, t: int, new: list[Scribble], everything: list[Scribble]) -> np.ndarray:
        """The mask of frame t after new scribbles on it."""
        before, ink = self.masks[t], self._ink([s for s in everything if s.frame == t])
        fresh = self._ink(new)
        classes = 1 + max(int(before.max()), max(s.object for s in everything))
        if classes == 1:
            return before
        prior = self._prior(t, before, fresh, ink, new, everything)
        scores = sum(self._scores(part, t, everything, prior, classes) for part in self.parts) / len(self.parts)
        with torch.no_grad():
            maps = [x[t : t + 1].float() for x in self.maps]
            size = [8 * n for n in maps[0].shape[-2:]]
            reach = self._reach(new) if before.any() else np.ones(before.shape)
            reach, *old = (resize(cells[None, None], scores.shape[1:])[0, 0] for cells in _maps(reach, before, classes))
            s = F.avg_pool2d((reach * scores[1:] + (1 - reach) * torch.stack(old))[:, None], 2)
            p = soft_aggregate(torch.sigmoid(self.refiner(maps, s, size)[:, 0]))
            mask = resize(p[None], before.shape)[0].max(0).indices.byte().cpu().numpy()
        boxed = _inside(new, before.shape)
        # Of each label's gains and losses, those that new ink or a new box touches
        result = before.copy()
        for k in np.union1d(mask, before):
            n, regions = cv2.connectedComponents(((mask == k) & (before != k)).astype(np.uint8))
            touched = np.zeros(n, bool)
            touched[regions[(fresh == k) | (boxed & (k > 0))]] = True
            touched[0] = False
            result[touched[regions]] = k
        result[ink != NO_INK] = ink[ink != NO_INK]
        return result

    def _reach(self, new: list[Scribble]) -> np.ndarray:
        """How much new scribbles decide about each pixel, (H, W) in 0..1: a long stroke reaches farther than a dot, and
        a box everywhere."""
        if any(s.box for s in new):
            return np.ones(self.clip.size)
        across, diagonal = np.array(self.clip.size[::-1]), np.hypot(*self.clip.size)
        reach = np.zeros(self.clip.size)
        for s in new:
            extent = np.hypot(*(np.ptp(s.path, axis=0) * across)) / diagonal if len(s.path) > 1 else CLICK
            spread = np.clip(REACH * extent, *REACHES) * diagonal
            reach = np.maximum(reach, np.exp(-((_distance(self._ink([s]) != NO_INK) / spread) ** 2)))
        return reach

    def _ink(self, scribbles: list[Scribble]) -> np.ndarray:
        return draw(scribbles, self.clip.size, thickness=max(1, round(THICKNESS * min(self.clip.size))))

    def _prior(self, t, before, fresh, ink, new, everything) -> np.ndarray:
        """What frame t is believed to show before it is learned from: labels (H, W), -1 where nothing is known."""
        diagonal = np.hypot(*before.shape)
        if any(s.box for s in new):
            return grabcut(self.clip.frames[t], [s for s in everything if s.frame == t]).astype(np.int16)
        prior = before.astype(np.int16)
        if not before.any():
            prior[_distance(ink != NO_INK) < FAR * diagonal] = NO_INK
        for k in np.unique(fresh[fresh != NO_INK]):
            prior[(_distance(fresh == k) < NEAR * diagonal) & (prior != k)] = NO_INK
        return prior

    def _scores(self, part, t, everything, prior, classes) -> torch.Tensor:
        """Ridge regression's scores of frame t, (classes, h, w): about 1 where a label is, 0 elsewhere."""
        here = self.clip.X(part, t)
        columns, labels, weights = [], [], []
        for frame in sorted({s.frame for s in everything}):
            ink = self._ink([s for s in everything if s.frame == frame])
            X = here if frame == t else self.clip.X(part, frame)
            for k in np.unique(ink[ink != NO_INK]):
                y, x = np.nonzero(ink == k)
                some = np.s_[:: max(1, len(y) // MOST)]
                columns.append(at_pixels(X, y[some], x[some], ink.shape))
                labels.append(np.full(columns[-1].shape[1], k))
                weights.append(np.full(len(labels[-1]), (2.0 if frame == t else 1.0) / len(labels[-1])))
        ink_labels = np.concatenate(labels) if labels else np.empty(0, int)
        ink_weights = np.concatenate(weights) if weights else np.empty(0)
        cells = cv2.resize(prior, here.shape[:0:-1], interpolation=cv2.INTER_NEAREST).ravel()
        known = np.flatnonzero(cells != NO_INK)
        columns.append(here.flatten(1)[:, known])
        prior_labels = cells[known]
        total = np.zeros(len(ink_labels) + len(known))
        for k in range(classes):
            mine, old = ink_labels == k, prior_labels == k
            share = 0.5 if k == 0 else 0.5 / (classes - 1)
            both = mine.any() and old.any()
            if mine.any():
                total[: len(mine)][mine] = share * (0.5 if both else 1) * ink_weights[mine] / ink_weights[mine].sum()
            if old.any():
                total[len(mine) :][old] = share * (0.5 if both else 1) / old.sum()
        X = torch.cat(columns, 1).double()
        Y = F.one_hot(torch.from_numpy(np.concatenate([ink_labels, prior_labels])).long(), classes).T.to(X)
        root = torch.from_numpy(total).sqrt().to(X)
        W = ridge(X * root, Y * root, self.lam)
        return torch.einsum("dc,dhw->chw", W.float(), here)


def _maps(reach: np.ndarray, before: np.ndarray, classes: int) -> list[torch.Tensor]:
    """The reach, and each object's mask, as maps of numbers."""
    return [torch.from_numpy(x).float() for x in (reach, *(before == k for k in range(1, classes)))]


def _distance(there: np.ndarray) -> np.ndarray:
    """Of every pixel to the next one that is there; infinite where none is."""
    if not there.any():
        return np.full(there.shape, np.inf)
    return cv2.distanceTransform((~there).astype(np.uint8), cv2.DIST_L2, 5)


def _inside(scribbles: list[Scribble], size) -> np.ndarray:
    """Pixels (H, W) inside the boxes."""
    inside = np.zeros(size, bool)
    for s in scribbles:
        if s.box:
            (left, top), (right, bottom) = (s.path * (size[1], size[0])).round().astype(int)[[0, 1]]
            (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
            inside[top:bottom, left:right] = True
    return inside


class PaperSegmenter:
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
        parts: Sequence[tuple[str, str]] = (PHOTOS,),
        lam: Positive = 10.0,
        negatives: NotNegative = 10.0,
        propagated: Share = 0.0,
        seed: Seed = 0,
    ):
        self.negatives, self.propagated = negatives, propagated
        self.clip = frames if isinstance(frames, ClipFeatures) else ClipFeatures(frames)
        self.parts = list(parts)
        self.lam, self.seed = lam, seed
        self.rounds: list[dict] = []  # of each: scribbles; samples {t: [(y, x, labels)]} up to it; masks
        self.seconds = 0.0
        self.ridges = [Ridge(len(self.clip.X(part, 0)), 1, self.clip.device) for part in parts]

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
        frames = painted(scribbles, len(self.clip.frames))
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
        for n, t in enumerate(annotated):
            after = (t + annotated[n + 1]) // 2 if n + 1 < len(annotated) else last
            before = (annotated[n - 1] + t) // 2 + 1 if n else 0
            for way in (range(t + 1, after + 1), range(t - 1, before - 1, -1)):
                tracker = MatchingTracker(backbone="photos", device=self.clip.device)
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
                for sums, part in zip(self.ridges, self.parts, strict=True):
                    sums.add(at_pixels(self.clip.X(part, t), y, x, self.clip.size), Y.to(self.clip.device), times)

    def _masks(self, scores) -> np.ndarray:
        """The best class of each pixel, by scores(t) (C, H, W); solved for once."""
        self.W = [sums.solve(self.lam).float() for sums in self.ridges]
        drawn = np.concatenate([labels for some in self._samples().values() for *_, labels in some])
        self.absent = np.setdiff1d(np.arange(self.W[0].shape[1]), drawn)  # objects without a scribble, or any more
        return np.stack([scores(t).max(0).indices.byte().cpu().numpy() for t in range(len(self.clip.frames))])

    def _scores(self, t: int) -> torch.Tensor:
        """What each class scores in frame t, (C, H, W); nothing for objects without a scribble."""
        found = [
            torch.einsum("dc,dhw->chw", W, self.clip.X(part, t)) for W, part in zip(self.W, self.parts, strict=True)
        ]
        scores = sum(found) / len(found)
        scores = F.interpolate(scores[None], self.clip.size, mode="bilinear", align_corners=False)[0]
        scores[self.absent] = -torch.inf  # not before: a weight of 0 at the border would make it NaN
        return scores


def painted(scribbles: Sequence[Scribble], length: int) -> list[int]:
    """The frames that scribbles are on; raises ValueError where there are none, or a clip of this length has not."""
    if not all(isinstance(stroke, Scribble) for stroke in scribbles):
        raise ValueError("scribbles are a list of Scribble(frame, object, path), as `from_davis` reads them.")
    frames = sorted({stroke.frame for stroke in scribbles})
    if not frames or not 0 <= frames[0] <= frames[-1] < length:
        raise ValueError(f"scribbles are on frames {frames}: draw on frames 0 to {length - 1}.")
    return frames


def at_pixels(X: torch.Tensor, y: np.ndarray, x: np.ndarray, size) -> torch.Tensor:
    """What describes pixels (y, x) of a frame of `size`, interpolated in its map X (D, h, w): (D, n)."""
    at = torch.from_numpy(np.stack([(x + 0.5) / size[1], (y + 0.5) / size[0]], -1)).to(X)
    return F.grid_sample(X[None], 2 * at[None, None] - 1, padding_mode="border", align_corners=False)[0, :, 0]
