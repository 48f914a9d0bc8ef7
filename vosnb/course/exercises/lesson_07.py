"""Exercises of lesson 07: the closed form, its path along lambda, samples that are weighed, and the dual."""

import torch

from vosnb.course.exercises import Exercise, expect, same


def _samples(features, n, seed, classes=2):
    """X (features, n) and one-hot Y (classes, n), float64; the last feature is a constant, class 0 is the larger."""
    r = torch.Generator().manual_seed(seed)
    X = torch.randn(features, n, generator=r).double()
    X[-1] = 1
    Y = torch.zeros(classes, n).double()
    Y[(torch.arange(n) % 4 == 0).long() * (1 + torch.arange(n) % (classes - 1)), torch.arange(n)] = 1
    return X, Y


def _solve(A, B):
    return torch.linalg.solve(A, B)


# ---------------------------------------------------------------------------------------------- closed_form


def closed_form_reference(X, Y, lam):
    left = X @ X.T + lam * torch.eye(len(X)).to(X)
    return torch.linalg.solve(left, X @ Y.T)


def _check_closed_form(answer):
    X, Y = _samples(4, 12, seed=1, classes=3)
    lam, eye = 1.7, torch.eye(4).double()
    XX, XY = X @ X.T, X @ Y.T
    W = closed_form_reference(X, Y, lam)
    got = answer(X, Y, lam)

    expect(not same(got, W.T), "that is W' (C, D). W has a row for each feature, and a column for each class.")
    expect(
        getattr(got, "shape", (0,))[0] != 12,
        "yours has a row for each sample: you inverted X'X. Here samples are the *columns* of X, so that the sum over "
        "samples is X X', as large as there are features.",
    )
    expect(
        not same(got, _solve(XX, XY)),
        "lambda is missing: that is plain least squares.",
    )
    expect(
        not same(got, _solve(XX + lam, XY)),
        "you added lambda to every entry. lambda I has it on the diagonal alone.",
    )
    expect(
        not same(got, XY) and not same(got, XY / lam),
        "that is where one looks when nothing is known of X X', the direction downhill from W = 0. Solve for W.",
    )
    expect(
        not same(got, _solve(XX + 2 * lam * eye, XY)) and not same(got, _solve(XX + lam / 2 * eye, XY)),
        "lambda is off by a factor of 2. Both terms are squares, so that both gradients have the 2, and it cancels.",
    )
    expect(
        not same(got, _solve(XX + lam**2 * eye, XY)),
        "you squared lambda. It stands before the square of W, and is not squared itself.",
    )
    expect(
        not same(got, _solve(XX / 12 + lam * eye, XY / 12)),
        "you took means over the samples. S2-E3 has sums: with more samples lambda counts for less.",
    )
    free = torch.diag(torch.tensor([1.0, 1, 1, 0]).double())
    expect(
        not same(got, _solve(XX + lam * free, XY)),
        "you left the constant's row of W unpunished, as libraries do with an intercept. In S2-E3 ||W||^2 has every "
        "row.",
    )
    expect(
        same(got, W, 1e-8),
        "the gradient X (X'W - Y') + lambda W is not zero there: solve (X X' + lambda I) W = X Y'.",
    )
    few, labels = _samples(4, 2, seed=2, classes=3)
    expect(
        same(answer(few, labels, 0.3), closed_form_reference(few, labels, 0.3), 1e-8),
        "with fewer samples than features X X' has no inverse, but X X' + lambda I has one; yours fails there.",
    )


closed_form = Exercise(
    name="closed_form",
    title="The closed form",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=(
        "Set the gradient to zero, divide by 2, and bring all that has W to the left.",
        "X X' W + lambda W = X Y'. What is the matrix before W? Mind the shape: lambda is added to its diagonal.",
        "torch.linalg.solve(X @ X.T + lam * torch.eye(len(X)).to(X), ...) with X Y' on the right.",
    ),
    reference=closed_form_reference,
    check=_check_closed_form,
)

# ---------------------------------------------------------------------------------------------- along_lambda


def along_lambda_reference(XX, XY, lams):
    S, V = torch.linalg.eigh(XX)
    turned = V.T @ XY
    return torch.stack([V @ (turned / (S + lam)[:, None]) for lam in lams])


def _check_along_lambda(answer):
    X, Y = _samples(5, 20, seed=3)
    XX, XY, lams = X @ X.T, X @ Y.T, [0.3, 2.0, 50.0]
    S, V = torch.linalg.eigh(XX)
    right = torch.stack([_solve(XX + lam * torch.eye(5).double(), XY) for lam in lams])
    got = answer(XX, XY, lams)

    def path(shrunk, left=V, turn=V.T):
        return torch.stack([left @ (shrunk(lam)[:, None] * (turn @ XY)) for lam in lams])

    expect(
        getattr(got, "shape", None) == (3, 5, 2),
        "return (L, D, C): one W for each lambda, stacked along a new first dimension.",
    )
    expect(
        not same(got, path(lambda lam: 1 / (S**2 + lam))),
        "you squared S. The eigenvalues of X X' are the squares of the singular values of X already.",
    )
    expect(
        not same(got, path(lambda lam: 1 / S + lam)) and not same(got, path(lambda lam: 1 / S + 1 / lam)),
        "lambda is added before the inverse is taken: 1 / (S + lambda).",
    )
    expect(
        not same(got, path(lambda lam: S / (S + lam))),
        "S / (S + lambda) is by how much each direction shrinks against plain least squares. The inverse of S + lambda "
        "is 1 / (S + lambda).",
    )
    expect(
        not same(got, path(lambda lam: S + lam)),
        "you multiplied by S + lambda. That is the matrix itself; its inverse divides.",
    )
    expect(
        not same(got, path(lambda lam: 1 / (S + lam), V.T, V)),
        "the two turns are the wrong way round: eigenvectors are the columns of V, so V' goes into their coordinates.",
    )
    expect(
        not same(got, path(lambda lam: 1 / (S + lam), torch.eye(5).double())),
        "you did not turn back: multiply by V from the left at the end.",
    )
    expect(
        not same(got, right[:1].expand(3, 5, 2)),
        "the same W for every lambda.",
    )
    expect(same(got, right, 1e-8), "not the solutions: W = V (S + lambda)^-1 V' X Y', for every lambda.")


along_lambda = Exercise(
    name="along_lambda",
    title="Every lambda at once",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=(
        "X X' + lambda I has the same eigenvectors V for every lambda. What are its eigenvalues?",
        "Into the coordinates of V with V.T @ XY; there the matrix is diagonal, and solving is dividing by S + lambda.",
        "For one lambda: V @ (V.T @ XY / (S + lam)[:, None]). Then torch.stack over the lambdas.",
    ),
    reference=along_lambda_reference,
    check=_check_along_lambda,
)

# ---------------------------------------------------------------------------------------------- weighed


def weighed_reference(X, Y, lam):
    counts = Y.sum(1)
    g = (counts[1] / counts) @ Y
    return torch.linalg.solve((X * g) @ X.T + lam * torch.eye(len(X)).to(X), (X * g) @ Y.T)


def _check_weighed(answer):
    X, Y = _samples(5, 40, seed=4)  # 30 of the background, 10 of the object
    lam, eye, counts = 3.0, torch.eye(5).double(), Y.sum(1)
    g = (counts[1] / counts) @ Y
    got = answer(X, Y, lam)

    def solved(left, right, lam=lam):
        return _solve((X * left) @ X.T + lam * eye, (X * right) @ Y.T)

    one = torch.ones(40).double()
    expect(not same(got, solved(one, one)), "no sample weighs more than another: that is the plain closed form.")
    expect(
        not same(got, solved(g**2, g**2)),
        "your weights are squared. If X and Y are multiplied by g, X X' and X Y' get g^2: multiply them by its root.",
    )
    expect(
        not same(got, solved(g, one)) and not same(got, solved(one, g)),
        "you weighed only one of the two sums. A sample that counts 1/3 counts 1/3 in X X' and in X Y'.",
    )
    expect(
        not same(got, solved(1 / g, 1 / g)),
        "upside down: the class with more samples must weigh less for each.",
    )
    swapped = (counts[0] / counts) @ Y
    expect(
        not same(got, solved(swapped, swapped)),
        "balanced, but you raised the object's weights where the background's are to be lowered. The sums grow, and "
        "the same lambda counts for less: object pixels weigh 1.",
    )
    expect(
        not same(got, solved(g / counts[1], g / counts[1])),
        "balanced, but each class sums to 1. Beside sums that small the same lambda is very large: object pixels weigh "
        "1.",
    )
    few = torch.cat([(Y[0] > 0).nonzero()[:10, 0], (Y[1] > 0).nonzero()[:, 0]])
    expect(
        not same(got, _solve(X[:, few] @ X[:, few].T + lam * eye, X[:, few] @ Y[:, few].T)),
        "you threw away what is too much. That is S2's way; here all samples stay, and the many weigh less.",
    )
    expect(
        same(got, solved(g, g), 1e-8),
        "not the minimum of sum_j g_j ||W'x_j - y_j||^2 + lambda ||W||^2, with g = 1 for the object's samples and "
        "n_1 / n_0 for the background's.",
    )
    X, Y = _samples(5, 24, seed=5)
    Y = Y.flip(0)  # now the object has more
    expect(same(answer(X, Y, 1.0), weighed_reference(X, Y, 1.0), 1e-8), "it fails where the object has more samples.")


weighed = Exercise(
    name="weighed",
    title="Weigh the samples",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=(
        "One weight for each sample: 1 where Y[1] is 1, and n_1 / n_0 where Y[0] is 1. Y.sum(1) counts.",
        "The weights stand in both sums: sum_j g_j x_j x_j' and sum_j g_j x_j y_j'. X * g scales the columns of X.",
        "torch.linalg.solve((X * g) @ X.T + lambda I, (X * g) @ Y.T)",
    ),
    reference=weighed_reference,
    check=_check_weighed,
)

# ---------------------------------------------------------------------------------------------- dual


def dual_reference(X, Y, lam):
    alpha = torch.linalg.solve(X.T @ X + lam * torch.eye(X.shape[1]).to(X), Y.T)
    return X @ alpha


def _check_dual(answer):
    X, Y = _samples(8, 3, seed=6)
    lam = 0.9
    alpha = _solve(X.T @ X + lam * torch.eye(3).double(), Y.T)
    W = closed_form_reference(X, Y, lam)
    got = answer(X, Y, lam)

    expect(
        not same(got, alpha),
        "that is alpha (N, C), what each sample is worth. W = X alpha is still to come.",
    )
    expect(
        not same(got, alpha.T) and not same(got, W.T),
        "W has a row for each feature, and a column for each class: (D, C).",
    )
    expect(
        not same(got, X @ _solve(X.T @ X, Y.T)),
        "lambda is missing: that is the smallest W that hits every label exactly.",
    )
    expect(
        not same(got, X @ _solve(X.T @ X + lam, Y.T)),
        "you added lambda to every entry of X'X. It is lambda I, on the diagonal.",
    )
    expect(
        not same(got, X @ Y.T), "all samples vote alike in yours: alpha is not Y', but solves (X'X + lambda I) alpha."
    )
    expect(
        not same(got, X @ alpha / lam) and not same(got, lam * (X @ alpha)),
        "lambda stands in X'X + lambda I, and nowhere else.",
    )
    expect(
        same(got, W, 1e-8), "not the W of the closed form: alpha solves (X'X + lambda I) alpha = Y', and W = X alpha."
    )
    wide, labels = _samples(60, 3, seed=7)
    expect(
        same(answer(wide, labels, 1e-11), dual_reference(wide, labels, 1e-11), 1e-7),
        "right, but by the D x D system, with a lambda on which nearly all of its digits hang. Solve the N x N one.",
    )


dual = Exercise(
    name="dual",
    title="Few samples, many features",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=(
        "The gradient X (X'W - Y') + lambda W = 0 says that W is X times something. Call that something alpha.",
        "Put W = X alpha in: it is enough that (X'X + lambda I) alpha = Y'. How large is that system?",
        "alpha = torch.linalg.solve(X.T @ X + lam * torch.eye(N).to(X), Y.T), and W = X @ alpha.",
    ),
    reference=dual_reference,
    check=_check_dual,
)
