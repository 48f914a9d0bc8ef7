# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   vosnb:
#     style: 2
# ---

# %% [markdown]
# # The small print of matching
#
# What {{to core}} leaves out: the first network in full, the scale of the affinity, the order of values, soft
# aggregation, the best matches alone, four schedules of memory, reading without holding $A$, and whether a matcher goes
# by place. Each section stands by itself. {{read}} to read, {{run}} to run. All of it is shown on the small network
# that learned from creatures alone (`matching`), because it is fast; numbers are those of the run that is shipped.

# %% tags=["parameters", "setup"]
DATASET = "embedded"
SPLIT = "test"
MAX_CLIPS = 3
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["setup"]
import json
import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vosnb import datasets, metrics, show
from vosnb.benchmark import load_results
from vosnb.course.cells import whole_cells
from vosnb.course.classroom import device, hold, numbers, table
from vosnb.features import WIDTHS, Backbone, Decoder, MemoryEncoder, load_weights, to_image
from vosnb.paths import RESULTS
from vosnb.trackers import make_tracker, segment

dev = device(DEVICE)
everything = datasets.load(DATASET, SPLIT)
found = [clip for clip in everything if clip.info.get("difficulty") == "lookalike"] or everything
clip = whole_cells(found[(SEED + 1) % len(found)].subclip(0, max(8, round(16 * BUDGET))).only(1), 128)


def run(tracker, clip):
    """One mask (H, W) for each frame."""
    return [mask for _, mask, _ in segment(tracker, clip)]


def J(clip, masks):
    return metrics.score_clip(clip.masks, masks).J_mean


# %% [markdown]
# ## The first network in full
#
# Two encoders, four small convolutions and a decoder: figure 2 of S0, without the adaptation that gives that paper its
# name. `Backbone`, `MemoryEncoder` and `Decoder` are plain residual convolutions in `vosnb/features.py`. The matcher on
# photographs, which the lesson uses, is a subclass of this one: its query encoder learns nothing, and its `decode` adds
# to the label that affinity reads.


# %% tags=["package"]
class Query(NamedTuple):
    """One frame as the query branch sees it: key (B, d, h, w), value (B, v, h, w), skips at stride 4 and 2."""

    key: torch.Tensor
    value: torch.Tensor
    at4: torch.Tensor
    at2: torch.Tensor


class MatchingNet(nn.Module):
    """Two encoders, a key and a value convolution (3x3) each, and a decoder."""

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


# %% tags=["package"]
def affinity(query_keys: torch.Tensor, memory_keys: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """A_ij = exp(s K_Q^i . K_R^j) / Z_i (S0-E1): (..., d, N), (..., d, M) -> (..., N, M), rows sum to one."""
    scale = query_keys.shape[-2] ** -0.5 if scale is None else scale
    return torch.softmax(scale * query_keys.transpose(-1, -2) @ memory_keys, dim=-1)


def read_memory(A: torch.Tensor, memory_values: torch.Tensor) -> torch.Tensor:
    """What each query cell reads, sum_j A_ij V_R^j: A (..., N, M), memory_values (..., v, M) -> (..., v, N)."""
    return memory_values @ A.transpose(-1, -2)


def enriched_value(query_values: torch.Tensor, A: torch.Tensor, memory_values: torch.Tensor) -> torch.Tensor:
    """What the decoder sees: [V_Q^i, sum_j A_ij V_R^j] (S0-E2); query_values (..., v, N) -> (..., 2v, N)."""
    return torch.cat([query_values, read_memory(A, memory_values)], dim=-2)


# %% [markdown]
# > **Paper and code.** S0-E2 puts the query's value first. The public code of STM and of SwiftNet puts what was read
# > first. The order makes no difference, as long as the decoder was trained with the same one. We follow the paper.
#
# A tracker that remembers frame 0 and nothing else is then fifteen lines. Its affinity is an argument, so that we can
# exchange it.


# %% tags=["package"]
def soft_aggregate(p: torch.Tensor) -> torch.Tensor:
    """p (K, ...) in 0..1 -> (K + 1, ...) that sum to one, background first."""
    with_background = torch.cat([(1 - p).prod(0, keepdim=True), p]).clamp(1e-7, 1 - 1e-7)
    return torch.softmax(torch.logit(with_background), dim=0)


# %%
class FirstFrameTracker:
    """Follows all objects of a first mask; remembers that frame and no other."""

    def __init__(self, net, affinity=affinity):
        self.net, self.affinity = net, affinity

    def start(self, frame, mask):
        masks = torch.stack([torch.from_numpy(mask == k) for k in range(1, mask[mask < 255].max() + 1)])
        masks = masks[:, None].float().to(dev)  # (K, 1, H, W)
        images = to_image(frame, dev).expand(len(masks), -1, -1, -1)
        self.keys, self.values = self.net.encode_memory(images, masks, masks.sum(0) - masks)

    def step(self, frame):
        query = self.net.encode_query(to_image(frame, dev)[None])
        A = self.affinity(query.key.flatten(2), self.keys)  # (K, N, M)
        p = torch.sigmoid(self.net.decode(query, read_memory(A, self.values)))
        return soft_aggregate(p[:, 0]).cpu()  # (K + 1, H, W)


# %%
net = load_weights(MatchingNet(), "matching").to(dev).requires_grad_(False)
mine = run(FirstFrameTracker(net), clip)
print(f"J on a clip of look-alikes: {J(clip, mine):.2f}")

# %% tags=["hold"]
packaged = run(make_tracker("matching", memory="first", device=dev), clip)
hold("the two trackers agree", np.mean(np.stack(mine) == np.stack(packaged)), low=0.999)

# %% [markdown]
# ## The scale
#
# S0-E1, as printed, has no scale. The public code of STM and of SwiftNet divides the dot products by $\sqrt d$, and
# so do we. What is it for? A dot product of two vectors with $d$ independent entries of spread one has a spread of
# $\sqrt d$: the longer the keys, the wilder the numbers that enter the softmax. Dividing takes that out.
#
# How many memory cells does a query cell really read? A useful count is $e^{H}$ with the entropy
# $H = -\sum_j A_{ij} \ln A_{ij}$: it is 1 if all weight sits on one cell, and $M$ if all cells weigh the same.

# %%
image = to_image(clip.frames[0], dev)[None]
mask = torch.from_numpy(clip.first_mask == 1)[None, None].float().to(dev)
later = len(clip) // 2
query = net.encode_query(to_image(clip.frames[later], dev)[None])
K_R, V_R = (x[0] for x in net.encode_memory(image, mask, torch.zeros_like(mask)))
K_Q, V_Q = query.key[0].flatten(1), query.value[0].flatten(1)
d, v, M = len(K_Q), len(V_Q), K_R.shape[1]


def cells_read(scale):
    """e to the entropy of each row of A, averaged over the query cells."""
    return torch.special.entr(affinity(K_Q, K_R, scale).double()).sum(-1).exp().mean().item()


scales = {"0": 0.0, "1/4 of 1/sqrt(d)": d**-0.5 / 4, "1/sqrt(d)": d**-0.5, "1, as printed": 1.0}
of_scale = []
for name, s in scales.items():
    tracker = FirstFrameTracker(net, lambda q, k, s=s: affinity(q, k, scale=s))
    of_scale.append({"scale": name, "cells read": round(cells_read(s), 1), "J": J(clip, run(tracker, clip))})
table(of_scale)

# %% tags=["hold"]
rows = {row["scale"]: row for row in of_scale}
numbers(
    read_trained=rows["1/sqrt(d)"]["cells read"],
    read_printed=rows["1, as printed"]["cells read"],
    J_trained=rows["1/sqrt(d)"]["J"],
    J_printed=rows["1, as printed"]["J"],
    J_zero=rows["0"]["J"],
    memory_cells=M,
)
hold("a larger scale reads fewer cells", rows["1/sqrt(d)"]["cells read"] > rows["1, as printed"]["cells read"])
hold("shorter keys do what a smaller scale does", torch.allclose(affinity(K_Q * d**-0.5, K_R, 1.0), affinity(K_Q, K_R)))

# %% [markdown]
# With scale 0 every cell reads all {{memory_cells}} cells alike, the creature drowns in the average, and J is
# {{J_zero:.2f ± 0.03}}. With $1/\sqrt d$ a cell reads {{read_trained:.1f ± 0.3}} cells and J is {{J_trained:.2f ±
# 0.03}}. With the scale as printed it reads {{read_printed:.1f ± 0.3}}, and J is {{J_printed:.2f ± 0.03}}: with good
# keys one match is often a good one. The equation as printed is not *wrong*: shorter keys do what a smaller scale
# does, so a network trained without the scale would learn shorter keys. But for given weights the two are different
# functions, and the scale returns when keys are *adapted* by gradient steps: it multiplies the gradient.
#
# ## The best matches alone
#
# STCN keeps only the $k$ largest weights of each row when it is used (not when it is trained), and drops the rest.
# Choosing comes *before* the softmax. Chosen after it, rows sum to less than one, and what is read becomes shorter. And
# a logit of zero does not drop a cell, since $e^0 = 1$.


# %%
def top_k_affinity(query_keys, memory_keys, k):
    """(..., d, N), (..., d, M) -> A (..., N, M) with the k largest weights of each row, softmax over these alone."""
    logits = query_keys.shape[-2] ** -0.5 * query_keys.mT @ memory_keys
    best = logits.topk(min(k, logits.shape[-1]), dim=-1)
    return torch.zeros_like(logits).scatter(-1, best.indices, torch.softmax(best.values, dim=-1))


of_k = []
for k in (1, 5, 20):
    of_k.append(
        {"k": str(k), "J": J(clip, run(FirstFrameTracker(net, lambda q, m, k=k: top_k_affinity(q, m, k)), clip))}
    )
table([*of_k, {"k": "all", "J": J(clip, mine)}])

# %% tags=["hold"]
numbers(J_one_match=of_k[0]["J"], J_all_matches=J(clip, mine))

# %% [markdown]
# Copying the single best match gives {{J_one_match:.2f ± 0.03}}, all of them {{J_all_matches:.2f ± 0.03}}. The decoder
# sees whole neighbourhoods, and outvotes a few wrong copies. Our memory holds one small frame; STCN's holds many large
# ones, with many more small weights to drop, and there it pays.
#
# ## Several objects: soft aggregation
#
# The network segments each object alone, with a probability $p_k$ in each pixel, and nothing keeps two from claiming
# the same pixel. Soft aggregation (`soft_aggregate` above) gives the background what nobody wants,
# $p_0 = \prod_k (1-p_k)$, and divides the *odds* $p / (1-p)$ of all by their sum. For one object alone that is
#
# $$p \;\mapsto\; \frac{p^2}{p^2 + (1-p)^2}$$
#
# One half stays one half, so the mask of a single object does not change. But doubt is pushed towards a decision, and
# it is these probabilities that go into memory.

# %%
alone = soft_aggregate(torch.tensor([[0.8]]))[1, 0].item()
background, first, second = soft_aggregate(torch.tensor([[0.9], [0.8]]))[:, 0].tolist()
print(f"one object, 0.8 alone, becomes {alone:.2f}")
print(f"two objects, 0.9 and 0.8, become {first:.2f} and {second:.2f}, and the background {background:.2f}")

# %% tags=["hold"]
p = torch.linspace(0.001, 0.999, 99)
hold("one object", torch.allclose(soft_aggregate(p[None])[1], p**2 / (p**2 + (1 - p) ** 2)))

# %% [markdown]
# ## What to remember: four schedules
#
# | schedule | memory when frame $t$ comes | from |
# |---|---|---|
# | `first` | frame 0 | "static memory" in S0 |
# | `every` | frame 0, and every 5th frame | STCN |
# | `every+last` | the same, and frame $t-1$, which then leaves again | STM |
# | `variation` | frame 0, and of every 5th frame the tenth of its cells that is newest | SwiftNet |
#
# When more than `capacity` frames have been added, the oldest leaves, never frame 0. SwiftNet does not ask *when* to
# remember but *what*: it compares each new key with all in memory, by the cosine, and keeps the tenth of the cells
# whose best match is the worst.


# %% tags=["package"]
def most_changed(memory_keys: torch.Tensor, new_keys: torch.Tensor, beta: float = 0.1) -> torch.Tensor:
    """memory_keys (B, d, M), new_keys (B, d, N) -> indices (B, N - int(N (1 - beta))) of the least similar cells."""
    similarity = F.normalize(new_keys, dim=-2).transpose(-1, -2) @ F.normalize(memory_keys, dim=-2)
    n = new_keys.shape[-1]
    least = similarity.amax(-1).argsort(dim=-1)[..., : n - int(n * (1 - beta))]
    return least.sort(dim=-1).values


# %%
stored = load_results("schedules")
names = {f"matching:memory={name}": name for name in ("first", "every", "variation")} | {"matching": "every+last"}
overall = {names[row["tracker"]]: row for row in stored["rows"] if row["difficulty"] == "all"}
steps = {(names[row["tracker"]], names[row["reference"]]): row for row in stored["pairs"] if row["difficulty"] == "all"}
table(
    [
        {"schedule": name, "mean J": row["J"], "frames/s": round(row["fps"])}
        | {"over first": steps[name, "first"]["J_gain"] if name != "first" else 0.0}
        for name, row in overall.items()
    ],
    digits=3,
)

# %% tags=["hold"]
last = steps["every+last", "every"]
numbers(
    clips=overall["first"]["clips"],
    last_gain=last["J_gain"],
    last_low=last["J_gain_low"],
    last_high=last["J_gain_high"],
    fps_every=overall["every"]["fps"],
    fps_last=overall["every+last"]["fps"],
    kept=steps["variation", "first"]["J_gain"] / steps["every", "first"]["J_gain"],
)

# %% [markdown]
# These are {{clips}} clips of creatures that no training and no tuning saw. The previous frame adds
# {{last_gain:+.3f}} to `every` (from {{last_low:.3f}} to {{last_high:.3f}}), and costs most: every frame must be
# encoded, so {{fps_every:.0f}} frames a second become {{fps_last:.0f}}. SwiftNet's selection keeps {{kept:.0%}} of
# what `every` gains, with a tenth of the cells of each frame that is added.
#
# > **Paper and code.** SwiftNet's paper also decides *when* to update, by how much has changed. Its public code has no
# > such trigger: it updates every 5th frame, as STM does. We follow the code.
#
# ## Reading without holding A
#
# $A$ has an entry for each pair of a query cell and a memory cell. How large is it for a frame of DAVIS, 480 x 854
# pixels, with six frames in memory?

# %%
for stride in (8, 16):
    cells = math.ceil(480 / stride) * math.ceil(854 / stride)
    print(f"stride {stride}: {cells} query cells, {6 * cells} memory cells, {cells * 6 * cells * 4 / 1e6:.0f} MB")

# %% [markdown]
# Our networks have stride 8, and there $A$ takes 989 MB, for one object in one frame. The paper's networks (S0's, as
# STM's) have stride 16: a quarter of the cells in each frame, and so a sixteenth of the memory, 63 MB. It grows with
# the memory all the same.
#
# But who needs $A$? We need what is *read*, one vector for each query cell. So walk over the memory in blocks: keep a
# running sum of weighted values and a running sum of weights, and divide at the end. Deep learning libraries have this
# built in under the name of fused, or flash, attention. The zeros that `as_head` appends make keys and values equally
# wide, which the fast kernel wants; a zero adds nothing to a dot product.


# %% tags=["package"]
def read_flat(query_keys: torch.Tensor, memory_keys: torch.Tensor, memory_values: torch.Tensor) -> torch.Tensor:
    """The same as read_memory(affinity(query_keys, memory_keys), memory_values), without ever holding A."""
    d, v = query_keys.shape[-2], memory_values.shape[-2]

    def as_head(x: torch.Tensor) -> torch.Tensor:  # the kernel's layout: (batch, heads, cells, width), contiguous
        x = F.pad(x, (0, 0, 0, max(d, v) - x.shape[-2])).transpose(-1, -2)
        return x.reshape(-1, 1, *x.shape[-2:]).contiguous()

    read = F.scaled_dot_product_attention(*map(as_head, (query_keys, memory_keys, memory_values)), scale=d**-0.5)
    return read[..., :v].transpose(-1, -2).reshape(*query_keys.shape[:-2], v, -1)


# %% [markdown]
# What does it save? PyTorch lets us look at every tensor that any operation returns. We keep the size of the largest.


# %%
class Largest(TorchDispatchMode):
    """Within `with Largest() as largest:` the size of the largest tensor that is made, as `largest.megabytes`."""

    megabytes = 0.0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.megabytes = max(self.megabytes, tensor.nbytes / 1e6)
        return made


bill, rng = [], np.random.default_rng(0)
for cells in (1000, 2000):
    q, k, values = (torch.from_numpy(rng.standard_normal((1, width, cells), np.float32)) for width in (d, d, v))
    with Largest() as plain:
        read_memory(affinity(q, k), values)
    with Largest() as flat:
        read_flat(q, k, values)
    bill.append({"cells": cells, "holding A, MB": plain.megabytes, "flat, MB": flat.megabytes})
table(bill, digits=1)

# %% tags=["hold"]
both = read_memory(affinity(K_Q, K_R), V_R), read_flat(K_Q[None], K_R[None], V_R[None])[0]
hold("both read the same", torch.allclose(*both, atol=1e-4))
hold("the decoder gets both values", enriched_value(V_Q, affinity(K_Q, K_R), V_R).shape == (2 * v, K_Q.shape[1]))
hold("holding A grows by", bill[1]["holding A, MB"] / bill[0]["holding A, MB"], low=3.9)
hold("flat grows by", bill[1]["flat, MB"] / bill[0]["flat, MB"], high=2.1)

# %% [markdown]
# Twice the cells need four times the memory with $A$ and twice without: the square is gone. The price is that there
# is no $A$ left to look at. So the trackers use `read_flat`, and whenever we want to *understand* something we
# compute $A$.
#
# ## Does a matcher go by place?
#
# The lesson moves a window in one frame, for the creatures matcher (from scratch) and the photograph matcher (on
# photographs). Here are whole clips, of creature twins, with the target alone. *Moved apart*: frame 0 is one
# window of a larger scene, all later frames are another one, 48 pixels to the side, and J counts only what both see.
# *Rolled*: later frames are rolled by a quarter of their width, so that what leaves on one side comes in on the other.

# %% tags=["plot"]
place = {(row["tracker"], row["measure"]): row for row in json.loads((RESULTS / "place.json").read_text())["rows"]}
NAMES = {"matching": "from scratch", "matching:backbone=photos": "on photographs", "nearest": "nearest neighbours"}
show.forest(
    [place[tracker, measure] for measure in ("moved apart", "rolled") for tracker in NAMES],
    label=lambda row: f"{NAMES[row['tracker']]}, {row['measure']} ({row['clips']})",
    xlabel="change of mean J when nothing changes but the place (number of clips in brackets)",
    alt="Forest plot of the change of J when memory and query are seen at two places. The matcher trained from scratch "
    "loses in both measures, with an interval clear of zero when windows are moved apart; the matcher on photographs "
    "and nearest neighbours lose nothing that can be told from zero.",
)

# %% tags=["hold"]
numbers(
    scratch_rolled=place["matching", "rolled"]["gain"],
    scratch_low=place["matching", "rolled"]["low"],
    scratch_high=place["matching", "rolled"]["high"],
    scratch_clips=place["matching", "moved apart"]["clips"],
)
hold("rolled is not clear of zero", place["matching", "rolled"]["high"] > 0)
hold("only moved apart is", place["matching", "moved apart"]["high"] < 0)

# %% [markdown]
# Rolled, the matcher that was trained from scratch changes by {{scratch_rolled:+.3f}}, and its interval, from
# {{scratch_low:.3f}} to {{scratch_high:+.3f}}, includes zero; rolling also cuts some objects in two at the seam. Only
# in {{scratch_clips}} of its six clips do both windows see the target, for its picture is smaller: there 48 pixels are
# a fifth of the width, and a ninth in the others. And a bootstrap of four clips gives intervals that are too short.
#
# How can a network know a place that its equation does not contain? Its convolutions pad the border with zeros, so a
# cell near a border looks like one. And in training all three frames of a sample were cut by the *same* window, so
# "look where it was" paid off, and keys could learn it. The frames of the matcher on photographs were cut by a window
# *each*. But the two differ in their backbones as well, and nearest neighbours, on the new backbone and with no such
# training, lose nothing either. So this measurement cannot say which of the two did it.
#
# Back to {{to core}}.
