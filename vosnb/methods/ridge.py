"""Ridge regression in closed form: a classifier of pixels that is never trained, only solved for (S2 section 2.3).

    W = argmin ||W'X - Y||^2 + lambda ||W||^2 = (X X' + lambda I)^-1 X Y'            (S2-E3)

The paper writes positive and negative samples apart; they are columns of one X and one Y. The same solver learns w2 of
the discriminative target model (`gauss_newton.QuadraticProblem.solve`), where X X' is weighted and of convolutions.

Shapes: X (D, N), N samples of D features; Y (C, N), one row a class, one-hot or not; W (D, C). All of it in float64:
the condition number of X X' is the square of that of X, and float32 loses the digits that a small lambda needs.
"""

import torch
import torch.nn.functional as F


def check_lambda(lam: float) -> None:
    if not lam > 0:
        raise ValueError(f"lambda={lam}: take a number above 0; without it X X' need not have an inverse.")


def solve_positive(A: torch.Tensor, B: torch.Tensor, lam: float = 0.0) -> torch.Tensor:
    """(A + lambda I)^-1 B by Cholesky: A (n, n) symmetric, no negative eigenvalues; B (n, C).

    Raises ValueError where the arithmetic cannot tell A + lambda I from a singular matrix.
    """
    left = A.clone()
    left.diagonal().add_(lam)
    factor, failed = torch.linalg.cholesky_ex(left)
    if failed:
        raise ValueError("lambda is lost beside features of this size: raise it, or scale the features down.")
    return torch.cholesky_solve(B, factor)


def ridge(X: torch.Tensor, Y: torch.Tensor, lam: float) -> torch.Tensor:
    """W (D, C) of S2-E3: primal, D unknowns a class, or dual where there are fewer samples than features.

        dual: W = X (X'X + lambda I)^-1 Y', the same W from an N x N system

    Raises ValueError where there are no samples, sizes do not fit, values are not finite, or lambda is not above 0.
    """
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


class Ridge:
    """The sums X X' (D, D) and X Y' (D, C), to which samples are added and from which they are taken back (undo).

    A round costs what is new: D^2 for each new sample, and D^3 / 3 to solve, however many samples there were before.
    """

    def __init__(self, features: int, classes: int, device: torch.device | str = "cpu"):
        self.XX = torch.zeros(features, features, dtype=torch.float64, device=device)
        self.XY = torch.zeros(features, classes, dtype=torch.float64, device=device)
        self.samples = 0

    def add(self, X: torch.Tensor, Y: torch.Tensor, times: int = 1) -> None:
        """Samples X (D, n) and Y (C, n); times=-1 takes away what was added before.

        Y may have more rows than before: a new class, which no sample so far belongs to.
        """
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
        """Take away samples that were added: what is left is as if they had never been there, to rounding."""
        self.add(X, Y, times=-1)

    def solve(self, lam: float) -> torch.Tensor:
        """W (D, C). Raises ValueError where there are no samples or lambda is not above 0."""
        if self.samples == 0:
            raise ValueError("there are no samples: draw at least one scribble.")
        check_lambda(lam)
        return solve_positive(self.XX, self.XY, lam)

    def path(self, lams) -> torch.Tensor:
        """W for every lambda (L, D, C), for little more than one: X X' = V S V', W = V (S + lambda)^-1 V' X Y'."""
        for lam in lams:
            check_lambda(lam)
        S, V = torch.linalg.eigh(self.XX)
        shrunk = 1 / (S.clamp_min(0) + torch.as_tensor(lams, dtype=S.dtype, device=S.device)[:, None])
        return V @ (shrunk[..., None] * (V.T @ self.XY))
