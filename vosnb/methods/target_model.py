"""The discriminative target model: learned on frame 0, updated while the clip runs (S1 section 3.1, Algorithm 1).

Two linear layers tell this object from everything else in this clip. Lesson 04 builds the model and its loss, lesson 05
how it is optimised (`gauss_newton.py`), lesson 06 the life of its samples.

Shapes: K samples of C features on h x w cells, labels and pixel weights on H x W pixels, c hidden channels, kernels of
k x k; w = [w1 (c, C, 1, 1), w2 (1, c, k, k)].
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.methods.gauss_newton import GaussNewton, History, Problem, QuadraticProblem, dot

FEWEST = 10  # pixels: a smaller mask teaches nothing (S1's code)


def pixel_weights(labels: torch.Tensor, kappa: float = 0.1, share="max", root=True) -> torch.Tensor:
    """v of S1-E4: the target counts as if it filled the share kappa of the image, (..., H, W) as labels.

        v = kappa / kappa_hat on the target,  (1 - kappa) / (1 - kappa_hat) elsewhere,  kappa_hat its true share

    share: "max" raises small targets to kappa and leaves large ones (S1's code); "min" is as the paper prints it, and
        does the opposite: it leaves small ones and damps large ones.
    root: the square root of v (the code), so that the loss, which squares it, is weighted by v; False: the paper.
    Masks of fewer than 10 pixels get weights of 1 (the code), and so do full ones with "max" (the code has NaN there).
    """
    y = (labels > 0.5).to(labels.dtype if labels.is_floating_point() else torch.get_default_dtype())
    actual = y.mean((-2, -1), keepdim=True)
    few = y.sum((-2, -1), keepdim=True) < FEWEST
    wanted = actual.clamp_min(kappa) if share == "max" else actual.clamp_max(kappa)
    inside = torch.where(few, 1.0, wanted / actual)
    outside = torch.where(few | (actual == 1), 1.0, (1 - wanted) / (1 - actual))
    v = torch.where(y > 0, inside, outside)
    return v.sqrt() if root else v


def target_scores(x: torch.Tensor, w: list[torch.Tensor]) -> torch.Tensor:
    """D(x; w) = w2 * (w1 * x) (S1-E1): x (K, C, h, w) -> (K, 1, h, w). Linear, no bias, zeros outside."""
    return F.conv2d(F.conv2d(x, w[0]), w[1], padding=w[1].shape[-1] // 2)


def target_residuals(w, x, labels, v, gamma, lambdas) -> list[torch.Tensor]:
    """What S1-E2 squares and sums: sqrt(gamma_k) v_k (U(D(x_k)) - y_k), and sqrt(lambda_j) w_j.

    x (K, C, h, w), labels and v (K, 1, H, W), gamma (K,); U is bilinear, to the labels' size. The plain way: the rest
    of this file computes the same without touching H x W pixels again.
    """
    scores = F.interpolate(target_scores(x, w), labels.shape[-2:], mode="bilinear", align_corners=False)
    regular = [lam**0.5 * p for lam, p in zip(lambdas, w, strict=True)]
    return [gamma.sqrt().view(-1, 1, 1, 1) * v * (scores - labels), *regular]


# The pixels folded into the cells -------------------------------------------------------------------------------------


class Folded(NamedTuple):
    """||v (U s - y)||^2 = s'G s - 2 s'b + constant, for any scores s on the cells.

    G = U' diag(v^2) U links a cell to its eight neighbours and itself alone, because bilinear sampling has two taps a
    side: stencil (K, 9, h, w), target b = U' (v^2 y) (K, h, w), constant (K,).
    """

    stencil: torch.Tensor
    target: torch.Tensor
    constant: torch.Tensor

    def apply(self, s: torch.Tensor) -> torch.Tensor:
        """G s: (K, h, w) -> (K, h, w)."""
        return (self.stencil * F.unfold(s[:, None], 3, padding=1).view_as(self.stencil)).sum(1)


@lru_cache(maxsize=16)
def interpolation(cells: int, pixels: int, dtype: torch.dtype, device: torch.device):
    """One side of U (cells, pixels), and above each other the products U_i U_i and U_i U_{i+1} (2 cells, pixels)."""
    U = F.interpolate(torch.eye(cells, dtype=torch.float64)[None], pixels, mode="linear", align_corners=False)[0]
    following = torch.cat([U[1:], torch.zeros_like(U[:1])])
    return U.to(device, dtype), torch.cat([U * U, U * following]).to(device, dtype)


def fold(labels: torch.Tensor, v: torch.Tensor, size: tuple[int, int]) -> Folded:
    """Labels and pixel weights (K, 1, H, W) folded onto cells of size (h, w).

    U is separable, so that G_(ij)(mn) = sum_rc R_ir R_mr v^2_rc S_jc S_nc: two matrix products for all pairs of rows
    i, m and of columns j, n that are equal or next to each other. All others are zero, and four maps hold everything.
    """
    (h, w), (H, W) = size, labels.shape[-2:]
    weights, y = v[:, 0] ** 2, labels[:, 0]
    (R, row_pairs), (S, column_pairs) = (interpolation(n, N, v.dtype, v.device) for n, N in ((h, H), (w, W)))
    maps = (row_pairs @ weights @ column_pairs.T).view(-1, 2, h, 2, w)
    maps = F.pad(maps, (1, 0, 0, 0, 1, 0))  # nothing is linked to what lies above row 0 or left of column 0
    neighbours = [(di, dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)]
    stencil = [maps[:, abs(i), 1 + min(i, 0) :, abs(j), 1 + min(j, 0) :][:, :h, :w] for i, j in neighbours]
    return Folded(torch.stack(stencil, 1), R @ (weights * y) @ S.T, (weights * y * y).sum((-2, -1)))


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


# The update: w2 alone -------------------------------------------------------------------------------------------------


class NormalEquations:
    """With w1 fixed the loss is a ridge regression in the k^2 c numbers of w2,

        (sum_k gamma_k Q_k + lambda_2) w2 = sum_k gamma_k q_k,      Q = A'G A,  q = A'b,  A: the features, shifted.

    Q and q are computed once, when a sample comes in, in its own type (float64 takes twice as long), and stored and
    solved in float64. New weights gamma are then one product with what is stored, and the pixels, the cells and the
    number of frames seen cost nothing any more. Of the symmetric Q the blocks (c x c, one for two taps of the kernel)
    on and above the diagonal are stored.
    """

    def __init__(self, capacity: int, channels: int, kernel: int = 3, device: torch.device | str = "cpu"):
        self.channels, self.kernel = channels, kernel
        self.rows, self.columns = torch.triu_indices(kernel**2, kernel**2)
        self.sizes = [len(self.rows) * channels**2, kernel**2 * channels, 1]
        self.stored = torch.empty(capacity, sum(self.sizes), dtype=torch.float64, device=device)

    def put(self, slot: int, x: torch.Tensor, folded: Folded) -> None:
        """Fill a slot, or replace what is there: x (c, h, w), already through w1, and labels folded as one sample."""
        (h, w), k, edge = x.shape[-2:], self.kernel, self.kernel // 2 + 1
        shifted = F.pad(x, (edge,) * 4).unfold(1, h, 1).unfold(2, w, 1).permute(1, 2, 0, 3, 4)
        A = shifted[1:-1, 1:-1].reshape(k * k, len(x), h * w)  # by the taps of the kernel; views, one cell more a side
        GA = x.new_zeros(k, k, len(x), h, w)
        for o, weight in enumerate(folded.stencil[0]):
            GA.addcmul_(weight, shifted[o // 3 : o // 3 + k, o % 3 : o % 3 + k])
        GA = GA.view_as(A).transpose(1, 2)
        blocks = [A[o] @ GA[o:] for o in range(k * k)]
        q = A @ folded.target[0].flatten()
        self.stored[slot] = torch.cat([torch.cat(blocks).flatten(), q.flatten(), folded.constant])

    def problem(self, gamma: torch.Tensor, regular: float) -> QuadraticProblem:
        """The quadratic in w2, laid out as (k^2, c), for the weights gamma (n,) of the first n slots."""
        taps, c = self.kernel**2, self.channels
        blocks, q, constant = (gamma.double() @ self.stored[: len(gamma)]).split(self.sizes)
        Q = blocks.new_empty(taps, taps, c, c)
        Q[self.columns, self.rows] = blocks.view(-1, c, c).transpose(1, 2)
        Q[self.rows, self.columns] = blocks.view(-1, c, c)
        Q = Q.transpose(1, 2).reshape(taps * c, taps * c)
        Q.diagonal().add_(regular)
        return QuadraticProblem(Q, q, constant[0])


class SampleMemory:
    """The weights gamma of the samples, and which slot a new one takes: that of the smallest weight (S1 section 3.4).

    A new sample weighs 1 / (1 - rate) times the last one, the first new one rate (1 - rate) times all before it (S1's
    code); then all are divided by their sum. capacity: slots. first_minimum: 0 as S1, where the first frame's slots are
    given away like any other, after 80 to 102 new samples; above 0 they are kept, and weigh at least this share
    together (ATOM has 0.25).
    """

    def __init__(self, capacity: int = 80, rate: float = 0.1, first_minimum: float = 0.0):
        if capacity < 1 or not 0 < rate < 1 or not 0 <= first_minimum < 1:
            raise ValueError("sample memory: capacity is at least 1, rate lies inside 0..1, first_minimum in 0..1.")
        self.capacity, self.rate, self.first_minimum = capacity, rate, first_minimum
        self.weights = torch.zeros(capacity, dtype=torch.float64)

    def start(self, initial: int, first: float = 2.0) -> None:
        """Fill the first slots with frame 0 and what was made of it; frame 0 itself weighs `first` times the others."""
        protected = self.first_minimum > 0
        if not 1 <= initial <= self.capacity - protected:
            raise ValueError(f"{initial} first samples do not fit a memory of {self.capacity} with room for new ones.")
        self.weights.zero_()
        self.weights[:initial] = 1.0
        self.weights[0] = first
        self.weights /= self.weights.sum()
        self.initial, self.last, self.filled = initial, None, initial

    def insert(self) -> int:
        """Make room for a new sample: the slot that is now its own."""
        start = self.initial if self.first_minimum > 0 else 0
        slot = start + int(self.weights[start:].argmin())
        if self.last is None:
            self.weights /= 1 - self.rate
            self.weights[slot] = self.rate
        else:
            self.weights[slot] = self.weights[self.last] / (1 - self.rate)
        self.weights /= self.weights.sum()
        old, new = self.weights[: self.initial], self.weights[self.initial :]
        if old.sum() < self.first_minimum:
            new /= self.first_minimum + new.sum()
            old[:] = self.first_minimum / self.initial
        self.last, self.filled = slot, max(self.filled, slot + 1)
        return slot


@dataclass(frozen=True)
class Settings:
    """Of a target model; what is not said here stands at `pixel_weights`, `GaussNewton` and `SampleMemory`.

    hidden: c (the paper: 96, 32 in its fast version). iterations: CG iterations of each step on frame 0.
    update_iterations: CG iterations of an update of w2 (the paper: 10), or None, which solves for w2 exactly.
    regularisation, squared: lambda_j is regularisation_j^2 (S1's code, whose residuals are regularisation_j w_j), or,
        with squared=False, regularisation_j. init: of w, "uniform" (the code) or "normal", Kaiming's (the paper).
    """

    hidden: int = 96
    kernel: int = 3
    iterations: tuple[int, ...] = (5, 10, 10, 10, 10)
    update_iterations: int | None = None
    regularisation: tuple[float, float] = (1e-4, 1e-2)
    squared: bool = True
    scales: tuple[float, float] = (1e-4, 1e-2)
    direction: str = "polak-ribiere"
    forgetting: float = 0.0
    kappa: float = 0.1
    share: str = "max"
    root: bool = True
    capacity: int = 80
    rate: float = 0.1
    first_minimum: float = 0.0
    init: str = "uniform"
    seed: int = 0

    def __post_init__(self):
        for name, value, known in (("share", self.share, ("max", "min")), ("init", self.init, ("uniform", "normal"))):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown: choose from {', '.join(known)}.")
        if self.hidden < 1 or self.kernel % 2 == 0 or not 0 < self.kappa < 1 or min(self.regularisation) <= 0:
            raise ValueError(
                "target model: hidden is at least 1, kernel odd, kappa inside 0..1, regularisation above 0."
            )
        if min((*self.iterations, 1 if self.update_iterations is None else self.update_iterations)) < 0:
            raise ValueError("target model: no number of iterations is negative.")
        GaussNewton(self.scales, self.direction, self.forgetting)  # raises for theirs
        SampleMemory(self.capacity, self.rate, self.first_minimum)

    @property
    def lambdas(self) -> tuple[float, ...]:
        return tuple(reg**2 if self.squared else reg for reg in self.regularisation)


class TargetModel:
    """D of one object: `start` on the first frame's samples, `scores` of a frame, `add` it to the memory, `update`."""

    def __init__(self, settings: Settings | None = None):
        self.settings = s = settings or Settings()
        self.memory = SampleMemory(s.capacity, s.rate, s.first_minimum)
        self.optimiser = GaussNewton(
            s.scales[1:], s.direction, s.forgetting
        )  # of the updates: lives as long as they do

    def initial(self, features: int) -> list[torch.Tensor]:
        """w before anything was learned, in float64."""
        s, r = self.settings, torch.Generator().manual_seed(self.settings.seed)
        shapes = (s.hidden, features, 1, 1), (1, s.hidden, s.kernel, s.kernel)
        w = []
        for shape in shapes:
            fan = np.prod(shape[1:])
            if s.init == "normal":
                w.append(torch.randn(shape, generator=r, dtype=torch.float64) * (2 / fan) ** 0.5)
            else:
                w.append((2 * torch.rand(shape, generator=r, dtype=torch.float64) - 1) / fan**0.5)
        return w

    @torch.no_grad()
    def start(self, x, labels, v=None, w=None, history: History | None = None) -> None:
        """Learn w1 and w2 on K samples, frame 0 first, then w2 once more alone, as S1's code does.

        x (K, C, h, w), labels (K, 1, H, W); v (K, 1, H, W) where the pixel weights are not those of the settings, and w
        to start from other parameters. Computes in the type of x and on its device.
        """
        s = self.settings
        labels, v = self.labelled(x, labels, v)
        self.memory.start(len(x))
        self.optimiser.reset()
        folded, gamma = fold(labels, v, x.shape[-2:]), self.memory.weights[: len(x)].to(x)
        w = [p.to(x) for p in (w or self.initial(x.shape[1]))]
        problem = TargetLoss(x, folded, gamma, s.lambdas, s.kernel)
        self.w = GaussNewton(s.scales, s.direction, s.forgetting).run(problem, w, s.iterations, history)
        self.equations = NormalEquations(s.capacity, s.hidden, s.kernel, x.device)
        for slot, sample in enumerate(F.conv2d(x, self.w[0])):
            self.equations.put(slot, sample, Folded(*(part[slot : slot + 1] for part in folded)))
        self.update()

    def labelled(self, x, labels, v):
        s, labels = self.settings, labels.to(x)
        return labels, pixel_weights(labels, s.kappa, s.share, s.root) if v is None else v.to(x)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """S1-E1: (K, C, h, w) -> (K, 1, h, w), about 1 on the target and 0 elsewhere."""
        return target_scores(x, self.w)

    @torch.no_grad()
    def add(self, x, labels, v=None) -> int | None:
        """Remember a frame and its soft labels, x (1, C, h, w) and labels (1, 1, H, W): the slot it took.

        None, and nothing is remembered, where fewer than 10 pixels are the target's: S1's code.
        """
        if (labels > 0.5).sum() < FEWEST:
            return None
        slot = self.memory.insert()
        self.equations.put(slot, F.conv2d(x, self.w[0])[0], fold(*self.labelled(x, labels, v), x.shape[-2:]))
        return slot

    @torch.no_grad()
    def update(self, history: History | None = None) -> None:
        """Learn w2 on all that is remembered, w1 fixed."""
        s, w2 = self.settings, self.w[1]
        gamma = self.memory.weights[: self.memory.filled].to(w2.device)
        problem = self.equations.problem(gamma, s.lambdas[1])
        if s.update_iterations is None:
            flat = problem.solve()
        else:
            before = w2[0].flatten(1).T.double()
            flat = self.optimiser.run(problem, [before], (s.update_iterations,), history)[0]
        self.w = [self.w[0], flat.view(s.kernel**2, s.hidden).T.reshape(w2.shape).to(w2)]
