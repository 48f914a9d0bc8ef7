# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Solved, not trained
#
# *What you will be able to do:* turn a few strokes on one frame into masks of a whole clip, by one linear system that
# is solved in milliseconds; derive it, choose its $\lambda$ knowingly, balance its classes, add strokes and take them
# back; and paint your own.
#
# | | |
# |---|---|
# | **Paper** | S2: Lin and others, *Interactive VOS via Spatio-temporal Context Aggregation and Online Learning*, 2.3 |
# | **Equations** | S2-E3 (ridge regression on pixels) |
# | **To read** | {{read}} |
# | **To run** | {{run}} |
# | **Before** | lesson 05: least squares, condition numbers; lesson 04: $\lambda$, pixel weights; matrix products |

# %% tags=["parameters"]
DATASET = "embedded"
SPLIT = "val"
MAX_CLIPS = 8
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %%
import json
import time
from functools import lru_cache
from types import SimpleNamespace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from vosnb import clips, metrics, show
from vosnb.benchmark import interval
from vosnb.cells import whole_cells
from vosnb.exercises import lesson_07 as exercises
from vosnb.lesson import card, check, claim, device, hint, predict, progress, solution, table  # noqa: F401
from vosnb.methods.gauss_newton import GaussNewton, QuadraticProblem
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import boxes, draw
from vosnb.paths import RESULTS
from vosnb.trackers import make_tracker
from vosnb.trackers.interactive import ClipFeatures, InteractiveSegmenter
from vosnb.widgets.scribble_pad import ScribblePad
from vosnb.widgets.sliders import Sliders

# %% [markdown]
# Lesson 06 ended with a question. A tracker that learns its own mistakes makes more of them, and from the inside
# nothing tells. What would tell? A person who looks on. A person can say *here, and not there*, with a stroke or two.
# But nobody paints a whole mask again and again. So from here on we have strokes, and little time.
#
# Until you paint at the end of the lesson, a robot does. It draws a line through the middle of what is wrong. Lesson 09
# looks into it. We use clips of `val`, `MAX_CLIPS` of them, object 1 of each, and every fourth frame. (Frame 1 of a
# figure is frame 4 of its clip.)

# %%
dev = device(DEVICE)
PART = ("none", "matching")  # what describes a pixel: the query encoder of lesson 01, without further context
robot = Robot(seed=SEED)


def scene_of(clip, step=4):
    """A clip, thinned: frames, truth (T, H, W) of object 1, X (T, D, h, w) and strokes on the first of its frames."""
    clip = whole_cells(clip, 128)
    times = [t for t, mask in enumerate(clip.masks) if mask is not None][::step]
    frames, truth = [clip.frames[t] for t in times], np.stack([clip.masks[t] == 1 for t in times])
    features = ClipFeatures(frames, device=dev)
    strokes = robot.scribbles(truth.astype(np.uint8), frame=0)
    return SimpleNamespace(
        **{"clip": clip, "name": clip.info.get("difficulty") or clip.name, "size": clip.size, "frames": frames},
        **{"truth": truth, "features": features, "X": features.of(*PART).double(), "strokes": strokes},
    )


loaded = [clip for clip in clips.load(DATASET, SPLIT) if clip.masks[0] is not None and np.any(clip.masks[0] == 1)]
scenes = [scene_of(clip) for clip in progress(loaded[:MAX_CLIPS], "clips")]
scenes = [scene for scene in scenes if scene.strokes and len(scene.frames) > 1]
usual = (DATASET, SPLIT) == ("embedded", "val") and len(scenes) >= 8 and SEED == 0  # some claims are about these clips
scene = scenes[0]
print(f"{len(scenes)} clips; X of the first: {tuple(scene.X.shape)}, frames, features, and cells of 4 x 4 pixels")

# %% [markdown]
# ## A question that hurts
#
# Here is a stroke. The tracker of lesson 06 wants a mask. What if we give it the stroke as one?

# %%
ink = draw(scene.strokes, scene.size)
tracker = make_tracker("frtm", device=dev, seed=SEED)
tracker.start(scene.frames[0], np.where(ink > 0, 1, 0).astype(np.uint8))
followed = [np.where(ink > 0, 1, 0), *(tracker.step(frame).argmax(0).numpy() for frame in scene.frames[1:])]
followed = np.stack(followed).astype(np.uint8)
solved = InteractiveSegmenter(scene.features, (PART,), seed=SEED).add(scene.strokes)
show.filmstrip(
    scene.frames,
    {"frtm": followed, "this lesson": solved},
    alt="Five frames of a clip twice, from the same short stroke on frame 0. The tracker of lesson 06, given the "
    "stroke as a mask, finds little of the creature. The closed form covers it, and patches of other things too.",
)


# %% tags=["nbval-check-output"]
def J_after_first(truth, masks):
    """Mean J over all frames but the first."""
    return float(np.mean(metrics.jaccard(truth[1:], masks[1:] == 1)))


if usual:
    gain = J_after_first(scene.truth, solved) - J_after_first(scene.truth, followed)
    claim("J of this lesson, above that of frtm with the stroke as a mask", gain, low=0.1)
claim("pixels of ink, over pixels of the object", (ink > 0).sum() / scene.truth[0].sum(), high=0.3)

# %% [markdown]
# The tracker did what it was told. A mask says two things: *this is the object*, and *all else is not*. The second is a
# lie here, since most of the creature is not under the ink. A stroke says only the first.
#
# The lower row is rough. But it comes from one stroke, in some hundredths of a second, and nothing in it was trained
# but the encoder of lesson 01. How it is done is this lesson.
#
# ## What is known: a few pixels (section 2.3)
#
# The pixels under the ink are *positive* samples. Negative ones are missing, and S2 guesses them: put a tight box
# around the ink, make it 1.2 times as large, and take random pixels from outside of it. In later rounds there is more
# to go by. The user paints on the background, too, and pixels are taken only where the last answer was *background*.


# %% tags=["in-package"]
def select(
    labels: np.ndarray,
    prediction: np.ndarray | None,
    wanted: int | None,
    rng: np.random.Generator,
    margin: float = 1.2,
) -> np.ndarray:
    """Ink `labels` (H, W), -1 where there is none, and `wanted` random negatives: samples (H, W), -1 elsewhere."""
    free = np.ones(labels.shape, bool) if prediction is None else np.asarray(prediction) == 0
    if free.shape != labels.shape:
        raise ValueError(f"ink {labels.shape} and prediction {free.shape} are of different sizes: draw at the mask's.")
    for top, left, bottom, right in boxes(labels, margin).values():
        free[top:bottom, left:right] = False
    room = np.flatnonzero(free)
    if wanted is None:
        wanted = np.count_nonzero(labels > 0) - np.count_nonzero(labels == 0)
    samples = labels.astype(np.int16)
    samples.flat[rng.choice(room, min(max(wanted, 0), len(room)), replace=False)] = 0
    return samples


# %% [markdown]
# How many? *"We ensure that the amount of the selected foreground pixels and background pixels are equal."* We take
# three times as many for now. Why, we shall see. Here they are:

# %%
EVERYTHING = 10**9


def chosen_in(scene, negatives=3):
    """Samples on the first frame, (H, W): 1 the object, 0 background, -1 none; `negatives` for each pixel of ink."""
    ink = draw(scene.strokes, scene.size)
    wanted = min(EVERYTHING, negatives * np.count_nonzero(ink > 0))
    return select(ink, None, wanted, np.random.default_rng(SEED))


chosen = chosen_in(scene)
dots = cv2.dilate(np.where(chosen >= 0, 2 - chosen, 0).astype(np.uint8), np.ones((2, 2)))  # 1 the object, 2 background
show.Picture(
    show.overlay(scene.frames[0], dots, 0.9, numbers=False, scale=420 / scene.size[1]),
    "Frame 0 with its samples: a line of object pixels on the creature, and single background pixels scattered over "
    "the rest, none of them near the line.",
)

# %% [markdown]
# ## What describes a pixel
#
# The encoder of lesson 01 has a map at stride 4, and one at stride 8. We bring the second to stride 4 as well, and make
# every channel of both zero on average over the clip, with a spread of 1. So far each cell of 4 x 4 pixels has its
# features. And a *pixel*? Between the centres of cells we interpolate:


# %% tags=["in-package"]
def at_pixels(X: torch.Tensor, y: np.ndarray, x: np.ndarray, size) -> torch.Tensor:
    """What describes pixels (y, x) of a frame of `size`, interpolated in its map X (D, h, w): (D, n)."""
    at = torch.from_numpy(np.stack([(x + 0.5) / size[1], (y + 0.5) / size[0]], -1)).to(X)
    return F.grid_sample(X[None], 2 * at[None, None] - 1, padding_mode="border", align_corners=False)[0, :, 0]


# %%
def samples_of(scene, negatives=3):
    """X (D, N), a column for each sample, and Y (2, N): a row for the background, a row for the object."""
    chosen = chosen_in(scene, negatives)
    y, x = np.nonzero(chosen >= 0)
    labels = torch.from_numpy(chosen[y, x]).long().to(dev)
    return at_pixels(scene.X[0], y, x, scene.size), F.one_hot(labels, 2).T.double()


X, Y = samples_of(scene)
D, N = X.shape
print(f"X {tuple(X.shape)}, Y {tuple(Y.shape)}: {N} samples of {D} features, {int(Y[1].sum())} of them the object's")

# %% [markdown]
# $Y$ is *one-hot*: in every column a single 1, in the row of the pixel's class. With more objects it has more rows, and
# nothing else in this lesson changes. The last of the features is the number 1, for every pixel. What for? Later.
#
# ## Least squares on pixels (S2-E3)
#
# A linear classifier gives each pixel a score for each class, $W^T \mathbf x$. (On a map that is a 1 x 1 convolution,
# and so S2 calls it.) The class with the higher score wins. What scores do we want? The columns of $Y$:
#
# $$W^* = \arg\min_W \; \underbrace{\| W^T X^+ - Y^+ \|_F^2}_{\text{object}} + \underbrace{\| W^T X^- - Y^-
# \|_F^2}_{\text{background}} + \lambda \| W \|_F^2$$
#
# That is S2-E3. $X^+$ and $X^-$ are columns of one $X$, and a sum over some columns plus a sum over the others is a sum
# over all. $\|\cdot\|_F^2$ sums the squares of all entries. So it reads
#
# $$\mathcal L(W) = \| W^T X - Y \|_F^2 + \lambda \| W \|_F^2$$
#
# This is **ridge regression**. It asks for scores of exactly 0 and 1, though only their order will matter. A strange
# wish for a classifier! Any other loss of this course is better suited. But this one has a gradient that is *linear* in
# $W$:
#
# $$\nabla \mathcal L = 2 X (X^T W - Y^T) + 2 \lambda W$$
#
# and its zero can be written down. One number first. Let there be one feature, and one class: $\sum_j (w x_j - y_j)^2 +
# \lambda w^2$ has the slope $2 \sum_j x_j (w x_j - y_j) + 2 \lambda w$, and this is zero at
#
# $$w = \frac{\sum_j x_j y_j}{\sum_j x_j^2 + \lambda}$$
#
# ### Exercise 1: the closed form
#
# Now with matrices.

# %%
card(exercises.closed_form)


# %% tags=["exercise"]
def closed_form(X, Y, lam):
    """W (D, C), the minimum of ||W'X - Y||^2 + lam ||W||^2; X (D, N), Y (C, N) float64, lam > 0."""
    # solution begin
    left = X @ X.T + lam * torch.eye(len(X)).to(X)
    return torch.linalg.solve(left, X @ Y.T)
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.closed_form, closed_form)

# %% [markdown]
# Stuck? Run `hint(exercises.closed_form, 1)` in a cell of your own.

# %% [markdown] tags=["solution"]
# $(X X^T + \lambda I)\, W = X Y^T$. The matrix is symmetric and, for any $\lambda > 0$, positive definite, whatever the
# samples are.

# %% [markdown]
# Is it the minimum? Let autograd say, which knows nothing of our derivation:

# %% tags=["nbval-check-output"]
W = exercises.closed_form.reference(X, Y, 10.0)
W_free = W.clone().requires_grad_()
loss = ((W_free.T @ X - Y) ** 2).sum() + 10 * (W_free**2).sum()
(gradient,) = torch.autograd.grad(loss, W_free)
claim("largest entry of the gradient at W", gradient.abs().max().item(), high=1e-8)
worse = min(
    (((W + step).T @ X - Y) ** 2).sum() + 10 * ((W + step) ** 2).sum()
    for step in 1e-3 * torch.randn(20, *W.shape, generator=torch.Generator().manual_seed(SEED)).to(W)
)
claim("20 random steps away from it: all of them go up", worse > loss)

# %% [markdown]
# To classify a frame, multiply. Scores come on cells, and are brought up to pixels:


# %%
def scores_of(scene, w, times=slice(None)):
    """Scores (T, H, W) of one class of weights w (D,) on pixels."""
    s = torch.einsum("d,tdhw->thw", w.to(scene.X), scene.X[times])
    return F.interpolate(s[:, None], scene.size, mode="bilinear", align_corners=False)[:, 0]


def masks_of(scene, W):
    """Where the object's score is above the background's, (T, H, W)."""
    return (scores_of(scene, W[:, 1] - W[:, 0]) > 0).cpu().numpy()


def J_of(scene, W):
    return J_after_first(scene.truth, masks_of(scene, W))


last = len(scene.frames) - 1
show.heatmap(
    [scene.frames[0], scene.frames[last]],
    {f"object's score, frame {t}": scores_of(scene, W[:, 1], [t])[0].clamp(0, 1).cpu() for t in (0, last)},
    mask=[scene.truth[t].astype(np.uint8) for t in (0, last)],
    top=1,
    alt="The object's score on the first and the last frame: bright on the creature, and in patches elsewhere.",
)

# %% [markdown]
# ## What is the constant for?
#
# S2-E3 has no intercept: the score of $\mathbf x = \mathbf 0$ is 0 for all classes, whatever $W$ is. So where the
# classes draw, at $(\mathbf w_1 - \mathbf w_0)^T \mathbf x = 0$, lies a plane *through the origin*. Our features are
# zero on average. So the average pixel of the clip sits on the fence, always. The constant feature gives $W$ one row
# that does not depend on the pixel. Here is a single feature, the one that tells the classes apart best:

# %%
apart = X[:-1] @ (Y[1] / Y[1].sum() - Y[0] / Y[0].sum())
best = int(apart.abs().argmax())
one, constant = X[best : best + 1], X[-1:]
along = torch.linspace(float(one.min()), float(one.max()), 50).to(X)
lines = {}
for name, features in {"x alone": one, "x and the constant": torch.cat([one, constant])}.items():
    fit = exercises.closed_form.reference(features, Y, 1e-3)
    at = torch.stack([along, torch.ones_like(along)])[: len(features)]
    lines[name] = fit.T @ at
fig = Figure((8.2, 3.3), dpi=100, layout="constrained")
for axes, (name, line) in zip(fig.subplots(1, 2, sharey=True), lines.items(), strict=True):
    axes.plot(one[0].cpu(), Y[1].cpu(), "|", color="#666666", ms=9, label="samples: 1 the object")
    axes.plot(along.cpu(), line[1].cpu(), "-", color=show.SERIES[0], label="object's score")
    axes.plot(along.cpu(), line[0].cpu(), "--", color=show.SERIES[1], label="background's score")
    axes.set(title=name, xlabel=f"feature {best}", ylim=(-0.6, 1.6))
    axes.axvline(0, color="#999999", lw=0.7)
fig.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
show.figure(
    fig,
    alt="Scores of both classes over one feature. Left, without a constant, both lines go through the origin and "
    "cross there. Right, with one, they are free to cross where the classes part.",
)

# %% [markdown]
# One feature, and the fence is in the wrong place. But we have more than a hundred. With so many a plane through the
# origin is hardly a restriction, is it?

# %%
guess_constant = predict(
    f"We drop the constant, and keep the other {D - 1} features. Mean J over the clips ...",
    ["is about the same", "falls, to no less than a half", "falls to less than a half"],
    default="a",
)

# %%
LAMBDA = 10.0
sampled = [samples_of(scene) for scene in scenes]


def constantless(X, Y, lam):
    """W (D, C) of all features but the constant, whose row is zero."""
    return F.pad(exercises.closed_form.reference(X[:-1], Y, lam), (0, 0, 0, 1))


def judged(answer):
    """(clips, 2) for answer(X, Y, lambda): J, and the share of all pixels that it calls the object's."""
    Ws = [answer(*xy, LAMBDA) for xy in sampled]
    return np.array([(J_of(s, W), masks_of(s, W).mean()) for s, W in zip(scenes, Ws, strict=True)])


with_constant, without = judged(exercises.closed_form.reference), judged(constantless)
true_share = np.mean([s.truth.mean() for s in scenes])
table(
    [
        {"constant": name, "mean J": found[:, 0].mean(), "share of pixels called the object's": found[:, 1].mean()}
        for name, found in {"with": with_constant, "without": without}.items()
    ]
)
print(f"true share of the object: {true_share:.2f}")

# %% tags=["nbval-check-output"]
ratio = without[:, 0].mean() / with_constant[:, 0].mean()
guess_constant.reveal(
    "c" if ratio < 0.5 else "b" if ratio < 0.95 else "a",
    "Most of a frame is background, and its pixels lie around the average. Without a constant the fence has to pass "
    "through their midst.",
)
if usual:
    claim("J without the constant, over J with it", ratio, high=0.6)
    claim("share of pixels that it calls the object's", without[:, 1].mean(), low=0.25)

# %% [markdown]
# The samples themselves can still be fitted, with so many features. All the *other* pixels cannot say so.
#
# (Libraries leave the intercept out of the penalty. In S2-E3 the constant is a feature as any other, and its weight is
# punished with the rest.)
#
# ## Lambda, from 0 to infinity
#
# What does $\lambda$ do? It costs to be large, so $W$ shrinks as $\lambda$ grows. To see all of it we need $W$ for
# many $\lambda$. Each is a linear system. Or is it? The matrix changes by a multiple of $I$ alone, and that has *every*
# direction as an eigenvector. So write $X X^T = V S V^T$, with eigenvectors as the columns of $V$ and eigenvalues
# $S$:
#
# $$(X X^T + \lambda I)^{-1} = V (S + \lambda I)^{-1} V^T$$
#
# $V$ and $S$ do not depend on $\lambda$. One decomposition serves all.
#
# ### Exercise 2: every lambda at once

# %%
card(exercises.along_lambda)


# %% tags=["exercise"]
def along_lambda(XX, XY, lams):
    """W (L, D, C), one for each of L lambdas: XX = X X' (D, D), XY = X Y' (D, C); with one torch.linalg.eigh."""
    # solution begin
    S, V = torch.linalg.eigh(XX)
    turned = V.T @ XY
    return torch.stack([V @ (turned / (S + lam)[:, None]) for lam in lams])
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.along_lambda, along_lambda)

# %% [markdown] tags=["solution"]
# The package's `Ridge.path` has no loop, and sets eigenvalues that rounding has made a little negative to zero.

# %% [markdown]
# Look at what is divided. Along an eigenvector with eigenvalue $s$ plain least squares would have the weight
# $1 / s$. It is $1 / (s + \lambda)$ now, so it *shrinks by the factor* $s / (s + \lambda)$. Where $s$ is much larger
# than $\lambda$ nothing happens; where it is much smaller, next to nothing is left. $\lambda$ is a threshold:

# %%
S = torch.linalg.eigvalsh(X @ X.T).clamp_min(0)
show.curves(
    {f"lambda {lam:g}": torch.flip(S / (S + lam), [0]).cpu() for lam in (0.01, 1, 100, 1e4)},
    xlabel="eigenvectors, largest eigenvalue first",
    ylabel="left of the weight",
    alt="The share of its weight that each eigenvector keeps, for four lambdas. Each curve is near 1 for the first "
    "eigenvectors and falls to 0; the larger lambda, the sooner.",
)

# %% [markdown]
# The features vary a lot in some directions, and those are likely to be about something. In the directions in which
# the few samples hardly vary, $1 / s$ is huge, and what it multiplies is noise. $\lambda$ cuts those off. This is what
# it is good for.
#
# And at the far end? With $\lambda \to \infty$ every weight goes to zero, and all scores with them.

# %%
guess_end = predict(
    "We take lambda = 1e8, and then 1e12. All scores are next to nothing. The masks ...",
    ["are empty: no score is left", "are noise", "do not change any more, and are those of a simple classifier"],
    default="a",
)

# %%
LAMBDAS = [1e-6, 1e-4, *10.0 ** np.arange(-2, 4.5, 0.5), 1e5, 1e6, 1e8, 1e12]
path = exercises.along_lambda.reference(X @ X.T, X @ Y.T, LAMBDAS)
far, farther = (masks_of(scene, W) for W in path[-2:])
rows = []
for lam, W in zip(LAMBDAS, path, strict=True):
    error = ((W.T @ X - Y) ** 2).sum(0).mean().item()
    if np.log10(lam) % 2 == 0:
        row = {"lambda": f"{lam:.0e}", "size of W": f"{W.norm():.2g}", "error on its samples": error}
        rows.append(row | {"J on other frames": J_of(scene, W)})
table(rows, 3)

# %% tags=["nbval-check-output"]
guess_end.reveal(
    "c" if (far == farther).mean() > 0.999 and far.any() else "b" if far.any() else "a",
    "Who wins depends on which score is higher, not on how high it is. Where lambda outweighs X X' by far, W is "
    "X Y' / lambda: for each class the sum of its samples.",
)
sums = X @ Y.T
claim("lambda W against X Y', at lambda = 1e12", ((1e12 * path[-1] - sums).norm() / sums.norm()).item(), high=1e-6)
sizes = path.flatten(1).norm(dim=1)
claim("W shrinks along the way", bool((sizes[1:] < sizes[:-1]).all()))
misses = torch.stack([((W.T @ X - Y) ** 2).sum() for W in path])
claim("and its samples are fitted worse and worse", bool((misses[1:] > misses[:-1] - 1e-6).all()))

# %% [markdown]
# So both ends are old acquaintances. At **zero** stands plain least squares, which believes every sample to the last
# digit. At **infinity** stands the sum of the samples of each class, which knows no correlations at all. It is the
# *one direction* of lesson 04, where we subtracted two means. Between them, $\lambda$ goes from the one to the other.
# Somewhere on the way is what we want. Where? The samples cannot tell us: the error on them only grows. Other frames
# can.

# %%
guess_lambda = predict(
    "Mean J on the other frames is highest ...",
    ["near 0: the samples are right, so believe them", "somewhere between 1 and 1000", "above 1000"],
    default="a",
)


# %%
def curve_of(samples):
    """J (clips, L) on other frames, for each lambda."""
    paths = [exercises.along_lambda.reference(X @ X.T, X @ Y.T, LAMBDAS) for X, Y in samples]
    return np.array([[J_of(s, W) for W in path] for s, path in zip(scenes, progress(paths, "lambda"), strict=True)])


by_lambda = curve_of(sampled)
show.curves(
    {"first round": by_lambda.mean(0)},
    x=np.log10(LAMBDAS),
    bands={"first round": np.transpose([interval(J) for J in by_lambda.T])} if len(scenes) > 1 else None,
    xlabel="log10 of lambda",
    ylabel="mean J, other frames",
    ylim=(0, None),
    alt="Mean J on other frames over lambda on a logarithmic scale, with intervals. It rises from least squares to a "
    "broad top between ten and a few hundred, and falls off steeply to the right.",
)

# %% tags=["nbval-check-output"]
mean = by_lambda.mean(0)
at = {lam: mean[k] for k, lam in enumerate(LAMBDAS)}
top = LAMBDAS[int(mean.argmax())]
guess_lambda.reveal(
    "a" if top < 1 else "b" if top <= 1000 else "c",
    "The samples are right, but they are few, and neighbours on a line are nearly the same pixel twice.",
)
if usual:
    claim("J at lambda 100, above that of least squares (1e-6)", at[100.0] - at[1e-6], low=0.06)
    claim("J at lambda 100, above that of sums (1e12)", at[100.0] - at[1e12], low=0.1)

# %% [markdown]
# The top is broad, and to the right of it is a cliff. Too small a $\lambda$ costs some of J, too large a one most.
# (These are a handful of clips of `val`, in the first round. With more samples $X X^T$ grows, and the same $\lambda$
# counts for less. We come back to that.)
#
# ## How many digits
#
# The package computes this in float64, on a machine whose networks are all in float32. Is that needed? Lesson 05 had a
# warning: solving with a matrix can cost as many digits as its condition number has, and that of $X X^T$ is the
# *square* of that of $X$. Float32 has seven digits. Ridge regression is plain least squares with $D$ more samples,
# $\sqrt\lambda\, I$, all labelled 0. So compare:

# %%
longer = torch.cat([X, 1e-3**0.5 * torch.eye(D).to(X)], 1)
print(f"condition of X with those samples, lambda 0.001: {torch.linalg.cond(longer):.0e}")
print(f"condition of X X' + lambda I:                   {torch.linalg.cond(longer @ longer.T):.0e}")
rows, lost = [], {}
for lam in (100.0, 1.0, 1e-2, 1e-4):
    longer = torch.cat([X, lam**0.5 * torch.eye(D).to(X)], 1)
    by_qr = torch.linalg.lstsq(longer.T, F.pad(Y, (0, D)).T).solution  # without X X': the digits are not squared away
    double = exercises.closed_form.reference(X, Y, lam)
    single = exercises.closed_form.reference(X.float(), Y.float(), lam).double()
    lost[lam] = [((found - by_qr).norm() / by_qr.norm()).item() for found in (single, double)]
    rows.append({"lambda": f"{lam:g}", "condition": f"{torch.linalg.cond(longer @ longer.T):.0e}"})
    rows[-1] |= {f"error of {name}": f"{e:.0e}" for name, e in zip(("float32", "float64"), lost[lam], strict=True)}
table(rows)

# %% tags=["nbval-check-output"]
longer = torch.cat([X, 0.1 * torch.eye(D).to(X)], 1)
squared = torch.linalg.cond(longer @ longer.T) / torch.linalg.cond(longer) ** 2
claim("condition of X X' + lambda I over the square of the other, lambda 0.01", squared.item(), 0.9, 1.1)
claim("lambda 0.01: error of float32 over that of float64", lost[1e-2][0] / lost[1e-2][1], low=1e3)
claim("lambda 0.01: error of float64", lost[1e-2][1], high=1e-6)

# %% [markdown]
# With a large $\lambda$ float32 would do: $\lambda$ mends the condition as well. With a small one it gives out. The
# masks would survive that for a while. But a regularisation path that ends in rounding errors, or an undo that does not
# come back to where it was, is a nuisance to explain. The matrix is small. We take float64.
#
# ## Balance
#
# We took three background pixels for each pixel of ink; the paper takes one. There is room for a hundred. Background
# is cheap, and more data is better data. Let us take *all* pixels outside the box.

# %%
guess_balance = predict(
    "All pixels outside the box as background, instead of three for each pixel of ink. Mean J ...",
    ["rises", "stays about the same", "falls"],
    default="a",
)


# %%
def balance(answer, counts=(1, 3, 16, EVERYTHING)):
    """{background pixels for one of ink: J (clips,)} of answer(X, Y, lambda)."""
    return {
        n: np.array([J_of(s, answer(*samples_of(s, n), LAMBDA)) for s in scenes]) for n in progress(counts, "counts")
    }


def count_name(n):
    return "all" if n == EVERYTHING else f"{n} : 1"


plain = balance(exercises.closed_form.reference)
table([{"background : ink": count_name(n), "mean J": J.mean()} for n, J in plain.items()])

# %% tags=["nbval-check-output"]
ratio = plain[EVERYTHING].mean() / plain[3].mean()
guess_balance.reveal(
    "c" if ratio < 0.9 else "b" if ratio < 1.1 else "a",
    "Squares are summed over all samples, and the object's few are outvoted.",
)
if usual:
    claim("J with all of the background, over J with 3 : 1", ratio, high=0.6)
    claim("J with 3 : 1, above 1 : 1", plain[3].mean() - plain[1].mean(), low=0.02)

# %% [markdown]
# The scores say what happened. On ink, with all of the background against it:

# %%
rows = []
for n in plain:
    X_n, Y_n = samples_of(scene, n)
    W = exercises.closed_form.reference(X_n, Y_n, LAMBDA)
    s = (W.T @ X_n)[1]
    truth = scores_of(scene, W[:, 1])[1:].cpu()[torch.from_numpy(scene.truth[1:])]
    row = {
        "background : ink": count_name(n),
        "samples": X_n.shape[1],
        "object's score on the ink": s[Y_n[1] > 0].mean(),
    }
    rows.append({k: float(v) if torch.is_tensor(v) else v for k, v in row.items()})
    rows[-1] |= {"on the object, other frames": truth.mean().item() if len(truth) else float("nan")}
table(rows)

# %% [markdown]
# A score is an average of labels over samples that look alike. Elsewhere on the creature things look *somewhat* like
# the ink, and somewhat like a few of ten thousand background pixels. The more of these there are, the lower the share
# of ones. And a score must exceed one half to win. It is the small object of lesson 04 again.
#
# So equal numbers? Look at the table again. That is not the best row either. A few dozen background pixels, by chance,
# miss most of what there is in the background. There are two things in it, and the number of samples turns both at
# once: how *loud* a class is, and how much of it is *seen*. Take them apart: keep all samples, and weigh them.
#
# ### Exercise 3: weigh the samples
#
# $$\sum_j g_j \| W^T \mathbf x_j - \mathbf y_j \|^2 + \lambda \|W\|_F^2$$
#
# with $g_j = 1$ for samples of the object and $g_j = n_1 / n_0$ for those of the background, where $n_1$ and $n_0$ are
# their numbers. Then both classes are equally loud.

# %%
card(exercises.weighed)


# %% tags=["exercise"]
def weighed(X, Y, lam):
    """W (D, 2), the minimum of the sum above; X (D, N), Y (2, N) one-hot: row 0 the background, row 1 the object."""
    # solution begin
    counts = Y.sum(1)
    g = (counts[1] / counts) @ Y
    left = (X * g) @ X.T + lam * torch.eye(len(X)).to(X)
    return torch.linalg.solve(left, (X * g) @ Y.T)
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.weighed, weighed)

# %% [markdown] tags=["solution"]
# Multiplying the columns of $X$ and of $Y$ by $\sqrt{g_j}$, and then solving the plain problem, is the same. It is the
# root of lesson 04's pixel weights, and of its $\gamma$.

# %%
heard = balance(exercises.weighed.reference)
table(
    [
        {"background : ink": count_name(n), "plain": plain[n].mean(), "weighed": heard[n].mean()}
        | {"weighed, won": int((heard[n] > plain[1]).sum()), "of clips": len(scenes)}
        for n in plain
    ],
    3,
)

# %% tags=["nbval-check-output"]
if usual:
    claim("weighed: J with all of the background, above 1 : 1", heard[EVERYTHING].mean() - heard[1].mean(), low=0.03)
    gain = heard[EVERYTHING].mean() - plain[EVERYTHING].mean()
    claim("all of the background: J weighed, above plain", gain, low=0.1)
same_J = np.abs(heard[1] - plain[1]).max()
claim("1 : 1, where there is nothing to weigh: difference", same_J, high=0.02)

# %% [markdown]
# (*Won* counts the clips on which the weighed one beats the paper's 1 : 1 without weights.) With weights, more
# background is better, as it should be. Equal numbers are a way to make both classes equally loud, for a solver without
# weights. They pay for it with what is not seen.
#
# > **Paper and code.** There is no public code of S2. *Equal numbers:* the paper takes one background pixel for one
# > of ink, over all rounds together. Our segmenter takes three, which was chosen on `val`. *Constant:* the paper does
# > not mention one. A 1 x 1 convolution usually has a bias, S2-E3 has none; we append a 1 to $\mathbf x$.
# > *Shapes:* the paper writes $X$ with a sample in each column, $D \times N$; libraries have them in rows. *Lambda:*
# > the paper gives no number. *Features:* its backbones were trained on COCO's photographs, ours on generated
# > creatures.
#
# ## Few samples, many features
#
# The object of one clip may be small, and its stroke a few pixels. Then $X X^T$ is a large matrix made of few columns.
# S2-E3 can be solved in a smaller system. The gradient is zero where
#
# $$W = X \cdot \tfrac{1}{\lambda} (Y^T - X^T W)$$
#
# Read the first letter on the right: whatever the bracket is, $W$ is $X$ times something. Each class's weights are *a
# sum of samples*, $W = X \alpha$, with $\alpha$ of size $N \times C$.
#
# ### Exercise 4: the dual

# %%
card(exercises.dual)


# %% tags=["exercise"]
def dual(X, Y, lam):
    """The same W (D, C) as the closed form, from an N x N system; X (D, N), Y (C, N), lam > 0."""
    # solution begin
    alpha = torch.linalg.solve(X.T @ X + lam * torch.eye(X.shape[1]).to(X), Y.T)
    return X @ alpha
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.dual, dual)

# %% [markdown] tags=["solution"]
# Put $W = X \alpha$ into the gradient: $X (X^T X \alpha - Y^T + \lambda \alpha) = 0$. It is enough that the bracket is
# zero. (It need not be, where columns of $X$ depend on each other; $W$ is the same all the same.)

# %% [markdown]
# Written this way the score of a new pixel is
#
# $$W^T \mathbf x = \sum_j \alpha_j \, \langle \mathbf x_j, \mathbf x \rangle$$
#
# Every sample is asked how similar the pixel is, and the answers are weighed. That is *matching*, without a softmax! In
# lesson 01 (S0-E1) the memory votes with its labels. Here $\alpha$ is not $Y^T$: samples that say the same share
# one vote, and a sample of the object that the background resembles has to shout.

# %% tags=["nbval-check-output"]
few = torch.arange(0, N, max(1, N // 40)).to(dev)  # some of the samples
W_primal = exercises.closed_form.reference(X[:, few], Y[:, few], LAMBDA)
W_dual = exercises.dual.reference(X[:, few], Y[:, few], LAMBDA)
claim("primal and dual: relative difference", ((W_primal - W_dual).norm() / W_primal.norm()).item(), high=1e-9)
alpha = torch.linalg.solve(X[:, few].T @ X[:, few] + LAMBDA * torch.eye(len(few)).to(X), Y[:, few].T)
pixel = scene.X[-1, :, 5, 7]
claim("a score is a vote", torch.allclose(W_dual.T @ pixel, alpha.T @ (X[:, few].T @ pixel)))

# %% [markdown]
# Which system is smaller is known before, so the package chooses. Cholesky's way is faster than a general solver where
# the matrix is symmetric and positive definite, and it notices when it is not:


# %% tags=["in-package"]
def check_lambda(lam: float) -> None:
    if not lam > 0:
        raise ValueError(f"lambda={lam}: take a number above 0; without it X X' need not have an inverse.")


def solve_positive(A: torch.Tensor, B: torch.Tensor, lam: float = 0.0) -> torch.Tensor:
    """(A + lambda I)^-1 B by Cholesky."""
    left = A.clone()
    left.diagonal().add_(lam)
    factor, failed = torch.linalg.cholesky_ex(left)
    if failed:
        raise ValueError("lambda is lost beside features of this size: raise it, or scale the features down.")
    return torch.cholesky_solve(B, factor)


def ridge(X: torch.Tensor, Y: torch.Tensor, lam: float) -> torch.Tensor:
    """W (D, C) of S2-E3: primal, or dual where there are fewer samples than features."""
    if X.ndim != 2 or Y.ndim != 2 or X.shape[1] != Y.shape[1]:
        raise ValueError(f"X is (D, N) and Y (C, N), with the same N: these are {tuple(X.shape)} and {tuple(Y.shape)}.")
    if X.shape[1] == 0:
        raise ValueError("there are no samples: draw at least one scribble.")
    if not (X.isfinite().all() and Y.isfinite().all()):
        raise ValueError("X or Y holds values that are not finite: look at the features that went in.")
    check_lambda(lam)
    X, Y = X.double(), Y.double()
    if X.shape[1] < X.shape[0]:
        return X @ solve_positive(gram(X.T), Y.T, lam)
    return solve_positive(gram(X), X @ Y.T, lam)


def gram(X: torch.Tensor) -> torch.Tensor:
    """X X'. NumPy sees that both factors are the same and computes one triangle only; torch computes both."""
    if X.device.type != "cpu" or X.requires_grad:
        return X @ X.T
    rows = X.numpy()
    return torch.from_numpy(rows @ rows.T)


# %% [markdown]
# ## Rounds
#
# Now somebody corrects: a stroke more. Must all be solved again? Look at S2-E3's solution. The samples enter through
# two **sums**, $X X^T = \sum_j \mathbf x_j \mathbf x_j^T$ and $X Y^T = \sum_j \mathbf x_j \mathbf y_j^T$. New samples
# are added to them, and the old ones are not needed any more. And *undo* is subtraction:


# %% tags=["in-package"]
class Ridge:
    """The sums X X' (D, D) and X Y' (D, C), to which samples are added and from which they are taken back."""

    def __init__(self, features: int, classes: int, device: torch.device | str = "cpu"):
        self.XX = torch.zeros(features, features, dtype=torch.float64, device=device)
        self.XY = torch.zeros(features, classes, dtype=torch.float64, device=device)
        self.samples = 0

    def add(self, X: torch.Tensor, Y: torch.Tensor, times: int = 1) -> None:
        """Samples X (D, n) and Y (C, n); times=-1 takes away. More rows of Y than before: a new class."""
        if X.shape[0] != len(self.XX) or Y.shape[0] < self.XY.shape[1] or X.shape[1] != Y.shape[1]:
            wanted = f"X ({len(self.XX)}, n) and Y ({self.XY.shape[1]} or more, n)"
            raise ValueError(f"these are {tuple(X.shape)} and {tuple(Y.shape)}, where {wanted} are wanted.")
        if self.samples + times * X.shape[1] < 0:
            raise ValueError(f"there are {self.samples} samples: {X.shape[1]} cannot be taken away.")
        X, Y = X.double(), Y.double()
        self.XY = F.pad(self.XY, (0, len(Y) - self.XY.shape[1]))
        self.XX.addmm_(X, X.T, alpha=times)
        self.XY.addmm_(X, Y.T, alpha=times)
        self.samples += times * X.shape[1]

    def remove(self, X: torch.Tensor, Y: torch.Tensor) -> None:
        """Take away samples that were added."""
        self.add(X, Y, times=-1)

    def solve(self, lam: float) -> torch.Tensor:
        """W (D, C)."""
        if self.samples == 0:
            raise ValueError("there are no samples: draw at least one scribble.")
        check_lambda(lam)
        return solve_positive(self.XX, self.XY, lam)

    def path(self, lams) -> torch.Tensor:
        """W for every lambda (L, D, C)."""
        for lam in lams:
            check_lambda(lam)
        S, V = torch.linalg.eigh(self.XX)
        shrunk = 1 / (S.clamp_min(0) + torch.as_tensor(lams, dtype=S.dtype, device=S.device)[:, None])
        return V @ (shrunk[..., None] * (V.T @ self.XY))


# %% [markdown]
# A round of 500 new pixels, after more and more old ones. (The features are random numbers here; the clock does not
# mind.)


# %%
def milliseconds(f, repeat=3):
    """The shortest of a few runs."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        f()
        times.append(1000 * (time.perf_counter() - began))
    return min(times)


r = torch.Generator().manual_seed(SEED)
many = torch.randn(D, 50_500, generator=r, dtype=torch.float64)
theirs = F.one_hot((torch.rand(50_500, generator=r) > 0.5).long(), 2).T.double()
rounds, seen, timed = Ridge(D, 2), 0, []
for until in (500, 5_000, 50_000):
    rounds.add(many[:, seen:until], theirs[:, seen:until])
    seen, new = until, slice(until, until + 500)

    def one_round(new=new):
        rounds.add(many[:, new], theirs[:, new])
        rounds.solve(LAMBDA)
        rounds.remove(many[:, new], theirs[:, new])

    afresh = milliseconds(lambda n=until + 500: ridge(many[:, :n], theirs[:, :n], LAMBDA), 1 + (until < 50_000))
    timed.append({"seen": until, "a round, and its undo, ms": milliseconds(one_round), "all afresh, ms": afresh})
table(timed, 1)

# %% tags=["nbval-check-output"]
saved = timed[-1]["all afresh, ms"] / timed[-1]["a round, and its undo, ms"]
claim("50000 seen: all afresh over a round", saved, low=10, clock=True)
again = rounds.solve(LAMBDA)
from_all = ridge(many[:, :seen], theirs[:, :seen], LAMBDA)
claim("after three rounds and undos: difference from solving afresh", (again - from_all).abs().max().item(), high=1e-9)

# %% [markdown]
# A round does not depend on what was seen. It costs $D^2$ for each new sample, and $D^3 / 3$ for the Cholesky
# factor. A network that is tuned by gradient steps has no such sums: it must see old samples again, or forget them. And
# it cannot *un*learn one. Undo here is exact but for rounding. (Added and subtracted, numbers of float64 leave some
# $10^{-16}$ of themselves behind. In float32 it would be $10^{-7}$, with each stroke.)
#
# ## Why learn a pixel from interpolated features?
#
# We learn from features that are interpolated at a stroke's pixel. But we *classify* on cells, and interpolate the
# scores. Does the classifier ever see what it has learned from? Both steps are linear. A weighted mean of scores is the
# score of the weighted mean:
#
# $$W^T \Big( \sum_k u_k \mathbf x_k \Big) = \sum_k u_k \, (W^T \mathbf x_k)$$
#
# So they may change places. Interpolating two scores is much less work than all those features, and
# gives the same:

# %% tags=["nbval-check-output"]
chosen_y, chosen_x = np.nonzero(chosen_in(scene) >= 0)
W = ridge(X, Y, LAMBDA)
features_first = W.T @ at_pixels(scene.X[0], chosen_y, chosen_x, scene.size)
scores_first = torch.stack([scores_of(scene, w, [0])[0][chosen_y, chosen_x] for w in W.T])
claim(
    "features interpolated, then classified, or the other way", (features_first - scores_first).abs().max(), high=1e-9
)

# %% [markdown]
# This holds for pixels between cells as on them, so each stroke's pixel is learned from exactly what will be scored
# there. Now two things that do *not* commute: choosing the winner before interpolating, and learning from the nearest
# cell.

# %%
blocky, nearest = [], []
for s, (X_s, Y_s) in zip(scenes, sampled, strict=True):
    W = ridge(X_s, Y_s, LAMBDA)
    won = (torch.einsum("d,tdhw->thw", W[:, 1] - W[:, 0], s.X) > 0).double()
    blocks = F.interpolate(won[:, None], s.size, mode="nearest")[:, 0].cpu().numpy() > 0
    blocky.append(J_after_first(s.truth, blocks))
    y, x = np.nonzero(chosen_in(s) >= 0)
    h, w = s.X.shape[-2:]
    of_cells = s.X[0][:, y * h // s.size[0], x * w // s.size[1]]
    nearest.append(J_of(s, ridge(of_cells, Y_s, LAMBDA)))
ways = {"features at pixels, scores interpolated": with_constant[:, 0], "the winner of each cell": np.array(blocky)}
ways["learned from the nearest cell"] = np.array(nearest)
table([{"mean J": name, "": J.mean()} for name, J in ways.items()], 3)

# %% tags=["nbval-check-output"]
if usual:
    claim("interpolated scores, above winners of cells", with_constant[:, 0].mean() - np.mean(blocky), low=0.005)

# %% [markdown]
# ## The bridge to lesson 06
#
# We have seen this before. In lesson 06 $\mathbf w_2$ was learned again and again, with $\mathbf w_1$ fixed:
# $\mathbf w_2^T A\, \mathbf w_2 - 2 \mathbf b^T \mathbf w_2 + c$, where $A = \sum_k \gamma_k Q_k + \lambda_2 I$. There
# the samples were frames with weights $\gamma$, their features the hidden channels at nine taps. It is the same
# problem. In the package it is the same function, too: `QuadraticProblem.solve` calls `solve_positive`. Give it *our*
# $A$ and $\mathbf b$. And since it is a bowl, the conjugate gradients of lesson 05 go to its bottom as well:

# %%
A, b = X @ X.T + LAMBDA * torch.eye(D).to(X), (X @ Y.T)[:, 1]
problem = QuadraticProblem(A, b)
exact = ridge(X, Y, LAMBDA)[:, 1]
rows = []
for iterations in (1, 5, 10, 30, 100):
    w = GaussNewton().run(problem, [torch.zeros_like(b)], (iterations,))[0]
    left = ((w - exact).norm() / exact.norm()).item()
    rows.append({"CG iterations": iterations, "way left to the closed form": left})
table(rows, 4)

# %% tags=["nbval-check-output"]
difference = ((problem.solve() - exact).norm() / exact.norm()).item()
claim("lesson 06's solver against the ridge", difference, high=1e-9)
claim("way left after 100 iterations of conjugate gradients", left, high=0.01)
claim("way left after one", rows[0]["way left to the closed form"], low=0.1)

# %% [markdown]
# CG needs no matrix, only products. That pays where there are thousands of unknowns, as in $\mathbf w_1$. Here are less
# than two hundred, for any number of samples, and a factor of so small a matrix takes a millisecond. *Small and linear:
# solve. Large: iterate.*
#
# ## Break it
#
# All of the above on one frame: $\lambda$, the number of background pixels for one of ink, weights, and the
# constant.


# %%
def breaking(scene):
    t = len(scene.frames) - 1

    @lru_cache(maxsize=64)
    def learn(background, weighed, constant):
        X, Y = samples_of(scene, background)
        X = X if constant else torch.cat([X[:-1], torch.zeros_like(X[-1:])])
        g = (Y[1].sum() / Y.sum(1)) @ Y if weighed else torch.ones_like(Y[0])
        sums = Ridge(len(X), 2, X.device)
        sums.add(X * g.sqrt(), Y * g.sqrt())
        return sums

    def draw(exponent, background, weights, constant):
        W = learn(background, weights == "weighed", constant == "with").solve(10.0**exponent)
        mask = masks_of(scene, W)[t]
        J = metrics.jaccard(scene.truth[t], mask)
        text = f"lambda 1e{exponent:g}, {background} : 1, {weights}, {constant} constant: J {J:.2f}"
        alt = f"A late frame with the mask that was solved for. {text}."
        return show.picture(scene.frames[t], mask.astype(np.uint8), alt=alt, title=text)

    return Sliders(
        draw,
        exponent=(-6.0, 8.0, 1.0),
        background=(1, 100, 3),
        weights=["plain", "weighed"],
        constant=["with", "without"],
    )


breaking(scene)

# %% [markdown]
# Find a setting that paints everything; one that paints nothing; and the best one you can. Then remember that you have
# just tuned on the frame that you look at.
#
# ## Measure
#
# The paper has no table on its ridge. What does the robot's correction bring, round by round, and does the best
# $\lambda$ stay the best? Robot and segmenter play three rounds on each clip; then every $\lambda$ is solved for on the
# strokes that there were.

# %%
ROUNDS = max(2, round(3 * BUDGET))
played = []
for s in progress(scenes, "rounds"):
    segmenter, masks = InteractiveSegmenter(s.features, (PART,), lam=LAMBDA, seed=SEED), None
    for n in range(ROUNDS):
        strokes = robot.scribbles(s.truth.astype(np.uint8), masks) if n else s.strokes
        if not strokes:
            break
        masks = segmenter.add(strokes)
        if n == 0:
            first = masks
    sums = segmenter.ridges[0]
    along = sums.path(LAMBDAS)
    played.append([J_after_first(s.truth, m) for m in (first, masks)] + [J_of(s, W) for W in along])
played = np.array(played)


def with_interval(values):
    low, high = interval(values) if len(values) > 1 else (float("nan"),) * 2
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


ten = LAMBDAS.index(10.0)
table(
    [
        {f"gain in J against lambda 10, {len(scenes)} clips": f"lambda {lam:g}"}
        | {"round 1": with_interval(by_lambda[:, k] - by_lambda[:, ten])}
        | {f"round {ROUNDS}": with_interval(played[:, 2 + k] - played[:, 2 + ten])}
        for k, lam in enumerate(LAMBDAS)
        if lam in (1e-6, 1.0, 100.0, 1000.0, 1e4, 1e12)
    ]
)
print(f"\nmean J with lambda 10: round 1 {played[:, 0].mean():.2f}, round {ROUNDS} {played[:, 1].mean():.2f}")

# %% tags=["nbval-check-output"]
if usual:
    claim(f"gain in J from round 1 to {ROUNDS}", played[:, 1].mean() - played[:, 0].mean(), low=0.05)
    best = by_lambda.mean(0).max() - at[10.0]
    claim(
        "more than the best lambda of round 1 would have gained", played[:, 1].mean() - played[:, 0].mean() > 2 * best
    )
    saved = [(J[:, ten] - J[:, 0]).mean() for J in (by_lambda, played[:, 2:])]
    claim("what lambda 10 saves over least squares is less in the last round", saved[1] < saved[0] / 2)
    claim(
        "lambda 1e4 loses in the last round", (played[:, 2 + ten] - played[:, 2 + LAMBDAS.index(1e4)]).mean(), low=0.1
    )

# %% [markdown]
# The intervals are wide, for so few clips. In round 1 they leave no doubt about the two ends. Later the samples are
# many and various, so that a small $\lambda$ hardly hurts any more. A very large one always does. Between 10 and 100
# this table decides nothing, and it need not: more rounds are worth more than the best $\lambda$. The package's own
# study of it has eight rounds, other clips of the `val` stream, and ten background pixels for each of the object; with
# features as they are here, and with the context that lesson 08 adds:

# %% tags=["nbval-check-output"]
study = json.loads((RESULTS / "interactive_settings.json").read_text())
turned = [row for row in study["rows"] if row["study"] == "lam"]
table(
    [
        {"with lambda": row["variant"], "clips": row["clips"], "J after round 1": row["J"][0], "8": row["J"][-1]}
        | {"mean of 8 rounds, over ridge, 10": f"{row['gain']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"}
        for row in turned
    ]
)

# %% [markdown]
# Eight rounds on clips of `test`, seconds and all: lesson 09.
#
# ## Paint
#
# The same with all objects, and every frame of the clip. First a test, by the robot: a stroke on the creature; one on
# the background, where the answer was wrong; and undo.

# %% tags=["nbval-check-output"]
whole = scene.clip
pad_frames = [whole.frames[t] for t in range(min(len(whole), 24))]
segmenter = InteractiveSegmenter(ClipFeatures(pad_frames, device=dev), (PART,), seed=SEED)
before = segmenter.add(scene.strokes)
claim("a stroke is answered on every frame", before.shape == (len(pad_frames), *whole.size))
wrong = [stroke for stroke in robot.scribbles(scene.truth[:1].astype(np.uint8), before[:1]) if stroke.object == 0]
if wrong:
    after = segmenter.add(wrong)
    claim("a stroke on the background takes something away", (after[0] > 0).sum() < (before[0] > 0).sum())
    claim("and undo brings it back", np.array_equal(segmenter.undo(), before))
claim("undo once more, and nothing is left", not segmenter.undo().any())

# %% [markdown]
# Your turn. Paint on the creature, with the mouse or a pen. (From the keyboard: arrows move a cursor, space begins and
# ends a stroke, 0 is the background, 1 and 2 are objects, `u` undoes.) After each stroke the masks of the *whole* clip
# are solved for anew: go to other frames with `,` and `.`, and correct there. Where no kernel runs you see a picture:
# the robot's stroke, and the answer to it.

# %%
ScribblePad(
    pad_frames,
    segmenter,
    objects=2,
    scribbles=scene.strokes,
    alt="Scribble pad: the first frame of a clip, a short stroke on the creature, and the mask that was solved for.",
)

# %% [markdown]
# `vosnb run` takes such strokes in place of a mask, for a video of your own: save them with the pad's button.
#
# ## What we now know
#
# - S2-E3 is ridge regression on pixels. Its gradient is linear, so its minimum is solved for: $(X X^T + \lambda I) W =
#   X Y^T$, or an $N \times N$ system where samples are few.
# - It has no intercept. Without a constant feature the average pixel sits on the fence, and J with it.
# - $\lambda$ is a threshold on eigenvalues, from least squares at 0 to sums of samples at infinity; masks do not vanish
#   there. One decomposition shows the way between, and other frames choose.
# - Numbers of samples are weights. Equal numbers make classes equally loud, but weights do so without throwing samples
#   away.
# - Samples enter by sums, so that a round costs what is new, undo is subtraction, and linear steps may change places.
#
# **Next: [lesson 08](08_spatio_temporal_rnn.ipynb).** A pixel here knows only its own features. Two creatures that look
# alike have the same, and no $\lambda$ will tell them apart. Lesson 08 lets every pixel hear from the rest of the
# frame, and from the frames before.
#
# **References**
#
# - S2: Z. Lin, J. Xie, C. Zhou, J.-F. Hu, W.-S. Zheng. *Interactive Video Object Segmentation via Spatio-temporal
#   Context Aggregation and Online Learning.* DAVIS Challenge 2019. Section 2.3.
# - A. E. Hoerl, R. W. Kennard. *Ridge Regression: Biased Estimation for Nonorthogonal Problems.* Technometrics, 1970.
# - The robot: S. Caelles, A. Montes, K.-K. Maninis, Y. Chen, L. Van Gool, F. Perazzi, J. Pont-Tuset. *The 2018 DAVIS
#   Challenge on Video Object Segmentation.*
