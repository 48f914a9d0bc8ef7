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
# # Digits, duals and a path
#
# *Goes deeper than* {{to core}}. There one linear system turned strokes into masks, and nobody asked how it is solved.
# Here somebody does.
#
# 1. What the paper prints, and what we do.
# 2. Few samples, many features: the dual, and its kinship with matching.
# 3. Cholesky, condition numbers, and why float64.
# 4. A path along lambda, and a lambda chosen from strokes alone.
# 5. Linear steps change places.
# 6. Kinship: D's second layer of lesson 06, and conjugate gradients of lesson 05.
# 7. What a round costs, and what undo leaves behind.
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
import time
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from vosnb import metrics, show
from vosnb.course.classroom import device, hold, numbers, progress, table
from vosnb.datasets import load
from vosnb.methods.gauss_newton import GaussNewton, QuadraticProblem
from vosnb.methods.ridge import Ridge
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import draw, select
from vosnb.trackers.base import fit_frame
from vosnb.trackers.interactive import at_pixels
from vosnb.trackers.ridge import PixelFeatures

dev = device(DEVICE)
robot = Robot(seed=SEED)


def prepare(clip, step=6):
    """Some frames of a clip with their features, and samples: ink of the robot on three of them, background 10 : 1."""
    times = [t for t, mask in enumerate(clip.masks) if mask is not None][::step]
    frames, truth = [clip.frames[t] for t in times], np.stack([clip.masks[t] == 1 for t in times])
    X = PixelFeatures(device=dev)(torch.cat([fit_frame(frame, 240, dev) for frame in frames]))
    strokes, rng = [], np.random.default_rng(SEED)
    for t in range(min(3, len(frames))):
        ink = draw(robot.scribbles(truth.astype(np.uint8), frame=t), clip.size)
        chosen = select(ink, None, 10 * np.count_nonzero(ink > 0), rng)
        y, x = np.nonzero(chosen >= 0)
        labels = torch.from_numpy(chosen[y, x]).long().to(dev)
        strokes.append((at_pixels(X[t], y, x, clip.size).double(), F.one_hot(labels, 2).T.double(), (t, y, x)))
    return SimpleNamespace(clip=clip, size=clip.size, truth=truth, X=X, strokes=strokes)


def masks_of(one, W):
    w = (W[:, 1] - W[:, 0]).to(one.X)
    s = torch.einsum("d,tdhw->thw", w, one.X)[:, None]
    return (F.interpolate(s, one.size, mode="bilinear", align_corners=False)[:, 0] > 0).cpu().numpy()


def J_of(one, W, times=slice(None)):
    return np.mean([metrics.jaccard(a, b) for a, b in zip(one.truth[times], masks_of(one, W)[times], strict=True)])


def milliseconds(f, repeat=3):
    """The shortest of a few runs."""
    taken = []
    for _ in range(repeat):
        began = time.perf_counter()
        f()
        taken.append(1000 * (time.perf_counter() - began))
    return min(taken)


def apart(found, right):
    """How far two solutions are from each other, as a part of the right one."""
    return ((found.double() - right).norm() / right.norm()).item()


loaded = load(DATASET, SPLIT)[: max(2, round(MAX_CLIPS * min(1, BUDGET)))]
bench = [prepare(clip) for clip in progress(loaded, "clips")]
one = bench[0]
X, Y, where = one.strokes[0]
D, N = X.shape
eye = torch.eye(D).to(X)
print(f"X ({D}, {N}): {N} samples of {D} features, {int(Y[1].sum())} of them the object's")

# %% [markdown]
# ## 1. Paper and code
# > **Paper and code.** There is no public code of S2. *Equal numbers*: the paper takes as many background pixels as
# > object pixels over all rounds together; its closed form has no class weights, so this number decides the balance.
# > *Constant*: the paper does not mention one; we append a 1 to $\mathbf x$. *Shapes*: the paper has a sample in each
# > column of $X$, $D \times N$; libraries have them in rows. *Lambda*: the paper gives no number. *Features*: the
# > paper's come from two DeepLab backbones and a recurrence (lesson 08), ours from an EfficientNet that learned on
# > photographs of ImageNet.
#
# ## 2. Few samples, many features
# One stroke of a small object has a few dozen pixels. Then $X X^T$ is a large matrix, $D \times D$, made of few
# columns. S2-E3 has a second solution, of size $N \times N$. The gradient is zero where
#
# $$W = X \cdot \tfrac{1}{\lambda} (Y^T - X^T W)$$
#
# Whatever the bracket is, $W$ is $X$ times something: each class's weights are *a sum of samples*, $W = X \alpha$ with
# $\alpha$ of size $N \times C$. Put that into the gradient, and it is $X (X^T X \alpha + \lambda \alpha - Y^T)$. It is
# enough that the bracket is zero:
#
# $$\alpha = (X^T X + \lambda I)^{-1} Y^T, \qquad W = X \alpha$$
#
# The first form is called **primal**, this one **dual**. The package takes the smaller one:


# %% tags=["package"]
def check_lambda(lam: float) -> None:
    if not lam > 0:
        raise ValueError(f"lambda={lam}: take a number above 0; without it X X' need not have an inverse.")


def solve_positive(A: torch.Tensor, B: torch.Tensor, lam: float = 0.0) -> torch.Tensor:
    """(A + lambda I)^-1 B by Cholesky: A (n, n) symmetric, no negative eigenvalues; B (n, C)."""
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


# %%
few = torch.arange(0, N, max(1, N // 60)).to(dev)  # some of the samples
A, B = X[:, few], Y[:, few]
primal = solve_positive(A @ A.T, A @ B.T, 1.0)
alpha = solve_positive(A.T @ A, B.T, 1.0)
cost = {
    "primal": milliseconds(lambda: solve_positive(A @ A.T, A @ B.T, 1.0), 9),
    "dual": milliseconds(lambda: A @ solve_positive(A.T @ A, B.T, 1.0), 9),
}
pixel = one.X[-1, :, 5, 7].double()
votes = alpha.T @ (A.T @ pixel)
print(f"{len(few)} samples: primal and dual differ by a part of {apart(A @ alpha, primal):.0e}")
print(f"a pixel's scores {(primal.T @ pixel).tolist()}, as votes {votes.tolist()}")

# %% [markdown]
# The same $W$, from a system of {{few}} unknowns in place of {{D}}. Written this way, the score of a new pixel is
#
# $$W^T \mathbf x = \sum_j \alpha_j\, \langle \mathbf x_j, \mathbf x \rangle$$
#
# Every sample is asked how similar the pixel is, and the answers are weighed. That is **matching** (lesson 01, S0-E1),
# without a softmax. There the memory votes with its labels. Here the votes are *solved for*: samples that say the same
# share one vote, and a sample of the object that the background resembles has to shout.
#
# ## 3. Digits
# Cholesky's way writes a symmetric matrix without negative eigenvalues as $L L^T$, with $L$ lower triangular, and
# solves two triangular systems. It takes half the work of a general solver, and it notices when the matrix is not what
# it should be. But how many digits come out right? A matrix whose largest eigenvalue is $10^k$ times its smallest has
# **condition number** $10^k$ (lesson 05), and solving may cost $k$ digits. The condition number of $X X^T$ is the
# *square* of that of $X$. Float32 has seven digits to spend.
#
# Ridge regression is plain least squares with $D$ samples more, $\sqrt\lambda\, I$, all labelled 0. A QR
# decomposition solves that without making $X X^T$, so it can be the judge:

# %%
digits = []
for lam in (1000.0, 10.0, 0.1, 1e-3):
    longer = torch.cat([X, lam**0.5 * eye], 1)
    right = torch.linalg.lstsq(longer.T, F.pad(Y, (0, D)).T).solution
    single = torch.linalg.solve(X.float() @ X.float().T + lam * eye.float(), X.float() @ Y.float().T)
    digits.append(
        {"lambda": f"{lam:g}", "condition": f"{torch.linalg.cond(longer @ longer.T):.0e}"}
        | {"error of float32": apart(single, right), "error of float64": apart(ridge(X, Y, lam), right)}
    )

# %% tags=["plot"]
table([row | {k: f"{row[k]:.0e}" for k in row if k.startswith("error")} for row in digits])

# %% [markdown]
# With $\lambda = 1000$ float32 is off by {{single_large:.0e}}, with 0.001 by {{single_small:.0e}}, while float64 never
# loses more than {{double_small:.0e}}. So $\lambda$ mends the condition as well: it lifts the smallest eigenvalue.
# Would the masks survive float32? For a while. But an undo that does not come back to where it was is a nuisance to
# explain, and the matrix is small. The package takes float64.
#
# ## 4. A path along lambda
# $X X^T = V S V^T$, so $(X X^T + \lambda I)^{-1} = V (S + \lambda I)^{-1} V^T$: one decomposition, and every $\lambda$
# costs a multiplication. `Ridge.path` does it:

# %%
LAMBDAS = 10.0 ** np.arange(-3, 5.5, 0.5)
sums = Ridge(D, 2, dev)
sums.add(X, Y)
path = sums.path(LAMBDAS)
path_ms = milliseconds(lambda: sums.path(LAMBDAS))
each_ms = milliseconds(lambda: [sums.solve(lam) for lam in LAMBDAS])
path_off = max(apart(W, sums.solve(lam)) for W, lam in zip(path, LAMBDAS, strict=True))
print(f"{len(LAMBDAS)} values of lambda: path {path_ms:.0f} ms, one by one {each_ms:.0f} ms, {path_off:.0e} apart")

# %% [markdown]
# That makes an experiment cheap: the open question of the lesson. May a program choose $\lambda$ from strokes alone? We
# have three strokes a clip, on three frames. We hold out every fifth *pixel* of all, or each *stroke* in turn, and
# count which share of what was held out gets its label right, the mean over both classes. The judge is J on frames that
# nobody painted. (Leaving a stroke out of the sums is an undo.)


# %%
def right_share(W, X, Y):
    """Of samples, the share whose label is found, by lambda (L,): W (L, D, C); the mean over both classes."""
    found = torch.einsum("ldc,dn->lcn", W, X).argmax(1)
    hits = (found == Y.argmax(0)).double()
    return torch.stack([hits[:, Y[k] > 0].mean(1) for k in (0, 1)]).mean(0).cpu().numpy()


def held_out(one):
    """For each lambda: pixels held out, strokes held out, and J on frames without a stroke; (3, L)."""
    X, Y = (torch.cat(parts, 1) for parts in list(zip(*one.strokes, strict=True))[:2])
    sums = Ridge(D, 2, X.device)
    sums.add(X, Y)
    free = slice(len(one.strokes), None)
    J = [J_of(one, W, free) for W in sums.path(LAMBDAS)]
    rows = torch.arange(X.shape[1]) % 5 == 0
    sums.remove(X[:, rows], Y[:, rows])
    pixels = right_share(sums.path(LAMBDAS), X[:, rows], Y[:, rows])
    sums.add(X[:, rows], Y[:, rows])
    strokes = []
    for some, labels, _ in one.strokes:
        sums.remove(some, labels)
        strokes.append(right_share(sums.path(LAMBDAS), some, labels))
        sums.add(some, labels)
    return np.array([pixels, np.mean(strokes, 0), J])


curves = np.array([held_out(one) for one in progress(bench, "lambda")])  # (clips, 3, L)
NAMES = ("pixels held out", "strokes held out", "J, unpainted frames")

# %% tags=["plot"]
with show.style():
    fig = Figure((8.2, 3.0))
    axes = fig.subplots()
    for values, name, tone in zip(curves.mean(0), NAMES, show.TONES, strict=False):
        axes.plot(np.log10(LAMBDAS), values, color=tone)
        axes.plot(np.log10(LAMBDAS)[values.argmax()], values.max(), "o", color=tone)
        axes.annotate(name, (np.log10(LAMBDAS)[-1], values[-1]), (4, -3), textcoords="offset points", color=tone)
    axes.set(xlabel="log10 of lambda", ylabel="share right, or J", ylim=(0, 1.02), xlim=(-3, 7))
show.figure(
    fig,
    alt="Over lambda: the share of held-out pixels that is right, of held-out strokes, and J on unpainted frames; dots "
    "mark where each is highest.",
)

# %% [markdown]
# Held-out pixels are right in {{pixels_right:.0%}} at their best, at $\lambda$ = {{pixels_best:g}}; held-out strokes in
# {{strokes_right:.0%}}, at {{strokes_best:g}}; and J is highest at {{J_best:g}}. A pixel that is held out has
# neighbours on the same line that were learned, so this test is too easy. Does it cost J? With the $\lambda$ that
# pixels choose J is {{J_by_pixels:.2f}}, with the one that strokes choose {{J_by_strokes:.2f}}, and at best
# {{J_top:.2f}}, on {{clips}} clips. The difference is small, and we have no interval for it. But strokes point the
# right way, to a larger $\lambda$ than pixels do, and they promise less. (In the lesson, with one stroke a clip,
# $\lambda$ = 1 was best. With three strokes, whose random background samples lie on three frames, a larger one is. A
# $\lambda$ belongs to a number of samples.)
#
# ## 5. Linear steps change places
# We learn from features that are interpolated at a stroke's pixel, but we classify *cells* and interpolate their
# scores. Is that the same? Both steps are linear, and a weighted mean of scores is the score of the weighted mean:
#
# $$W^T \Big( \sum_k u_k \mathbf x_k \Big) = \sum_k u_k\, (W^T \mathbf x_k)$$

# %%
t, y, x = where
W = ridge(X, Y, 1.0)
scores = F.interpolate(
    torch.einsum("dc,dhw->chw", W, one.X[t].double())[None], one.size, mode="bilinear", align_corners=False
)[0]
swapped = (W.T @ X - scores[:, y, x]).abs().max().item()
cells = torch.einsum("d,tdhw->thw", (W[:, 1] - W[:, 0]).float(), one.X)
blocks = F.interpolate((cells > 0).float()[:, None], one.size, mode="nearest")[:, 0].cpu().numpy() > 0
J_blocks = np.mean([metrics.jaccard(a, b) for a, b in zip(one.truth, blocks, strict=True)])
print(f"features first or scores first: a difference of {swapped:.0e}")
print(f"J with interpolated scores {J_of(one, W):.2f}, with the winner of each cell {J_blocks:.2f}")

# %% [markdown]
# They change places but for the rounding of features in float32, so that each stroke's pixel is learned from exactly
# what is scored there; and two scores are cheaper to interpolate than {{D}} features. To choose the winner is *not*
# linear: done before interpolation, it gives {{J_blocks:.2f}} in place of {{J_scores:.2f}} on this clip.
#
# ## 6. Kinship
# In lesson 06 D's second layer was learned again and again, with the first one fixed: $\mathbf w_2^T A\, \mathbf w_2 -
# 2 \mathbf b^T \mathbf w_2 + c$, where $A$ sums samples with weights, and $\lambda$ stands on its diagonal. There the
# samples were frames, and their features hidden channels at nine taps. It is the same problem, and in the package the
# same function: `QuadraticProblem.solve` calls `solve_positive`. And since it is a bowl, the conjugate gradients of
# lesson 05 go to its bottom, too:

# %%
bowl = QuadraticProblem(X @ X.T + eye, (X @ Y.T)[:, 1])
exact = ridge(X, Y, 1.0)[:, 1]
way = {}
for iterations in (1, 5, 20, 50, 100, 200, 400):
    w = GaussNewton().run(bowl, [torch.zeros_like(exact)], (iterations,))[0]
    way[iterations] = apart(w, exact)
    print(f"{iterations:4} iterations of CG: {way[iterations]:.0%} of the way left")
print(f"lesson 06's solver: {apart(bowl.solve(), exact):.0e}")

# %% [markdown]
# After {{D}} iterations CG would be there if there were no rounding. With a condition number of {{condition:.0e}} it
# has {{way_100:.0%}} of the way left after 100. CG needs no matrix, only products; that pays where there are hundreds
# of thousands of unknowns, as in a network's layers. Here are {{D}}, for any number of samples. *Small and linear:
# solve. Large, or not linear: iterate.*
#
# ## 7. What a round costs
# A round of 500 new pixels after more and more old ones, in sums, beside solving all afresh. (The features are random
# numbers; the clock does not mind.)

# %%
r = torch.Generator().manual_seed(SEED)
many = torch.randn(D, 20_500, generator=r, dtype=torch.float64)
labels = F.one_hot((torch.rand(20_500, generator=r) > 0.5).long(), 2).T.double()
rounds, seen, timed = Ridge(D, 2), 0, []
for until in (500, 5_000, 20_000):
    rounds.add(many[:, seen:until], labels[:, seen:until])
    seen, new = until, slice(until, until + 500)

    def one_round(new=new):
        rounds.add(many[:, new], labels[:, new])
        rounds.solve(1.0)
        rounds.remove(many[:, new], labels[:, new])

    afresh = milliseconds(lambda n=until + 500: ridge(many[:, :n], labels[:, :n], 1.0))
    timed.append(
        {"samples before": seen, "a round and its undo, ms": milliseconds(one_round), "all afresh, ms": afresh}
    )
left = apart(rounds.solve(1.0), ridge(many[:, :seen], labels[:, :seen], 1.0))

# %% tags=["plot"]
table(timed, 0)

# %% [markdown]
# A round costs $D^2$ for each *new* sample and $D^3 / 3$ for the Cholesky factor, whatever was seen before. After all
# these rounds and undos the solution differs from one that was solved afresh by a part of {{left:.0e}}. A network that
# is tuned by gradient steps has no such sums: it sees old samples again or forgets them, and it cannot *un*learn one.

# %% tags=["hold"]
means = curves.mean(0)
chosen = {name: LAMBDAS[values.argmax()] for name, values in zip(NAMES, means, strict=True)}
J_at = dict(zip(LAMBDAS, means[2], strict=True))
numbers(
    D=D,
    few=len(few),
    clips=len(bench),
    single_large=digits[0]["error of float32"],
    single_small=digits[-1]["error of float32"],
    double_small=max(row["error of float64"] for row in digits),
    pixels_right=means[0].max(),
    strokes_right=means[1].max(),
    pixels_best=float(chosen[NAMES[0]]),
    strokes_best=float(chosen[NAMES[1]]),
    J_best=float(chosen[NAMES[2]]),
    J_by_pixels=J_at[chosen[NAMES[0]]],
    J_by_strokes=J_at[chosen[NAMES[1]]],
    J_top=means[2].max(),
    J_blocks=J_blocks,
    J_scores=J_of(one, W),
    condition=torch.linalg.cond(X @ X.T + eye),
    way_100=way[100],
    left=left,
)
hold("primal and dual are one", apart(A @ alpha, primal), high=1e-9)
hold("a score is a vote", (votes - primal.T @ pixel).abs().max(), high=1e-8)
hold("the path is right", path_off, high=1e-8)
hold("steps change places, to the digits of float32", swapped, high=1e-5)
hold("lesson 06's solver", apart(bowl.solve(), exact), high=1e-9)
hold("undo leaves rounding", left, high=1e-9)
hold("float32 loses digits", digits[-1]["error of float32"] / digits[-1]["error of float64"], low=1e3)
hold("a round does not grow", timed[-1]["all afresh, ms"] / timed[-1]["a round and its undo, ms"], low=1.5, clock=True)
