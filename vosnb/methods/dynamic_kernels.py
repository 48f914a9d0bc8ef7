"""Kernels that the object itself writes: convolutions whose weights come from its own features (S3 section 2.2).

The mean feature under an object's mask says what it looks like as a whole; three fully connected layers turn it into
the weights of a small convolution, which finds the object in the decoder's map. The mean over all remembered frames
(global) knows the object at length, the last frame's (local) knows how it looks now.

Shapes: K objects; features f (K, C, h, w) or (1, C, h, w) for all; masks m (K, h, w), soft, in 0..1; object features O
(K, C); kernels k (K, P), the P numbers of all layers.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.features import STRIDE, Backbone, double, load_weights, network_of
from vosnb.methods.matching import MatchingNet, Query


def object_feature(f: torch.Tensor, m: torch.Tensor, eps: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """O = sum_i m_i f_i / sum_i m_i (S3-E1), and which objects are there at all: (K, C) and (K,) bool.

    An object with an empty mask has no mean: its row is zero, and whoever keeps means leaves it out. eps: added to the
    denominator, as S3's kin do (CFBI: 1e-5); it makes the feature of a small object shorter.
    """
    area = m.sum((-2, -1))
    total = torch.einsum("kchw,khw->kc", f.expand(len(m), -1, -1, -1), m)
    there = area > 1e-4
    return torch.where(there[:, None], total / (area + eps).clamp_min(1e-12)[:, None], 0), there


class ObjectFeatures:
    """O of K objects over the frames so far: `globally` the mean of all that show them, `locally` the last.

    Kept as a sum and a count: a frame costs the same however many there were (S3 section 2.2).
    """

    def __init__(self):
        self.total = self.count = self.locally = None

    def add(self, f: torch.Tensor, m: torch.Tensor) -> None:
        """A frame's features and masks; where an object is out of sight everything stays as it was."""
        now, there = object_feature(f, m)
        if self.count is None:
            self.total, self.count, self.locally = torch.zeros_like(now), now.new_zeros(len(now), 1), now
        self.total = self.total + now
        self.count = self.count + there[:, None]
        self.locally = torch.where(there[:, None], now, self.locally)

    @property
    def globally(self) -> torch.Tensor:
        return self.total / self.count.clamp_min(1)


def kernel_numbers(channels: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """How many weights and biases each layer of 1x1 convolutions takes, channels (16, 8, 8, 1) for three layers."""
    return [a * b for a, b in zip(channels, channels[1:], strict=False)], list(channels[1:])


def convolve(x: torch.Tensor, k: torch.Tensor, channels: tuple[int, ...]) -> torch.Tensor:
    """The decoder's map x (K or 1, C, H, W) with each object's own layers k (K, P): logits (K, 1, H, W).

    P numbers: the weights of all layers, then the biases of all layers (Tian et al. 2020); ReLU between layers. All
    objects go through one grouped convolution a layer: of 1x1, it is a product of batched matrices, which is how it is
    fastest on a CPU.
    """
    K, (weights, biases) = len(k), kernel_numbers(channels)
    if k.shape[1] != sum(weights) + sum(biases) or x.shape[1] != channels[0] or channels[-1] != 1:
        raise ValueError(
            f"channels={channels} want {sum(weights) + sum(biases)} numbers and end in 1: these do not fit."
        )
    parts, y = k.split([*weights, *biases], 1), x.flatten(2).expand(K, -1, -1)
    for n, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False)):
        weight, bias = parts[n].reshape(K, outputs, inputs), parts[n + len(weights)].unsqueeze(-1)
        y = torch.baddbmm(bias, weight, y)
        y = F.relu(y) if n + 2 < len(channels) else y
    return y.view(K, 1, *x.shape[2:])


class KernelGenerator(nn.Module):
    """Three fully connected layers from object features to kernels (S3-E2).

    inputs: which of "global" and "local" are concatenated; features: C; channels: of the generated layers. The last
    layer starts small, so that the generated logits add to the others instead of drowning them.
    """

    def __init__(self, inputs: tuple[str, ...], features: int, channels: tuple[int, ...], hidden: int = 96):
        super().__init__()
        self.inputs, self.channels = inputs, channels
        last = nn.Linear(hidden, sum(map(sum, kernel_numbers(channels))))
        nn.init.normal_(last.weight, std=0.03)
        nn.init.zeros_(last.bias)
        first = nn.Linear(features * len(inputs), hidden)
        self.layers = nn.Sequential(first, nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)

    def forward(self, globally: torch.Tensor, locally: torch.Tensor) -> torch.Tensor:
        """O_G and O_{t-1} (K, C) to kernels (K, P)."""
        given = {"global": globally, "local": locally}
        return self.layers(torch.cat([given[name] for name in self.inputs], 1))


class ASPP(nn.Module):
    """Receptive fields of several sizes beside each other, before the decoder (S3 section 3.3; Chen et al. 2017)."""

    def __init__(self, channels: int, branch: int, rates: tuple[int, ...] = (2, 4)):
        super().__init__()
        self.one = nn.Conv2d(channels, branch, 1)
        self.dilated = nn.ModuleList(nn.Conv2d(channels, branch, 3, padding=r, dilation=r) for r in rates)
        self.whole = nn.Conv2d(channels, branch, 1)
        self.out = nn.Conv2d(branch * (len(rates) + 2), channels, 1)
        nn.init.zeros_(self.out.weight)  # it begins as the identity: the decoder is trained already
        nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [self.one(x), *(branch(x) for branch in self.dilated)]
        seen.append(self.whole(x.mean((-2, -1), keepdim=True)).expand_as(seen[0]))
        return x + self.out(F.relu(torch.cat(seen, 1)))


class KernelNet(MatchingNet):
    """The matcher whose decoder also asks each object's own kernels: the logits of both are added (S3 figure 1).

    kernels: what they are written from, of "global" and "local"; without either this is the matcher. aspp: whether
    the decoder's input goes through `ASPP`. channels: of the generated layers, which begin at the decoder's 24.
    shallow: as for `vosnb.features.Backbone`, another backbone for ensembles. matching: the settings of `MatchingNet`.
    """

    def __init__(
        self,
        kernels: tuple[str, ...] = ("global", "local"),
        aspp: bool = False,
        channels: tuple[int, ...] = (24, 1),
        shallow: bool = False,
        **matching,
    ):
        super().__init__(**matching)
        own = {"kernels": list(kernels), "aspp": aspp, "channels": list(channels), "shallow": shallow}
        self.settings = own | matching
        if shallow:
            self.query_encoder = Backbone(shallow=True)
        width, inputs = self.memory_value.in_channels, 2 * self.memory_value.out_channels
        self.generator = KernelGenerator(tuple(kernels), width, tuple(channels)) if kernels else None
        self.aspp = ASPP(inputs, inputs // 4) if aspp else nn.Identity()

    def remember(
        self, image: torch.Tensor, mask: torch.Tensor, others: torch.Tensor, features: ObjectFeatures
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Key and value as of `encode_memory`; the objects' features in this frame go into `features`.

        The masks, soft, are averaged over the pixels of each cell.
        """
        maps = self.memory_encoder(image, mask, others)
        features.add(maps, F.avg_pool2d(mask, STRIDE)[:, 0])
        return self.memory_key(maps).flatten(2), self.memory_value(maps).flatten(2)

    def write(self, globally: torch.Tensor, locally: torch.Tensor) -> torch.Tensor | None:
        """The kernels k (K, P) of objects with the features O_G and O_{t-1} (K, C); None if this net has none."""
        return self.generator(globally, locally) if self.generator else None

    def decode(self, query: Query, read: torch.Tensor, k: torch.Tensor | None = None) -> torch.Tensor:
        """As `MatchingNet.decode`; k (K, P): what `write` wrote, None for the decoder's own logits alone."""
        value, at4, at2 = (x.expand(len(read), -1, -1, -1) for x in (query.value, query.at4, query.at2))
        x, logit = self.decoder.map_and_logit(self.aspp(torch.cat([value, read.view_as(value)], 1)), at4, at2)
        return double(logit if k is None else logit + convolve(x, k, self.generator.channels))

    def begin_as(self, matcher: MatchingNet) -> "KernelNet":
        """Take over what a matcher has learned, as far as there is room; generator and ASPP stay as they are."""
        own = self.state_dict()
        self.load_state_dict(own | {name: x for name, x in matcher.state_dict().items() if name in own})
        return self


def load_kernel_net(name: str | Path) -> KernelNet:
    """A `KernelNet` of the parts that its weights (a name, or a file) were trained with, filled with them.

    Raises FileNotFoundError when there is no such file and FileError when it is damaged or of another network.
    """
    return load_weights(network_of(KernelNet, name, "vosnb train dynamic-kernels"), name)
