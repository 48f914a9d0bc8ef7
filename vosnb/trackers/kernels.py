"""Matching, and kernels that each object writes itself (S3; lesson 10)."""

import torch
from torch import nn

from vosnb.features import Weights
from vosnb.methods.dynamic_kernels import ObjectFeatures, load_kernel_net
from vosnb.trackers.matching import MatchingTracker, reference


class KernelTracker(MatchingTracker):
    """`kernels`: the matcher, with kernels from global and local features of each object (S3 table 2, row 4).

    net or weights: a `KernelNet`, or the name or file of its weights, which say what parts it has. The other settings:
    `MatchingTracker`. Frames that its schedule does not remember count neither globally nor locally.
    """

    WEIGHTS = "kernels"

    def __init__(self, net: nn.Module | None = None, weights: Weights | None = None, **matching):
        super().__init__(net=load_kernel_net(weights or self.WEIGHTS) if net is None else net, **matching)

    def _reset(self):
        super()._reset()
        self.features: list[ObjectFeatures] = []  # of each group of objects that came together

    def _remember(self, group, image, masks, others=0.0):
        if group == len(self.features):
            self.features.append(ObjectFeatures())
        given = reference(image, masks, others)
        self.memories[group].add(*self.net.remember(*given, self.features[group]))

    def kernels(self) -> torch.Tensor | None:
        """What the objects write now, in the order in which they came: k (K, P)."""
        globally, locally = (
            torch.cat(parts) for parts in zip(*((f.globally, f.locally) for f in self.features), strict=True)
        )
        return self.net.write(globally, locally)

    def _decode(self, query, read):
        return self.net.decode(query, read, self.kernels())


class NoKernelTracker(KernelTracker):
    """`kernels-none`: the matcher, trained as long as the others (row 1)."""

    WEIGHTS = "kernels-none"


class GlobalKernelTracker(KernelTracker):
    """`kernels-global`: from the mean over all remembered frames alone (row 2)."""

    WEIGHTS = "kernels-global"


class LocalKernelTracker(KernelTracker):
    """`kernels-local`: from the last frame that shows the object alone (row 3)."""

    WEIGHTS = "kernels-local"


class KernelASPPTracker(KernelTracker):
    """`kernels+aspp`: both, and ASPP before the decoder (row 5)."""

    WEIGHTS = "kernels+aspp"
