"""Matching with a memory: keys, values, affinity, reading, and what to remember (STM, SwiftNet; S0 sections 3.1-3.2).

A query frame asks: which cells of the frames in memory look like me? Keys answer that (S0-E1); values carry what is
then read (S0-E2); a decoder turns it into a mask. Lesson 01 builds this file step by step.

Shapes: N query cells, M memory cells, d key channels, v value channels; leading batch dimensions are allowed.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.efficientnet import WIDTHS as PHOTOGRAPHS
from vosnb.efficientnet import Maps, of_one_length
from vosnb.features import STRIDE, WIDTHS, Backbone, Decoder, MemoryEncoder, Residual, conv_bn, double


def affinity(query_keys: torch.Tensor, memory_keys: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """How much each query cell trusts each memory cell: A_ij = exp(s K_Q^i . K_R^j) / Z_i (S0-E1).

    query_keys (..., d, N), memory_keys (..., d, M); returns A (..., N, M) whose rows sum to one.
    The paper writes s = 1; STM's and SwiftNet's code, and our default, have s = 1 / sqrt(d).
    """
    scale = query_keys.shape[-2] ** -0.5 if scale is None else scale
    return torch.softmax(scale * query_keys.transpose(-1, -2) @ memory_keys, dim=-1)


def read_memory(A: torch.Tensor, memory_values: torch.Tensor) -> torch.Tensor:
    """What each query cell reads, sum_j A_ij V_R^j: A (..., N, M), memory_values (..., v, M) -> (..., v, N)."""
    return memory_values @ A.transpose(-1, -2)


def enriched_value(query_values: torch.Tensor, A: torch.Tensor, memory_values: torch.Tensor) -> torch.Tensor:
    """What the decoder sees: [V_Q^i, sum_j A_ij V_R^j] (S0-E2); query_values (..., v, N) -> (..., 2v, N)."""
    return torch.cat([query_values, read_memory(A, memory_values)], dim=-2)


def read_flat(query_keys: torch.Tensor, memory_keys: torch.Tensor, memory_values: torch.Tensor) -> torch.Tensor:
    """The same read without ever holding A: `read_memory(affinity(query_keys, memory_keys), memory_values)`.

    torch's fused attention walks over the memory in blocks, so that no N x M matrix exists. Its kernel wants keys
    and values of one width: zeros appended to the narrower ones change neither a dot product nor what is read.
    """
    d, v = query_keys.shape[-2], memory_values.shape[-2]

    def as_head(x: torch.Tensor) -> torch.Tensor:  # the kernel's layout: (batch, heads, cells, width), contiguous
        x = F.pad(x, (0, 0, 0, max(d, v) - x.shape[-2])).transpose(-1, -2)
        return x.reshape(-1, 1, *x.shape[-2:]).contiguous()

    read = F.scaled_dot_product_attention(*map(as_head, (query_keys, memory_keys, memory_values)), scale=d**-0.5)
    return read[..., :v].transpose(-1, -2).reshape(*query_keys.shape[:-2], v, -1)


def soft_aggregate(p: torch.Tensor) -> torch.Tensor:
    """Objects segmented alone, put together: p (K, ...) in 0..1 -> (K + 1, ...) that sum to one, background first.

    The background's probability is prod_k (1 - p_k); then a softmax over log-odds (RGMP and STM, as in their code,
    clamped at 1e-7).
    """
    with_background = torch.cat([(1 - p).prod(0, keepdim=True), p]).clamp(1e-7, 1 - 1e-7)
    return torch.softmax(torch.logit(with_background), dim=0)


def most_changed(memory_keys: torch.Tensor, new_keys: torch.Tensor, beta: float = 0.1) -> torch.Tensor:
    """Which cells of a new frame the memory knows least (SwiftNet's variation-aware update).

    For every new cell the largest cosine similarity to any memory cell; the share beta with the lowest is kept.
    memory_keys (B, d, M), new_keys (B, d, N) -> indices (B, N - int(N (1 - beta))), in the order of the cells.
    """
    similarity = F.normalize(new_keys, dim=-2).transpose(-1, -2) @ F.normalize(memory_keys, dim=-2)
    n = new_keys.shape[-1]
    least = similarity.amax(-1).argsort(dim=-1)[..., : n - int(n * (1 - beta))]
    return least.sort(dim=-1).values


class Memory:
    """Keys (K, d, M) and values (K, v, M) of what K objects' frames looked like, and the rule for what stays.

    schedule: "first" keeps frame 0 alone; "every" adds each n-th frame; "every+last" also holds the previous frame
    until the next one comes (STM); "variation" adds of each n-th frame only the cells that changed most (SwiftNet).
    capacity: frames kept beside frame 0; the oldest goes first. Whole frames only: "variation" never forgets.
    """

    SCHEDULES = ("first", "every", "every+last", "variation")

    def __init__(self, schedule: str = "every+last", every: int = 5, capacity: int = 5, beta: float = 0.1):
        if schedule not in self.SCHEDULES:
            raise ValueError(f"memory schedule {schedule!r} is unknown: choose one of {', '.join(self.SCHEDULES)}.")
        if every < 1 or capacity < 1 or not 0 < beta <= 1:
            raise ValueError("memory settings: every and capacity are at least 1, beta is above 0 and at most 1.")
        self.schedule, self.every, self.capacity, self.beta = schedule, every, capacity, beta
        self.frames: list[tuple[torch.Tensor, torch.Tensor]] = []  # (key, value) of frame 0, then of later ones
        self.last: tuple[torch.Tensor, torch.Tensor] | None = None
        self.seen = 0

    def wants(self) -> bool:
        """Whether the frame that comes next should be encoded and added at all (encoding costs time)."""
        return (
            self.seen == 0
            or self.schedule == "every+last"
            or (self.schedule != "first" and self.seen % self.every == 0)
        )

    def skip(self) -> None:
        """Let a frame pass without remembering it."""
        self.seen += 1

    def add(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """Remember a frame: key (K, d, N), value (K, v, N)."""
        kept = self.seen % self.every == 0
        if self.schedule == "variation" and self.seen > 0:
            cells = most_changed(self.keys, key, self.beta).unsqueeze(1)
            key, value = (x.gather(-1, cells.expand(-1, x.shape[1], -1)) for x in (key, value))
        if kept:
            self.frames.append((key, value))
            if self.schedule != "variation" and len(self.frames) > self.capacity + 1:
                del self.frames[1]  # never frame 0: its mask is the only one that is true
        self.last = (key, value) if self.schedule == "every+last" and not kept else None
        self.seen += 1

    def _stack(self, part: int) -> torch.Tensor:
        return torch.cat([frame[part] for frame in [*self.frames, *([self.last] if self.last else [])]], dim=-1)

    @property
    def keys(self) -> torch.Tensor:
        return self._stack(0)

    @property
    def values(self) -> torch.Tensor:
        return self._stack(1)


class Query(NamedTuple):
    """One frame as the query branch sees it: key (B, d, h, w), value (B, v, h, w), skips at stride 4 and 2."""

    key: torch.Tensor
    value: torch.Tensor
    at4: torch.Tensor
    at2: torch.Tensor


class MatchingNet(nn.Module):
    """Two encoders, a key and a value convolution (3x3) each, and a decoder: S0 figure 2 without the adaptation.

    About 1.4 M parameters. S0 adapts `query_key` and `memory_key`, nothing else.
    """

    def __init__(self, widths=WIDTHS, key_dim: int = 32, value_dim: int = 64):
        super().__init__()
        self.query_encoder, self.memory_encoder = Backbone(widths), MemoryEncoder(widths)
        self.query_key, self.query_value = (nn.Conv2d(widths[-1], n, 3, padding=1) for n in (key_dim, value_dim))
        self.memory_key, self.memory_value = (nn.Conv2d(widths[-1], n, 3, padding=1) for n in (key_dim, value_dim))
        self.decoder = Decoder(2 * value_dim, widths)

    def encode_query(self, image: torch.Tensor) -> Query:
        """image (B, 3, H, W), H and W multiples of 8."""
        at2, at4, at8 = self.query_encoder(image)
        return Query(self.query_key(at8), self.query_value(at8), at4, at2)

    def encode_memory(
        self, image: torch.Tensor, mask: torch.Tensor, others: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """image (K, 3, H, W), mask and others (K, 1, H, W) -> key (K, d, N), value (K, v, N)."""
        features = self.memory_encoder(image, mask, others)
        return self.memory_key(features).flatten(2), self.memory_value(features).flatten(2)

    def decode(self, query: Query, read: torch.Tensor) -> torch.Tensor:
        """One query frame and what K objects read from their memories (K, v, N) -> logits (K, 1, H, W)."""
        value, at4, at2 = (x.expand(len(read), -1, -1, -1) for x in (query.value, query.at4, query.at2))
        return self.decoder(torch.cat([value, read.view_as(value)], 1), at4, at2)


class PhotographEncoder(nn.Module):
    """The query encoder on a backbone that learned from photographs: what it sees, and nothing learned.

    Its deepest map is brought to one length in every cell, so that dot products are cosines; sqrt(C) is that length.
    """

    def forward(self, maps: Maps) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return maps.at2, maps.at4, of_one_length(maps.at8)


class PhotographMemoryEncoder(nn.Module):
    """The reference encoder beside it: the same deepest map, and n channels in which it meets image and masks."""

    def __init__(self, n: int = 96):
        super().__init__()
        self.see = PhotographEncoder()
        self.reduce = nn.Conv2d(PHOTOGRAPHS[2], n, 1)
        self.outline = nn.Sequential(conv_bn(5, 24, 2), nn.ReLU(inplace=True), Residual(24, 32, 2), Residual(32, 48, 2))
        self.meet = Residual(n + 48, n)

    def forward(self, maps: Maps, mask: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """maps of B images, mask and others (B, 1, H, W) in 0..1; returns (B, C + n, H/8, W/8)."""
        seen = self.see(maps)[-1]
        outline = self.outline(torch.cat([maps.image, mask, others], 1))
        return torch.cat([seen, self.meet(torch.cat([self.reduce(seen), outline], 1))], 1)


class PhotographMatchingNet(MatchingNet):
    """`MatchingNet` on a frozen backbone: it takes `Maps` in the place of images, and learns what stands on them.

    One channel of the memory's values is the mask itself, so that one channel of what is read is the mask that affinity
    alone sees, h (S0-E3's heatmap); the decoder says what to change about it. Both keys begin as the directions in
    which the backbone's features vary most (`begin_keys`), and the decoder as changing nothing: before any training the
    network hands on labels by nearness in feature space.
    """

    def __init__(self, key_dim: int = 64, value_dim: int = 63, n: int = 96):
        nn.Module.__init__(self)
        self.query_encoder, self.memory_encoder = PhotographEncoder(), PhotographMemoryEncoder(n)
        C = PHOTOGRAPHS[2]
        self.query_key, self.query_value = (nn.Conv2d(C, d, 3, padding=1) for d in (key_dim, value_dim))
        self.memory_key, self.memory_value = (nn.Conv2d(C + n, d, 3, padding=1) for d in (key_dim, value_dim))
        self.decoder = Decoder(2 * value_dim + 1, PHOTOGRAPHS)
        nn.init.zeros_(self.decoder.logit.weight)
        nn.init.zeros_(self.decoder.logit.bias)

    def encode_memory(self, maps: Maps, mask: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """maps of K images, mask and others (K, 1, H, W) -> key (K, d, N), value (K, v + 1, N), the mask last."""
        key, value = super().encode_memory(maps, mask, others)
        return key, torch.cat([value, F.avg_pool2d(mask, STRIDE).flatten(2)], 1)

    def decode(self, query: Query, read: torch.Tensor) -> torch.Tensor:
        """One query frame and what K objects read from their memories (K, v + 1, N) -> logits (K, 1, H, W)."""
        read = read.unflatten(-1, query.value.shape[-2:])
        value, at4, at2 = (x.expand(len(read), -1, -1, -1) for x in (query.value, query.at4, query.at2))
        h = double(double(double(read[:, -1:])))
        return torch.logit(0.01 + 0.98 * h) + self.decoder(torch.cat([value, read], 1), at4, at2)

    @torch.no_grad()
    def begin_keys(self, maps: Maps, sharpness: float = 100.0) -> None:
        """Make both keys the d principal directions of the features of these maps; affinity is then a softmax over
        sharpness times the cosine, nearly."""
        seen = self.query_encoder(maps)[-1].movedim(1, -1).flatten(0, -2).double()
        values, vectors = torch.linalg.eigh(seen.T @ seen)
        d, C = self.query_key.out_channels, seen.shape[1]
        directions = vectors[:, -d:].T.float() * (sharpness * d**0.5 / C) ** 0.5
        for key in (self.query_key, self.memory_key):
            key.weight.zero_()
            key.bias.zero_()
            key.weight[:, :C, 1, 1] = directions
