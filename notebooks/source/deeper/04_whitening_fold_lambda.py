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
# # Whitening, the fold, and lambda
#
# *Goes deeper than* {{to core}}. There D was learned with features that were whitened, with a $\lambda$ that somebody
# chose, and with a loss on pixels that was somehow fast. Here is each of these choices, with what it costs or brings.
#
# 1. What the paper prints, what its code does, and what we do.
# 2. Whitening: what it changes, for one direction and for D.
# 3. Labels on pixels, and how a hundred thousand pixels fold into nine numbers a cell.
# 4. Lambda, and stopping early.
# 5. Pixel weights, as printed and as coded, on a small object and a large one.
# 6. What stored settings say.
#
# <small>To read: {{read}}. To run: {{run}}. No exercises. The numbers in the text are those of the run that is
# shipped.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test"
MAX_CLIPS = 4
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["setup"]
import json
import time
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from vosnb import metrics, show
from vosnb.course.classroom import device, hold, numbers, progress, table
from vosnb.datasets import load
from vosnb.features import Whitening
from vosnb.methods.augmentation import augment_first_frame, blur_kernel, cut_and_inpaint, paste, transform
from vosnb.methods.refinement import UntrainedTargetNet, backbone_maps
from vosnb.methods.target_model import TargetModel, pixel_weights
from vosnb.paths import RESULTS
from vosnb.trackers import make_tracker
from vosnb.trackers.base import fit_frame, resize

dev = device(DEVICE)
tracker = make_tracker("target-model", backbone="photos", net=UntrainedTargetNet(), device=dev)
OURS = replace(tracker.settings, hidden=32)


def see(frames):
    """Features as they come, (n, C, h, w): all maps of the backbone, averaged to cells of 8 pixels."""
    each = [backbone_maps(tracker.encoder, fit_frame(frame, tracker.short_side, dev)) for frame in frames]
    return torch.cat([UntrainedTargetNet.together(maps) for maps in each])


def prepare(clip):
    """Five samples of frame 0 and every fourth later frame, with features as they come."""
    images, masks = augment_first_frame(clip.frames[0], clip.masks[0] == 1, 5, SEED)
    times = range(4, len(clip), 4)
    first = see(images)
    labels = torch.from_numpy(masks)[:, None].float().to(dev)
    labels = resize(labels, [8 * n for n in first.shape[-2:]])
    truth = np.stack([clip.masks[t] == 1 for t in times])
    return SimpleNamespace(
        clip=clip, first=first, later=see([clip.frames[t] for t in times]), labels=labels, truth=truth
    )


def whitened(one, floor=UntrainedTargetNet.FLOOR):
    """Samples and later frames, whitened by the samples; floor: see `Whitening`."""
    whiten = Whitening(one.first.shape[1], floor).to(dev)
    whiten.fit(one.first.movedim(1, -1).flatten(0, -2))
    return whiten(one.first), whiten(one.later)


def judge(one, s):
    """Mean J of scores of the later frames."""
    found = F.interpolate(s, one.clip.size, mode="bilinear", align_corners=False)[:, 0] > 0.5
    return np.mean([metrics.jaccard(a, b) for a, b in zip(one.truth, found.cpu().numpy(), strict=True)])


def learn(x, labels, v=None, **changes):
    """D on samples x and labels; v by default S1-E4."""
    D = TargetModel(replace(OURS, **changes))
    D.start(x, labels, v)
    return D


def at_scale(frame, mask, scale):
    """Frame and mask with the object `scale` times as large."""
    down, across = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    width, height = across[-1] - across[0] + 1, down[-1] - down[0] + 1
    box = across[0] + width / 2, down[0] + height / 2, width, height
    place = box[0] / mask.shape[1], box[1] / mask.shape[0]
    cut, ground = cut_and_inpaint(frame, mask)
    return paste(ground, cut, mask, transform(mask.shape, box, location=place, scale=scale), blur_kernel(0, 0))


loaded = load(DATASET, SPLIT)[: max(2, round(MAX_CLIPS * min(1, BUDGET)))]
bench = [prepare(clip) for clip in progress(loaded, "clips")]

# %% [markdown]
# ## 1. Paper and code
# > **Paper and code.** *Pixel weights*: S1-E4 has $\kappa = \min(\kappa_{min}, \hat\kappa)$; the code takes the larger,
# > and the root of $\mathbf v$, which the paper does not print. We follow the code in both (section 5). *Tiny masks*:
# > the code leaves masks of fewer than 10 pixels unweighted, and so do we. *Full masks*: there the code divides 0 by 0;
# > ours get weights of 1. *Lambda*: the paper's residual is $\sqrt{\lambda_j}\, \mathbf w_j$; the code's is
# > `filter_reg` times $\mathbf w_j$, without a root, so that $\lambda = (10^{-8}, 10^{-4})$ and not
# > $(10^{-4}, 10^{-2})$. In `Settings`, `squared=True` is the code's reading. *Features*: S1 uses the fourth block of a
# > ResNet-101, 1,024 channels, as it comes. Ours are all maps of a small backbone, whitened. *Samples*: the paper says
# > 20, the code makes 5, our tracker on photographs 10.
#
# ## 2. Whitening
# `Whitening` measures mean and covariance $S$ over the cells of frame 0's samples and multiplies by $(S + \epsilon
# I)^{-1/2}$. This is ZCA: of all ways to make features uncorrelated it moves them least. The floor $\epsilon$, a share
# of the mean variance, keeps directions that hardly vary from being blown up to noise.

# %%
one = bench[0]
spectra = {}
for name, x in {"as they come": one.later, "whitened": whitened(one)[1]}.items():
    cells = x.movedim(1, 0).flatten(1).double()
    spectra[name] = torch.linalg.eigvalsh(torch.cov(cells)).flip(0).clamp_min(1e-6).cpu()

# %% tags=["plot"]
with show.style():
    fig = Figure((8.2, 2.9))
    axes = fig.subplots()
    for (name, variances), tone in zip(spectra.items(), show.TONES, strict=False):
        axes.semilogy(variances, color=tone)
        axes.annotate(name, (len(variances), variances[-1]), (4, 0), textcoords="offset points", color=tone)
    axes.set(xlabel="direction of feature space", ylabel="variance in later frames", xlim=(0, 1.2 * len(variances)))
show.figure(
    fig,
    alt="Variance along each direction, on a logarithmic scale. As they come, the first directions vary thousands of "
    "times more than the last; whitened, all but the last lie near one.",
)

# %% [markdown]
# As they come, the loudest direction varies {{loudest:,.0f ± 5000}} times as much as the median one. Whitened by frame
# 0, the same later frames have variances between {{white_low:.2f}} and {{white_high:.1f ± 1}} for nine in ten
# directions.
#
# What can that change? A linear model can undo any mixing, so what D *can* say is the same. What it *costs* is not:
# $\lambda$ charges for large numbers, and to hear a quiet direction takes large numbers. And few iterations go along
# the loud directions first ({{to 05}} sees why). So what matters is how a model is learned:


# %%
def two_means(first, m):
    on, off = first.T @ m / m.sum(), first.T @ (1 - m) / (1 - m).sum()
    w = (on - off) / (on - off).square().sum()
    return w, -(w @ off)


def cells_of(x):
    return x.movedim(1, -1).flatten(0, -2)


def by_means(one, first, later):
    w, b = two_means(cells_of(first[:1]), F.avg_pool2d(one.labels[:1], 8).flatten())
    return judge(one, torch.einsum("c,nchw->nhw", w, later)[:, None] + b)


def centred(one):
    """As they come, but for the mean and one scale for all: what D without a constant needs."""
    mean, spread = one.first.mean((0, 2, 3), keepdim=True), one.first.std()
    return (one.first - mean) / spread, (one.later - mean) / spread


looks = {"as they come": centred, "whitened, floor 0.3": lambda one: whitened(one, 0.3), "whitened": whitened}
looks["whitened, floor 0.003"] = lambda one: whitened(one, 0.003)
by_look = {}
for name, given in looks.items():
    seen = [given(one) for one in bench]
    D_J = [judge(one, learn(a, one.labels).scores(b)) for one, (a, b) in zip(bench, seen, strict=True)]
    means_J = [by_means(one, *pair) for one, pair in zip(bench, seen, strict=True)]
    by_look[name] = {"features": name, "two means": float(np.mean(means_J)), "D": float(np.mean(D_J))}

# %% tags=["plot"]
table(list(by_look.values()))

# %% [markdown]
# The two means live on whitening: {{means_raw:.2f}} without, {{means_white:.2f}} with it. D, which can weigh directions
# itself, has {{D_raw:.2f}} without and {{D_white:.2f}} with it, on {{clips}} clips. A floor that is ten times as high
# takes this small gain of D away; one that is ten times as low changes nothing.
#
# ## 3. From pixels to cells: the fold
# S1-E2 compares scores with labels on pixels. An optimiser evaluates it dozens of times, and each time it would bring
# scores up to $H \times W$ pixels, multiply, square and sum. Yet there is only one score for 64 pixels. Here is a way
# out, and it is ours. $U$ is *linear*, so the sum of squares is a quadratic in the scores $\mathbf s$, exactly:
#
# $$\| \mathbf v \cdot (U \mathbf s - \mathbf y) \|^2 = \mathbf s^T G\, \mathbf s - 2\, \mathbf s^T \mathbf b + c_0,
# \qquad G = U^T V U, \quad \mathbf b = U^T V \mathbf y, \quad c_0 = \mathbf y^T V \mathbf y$$
#
# with $V = \mathrm{diag}(\mathbf v^2)$. None of them depends on $\mathbf w$, so they are computed once. Look at one row
# of pixels through the object:

# %%
columns = one.first.shape[-1]
y = one.labels[0, 0].cpu().double()
row = int(y.sum(1).argmax())
U = F.interpolate(torch.eye(columns).double()[None], 8 * columns, mode="linear", align_corners=False)[0].T
v = pixel_weights(one.labels[:1])[0, 0, row].cpu().double()
G, b = U.T @ (v[:, None] ** 2 * U), U.T @ (v**2 * y[row])

# %% tags=["plot"]
with show.style():
    fig = Figure((8.2, 2.7))
    left, middle, right = fig.subplots(1, 3, width_ratios=(2, 1.3, 1.6))
    begin = max(0, int(y[row].argmax()) // 8 - 3)
    for j in range(begin, min(columns, begin + 9)):
        left.plot(U[:, j], color=show.TONES[j % 3], lw=1.4)
    left.fill_between(range(8 * columns), y[row], color=show.INK, alpha=0.3, lw=0)
    left.set(xlim=(8 * begin - 4, 8 * begin + 76), xlabel="pixel of the row", title="columns of U, and the label")
    window = slice(begin, begin + 12)
    image = middle.imshow(G[window, window], cmap="inferno")
    middle.set(title="a part of G", xticks=(), yticks=())
    fig.colorbar(image, ax=middle, label="entry of G")
    right.bar(range(columns), b, color=show.TONES[0])
    right.set(title="b", xlabel="cell of the row")
show.figure(
    fig,
    alt="Left, columns of U for a row of pixels: each cell's score spreads as a tent over its own pixels and half of "
    "its neighbours'. Middle, a part of G: only the diagonal and the two beside it are not zero. Right, b: zero but "
    "where the object is.",
)

# %% [markdown]
# A tent reaches to the centres of the neighbours and no further, so a cell shares pixels with its neighbours and with
# nobody else: $G$ is a narrow band. In two dimensions **nine numbers a cell are all of $G$**, and to apply it is to
# look at 3 x 3 cells:


# %% tags=["package"]
class Folded(NamedTuple):
    """||v (U s - y)||^2 = s'G s - 2 s'b + constant, for any scores s on the cells.

    stencil (K, 9, h, w): of each cell, its entry of G with each of its neighbours; target b (K, h, w); constant (K,).
    """

    stencil: torch.Tensor
    target: torch.Tensor
    constant: torch.Tensor

    def apply(self, s: torch.Tensor) -> torch.Tensor:
        """G s: (K, h, w) -> (K, h, w)."""
        return (self.stencil * F.unfold(s[:, None], 3, padding=1).view_as(self.stencil)).sum(1)


# %% [markdown]
# How do we get the nine maps without ever making $U$? Bilinear interpolation is linear interpolation of rows ($R$) and
# then of columns ($S$). So the entry for cells $(i, j)$ and $(m, n)$ is
#
# $$G_{(ij)(mn)} = \sum_{rc} R_{ir} R_{mr}\, v^2_{rc}\, S_{jc} S_{nc}$$
#
# where $r$ and $c$ run over rows and columns of pixels. Rows $i$ and $m$ are equal or next to each other, or the
# product is zero: two kinds of pairs, and two for columns. Four maps hold everything:


# %% tags=["package"]
@lru_cache(maxsize=16)
def interpolation(cells: int, pixels: int, dtype: torch.dtype, device: torch.device):
    """One side of U (cells, pixels), and above each other the products U_i U_i and U_i U_{i+1} (2 cells, pixels)."""
    U = F.interpolate(torch.eye(cells, dtype=torch.float64)[None], pixels, mode="linear", align_corners=False)[0]
    following = torch.cat([U[1:], torch.zeros_like(U[:1])])
    return U.to(device, dtype), torch.cat([U * U, U * following]).to(device, dtype)


def fold(labels: torch.Tensor, v: torch.Tensor, size: tuple[int, int]) -> Folded:
    """Labels and pixel weights (K, 1, H, W) folded onto cells of size (h, w)."""
    (h, w), (H, W) = size, labels.shape[-2:]
    weights, y = v[:, 0] ** 2, labels[:, 0]
    (R, row_pairs), (S, column_pairs) = (interpolation(n, N, v.dtype, v.device) for n, N in ((h, H), (w, W)))
    maps = (row_pairs @ weights @ column_pairs.T).view(-1, 2, h, 2, w)
    maps = F.pad(maps, (1, 0, 0, 0, 1, 0))  # nothing is linked to what lies above row 0 or left of column 0
    neighbours = [(di, dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)]
    stencil = [maps[:, abs(i), 1 + min(i, 0) :, abs(j), 1 + min(j, 0) :][:, :h, :w] for i, j in neighbours]
    return Folded(torch.stack(stencil, 1), R @ (weights * y) @ S.T, (weights * y * y).sum((-2, -1)))


# %% [markdown]
# Exactly? Random scores, five samples, both ways, with their gradients:

# %%
labels, v = one.labels.double(), pixel_weights(one.labels.double())
r = torch.Generator().manual_seed(SEED)
s = torch.randn(len(labels), 1, *one.first.shape[-2:], generator=r, dtype=torch.float64).to(dev).requires_grad_()
folded = fold(labels, v, s.shape[-2:])


def on_pixels(s):
    up = F.interpolate(s, labels.shape[-2:], mode="bilinear", align_corners=False)
    return ((v * (labels - up)) ** 2).sum()


def on_cells(s):
    s = s[:, 0]
    return ((s * folded.apply(s) - 2 * s * folded.target).sum((1, 2)) + folded.constant).sum()


def milliseconds(way):
    """Of a loss and its gradient: the fastest of three runs."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        torch.autograd.grad(way(s), s)[0].sum().item()
        taken.append(time.perf_counter() - start)
    return 1000 * min(taken)


gradients = [torch.autograd.grad(way(s), s)[0] for way in (on_pixels, on_cells)]
apart = (on_cells(s) / on_pixels(s) - 1).abs().item()
times = {way.__name__: milliseconds(way) for way in (on_pixels, on_cells)}
print(
    f"losses differ by a part of {apart:.0e}; one pixel has {folded.stencil.numel() / labels.numel():.2f} numbers left"
)

# %% [markdown]
# The same loss and the same gradient, {{fold_faster:.0f ± 80}} times as fast on our machine. `TargetModel` folds once
# and works on cells throughout; it never makes a pixel again. And if labels were brought *down* to the cells instead?
# As fast, another loss:


# %%
def on_cell_labels(one):
    """J of D that was learned with labels averaged to the cells, every cell a pixel."""
    first, later = whitened(one)
    lam = OURS.regularisation[0] / 64  # against a sum that has 64 times fewer terms
    D = learn(first, F.avg_pool2d(one.labels, 8), regularisation=(lam, lam))
    return judge(one, D.scores(later))


J_up = [judge(one, learn(a, one.labels).scores(b)) for one, (a, b) in ((one, whitened(one)) for one in bench)]
J_down = [on_cell_labels(one) for one in bench]
print(f"scores up to the pixels: J {np.mean(J_up):.3f}; labels down to the cells: J {np.mean(J_down):.3f}")

# %% [markdown]
# {{J_up:.3f}} with pixels and {{J_down:.3f}} with cells, on {{clips}} clips: too near to one another to choose by. We
# keep the paper's loss, as the fold makes it free.
#
# ## 4. Lambda, and stopping early
# The paper gives no $\lambda$. The code's values, squared, are $(10^{-8}, 10^{-4})$, beside a sum over about
# {{pixels:,}} pixels: next to nothing. Frame 0 leaves D much choice, and among all $\mathbf w$ that say the right thing
# of the samples $\lambda$ prefers the smallest. So let it be felt, and let D iterate more or less:

# %%
LAMBDAS = {"the code's": ((1e-4, 1e-2), True), "30": ((30.0, 30.0), False), "300": ((300.0, 300.0), False)}
seen = [whitened(one) for one in bench]
panel = []
for name, (regularisation, squared) in LAMBDAS.items():
    row = {"lambda": name}
    for steps in (1, 4, 10):
        settings = {"iterations": (5, *[10] * (steps - 1)), "regularisation": regularisation, "squared": squared}
        J = [judge(one, learn(a, one.labels, **settings).scores(b)) for one, (a, b) in zip(bench, seen, strict=True)]
        row[f"{10 * steps - 5} iterations"] = float(np.mean(J))
    panel.append(row)

# %% tags=["plot"]
table(panel, digits=3)

# %% [markdown]
# With the code's $\lambda$, D has {{code_35:.3f}} after 35 iterations and {{code_95:.3f}} after 95; with 30, our
# tracker's, {{ours_35:.3f}} and {{ours_95:.3f}}; with 300 {{strong_35:.3f}} and {{strong_95:.3f}}. On these features
# $\lambda$ hardly matters. We had expected otherwise: that a D without a $\lambda$ that is felt gets worse the longer
# it learns, since it learns frame 0 by heart. On the creatures' backbone a $\lambda$ next to nothing does cost J
# (section 6). Why it does not here, we did not find out.
#
# ## 5. Pixel weights, as printed and as coded
# One small object and one large one, each reading of S1-E4, D learned and seen on the same picture:


# %%
READINGS = {
    "all pixels alike": None,
    "min, no root: as printed": {"share": "min", "root": False},
    "min, root": {"share": "min"},
    "max, no root": {"root": False},
    "max, root: the code, and ours": {},
}
clip, readings = bench[0].clip, []
for name, how in READINGS.items():
    row = {"weights": name}
    for size, scale in {"small": 0.4, "large": 3.0}.items():
        image, mask = at_scale(clip.frames[0], clip.masks[0] == 1, scale)
        x = see([image])
        whiten = Whitening(x.shape[1], UntrainedTargetNet.FLOOR)
        whiten.fit(cells_of(x))
        label = resize(torch.from_numpy(mask)[None, None].float().to(dev), [8 * n for n in x.shape[-2:]]).round()
        v = torch.ones_like(label) if how is None else pixel_weights(label, **how)
        s = learn(whiten.to(dev)(x), label, v).scores(whiten(x))
        up = F.interpolate(s, label.shape[-2:], mode="bilinear", align_corners=False)
        row[f"score on it, {size}"] = up[label > 0.5].mean().item()
        row[f"J, {size}"] = metrics.jaccard((label > 0.5)[0, 0].cpu().numpy(), (up > 0.5)[0, 0].cpu().numpy())
    readings.append(row)

# %% tags=["plot"]
table(readings)

# %% [markdown]
# On the small object the printed min leaves the score at {{printed_small:.2f}}, where all pixels alike have
# {{alike_small:.2f}}, and the max raises it to {{max_small:.2f}}. Its J falls all the same, since the blob grows beyond
# the outline. Without the root the score is {{noroot_small:.2f}}: the object counts for far more than a tenth. On the
# large one the min, as printed, lowers the score to {{printed_large:.2f}} from {{alike_large:.2f}}, and the max leaves
# it where it is.
#
# ## 6. What stored settings say
# Each setting of `frtm` on the creatures' backbone was turned alone, on {{stored_clips}} creature clips. Gains beside
# the shipped setting:

# %% tags=["plot"]
stored = json.loads((RESULTS / "target_settings.json").read_text())["rows"]
turned = {(row["study"], row["setting"]): row for row in stored}
CHOSEN = [("lambda", "0.0001"), ("lambda", "100.0"), ("c", "8"), ("c", "64"), ("K", "1"), ("K", "16")]
CHOSEN += [("kappa_min", "0.03"), ("kappa_min", "0.4"), ("paper or code", "kappa = min(..), as printed")]
CHOSEN += [("paper or code", "v as printed, no square root")]
show.forest(
    [turned[key] | {"name": f"{key[0]}: {key[1]}"} for key in CHOSEN],
    label="name",
    xlabel="gain in mean J beside the shipped setting (creatures)",
    alt="Forest plot of ten settings beside the shipped ones: most lose a little; a kappa of 0.4 and eight hidden "
    "channels lose clearly; the printed min cannot be told from zero.",
)

# %% [markdown]
# $\lambda$ next to nothing costs {{stored_lambda:+.3f}}, eight hidden channels {{stored_c:+.3f}}, a $\kappa$ of 0.4
# {{stored_kappa:+.3f}}. The printed *min* changes J by {{stored_min:+.3f}}, in an interval from {{stored_min_low:+.3f}}
# to {{stored_min_high:+.3f}}: on creatures, which are rarely tiny, and with augmented samples that are larger, one
# cannot tell min from max. The argument for the max is the small object above, not this row.

# %% tags=["hold"]
raw = spectra["as they come"]
middle_nine = spectra["whitened"].quantile(torch.tensor([0.05, 0.95], dtype=torch.float64))
values = {row["weights"].split(":")[0]: row for row in readings}
by_lambda = {row["lambda"]: row for row in panel}
numbers(
    clips=len(bench),
    loudest=raw[0] / raw.median(),
    white_low=middle_nine[0],
    white_high=middle_nine[1],
    means_raw=by_look["as they come"]["two means"],
    means_white=by_look["whitened"]["two means"],
    D_raw=by_look["as they come"]["D"],
    D_white=by_look["whitened"]["D"],
    fold_faster=times["on_pixels"] / times["on_cells"],
    J_up=np.mean(J_up),
    J_down=np.mean(J_down),
    pixels=labels[0].numel(),
)
numbers(
    **{
        f"{name}_{steps}": by_lambda[lam][f"{steps} iterations"]
        for name, lam in {"code": "the code's", "ours": "30", "strong": "300"}.items()
        for steps in (35, 95)
    },
    printed_small=values["min, no root"]["score on it, small"],
    alike_small=values["all pixels alike"]["score on it, small"],
    max_small=values["max, root"]["score on it, small"],
    noroot_small=values["max, no root"]["score on it, small"],
    printed_large=values["min, no root"]["score on it, large"],
    alike_large=values["all pixels alike"]["score on it, large"],
    stored_clips=turned["lambda", "0.0001"]["clips"],
    stored_lambda=turned["lambda", "0.0001"]["gain"],
    stored_c=turned["c", "8"]["gain"],
    stored_kappa=turned["kappa_min", "0.4"]["gain"],
    stored_min=turned["paper or code", "kappa = min(..), as printed"]["gain"],
    stored_min_low=turned["paper or code", "kappa = min(..), as printed"]["low"],
    stored_min_high=turned["paper or code", "kappa = min(..), as printed"]["high"],
)
hold("pixels and cells give the same loss", apart, high=1e-9)
hold("and the same gradient", torch.allclose(*gradients, rtol=1e-8, atol=1e-9))
