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
# # To the bottom in few steps
#
# Four rhinos, and the outlined one is the target. On both sides the *same* small model learns from this one picture to
# be bright on the target and dark everywhere else. Both sides see the same data, begin alike, and take equally many
# steps of equal price. The right side descends the gradient with the best of four learning rates. The left side has no
# rate at all. **Watch the two rhinos on the left of each picture. At which step do they go dark, left and right?**
#
# <small>To read: {{read}}. To solve the four exercises: about 60 minutes (estimated). To run: {{run}}. The numbers in
# the text are those of the run that is shipped; with other parameters yours will differ.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test-large"
MAX_CLIPS = 4
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["plot"]
import functools
import time

import numpy as np
import torch

from vosnb import show
from vosnb.course.classroom import device
from vosnb.datasets import load
from vosnb.features import to_image
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.gauss_newton import GaussNewton, add
from vosnb.methods.refinement import backbone_maps
from vosnb.methods.target_model import TargetLoss, TargetModel, fold, pixel_weights, target_scores
from vosnb.trackers import make_tracker
from vosnb.trackers.base import fit_frame, resize

dev = device(DEVICE)
tracker = make_tracker("target-model", backbone="photos", device=dev)
SETTINGS, PLAN = tracker.settings, tracker.settings.iterations
RATES = (1e-6, 2e-6, 4e-6, 8e-6)


@functools.cache
@torch.no_grad()
def begin(clip):
    """A clip's first frame for D: a function from frames to features, S1-E2 on five samples, and the first w."""
    image = fit_frame(clip.frames[0], tracker.short_side, dev)
    images, masks = augment_first_frame(clip.frames[0], clip.masks[0] == 1, tracker.augmented, SEED)
    maps = backbone_maps(tracker.encoder, resize(to_image(images, dev), image.shape[-2:]))
    net = type(tracker.net)()
    net.begin(maps)
    x, y = net.features(maps), resize(torch.from_numpy(masks)[:, None].float().to(dev), image.shape[-2:])
    gamma = torch.ones(len(x), device=dev)
    gamma[0] = 2  # frame 0 itself counts twice
    problem = TargetLoss(x, fold(y, pixel_weights(y), x.shape[-2:]), gamma / gamma.sum(), SETTINGS.lambdas)

    @functools.lru_cache(maxsize=8)
    def see(t):
        image = fit_frame(clip.frames[t], tracker.short_side, dev)
        return net.features(backbone_maps(tracker.encoder, image))

    return see, problem, [p.to(x) for p in TargetModel(SETTINGS).initial(x.shape[1])]


def descend(problem, w, make_optimiser, steps):
    """The way of a torch optimiser, (parameters, loss) before each of its steps and after the last."""
    w, way = [p.clone() for p in w], []
    optimiser = make_optimiser(w)
    for _ in range(steps + 1):
        with torch.no_grad():
            loss, gradient = problem.loss_and_gradient(w)
        way.append(([p.clone() for p in w], loss.item()))
        if not way[-1][1] < 1e12:
            break
        for p, g in zip(w, gradient, strict=True):
            p.grad = 2 * g  # the package returns J'r, which is half of the gradient
        optimiser.step()
    return way


def sgd(rate):
    return functools.partial(torch.optim.SGD, lr=rate)


def last(way, steps=sum(PLAN)):
    """The loss after so many steps, infinite where the run was lost."""
    return way[steps][1] if len(way) > steps and way[steps][1] < way[0][1] else np.inf


everything = [clip for clip in load(DATASET, SPLIT) if (clip.masks[0] == 1).any()]
kinds = [[clip for clip in everything if clip.info.get("difficulty") == kind] for kind in ("twins", "easy")]
clips = ([clip for pair in zip(*kinds, strict=False) for clip in pair] or everything)[SEED : SEED + MAX_CLIPS]
rhinos = clips[0]
see, problem, start = begin(rhinos)
ways = {rate: descend(problem, start, sgd(rate), sum(PLAN)) for rate in RATES}
best = min(RATES, key=lambda rate: last(ways[rate]))

quick, w = [(start, problem.loss_and_gradient(start)[0].item())], start
optimiser = GaussNewton(SETTINGS.scales)
for n in PLAN:
    for k in range(1, n + 1):
        found = optimiser.run(problem, w, (k,))
        quick.append((found, problem.loss_and_gradient(found)[0].item()))
    w = found


def scores_over(way, k, name):
    """Frame 0 under the scores of D after k steps, and its title."""
    w, loss = way[min(k, len(way) - 1)]
    s = target_scores(see(0), w)[0, 0].clamp(0, 1).nan_to_num().cpu().numpy()
    outline = np.where(rhinos.masks[0] == 1, 1, 0)
    return show.heat_over(rhinos.frames[0], s, outline, scale=450 / rhinos.size[1]), f"{name} {k}: loss {loss:,.0f}"


pictures = []
for k in range(len(quick)):
    panels = [scores_over(quick, k, "this lesson, step"), scores_over(ways[best], k, "gradient descent, step")]
    pictures.append(show.tiled(*zip(*panels, strict=True), columns=2))
show.Film(
    pictures,
    fps=3,
    still=8,
    limit=900_000,
    alt="Frame 0 twice, under the scores of a model that learns. Both begin with noise all over the picture. On the "
    "left the target is bright after five steps and the other rhinos are dark after fifteen. On the right the target "
    "is bright too, flickers at times, and the other rhinos still glimmer at the end.",
)

# %% [markdown]
# After {{steps}} steps the loss on the left is {{quick_end:,.0f ± 40}}, and on the right {{slow_end:,.0f ± 200}}; both
# began at {{loss_0:,.0f ± 300}}. The left side was below the right side's last value at its step {{passed ± 1}}. It
# took {{seconds:.1f ± 1.5}} s on one core. Nobody uses plain gradient descent for such a thing today, so the real
# rival comes later, Adam.

# %% tags=["ask"]
import json

from matplotlib.figure import Figure

from vosnb import metrics
from vosnb.course.classroom import card, check, chosen, estimate, hold, numbers, predict, progress, table
from vosnb.course.exercises import lesson_05 as exercises
from vosnb.methods.gauss_newton import AutogradProblem
from vosnb.methods.target_model import Folded, NormalEquations, target_residuals
from vosnb.paths import RESULTS
from vosnb.widgets.sliders import Sliders

guess_adam = estimate(
    "Adam gets the better of two rates, clip by clip. How many iterations does it need to be where the left side is "
    "after 15? (Median of four clips.)",
    0,
    150,
    "iterations",
    digits=0,
)

# %% [markdown]
# | | |
# |---|---|
# | **You will be able to** | minimise a sum of squares without a rate and without its matrix, and say when it pays |
# | **Paper** | S1: Robinson and others, *Discriminative Online Learning for Fast Video Object Segmentation*, 3.1 |
# | **Equations** | S1-E3; S1-E1 and S1-E2 again |
# | **Before** | {{to before}}: the model D and its loss; derivatives; linear equations |
# | **After** | {{to after}} |
# | **Deeper** | {{to deeper}} |
#
# ## The scoreboard

# %% tags=["plot"]
show.scoreboard("target model")

# %% [markdown]
# This lesson adds no row. It opens the box in which the last row is learned. `target model` has {{board_real:.2f}} on
# real video and {{board_twins:.2f}} on toy twins, where `matching` has {{match_real:.2f}} and {{match_twins:.2f}}. All
# that it knows of its object it learns on frame 0, and again whenever it is updated. So it can only be as good as it
# learns in the time that a viewer would wait.
#
# ## Two layers make a product
# Lesson 04 built the target model, two linear layers on the features $\mathbf x$ of a frame (S1-E1):
#
# $$D(\mathbf x; \mathbf w) = \mathbf w_2 * (\mathbf w_1 * \mathbf x)$$
#
# Its loss (S1-E2) sums the squares of all *residuals*: one for each pixel of each sample, weighted score minus label,
# and $\sqrt \lambda\, w$ for each number $w$, which keeps them small. The samples are frame 0 and four copies of it in
# which the object was moved and turned.
#
# D is linear in $\mathbf w_1$, and linear in $\mathbf w_2$. In both together it is a *product*, so the loss is no
# parabola. Were it one, we could go to its lowest place at once. First, how many numbers are there, and what would
# gradient descent do?

# %%
unknowns = sum(p.numel() for p in start)
print(f"w1 {tuple(start[0].shape)}, w2 {tuple(start[1].shape)}: {unknowns:,} numbers")

rows = []
for rate in progress(RATES, "rates"):
    row = {"rate": f"{rate:.0e}"}
    for clip in clips:
        _, loss, w = begin(clip)
        row[clip.name] = last(ways[rate] if clip is rhinos else descend(loss, w, sgd(rate), sum(PLAN)))
    rows.append(row)
table([row | {name: f"{L:,.0f}" if L < np.inf else "lost" for name, L in row.items() if name != "rate"}
       for row in rows])

# %% [markdown]
# These are losses after {{steps}} steps. The small rates crawl. The largest loses every clip: the loss explodes. Between
# them is hardly a factor of two, and it differs from clip to clip. The best rate for the rhinos, {{best_millionths:.0f}}
# millionths, loses {{lost_at_best}} of the {{clips}} clips. A tracker meets a new clip every time and cannot try rates.
#
# ## One number
# The smallest D has one feature of value 1, and both layers are the same number $w$. It says $w \cdot w$. Let the label
# be 2. The residual is $r(w) = w^2 - 2$, and we look for $\sqrt 2$. **Gauss and Newton** say: near $w$ the *residual*
# is nearly a straight line, $r(w + d) \approx r + J d$ with the slope $J = r'(w)$. Go where the line is zero, and draw
# a new line.

# %%
w, rows = 1.0, []
for step in range(5):
    rows.append({"step": step, "w": f"{w:.12f}", "w * w - 2": f"{w * w - 2:.0e}"})
    r, J = w * w - 2, 2 * w
    w = w - r / J
table(rows)

# %% [markdown]
# The number of right digits doubles at every step. No rate was needed: the line says how far to go. And the *loss*
# $r^2$ was replaced by the square of a line, which is a parabola. Newton himself would take another one, the Taylor
# series of the loss, whose curvature is $2 J^2 + 2\, r\, r''$. Gauss-Newton drops the second term. Here are both, at
# $w = 0.6$.

# %% tags=["plot"]
w0 = 0.6
r, J = w0**2 - 2, 2 * w0
along = np.linspace(-0.4, 2.3, 200)
d = along - w0
lines = {
    "the loss": ((along**2 - 2) ** 2, (-0.35, 6.6)),
    "Gauss-Newton: (r + J d)²": ((r + J * d) ** 2, (1.3, 1.7)),
    "Newton: Taylor series": (r**2 + 2 * J * r * d + (J**2 + 2 * r) * d**2, (1.15, -1.4)),
}
with show.style():
    fig = Figure((8.2, 2.9))
    axes = fig.subplots()
    for (name, (values, at)), tone, dash in zip(lines.items(), show.TONES, ("-", "--", ":"), strict=False):
        axes.plot(along, values, color=tone, ls=dash)
        axes.annotate(name, at, color=tone)
    axes.plot(w0, r**2, "o", color=show.INK)
    axes.annotate("we are here", (w0, r**2), (8, 4), textcoords="offset points")
    axes.set(xlabel="w", ylabel="loss", ylim=(-2, 9))
show.figure(
    fig,
    alt="The loss over w, with its minimum at 1.41, and two parabolas that touch it at 0.6. Gauss-Newton's opens "
    "upwards, with its bottom at about 2. Newton's opens downwards and has no bottom.",
)

# %% [markdown]
# The loss is bent downwards at 0.6, and Newton's parabola with it: its "lowest place" is its top, behind us. The square
# of a line can never open downwards. Its bottom lies a little too far to the right, but on the right side, and the next
# line is better.
#
# With several residuals in one number there is a slope for each, and no step makes all lines zero. The sum of their
# squares is still one parabola. Where is it lowest?

# %% tags=["check"]
card(exercises.best_step)


# %% tags=["exercise"]
def best_step(J, r):
    """The d (one number) at which the sum of (r + J d)**2 is smallest; slopes J (m,), residuals r (m,)."""
    # solution begin
    return -(J @ r) / (J @ J)
    # solution end


# %% tags=["check", "nbval-check-output"]
check(exercises.best_step, best_step)

# %% [markdown]
# ## Many numbers (S1-E3)
# Now $\mathbf w$ holds all numbers of D and $\mathbf r$ all residuals. The slopes become the **Jacobian** $J$, a matrix
# with a row for each residual and a column for each number. The square of the line is
#
# $$\mathcal L_D(\mathbf w + \Delta\mathbf w) \;\approx\; \Delta\mathbf w^T J^T J\, \Delta\mathbf w + 2
# \Delta\mathbf w^T J^T \mathbf r + \mathbf r^T \mathbf r$$
#
# That is S1-E3: a parabola in many dimensions, a **bowl**. Where its slope is zero, your fraction has become a linear
# system, the *normal equations*:
#
# $$A d = b \qquad \text{with} \qquad A = J^T J, \quad b = -J^T \mathbf r, \quad d = \Delta \mathbf w$$
#
# Solving it needs $A$. For our D that is a matrix of {{matrix:.1f}} GB, for the paper's of {{matrix_paper:.0f}} GB. So
# we need a way to the bottom of a bowl that never writes the bowl down. Before that, a look at the way itself.
#
# ## Two numbers, and a valley
# Let the two layers be two numbers, with one feature of value 1, the label 1, and the terms with $\lambda$. Then the
# residuals are $1.5\,(w_1 w_2 - 1)$, $0.5\, w_1$ and $0.5\, w_2$.


# %%
def tiny(w):
    """Residuals (3,) and Jacobian (3, 2) at w (2,)."""
    r = torch.stack([1.5 * (w[0] * w[1] - 1), 0.5 * w[0], 0.5 * w[1]])
    J = torch.tensor([[1.5 * w[1], 1.5 * w[0]], [0.5, 0], [0, 0.5]], dtype=torch.float64)
    return r, J


w0 = torch.tensor([0.4, 2.3], dtype=torch.float64)
r, J = tiny(w0)
A, b = J.T @ J, -J.T @ r
bottom = torch.linalg.solve(A, b)
print(f"at {w0.tolist()} the loss is {r @ r:.2f}; the bowl's bottom is {bottom.numpy().round(2)} away")

# %% tags=["ask"]
guess_step = predict(
    "We go the whole way to the bottom of the bowl. What does the true loss do?",
    {
        "most": "It falls to less than half: the bottom of the bowl is near that of the loss.",
        "little": "It falls, but to more than half.",
        "rises": "It rises.",
    },
    seed=4,
)


# %% tags=["plot"]
def contours(axes, loss, title):
    """Contour lines of a loss of (w1, w2)."""
    w1, w2 = torch.meshgrid(*[torch.linspace(-0.2, 2.6, 120, dtype=torch.float64)] * 2, indexing="xy")
    levels = loss(torch.stack([w1, w2]).flatten(1).T).view(w1.shape)
    axes.contour(w1, w2, levels, np.geomspace(0.1, 60, 20), colors=show.INK, linewidths=0.6)
    axes.set(title=title, xlabel="w1", ylabel="w2", aspect="equal")


def path(axes, points, tone=0):
    points = np.array([p.tolist() for p in points])
    axes.plot(*points.T, "o-", color=show.TONES[tone], ms=4.5, lw=1.6)


def true_loss(w):
    return 2.25 * (w[..., 0] * w[..., 1] - 1) ** 2 + 0.25 * (w**2).sum(-1)


def bowl_loss(w, w0=w0, r=r, J=J):
    return ((r + (w - w0) @ J.T) ** 2).sum(-1)


before, after = true_loss(w0).item(), true_loss(w0 + bottom).item()
guess_step.reveal("rises" if after > before else "little" if after > before / 2 else "most", "The valley is bent.")
with show.style():
    fig = Figure((8.2, 3.9))
    for axes, loss, title in zip(fig.subplots(1, 2), (bowl_loss, true_loss), ("the bowl", "the loss"), strict=True):
        contours(axes, loss, title)
        path(axes, [w0, w0 + bottom], 1)
        axes.annotate("start", w0.tolist(), (5, 5), textcoords="offset points", color=show.TONES[1])
show.figure(
    fig,
    alt="Contours over w1 and w2 twice, with the same step. Left the bowl: a straight narrow valley, and the step ends "
    "at its lowest place. Right the true loss: the valley is bent, and the step has left it for the slope.",
)

# %% [markdown]
# The loss rises from {{tiny_before:.2f}} to {{tiny_after:.2f}}. All $w$ with $w_1 w_2 = 1$ fit the label, and that is a
# bent valley. The bowl's valley is straight. *Across* the valley the bowl is steep, and right. *Along* it, it is nearly
# flat, and promises a gain far away, where it is no longer true. **The steep directions can be trusted. The flat ones do
# the harm.** So we want a way that takes the steep directions first, and that we can stop.
#
# ## Downhill, as far as it goes
# On the bowl we stand at $d$. Downhill is the residual of the equations, $b - A d$. Everybody calls that $r$ too, and
# from here on so do we. Along a direction $p$ the bowl is a parabola in one number, so we know how far to go:
#
# $$\alpha = \frac{\langle r, p \rangle}{\langle p, A p \rangle}$$
#
# **Steepest descent** takes $p = r$ each time. It asks for products $A p$ alone, never for $A$:


# %%
def steepest(multiply, b, iterations):
    """All places that steepest descent visits, from d = 0."""
    places, r = [torch.zeros_like(b)], b
    for _ in range(iterations):
        Ar = multiply(r)
        alpha = (r @ r) / (r @ Ar)
        places.append(places[-1] + alpha * r)
        r = r - alpha * Ar
    return places


zigzag = steepest(lambda p: A @ p, b, 20)
far = [((place - bottom).norm() / bottom.norm()).item() for place in zigzag]
print("share of the way that is left:", *(f"{share:.2f}" for share in far[:8]), "...", f"{far[20]:.2f}")

# %% [markdown]
# One large step leads into the valley, and then it crawls: after 20 steps {{zigzag_left:.0%}} of the way is left. Each
# step is at a right angle to the last, so the path goes left, right, left, right. **Each step spoils what the one before
# had reached.** It was lowest along its direction, and is not any more.
#
# ## A direction that spoils nothing
# We are lowest along the last direction $p$, so $\langle p, r \rangle = 0$. If we now move along $p_{new}$, the residual
# changes by a multiple of $A p_{new}$. We *stay* lowest along $p$ if that change has nothing of $p$:
#
# $$\langle p, A\, p_{new} \rangle = 0$$
#
# Such directions are called **conjugate**. To get one, take downhill and add some of the last direction, $p_{new} =
# r_{new} + \beta p$. The condition gives $\beta$; and since $A p$ is $(r - r_{new}) / \alpha$, it comes out as
#
# $$\beta = -\frac{\langle r_{new}, A p \rangle}{\langle p, A p \rangle} = \frac{\langle r_{new}, r_{new} \rangle}{
# \langle r, r \rangle}$$

# %% tags=["check"]
card(exercises.conjugate_gradients)


# %% tags=["exercise"]
def conjugate_gradients(multiply, b, iterations):
    """All places d of conjugate gradients on A d = b, as a list of iterations + 1 tensors (n,), from d = 0.

    multiply(p) gives A p; A is symmetric and positive definite. b (n,).
    """
    # solution begin
    places, r, p = [torch.zeros_like(b)], b, b
    for _ in range(iterations):
        Ap = multiply(p)
        alpha = (r @ r) / (p @ Ap)
        places.append(places[-1] + alpha * p)
        new = r - alpha * Ap
        p = new + (new @ new) / (r @ r) * p
        r = new
    return places
    # solution end


# %% tags=["check", "nbval-check-output"]
check(exercises.conjugate_gradients, conjugate_gradients)
conjugate_gradients = chosen(exercises.conjugate_gradients, conjugate_gradients)

# %% [markdown] tags=["solution"]
# `r @ r` may stand for $\langle r, p \rangle$ because $r$ is at a right angle to the last direction, so $\langle r, r +
# \beta p_{old} \rangle = \langle r, r \rangle$.

# %% tags=["plot"]
rate = 0.9 / torch.linalg.eigvalsh(A)[-1]
fixed = [torch.zeros_like(b)]
for _ in range(20):
    fixed.append(fixed[-1] + rate * (b - A @ fixed[-1]))
walks = {
    "a fixed rate, 20 steps": fixed,
    "steepest descent, 20 steps": zigzag,
    "conjugate gradients, 2 steps": conjugate_gradients(lambda p: A @ p, b, 2),
}
with show.style():
    fig = Figure((8.2, 5.2))
    for tone, (axes, (name, places)) in enumerate(zip(fig.subplots(1, 3, sharey=True), walks.items(), strict=True)):
        contours(axes, bowl_loss, name)
        path(axes, [w0 + place for place in places], tone)
        axes.plot(*(w0 + bottom).tolist(), "x", color=show.INK, ms=9, mew=2)
        axes.set(xlim=(0.1, 1.4))
show.figure(
    fig,
    alt="The bowl's contours three times, with a path from the same start and a cross at the bottom. A fixed rate and "
    "steepest descent drop into the narrow valley and are still far from the cross after 20 steps, steepest descent in "
    "a zigzag. Conjugate gradients take the same first step, turn, and are on the cross with the second.",
)

# %% [markdown]
# Two unknowns, two steps. The first is that of steepest descent, into the valley; the second looks *along* it. In $n$
# dimensions there is room for $n$ directions that are conjugate to each other, so $n$ unknowns take $n$ steps. Is that
# true of every program that is right in two numbers?

# %% tags=["check"]
R = torch.randn(24, 12, generator=torch.Generator().manual_seed(SEED)).double()
A12, b12 = R.T @ R, R.T @ torch.ones(24).double()
solved = torch.linalg.solve(A12, b12)


@show.style()
def distances(walks, alt):
    """How far each way still is from the solution of twelve equations."""
    fig = Figure((8.2, 2.7))
    axes = fig.subplots()
    for (name, walk), tone, dash in zip(walks.items(), show.TONES, ("-", "--", ":"), strict=False):
        left = [((d - solved).norm() / solved.norm()).item() for d in walk(lambda p: A12 @ p, b12, 14)]
        axes.plot(left, color=tone, ls=dash)
        axes.annotate(name, (14, left[-1]), (5, -3), textcoords="offset points", color=tone)
    axes.axvline(12, color=show.INK, lw=0.8)
    axes.set(xlabel="iteration", ylabel="share of the way left", yscale="log", xlim=(0, 20), xticks=range(0, 15, 2))
    return show.figure(fig, alt=alt)


card(exercises.mend_conjugate)
distances(
    {
        "conjugate gradients": conjugate_gradients,
        "the student's program": exercises.mend_conjugate.faulty,
        "steepest descent": steepest,
    },
    "The share of the way that is left over 14 iterations, with twelve unknowns, on a logarithmic scale. Conjugate "
    "gradients drop to rounding errors at iteration 12. The student's program falls no faster than steepest descent.",
)


# %% tags=["exercise"]
def mend_conjugate(multiply, b, iterations):
    """All places of conjugate gradients on A d = b, from d = 0; multiply(p) = A p."""
    places, r, p = [torch.zeros_like(b)], b, b
    before = r @ r
    for _ in range(iterations):
        Ap = multiply(p)
        alpha = (r @ r) / (p @ Ap)
        places.append(places[-1] + alpha * p)
        r = r - alpha * Ap
        beta = (r @ r) / before
        p = r + beta * p
    return places


# solution begin
unmended, mend_conjugate = mend_conjugate, exercises.mend_conjugate.reference  # `before` is taken in each turn
# solution end

# %% tags=["check", "nbval-check-output"]
check(exercises.mend_conjugate, mend_conjugate)

# %% [markdown]
# After 12 iterations the right program has {{cg_12:.0e ± 1}} of the way left, the student's {{faulty_12:.2f}}, steepest
# descent {{steepest_12:.2f}}. A test in two numbers could not tell the first two apart.
#
# ## On to D
# D has {{unknowns:,}} unknowns, and its tracker takes {{steps}} iterations in all. That works because of what conjugate
# gradients settle first: the steep directions, of which there are few. We need a product $A p = J^T (J p)$. $J p$ says
# how the scores move when $\mathbf w$ moves by $p$, and that is the product rule, $\mathbf w_2 * (p_1 * \mathbf x) + p_2
# * (\mathbf w_1 * \mathbf x)$; $J^T$ is what backpropagation computes. The package has both in closed form, on cells
# and not on pixels. Such a product takes {{product_ms:.0f ± 15}} ms here, about as long as a gradient
# ({{gradient_ms:.0f ± 15}} ms), and {{fold_gain:.0f ± 15}} times less than when torch differentiates all pixels. (For
# the updates of lesson 06, sums that are kept make it {{update_gain:.0f ± 150}} times. How: {{to deeper}}.)


# %%
UNITS = 10.0, 1.0  # w1 may move further than w2: it is measured in tens


def bowl(problem, w):
    """S1-E3 around w: multiply(d) = A d, b (n,), and step(d), which makes tensors like w of a place d (n,)."""

    def flat(tensors):
        return torch.cat([unit * t.flatten() for unit, t in zip(UNITS, tensors, strict=True)])

    def step(d):
        parts = d.split([p.numel() for p in w])
        return [unit * part.view_as(p) for unit, part, p in zip(UNITS, parts, w, strict=True)]

    b = -flat(problem.loss_and_gradient(w)[1])
    return lambda d: flat(problem.curvature(w, step(d))), b, step


def learn(problem, w, plan, solve):
    """Gauss-Newton: the parameters before the first and after each iteration; plan: iterations in each bowl."""
    way = [w]
    for n in plan:
        multiply, b, step = bowl(problem, way[-1])
        w = way[-1]
        way += [add(w, step(d)) for d in solve(multiply, b, n)[1:]]
    return way


# %%
began = time.perf_counter()
way = learn(problem, start, PLAN, conjugate_gradients)
seconds = time.perf_counter() - began
print(f"bowls of {PLAN} iterations: loss {problem.loss_and_gradient(way[-1])[0]:,.0f}")

# %% [markdown]
# That was the left side of the film, by your program (or ours) and twenty lines. $d$ is one long vector here, and
# `UNITS` is a *preconditioner*: a number in $\mathbf w_2$ moves the scores far more than one in $\mathbf w_1$, so they
# are not measured with the same stick. S1's code does the same.
#
# ## The promise and the truth
# Why four bowls, and why {{first_plan}} iterations in the first? S1 says: because "the starting solution is randomly
# initialized". The tracker pays for {{steps}} products. They could all go into one bowl, or each into a bowl of its own.

# %% tags=["ask"]
guess_plan = predict(
    f"All three plans have {sum(PLAN)} products. Which ends at the lowest true loss?",
    {
        "many": f"{sum(PLAN)} bowls of one iteration: each is fresh, so its promise is true.",
        "few": "Four bowls, of " + ", ".join(map(str, PLAN)) + " iterations.",
        "one": f"One bowl of {sum(PLAN)} iterations: no direction has to be learned twice.",
    },
    seed=1,
)


# %% tags=["plot"]
def promises(problem, w, plan, solve):
    """For each bowl: what it promises at its start and after each iteration. And the true losses between bowls."""
    promised, true = [], []
    for n in plan:
        multiply, b, step = bowl(problem, w)
        loss = problem.loss_and_gradient(w)[0].item()
        places = solve(multiply, b, n)
        promised.append([loss + (d @ multiply(d) - 2 * b @ d).item() for d in places])
        true.append(loss)
        w = add(w, step(places[-1]))
    return promised, [*true, problem.loss_and_gradient(w)[0].item()]


def staircase(axes, promised, true, title):
    """Promised losses as lines, true ones as diamonds, over all iterations."""
    at = np.cumsum([0, *(len(line) - 1 for line in promised)])
    for a, line in zip(at, promised, strict=False):
        axes.plot(a + np.arange(len(line)), line, color=show.TONES[0], label="promised" if a == 0 else None)
    axes.plot(at, true, "D", color=show.TONES[1], ms=5, label="true")
    axes.set(title=title, xlabel="iteration", yscale="log", ylim=(0.7 * true_floor, 1.2 * true[0]))


plans = {"one bowl": (sum(PLAN),), "four bowls": PLAN, "a bowl for each": (1,) * sum(PLAN)}
kept = {name: promises(problem, start, plan, conjugate_gradients) for name, plan in plans.items()}
true_floor = min(true[-1] for _, true in kept.values())
ends = {"one": kept["one bowl"][1][-1], "few": kept["four bowls"][1][-1], "many": kept["a bowl for each"][1][-1]}
guess_plan.reveal(min(ends, key=ends.get), "A bowl for each is steepest descent: no direction has a past.")
with show.style():
    fig = Figure((8.2, 2.9))
    for axes, (name, (promised, true)) in zip(fig.subplots(1, 3, sharey=True), kept.items(), strict=True):
        staircase(axes, promised, true, f"{name}: {true[-1]:,.0f}")
    axes.legend()
    fig.axes[0].set_ylabel("loss")
show.figure(
    fig,
    alt="Promised and true loss over the iterations for three plans, on a logarithmic scale. One bowl promises less "
    "than is true in the end. With four bowls promise and truth agree. With a bowl for each iteration they agree too, "
    "but the loss falls far more slowly.",
)

# %% [markdown]
# Four bowls end at {{few:,.0f ± 40}}, one bowl at {{one:,.0f ± 50}}, a bowl for each iteration at {{many:,.0f ± 60}}.
# The one bowl promised {{one_promised:,.0f ± 40}}: it followed flat directions, as in the bent valley, only less badly.
# A bowl for each has no past, so it is steepest descent, zigzag and all. A few iterations in each bowl keep the good of
# both. **That is S1's whole damping**: no line search, no test, a fixed small number.
#
# ## Break it
# Turn the number of iterations in each bowl, with 100 in all. When does the promise part from the truth? And what do
# equal units for $\mathbf w_1$ and $\mathbf w_2$ cost?


# %% tags=["plot"]
def breaking(promises, bowl_of, problem, start, solve):
    """Sliders over the plan and the units: promised and true loss over the iterations."""

    @functools.lru_cache(maxsize=32)
    def run(n, units):
        return promises(problem, start, (n,) * (100 // n), solve, units)

    @show.style()
    def draw(in_each_bowl, w1_in_units_of):
        promised, true = run(int(in_each_bowl), float(w1_in_units_of))
        fig = Figure((8.2, 2.7))
        axes = fig.subplots()
        staircase(axes, promised, true, f"bowls of {in_each_bowl}: {true[-1]:,.0f} at the end")
        axes.set(ylim=(0.8 * min(promised[-1][-1], true[-1]), 1.2 * true[0]), ylabel="loss")
        axes.legend()
        return show.figure(
            fig,
            alt=f"Promised and true loss over 100 iterations in bowls of {in_each_bowl}, w1 in units of "
            f"{w1_in_units_of}. In the end {promised[-1][-1]:,.0f} is promised and {true[-1]:,.0f} is true.",
        )

    return Sliders(draw, in_each_bowl=["100", "50", "20", "10", "5", "2"], w1_in_units_of=["10", "1", "0.1", "100"])


def in_units(problem, start, plan, solve, w1):
    """`promises`, with w1 measured in other units."""
    global UNITS
    usual, UNITS = UNITS, (w1, 1.0)
    try:
        return promises(problem, start, plan, solve)
    finally:
        UNITS = usual


breaking(in_units, bowl, problem, start, conjugate_gradients)

# %% [markdown]
# One bowl of 100 iterations promises {{hundred_promised:,.0f ± 40}}, and {{hundred_true:,.0f ± 60}} is true: more than
# the {{few:,.0f ± 40}} that is true of our four bowls needs hardly a third of the products. In bowls of 10 the promise
# is kept. With equal units four bowls end at {{equal_units:,.0f ± 80}}.
#
# ## The race
# Now {{clips}} clips, first frames only. Every iteration is one gradient or one product, which take the same time. Plain
# descent gets the best of four rates and Adam the better of two, *for each clip, in hindsight*. That is more than a
# tracker could do.

# %%
STEPS = max(sum(PLAN), round(150 * BUDGET))
raced = []
for i, clip in enumerate(progress(clips, "racing")):
    _, loss, w = begin(clip)
    found = learn(loss, w, PLAN, conjugate_gradients)
    race = {"Gauss-Newton": [(w, loss.loss_and_gradient(w)[0].item()) for w in found]}
    rate = min(RATES, key=lambda rate: gd_losses[rate][i])
    race["gradient descent"] = descend(loss, w, sgd(rate), STEPS)
    adam = [descend(loss, w, functools.partial(torch.optim.Adam, lr=rate), STEPS) for rate in (4e-3, 8e-3)]
    race["Adam"] = min(adam, key=lambda way: way[sum(PLAN)][1])
    raced.append(race)


def needed(way, level):
    """The first iteration at which the loss is at most this, or one more than there are."""
    return next((k for k, (_, loss) in enumerate(way) if loss <= level), STEPS + 1)


counts = {name: [needed(race[name], race["Gauss-Newton"][15][1]) for race in raced] for name in raced[0]}
print("iterations to where Gauss-Newton is after 15:", counts)
