"""One interface for everything that follows objects through a video, and a name for each way of doing it.

    tracker = make_tracker("matching", memory="first")
    tracker.start(frame, mask)            # RGB frame (H, W, 3) uint8, index mask (H, W): 0 background, 1..K, 255 void
    probabilities = tracker.step(frame)   # (K + 1, H, W) float32 on the CPU, sums to one, background first

`segment(tracker, clip)` does this for a whole clip.
"""

import copy
import difflib
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vosnb.clips import Clip
from vosnb.features import STRIDE, default_device, load_weights, to_image
from vosnb.methods.context import History, adapt_keys, check_settings, read_regrouped
from vosnb.methods.matching import MatchingNet, Memory, read_flat, soft_aggregate

VOID = 255


class Tracker(ABC):
    """Follows the objects of a first mask; objects may join later (`add`). Subclasses fill in the three `_` methods."""

    def __init__(self):
        self.objects: list[int] = []

    def start(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Begin a clip: frame (H, W, 3) uint8 RGB, index mask (H, W). Forgets whatever was before.

        Raises ValueError when the frame or the mask is malformed, when they differ in size, or when no object is there.
        """
        self.objects = []
        self._reset()
        self.add(frame, mask)

    def add(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Bring in the objects of a mask that were not there before; raises ValueError as `start` does."""
        check_frame(frame)
        if mask is None or mask.shape != frame.shape[:2]:
            found = "no mask" if mask is None else f"a mask of {mask.shape}"
            raise ValueError(f"the frame is {frame.shape[:2]} and comes with {found}: give one label for each pixel.")
        ids = [int(k) for k in np.unique(mask) if k not in (0, VOID)]
        if not ids:
            raise ValueError("the mask is empty: label at least one object with 1 (0 is background, 255 is void).")
        if known := sorted(set(ids) & set(self.objects)):
            raise ValueError(f"object {known[0]} is followed already: give new objects numbers of their own.")
        self.objects += ids
        self._add(frame, mask, ids)

    @torch.no_grad()
    def step(self, frame: np.ndarray) -> torch.Tensor:
        """Segment the next frame: (K + 1, H, W) float32 on the CPU; K is the largest object number so far.

        Raises RuntimeError before `start`, ValueError on a malformed frame.
        """
        if not self.objects:
            raise RuntimeError("the tracker has not started: call start(frame, mask) with the first frame.")
        check_frame(frame)
        found = self._step(frame).float().cpu()  # background, then the objects in the order in which they came
        if self.objects == list(range(1, len(found))):
            return found
        probabilities = found.new_zeros(max(self.objects) + 1, *found.shape[1:])
        probabilities[[0, *self.objects]] = found
        return probabilities

    @abstractmethod
    def _reset(self) -> None: ...

    @abstractmethod
    def _add(self, frame: np.ndarray, mask: np.ndarray, ids: list[int]) -> None: ...

    @abstractmethod
    def _step(self, frame: np.ndarray) -> torch.Tensor: ...


def check_frame(frame: np.ndarray) -> None:
    """Raise ValueError unless the frame is (H, W, 3) uint8."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame is (H, W, 3) uint8 RGB; this one is {frame.shape} {frame.dtype}: convert it first.")


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


class MatchingTracker(Tracker):
    """Matching with a memory (STM, SwiftNet; S0 sections 3.1-3.2), by the network that we train and ship.

    memory, every, capacity, beta: the schedule, see `vosnb.methods.matching.Memory`.
    short_side: frames whose shorter side is longer are shrunk to it (the answer comes back at full size); the network
        is trained on objects of 15 to 60 pixels, so that more pixels are not better.
    net or weights: a `MatchingNet`, or the name or file of its weights. device: CUDA where there is one.
    """

    def __init__(
        self,
        memory: str = "every+last",
        every: int = 5,
        capacity: int = 5,
        beta: float = 0.1,
        short_side: int = 128,
        net: MatchingNet | None = None,
        weights: str = "matching",
        device: str | torch.device | None = None,
    ):
        super().__init__()
        self.new_memory = functools.partial(Memory, memory, every, capacity, beta)  # no lambda: runs are saved
        self.new_memory()  # wrong settings are told now, not at the first frame
        if short_side < 2 * STRIDE:
            raise ValueError(f"short_side={short_side}: the network needs at least {2 * STRIDE} pixels.")
        self.short_side = short_side
        self.device = torch.device(device) if device else default_device()
        self.net = (load_weights(MatchingNet(), weights) if net is None else net.eval()).to(self.device)

    def _reset(self) -> None:
        self.memories: list[Memory] = []  # one for each group of objects that came together
        self.groups: list[int] = []  # how many objects each group has

    def _fit(self, frame: np.ndarray) -> torch.Tensor:
        """The frame as network input (1, 3, h, w): shrunk to the short side and to multiples of the stride."""
        image = to_image(frame, self.device)[None]
        scale = min(1.0, self.short_side / min(frame.shape[:2]))
        size = [max(2, round(n * scale / STRIDE)) * STRIDE for n in frame.shape[:2]]
        return resize(image, size)

    @torch.no_grad()
    def _add(self, frame, mask, ids):
        image = self._fit(frame)
        masks = torch.stack([torch.from_numpy(mask == k) for k in ids])[:, None].float().to(self.device)
        masks = resize(masks, image.shape[-2:])
        if not self.memories:
            self._adapt(image, masks)
        self.memories.append(self.new_memory())
        self.groups.append(len(ids))
        self._remember(self.memories[-1], image, masks)

    def _adapt(self, image: torch.Tensor, masks: torch.Tensor) -> None:
        """What a method learns from the first frame (1, 3, h, w) and its masks (K, 1, h, w): here nothing."""

    def _remember(self, memory: Memory, image: torch.Tensor, masks: torch.Tensor, others=0.0) -> None:
        """Encode the image once for each of the masks (K, 1, h, w); others (1, 1, h, w): what other groups occupy."""
        memory.add(*self.net.encode_memory(*reference(image, masks, others)))

    def _step(self, frame):
        image = self._fit(frame)
        query = self.net.encode_query(image)
        keys = query.key.flatten(2)
        logits = []
        for memory, n in zip(self.memories, self.groups, strict=True):
            read = self._read(keys.expand(n, -1, -1), memory)
            logits.append(self.net.decode(query, read)[:, 0])
        p = soft_aggregate(torch.sigmoid(torch.cat(logits)))
        for memory, masks in zip(self.memories, p[1:, None].split(self.groups), strict=True):
            if memory.wants():
                self._remember(memory, image, masks, others=(1 - p[:1] - masks.sum(0))[None].clamp(0, 1))
            else:
                memory.skip()
        return resize(p[None], frame.shape[:2])[0]

    def _read(self, keys: torch.Tensor, memory: Memory) -> torch.Tensor:
        """What K objects with query keys (K, d, N) read from their memory: (K, v, N)."""
        return read_flat(keys, memory.keys, memory.values)


class ContextTracker(MatchingTracker):
    """`matching` whose two key convolutions are tuned on the first frame of each clip (S0 sections 3.3 and 4).

    steps .. loss: see `vosnb.methods.context.adapt_keys`; the other settings are those of `matching`. Objects that
    join later are remembered with the keys as they are then. `history` tells what the last adaptation did.
    within: which keys find the place inside the object and inside the background, once the adapted ones have decided
        between the two: "adapted" as in the paper, or "generic" (`vosnb.methods.context.read_regrouped`, and why).
    """

    def __init__(
        self,
        steps: int = 50,
        learning_rate: float = 0.3,
        alpha: float | str = "balanced",
        normalise: str = "mean",
        optimizer: str = "sgd",
        tune: str = "both",
        patience: int | None = 10,
        loss: str = "leak",
        within: str = "generic",
        **matching,
    ):
        super().__init__(**matching)
        self.net = copy.deepcopy(self.net)  # other trackers may share the one that was given
        self.generic = copy.deepcopy(nn.ModuleList([self.net.query_key, self.net.memory_key]))
        self.settings = {
            "steps": steps,
            "learning_rate": learning_rate,
            "alpha": alpha,
            "normalise": normalise,
            "optimizer": optimizer,
            "tune": tune,
            "patience": patience,
            "loss": loss,
        }
        check_settings(**self.settings)
        if within not in ("adapted", "generic"):
            raise ValueError(f"within={within!r} is unknown: choose from adapted, generic.")
        self.within = within
        self.history: History | None = None

    def _reset(self):
        super()._reset()
        self.net.query_key, self.net.memory_key = copy.deepcopy(self.generic)

    def _adapt(self, image, masks):
        query_features = self.net.query_encoder(image)[-1]
        memory_features = self.net.memory_encoder(*reference(image, masks))
        cells = F.avg_pool2d(masks, STRIDE)[:, 0]
        keys = self.net.query_key, self.net.memory_key
        self.history = adapt_keys(*keys, query_features, memory_features, cells, **self.settings)
        if self.within == "generic":  # from here on one convolution makes both keys, one above the other
            self.net.query_key, self.net.memory_key = map(side_by_side, keys, self.generic)

    def _remember(self, memory, image, masks, others=0.0):
        if self.within == "adapted":
            return super()._remember(memory, image, masks, others)
        key, value = self.net.encode_memory(*reference(image, masks, others))
        memory.add(key, torch.cat([value, F.avg_pool2d(masks, STRIDE).flatten(2)], 1))  # the mask is one more value

    def _read(self, keys, memory):
        if self.within == "adapted":
            return super()._read(keys, memory)
        adapted, generic = zip(keys.chunk(2, 1), memory.keys.chunk(2, 1), strict=True)
        values = memory.values  # put together anew each time that one asks
        return read_regrouped(adapted, generic, values[:, :-1], values[:, -1:])


def side_by_side(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """One convolution whose output channels are those of the first, then those of the second."""
    both = copy.deepcopy(first)
    both.out_channels += second.out_channels
    both.weight = nn.Parameter(torch.cat([first.weight, second.weight]), requires_grad=False)
    both.bias = nn.Parameter(torch.cat([first.bias, second.bias]), requires_grad=False)
    return both


def reference(image: torch.Tensor, masks: torch.Tensor, others=0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the memory encoder takes for K objects in one image (1, 3, h, w): the image K times, masks, all the others.

    masks: (K, 1, h, w); others: what objects that are not among these K occupy, (1, 1, h, w).
    """
    rest = (masks.sum(0, keepdim=True) - masks + others).clamp(0, 1)
    return image.expand(len(masks), -1, -1, -1), masks, rest


def resize(x: torch.Tensor, size) -> torch.Tensor:
    """Bring maps (B, C, h, w) to another size; averaged when shrinking, so that thin things do not vanish."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False, antialias=True)


TRACKERS: dict[str, Callable[..., Tracker]] = {
    "still": StillTracker,
    "histogram": HistogramTracker,
    "matching": MatchingTracker,
    "matching+context": ContextTracker,
}


def tracker_names() -> list[str]:
    """The names that `make_tracker` knows."""
    return list(TRACKERS)


def settings_of(tracker: Callable) -> list[str]:
    """The settings that a tracker takes: its own, and where it hands on others (`**`), those of the class below it."""
    if not inspect.isclass(tracker):
        return list(inspect.signature(tracker).parameters)
    names = []
    for kind in tracker.__mro__:
        own = inspect.signature(kind).parameters.values()
        names += [p.name for p in own if p.kind is not p.VAR_KEYWORD and p.name not in names]
        if all(p.kind is not p.VAR_KEYWORD for p in own):
            break
    return names


def make_tracker(name: str, **settings) -> Tracker:
    """A tracker by its name, with settings; raises ValueError on a name or a setting that it does not know."""
    if name not in TRACKERS:
        close = difflib.get_close_matches(name, TRACKERS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no tracker {name!r}: choose from {', '.join(TRACKERS)}.{hint}")
    known = settings_of(TRACKERS[name])
    if unknown := [key for key in settings if key not in known]:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise ValueError(f"tracker {name!r} has no setting {unknown[0]!r}: {takes}.")
    return TRACKERS[name](**settings)


def segment(tracker: Tracker, clip: Clip, start: int = 0) -> Iterator[tuple[int, np.ndarray, torch.Tensor | None]]:
    """Run a tracker over a clip; yields (t, index mask (H, W) uint8, probabilities (K + 1, H, W) or None at the start).

    Each object is given once, where it first appears (YouTube-VOS has objects that come later); its true mask is the
    answer there. start: the frame to go on with, for a tracker that has seen those before it.
    Raises ValueError when no frame of the clip is annotated.
    """
    arrivals: dict[int, list[int]] = {}
    for k, t in clip.appearances.items():
        arrivals.setdefault(t, []).append(k)
    if not arrivals:
        raise ValueError(f"clip {clip.name!r} has no mask to start from: annotate its first frame.")
    for t in range(start, len(clip)):
        frame, probabilities = clip.frames[t], None
        answer = np.zeros(frame.shape[:2], np.uint8)
        if tracker_started := t > min(arrivals):
            probabilities = tracker.step(frame)
            answer = probabilities.max(0).indices.to(torch.uint8).numpy()  # argmax(0) takes 25 times as long
        if t in arrivals:
            new = np.where(np.isin(clip.masks[t], arrivals[t]), clip.masks[t], 0).astype(np.uint8)
            (tracker.add if tracker_started else tracker.start)(frame, new)
            answer = np.where(new > 0, new, answer)
        yield t, answer, probabilities
