# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # To the bottom in few steps
#
# *What you will be able to do:* minimise any sum of squares with Gauss-Newton and conjugate gradients, without a
# learning rate and without ever writing down a matrix; multiply with the Jacobian of the target model and with its
# transpose by hand; and say when this beats Adam, by how much, and when it does not.
#
# | | |
# |---|---|
# | **Paper** | S1: Robinson and others, *Discriminative Online Learning for Fast Video Object Segmentation* |
# | **Equations** | S1-E3; S1-E2 again |
# | **To read** | {{read}} |
# | **To run** | {{run}} |
# | **Before** | lesson 04: the target model D, its loss S1-E2, the fold onto cells; gradients; linear equations |

# %% tags=["parameters"]
DATASET = "embedded"
SPLIT = "test"
MAX_CLIPS = 4
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %%
import time
from dataclasses import replace
from functools import cache, lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch.nn.grad import conv2d_input, conv2d_weight

from vosnb import clips, creatures, metrics, show
from vosnb.cells import late_frames, whole_cells
from vosnb.exercises import lesson_05 as exercises
from vosnb.features import load_weights, to_image
from vosnb.lesson import card, check, claim, device, hint, predict, progress, solution, table  # noqa: F401
from vosnb.methods import gauss_newton, target_model
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.gauss_newton import DIRECTIONS, History, Problem
from vosnb.methods.matching import MatchingNet
from vosnb.methods.refinement import RefinementNet, backbone_maps
from vosnb.methods.target_model import (
    Folded,
    Settings,
    TargetModel,
    fold,
    interpolation,
    pixel_weights,
    target_scores,
)
from vosnb.trackers import make_tracker
from vosnb.widgets.sliders import Sliders

# %% [markdown]
# Lesson 04 gave us the target model $D(\mathbf x; \mathbf w) = \mathbf w_2 * (\mathbf w_1 * \mathbf x)$ and its loss
# S1-E2, and left the box closed in which $\mathbf w$ is found. Now we open it. A *problem* is that loss on five
# samples of one first frame: frame 0 itself, and four montages. The package writes it as an object that can be asked
# for the loss and its gradient.

# %%
dev = device(DEVICE)
net = load_weights(MatchingNet(), "matching").to(dev).requires_grad_(False)
features = load_weights(RefinementNet(), "refinement").features.to(dev)
short_side = make_tracker("matching", net=net, device=dev).short_side  # the size at which the trackers look


@torch.no_grad()
def see(frames, whitened):
    """What D is given of frames (B, H, W, 3): (B, C, h, w), in double precision."""
    maps = backbone_maps(net.query_encoder, to_image(np.stack(frames), dev))
    return (features(maps) if whitened else features.together(maps)).double()


@cache
def first_samples(clip, whitened):
    """Five samples of a first frame: features (5, C, h, w), labels (5, 1, H, W), and gamma (5,), twice for frame 0."""
    images, masks = augment_first_frame(clip.frames[0], clip.first_mask == 1, 5, SEED)
    gamma = torch.tensor([2.0, 1, 1, 1, 1], dtype=torch.float64, device=dev) / 6
    return see(images, whitened), torch.from_numpy(masks)[:, None].double().to(dev), gamma


def problem_of(clip, settings, whitened, dtype=torch.float64):
    """S1-E2 on a clip's first samples, and the w that all methods start from."""
    x, y, gamma = (part.to(dtype) for part in first_samples(clip, whitened))
    folded = fold(y, pixel_weights(y), x.shape[-2:])
    w = TargetModel(settings).initial(x.shape[1])
    return target_model.TargetLoss(x, folded, gamma, settings.lambdas), [p.to(x) for p in w]


# %% [markdown]
# Two settings will stay with us. **As S1 has it**: features as the backbone gives them, and the tiny $\lambda$ of the
# authors' code. **Ours**, as our trackers have it: features whitened, and the larger $\lambda$ of lesson 04. We begin
# with the first. One clip tells the story; `MAX_CLIPS` of them race at the end.

# %%
AS_S1 = Settings(hidden=32, iterations=(5, 10, 10, 10, 10), regularisation=(1e-4, 1e-2), squared=True, seed=SEED)
OURS = Settings(hidden=32, iterations=(5, 10, 10, 10), regularisation=(100.0, 100.0), squared=False, seed=SEED)
SETUPS = {"as S1": (AS_S1, False), "ours": (OURS, True)}  # settings, and whether features are whitened

loaded = [clip for clip in clips.load(DATASET, SPLIT) if np.any(clip.masks[0] == 1)]
twins = [clip for clip in loaded if clip.info.get("difficulty") == "twins"] or loaded
clip = whole_cells(twins[SEED % len(twins)], short_side)
problem, start = problem_of(clip, *SETUPS["as S1"])
numbers = sum(p.numel() for p in start)
print(f"w1 {tuple(start[0].shape)} and w2 {tuple(start[1].shape)}: {numbers} numbers to find")

# %% [markdown]
# ## A question that hurts
#
# Gradient descent needs a rate. Let us give it every chance: several rates, and many steps. (The gradient is exact,
# over all samples. There is no noise in any of this lesson.)


# %%
def descend(problem, w, make_optimiser, steps, level=-np.inf):
    """Parameters after so many steps of a torch optimiser, and the loss before and after each step.

    It stops as soon as the loss is at most `level`, or is no number any more.
    """
    w, losses = [p.clone().requires_grad_() for p in w], []
    optimiser = make_optimiser(w)
    while True:
        with torch.no_grad():
            loss, gradient = problem.loss_and_gradient(w)
        losses.append(loss.item())
        if len(losses) > steps or not level < losses[-1] < np.inf:
            return [p.detach() for p in w], np.array(losses)
        for p, g in zip(w, gradient, strict=True):
            p.grad = 2 * g  # the package returns J'r, which is half of it
        optimiser.step()


# %%
def shown(losses, n):
    """The loss after n steps, for a table; "lost" where it has exploded, or is on the way."""
    return f"{losses[n]:.0f}" if n < len(losses) and losses[n] < 100 * losses[0] else "lost"


plain = {
    rate: descend(problem, start, partial(torch.optim.SGD, lr=rate), 60)[1]
    for rate in progress([1e-7, 2e-7, 4e-7, 8e-7, 1.6e-6], "rates")
}
table([{"rate": f"{rate:.1e}"} | {f"after {n}": shown(L, n) for n in (0, 15, 60)} for rate, L in plain.items()])

# %% [markdown]
# The small rates crawl. The large ones explode. There is hardly anything between. Now the best of them, after 15
# steps, beside 15 iterations of the method of this lesson. It has no rate at all.

# %%
history = History()
w_quick = gauss_newton.GaussNewton(AS_S1.scales).run(problem, start, (5, 10), history)
best_rate = min(plain, key=lambda rate: plain[rate][15] if len(plain[rate]) > 60 else np.inf)
w_plain, L = descend(problem, start, partial(torch.optim.SGD, lr=best_rate), 15)
print(f"loss after 15: gradient descent {L[-1]:.0f}, this lesson {history.loss[-1]:.0f}")
x_first = see([clip.frames[0]], whitened=False)
show.heatmap(
    [clip.frames[0]] * 2,
    {
        f"D after 15 {name}": target_scores(x_first, w)[0, 0].clamp(0, 1).cpu()
        for name, w in {"gradient steps": w_plain, "CG iterations": w_quick}.items()
    },
    mask=np.where(clip.masks[0] == 1, 1, 0),
    top=1,
    label="score",
    alt="Frame 0 twice, under the scores of D, and the object's outline. Left, after 15 steps of gradient descent, "
    "it hardly stands out. Right, after 15 iterations of conjugate gradients, it is the brightest thing.",
)

# %% tags=["nbval-check-output"]
if DATASET == "embedded":
    left = history.loss[-1] / plain[best_rate][60]
    claim("what 15 iterations of this lesson leave, over 60 steps of gradient descent at that rate", left, high=0.8)
claim("and none of the steps needed a rate", len(history.step) == 15)

# %% [markdown]
# Nobody minimises with plain gradient descent today. The rival to fear is **Adam**, which keeps a rate of its own for
# each number. It gets the rate that is best for it, found on other clips. The race is near the end of the lesson. Your
# bet, please:

# %%
guess_race = predict(
    "As S1 has it: where Gauss-Newton is after 15 CG iterations, Adam at its best rate is after ...",
    ["about as many, at most 22", "between 23 and 44", "45 or more"],
    default="b",
)

# %% [markdown]
# ## One number
#
# The smallest D there is: one cell, one feature of value 1, and both layers the same number $w$. It says $w \cdot w$.
# The label shall be 2, so the residual is $r(w) = w^2 - 2$ and the loss $L(w) = r(w)^2$. We are looking for $\sqrt 2$.
#
# Gauss and Newton say: near $w$ the *residual* is nearly a straight line, $r(w + d) \approx r + J d$ with $J = r'(w)$.
# Make the line zero, go there, and draw a new line.

# %%
w, rows = 1.0, []
for step in range(5):
    rows.append({"step": step, "w": f"{w:.12f}", "w * w - 2": f"{w * w - 2:.0e}"})
    r, J = w * w - 2, 2 * w
    w = w - r / J
table(rows)

# %% tags=["nbval-check-output"]
claim("distance from the root of 2 after five steps", abs(w - 2**0.5), high=1e-14)

# %% [markdown]
# The number of right digits doubles with each step. (The step is $w \leftarrow \frac12 (w + 2 / w)$. It is the oldest
# algorithm in this course. A clay tablet from Babylon has the root of 2 about as exact as the fourth row.)
#
# And what has happened to the *loss*? It was replaced by the square of a line, a parabola. There is another parabola
# that one could take, Newton's: the second-order Taylor series of $L$. They differ in one term,
#
# $$L' = 2 J r, \qquad L'' = 2 J^2 + 2\, r\, r''$$
#
# Gauss-Newton keeps $2 J^2$ and drops the term with $r''$. It is small where the fit is good ($r \approx 0$) or the
# model nearly linear. And what is left can never be negative. See both at $w = 0.6$:

# %%
w0 = 0.6
r, J = w0**2 - 2, 2 * w0
along = np.linspace(-0.4, 2.3, 200)
d = along - w0
show.curves(
    {
        "the loss": (along**2 - 2) ** 2,
        "Gauss-Newton: (r + J d)²": (r + J * d) ** 2,
        "Newton: L + L' d + L'' d² / 2": r**2 + 2 * J * r * d + (J**2 + r * 2) * d**2,
    },
    x=along,
    xlabel="w",
    ylabel="loss",
    ylim=(-2, 9),
    mark=w0,
    alt="The loss over w, a curve with its minimum at 1.41, and two parabolas that touch it at 0.6. Gauss-Newton's "
    "opens upwards, with its bottom at about 2. Newton's opens downwards and has no bottom.",
)

# %% [markdown]
# The loss is bent the wrong way at 0.6. Newton's parabola opens downwards, and its "minimum" is a maximum behind us.
# The square of a line always opens upwards. Its bottom is too far to the right this time, but it is the right side,
# and the next line is better.
#
# ## Many numbers (S1-E3)
#
# Now $\mathbf w$ holds all numbers of D, and $\mathbf r_{\mathbf w}$ all residuals: one for each pixel of each sample,
# and $\sqrt{\lambda_j}\, \mathbf w_j$. The slope becomes the **Jacobian** $J_{\mathbf w}$. It has a row for each
# residual and a column for each number, and says how much one moves when the other does. Square the line
# $\mathbf r_{\mathbf w} + J_{\mathbf w} \Delta \mathbf w$:
#
# $$\mathcal L_D(\mathbf w + \Delta\mathbf w) \;\approx\; \Delta\mathbf w^T J_{\mathbf w}^T J_{\mathbf w}
# \Delta\mathbf w + 2 \Delta\mathbf w^T J_{\mathbf w}^T \mathbf r_{\mathbf w} + \mathbf r_{\mathbf w}^T
# \mathbf r_{\mathbf w}$$
#
# That is S1-E3: a parabola in many dimensions, a **bowl**. Its bottom is where its gradient is zero. That gives the
# *normal equations* of least squares:
#
# $$J_{\mathbf w}^T J_{\mathbf w}\, \Delta\mathbf w = - J_{\mathbf w}^T \mathbf r_{\mathbf w}$$
#
# Then $\mathbf w \leftarrow \mathbf w + \Delta \mathbf w$, and again. We write $d$ for $\Delta \mathbf w$, and leave
# out the index of $J$ and $r$.
#
# ### Exercise 1: a Gauss-Newton step

# %%
card(exercises.gauss_newton_step)


# %% tags=["exercise"]
def gauss_newton_step(J, r):
    """The d (n,) at which ||r + J d||^2 is smallest; J (m, n) with m >= n, r (m,)."""
    # solution begin
    return torch.linalg.solve(J.T @ J, -J.T @ r)
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.gauss_newton_step, gauss_newton_step)

# %% [markdown]
# Stuck? Run `hint(exercises.gauss_newton_step, 1)` in a cell of your own.

# %% [markdown] tags=["solution"]
# `torch.linalg.lstsq(J, -r)` finds the same without $J^T J$, and with fewer lost digits. We come to that.

# %% [markdown]
# ## Two numbers, and a valley
#
# Let the two layers be two different numbers, $w_1$ and $w_2$. One cell, one feature of value 1, the label 1, and the
# terms with $\lambda$:
#
# $$L(w_1, w_2) = 2.25\,(w_1 w_2 - 1)^2 + 0.25\, (w_1^2 + w_2^2)$$
#
# The residuals are $1.5\, (w_1 w_2 - 1)$, $0.5\, w_1$ and $0.5\, w_2$. Differentiate each by both numbers:


# %%
def tiny_residuals(w):
    """(3,) for w (2,)."""
    return torch.stack([1.5 * (w[0] * w[1] - 1), 0.5 * w[0], 0.5 * w[1]])


def tiny_jacobian(w):
    """(3, 2): a row for each residual."""
    return torch.tensor([[1.5 * w[1], 1.5 * w[0]], [0.5, 0], [0, 0.5]], dtype=torch.float64)


w0 = torch.tensor([0.4, 2.3], dtype=torch.float64)
r, J = tiny_residuals(w0), tiny_jacobian(w0)
d = exercises.gauss_newton_step.reference(J, r)
print(f"from ({w0[0]:.2f}, {w0[1]:.2f}) by ({d[0]:.2f}, {d[1]:.2f}); the loss was {r @ r:.2f}")

# %% [markdown]
# There is the step. No rate, no line search. We know that it goes to the bottom of the *bowl*. And of the loss?

# %%
guess_step = predict(
    "We go the whole step d. The loss ...",
    ["falls to nearly its minimum", "falls a little", "rises"],
    default="a",
)


# %%
def contours(axes, loss, title):
    """Contour lines of a loss of (w1, w2)."""
    w1, w2 = torch.meshgrid(*[torch.linspace(-0.2, 2.6, 120, dtype=torch.float64)] * 2, indexing="xy")
    levels = loss(torch.stack([w1, w2]).flatten(1).T).view(w1.shape)
    axes.contour(w1, w2, levels, np.geomspace(0.1, 60, 20), colors="#999999", linewidths=0.7)
    axes.set(title=title, xlabel="w1", ylabel="w2", aspect="equal")


def path(axes, points, name, number):
    """A line through points (n, 2), with the colour and marker of this number."""
    points = np.array([p.tolist() for p in points])
    axes.plot(
        *points.T, "osD^"[number] + ("-", "--", ":", "-.")[number], color=show.SERIES[number], ms=5, lw=1.6, label=name
    )


def true_loss(w):
    """w (.., 2)."""
    return 2.25 * (w[..., 0] * w[..., 1] - 1) ** 2 + 0.25 * (w**2).sum(-1)


def bowl(w):
    """S1-E3 around w0."""
    return ((r + (w - w0) @ J.T) ** 2).sum(-1)


fig = Figure((8.2, 4.2), dpi=100, layout="constrained")
for axes, loss, title in zip(
    fig.subplots(1, 2), (bowl, true_loss), ("the bowl around the start", "the loss"), strict=True
):
    contours(axes, loss, title)
    path(axes, [w0, w0 + d], "the whole step", 0)
    axes.legend(frameon=False)
show.figure(
    fig,
    alt="Contours over w1 and w2 twice, with the same step. Left the bowl: a straight narrow valley, and the step ends "
    "at its lowest place. Right the true loss: the valley is bent, and the step has left it for the slope.",
)

# %% tags=["nbval-check-output"]
before, after = true_loss(w0), true_loss(w0 + d)
guess_step.reveal(
    "c" if after > before else "b" if after > 0.5 * before else "a",
    "The true valley is bent: all w with w1 w2 = 1 fit. The bowl's valley is straight, and soon parts from it.",
)
claim("the bowl's own value falls", bowl(w0 + d) < bowl(w0))
claim("the loss rises", after > before)

# %% [markdown]
# Look at the two parts of the step. Across the valley the bowl is steep, and right. Along the valley it is nearly
# flat. The little that it knows there comes from $\lambda$, and it promises a gain far away, where it is no longer
# true. **The steep directions are worth trusting. The flat ones are where the harm is done.** So we would like a way
# to the bottom that takes the steep directions first, and that we can stop. Keep that in mind for the next two
# sections.
#
# ## Why not just solve it?
#
# There is a more pressing reason not to solve the normal equations. How large are they for our D, and for that of the
# paper, with $C = 1024$ and $c = 96$?

# %%
for name, n in {"our D": numbers, "the paper's": 96 * 1024 + 96 * 9}.items():
    print(f"{name}: {n} numbers, so J'J takes {8 * n * n / 1e9:.1f} GB")

# %% [markdown]
# Out of the question, in any frame rate. And there is a loss of precision. The **condition number** of a matrix is the
# largest stretch that it does to a vector, over the smallest. Solving with it can cost as many digits as this number
# has. And that of $J^T J$ is that of $J$ *squared*. Here is a $J$ of 40 x 6 with a condition number of $10^5$, and
# residuals made such that we know the right $d$:

# %%
g = torch.Generator().manual_seed(SEED)
Q, _ = torch.linalg.qr(torch.randn(40, 6, generator=g, dtype=torch.float64))
V, _ = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=torch.float64))
J_bad = Q * torch.logspace(0, -5, 6, dtype=torch.float64) @ V
right = torch.ones(6, dtype=torch.float64)
by_normal = exercises.gauss_newton_step.reference(J_bad, -J_bad @ right)
by_lstsq = torch.linalg.lstsq(J_bad, (J_bad @ right)[:, None]).solution[:, 0]
errors = [(found - right).abs().max().item() for found in (by_normal, by_lstsq)]
table(
    [
        {"solved": name, "error": f"{error:.0e}"}
        for name, error in zip(("J'J d = -J'r", "||r + J d||, by QR"), errors, strict=True)
    ]
)

# %% tags=["nbval-check-output"]
squared = torch.linalg.cond(J_bad.T @ J_bad) / torch.linalg.cond(J_bad) ** 2
claim("condition of J'J over the square of that of J", squared.item(), 0.9, 1.1)
claim("error through J'J, over that without", errors[0] / errors[1], low=30)

# %% [markdown]
# So we shall not form $J^T J$. What we *can* do cheaply is multiply with it: $J^T (J p)$, first one, then the other.
# All that follows asks for nothing else. (A warning against a common hope: this spares the digits that forming the
# matrix costs, and the memory. The bowl itself is as narrow as before. It has the squared condition, and whoever walks
# in it feels that.)
#
# ## Downhill, as far as it goes
#
# A bowl is written $d^T A d - 2 b^T d$, with $A = J^T J$ and $b = -J^T r$. We start at $d = 0$. The direction downhill
# is the *residual of the equations*, $b - A d$. It is customary to call it $r$ as well, and so shall we, as all books
# do: from here to the next heading $r$ is $b - A d$. How far shall we go? Along $d + \alpha r$ the bowl is a parabola
# in $\alpha$, so the best step length is known exactly:
#
# $$\alpha = \frac{\langle r, r \rangle}{\langle r, A r \rangle}$$
#
# Steepest descent with that length, by hand:

# %%
A, b = J.T @ J, -J.T @ r


def steepest(A, b, iterations):
    """The places d that steepest descent with exact lengths visits."""
    places = [torch.zeros_like(b)]
    for _ in range(iterations):
        r = b - A @ places[-1]
        places.append(places[-1] + (r @ r) / (r @ A @ r) * r)
    return places


zigzag = steepest(A, b, 20)
bottom = torch.linalg.solve(A, b)
print("distance from the bottom:", *(f"{(place - bottom).norm():.2f}" for place in zigzag[:12]))

# %% [markdown]
# One large step into the valley, and then a crawl along it. Each step is at a right angle to the one before, since it
# stopped where going on would lead upwards. So in a narrow valley the path goes left, right, left, right, and hardly
# forward. **Each step spoils what the one before had reached**: it was lowest along its direction, and is not any
# more.
#
# ## A direction that spoils nothing
#
# Let $p$ be the direction just gone. We are lowest along it: $\langle r, p \rangle = 0$, the new residual is at a
# right angle to it. Now we go on by $\alpha$ along a new direction $p_{new}$, and the residual becomes
# $r - \alpha A p_{new}$. To *stay* lowest along $p$ it must keep its right angle:
#
# $$\langle p, A\, p_{new} \rangle = 0$$
#
# Two such directions are called **conjugate**. It is a right angle, measured with $A$. So take the downhill direction,
# and add just as much of $p$ that it becomes conjugate to it: $p_{new} = r + \beta p$.
#
# ### Exercise 2: the next direction

# %%
card(exercises.conjugate_direction)


# %% tags=["exercise"]
def conjugate_direction(r, p, Ap):
    """r + beta p, with the beta that makes it conjugate to p: at a right angle to Ap. All (n,); Ap is A @ p."""
    # solution begin
    beta = -(r @ Ap) / (p @ Ap)
    return r + beta * p
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.conjugate_direction, conjugate_direction)

# %% [markdown] tags=["solution"]
# It is Gram and Schmidt's step, with the inner product $\langle a, A b \rangle$ in place of the usual one. What is
# remarkable comes later: made conjugate to the *last* direction, it is conjugate to all before as well.

# %% [markdown]
# With it, here is the whole method of **conjugate gradients** (CG):


# %%
def conjugate(A, b, iterations):
    """The places d that conjugate gradients visit."""
    places, r, p = [torch.zeros_like(b)], b, b
    for _ in range(iterations):
        Ap = A @ p
        step = (r @ p) / (p @ Ap)  # the lowest place along p
        places.append(places[-1] + step * p)
        r = r - step * Ap
        p = exercises.conjugate_direction.reference(r, p, Ap)
    return places


fixed = [torch.zeros_like(b)]
for _ in range(20):
    fixed.append(fixed[-1] + 0.9 / torch.linalg.eigvalsh(A)[-1] * (b - A @ fixed[-1]))
walks = {"fixed rate, 20 steps": fixed, "steepest, 20 steps": zigzag, "conjugate, 2 steps": conjugate(A, b, 2)}
fig = Figure((8.2, 5), dpi=100, layout="constrained")
for number, (axes, (name, places)) in enumerate(zip(fig.subplots(1, 3, sharey=True), walks.items(), strict=True)):
    contours(axes, bowl, name)
    path(axes, [w0 + place for place in places], name, number)
    axes.set(xlim=(0.1, 1.4))
show.figure(
    fig,
    alt="The bowl's contours three times, with a path from the same start. A fixed rate and steepest descent drop into "
    "the narrow valley and are still on their way after 20 steps, steepest descent in a zigzag. Conjugate gradients "
    "take the same first step as steepest descent, turn, and are at the bottom with the second.",
)

# %% tags=["nbval-check-output"]
far = {name: ((places[-1] - bottom).norm() / bottom.norm()).item() for name, places in walks.items()}
claim("conjugate, 2 steps: distance from the bottom", far["conjugate, 2 steps"], high=1e-9)
claim("steepest, 20 steps: share of the way that is left", far["steepest, 20 steps"], low=0.1)

# %% [markdown]
# Two unknowns, two steps. The first is the one of steepest descent, into the valley. The second looks *along* it. This
# is no luck: a bowl in $n$ unknowns has no more than $n$ directions that are conjugate to each other, and after each
# of them we are lowest along all so far. After $n$ nothing is left. Watch it with 12 unknowns:

# %%
R = torch.randn(24, 12, generator=g, dtype=torch.float64)
A12, b12 = R.T @ R, torch.randn(12, generator=g, dtype=torch.float64)
solved = torch.linalg.solve(A12, b12)
distances = {
    name: [(place - solved).norm().item() / solved.norm().item() for place in walk(A12, b12, 14)]
    for name, walk in {"steepest descent": steepest, "conjugate gradients": conjugate}.items()
}
show.curves(
    distances,
    xlabel="iteration",
    ylabel="distance left",
    log=True,
    mark=12,
    alt="Distance from the solution over the iterations, on a logarithmic scale. Steepest descent falls slowly. "
    "Conjugate gradients fall faster and faster, and drop to rounding errors at iteration 12.",
)

# %% tags=["nbval-check-output"]
claim("12 unknowns, 12 iterations of CG: distance left", distances["conjugate gradients"][12], high=1e-8)
claim("after 6 of them", distances["conjugate gradients"][6], low=1e-3)
claim("steepest descent after 12", distances["steepest descent"][12], low=1e-2)

# %% [markdown]
# Our D has thousands of unknowns, and S1 spends ten iterations on them. Then how can it work? Because CG does not take
# the directions in any order. After $k$ iterations it is at the best place that *any* method could reach with $k$
# products with $A$. If $A$ stretches in only three different ways, three products are enough, however many unknowns
# there are:

# %% tags=["nbval-check-output"]
V, _ = torch.linalg.qr(torch.randn(200, 200, generator=g, dtype=torch.float64))
stretches = torch.tensor([1.0, 20.0, 500.0], dtype=torch.float64).repeat_interleave(torch.tensor([120, 60, 20]))
A200, b200 = V * stretches @ V.T, torch.randn(200, generator=g, dtype=torch.float64)
left = [(place - torch.linalg.solve(A200, b200)).norm().item() for place in conjugate(A200, b200, 3)]
claim("200 unknowns, three stretches, 3 iterations: distance left", left[3] / left[0], high=1e-8)
claim("after 2 of them", left[2] / left[0], low=1e-3)

# %% [markdown]
# Real bowls have a few very steep directions and many flat ones, close together. CG settles the steep ones at once,
# and the flat ones count little. And, as we saw in the bent valley, it would be unwise to follow those to the end
# anyway. **Stopping early is not a vice here.**
#
# ## The package's version
#
# Three things are added for real use. First, $\mathbf w$ is a list of tensors, not a vector. `dot` and `add` take care
# of that:

# %%
Tensors = list[torch.Tensor]


# %% tags=["in-package"]
def dot(a: Tensors, b: Tensors) -> torch.Tensor:
    """<a, b>, summed over all tensors of the two lists."""
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))


def add(a: Tensors, b: Tensors, scale: torch.Tensor | float = 1.0) -> Tensors:
    """a + scale b."""
    return [x + scale * y for x, y in zip(a, b, strict=True)]


# %% [markdown]
# Second, $\beta$ can be had without $A p$. On a bowl these three are the same number:
#
# $$-\frac{\langle r, A p \rangle}{\langle p, A p \rangle} \;=\; \underbrace{\frac{\langle r, r \rangle}{\langle
# r_{old}, r_{old} \rangle}}_{\text{Fletcher-Reeves}} \;=\; \underbrace{\frac{\langle r - r_{old},\, r \rangle}{\langle
# r_{old}, r_{old} \rangle}}_{\text{Polak-Ribière}}$$
#
# because $A p$ is $(r_{old} - r) / \alpha$, and $r$ is at a right angle to $r_{old}$.

# %% tags=["nbval-check-output"]
r_old, p = b12, b12
for n in range(5):
    Ap = A12 @ p
    new = r_old - (r_old @ p) / (p @ Ap) * Ap
    betas = [-(new @ Ap) / (p @ Ap), (new @ new) / (r_old @ r_old), (new - r_old) @ new / (r_old @ r_old)]
    if n in (0, 4):
        claim(f"iteration {n + 1}: the three betas agree", max(betas) - min(betas) < 1e-6 * max(betas))
    p, r_old = new + betas[0] * p, new

# %% [markdown]
# On a *bowl*. S1 lets the last direction live on into the next Gauss-Newton step, where the bowl is another one, and
# then they are not the same any more. Polak and Ribière's formula then has a good habit: when a step has brought
# little, $r \approx r_{old}$, it makes $\beta$ small, and starts afresh.
#
# Third, a **preconditioner**. Before it is used as a direction, the residual is rescaled, $z = M^{-1} r$: directions
# that are known to be steep get a smaller share. It is CG in other units. S1 takes one number for $\mathbf w_1$ and
# one for $\mathbf w_2$. We will see what they are worth.
#
# To the package a `Problem` is anything that has residuals and two products: `residuals(w)`, `jvp(w, p)` for $J p$,
# and `vjp(w, v)` for $J^T v$. From these it makes the two things that the method asks for: `loss_and_gradient(w)`,
# which is $\|r\|^2$ and $J^T r$, and `curvature(w, p)`, which is $J^T (J p)$.

# %% [markdown]
# ## J p of the target model, by hand
#
# So all we need is two products, and then the method runs. Torch could differentiate for us. But for D they are short,
# and instructive. Let $\mathbf w$ move by $p = (p_1, p_2)$. How do the scores move?
#
# $$(\mathbf w_2 + p_2) * ((\mathbf w_1 + p_1) * \mathbf x) \;=\; \underbrace{\mathbf w_2 * (\mathbf w_1 * \mathbf x)}_{
# D(\mathbf x;\, \mathbf w)} + \ldots$$
#
# ### Exercise 3: how the scores move

# %%
card(exercises.jvp_by_hand)


# %% tags=["exercise"]
def jvp_by_hand(x, w, p):
    """The linear part of the change of D(x; w) when w moves by p: (K, 1, h, w) for x (K, C, h, w).

    w and p: lists [w1 (c, C, 1, 1), w2 (1, c, 3, 3)]. F.conv2d(F.conv2d(x, w1), w2, padding=1) is D(x; w).
    """
    # solution begin
    first = F.conv2d(F.conv2d(x, p[0]), w[1], padding=1)
    second = F.conv2d(F.conv2d(x, w[0]), p[1], padding=1)
    return first + second
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.jvp_by_hand, jvp_by_hand)

# %% [markdown] tags=["solution"]
# It is the product rule. The fourth term, $p_2 * (p_1 * \mathbf x)$, is of second order. It is just what bends the
# valley of the two numbers above, and what the bowl does not know.

# %% [markdown]
# The residuals multiply this by fixed things. $U$ brings it up to pixels, and then come the weights:
# $J p = \sqrt{\gamma_k}\, \mathbf v_k \cdot U(\ldots)$, and $\sqrt{\lambda_j}\, p_j$ for the other residuals. (S1
# prints the residual as $\mathbf y - U(D)$. We take $U(D) - \mathbf y$, as its code does. Both $r$ and $J$ change
# sign, and nothing else does.)
#
# ## And its transpose
#
# $J^T$ goes the other way: from one number for each residual to one number for each weight. It is what backpropagation
# computes. A product is transposed by transposing its factors *in reverse order*. So: weights (they are their own
# transpose), then $U^T$, then the two convolutions backwards. The convolutions first. For $\mathbf w_2$ the hidden
# features are the input. For $\mathbf w_1$ the scores go back through $\mathbf w_2$ before they meet $\mathbf x$:


# %%
def pull_back(x, w, s):
    """J' of the scores alone: s (K, 1, h, w) -> tensors as w1 and w2."""
    hidden = F.conv2d(x, w[0])
    back = conv2d_input(hidden.shape, w[1], s, padding=1)
    return [conv2d_weight(x, w[0].shape, back), conv2d_weight(hidden, w[1].shape, s, padding=1)]


# %% [markdown]
# How do you know that a transpose is right? By its definition. For *any* $p$ and $v$,
#
# $$\langle J p, v \rangle = \langle p, J^T v \rangle$$
#
# Random ones will do: an error would have to be very lucky. This test takes two lines, and it finds nearly every
# mistake that one can make here: a flip that is missing, a border that is cut, a factor that is forgotten.

# %%
x, y, gamma = first_samples(clip, whitened=False)
p = [torch.randn(q.shape, generator=g, dtype=torch.float64).to(dev) for q in start]
s = torch.randn(len(x), 1, *x.shape[-2:], generator=g, dtype=torch.float64).to(dev)
left, right = dot([exercises.jvp_by_hand.reference(x, start, p)], [s]), dot(p, pull_back(x, start, s))
print(f"<J p, v> = {left:.6f} and <p, J'v> = {right:.6f}")

# %% tags=["nbval-check-output"]
claim("adjoint: the relative difference", (abs(left - right) / abs(left)).item(), high=1e-9)
flipped = pull_back(x, [start[0], start[1].flip(2)], s)
claim("a kernel that is flipped by mistake is found", (abs(left - dot(p, flipped)) / abs(left)).item(), low=1e-3)

# %% [markdown]
# Now all of S1-E2 as a `Problem`. $U$ is bilinear, so it works on rows and columns by itself: $U(s) = R^T s\, S$, with
# two small matrices that lesson 04 used for the fold. Its transpose is $R\, s\, S^T$.


# %%
class OnPixels(Problem):
    """S1-E2, with J and its transpose by hand; residuals on H x W pixels."""

    def __init__(self, x, labels, v, gamma, lambdas):
        self.x, self.labels, self.roots = x, labels, [lam**0.5 for lam in lambdas]
        self.weights = gamma.sqrt().view(-1, 1, 1, 1) * v
        (self.R, _), (self.S, _) = (interpolation(n, N, x.dtype, x.device)
                                    for n, N in zip(x.shape[-2:], labels.shape[-2:], strict=True))  # fmt: skip

    def residuals(self, w):
        errors = self.R.T @ target_scores(self.x, w) @ self.S - self.labels
        return [self.weights * errors, *(root * q for root, q in zip(self.roots, w, strict=True))]

    def jvp(self, w, p):
        moved = self.R.T @ exercises.jvp_by_hand.reference(self.x, w, p) @ self.S
        return [self.weights * moved, *(root * q for root, q in zip(self.roots, p, strict=True))]

    def vjp(self, w, v):
        pulled = pull_back(self.x, w, self.R @ (self.weights * v[0]) @ self.S.T)
        return [g + root * q for g, root, q in zip(pulled, self.roots, v[1:], strict=True)]


by_hand = OnPixels(x, y, pixel_weights(y), gamma, AS_S1.lambdas)

# %% [markdown]
# Held against torch, which differentiates the residuals of lesson 04 without knowing what they are:

# %% tags=["nbval-check-output"]
residuals = partial(
    target_model.target_residuals, x=x, labels=y, v=pixel_weights(y), gamma=gamma, lambdas=AS_S1.lambdas
)
by_torch = gauss_newton.AutogradProblem(residuals)


def largest_difference(a, b):
    """Over all tensors of two lists, relative to the largest number in the second."""
    return max((u - v).abs().max().item() for u, v in zip(a, b, strict=True)) / max(v.abs().max().item() for v in b)


jp = by_torch.jvp(start, p)
claim("J p by hand against torch", largest_difference(by_hand.jvp(start, p), jp), high=1e-10)
claim("J'v by hand against torch", largest_difference(by_hand.vjp(start, jp), by_torch.vjp(start, jp)), high=1e-10)

# %% [markdown]
# ## On the cells alone
#
# Lesson 04 folded the pixels into the cells: the data part of the loss is $s^T G s - 2 s^T b + const$ for any scores
# $s$. So $J^T J p$ never has to see a pixel. Move the scores, multiply with $G$, pull back. And as the two layers are
# one kernel, $f = \mathbf w_2 \otimes \mathbf w_1$ (exercise 1 there), so are the two terms of $J p$: one matrix
# product with the features for both. This is what the package does:


# %% tags=["in-package"]
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


# %% tags=["nbval-check-output"]
on_cells = TargetLoss(x, fold(y, pixel_weights(y), x.shape[-2:]), gamma, AS_S1.lambdas)
claim(
    "J'J p on cells against pixels",
    largest_difference(on_cells.curvature(start, p), by_hand.curvature(start, p)),
    high=1e-9,
)
losses = [way.loss_and_gradient(start)[0] for way in (on_cells, by_hand)]
claim("the loss as well: ratio - 1", abs(losses[0] / losses[1] - 1).item(), high=1e-9)

# %% [markdown]
# What is it worth? The authors' code differentiates twice: it computes $J^T v$ with a graph, which is linear in $v$,
# differentiates that by $v$ to get $J p$, and pulls this back once more.


# %%
class DoubleBackward(Problem):
    """J'J p by differentiating J'v; the graph is made once, with the gradient, and kept."""

    def __init__(self, residuals):
        self.residuals = residuals

    def loss_and_gradient(self, w):
        self.w = [q.detach().requires_grad_() for q in w]
        self.r = self.residuals(self.w)
        self.v = [r.detach().requires_grad_() for r in self.r]
        self.pulled = torch.autograd.grad(self.r, self.w, self.v, create_graph=True)
        return dot(self.v, self.v).detach(), [q.detach() for q in self.pulled]

    def curvature(self, w, p):
        pushed = torch.autograd.grad(self.pulled, self.v, p, retain_graph=True)
        return list(torch.autograd.grad(self.r, self.w, pushed, retain_graph=True))


def milliseconds(run, times=8):
    """The fastest of a few runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        if str(dev) != "cpu":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return 1000 * min(taken)


ways = {"double backward, on pixels": DoubleBackward(residuals)}
ways |= {"by hand, on pixels": by_hand, "by hand, on cells": on_cells}
timed = {
    name: [milliseconds(partial(way.loss_and_gradient, start)), milliseconds(partial(way.curvature, start, p))]
    for name, way in ways.items()
}
table([{"": name, "gradient, ms": a, "J'J p, ms": b} for name, (a, b) in timed.items()], digits=1)

# %% [markdown]
# (Times vary from machine to machine. The benchmark `benchmarks/target_model.py` does the same at the paper's sizes.)
# Two things to read. The fold pays. And compare the columns: with double backward a product with $J^T J$ costs *more*
# than a gradient, so there one CG iteration is dearer than one step of Adam. By hand on cells they cost the same.
# **Counting iterations is fair only where they cost the same.** In the race they do.

# %% tags=["nbval-check-output"]
product = [b for _, b in timed.values()]
if str(dev) == "cpu":
    faster = product[0] / product[2]
    claim("on cells a product takes less time than by double backward, by a factor", faster, low=1.5, clock=True)
twice = DoubleBackward(residuals)
twice.loss_and_gradient(start)
claim("and is the same product", largest_difference(on_cells.curvature(start, p), twice.curvature(start, p)), high=1e-9)

# %% [markdown]
# ## The optimiser
#
# Here it is in full. `run` takes the Gauss-Newton steps. `conjugate_gradients` is our loop from above, with lists of
# tensors, a preconditioner, and a memory of the last direction. Note what is *not* in it: no line search, no damping,
# no test for having arrived. Every step is as long as the bowl says. The number of iterations is fixed.


# %% tags=["in-package"]
class GaussNewton:
    """Gauss-Newton steps of a fixed number of CG iterations each.

    scales: one number for each tensor of w, the preconditioner M of z = M^-1 r. direction: "fletcher-reeves" or
    "polak-ribiere". forgetting: 0 starts each Gauss-Newton step along the gradient; a factor f keeps the last
    direction, with beta multiplied by f.
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
# (One thing in it is `history.predicted`: the value of the bowl after each iteration. It costs nothing, as $b$, $d$
# and $r$ are at hand.) First the 12 unknowns again. All settings must agree, for this *is* a bowl:

# %% tags=["nbval-check-output"]
bowl12, zero = gauss_newton.QuadraticProblem(A12, b12), [torch.zeros(12, dtype=torch.float64)]
for direction in DIRECTIONS:
    found = GaussNewton((3.0,), direction).run(bowl12, zero, (12,))[0]
    claim(f"12 unknowns, 12 iterations, {direction}: distance left", (found - solved).norm().item(), high=1e-7)

# %% [markdown]
# And now the two numbers in their bent valley. Whole bowls, with both iterations; or one iteration for each bowl, and
# then a new bowl:

# %%
tiny = gauss_newton.AutogradProblem(lambda w: [tiny_residuals(w[0])])
fig = Figure((8.2, 4.2), dpi=100, layout="constrained")
axes, other = fig.subplots(1, 2, width_ratios=(1, 1.2))
contours(axes, true_loss, "the loss")
tiny_ends = {}
for number, n in enumerate((2, 1)):
    places, history = [w0], History()
    for _ in range(12):
        places.append(GaussNewton().run(tiny, [places[-1]], (n,))[0])
    losses = [true_loss(w).item() for w in places]
    tiny_ends[n] = losses[-1] / losses[0]
    path(axes, places, f"{n} in each bowl", number)
    other.plot(losses, "os"[number] + "-", color=show.SERIES[number], ms=4, label=f"CG iterations in each bowl: {n}")
other.set(xlabel="Gauss-Newton step", ylabel="loss", ylim=(0, None))
other.legend(frameon=False)
show.figure(
    fig,
    alt="Left the contours of the loss with two paths, right the loss over twelve steps. With two iterations in each "
    "bowl the path jumps to and fro across the bend, and the loss ends above its start. With one it follows the valley "
    "into the minimum.",
)

# %% tags=["nbval-check-output"]
claim("two numbers, whole bowls: loss after 12 steps, over the start", tiny_ends[2], low=1.1)
claim("two numbers, one iteration in each bowl: the same", tiny_ends[1], high=0.5)

# %% [markdown]
# A perfect minimum of each bowl, twelve times, and it never arrives. It jumps to and fro across the bend for ever.
# With half of the work for each bowl it is there.
#
# ## The promise and the truth
#
# And now D, as S1 has it: five Gauss-Newton steps, of 5, 10, 10, 10 and 10 CG iterations. The lines are what the bowls
# promise, iteration by iteration. The dots are the true loss at the end of each step.


# %%
def staircase(history):
    """For a figure: (iterations, promised) of each Gauss-Newton step, and (iterations, true losses) at their ends."""
    ends = np.cumsum([0, *history.iterations])
    steps = [
        (np.arange(a, b + 1), np.array([loss, *history.predicted[a:b]]))
        for a, b, loss in zip(ends, ends[1:], history.loss, strict=False)
    ]
    return steps, (ends, np.array(history.loss))


def draw_staircase(axes, history, title):
    """Promised and true loss over CG iterations."""
    steps, ends = staircase(history)
    for n, (at, promised) in enumerate(steps):
        axes.plot(at, promised, color=show.SERIES[0], lw=1.8, label="promised" if n == 0 else None)
    axes.plot(*ends, "D", color=show.SERIES[1], ms=6, label="true")
    axes.set(xlabel="CG iteration", ylabel="loss", yscale="log", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


problems = {name: problem_of(clip, *setup) for name, setup in SETUPS.items()}
fig = Figure((8.2, 3.2), dpi=100, layout="constrained")
for axes, (name, (loss, w)) in zip(fig.subplots(1, 2), problems.items(), strict=True):
    history = History()
    GaussNewton(AS_S1.scales).run(loss, w, AS_S1.iterations, history)
    draw_staircase(axes, history, name)
show.figure(
    fig,
    alt="Loss over CG iterations for both settings, on a logarithmic scale. It falls steeply in the first 15 "
    "iterations and slowly after. The true loss at the end of each step lies on the promised one or a little above.",
)

# %% [markdown]
# The promises are kept, nearly. That is why S1 can do without a line search. But remember the bent valley. What if a
# step takes more iterations, and follows the flat directions as well? Just the first step:

# %%
kept = []
for name, (loss, w) in problems.items():
    for n in (5, 10, 20, 50):
        history = History()
        GaussNewton(AS_S1.scales).run(loss, w, (n,), history)
        row = {"setting": name, "CG iterations": n, "promised": history.predicted[-1], "true": history.loss[-1]}
        kept.append(row | {"true / promised": f"{history.loss[-1] / history.predicted[-1]:.2f}"})
table(kept, digits=0)

# %% tags=["nbval-check-output"]
ratios = {(row["setting"], row["CG iterations"]): row["true"] / row["promised"] for row in kept}
if DATASET == "embedded":
    for name in SETUPS:
        claim(f"{name}, 5 iterations: true over promised", ratios[name, 5], 0.95, 1.05)
        claim(f"{name}: after 50 the promise is kept less well", ratios[name, 50] > ratios[name, 5])
    claim("ours, 50 iterations: true over promised", ratios["ours", 50], low=1.3)
claim(
    "what is promised never rises", all(np.diff([row["promised"] for row in kept[n : n + 4]]).max() < 0 for n in (0, 4))
)

# %% [markdown]
# The promised loss always falls. The true one turns round and *rises*, and soonest with the larger $\lambda$: there it
# is the terms with $\lambda$ that promise gains along flat valleys, as with the two numbers. So the fixed, small
# number of iterations is not only thrift. **It is what S1 has in place of damping.** And the paper takes fewer
# iterations in the first step, because "the starting solution is randomly initialized": a poor place for a bowl to be
# taken seriously.
#
# ## What the scales are worth
#
# How steep is the bowl, for a number in $\mathbf w_1$ and for one in $\mathbf w_2$? The mean of the diagonal of
# $J^T J$ tells, and it can be had without the matrix: multiply with random signs $s$, then
# $\langle s, J^T J s \rangle$ is the sum of the diagonal, on average.


# %%
def mean_diagonal(loss, w, j, times=20):
    """Of J'J, over the numbers of tensor j: a mean over random signs."""
    found = []
    for _ in range(times):
        signs = [torch.zeros_like(q) for q in w]
        signs[j] = torch.randn(w[j].shape, generator=g, dtype=torch.float64).sign().to(w[j])
        found.append(dot(signs, loss.curvature(w, signs)).item() / w[j].numel())
    return np.mean(found)


steepness = [
    {"setting": name} | {f"w{j + 1}": mean_diagonal(loss, w, j) for j in (0, 1)} for name, (loss, w) in problems.items()
]
table([row | {"w2 / w1": row["w2"] / row["w1"]} for row in steepness], digits=0)

# %% [markdown]
# A number in $\mathbf w_2$ moves the scores far more than one in $\mathbf w_1$: it touches every cell through a hidden
# feature that is a sum of many. So they should not be measured with the same stick. S1's scales are $10^{-4}$ and
# $10^{-2}$ (only their ratio matters to CG): $\mathbf w_1$ may move a hundred times as far.

# %%
SCALES = {
    "100 : 1": (1, 1e-2),
    "1 : 1": (1e-2, 1e-2),
    "1 : 10": (1e-3, 1e-2),
    "1 : 100 (S1)": (1e-4, 1e-2),
    "1 : 10000": (1e-6, 1e-2),
}
by_scales = []
for ratio, scales in progress(SCALES.items(), "scales"):
    row = {"scales of w1 : w2": ratio}
    for name, (loss, w) in problems.items():
        history = History()
        GaussNewton(scales).run(loss, w, AS_S1.iterations, history)
        row |= {f"{name}, after 15": history.loss[2], f"{name}, after 45": history.loss[-1]}
    by_scales.append(row)
table(by_scales, digits=0)

# %% tags=["nbval-check-output"]
if DATASET == "embedded":
    for key in ("as S1, after 45", "ours, after 45"):
        at = {row["scales of w1 : w2"]: row[key] for row in by_scales}
        claim(f"{key}: S1's scales leave less than equal ones", at["1 : 100 (S1)"] < at["1 : 1"])
        claim(f"{key}: and those turned round leave more", at["100 : 1"] > at["1 : 1"])

# %% [markdown]
# A plateau from about the measured ratio upwards: a preconditioner need not be exact, it needs to be of the right
# order. In the wrong direction it does real harm.
#
# ## Directions that live on
#
# S1's code can keep the last direction from one Gauss-Newton step to the next, with $\beta$ multiplied by a
# *forgetting* factor. In training it is $0.9^{75}$, in evaluation $0.9^{750}$:

# %%
for power in (75, 750):
    print(f"0.9^{power} = {0.9**power:.1e}")

# %% [markdown]
# The second is zero for every purpose: it is a reset. The first leaves a trace of the old direction, less than a
# thousandth. One would think that this does nothing, too. Keep it in mind until the end of the lesson.
#
# Now break it. Below you can turn all that we have met. It starts with something that does not work, and you know by
# now why.


# %%
def breaking(problems):
    """Sliders over what the optimiser leaves open: promised and true loss over CG iterations."""
    plans = {
        "45": (45,),
        "5+10+10+10+10": (5, 10, 10, 10, 10),
        "15+15+15": (15,) * 3,
        "9 x 5": (5,) * 9,
        "45 x 1": (1,) * 45,
    }
    ratios = {"1 : 100": (1e-4, 1e-2), "1 : 1": (1e-2, 1e-2), "100 : 1": (1, 1e-2), "none": None}
    factors = {"reset": 0.0, "0.9^75": 0.9**75, "0.5": 0.5, "1": 1.0}

    @lru_cache(maxsize=128)
    def run(setting, steps, direction, scales, kept):
        (loss, w), history = problems[setting], History()
        GaussNewton(ratios[scales], direction, factors[kept]).run(loss, w, plans[steps], history)
        return history

    def draw(setting, steps, direction, scales, kept):
        history = run(setting, steps, direction, scales, kept)
        fig = Figure((8, 3.2), dpi=100, layout="constrained")
        draw_staircase(fig.subplots(), history, f"{setting}, {steps}: {history.loss[-1]:.0f} at the end")
        alt = f"Promised and true loss over CG iterations, {setting}, in steps of {steps}. The loss starts at "
        promised, true = history.predicted[-1], history.loss[-1]
        alt += f"{history.loss[0]:.0f}. At the end {promised:.0f} is promised, and {true:.0f} is true."
        return show.figure(fig, alt=alt)

    return Sliders(
        draw,
        setting=["ours", "as S1"],
        steps=list(plans),
        direction=list(DIRECTIONS),
        scales=list(ratios),
        kept=list(factors),
    )


breaking(problems)

# %% [markdown]
# One step of 45 iterations: a fine promise, and not kept. Now choose steps of `5+10+10+10+10`. Then go on. What do 45
# steps of one iteration each do, with directions reset and with all of them kept (`1`)? (The first is steepest
# descent, and LWL, S1's successor, settled for it.) With `reset`, does the direction's formula matter? And where do
# the scales matter more, `as S1` or in `ours`?
#
# ## The race
#
# The rules. The same loss, the same start, the same five samples, double precision. One iteration is one product with
# $J^T J$, or one gradient: the same cost, as measured above. **Adam** and **SGD with momentum** 0.9 get the rate that
# is best for them. It is found on clips of the stream `val`, which none of the clips below is from. *Best* is what
# they are judged by: the fewest iterations until they are where Gauss-Newton is after 15.


# %%
def gauss_newton_losses(loss, w):
    """The true loss after 0, 5, 15, 25, 35 and 45 CG iterations."""
    history = History()
    GaussNewton(AS_S1.scales).run(loss, w, AS_S1.iterations, history)
    return np.array(history.loss)


def needed(losses, level):
    """The first iteration at which the loss is at most this; more than STEPS if it never is, infinite if it is lost."""
    below = np.flatnonzero(losses <= level)
    return int(below[0]) if len(below) else STEPS + 1 if np.isfinite(losses[-1]) else np.inf


STEPS = max(45, round(150 * BUDGET))
OPTIMISERS = {"Adam": torch.optim.Adam, "momentum": partial(torch.optim.SGD, momentum=0.9)}
RATES = {
    ("as S1", "Adam"): (1e-3, 2e-3, 3e-3),
    ("as S1", "momentum"): (1e-6, 2e-6),
    ("ours", "Adam"): (5e-3, 8e-3, 1.2e-2),
    ("ours", "momentum"): (1e-5, 2e-5),
}
kinds = ("lookalike", "deformation", "light")[: max(1, round(3 * BUDGET))]
practice = [creatures.generate(SEED, kind, "val", (128, 128), 24, times=[0]) for kind in kinds]

# %%
found = {}
for c in progress(practice, "rates"):
    for (name, rival), rates in RATES.items():
        loss, w = problem_of(c, *SETUPS[name])
        level = gauss_newton_losses(loss, w)[2]
        for rate in rates:
            _, losses = descend(loss, w, partial(OPTIMISERS[rival], lr=rate), STEPS, level)
            found.setdefault((name, rival, rate), []).append(needed(losses, level))


def count(n):
    """A number of iterations, for a table."""
    return f"{n:.0f}" if n <= STEPS else f"over {STEPS}" if n < np.inf else "lost"


table(
    [
        {"setting": name, "rival": rival, "rate": f"{rate:.1e}"} | dict(zip(kinds, map(count, ns), strict=True))
        for (name, rival, rate), ns in found.items()
    ]
)

# %% [markdown]
# Best is the rate with the lowest mean. Where none arrives (or only with a rate that is lost on another clip), the
# largest that is lost on none.

# %%
BEST = {}
for (name, rival), rates in RATES.items():
    means = [np.mean(found[name, rival, rate]) for rate in rates]
    BEST[name, rival] = rates[len(rates) - 1 - int(np.argmin(means[::-1]))]
    print(f"{name}: {rival} runs with a rate of {BEST[name, rival]:.1e}")

# %% [markdown]
# And now the clips of this lesson.

# %%
bench = [whole_cells(c, short_side) for c in loaded[:MAX_CLIPS]]
raced = []
for c in progress(bench, "racing"):
    for name, setup in SETUPS.items():
        loss, w = problem_of(c, *setup)
        curves = {"Gauss-Newton": gauss_newton_losses(loss, w)}
        for rival, make in OPTIMISERS.items():
            L = np.full(STEPS + 1, np.inf)
            _, losses = descend(loss, w, partial(make, lr=BEST[name, rival]), STEPS)
            L[: len(losses)] = losses
            curves[rival] = np.nan_to_num(L, nan=np.inf)
        raced.append({"setting": name} | curves)

# %% [markdown]
# The median over the clips; each loss as a share of where it started:

# %%
AT = np.cumsum([0, *AS_S1.iterations])  # where Gauss-Newton's losses are


def median_losses(name, method):
    """Over the clips, each loss as a share of that at its start."""
    return np.median([run[method] / run[method][0] for run in raced if run["setting"] == name], 0)


fig = Figure((8.2, 3.4), dpi=100, layout="constrained")
for axes, name in zip(fig.subplots(1, 2, sharey=True), SETUPS, strict=True):
    for n, method in enumerate(["Gauss-Newton", *OPTIMISERS]):
        L = median_losses(name, method)
        L = np.where(L < 10, L, np.nan)
        at = AT if method == "Gauss-Newton" else np.arange(len(L))
        style = {
            "color": show.SERIES[n],
            "ls": ("-", "--", ":")[n],
            "marker": "Dos"[n],
            "markevery": 1 if n == 0 else 15,
        }
        axes.plot(at, L, **style, ms=4, lw=1.8, label=method)
    axes.axhline(median_losses(name, "Gauss-Newton")[2], color="#666666", lw=0.8)
    axes.set(xlabel="iteration", ylabel="loss, share of the start", yscale="log", ylim=(0.05, 1.5), title=name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
show.figure(
    fig,
    alt="Loss over iterations for Gauss-Newton, Adam and momentum in both settings, on a logarithmic scale, with "
    "a line at Gauss-Newton's loss after 15 iterations. As S1 has it Adam needs several times as many iterations to "
    "reach the line. In our setting the gap is smaller, and in the end Adam is as low.",
)

# %%
for name in SETUPS:
    rows = []
    for n, k in enumerate(AT[1:], 1):
        row = {f"{name}: after": int(k), "Gauss-Newton": f"{median_losses(name, 'Gauss-Newton')[n]:.3f}"}
        for rival in OPTIMISERS:
            share = median_losses(name, rival)[k]
            row[rival] = f"{share:.3f}" if share < 100 else "lost"
        rows.append(row)
    table(rows)
    print()

# %% [markdown]
# How many iterations does each of them need to be where Gauss-Newton is after 15? The median over the clips, and the
# range. And, as all iterations cost about the same, the seconds (on the cells of the story's clip).

# %%
iterations = {
    (name, rival): [needed(run[rival], run["Gauss-Newton"][2]) for run in raced if run["setting"] == name]
    for name, rival in RATES
}
per_iteration = np.mean(timed["by hand, on cells"]) / 1000
rows = [
    {
        "setting": "both",
        "method": "Gauss-Newton",
        "iterations": "15",
        "range": "",
        "seconds": f"{17 * per_iteration:.3f}",
    }
]
for (name, rival), n in iterations.items():
    row = {
        "setting": name,
        "method": rival,
        "iterations": count(np.median(n)),
        "range": f"{count(min(n))} to {count(max(n))}",
    }
    rows.append(row | {"seconds": f"{np.median(n) * per_iteration:.3f}" if np.median(n) <= STEPS else ""})
table(rows)

# %% [markdown]
# (Gauss-Newton pays for 17, as each of its two steps begins with a gradient.)

# %% tags=["nbval-check-output"]
factor = {name: float(np.median(iterations[name, "Adam"])) / 15 for name in SETUPS}
guess_race.reveal(
    "a" if factor["as S1"] <= 1.5 else "b" if factor["as S1"] < 3 else "c",
    "Adam's rates for single numbers do not help where directions are steep that are sums of many numbers.",
)
if DATASET == "embedded":
    claim("as S1: Adam's iterations over Gauss-Newton's 15, median", factor["as S1"], low=3)
    claim("ours: Adam's iterations over Gauss-Newton's 15, median", factor["ours"], 1.5, 3.5)
    claim("as S1: on every clip at least three times as many", min(iterations["as S1", "Adam"]) >= 45)
    if BUDGET >= 1 and len(bench) >= 4:
        caught = median_losses("ours", "Adam")[45] / median_losses("ours", "Gauss-Newton")[5]
        claim("ours, after 45: Adam's loss over Gauss-Newton's", caught, 0.8, 1.3)

# %% [markdown]
# ## Why is it closer in our setting?

# %%
guess_white = predict(
    "Between the two settings, the features were whitened and lambda raised. Which method gains more from whitening?",
    ["Gauss-Newton: CG likes a round bowl", "Adam", "both alike: the factor between them stays"],
    default="a",
)

# %% [markdown]
# **Whitening** (lesson 04) makes features uncorrelated and equally strong. To an optimiser that is a change of bowl.
# For a fixed $\mathbf w_2$, D is linear in $\mathbf w_1$, and the bowl in $\mathbf w_1$ is as narrow as the features
# are unequal. In numbers: the *second moment* of the features, $C \times C$, and its condition number.

# %%
moments = {}
for name, whitened in {"as they come": False, "whitened": True}.items():
    samples = first_samples(clip, whitened)[0].movedim(1, -1).flatten(0, -2)
    moments[name] = torch.linalg.eigvalsh(samples.T @ samples / len(samples)).flip(0).cpu()
show.curves(
    {name: m / m[0] for name, m in moments.items()},
    xlabel="direction",
    ylabel="strength",
    log=True,
    alt="Strengths of the features in their principal directions, largest first, as a share of the largest. As they "
    "come they fall by orders of magnitude at once and then on; whitened they fall far more slowly.",
)

# %%
narrow = {name: (m[0] / m[-1]).item() for name, m in moments.items()}
print("condition:", *(f"{name} {value:.0e}" for name, value in narrow.items()))

# %% [markdown]
# As they come, one single direction holds much of all strength: the mean of the features, which are never negative. CG
# settles such a direction with its first iterations and is done with it. Adam cannot: it rescales *single numbers*,
# and this direction is a bit of every one of them. Whitening removes it. It is a preconditioner, made once, offline,
# for all clips. Now turn the two changes one at a time, on one clip of `val`, with Adam's best of a few rates.

# %%
four = {}
for whitened in (False, True):
    for lam, settings in {"S1's": AS_S1, "ours": OURS}.items():
        loss, w = problem_of(practice[0], settings, whitened)
        level = gauss_newton_losses(loss, w)[2]
        runs = [descend(loss, w, partial(torch.optim.Adam, lr=rate), STEPS, level)[1] for rate in (2e-3, 5e-3)]
        four[whitened, lam] = min(needed(losses, level) for losses in runs)
table(
    [{"features": "whitened" if whitened else "as they come", "lambda": lam, "Adam's iterations": count(n)}
     for (whitened, lam), n in four.items()]
)  # fmt: skip

# %% tags=["nbval-check-output"]
fewer = four[False, "S1's"] / four[True, "S1's"]
guess_white.reveal(
    "b" if fewer > 1.3 else "a" if fewer < 0.77 else "c",
    "A round bowl helps both. But CG finds its way in a narrow one, and Adam does not.",
)
if DATASET == "embedded":
    claim("condition of the features, as they come over whitened", narrow["as they come"] / narrow["whitened"], low=5)
    claim("whitening, S1's lambda: Adam's iterations fall by a factor", fewer, low=1.3)

# %% [markdown]
# So this is the honest result. **On the features as they come, which is the case of S1, Gauss-Newton needs a small
# part of Adam's iterations. On whitened features the two are closer, and given time Adam catches up.** (Compare the
# last rows of the two tables of losses. A reason: the bowl leaves out the term with $r''$, and with a large $\lambda$
# the residuals do not become small. Then Gauss-Newton is a descent like others.) What it has in every case is *no rate
# to find*. It has settings, too, the scales and the numbers of iterations. But they were plateaus. Adam's rate was
# found for it, and a rate that is a few times too large can lose everything: ask momentum.
#
# ## Does the mask care?
#
# The loss is a means. Take D after 5, 15, 25 and 45 iterations, and score its masks (above one half, lesson 04) in the
# last frames of our clips:

# %%
late_count = 3 if BUDGET >= 1 else 1
J = {name: [] for name in SETUPS}
for c in progress(bench, "scoring"):
    times = late_frames(c, late_count)
    for name, (settings, whitened) in SETUPS.items():
        (loss, w), later = problem_of(c, settings, whitened), see([c.frames[t] for t in times], whitened)
        row = []
        for steps in ((5,), (10,), (10,), (10, 10)):
            w = GaussNewton(settings.scales).run(loss, w, steps)  # directions are reset, so that we can go on from here
            s = F.interpolate(target_scores(later, w), c.size, mode="bilinear", align_corners=False)[:, 0] > 0.5
            row.append(
                np.mean([metrics.jaccard(c.masks[t] == 1, m) for t, m in zip(times, s.cpu().numpy(), strict=True)])
            )
        J[name].append(row)
table(
    [
        {"CG iterations": k} | {f"{name}: J": float(np.mean(J[name], 0)[n]) for name in SETUPS}
        for n, k in enumerate((5, 15, 25, 45))
    ]
)

# %% [markdown]
# The loss falls to the very end (the figure above). J does not follow it there. (A handful of clips: mind no
# hundredth.) What comes late is frame 0 and its montages, learned better and better by heart. That is a second reason
# to stop early, and why a tracker that has to begin *now* need not wait.
#
# ## Paper and code
#
# > **Paper and code.** *Jacobian.* Below S1-E3 the paper calls $J_{\mathbf w}$ the Jacobian of $\mathcal L_D$. It is
# > that of the residuals. *Bowl.* It is positive definite thanks to $\lambda$ alone. *Conjugate gradients.* The paper
# > says no more than that. The code has Polak and Ribière's $\beta$, not below 0. *Kept directions.* Its training
# > multiplies $\beta$ by $0.9^{75}$ between steps, its evaluation by $0.9^{750}$. The version for YouTube-VOS
# > configures the first, but never hands it on, and runs with Fletcher and Reeves' $\beta$ and a reset. So both
# > evaluations reset, and so do we. *Scales.* $10^{-4}$ and $10^{-2}$, unnamed in the paper. *Last iteration.* The
# > code skips the update of the residual there, which nobody needs any more. *Start.* Kaiming's normal in the paper;
# > PyTorch's default, uniform and smaller, in the code and here. *Afterwards.* The code optimises $\mathbf w_2$ alone
# > once more, by 10 iterations; for that the loss *is* a bowl, and our `TargetModel` solves it (lesson 06).
# > *Precision.* The code runs in float32.
#
# Each change alone, on two clips as S1 has it: the loss after all 45 iterations, over that of the first row.

# %%
CHANGES = {
    "Polak-Ribière, reset": {},
    "Fletcher-Reeves, reset": {"direction": "fletcher-reeves"},
    "Polak-Ribière, 0.9^75": {"forgetting": 0.9**75},
    "Polak-Ribière, 0.9^750": {"forgetting": 0.9**750},
    "Fletcher-Reeves, 0.9^75": {"direction": "fletcher-reeves", "forgetting": 0.9**75},
    "equal scales": {"scales": (1e-2, 1e-2)},
    "Kaiming's normal": {"init": "normal"},
    "float32": {},
}
ended = {name: [] for name in CHANGES}
for c in progress([clip, bench[0]], "changes"):
    for name, change in CHANGES.items():
        settings = replace(AS_S1, **change)
        loss, w = problem_of(c, settings, False, torch.float32 if name == "float32" else torch.float64)
        optimiser = GaussNewton(settings.scales, settings.direction, settings.forgetting)
        w = [p.double() for p in optimiser.run(loss, w, settings.iterations)]
        ended[name].append(problem_of(c, AS_S1, False)[0].loss_and_gradient(w)[0].item())
first = np.array(ended["Polak-Ribière, reset"])
table(
    [
        {"changed": name} | {"loss, over the first row's": float(np.mean(np.array(losses) / first))}
        for name, losses in ended.items()
    ],
    digits=3,
)

# %% [markdown]
# Now stop at the first two rows. On a bowl the two formulas are the *same* number, and every step begins with a reset.
# So these two rows should be equal to the last digit. They are not, in double precision! What differs is rounding.
# Look at the last row, too. And at $0.9^{75}$, of which one would think that it does nothing.
#
# ## Rounding grows
#
# Here is the first Gauss-Newton step, three times: in float64 with either formula, and in float32. How far is
# $\mathbf w$ apart after 1, 3, 5 and 10 iterations, relative to its largest number? Then, after all five steps: how
# far is $\mathbf w$, and how far the *loss*?

# %%
KINDS = {
    "float64": (torch.float64, "polak-ribiere"),
    "other beta": (torch.float64, "fletcher-reeves"),
    "float32": (torch.float32, "polak-ribiere"),
}
rounding = []
for name, (settings, whitened) in SETUPS.items():
    ends, exact = {}, problem_of(clip, settings, whitened)[0]
    for kind, (dtype, direction) in KINDS.items():
        loss, w = problem_of(clip, settings, whitened, dtype)
        optimiser = GaussNewton(settings.scales, direction)
        found = [optimiser.run(loss, w, plan) for plan in ((1,), (3,), (5,), (10,), AS_S1.iterations)]
        ends[kind] = [[p.double() for p in w] for w in found]
    for kind in ("other beta", "float32"):
        apart = [largest_difference(a, b) for a, b in zip(ends[kind], ends["float64"], strict=True)]
        losses = [exact.loss_and_gradient(ends[k][-1])[0].item() for k in (kind, "float64")]
        row = {"setting": name, "against float64": kind}
        row |= dict(zip(("after 1", "3", "5", "10", "all steps"), apart, strict=True))
        rounding.append(row | {"loss": abs(losses[0] / losses[1] - 1)})
table([{key: f"{value:.0e}" if isinstance(value, float) else value for key, value in row.items()} for row in rounding])

# %% tags=["nbval-check-output"]
by = {(row["setting"], row["against float64"]): row for row in rounding}
if DATASET == "embedded":
    claim("ours, float32, after all steps: the loss is apart by", by["ours", "float32"]["loss"], high=0.05)
    claim("as S1: w is further apart", by["as S1", "float32"]["all steps"] > by["ours", "float32"]["all steps"])
    claim("as S1: other beta, too", by["as S1", "other beta"]["10"] > 100 * by["ours", "other beta"]["10"])

# %% [markdown]
# As S1 has it, each iteration makes the last one's rounding many times larger. Ten are enough to carry the sixteenth
# digit into the first few, and float32 has only seven to begin with. CG believes that its residual is at a right angle
# to all directions before. With a bowl this narrow rounding makes that untrue, and each product with $A$ stretches the
# error along the steepest direction. What is true of the last digit is true of any small change, such as a trace of an
# old direction. In the end the weights are another model's, and the loss is off by some percent: the run came down at
# another place of the same flat valley. So nothing is *wrong* with float32. But a run cannot be repeated to the digit
# on another machine, and what is tested there must be the loss, with a margin, and not the weights. (Our tests hold
# this optimiser to the authors' code in float64, iteration by iteration, as far as rounding allows.) On whitened
# features little of this is left. That is the second thing that they are good for.
#
# ## What we now know
#
# - A sum of squares has a bowl that costs no second derivatives: square the linear residual (S1-E3). It is always bent
#   upwards, and it comes with its own step length.
# - Conjugate gradients need products $J^T (J p)$ alone, each step is lowest along all directions so far, and the steep
#   ones come first. $n$ unknowns are solved in $n$ steps. A few are enough.
# - $J p$ of D is the product rule, $J^T$ the same backwards. $\langle J p, v \rangle = \langle p, J^T v \rangle$
#   proves it.
# - Few iterations for each bowl are the damping: a bowl is true only near its start.
# - Against Adam at its best rate: far ahead on features as they come, closer on whitened ones, and never a rate to
#   find.
#
# **Next: [lesson 06](06_refine_and_update.ipynb).** D learns fast enough to be learned *while the clip runs*. Lesson 06
# gives it a memory of later frames, in which $\mathbf w_2$ alone is learned again and the bowl is the truth, and a
# network that draws outlines from its scores.
#
# **References**
#
# - S1: A. Robinson, F. Järemo Lawin, M. Danelljan, F. S. Khan, M. Felsberg. *Discriminative Online Learning for Fast
#   Video Object Segmentation.* Sections 3.1 and 3.5; the authors' code is FRTM.
# - ATOM: M. Danelljan, G. Bhat, F. S. Khan, M. Felsberg. *ATOM: Accurate Tracking by Overlap Maximization.* CVPR 2019.
# - M. R. Hestenes, E. Stiefel. *Methods of Conjugate Gradients for Solving Linear Systems.* 1952.
# - J. R. Shewchuk. *An Introduction to the Conjugate Gradient Method Without the Agonizing Pain.* 1994.
# - D. P. Kingma, J. Ba. *Adam: A Method for Stochastic Optimization.* 2014.
