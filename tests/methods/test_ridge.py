"""The closed form: held to scikit-learn's figures, its two forms to one another, its rounds to solving afresh."""

import pytest
import torch

from vosnb.methods.ridge import Ridge, ridge


@pytest.mark.parametrize("case", ["tall", "wide_dual", "rankdef", "big_lambda", "tiny_lambda"])
def test_S2_E3_gives_scikit_learn_s_solutions(oracle, case):
    o = oracle("ridge")
    X, Y, lam = o[f"{case}_X"].T, o[f"{case}_Y"].T, o[f"{case}_lambda"].item()
    found = ridge(X, Y, lam)
    torch.testing.assert_close(found, o[f"{case}_W_cholesky"], atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(found, o[f"{case}_W_svd"], atol=1e-11, rtol=1e-9)


def samples(features, n, classes=3, seed=0):
    r = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=r)
    X = torch.randn(features, n, generator=r, dtype=torch.float64)
    return X, torch.nn.functional.one_hot(labels, classes).T.double()


@pytest.mark.parametrize("n", [5, 12, 40])
def test_S2_E3_primal_and_dual_are_one_solution_and_the_gradient_is_zero_there(n):
    X, Y = samples(12, n)
    W = ridge(X, Y, 0.5)
    gradient = X @ (X.T @ W - Y.T) + 0.5 * W
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-11, rtol=0)


def test_rounds_and_undo_are_as_solving_afresh():
    X, Y = samples(12, 100)
    rounds = Ridge(12, 3)
    for part in range(0, 100, 20):
        rounds.add(X[:, part : part + 20], Y[:, part : part + 20])
    torch.testing.assert_close(rounds.solve(2.0), ridge(X, Y, 2.0), atol=1e-12, rtol=1e-10)
    rounds.remove(X[:, 40:60], Y[:, 40:60])
    rest = torch.cat([torch.arange(40), torch.arange(60, 100)])
    torch.testing.assert_close(rounds.solve(2.0), ridge(X[:, rest], Y[:, rest], 2.0), atol=1e-12, rtol=1e-10)
    assert rounds.samples == 80


def test_the_path_is_every_solution_and_weights_shrink_along_it():
    X, Y = samples(12, 30)
    rounds = Ridge(12, 3)
    rounds.add(X, Y)
    lams = [1e-3, 0.1, 10.0, 1e4]
    path = rounds.path(lams)
    for W, lam in zip(path, lams, strict=True):
        torch.testing.assert_close(W, ridge(X, Y, lam), atol=1e-11, rtol=1e-9)
    sizes = path.flatten(1).norm(dim=1)
    assert (sizes[1:] < sizes[:-1]).all() and sizes[-1] < 0.05 * sizes[0]


def test_with_no_lambda_to_speak_of_it_is_least_squares():
    X, Y = samples(6, 50)
    expected = torch.linalg.lstsq(X.T, Y.T).solution
    torch.testing.assert_close(ridge(X, Y, 1e-10), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("X", "Y", "lam", "says"),
    [
        (torch.zeros(4, 0), torch.zeros(2, 0), 1.0, "at least one scribble"),
        (torch.zeros(4, 3), torch.zeros(2, 5), 1.0, "same N"),
        (torch.full((4, 3), torch.nan), torch.zeros(2, 3), 1.0, "not finite"),
        (torch.ones(4, 3), torch.ones(2, 3), 0.0, "above 0"),
        (torch.ones(4, 9) * 1e12, torch.ones(2, 9), 1e-12, "raise it"),
    ],
)
def test_what_cannot_be_solved_is_told(X, Y, lam, says):
    with pytest.raises(ValueError, match=says):
        ridge(X, Y, lam)


def test_rounds_tell_what_does_not_fit():
    rounds = Ridge(4, 2)
    with pytest.raises(ValueError, match="at least one scribble"):
        rounds.solve(1.0)
    with pytest.raises(ValueError, match="are wanted"):
        rounds.add(torch.zeros(3, 5), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="cannot be taken away"):
        rounds.remove(torch.zeros(4, 5), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="above 0"):
        rounds.path([1.0, -1.0])
