"""Matching with a memory, and the same with keys that are tuned on the first frame (lessons 01 and 03)."""

import copy
import functools

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.features import STRIDE, load_weights
from vosnb.methods.context import History, adapt_keys, check_settings, read_regrouped
from vosnb.methods.matching import MatchingNet, Memory, read_flat, soft_aggregate
from vosnb.trackers.base import NetworkTracker, resize


class MatchingTracker(NetworkTracker):
    """Matching with a memory (STM, SwiftNet; S0 sections 3.1-3.2), by the network that we train and ship.

    memory, every, capacity, beta: the schedule, see `vosnb.methods.matching.Memory`.
    net or weights: a `MatchingNet`, or the name or file of its weights. The other settings: `NetworkTracker`.
    """

    def __init__(
        self,
        memory: str = "every+last",
        every: int = 5,
        capacity: int = 5,
        beta: float = 0.1,
        net: MatchingNet | None = None,
        weights: str = "matching",
        **network,
    ):
        super().__init__(**network)
        self.new_memory = functools.partial(Memory, memory, every, capacity, beta)  # no lambda: runs are saved
        self.new_memory()  # wrong settings are told now, not at the first frame
        self.net = (load_weights(MatchingNet(), weights) if net is None else net.eval()).to(self.device)

    def _reset(self) -> None:
        self.memories: list[Memory] = []  # one for each group of objects that came together
        self.groups: list[int] = []  # how many objects each group has

    @torch.no_grad()
    def _add(self, frame, mask, ids):
        image = self._fit(frame)
        masks = self._fit_masks(mask, ids, image.shape[-2:])
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
