"""Matching with a memory, and the same with keys that are tuned on the first frame (lessons 01 and 03)."""

import copy
import functools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.efficientnet import Maps, load_photographs
from vosnb.features import STRIDE, Weights, load_weights
from vosnb.methods.context import LOSSES, NORMALISATIONS, OPTIMIZERS, TUNED, History, adapt_keys
from vosnb.methods.matching import MatchingNet, Memory, PhotographMatchingNet, Query, read_flat, soft_aggregate
from vosnb.settings import Count, NotNegative, Positive, Share, Steps
from vosnb.trackers.base import SHORT_SIDES, Backbone, NetworkTracker, resize

SHIPPED = {"photos": (PhotographMatchingNet, "matching-photos"), "creatures": (MatchingNet, "matching")}


class MatchingTracker(NetworkTracker):
    """Matching with a memory (STM, SwiftNet; S0 sections 3.1-3.2), by the network that we train and ship.

    memory, every, capacity, beta: the schedule, see `vosnb.methods.matching.Memory`.
    backbone: "photos", frozen, looks at 240 pixels; "creatures", learned here with all the rest, at 128.
    net or weights: a `MatchingNet` on it, or the name or file of its weights. The other settings: `NetworkTracker`.
    """

    def __init__(
        self,
        memory: Literal[*Memory.SCHEDULES] = "every+last",
        every: Count = 5,
        capacity: Count = 5,
        beta: Share = 0.1,
        backbone: Backbone = "creatures",
        net: nn.Module | None = None,
        weights: Weights | None = None,
        **network,
    ):
        super().__init__(**{"short_side": SHORT_SIDES[backbone]} | network)
        self.new_memory = functools.partial(Memory, memory, every, capacity, beta)  # no lambda: runs are saved
        self.new_memory()  # wrong settings are told now, not at the first frame
        if net is None:
            kind, name = SHIPPED[backbone]
            net = load_weights(kind(), weights or name)
        elif (backbone == "photos") != isinstance(net, PhotographMatchingNet):
            raise ValueError(f"backbone={backbone} does not fit this network, a {type(net).__name__}.")
        self.net, self.photos = net.eval().to(self.device), None
        if backbone == "photos":
            self.net = self.net.to(memory_format=torch.channels_last)  # as the backbone's maps: a fifth faster
            self.photos = load_photographs(self.device).look

    def _reset(self) -> None:
        self.memories: list[Memory] = []  # one for each group of objects that came together
        self.groups: list[int] = []  # how many objects each group has

    @torch.no_grad()
    def _add(self, frame, mask, ids):
        seen = self._look(frame)
        masks = self._fit_masks(mask, ids, self._fit(frame).shape[-2:])
        if not self.memories:
            self._adapt(seen, masks)
        self.memories.append(self.new_memory())
        self.groups.append(len(ids))
        self._remember(len(self.memories) - 1, seen, masks)

    def _look(self, frame) -> torch.Tensor | Maps:
        """What the network takes of a frame: an image (1, 3, h, w), or what the frozen backbone makes of one."""
        image = self._fit(frame)
        return image if self.photos is None else self.photos(image)

    def _adapt(self, seen: torch.Tensor | Maps, masks: torch.Tensor) -> None:
        """What a method learns from the first frame as `_look` gives it and its masks (K, 1, h, w): here nothing."""

    def _remember(self, group: int, seen: torch.Tensor | Maps, masks: torch.Tensor, others=0.0) -> None:
        """Encode what is seen once for each of the group's masks (K, 1, h, w); others (1, 1, h, w): what others
        occupy."""
        self.memories[group].add(*self.net.encode_memory(*reference(seen, masks, others)))

    def _decode(self, query: Query, read: torch.Tensor) -> torch.Tensor:
        """What all K objects read from their memories (K, v, N) to logits (K, 1, h, w)."""
        return self.net.decode(query, read)

    def _step(self, frame):
        seen = self._look(frame)
        query = self.net.encode_query(seen)
        keys = query.key.flatten(2)
        read = [
            read_flat(keys.expand(n, -1, -1), memory.keys, memory.values)
            for memory, n in zip(self.memories, self.groups, strict=True)
        ]
        p = soft_aggregate(torch.sigmoid(self._decode(query, torch.cat(read))[:, 0]))
        for group, (memory, masks) in enumerate(zip(self.memories, p[1:, None].split(self.groups), strict=True)):
            if memory.wants():
                self._remember(group, seen, masks, others=(1 - p[:1] - masks.sum(0))[None].clamp(0, 1))
            else:
                memory.skip()
        return resize(p[None], frame.shape[:2])[0]


class ContextTracker(MatchingTracker):
    """`matching` whose two key convolutions are tuned on the first frame of each clip (S0 sections 3.3 and 4).

    steps .. loss: see `vosnb.methods.context.adapt_keys`; the other settings are those of `matching`. Objects that
    join later are remembered with the keys as they are then. `history` tells what the last adaptation did.
    """

    def __init__(
        self,
        steps: Steps = 50,
        learning_rate: Positive = 0.3,
        alpha: NotNegative | Literal["balanced"] = "balanced",
        normalise: Literal[*NORMALISATIONS] = "mean",
        optimizer: Literal[*OPTIMIZERS] = "sgd",
        tune: Literal[*TUNED] = "both",
        patience: Count | None = 10,
        loss: Literal[*LOSSES] = "excess",
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
        self.history: History | None = None

    def _reset(self):
        super()._reset()
        self.net.query_key, self.net.memory_key = copy.deepcopy(self.generic)

    def _adapt(self, seen, masks):
        query_features = self.net.query_encoder(seen)[-1]
        memory_features = self.net.memory_encoder(*reference(seen, masks))
        cells = F.avg_pool2d(masks, STRIDE)[:, 0]
        keys = self.net.query_key, self.net.memory_key
        self.history = adapt_keys(*keys, query_features, memory_features, cells, **self.settings)


def reference(
    seen: torch.Tensor | Maps, masks: torch.Tensor, others=0.0
) -> tuple[torch.Tensor | Maps, torch.Tensor, torch.Tensor]:
    """What the memory encoder takes for K objects in one image (1, 3, h, w): the image K times, masks, all the others.

    seen: the image, or maps of it. masks: (K, 1, h, w); others: what objects that are not among these K occupy,
    (1, 1, h, w).
    """
    rest = (masks.sum(0, keepdim=True) - masks + others).clamp(0, 1)
    return seen.expand(len(masks), -1, -1, -1), masks, rest
