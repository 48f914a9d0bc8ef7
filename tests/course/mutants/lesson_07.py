"""Answers to the exercises of lesson 07 that must pass, and wrong ones that must not."""

import torch


def eye(n):
    return torch.eye(n).double()


def inverse(A):
    return torch.linalg.inv(A)


# ---------------------------------------------------------------------------------------------- closed_form


def form_by_cholesky(X, Y, lam):
    return torch.cholesky_solve(X @ Y.T, torch.linalg.cholesky(X @ X.T + lam * eye(len(X))))


def form_as_longer_least_squares(X, Y, lam):
    D, C = len(X), len(Y)
    rows = torch.cat([X.T, lam**0.5 * eye(D)])
    return torch.linalg.lstsq(rows, torch.cat([Y.T, torch.zeros(D, C).to(Y)])).solution


def form_transposed(X, Y, lam):
    return form_by_cholesky(X, Y, lam).T


def form_over_samples(X, Y, lam):
    return inverse(X.T @ X + lam * eye(X.shape[1])) @ Y.T


def form_without_lambda(X, Y, lam):
    return inverse(X @ X.T) @ X @ Y.T


def form_everywhere(X, Y, lam):
    return inverse(X @ X.T + lam) @ X @ Y.T


def form_right_side(X, Y, lam):
    return X @ Y.T


def form_twice_lambda(X, Y, lam):
    return form_by_cholesky(X, Y, 2 * lam)


def form_half_lambda(X, Y, lam):
    return form_by_cholesky(X, Y, lam / 2)


def form_lambda_squared(X, Y, lam):
    return form_by_cholesky(X, Y, lam**2)


def form_of_means(X, Y, lam):
    return form_by_cholesky(X, Y, lam * X.shape[1])


def form_free_constant(X, Y, lam):
    penalty = lam * eye(len(X))
    penalty[-1, -1] = 0
    return inverse(X @ X.T + penalty) @ X @ Y.T


def form_minus(X, Y, lam):
    return inverse(X @ X.T - lam * eye(len(X))) @ X @ Y.T


# ---------------------------------------------------------------------------------------------- along_lambda


def path_one_by_one(XX, XY, lams):
    return torch.stack([torch.linalg.solve(XX + lam * eye(len(XX)), XY) for lam in lams])


def path_at_once(XX, XY, lams):
    S, V = torch.linalg.eigh(XX)
    return torch.einsum("de,le,ec->ldc", V, 1 / (S + torch.tensor(lams)[:, None]), V.T @ XY)


def path_of(shrunk, turn=lambda V: V.T, back=lambda V: V):
    def path(XX, XY, lams):
        S, V = torch.linalg.eigh(XX)
        return torch.stack([back(V) @ (shrunk(S, lam)[:, None] * (turn(V) @ XY)) for lam in lams])

    return path


def path_of_first(XX, XY, lams):
    return path_one_by_one(XX, XY, lams[:1]).expand(len(lams), *XY.shape)


def path_last_dimension(XX, XY, lams):
    return path_one_by_one(XX, XY, lams).movedim(0, -1)


def path_of_sum(XX, XY, lams):
    return path_one_by_one(XX, XY, [1.1 * lam for lam in lams])


# ---------------------------------------------------------------------------------------------- weighed


def weights(Y, of=1):
    counts = Y.sum(1)
    return (counts[of] / counts) @ Y


def sums(X, Y, lam, left, right):
    return inverse((X * left) @ X.T + lam * eye(len(X))) @ ((X * right) @ Y.T)


def weighed_by_roots(X, Y, lam):
    g = weights(Y).sqrt()
    return form_by_cholesky(X * g, Y * g, lam)


def weighed_not(X, Y, lam):
    return form_by_cholesky(X, Y, lam)


def weighed_twice(X, Y, lam):
    g = weights(Y)
    return form_by_cholesky(X * g, Y * g, lam)


def weighed_left(X, Y, lam):
    return sums(X, Y, lam, weights(Y), torch.ones(Y.shape[1]).double())


def weighed_right(X, Y, lam):
    return sums(X, Y, lam, torch.ones(Y.shape[1]).double(), weights(Y))


def weighed_upside_down(X, Y, lam):
    return sums(X, Y, lam, 1 / weights(Y), 1 / weights(Y))


def weighed_up(X, Y, lam):
    return sums(X, Y, lam, weights(Y, 0), weights(Y, 0))


def weighed_to_one(X, Y, lam):
    g = weights(Y) / Y[1].sum()
    return sums(X, Y, lam, g, g)


def weighed_thrown_away(X, Y, lam):
    n = int(Y[1].sum())
    some = torch.cat([(Y[0] > 0).nonzero()[:n, 0], (Y[1] > 0).nonzero()[:, 0]])
    return form_by_cholesky(X[:, some], Y[:, some], lam)


def weighed_half(X, Y, lam):
    g = (1 + weights(Y)) / 2
    return sums(X, Y, lam, g, g)


# ---------------------------------------------------------------------------------------------- dual


def dual_by_cholesky(X, Y, lam):
    return X @ torch.cholesky_solve(Y.T, torch.linalg.cholesky(X.T @ X + lam * eye(X.shape[1])))


def dual_alpha(X, Y, lam):
    return inverse(X.T @ X + lam * eye(X.shape[1])) @ Y.T


def dual_transposed(X, Y, lam):
    return dual_by_cholesky(X, Y, lam).T


def dual_without_lambda(X, Y, lam):
    return X @ inverse(X.T @ X) @ Y.T


def dual_everywhere(X, Y, lam):
    return X @ inverse(X.T @ X + lam) @ Y.T


def dual_plain_votes(X, Y, lam):
    return X @ Y.T


def dual_divided(X, Y, lam):
    return dual_by_cholesky(X, Y, lam) / lam


def dual_primal(X, Y, lam):
    return torch.linalg.solve(X @ X.T + lam * eye(len(X)), X @ Y.T)


def dual_other_lambda(X, Y, lam):
    return dual_by_cholesky(X, Y, lam**2)


RIGHT = {
    "closed_form": [form_by_cholesky, form_as_longer_least_squares],
    "along_lambda": [path_one_by_one, path_at_once],
    "weighed": [weighed_by_roots],
    "dual": [dual_by_cholesky],
}
MUTANTS = {
    "closed_form": {
        "transposed": (form_transposed, "that is W'"),
        "over samples": (form_over_samples, "each sample"),
        "no lambda": (form_without_lambda, "lambda is missing"),
        "lambda everywhere": (form_everywhere, "every entry"),
        "right side": (form_right_side, "Solve for W"),
        "twice lambda": (form_twice_lambda, "factor of 2"),
        "half lambda": (form_half_lambda, "factor of 2"),
        "lambda squared": (form_lambda_squared, "squared lambda"),
        "means": (form_of_means, "means"),
        "free constant": (form_free_constant, "constant's row"),
        "minus": (form_minus, "is not zero there"),
    },
    "along_lambda": {
        "squared": (path_of(lambda S, lam: 1 / (S**2 + lam)), "squares of the singular values"),
        "inverse first": (path_of(lambda S, lam: 1 / S + lam), "before the inverse"),
        "shares": (path_of(lambda S, lam: S / (S + lam)), "shrinks"),
        "multiplied": (path_of(lambda S, lam: S + lam), "its inverse divides"),
        "turns swapped": (
            path_of(lambda S, lam: 1 / (S + lam), lambda V: V, lambda V: V.T),
            "the wrong way round",
        ),
        "not turned back": (path_of(lambda S, lam: 1 / (S + lam), back=lambda V: eye(len(V))), "turn back"),
        "first lambda": (path_of_first, "the same W"),
        "last dimension": (path_last_dimension, "new first dimension"),
        "other lambdas": (path_of_sum, "not the solutions"),
    },
    "weighed": {
        "not": (weighed_not, "no sample weighs more"),
        "squared": (weighed_twice, "squared"),
        "left only": (weighed_left, "only one of the two sums"),
        "right only": (weighed_right, "only one of the two sums"),
        "upside down": (weighed_upside_down, "upside down"),
        "the object raised": (weighed_up, "raised"),
        "to one": (weighed_to_one, "sums to 1"),
        "thrown away": (weighed_thrown_away, "threw away"),
        "half": (weighed_half, "not the minimum"),
    },
    "dual": {
        "alpha": (dual_alpha, "that is alpha"),
        "transposed": (dual_transposed, "a column for each class"),
        "no lambda": (dual_without_lambda, "lambda is missing"),
        "lambda everywhere": (dual_everywhere, "every entry"),
        "plain votes": (dual_plain_votes, "vote alike"),
        "divided": (dual_divided, "nowhere else"),
        "primal": (dual_primal, "Solve the N x N one"),
        "another lambda": (dual_other_lambda, "not the W"),
    },
}
