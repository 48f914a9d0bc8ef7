"""Gauss-Newton with conjugate gradients, for any sum of squares L(w) = ||r(w)||^2 (S1 section 3.1; after ATOM).

Near w the residuals are almost linear, r(w + d) ~ r + J d, which makes the loss a quadratic in d (S1-E3):

    L(w + d) ~ d'J'J d + 2 d'J'r + r'r,        smallest where J'J d = -J'r.

Conjugate gradients (CG) solve that system with products J'(J p) alone: J'J, whose condition number is the square of
J's, is never formed. Then w <- w + d, and again. Lesson 05 builds this file step by step.

w, p, d and gradients are lists of tensors of the same shapes; residuals and v are another list of tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from vosnb.methods.ridge import solve_positive

Tensors = list[torch.Tensor]


def dot(a: Tensors, b: Tensors) -> torch.Tensor:
    """<a, b>, summed over all tensors of the two lists."""
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))


def add(a: Tensors, b: Tensors, scale: torch.Tensor | float = 1.0) -> Tensors:
    """a + scale b."""
    return [x + scale * y for x, y in zip(a, b, strict=True)]


class Problem:
    """A sum of squares. Give `residuals`, `jvp` and `vjp`; or `loss_and_gradient` and `curvature`, where they are
    known without them."""

    def residuals(self, w: Tensors) -> Tensors:
        raise NotImplementedError

    def jvp(self, w: Tensors, p: Tensors) -> Tensors:
        """J p: how the residuals move when w moves along p."""
        raise NotImplementedError

    def vjp(self, w: Tensors, v: Tensors) -> Tensors:
        """J'v."""
        raise NotImplementedError

    def loss_and_gradient(self, w: Tensors) -> tuple[torch.Tensor, Tensors]:
        """||r||^2 and J'r, which is half of the loss's gradient."""
        r = self.residuals(w)
        return dot(r, r), self.vjp(w, r)

    def curvature(self, w: Tensors, p: Tensors) -> Tensors:
        """J'J p: half of Gauss-Newton's Hessian times p."""
        return self.vjp(w, self.jvp(w, p))


class AutogradProblem(Problem):
    """Any function from w to residuals; torch differentiates it, forwards for J p and backwards for J'v."""

    def __init__(self, function: Callable[[Tensors], Tensors]):
        self.function = function

    def residuals(self, w):
        return list(self.function(list(w)))

    def jvp(self, w, p):
        return torch.func.jvp(self.residuals, (list(w),), (list(p),))[1]

    def vjp(self, w, v):
        return torch.func.vjp(self.residuals, list(w))[1](list(v))[0]


class QuadraticProblem(Problem):
    """w'A w - 2 b'w + constant in one tensor w: A (n, n), positive definite, and b (n)."""

    def __init__(self, A: torch.Tensor, b: torch.Tensor, constant: torch.Tensor | float = 0.0):
        self.A, self.b, self.constant = A, b, constant

    def loss_and_gradient(self, w):
        flat = w[0].flatten()
        gradient = self.A @ flat - self.b
        return flat @ (gradient - self.b) + self.constant, [gradient.view_as(w[0])]

    def curvature(self, w, p):
        return [(self.A @ p[0].flatten()).view_as(p[0])]

    def solve(self) -> torch.Tensor:
        """The minimum (n), by Cholesky, as every ridge (S2)."""
        return solve_positive(self.A, self.b[:, None])[:, 0]


@dataclass
class History:
    """What an optimisation did. loss: one entry a state, so that n steps give n + 1.

    One entry a CG iteration, over all Gauss-Newton steps: predicted, the loss that the quadratic model promises after
    it (free of charge: L - d'(b + r) with b = -J'r and r = b - J'J d); residual_norm, ||b - J'J d|| after it; step, how
    far it went along its direction. iterations: how many of these belong to each Gauss-Newton step.
    """

    loss: list[float] = field(default_factory=list)
    predicted: list[float] = field(default_factory=list)
    residual_norm: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)


DIRECTIONS = ("polak-ribiere", "fletcher-reeves")


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


@torch.no_grad()
def steepest_descent(problem: Problem, w: Tensors, iterations: int, history: History | None = None) -> Tensors:
    """The simpler cousin: along the gradient g, as far as the quadratic model goes down, <g, g> / <g, J'J g> (LWL).

    The same as Gauss-Newton of one CG iteration a step.
    """
    for n in range(iterations + 1):
        if n == iterations and history is None:
            break
        loss, g = problem.loss_and_gradient(w)
        if history is not None:
            history.loss.append(loss.item())
        if n == iterations:
            break
        gg, curved = dot(g, g), dot(g, problem.curvature(w, g))
        if not curved > 0:
            break
        w = add(w, g, -gg / curved)
        if history is not None:
            history.predicted.append(float(loss - gg * gg / curved))
            history.step.append((gg / curved).item())
            history.iterations.append(1)
    return w
