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
# # Inside the optimiser
#
# *Goes deeper than* {{to core}}. There conjugate gradients were given a product with $J^T J$ and took their steps. Here
# is how that product is made, what it costs, and what rounding, scales and features do to the steps.
#
# 1. What the paper leaves open.
# 2. $J p$ and its transpose by hand, and a test that finds nearly every mistake.
# 3. On the cells alone: what closed forms gain over differentiating twice.
# 4. Why not simply solve the normal equations? And where the package does.
# 5. The optimiser in full.
# 6. Scales, and directions that live on.
# 7. Rounding grows.
# 8. Features as they come, and whitened: a preconditioner made in advance.
#
# <small>To read: {{read}}. To run: {{run}}. No exercises. The numbers in the text are those of the run that is
# shipped.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test-large"
MAX_CLIPS = 1
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["setup"]
import functools
import time

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch.nn.grad import conv2d_input, conv2d_weight

from vosnb import show
from vosnb.course.classroom import device, hold, numbers, predict, table
from vosnb.datasets import load
from vosnb.features import to_image
from vosnb.methods import gauss_newton, target_model
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.gauss_newton import DIRECTIONS, AutogradProblem, History, Problem
from vosnb.methods.refinement import UntrainedTargetNet, backbone_maps
from vosnb.methods.target_model import (
    Folded,
    NormalEquations,
    Settings,
    TargetModel,
    fold,
    interpolation,
    pixel_weights,
    target_residuals,
    target_scores,
)
from vosnb.trackers import make_tracker
from vosnb.trackers.base import fit_frame, resize

dev = device(DEVICE)
tracker = make_tracker("target-model", backbone="photos", net=UntrainedTargetNet(), hidden=32, augmented=5, device=dev)
everything = [clip for clip in load(DATASET, SPLIT) if (clip.masks[0] == 1).any()]
twins = [clip for clip in everything if clip.info.get("difficulty") == "twins"] or everything
clip = twins[SEED % len(twins)]
AS_S1 = Settings(hidden=32, iterations=(5, 10, 10, 10), regularisation=(1e-4, 1e-2), squared=True, seed=SEED)
SETUPS = {"as S1": (AS_S1, False), "ours": (tracker.settings, True)}  # settings, and whether features are whitened


@torch.no_grad()
def samples():
    """Frame 0 and its copies: {whether whitened: features (5, C, h, w)}, labels (5, 1, H, W), gamma; in float64."""
    size = fit_frame(clip.frames[0], tracker.short_side, dev).shape[-2:]
    images, masks = augment_first_frame(clip.frames[0], clip.masks[0] == 1, tracker.augmented, SEED)
    maps = backbone_maps(tracker.encoder, resize(to_image(images, dev), size))
    net = UntrainedTargetNet()
    net.begin(maps)
    x = {True: net.features(maps).double(), False: net.together(maps).double()}
    gamma = torch.tensor([2.0, 1, 1, 1, 1], dtype=torch.float64, device=dev) / 6
    return x, resize(torch.from_numpy(masks)[:, None].float().to(dev), size).double(), gamma


features, y, gamma = samples()
v = pixel_weights(y)


def problem_of(name, dtype=torch.float64, **changed):
    """S1-E2 of one of the `SETUPS`, and the w that it starts from."""
    settings, whitened = SETUPS[name]
    x = features[whitened].to(dtype)
    folded = Folded(*(part.to(dtype) for part in fold(y, v, x.shape[-2:])))
    w = TargetModel(Settings(**{**vars(settings), **changed})).initial(x.shape[1])
    return target_model.TargetLoss(x, folded, gamma.to(dtype), settings.lambdas), [p.to(x) for p in w]


def fastest(run, times=3):
    """Milliseconds of the fastest of a few runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return 1000 * min(taken)


def apart(a, b):
    """The largest difference of two lists of tensors, relative to the largest number of the second."""
    largest = max(q.abs().max().item() for q in b)
    return max((p - q).abs().max().item() for p, q in zip(a, b, strict=True)) / largest


# %% [markdown]
# ## 1. Paper and code
# > *Jacobian.* Below S1-E3 the paper calls $J$ the Jacobian of the loss. It is that of the residuals. *Bowl.* It is
# > positive definite thanks to $\lambda$ alone. *Conjugate gradients.* The paper says no more than that. The code has
# > Polak and Ribière's $\beta$, not below 0. *Kept directions.* Training multiplies $\beta$ by $0.9^{75}$ between
# > bowls, evaluation by $0.9^{750}$. The version for YouTube-VOS configures the first but never hands it on. So both
# > evaluations reset, and so do we. *Scales.* $10^{-4}$ and $10^{-2}$, unnamed in the paper. *Start.* Kaiming's normal
# > in the paper; PyTorch's default, uniform and smaller, in the code and here. *Afterwards.* The code optimises
# > $\mathbf w_2$ alone once more; for that the loss *is* a bowl, and our `TargetModel` solves it.
#
# Two settings stay with us. **As S1**: features as the backbone gives them and the tiny $\lambda$ of the authors' code.
# **Ours**: features whitened with the statistics of frame 0's samples, and a larger $\lambda$.
#
# ## 2. J p and its transpose
# Let $\mathbf w$ move by $p = (p_1, p_2)$. The scores are a product, and the product rule says how they move:
#
# $$\mathbf w_2 * (p_1 * \mathbf x) + p_2 * (\mathbf w_1 * \mathbf x)$$
#
# The term $p_2 * (p_1 * \mathbf x)$ is of second order. It is what bends the valley, and what the bowl does not know.
# $J^T$ goes the other way, from a number for each score to one for each weight. A product is transposed by transposing
# its factors in reverse order.


# %%
def moved(x, w, p):
    """J p of the scores: how D(x; w) moves when w moves by p."""
    return target_scores(x, [p[0], w[1]]) + target_scores(x, [w[0], p[1]])


def pull_back(x, w, s):
    """J' of the scores: s (K, 1, h, w) -> tensors as w1 and w2."""
    hidden = F.conv2d(x, w[0])
    back = conv2d_input(hidden.shape, w[1], s, padding=1)
    return [conv2d_weight(x, w[0].shape, back), conv2d_weight(hidden, w[1].shape, s, padding=1)]


g = torch.Generator().manual_seed(SEED)
x = features[False]
_, start = problem_of("as S1")
p = [torch.randn(q.shape, generator=g, dtype=torch.float64).to(dev) for q in start]
s = torch.randn(len(x), 1, *x.shape[-2:], generator=g, dtype=torch.float64).to(dev)
dot = gauss_newton.dot
left, right = dot([moved(x, start, p)], [s]), dot(p, pull_back(x, start, s))
flipped = dot(p, pull_back(x, [start[0], start[1].flip(2)], s))
print(f"<J p, v> {left:.6f}   <p, J'v> {right:.6f}   with a flipped kernel {flipped:.6f}")

# %% [markdown]
# How do you know that a transpose is right? By its definition, $\langle J p, v \rangle = \langle p, J^T v \rangle$ for
# *any* $p$ and $v$. Random ones will do. The two numbers agree to the last digit shown, and a kernel that was flipped
# by mistake gives another one. This test takes two lines and finds a flip, a cut border, a forgotten factor.
#
# ## 3. On the cells alone
# The residuals live on pixels: scores are brought up bilinearly and compared with the label of each pixel. But what the
# pixels say can be *folded* into the cells once (`fold`), because bilinear sampling touches a cell's neighbours alone.
# Then the data part of the loss is $s^T G s - 2 s^T b + const$ for any scores $s$, and no product sees a pixel. The two
# layers are one kernel, $f = \mathbf w_2 \otimes \mathbf w_1$, and so are the two terms of $J p$.

# %% tags=["setup"]
Tensors = list[torch.Tensor]


# %% tags=["package"]
class TargetLoss(Problem):
    """S1-E2 in w1 and w2, its Jacobian products in closed form and on the cells alone.

    Two linear layers are one kernel of k^2 x C, f = w2 (x) w1, and so is a step p: w2 (x) p1 + p2 (x) w1. J p is then
    one product of a k^2 x C matrix with the features, k^2 maps shifted and added; J' is the same backwards.
    """

    def __init__(self, x: torch.Tensor, folded: Folded, gamma: torch.Tensor, lambdas, kernel: int = 3):
        self.x = x.flatten(2).transpose(1, 2).reshape(-1, x.shape[1])  # (K h w, C): one product for all samples
        self.size, self.kernel, self.lambdas = x.shape[-2:], kernel, lambdas
        maps = gamma.view(-1, 1, 1)
        self.folded = Folded(maps[..., None] * folded.stencil, maps * folded.target, gamma * folded.constant)

    def join(self, w1, w2) -> torch.Tensor:
        return w2[0].flatten(1).T @ w1.flatten(1)  # (k^2, C)

    def scores(self, f: torch.Tensor) -> torch.Tensor:
        """(k^2, C) -> (K, h, w): what tap o says of cell q is meant for the cell at q - o."""
        maps = (self.x @ f.T).view(len(self.folded.target), -1, len(f)).transpose(1, 2).flip(1)
        return F.fold(maps, self.size, self.kernel, padding=self.kernel // 2)[:, 0]

    def pull_back(self, w, s: torch.Tensor) -> list[torch.Tensor]:
        """Scores (K, h, w) through the transposes of `scores` and `join` to w1 and w2."""
        taps = F.unfold(s[:, None], self.kernel, padding=self.kernel // 2).flip(1)
        f = taps.transpose(0, 1).flatten(1) @ self.x
        return [(w[1][0].flatten(1) @ f).view_as(w[0]), (w[0].flatten(1) @ f.T).view_as(w[1])]

    def loss_and_gradient(self, w):
        s = self.scores(self.join(*w))
        curved, (_, b, constant) = self.folded.apply(s), self.folded
        regular = sum(lam * dot([p], [p]) for lam, p in zip(self.lambdas, w, strict=True))
        loss = (s * curved).sum() - 2 * (s * b).sum() + constant.sum() + regular
        gradient = self.pull_back(w, curved - b)
        return loss, [g + lam * p for g, lam, p in zip(gradient, self.lambdas, w, strict=True)]

    def curvature(self, w, p):
        s = self.scores(self.join(p[0], w[1]) + self.join(w[0], p[1]))
        products = self.pull_back(w, self.folded.apply(s))
        return [g + lam * q for g, lam, q in zip(products, self.lambdas, p, strict=True)]


# %% [markdown]
# The authors' code differentiates twice: it computes $J^T v$ with a graph, which is linear in $v$, differentiates that
# by $v$, and pulls the result back once more. Here are both, and the same loss on pixels by hand.


# %% tags=["setup"]
class DoubleBackward(Problem):
    """J'J p by differentiating J'v; the graph is made once, with the gradient, and kept."""

    def __init__(self, residuals):
        self.residuals = residuals

    @torch.enable_grad()
    def loss_and_gradient(self, w):
        self.w = [q.detach().requires_grad_() for q in w]
        self.r = self.residuals(self.w)
        self.v = [r.detach().requires_grad_() for r in self.r]
        self.pulled = torch.autograd.grad(self.r, self.w, self.v, create_graph=True)
        return dot(self.v, self.v).detach(), [q.detach() for q in self.pulled]

    def curvature(self, w, p):
        pushed = torch.autograd.grad(self.pulled, self.v, p, retain_graph=True)
        return list(torch.autograd.grad(self.r, self.w, pushed, retain_graph=True))


class OnPixels(Problem):
    """S1-E2 with J and its transpose by hand; residuals on H x W pixels."""

    def __init__(self, x, labels, v, gamma, lambdas):
        self.x, self.labels, self.roots = x, labels, [lam**0.5 for lam in lambdas]
        self.weights = gamma.sqrt().view(-1, 1, 1, 1) * v
        sides = zip(x.shape[-2:], labels.shape[-2:], strict=True)
        (self.R, _), (self.S, _) = (interpolation(n, N, x.dtype, x.device) for n, N in sides)

    def residuals(self, w):
        errors = self.R.T @ target_scores(self.x, w) @ self.S - self.labels
        return [self.weights * errors, *(root * q for root, q in zip(self.roots, w, strict=True))]

    def jvp(self, w, p):
        return [self.weights * (self.R.T @ moved(self.x, w, p) @ self.S)] + [
            root * q for root, q in zip(self.roots, p, strict=True)
        ]

    def vjp(self, w, v):
        pulled = pull_back(self.x, w, self.R @ (self.weights * v[0]) @ self.S.T)
        return [g + root * q for g, root, q in zip(pulled, self.roots, v[1:], strict=True)]


# %%
residuals = functools.partial(target_residuals, x=x, labels=y, v=v, gamma=gamma, lambdas=AS_S1.lambdas)
ways = {
    "double backward, on pixels": DoubleBackward(residuals),
    "by hand, on pixels": OnPixels(x, y, v, gamma, AS_S1.lambdas),
    "by hand, on cells": TargetLoss(x, fold(y, v, x.shape[-2:]), gamma, AS_S1.lambdas),
}
rows, products = [], {}
for name, way in ways.items():
    gradient = fastest(lambda way=way: way.loss_and_gradient(start))
    products[name] = way.curvature(start, p)
    rows.append(
        {"way": name, "gradient, ms": gradient, "product, ms": fastest(lambda way=way: way.curvature(start, p))}
    )
table(rows, digits=0)
rows_of = {row["way"]: row["product, ms"] for row in rows}

# %% [markdown]
# All three products agree to {{agree:.0e ± 1}}. On cells one takes {{on_cells:.0f ± 60}} ms in double precision, by
# double backward {{doubled:.0f ± 300}} ms, {{gain:.0f ± 10}} times as long. (Times vary between machines;
# `benchmarks/target_model.py` compares whole first frames at the paper's sizes.) Compare the columns too. By double
# backward a product costs more than a gradient, and there an iteration of conjugate gradients is dearer than a step of
# Adam. On cells they cost about the same. *Counting iterations is fair only where they cost the same.* (Each bowl needs
# one gradient besides, which neither the core nor this notebook counts: a tenth more for four bowls and 35 iterations.)
#
# ## 4. Why not simply solve?
# For $\mathbf w_1$ and $\mathbf w_2$ together the matrix does not fit (the core counts its gigabytes). There is a
# second reason. The **condition number** of a matrix is its largest stretch over its smallest, and solving with it can
# cost as many digits as this number has. That of $J^T J$ is that of $J$ *squared*. Here is a $J$ of 40 x 6 with a
# condition of $10^5$, and residuals for which we know the answer.

# %%
Q, _ = torch.linalg.qr(torch.randn(40, 6, generator=g, dtype=torch.float64))
V, _ = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=torch.float64))
J_bad = Q * torch.logspace(0, -5, 6, dtype=torch.float64) @ V
truth = torch.ones(6, dtype=torch.float64)
by_normal = torch.linalg.solve(J_bad.T @ J_bad, J_bad.T @ (J_bad @ truth))
by_qr = torch.linalg.lstsq(J_bad, (J_bad @ truth)[:, None]).solution[:, 0]
errors = [(found - truth).abs().max().item() for found in (by_normal, by_qr)]
print(f"largest error by the normal equations {errors[0]:.0e}, by least squares on J {errors[1]:.0e}")

# %% [markdown]
# Products $J^T (J p)$ spare the digits that *forming* the matrix costs, and the memory. The bowl is as narrow as
# before, and whoever walks in it feels that (section 7).
#
# **Where the package solves.** With $\mathbf w_1$ fixed, the loss is a true bowl in the few numbers of $\mathbf w_2$.
# $J^T J$ is then a small matrix, a sum over samples, each of which is computed once when it comes in. New sample
# weights are one product with what is stored. Here is an update of {{samples}} samples, one of them new, in both ways.

# %%
hidden = F.conv2d(x, start[0])
identity = torch.eye(32, dtype=torch.float64, device=dev)[..., None, None]


def w2_residuals(w):
    """S1-E2 in w2 alone: the pixels' residuals and those of lambda."""
    data, _, regular = target_residuals([identity, *w], hidden, y, v, gamma, (0.0, AS_S1.lambdas[1]))
    return [data, regular]


on_w2 = DoubleBackward(w2_residuals)
equations = NormalEquations(len(x), 32, device=dev)
folded = fold(y, v, x.shape[-2:])
for slot in range(len(x)):
    equations.put(slot, hidden[slot], Folded(*(part[slot : slot + 1] for part in folded)))


def by_sums():
    """A new sample takes slot 0, and w2 is solved for."""
    equations.put(0, hidden[0], fold(y[:1], v[:1], x.shape[-2:]))
    return equations.problem(gamma, AS_S1.lambdas[1]).solve()


update = {
    "ten CG iterations, double backward": fastest(lambda: gauss_newton.GaussNewton().run(on_w2, [start[1]], (10,)), 1),
    "sums kept, solved": fastest(by_sums),
}
for name, ms in update.items():
    print(f"{name:36} {ms:7.0f} ms")

# %% [markdown]
# That is {{update_gain:.0f ± 40}} times faster, and exact. With more samples in memory the first grows and the second
# does not.
#
# ## 5. The optimiser in full
# Note what is *not* in it: no search for a step length, no test whether the loss fell, no test for having arrived. Its
# only damping is that it stops after a fixed small number of iterations.

# %% tags=["setup"]
add = gauss_newton.add


# %% tags=["package"]
class GaussNewton:
    """Gauss-Newton steps of a fixed number of CG iterations each; no line search, no damping, no stopping (S1's code).

    scales: one number for each tensor of w, the preconditioner M of z = M^-1 r; larger means smaller steps there.
    direction: how much of the last direction stays in the next, z + beta p. "fletcher-reeves" beta = <r, z> / (last
        <r, z>); "polak-ribiere" beta = <r - last r, z> / (last <r, z>), not below 0. The same on a fixed quadratic.
    forgetting: 0 starts each Gauss-Newton step along the gradient. A factor f in 0..1 keeps the last direction between
        steps, and between calls of `run`, with beta multiplied by f (S1's training: 0.9^75, its evaluation: 0.9^750,
        which is 0 for all purposes).
    """

    def __init__(self, scales: tuple[float, ...] | None = None, direction="polak-ribiere", forgetting: float = 0.0):
        if direction not in DIRECTIONS:
            raise ValueError(f"direction={direction!r} is unknown: choose from {', '.join(DIRECTIONS)}.")
        if not 0 <= forgetting <= 1 or (scales is not None and min(scales) <= 0):
            raise ValueError(f"forgetting={forgetting} lies in 0..1, and scales={scales} are above 0, or None.")
        self.scales, self.direction, self.forgetting = scales, direction, forgetting
        self.reset()

    def reset(self) -> None:
        """Forget the last direction p, the residual r before its step, and rho = <r, z> there."""
        self.p = self.r = self.rho = None

    def precondition(self, r: Tensors) -> Tensors:
        return r if self.scales is None else [x / s for x, s in zip(r, self.scales, strict=True)]

    @torch.no_grad()
    def run(self, problem: Problem, w: Tensors, iterations=(5, 10, 10, 10), history: History | None = None) -> Tensors:
        """The parameters after len(iterations) steps; w itself is left alone. Fills `history` where one is given."""
        for n in iterations:
            loss, gradient = problem.loss_and_gradient(w)
            if history is not None:
                history.loss.append(loss.item())
            d = self.conjugate_gradients(lambda p, w=w: problem.curvature(w, p), gradient, n, loss, history)
            w = add(w, d)
        if history is not None:
            history.loss.append(problem.loss_and_gradient(w)[0].item())
        return w

    def conjugate_gradients(self, curvature, gradient: Tensors, iterations: int, loss=0.0, history=None) -> Tensors:
        """d after so many iterations on J'J d = -gradient from d = 0; curvature(p) = J'J p."""
        if self.forgetting == 0:
            self.reset()
        forget = self.forgetting
        r, d, done = [-g for g in gradient], [torch.zeros_like(g) for g in gradient], 0
        for _ in range(iterations):
            z = self.precondition(r)
            rho = dot(r, z)
            if self.p is None:
                p = z
            else:
                kept = rho if self.direction == "fletcher-reeves" else rho - dot(self.r, z)
                p = add(z, self.p, (kept / self.rho * forget).clamp_min(0))
            forget = 1.0  # between Gauss-Newton steps only
            q = curvature(p)
            pq = dot(p, q)
            if not pq > 0:  # nothing left to do: r = 0, to the last bit
                self.reset()
                break
            step = rho / pq
            self.p, self.r, self.rho = p, r, rho
            d, r, done = add(d, p, step), add(r, q, -step), done + 1
            if history is not None:
                history.predicted.append(float(loss - dot(d, add(r, gradient, -1.0))))
                history.residual_norm.append(dot(r, r).sqrt().item())
                history.step.append(step.item())
        if history is not None:
            history.iterations.append(done)
        return d


# %% [markdown]
# `history.predicted` is what the bowl promises after each iteration. It costs no product, since $b$, $d$ and $r$ are
# there, and $A d$ is $b - r$. (The core's figures spend one, as there $r$ is not handed on.)
#
# ## 6. Scales, and directions that live on
# How steep is the bowl for a number in $\mathbf w_1$, and for one in $\mathbf w_2$? The mean of the diagonal of $J^T J$
# tells, and it can be had without the matrix. For random signs $s$ the mean of $\langle s, J^T J s \rangle$ is the sum
# of the diagonal.


# %%
def mean_diagonal(problem, w, j, times=20):
    """Of J'J, over the numbers of tensor j."""
    found = []
    for _ in range(times):
        signs = [torch.zeros_like(q) for q in w]
        signs[j] = torch.randn(w[j].shape, generator=g, dtype=torch.float64).sign().to(w[j])
        found.append(dot(signs, problem.curvature(w, signs)).item() / w[j].numel())
    return np.mean(found)


steep = {name: [mean_diagonal(*problem_of(name), j) for j in (0, 1)] for name in SETUPS}
for name, (one, two) in steep.items():
    print(f"{name}: a number in w2 is {two / one:,.0f} times as steep as one in w1")


# %% tags=["setup"]
def ends(name, scales=AS_S1.scales, direction="polak-ribiere", forgetting=0.0, dtype=torch.float64):
    """The history of a run, and where it ended."""
    problem, w = problem_of(name, dtype)
    history = History()
    return history, GaussNewton(scales, direction, forgetting).run(problem, w, AS_S1.iterations, history)


# %%
RATIOS = {"100 : 1": 1.0, "1 : 1": 1e-2, "1 : 10": 1e-3, "1 : 100 (S1)": 1e-4, "1 : 10000": 1e-6}
by_scales = {ratio: {name: ends(name, (one, 1e-2))[0].loss[-1] for name in SETUPS} for ratio, one in RATIOS.items()}
table([{"scales of w1 : w2": ratio} | losses for ratio, losses in by_scales.items()], digits=0)

# %% [markdown]
# A number in $\mathbf w_2$ touches every cell through a hidden feature that is a sum of many. With us it is
# {{steep_ours:.0f ± 3}} times as steep as one in $\mathbf w_1$, and S1's ratio of 100 is of that order. Equal scales
# end at {{equal:,.0f ± 60}} and S1's at {{S1_scales:,.0f ± 40}}; turned round they end at {{turned:,.0f ± 400}}. From 1
# : 10 on it is a plateau: a preconditioner need not be exact, it needs to be of the right order. On features as they
# come S1's scales are *not* the best in so few iterations, {{raw_S1_scales:,.0f ± 300}} beside {{raw_equal:,.0f ± 300}}
# with equal ones. S1's backbone is another one, so this says nothing about theirs.
#
# S1's code can also keep the last direction from one bowl to the next, its $\beta$ multiplied by a *forgetting* factor.
# $0.9^{750}$ is a reset for all purposes. $0.9^{75}$ is {{trace:.0e}}, a trace. And on a bowl the two formulas for
# $\beta$ are the same number in exact arithmetic.

# %% tags=["setup"]
guess = predict(
    "As S1, in double precision: which of the four changes move the last loss by more than a thousandth?",
    {
        "none": "None of them.",
        "much": "Directions that are kept by a half or wholly.",
        "trace": "All kept directions, the trace of 0.9^75 included.",
    },
    seed=3,
)

# %%
CHANGES = {
    "Fletcher-Reeves": {"direction": "fletcher-reeves"},
    "kept, 0.9^75": {"forgetting": 0.9**75},
    "kept, 0.5": {"forgetting": 0.5},
    "kept, 1": {"forgetting": 1.0},
}
usual = {name: ends(name)[0].loss[-1] for name in SETUPS}
changed = {
    change: {name: ends(name, **what)[0].loss[-1] / usual[name] - 1 for name in SETUPS}
    for change, what in CHANGES.items()
}
table([{"changed": change} | {name: f"{by:+.1e}" for name, by in rows.items()} for change, rows in changed.items()])

# %% tags=["plot"]
moved_by = {change: abs(rows["as S1"]) > 1e-3 for change, rows in changed.items()}
guess.reveal(
    "trace" if moved_by["kept, 0.9^75"] else "much" if moved_by["kept, 0.5"] else "none",
    "What is small at the start of a bowl does not stay small: the next section.",
)

# %% [markdown]
# The numbers are relative changes of the last loss. The other formula changes it by {{formula:.0e ± 1}}, which is
# rounding. A trace of four ten-thousandths changes it by {{trace_S1:.1%}} as S1 and by {{trace_ours:.1%}} with us. That
# is far more than the trace itself. Neither is wrong; both runs came down at another place of the same flat valley.
#
# ## 7. Rounding grows
# Here is the first bowl alone, with up to 20 iterations. How far are two runs apart that differ in nothing but the
# formula for $\beta$, and how far is float32 from float64?

# %%
AT = (1, 2, 3, 5, 8, 12, 20)
drift = {}
for name in SETUPS:
    for kind, what in {"other formula": {"direction": "fletcher-reeves"}, "float32": {"dtype": torch.float32}}.items():
        dtype = what.get("dtype", torch.float64)
        found = []
        for n in AT:
            exact = GaussNewton(AS_S1.scales).run(*problem_of(name), (n,))
            other = GaussNewton(AS_S1.scales, what.get("direction", "polak-ribiere"))
            found.append(apart([q.double() for q in other.run(*problem_of(name, dtype), (n,))], exact))
        drift[f"{name}, {kind}"] = found

# %% tags=["plot"]
with show.style():
    fig = Figure((8.2, 3))
    axes = fig.subplots()
    ends_at = zip(drift.items(), show.TONES, ("-", "--", "-", "--"), (-3, 5, -3, -12), strict=False)
    for (name, found), tone, dash, up in ends_at:
        axes.plot(AT, np.maximum(found, 1e-17), dash, marker="o", ms=4, color=tone)
        axes.annotate(name, (AT[-1], max(found[-1], 1e-17)), (6, up), textcoords="offset points", color=tone)
    axes.set(xlabel="iterations in the first bowl", ylabel="w apart, relative", yscale="log", xlim=(0, 29))
show.figure(
    fig,
    alt="How far two runs are apart over the iterations, on a logarithmic scale. Rounding errors grow by orders of "
    "magnitude, with features as they come a thousand times more than on whitened ones.",
)

# %% [markdown]
# As S1, the two formulas are {{drift_5:.0e ± 1}} apart after 5 iterations and {{drift_20:.0e ± 1}} after 20; with us
# {{drift_ours_20:.0e ± 1}} after 20. In float32, which has seven digits to begin with, $\mathbf w$ is some percent away
# after 20 iterations in either setting. CG believes that its residual is at a right angle to all directions before. In
# a narrow bowl rounding makes that untrue, and each product with $A$ stretches the error along the steepest direction.
# So nothing is *wrong* with float32, but a run cannot be repeated to the digit on another machine. What is tested there
# must be the loss, with a margin, and not the weights. Few iterations in a bowl help here as well.
#
# ## 8. Features as they come
# To an optimiser, **whitening** the features is a change of bowl: for a fixed $\mathbf w_2$ the bowl in $\mathbf w_1$
# is as narrow as the features are unequal. Here are the strengths of the features in their principal directions.

# %% tags=["plot"]
strengths = {}
for whitened, name in ((False, "as they come"), (True, "whitened")):
    rows = features[whitened].movedim(1, -1).flatten(0, -2)
    found = torch.linalg.eigvalsh(rows.T @ rows / len(rows)).flip(0).clamp_min(0).cpu()
    strengths[name] = (found / found[0]).numpy()
with show.style():
    fig = Figure((8.2, 2.8))
    axes = fig.subplots()
    for (name, found), tone in zip(strengths.items(), show.TONES, strict=False):
        axes.plot(np.maximum(found, 1e-9), color=tone)
        axes.annotate(name, (len(found) // 2, max(found[len(found) // 2], 1e-9)), (0, -15), textcoords="offset points",
                      color=tone)  # fmt: skip
    axes.set(xlabel="direction", ylabel="strength, share of the largest", yscale="log")
show.figure(
    fig,
    alt="Strengths of the features in their principal directions, largest first. As they come they fall by orders of "
    "magnitude at once and then on; whitened they fall far more slowly.",
)

# %% [markdown]
# As they come the strongest direction is {{cond_raw:,.0f ± 20000}} times as strong as the weakest, whitened
# {{cond_white:.0f ± 10}} times. Now let Gauss-Newton and Adam run on either, with the $\lambda$ of ours, and Adam with
# its best of three rates, in hindsight. Labels and pixel weights are the same, so the losses can be compared.


# %%
def adam(problem, w, rate, steps):
    """The losses of Adam, before each step and after the last."""
    w, losses = [q.clone() for q in w], []
    optimiser = torch.optim.Adam(w, rate)
    for _ in range(steps + 1):
        with torch.no_grad():
            loss, gradient = problem.loss_and_gradient(w)
        losses.append(loss.item())
        for q, slope in zip(w, gradient, strict=True):
            q.grad = 2 * slope
        optimiser.step()
    return np.array(losses)


# %%
STEPS = max(40, round(120 * BUDGET))
folded32 = Folded(*(part.float() for part in fold(y, v, x.shape[-2:])))
race = {}
for whitened, name in ((False, "as they come"), (True, "whitened")):
    problem = TargetLoss(features[whitened].float(), folded32, gamma.float(), tracker.settings.lambdas)
    w = [q.float() for q in TargetModel(tracker.settings).initial(x.shape[1])]
    history = History()
    GaussNewton(AS_S1.scales).run(problem, w, AS_S1.iterations, history)
    runs = [adam(problem, w, rate, STEPS) for rate in (2e-3, 4e-3, 8e-3)]
    best = min(runs, key=lambda losses: losses[35])
    race[name] = {"start": best[0], "Gauss-Newton, 15": history.loss[2], "Gauss-Newton, 35": history.loss[-1]}
    race[name] |= {f"Adam, {k}": best[k] for k in (15, 35, STEPS)}
table([{"features": name} | losses for name, losses in race.items()], digits=0)

# %% [markdown]
# As they come, the loss starts at {{raw_start:,.0f ± 20000}}, for the features are large and the first scores wild.
# After 35 iterations Gauss-Newton is at {{raw_gn_35:,.0f ± 700}} and Adam at {{raw_adam_35:,.0f ± 1000}}. Whitened they
# are at {{white_gn_35:,.0f ± 40}} and {{white_adam_35:,.0f ± 100}}. So whitening is worth a factor of about eight to
# either. It is a preconditioner, made once, before the first iteration. Gauss-Newton leads after 15 and after 35 on
# both. After {{adam_steps}} Adam is lower than Gauss-Newton after 35, on both: {{raw_adam_end:,.0f ± 400}} and
# {{white_adam_end:,.0f ± 40}}.
#
# What this notebook says of one clip, the tests hold more widely: this optimiser agrees with the authors' code
# iteration by iteration, as far as rounding allows.

# %% tags=["hold"]
numbers(
    agree=max(apart(product, products["by hand, on cells"]) for product in products.values()),
    on_cells=rows_of["by hand, on cells"],
    doubled=rows_of["double backward, on pixels"],
    gain=rows_of["double backward, on pixels"] / rows_of["by hand, on cells"],
    samples=len(x),
    update_gain=update["ten CG iterations, double backward"] / update["sums kept, solved"],
    steep_ours=steep["ours"][1] / steep["ours"][0],
    equal=by_scales["1 : 1"]["ours"],
    S1_scales=by_scales["1 : 100 (S1)"]["ours"],
    turned=by_scales["100 : 1"]["ours"],
    trace=0.9**75,
    formula=abs(changed["Fletcher-Reeves"]["as S1"]),
    drift_20=drift["as S1, other formula"][-1],
    drift_ours_20=drift["ours, other formula"][-1],
    raw_S1_scales=by_scales["1 : 100 (S1)"]["as S1"],
    raw_equal=by_scales["1 : 1"]["as S1"],
    trace_S1=abs(changed["kept, 0.9^75"]["as S1"]),
    trace_ours=abs(changed["kept, 0.9^75"]["ours"]),
    drift_5=drift["as S1, other formula"][AT.index(5)],
    cond_raw=strengths["as they come"][0] / strengths["as they come"][-1],
    cond_white=strengths["whitened"][0] / strengths["whitened"][-1],
    raw_start=race["as they come"]["start"],
    raw_gn_15=race["as they come"]["Gauss-Newton, 15"],
    raw_gn_35=race["as they come"]["Gauss-Newton, 35"],
    raw_adam_35=race["as they come"]["Adam, 35"],
    raw_adam_end=race["as they come"][f"Adam, {STEPS}"],
    white_start=race["whitened"]["start"],
    white_gn_15=race["whitened"]["Gauss-Newton, 15"],
    white_gn_35=race["whitened"]["Gauss-Newton, 35"],
    white_adam_35=race["whitened"]["Adam, 35"],
    white_adam_end=race["whitened"][f"Adam, {STEPS}"],
    adam_steps=STEPS,
)
hold("the transpose is right", (abs(left - right) / abs(left)).item(), high=1e-9)
hold("a flipped kernel is found", (abs(left - flipped) / abs(left)).item(), low=1e-3)
hold(
    "all ways make the same product", max(apart(q, products["by hand, on cells"]) for q in products.values()), high=1e-9
)
hold("on cells is faster than by double backward", rows_of["double backward, on pixels"] > rows_of["by hand, on cells"])
by_torch = AutogradProblem(residuals)
hold("J p by hand is that of torch", apart(ways["by hand, on pixels"].jvp(start, p), by_torch.jvp(start, p)), high=1e-9)
