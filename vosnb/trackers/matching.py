"""Matching with a memory, and the same with keys that are tuned on the first frame (lessons 01 and 03)."""

import copy
import functools

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.features import STRIDE, load_weights
from vosnb.methods.context import History, adapt_keys, check_settings
from vosnb.methods.matching import MatchingNet, Memory, Query, read_flat, soft_aggregate
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
        self._remember(len(self.memories) - 1, image, masks)

    def _adapt(self, image: torch.Tensor, masks: torch.Tensor) -> None:
        """What a method learns from the first frame (1, 3, h, w) and its masks (K, 1, h, w): here nothing."""

    def _remember(self, group: int, image: torch.Tensor, masks: torch.Tensor, others=0.0) -> None:
        """Encode the image once for each of the group's masks (K, 1, h, w); others (1, 1, h, w): what others occupy."""
        self.memories[group].add(*self.net.encode_memory(*reference(image, masks, others)))

    def _decode(self, query: Query, read: torch.Tensor) -> torch.Tensor:
        """What all K objects read from their memories (K, v, N) to logits (K, 1, h, w)."""
        return self.net.decode(query, read)

    def _step(self, frame):
        image = self._fit(frame)
        query = self.net.encode_query(image)
        keys = query.key.flatten(2)
        read = [
            read_flat(keys.expand(n, -1, -1), memory.keys, memory.values)
            for memory, n in zip(self.memories, self.groups, strict=True)
        ]
        p = soft_aggregate(torch.sigmoid(self._decode(query, torch.cat(read))[:, 0]))
        for group, (memory, masks) in enumerate(zip(self.memories, p[1:, None].split(self.groups), strict=True)):
            if memory.wants():
                self._remember(group, image, masks, others=(1 - p[:1] - masks.sum(0))[None].clamp(0, 1))
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
        steps: int = 50,
        learning_rate: float = 0.3,
        alpha: float | str = "balanced",
        normalise: str = "mean",
        optimizer: str = "sgd",
        tune: str = "both",
        patience: int | None = 10,
        loss: str = "excess",
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


def reference(image: torch.Tensor, masks: torch.Tensor, others=0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the memory encoder takes for K objects in one image (1, 3, h, w): the image K times, masks, all the others.

    masks: (K, 1, h, w); others: what objects that are not among these K occupy, (1, 1, h, w).
    """
    rest = (masks.sum(0, keepdim=True) - masks + others).clamp(0, 1)
    return image.expand(len(masks), -1, -1, -1), masks, rest
