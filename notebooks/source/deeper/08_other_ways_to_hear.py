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
# # Other ways to hear
#
# *Goes deeper than* {{to core}}. There four sweeps brought news from every cell to every other. Here is what they are
# made of: gradients that run backwards through them, 4 neighbours or 8, memory, and the loss on other features. And two
# other ways to hear from everywhere, convolutions and attention, set beside them.
#
# 1. What the paper leaves open.
# 2. A sweep, backwards: by hand, by finite differences, and as a public program has it.
# 3. How far is news heard? 4 or 8 neighbours, with and without tanh.
# 4. Time and memory.
# 5. The printed loss again: its scale, and features that it does not spoil.
# 6. How far does the backbone hear already?
# 7. Attention, or a recurrence?
# 8. Instead of the backbone's maps, and from strokes.
#
# <small>To read: {{read}}. To run: {{run}}. No exercises. The numbers in the text are those of the run that is
# shipped.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test"
MAX_CLIPS = 6
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["setup"]
import json
import time

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from vosnb import creatures, show
from vosnb.course.cells import whole_cells
from vosnb.course.classroom import device, hold, numbers, predict, progress, table
from vosnb.datasets import load
from vosnb.efficientnet import load_photographs
from vosnb.features import load_weights, standardise, to_image
from vosnb.methods.losses import metric_loss, nearest
from vosnb.methods.matching import MatchingNet
from vosnb.methods.st_rnn import ACTIVATIONS, STRNN, double_loop
from vosnb.paths import RESULTS

dev = device(DEVICE)
g = torch.Generator().manual_seed(SEED)


def lit(rows, columns):
    """z (4, 1, rows, columns, 1) with 1 in the top left cell of the first sweep."""
    z = torch.zeros(4, 1, rows, columns, 1, dtype=torch.float64)
    z[0, 0, 0, 0] = 1
    return z


def number(K):
    """K_d (4, 1, 1), the same number for all sweeps."""
    return torch.full((4, 1, 1), float(K), dtype=torch.float64)


# %% [markdown]
# ## 1. What the paper leaves open
# S2 prints S2-E1 and S2-E2 and no more. It does not say how many neighbours a cell has, which $f$ it takes, how many
# channels a state has, how $\mathbf K$ begins, or how many frames a training sample has. There is no public code.
# DAG-RNN, on which it builds, draws 8 neighbours. The one public port of DAG-RNN to PyTorch has 4, tanh, $\mathbf K$
# the identity, output weights of 0.001 times noise, and *one* bias, in the sweep to the south-east; it calls "ne" what
# S2 calls "sw". Our tests hold our wavefronts to the states of that port, sweep by sweep. We took 8 neighbours, tanh,
# and $\mathbf K$'s that sum to 0.9.
#
# One more difference: in the paper the classifier sees the recurrence's output *alone*. We join it to the backbone's
# maps, as the lesson measures it. Section 8 has the other.
#
# ## 2. A sweep, backwards
# What does the loss say about $z$ of a cell? The cell's state matters for the loss directly, by $\mathbf g$, and it is
# heard by its *successors*. So gradients run as the states do, from the last cell to the first:
#
# $$\mathrm dz^{i} = (1 - (h^{i})^2) \odot \Big(\mathbf g^{i} + \sum_{j\,:\,i \in \mathcal P(j)} \mathbf K^T\,
# \mathrm dz^{j}\Big)$$
#
# $1 - h^2$ is the slope of tanh, where it came out as $h$.


# %%
def states_of(z, K):
    """The first sweep alone, (H, W, n), with 4 neighbours."""
    return double_loop(z.expand(4, 1, -1, -1, -1), K.expand(4, -1, -1), 4)[0, 0]


def backwards(h, g, K):
    """The derivative of the loss by z (H, W, n), without autograd; g: that by each state, as if nobody heard it."""
    rows, columns, _ = h.shape
    dz = torch.zeros_like(h)
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            total = g[i, j].clone()
            if i + 1 < rows:
                total += K.T @ dz[i + 1, j]
            if j + 1 < columns:
                total += K.T @ dz[i, j + 1]
            dz[i, j] = (1 - h[i, j] ** 2) * total
    return dz


z, K = torch.randn(5, 7, 3, generator=g).double(), 0.4 * torch.randn(3, 3, generator=g).double()
weights = torch.randn(z.shape, generator=g).double()  # the loss is the weighted sum of all states
by_hand = backwards(states_of(z, K), weights, K)

# %% [markdown]
# Is it right? **Finite differences** ask the loss itself: move one number of $z$ by a little, and see how the loss
# moves. The public port writes its backward pass by hand as well. There the slope of tanh is missing in what goes back
# to the input, and the gradient of $\mathbf K$ is made with the *gradient* of a state where the state belongs.

# %%
truth = torch.zeros_like(z)
for n in range(z.numel()):
    step = torch.zeros_like(z)
    step.view(-1)[n] = 1e-5
    truth.view(-1)[n] = ((states_of(z + step, K) - states_of(z - step, K)) * weights).sum() / 2e-5
without_slope = by_hand / (1 - states_of(z, K) ** 2)
errors = {
    name: ((dz - truth).norm() / truth.norm()).item()
    for name, dz in {"by hand": by_hand, "without the slope, as in the port": without_slope}.items()
}
for name, error in errors.items():
    print(f"{name:34} relative error {error:.0e}")

# %% [markdown]
# The port's gradient is off by {{port_error:.0%}} of its length: whoever trains with it descends something else than
# the loss. A test by finite differences takes four lines, and finds that.
#
# ## 3. How far is news heard?
# What is left of one lit cell, so many cells along the diagonal? And how much does the state there change when the lit
# cell changes, which is what a gradient can use?

# %%
SETTINGS = [(1.0, 4, "relu"), (1.0, 4, "tanh"), (1.0, 8, "tanh"), (0.45, 4, "tanh"), (0.3, 8, "tanh")]


def along_diagonal(K, neighbours, f, length=21, every=4):
    """The states on the diagonal, and their derivatives by what the lit cell is given."""
    z = (0.5 * lit(length, length)).requires_grad_()
    h = double_loop(z, number(K), neighbours, f)[0, 0, :, :, 0].diagonal()[::every]
    slopes = [torch.autograd.grad(state, z, retain_graph=True)[0][0, 0, 0, 0, 0].item() for state in h]
    return h.detach().numpy(), np.array(slopes)


along = {setting: along_diagonal(*setting) for setting in SETTINGS}

# %% tags=["plot"]
with show.style():
    fig = Figure((8.2, 3.2))
    for axes, what, title in zip(fig.subplots(1, 2), (0, 1), ("state", "slope by the lit cell"), strict=True):
        for tone, ((K_, n, f), found) in zip(show.TONES, along.items(), strict=False):
            axes.plot(
                4 * np.arange(6), np.clip(found[what], 1e-14, None), color=tone, label=f"K {K_:g}, {n} neighbours, {f}"
            )
        axes.set(title=title, xlabel="cells along the diagonal", yscale="log", ylim=(1e-9, 1e10))
    fig.axes[0].legend(loc="lower left")
show.figure(
    fig,
    alt="States and slopes along the diagonal for five settings, on logarithmic scales. With K of 1 and relu both "
    "explode. With K of 1 and tanh states stay near 1 and slopes vanish. With sums of 0.9 both fade, more slowly with "
    "8 neighbours than with 4.",
)

# %% [markdown]
# 20 cells on, with $K = 1$ and tanh the state is {{state_8:.2f}} and the slope {{slope_8:.0e}}: it is always full on,
# and says nothing. With sums of 0.9 the slope is {{slope_45:.0e}} with 4 neighbours and {{slope_3:.0e}} with 8, because
# the diagonal is a way of 20 steps instead of 40. That is why we took 8. Where more is worth hearing, training can turn
# K up.
#
# ## 4. Time and memory
# The package's wavefronts do not shear the map. They sort all cells by wavefront once, and find the predecessors in the
# wavefronts before by a shift:


# %% tags=["package"]
def wavefronts(z: torch.Tensor, K: torch.Tensor, neighbours: int = 8, activation: str = "tanh") -> torch.Tensor:
    """What `double_loop` computes, one antidiagonal after the other (S2-E1). Time and memory are linear in H W."""
    f, (rows, columns) = ACTIVATIONS[activation], z.shape[2:4]
    front = (torch.arange(rows)[:, None] + torch.arange(columns)).flatten().to(z.device)  # of each cell
    order, sizes = front.argsort(stable=True), front.bincount().tolist()  # in a front, cells come from top to bottom
    one = two = z.new_zeros(*z.shape[:2], 2, z.shape[-1])  # the two fronts before, an empty cell at either end
    top_one = top_two = 0  # the rows that they begin in
    found = []
    for k, cells in enumerate(z.flatten(2, 3)[:, :, order].split(sizes, 2)):
        top, n = max(0, k - columns + 1), sizes[k]
        above = top - top_one  # where the cell above the first one is
        heard = one[:, :, above : above + n] + one[:, :, above + 1 : above + 1 + n]
        if neighbours == 8:
            heard = heard + two[:, :, top - top_two : top - top_two + n]
        found.append(f(cells + heard @ K.mT[:, None]))
        one, two, top_one, top_two = F.pad(found[-1], (0, 0, 1, 1)), one, top, top_one
    return torch.cat(found, 2)[:, :, order.argsort()].unflatten(2, (rows, columns))


# %% tags=["setup"]
SIZES = ((15, 27), (30, 54), (60, 108))
cost = []
for rows, columns in SIZES:
    z, K = torch.randn(4, 1, rows, columns, 32, generator=g), 0.05 * torch.randn(4, 32, 32, generator=g)
    z.requires_grad_()
    kept, seconds = [], []
    for _ in range(3):
        began, bytes_of = time.process_time(), {}

        def pack(x, bytes_of=bytes_of):
            bytes_of[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            wavefronts(z, K)
        kept.append(sum(bytes_of.values()))
        seconds.append(time.process_time() - began)
    cost.append((rows * columns, 1000 * min(seconds), max(kept) / 1e6))

# %%
table([{"cells": cells, "ms": f"{ms:.0f}", "MB kept for gradients": f"{MB:.1f}"} for cells, ms, MB in cost])

# %% [markdown]
# 16 times as many cells take {{ms_ratio:.1f ± 5}} times as long: where wavefronts are short, most of the time goes into
# calls, whose number grows only with the map's sides. What training has to remember for its gradients grows as the
# number of cells, by {{MB_ratio:.0f}} times. And in S2-E2 it grows with the number of frames, because the last frame's
# gradient runs back through all of them. That is why a training sample has a few frames only.
#
# ## 5. The printed loss again
# A hole that the lesson closed without a word: features of fixed length. Here are features of three anchors, some
# positives and negatives, at random. **Multiply all of them by a number.** Who is nearest to whom does not change. And
# S2-E4?

# %%
anchors, positives, negatives = (torch.randn(n, 8, generator=g) for n in (3, 5, 40))
scales = (1.0, 0.3, 0.1, 0.03, 0.01)
shrunk = [metric_loss(s * anchors, s * positives, s * negatives, "ratio").item() for s in scales]
print(*(f"x {s:g}: {loss:.4f}  " for s, loss in zip(scales, shrunk, strict=True)))

# %% [markdown]
# The loss falls by a factor of {{scale_gain:.0f}} and nothing was learned: where distances are small beside $\alpha$,
# it is $d_+ / \alpha$. With a *difference* of distances the hole is on the other side: make all features longer, and
# every difference grows. A fixed length closes both.
#
# In the lesson S2-E4 made features of strangers worse, on the backbone of lesson 01's first matcher. Is that a law?

# %% tags=["ask"]
guess_photos = predict(
    "The same training on the backbone of photographs, which tells twins apart far better by itself. On strangers, the "
    "printed loss then ...",
    {
        "spoils": "... spoils the features as well (by 0.1 or more).",
        "nothing": "... changes little.",
        "helps": "... makes them better than before training (by 0.1 or more).",
    },
    seed=0,
)

# %% tags=["setup"]
STEPS, FRAMES, HIDDEN, FIXED = max(8, round(40 * BUDGET)), 4, 16, 3.0
photos = load_photographs(dev)
matcher = load_weights(MatchingNet(), "matching").query_encoder.to(dev).requires_grad_(False)
BACKBONES = {
    "first matcher": lambda image: matcher(image)[2],
    "photographs": lambda image: photos.maps(image)[2],
}


def seen_by(frames, masks, look):
    """Features x (T, B, C, h, w) at stride 8, and how much of each cell the object covers (T, B, h, w)."""
    x = look(to_image(frames.reshape(-1, *frames.shape[2:]), dev)).contiguous().unflatten(0, frames.shape[:2])
    return standardise(x), F.avg_pool2d(torch.from_numpy(masks).float(), 8).to(dev)


def twins_of_creatures(count):
    images, masks = [], []
    for n in range(count):
        r = np.random.default_rng([1, n])
        times = sorted(r.choice(24, FRAMES, replace=False).tolist())
        made = creatures.generate(int(r.integers(2**31)), "twins", "train", (128, 128), 24, times=times)
        images.append(np.stack(list(made.frames)))
        masks.append(np.stack(list(made.masks)) == 1)
    return np.stack(images, 1), np.stack(masks, 1)


def of_strangers(clip):
    small, times = whole_cells(clip, 120), np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
    return tuple(
        np.stack(part)[:, None] for part in ([small.frames[t] for t in times], [small.masks[t] == 1 for t in times])
    )


def parts_of(y, cover):
    y = FIXED * F.normalize(y, dim=2)
    for b in range(y.shape[1]):
        cells = y[:, b].movedim(1, -1)
        parts = cells[0][cover[0, b] > 0.6], cells[1:][cover[1:, b] > 0.6], cells[1:][cover[1:, b] < 0.2]
        if all(map(len, parts)):
            yield parts


@torch.no_grad()
def share(net, data):
    found = [parts for x, cover in data for parts in parts_of(net(x), cover)]
    return float(np.mean([(nearest(a, p) < nearest(a, n)).float().mean().item() for a, p, n in found]))


def learn(kind, seed, x, cover):
    """A small recurrence before and after training: two functions of x."""
    nets = []
    for _ in range(2):
        torch.manual_seed(seed)
        rnn = STRNN(x.shape[2], HIDDEN, HIDDEN, temporal=False).to(dev)
        nets.append(lambda x, rnn=rnn: rnn(x.flatten(0, 1)[None])[0].unflatten(0, x.shape[:2]))
    optimizer = torch.optim.Adam(rnn.parameters(), 3e-3)
    for step in range(STEPS):
        r = np.random.default_rng([seed, 3, step])
        b, t = r.choice(x.shape[1], 4, replace=False), r.permutation(FRAMES)[:3]
        loss = torch.stack([metric_loss(*p, kind) for p in parts_of(nets[1](x[t][:, b]), cover[t][:, b])]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(rnn.parameters(), 1.0)
        optimizer.step()
    return nets


clips = [clip for clip in load(DATASET, SPLIT) if (clip.masks[0] == 1).any()]
confused = [clip for clip in clips if clip.info.get("difficulty") in ("twins", "lookalike")] or clips
SEEDS, KINDS = [SEED, SEED + 1, SEED + 2], ("ratio", "softplus", "margin")
rows = []
for name, look in BACKBONES.items():
    x, cover = seen_by(*twins_of_creatures(12), look)
    strangers = [seen_by(*of_strangers(clip), look) for clip in confused[:MAX_CLIPS]]
    for kind in KINDS if name == "photographs" else ("margin",):
        for seed in progress(SEEDS, f"{name}, {kind}"):
            before, after = learn(kind, seed, x, cover)
            shares = share(before, strangers), share(after, strangers), share(before, [(x, cover)])
            rows.append((name, kind, *shares, share(after, [(x, cover)]), share(lambda x: x, strangers)))

# %% tags=["plot"]
groups = list(dict.fromkeys(row[:2] for row in rows))
with show.style():
    fig = Figure((8.2, 2.9))
    axes = fig.subplots()
    for n, group in enumerate(groups):
        some = [row for row in rows if row[:2] == group]
        for row in some:
            axes.plot([2 * n, 2 * n + 1], row[2:4], "o-", color=show.TONES[KINDS.index(group[1])], ms=5, lw=1.4)
        axes.plot([2 * n - 0.2, 2 * n + 1.2], [some[0][6]] * 2, color=show.INK, ls="--", lw=1)
    axes.set(ylim=(0, 1), ylabel="nearest is the same object", xticks=[2 * n + 0.5 for n in range(len(groups))])
    axes.set_xticklabels([f"{name},\n{kind}" for name, kind in groups])
mean_of = {
    group: np.mean([row[2:] for row in rows if row[:2] == group], axis=0) for group in groups
}  # before, after on strangers; before, after on its own clips; the backbone on strangers
change = mean_of["photographs", "ratio"][1] - mean_of["photographs", "ratio"][0]
guess_photos.reveal("spoils" if change < -0.1 else "helps" if change > 0.1 else "nothing", f"By {change:+.2f}.")
show.figure(
    fig,
    alt="Of how many anchors the nearest cell is the same object, before and after training, on strangers, three seeds "
    "each, for margin on the first matcher's backbone, and for ratio, softplus and margin on that of photographs; the "
    "backbones' own shares are dashed.",
)

# %% [markdown]
# On photographs' features the ratio changes the share on strangers from {{photos_before:.2f}} to {{photos_ratio:.2f}},
# softplus to {{photos_softplus:.2f}}, margin to {{photos_margin:.2f}}; on the clips of the training the ratio comes to
# {{photos_own:.2f}}. So nothing is spoiled. Perhaps the denominator is the easier way where twins are told apart
# already, and the printed loss may well have worked for its authors, whose backbone came from a segmentation network.
# Note the dashed line, too. The backbone itself has {{photos_backbone:.2f}}: sixteen channels that were learned on
# twelve clips in a few seconds are worse than the {{channels}} that they were made of.
#
# ## 6. How far does the backbone hear already?
# A cell of a deep feature map is no spot of 8 x 8 pixels. Each convolution heard from its neighbours. How far? Take the
# gradient of the middle cell's features by the picture, and ask which share of its squared length lies within so many
# cells.


# %%
def reach(look, side=240):
    """Share of the squared gradient that lies within r cells (Chebyshev) of the middle one, for r = 0, 1, .."""
    image = to_image(np.random.default_rng(SEED).integers(0, 256, (side, side, 3), np.uint8), dev)
    image = image.reshape(1, 3, side, side).requires_grad_()
    x = look(image)[..., side // 16, side // 16]
    (gradient,) = torch.autograd.grad((x * torch.randn(x.shape, generator=g).to(x)).sum(), image)
    per_cell = F.avg_pool2d(gradient.square().sum(1), 8)[0]
    away = (torch.arange(side // 8) - side // 16).abs()
    away = torch.maximum(away[:, None], away)
    return [(per_cell[away <= r].sum() / per_cell.sum()).item() for r in range(side // 16)]


def grad_photos(image):
    """The backbone's map with its gradient: `look` of the package has none."""
    mean, spread = (torch.tensor(v).view(-1, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return torch.cat(photos(image * spread + mean)[2:], 1)


reaches = {"first matcher": reach(BACKBONES["first matcher"]), "photographs": reach(grad_photos)}
for name, shares in reaches.items():
    print(f"{name:14}", *(f"{r}: {shares[r]:.2f}  " for r in (0, 1, 2, 4, 8, 12)))

# %% [markdown]
# (Numbers before the colon: cells away.) In both, what lies within one cell makes {{reach_matcher:.0%}} and
# {{reach_photos:.0%}} of it, and within four cells {{reach_matcher_4:.0%}} and {{reach_photos_4:.0%}}. So a cell of
# photographs' features hears its neighbourhood, up to some 30 pixels, before any recurrence comes. What a recurrence
# can add is what lies farther away. That is worth remembering when its gain is small.
#
# Could convolutions do it all? Each layer of 3 x 3 brings news one cell further: to cross 53 cells takes 53 layers,
# each of which computes all cells.
#
# ## 7. Attention, or a recurrence?
# Lesson 01 had another way to hear from everywhere: **attention**. Each cell asks all others by a dot product, and
# reads the mean of what they have to say, weighted by a softmax. One step, from any distance. Two things are different.
#
# **Cost.** Attention compares all pairs of cells, so 4 times as many cells cost 16 times as much. Sweeps are linear.


# %%
import timeit


def attention(x):
    """Self-attention without projections: x (H, W, n) -> (H, W, n)."""
    cells = x.flatten(0, 1)
    return (torch.softmax(cells @ cells.T / cells.shape[1] ** 0.5, 1) @ cells).view_as(x)


def fastest(run):
    return 1000 * min(timeit.repeat(run, timer=time.process_time, number=1, repeat=3))


price = []
with torch.no_grad():
    for rows_, columns_ in SIZES:
        z, K = torch.randn(4, 1, rows_, columns_, 32, generator=g), 0.05 * torch.randn(4, 32, 32, generator=g)
        price.append((fastest(lambda z=z: attention(z[0, 0])), fastest(lambda z=z, K=K: wavefronts(z, K))))
table(
    [
        {
            "cells": r * c,
            "attention, ms": f"{a:.1f}",
            "four sweeps, ms": f"{s:.1f}",
            "pairs, MB": f"{4e-6 * (r * c) ** 2:.0f}",
        }
        for (r, c), (a, s) in zip(SIZES, price, strict=True)
    ]
)

# %% [markdown]
# On {{small_cells:,}} cells attention takes {{attention_small:.0f ± 20}} ms and the sweeps {{sweeps_small:.0f ± 20}},
# on {{large_cells:,}} cells {{attention_large:.0f ± 450}} and {{sweeps_large:.0f ± 60}}: attention is many
# multiplications that a processor likes, and the sweeps are few that wait for each other. (On a GPU attention gains far
# more.) On large maps the square wins against all liking.
#
# **Places.** Attention does not know where a cell lies. Shuffle all cells, and each gets the same answer as before, in
# its new place. In a recurrence the answer depends on who stands between.

# %%
x = torch.randn(9, 13, 8, generator=g)
shuffled = torch.randperm(9 * 13, generator=g)
K = 0.3 * torch.eye(8).expand(4, -1, -1)


def sweeps(x):
    return wavefronts(x.expand(4, 1, -1, -1, -1), K)[0, 0]


def changed_by_shuffling(hear):
    """How much a cell's answer changes when all cells are shuffled, and put back."""
    there, here = hear(x.flatten(0, 1)[shuffled].view_as(x)).flatten(0, 1), hear(x).flatten(0, 1)[shuffled]
    return ((there - here).norm() / here.norm()).item()


for hear in (attention, sweeps):
    print(f"{hear.__name__:10} {changed_by_shuffling(hear):.0e}")

# %% [markdown]
# Zero but for rounding against {{shuffled_sweep:.0%}}. That is why attention for pictures is given positions as extra
# channels, and why lesson 01's matcher confuses twins: it asks what a cell looks like, not on whose body it lies. And
# the recurrence pays for its sense of place by fading: news from 20 cells away arrives with {{slope_3:.0e}} of its
# weight.
#
# ## 8. Instead of the backbone's maps, and from strokes
# In the lesson's measurement the recurrence stood *beside* the backbone's maps, and the classifier was solved from a
# whole mask. In the paper it stands *instead of* them, "alone" below, and S2 is used with strokes. Here are these rows
# of the same study, paired clip by clip. "Hearing" compares the trained network with the same one, all K zero.

# %% tags=["plot"]
study = json.loads((RESULTS / "st_rnn.json").read_text())["rows"]
found = {(row["part"], row["list"], row["step"]): row for row in study if "step" in row}
WORLDS = {"creatures": "creatures", "toys": "toys", "dev": "real video"}
SHOWN = {
    ("mask", "alone"): "mask: alone",
    ("mask", "alone, hearing"): "mask: alone, hearing",
    ("strokes", "alone"): "strokes: alone",
    ("strokes", "alone, hearing"): "strokes: alone, hearing",
    ("strokes", "hearing"): "strokes: beside, hearing",
}
shown = [
    found[part, where, step] | {"name": f"{name}: {words}"}
    for (part, step), name in SHOWN.items()
    for where, words in WORLDS.items()
]
said = "; ".join(f"{row['name']} {row['gain']:+.3f}" for row in shown)
show.forest(shown, label="name", alt=f"Gains in mean J with 95 % intervals. {said}.")

# %% [markdown]
# From a whole mask J falls by {{alone_creatures:.2f}}, {{alone_toys:.2f}} and {{alone_real:.2f}}: 48 channels are no
# substitute for 272. Even among these K zero is the better choice: hearing makes {{solo_toys:+.3f}} on toys and
# {{solo_real:+.3f}} on real video, both clear of zero, and {{solo_creatures:+.3f}} on creatures, which is not. From
# strokes a classifier has few samples, and there the recurrence alone is no worse than the backbone's maps on real
# video: {{strokes_alone:+.3f}} [{{strokes_low:+.3f}}, {{strokes_high:+.3f}}]. But hearing is not the reason. With
# strokes none of its six intervals is clear of zero; beside the backbone's maps it makes
# {{strokes_creatures:+.3f}}, {{strokes_toys:+.3f}} and {{strokes_real:+.3f}}.

# %% tags=["hold"]
for key, (part, step) in {
    "alone": ("mask", "alone"),
    "solo": ("mask", "alone, hearing"),
    "strokes": ("strokes", "hearing"),
}.items():
    sign = -1 if key == "alone" else 1
    gains = {words.split()[0]: sign * found[part, where, step]["gain"] for where, words in WORLDS.items()}
    numbers(**{f"{key}_{world}": gain for world, gain in gains.items()})
of_strokes = found["strokes", "dev", "alone"]
numbers(strokes_alone=of_strokes["gain"], strokes_low=of_strokes["low"], strokes_high=of_strokes["high"])
clear = {key for key, row in found.items() if row["low"] > 0 or row["high"] < 0}
lost = {("mask", where, "alone, hearing") for where in ("toys", "dev")}
hold(
    "alone, hearing loses on toys and real video",
    {key for key in clear if key[::2] == ("mask", "alone, hearing")} == lost,
)
hold("with strokes no verdict", not any(part == "strokes" and step.endswith("hearing") for part, _, step in clear))
hold("most of a cell lies within four cells", reaches["photographs"][4], low=0.9)
photo = {kind: mean_of["photographs", kind] for kind in KINDS}
numbers(
    port_error=errors["without the slope, as in the port"],
    state_8=along[1.0, 8, "tanh"][0][-1],
    slope_8=along[1.0, 8, "tanh"][1][-1],
    slope_45=along[0.45, 4, "tanh"][1][-1],
    slope_3=along[0.3, 8, "tanh"][1][-1],
    ms_ratio=cost[2][1] / cost[0][1],
    MB_ratio=cost[2][2] / cost[0][2],
    scale_gain=shrunk[0] / shrunk[-1],
    photos_before=photo["ratio"][0],
    **{f"photos_{kind}": photo[kind][1] for kind in KINDS},
    photos_own=photo["ratio"][3],
    photos_backbone=photo["ratio"][4],
    channels=photos.maps(torch.zeros(1, 3, 64, 64))[2].shape[1],
    reach_matcher=reaches["first matcher"][1],
    reach_photos=reaches["photographs"][1],
    reach_matcher_4=reaches["first matcher"][4],
    reach_photos_4=reaches["photographs"][4],
    small_cells=SIZES[1][0] * SIZES[1][1],
    large_cells=SIZES[2][0] * SIZES[2][1],
    attention_small=price[1][0],
    sweeps_small=price[1][1],
    attention_large=price[2][0],
    sweeps_large=price[2][1],
    shuffled_sweep=changed_by_shuffling(sweeps),
)
hold("by hand against finite differences", errors["by hand"], high=1e-6)
hold("attention knows no places", changed_by_shuffling(attention), high=1e-4)
