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
# # The small print of masks and scores
#
# Four things that {{to core}} left out. They stand alone; read the one that you need.
#
# 1. Masks in files: why a mask must never be opened "as RGB".
# 2. F in full: contours as sets of pixels, with the package's own code.
# 3. The rules of DAVIS: four that stand only in its code, and what each does to a score.
# 4. How many bins: the colour tracker's one knob, and overfitting in its smallest form.
#
# <small>To read: {{read}}. To run: {{run}}. No exercises.</small>

# %% tags=["parameters", "setup"]
DATASET = "embedded"
SPLIT = "test"
MAX_CLIPS = 8
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["setup"]
import math

import numpy as np
import torch
from matplotlib.figure import Figure

from vosnb import metrics, show
from vosnb.clips import palette
from vosnb.course.classroom import hold, numbers, progress, table
from vosnb.datasets import load
from vosnb.methods.matching import soft_aggregate
from vosnb.metrics import jaccard
from vosnb.trackers import Tracker, make_tracker, segment

groups = {}
for clip in load(DATASET, SPLIT):
    groups.setdefault(clip.info.get("difficulty", clip.name), []).append(clip)
kinds = {kind: group[SEED % len(group)] for kind, group in groups.items()}
first = next(iter(kinds.values()))

# %% [markdown]
# ## 1. Masks in files
# On disk an index mask is a PNG with a *palette*. The file holds the numbers of the objects; beside them stands a
# list that says in which colour to paint number 1, number 2 and so on. The colours are there for your eyes only.
# Whoever opens such a file "as RGB" gets the paint and loses the numbers:

# %%
mask = kinds.get("twins", first).masks[0]
painted = palette()[mask]
print("numbers in the mask:         ", np.unique(mask).tolist())
print("values in its painted picture:", np.unique(painted).tolist())

# %% [markdown]
# 128 is not an object. This mistake is so common that the course's reader refuses colour pictures as masks and says
# how to mend them. It also refuses masks with smoothed edges, whose fifty greys would become fifty objects.
#
# ## 2. F in full
# First the contour as a set of pixels. DAVIS takes every pixel that differs from its right, its lower or its lower
# right neighbour. So the map sits half a pixel up and left of the true edge, in both masks alike.


# %% tags=["package"]
def boundary_map(mask):
    return _differs(np.pad(np.asarray(mask, bool), ((0, 1), (0, 1)), "edge"))


def _differs(image):
    here = image[:-1, :-1]
    return (here ^ image[:-1, 1:]) | (here ^ image[1:, :-1]) | (here ^ image[1:, 1:])


# %%
square = np.zeros((5, 5), bool)
square[1:4, 2:5] = True
print("\n".join(" ".join(".#"[b] for b in row) for row in boundary_map(square).astype(int)))

# %% [markdown]
# Each # is a boundary pixel. The square touches the right border of the image, and there it has no boundary: nothing
# is beyond the image, so nothing can differ.
#
# Now compare two contours. A pixel of one counts as found if a pixel of the other is *near*: within 0.008 of the
# image's diagonal, rounded up.


# %% tags=["package"]
def boundary_radius(shape, bound_th=0.008) -> int:
    if not bound_th > 0:
        raise ValueError(f"bound_th must be positive, got {bound_th}")
    return int(bound_th) if bound_th >= 1 else math.ceil(bound_th * math.hypot(*shape))


# %%
for size in [(64, 64), (240, 426), (480, 854)]:
    print(f"{size[0]} x {size[1]} pixels: radius {boundary_radius(size)}")

# %% [markdown]
# With the boundary $\partial G$ of the truth, the boundary $\partial P$ of the prediction, the Euclidean distance
# $d(p, \partial G)$ from a pixel $p$ to the nearest pixel of $\partial G$, and the radius $r$:
#
# $$\text{precision} = \frac{|\{p \in \partial P : d(p, \partial G) \le r\}|}{|\partial P|}, \qquad
# \text{recall} = \frac{|\{g \in \partial G : d(g, \partial P) \le r\}|}{|\partial G|}, \qquad
# \mathcal{F} = \frac{2 \cdot \text{precision} \cdot \text{recall}}{\text{precision} + \text{recall}}$$
#
# One is the other with the masks exchanged. $\mathcal{F}$, their harmonic mean, is high only if both are. All pairs of
# pixels at once are a table of distances, which is fine for hundreds of pixels. (For 480 x 854 frames `vosnb.metrics`
# goes a faster way, and the cell below holds the two together.)


# %%
def boundary_precision(gt, pred, radius):
    """The share of the predicted boundary within `radius` of the true one; gt, pred: (H, W) boundary maps."""
    true, found = np.argwhere(gt), np.argwhere(pred)
    gaps = np.linalg.norm(found[:, None] - true[None], axis=-1)
    return np.mean(gaps.min(axis=1) <= radius)


def f_by_hand(gt, pred, radius):
    gt, pred = boundary_map(gt), boundary_map(pred)
    precision, recall = boundary_precision(gt, pred, radius), boundary_precision(pred, gt, radius)
    return 2 * precision * recall / max(precision + recall, 1e-12)


# %% tags=["hold"]
gaps = []
for clip in list(kinds.values())[:MAX_CLIPS]:
    a, b = (clip.masks[t] for t in (0, min(4, len(clip) - 1)))
    if a is not None and b is not None and (a == 1).any() and (b == 1).any():
        gaps.append(abs(f_by_hand(a == 1, b == 1, boundary_radius(clip.size)) - metrics.boundary_f(a == 1, b == 1)))
hold("our F and the package's differ by", max(gaps, default=0), high=1e-9)

# %% [markdown]
# How sharp F is depends on the radius. Here are the three predictions of the lesson again, an animal without its leg
# and with a rim of one and of two pixels:

# %% tags=["plot"]
y, x = np.mgrid[:64, :64]
body = ((y - 24) / 14) ** 2 + ((x - 32) / 22) ** 2 <= 1
animal = body | ((x >= 31) & (x <= 32) & (y >= 24) & (y < 60))


def wider(mask):
    """The mask (H, W) with one more pixel all around."""
    return mask | np.any([np.roll(mask, (dy, dx), (0, 1)) for dy, dx in [(0, 1), (0, -1), (1, 0), (-1, 0)]], axis=0)


wrong = {"no leg": body, "1 pixel too wide": wider(animal), "2 pixels too wide": wider(wider(animal))}
radii = [1, 2, 3, 4]


def lines(x, curves, xlabel, ylabel, shifts=None):
    """Curves over x, each labelled at its end; shifts: points by which to move labels that would touch."""
    with show.style():
        fig = Figure((8, 3.2))
        axes = fig.subplots()
        for (name, values), tone in zip(curves.items(), show.TONES, strict=False):
            axes.plot(x, values, "o-", color=tone)
            place = (8, (shifts or {}).get(name, 0))
            axes.annotate(name, (x[-1], values[-1]), place, textcoords="offset points", va="center", color=tone)
        axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, 1.1), xlim=(x[0], x[-1] + 0.45 * (x[-1] - x[0])))
        axes.set_xticks(x)
    return fig, axes


by_radius = {name: [f_by_hand(animal, m, r) for r in radii] for name, m in wrong.items()}
show.figure(
    lines(radii, by_radius, "radius in pixels", "F", {"1 pixel too wide": 9, "2 pixels too wide": -7, "no leg": -10})[
        0
    ],
    alt="F over the radius 1 to 4 for three predictions. The one that is two pixels too wide jumps from below 0.3 to "
    "nearly 1 at radius 2. The one without the leg rises slowly and stays lowest.",
)

# %% tags=["hold"]
numbers(rim_1=by_radius["2 pixels too wide"][0], rim_2=by_radius["2 pixels too wide"][1], leg=by_radius["no leg"][-1])

# %% [markdown]
# The rim of two pixels has F {{rim_1:.2f}} at a radius of one and {{rim_2:.2f}} at a radius of two. The missing leg
# stays missing at every radius: {{leg:.2f}} even at four.
#
# ## 3. The rules of DAVIS
# DAVIS boils the scores of a clip down to three numbers. With the scores $s_1, \dots, s_N$ of the judged frames,
# **mean** is their average, **recall** the share of frames with $s_t > 0.5$, and **decay** the mean over the first
# quarter minus the mean over the last: how much did the tracker lose on the way? Four rules stand in its evaluation
# code rather than in its papers:
#
# 1. **The first and the last frame are not judged.** The first was given. That the last is dropped too has grown
#    historically.
# 2. **Two empty masks score 1**, in J and in F. It is right to say nothing where nothing is.
# 3. **The quarters of decay share their end frames**, since the code slices from one bound to the next, both included.
# 4. **The bounds of the quarters are stored in eight bits.** They cannot count beyond 255, so for a clip of more frames
#    the "last quarter" lies somewhere else, or nowhere.
#
# What does each of the first three do to a score?

# %%
easy, reappear = (kinds.get(kind, first).only(1) for kind in ("easy", "reappear"))
still_J = np.array([jaccard(m == 1, easy.masks[0] == 1, m == 255) for m in easy.masks])
judged = still_J[1:-1]
quarters = [part.mean() for part in np.array_split(judged, 4)]
present = np.mean([np.any(m == 1) for m in reappear.masks])
table(
    [
        {"rule": "1: ends dropped; mean J, still", "with it": judged.mean(), "without it": still_J.mean()},
        {"rule": "2: empty scores 1; mean J, the truth", "with it": 1.0, "without it": float(present)},
        {
            "rule": "3: shared frames; decay, still",
            "with it": metrics.statistics(judged).decay,
            "without it": quarters[0] - quarters[3],
        },
    ]
)

# %% tags=["hold"]
numbers(ends=judged.mean(), all=still_J.mean(), present=present)

# %% [markdown]
# The still mask, on one easy clip, has {{ends:.2f}} with the first rule and would have {{all:.2f}} without it, as
# frame 0 is a present. On a clip whose object is away for a while the truth itself would have {{present:.2f}} without
# the second. The third is a matter of taste.
#
# The fourth is a bug. Here is decay as DAVIS writes it, with a choice of the type that holds the bounds, and a
# tracker that loses its object evenly, from 1 down to 0:


# %%
def decay(values, bound_type):
    bounds = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int).astype(bound_type)
    parts = [values[int(a) : int(b) + 1] for a, b in zip(bounds, bounds[1:], strict=False)]
    return parts[0].mean() - parts[3].mean()


for frames in (100, 400):
    values = np.linspace(1, 0, frames)
    print(f"{frames} frames: eight bits {decay(values, np.uint8):.2f}, as many as needed {decay(values, int):.2f}")

# %% tags=["hold"]
long = np.linspace(1, 0, 400)
hold("400 frames, eight bits", decay(long, np.uint8), 0.0, 0.2)
hold("vosnb.metrics, 400 frames", metrics.statistics(long).decay, 0.74, 0.76)
numbers(eight=decay(long, np.uint8), needed=decay(long, int))

# %% [markdown]
# The loss is the same, and with four hundred frames the old code reports {{eight:.2f}} where {{needed:.2f}} is right.
# DAVIS clips are short, and nobody noticed. Clips of OVIS, on which S0 is measured, can be that long. So we count
# with whole numbers, and agree with DAVIS wherever DAVIS is right.
#
# ## 4. How many bins
# The package has the lesson's two trackers for any number of objects. They fill in how to forget, how to take objects
# in and how to make a step; `Tracker` looks after the input.


# %% tags=["package"]
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


# %% [markdown]
# Its knob is the number of bins a channel. Few bins lump colours together; many bins tell the finest shades apart.
# Knobs are turned on clips that are *not* the test, so we take the split `val` of the creatures, and ask twice: how
# well does the tracker segment frame 0 itself, from which it was made, and how well the frames after it?

# %%
choices = [2, 4, 8, 16, 32, 64]
val = load("embedded", "val")[:: 2 if BUDGET <= 1 else 1][: max(2, round(8 * BUDGET))]


def first_and_later(clip, bins):
    """J of object 1 in frame 0, and its mean over the judged frames."""
    tracker, clip = make_tracker("histogram", bins=bins), clip.only(1)
    masks = [mask for _, mask, _ in segment(tracker, clip)]
    again = tracker.step(clip.frames[0]).argmax(0).numpy()
    later = [jaccard(m == 1, masks[t] == 1, m == 255) for t, m in enumerate(clip.masks) if m is not None][1:-1]
    return jaccard(clip.first_mask == 1, again == 1), np.mean(later)


in_frame_0, later = np.array(
    [np.mean([first_and_later(clip, bins) for clip in val], axis=0) for bins in progress(choices, "bins")]
).T

# %% tags=["plot"]
fig, axes = lines(range(6), {"J in frame 0": in_frame_0, "J in later frames": later}, "bins a channel", "mean J")
axes.set_xticklabels(choices)
show.figure(
    fig,
    alt="Mean J over 2 to 64 bins a channel. In frame 0 it climbs and climbs. In later frames it climbs first, is "
    "highest in the middle, and falls again.",
)

# %% tags=["hold"]
best = int(np.argmax(later))
numbers(first_64=in_frame_0[-1], later_64=later[-1], best_J=later[best], best=choices[best])
hold("in frame 0 the finest bins beat the coarsest by 0.3", in_frame_0[-1] - in_frame_0[0], low=0.3)
hold("in later frames neither end is best", 0 < best < len(choices) - 1)

# %% [markdown]
# With 64 bins J is {{first_64:.2f}} in frame 0 and {{later_64:.2f}} later; best in later frames are {{best}} bins,
# with {{best_J:.2f}}. This is **overfitting** in its smallest form. With very fine bins the histogram knows frame 0
# by heart, noise included. Then the light drifts by two grey levels, and the colours are new. Every method of this
# course learns something from frame 0, and each must find a way not to learn it by heart.
#
# Back to {{to core}}.
