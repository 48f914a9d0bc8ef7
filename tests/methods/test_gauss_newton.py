"""Gauss-Newton with conjugate gradients: held to the authors' optimiser, and to what the mathematics promises."""

import pytest
import torch
import torch.nn.functional as F

from vosnb.methods.gauss_newton import (
    AutogradProblem,
    GaussNewton,
    History,
    Problem,
    QuadraticProblem,
    add,
    dot,
    steepest_descent,
)

COUNTS = (5, 10, 10, 10, 10)


# frtm_gn_pieces is kept without `ablation_names`, which are those of the four entries of `ablation_maxdiff`: nothing
# kept, forget75, Fletcher-Reeves with nothing kept, another formula for the step; each against the first.


def frtm_problem(o):
    """The residuals of S1's target model, as plainly as one can write them; differentiated by torch."""

    def residuals(w):
        s = F.conv2d(F.conv2d(o["x"], w[0]), w[1], padding=1)
        s = F.interpolate(s, o["y"].shape[-2:], mode="bilinear", align_corners=False)
        data = o["sample_weights"].sqrt().view(-1, 1, 1, 1) * o["pixel_weights"] * (s - o["y"])
        return [data, o["reg"][0] * w[0], o["reg"][1] * w[1]]

    return AutogradProblem(residuals), [o["w1_0"], o["w2_0"]]


def assert_near(found, expected, atol):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0)


# Held to the authors' code ------------------------------------------------------------------------------------------


def test_S1_E3_gradient_and_curvature_are_those_of_the_authors(oracle):
    o = oracle("frtm_gn_pieces")
    problem, w = frtm_problem(o)
    _, gradient = problem.loss_and_gradient(w)
    assert_near([-g for g in gradient], [o["b1"], o["b2"]], 1e-12)
    assert_near(problem.curvature(w, [o["p1"], o["p2"]]), [o["Ap1"], o["Ap2"]], 1e-12)


def cg_iterates(o, w):
    """w after 1 to 10 CG iterations of one Gauss-Newton step, as the oracle has them: (10, n)."""
    problem, _ = frtm_problem(o)
    after = (GaussNewton(o["reg"].tolist()).run(problem, w, (k,)) for k in range(1, 11))
    return torch.stack([torch.cat([p.flatten() for p in found]) for found in after])


def test_one_step_goes_where_the_authors_go_after_each_iteration(oracle):
    """The eigenvalues of J'J with this preconditioner lie between .03 and 166000: every CG iteration makes rounding
    about a hundred times larger, until it has converged. So iterations 1 to 5 are held to 1e-9, and the later ones to
    what the last bit of w makes of our own."""
    o = oracle("frtm_gn_pieces")
    w = [o["w1_0"], o["w2_0"]]
    expected = torch.cat([o["w1_after_k_cg"].flatten(1), o["w2_after_k_cg"].flatten(1)], 1)
    found = cg_iterates(o, w)
    off = (found - expected).abs().amax(1)
    assert off[:5].max() < 1e-9
    r = torch.Generator().manual_seed(0)
    last_bits = [
        [p * (1 + 2.2e-16 * torch.randn(p.shape, generator=r, dtype=p.dtype).sign()) for p in w] for _ in range(3)
    ]
    moved = torch.stack([(cg_iterates(o, bits) - found).abs().amax(1) for bits in last_bits]).amax(0)
    assert (off <= 10 * moved).all() and off[-1] < 1e-5


def test_five_steps_end_where_the_authors_end_with_directions_kept_or_not(oracle):
    o = oracle("frtm_gn_pieces")
    problem, w = frtm_problem(o)
    expected = [o["w1_gn5"], o["w2_gn5"]]

    def off(direction="polak-ribiere", forgetting=0.0):
        found = GaussNewton(o["reg"].tolist(), direction, forgetting).run(problem, w, COUNTS)
        lost = problem.loss_and_gradient(found)[0] / problem.loss_and_gradient(expected)[0]
        return max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True)), lost.item()

    _, kept, _, _ = o["ablation_maxdiff"].tolist()
    assert off()[0] < 1e-3 and off()[1] == pytest.approx(1, abs=1e-3)  # rounding alone: see above
    assert off(forgetting=0.9**750) == off()  # not a bit of the last direction is left
    assert off("fletcher-reeves")[0] < 1e-3
    assert off(forgetting=0.9**75)[0] == pytest.approx(kept, rel=1e-3)


def test_steepest_descent_goes_where_lwl_goes(oracle):
    o = oracle("lwl_steepest_descent")
    problem = AutogradProblem(lambda w: [o["weights"] * (F.conv2d(o["x"], w[0], padding=1) - o["y"]), o["reg"] * w[0]])
    history, w = History(), [o["w0"]]
    for expected in o["iterates"][1:]:
        w = steepest_descent(problem, w, 1)
        assert_near(w, [expected], 1e-10)
    assert_near(steepest_descent(problem, [o["w0"]], 10, history), w, 1e-12)
    torch.testing.assert_close(torch.tensor(history.loss, dtype=torch.float64), o["losses"], atol=1e-10, rtol=0)
    torch.testing.assert_close(history.predicted, history.loss[1:], rtol=1e-9, atol=0)  # linear residuals: no surprise


# What the mathematics promises ----------------------------------------------------------------------------------------


@pytest.fixture
def curved():
    """A nonlinear problem in two tensors, more residuals than unknowns, and two points p, v to multiply with."""
    r = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=r, dtype=torch.float64)

    a, truth = normal(30, 4), [normal(4, 3), normal(3)]
    b = torch.tanh(a @ truth[0]) @ truth[1] + 0.1 * normal(30)
    problem = AutogradProblem(lambda w: [torch.tanh(a @ w[0]) @ w[1] - b, 0.1 * w[0], 0.2 * w[1]])
    p = [normal(4, 3), normal(3)]
    return problem, add(truth, p, 0.3), p, [normal(30), normal(4, 3), normal(3)]


def test_the_two_products_are_adjoint_and_the_first_is_the_derivative(curved):
    problem, w, p, v = curved
    torch.testing.assert_close(dot(problem.jvp(w, p), v), dot(p, problem.vjp(w, v)), rtol=1e-12, atol=0)
    ahead, behind = problem.residuals(add(w, p, 1e-5)), problem.residuals(add(w, p, -1e-5))
    assert_near(problem.jvp(w, p), [(a - b) / 2e-5 for a, b in zip(ahead, behind, strict=True)], 1e-8)


def test_the_gradient_is_half_of_that_of_the_loss(curved):
    problem, w, _, _ = curved
    leaves = [x.clone().requires_grad_() for x in w]
    r = problem.residuals(leaves)
    dot(r, r).backward()
    loss, gradient = problem.loss_and_gradient(w)
    assert_near([2 * g for g in gradient], [x.grad for x in leaves], 1e-12)
    assert loss.item() == pytest.approx(dot(r, r).item(), rel=1e-14)


def test_S1_E3_the_promised_loss_is_that_of_the_linear_residuals(curved):
    problem, w, _, _ = curved
    history = History()
    d = add(GaussNewton().run(problem, w, (5,), history), w, -1.0)
    linear = add(problem.residuals(w), problem.jvp(w, d))
    assert history.predicted[-1] == pytest.approx(dot(linear, linear).item(), rel=1e-10)
    assert abs(history.loss[-1] / history.predicted[-1] - 1) > 1e-3  # and the true loss is another


def test_curvature_is_symmetric_and_positive_definite(curved):
    problem, w, p, _ = curved
    unit = torch.eye(15, dtype=torch.float64)
    columns = [problem.curvature(w, [e[:12].view(4, 3), e[12:]]) for e in unit]
    H = torch.stack([torch.cat([x.flatten() for x in column]) for column in columns])
    torch.testing.assert_close(H, H.T, rtol=1e-12, atol=1e-12)
    assert torch.linalg.eigvalsh(H).min() > 0.009  # the regularisers alone give 0.1^2 and 0.2^2
    assert dot(p, problem.curvature(w, p)) > 0


def quadratic(n=12, seed=2):
    r = torch.Generator().manual_seed(seed)
    R, b = (torch.randn(*shape, generator=r, dtype=torch.float64) for shape in ((2 * n, n), (n,)))
    return QuadraticProblem(R.T @ R, b, constant=5.0), [torch.randn(n, generator=r, dtype=torch.float64)]


@pytest.mark.parametrize("direction", ["polak-ribiere", "fletcher-reeves"])
@pytest.mark.parametrize("scales", [None, (3.0,)])
def test_a_quadratic_is_solved_exactly_in_n_iterations_and_its_loss_only_falls(direction, scales):
    problem, w = quadratic()
    history = History()
    found = GaussNewton(scales, direction).run(problem, w, (12,), history)
    assert_near(found, [problem.solve()], 1e-9)
    assert_near([problem.A @ problem.solve()], [problem.b], 1e-10)
    falling = [history.loss[0], *history.predicted]
    assert all(b < a for a, b in zip(falling, falling[1:], strict=False))
    assert history.predicted[-1] == pytest.approx(history.loss[-1], rel=1e-12)
    early = GaussNewton(scales, direction).run(problem, w, (6,))
    assert (early[0] - problem.solve()).abs().max() > 1e-3  # and not before


def test_steepest_descent_falls_too_but_is_not_there_after_n_steps():
    problem, w = quadratic()
    history = History()
    found = steepest_descent(problem, w, 12, history)
    assert all(b < a for a, b in zip(history.loss, history.loss[1:], strict=False)) and len(history.loss) == 13
    assert (found[0] - problem.solve()).abs().max() > 1e-3
    assert_near(steepest_descent(problem, w, 3), GaussNewton().run(problem, w, (1, 1, 1)), 1e-12)


def test_as_many_distinct_eigenvalues_as_iterations_and_the_right_scales_make_it_one():
    d = torch.tensor([1.0, 1.0, 1.0, 400.0, 400.0], dtype=torch.float64)

    class TwoBlocks(Problem):
        def loss_and_gradient(self, w):
            r = [d[:3].sqrt() * w[0] - 1, d[3:].sqrt() * w[1] - 1]
            return dot(r, r), [d[:3].sqrt() * r[0], d[3:].sqrt() * r[1]]

        def curvature(self, w, p):
            return [d[:3] * p[0], d[3:] * p[1]]

    w = [torch.zeros(3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)]
    solution = [d[:3] ** -0.5, d[3:] ** -0.5]
    assert_near(GaussNewton().run(TwoBlocks(), w, (2,)), solution, 1e-12)
    assert_near(GaussNewton((1.0, 400.0)).run(TwoBlocks(), w, (1,)), solution, 1e-12)
    assert (GaussNewton().run(TwoBlocks(), w, (1,))[0] - solution[0]).abs().max() > 0.1


def test_nothing_happens_at_the_minimum():
    problem, _ = quadratic()
    start = [torch.zeros(12, dtype=torch.float64)]
    still = QuadraticProblem(problem.A, torch.zeros(12, dtype=torch.float64))
    optimiser, history = GaussNewton(forgetting=0.5), History()
    assert torch.equal(optimiser.run(still, start, (5, 5), history)[0], start[0])
    assert history.iterations == [0, 0] and history.loss == [0, 0, 0]
    assert_near(optimiser.run(problem, start, (12,)), [problem.solve()], 1e-9)  # and it can go on from there
    assert torch.equal(steepest_descent(still, start, 5)[0], start[0])


def test_a_kept_direction_is_remembered_between_steps_and_calls(curved):
    problem, w, _, _ = curved
    at_once = GaussNewton(forgetting=0.3).run(problem, w, (3, 3))
    optimiser = GaussNewton(forgetting=0.3)
    in_two = optimiser.run(problem, optimiser.run(problem, w, (3,)), (3,))
    assert_near(in_two, at_once, 1e-14)
    optimiser.reset()
    first = GaussNewton(forgetting=0.3).run(problem, w, (3,))
    assert (at_once[0] - optimiser.run(problem, first, (3,))[0]).abs().max() > 1e-6


def test_gauss_newton_on_a_nonlinear_problem_finds_what_the_gradient_calls_a_minimum(curved):
    problem, w, _, _ = curved
    history = History()
    found = GaussNewton().run(problem, w, (15,) * 40, history)
    _, gradient = problem.loss_and_gradient(found)
    assert dot(gradient, gradient).sqrt() < 1e-6 < history.residual_norm[0]
    assert history.loss[-1] < 0.7 * history.loss[0]
    assert len(history.loss) == 41 and len(history.step) == len(history.predicted) == sum(history.iterations)


def test_the_given_parameters_are_left_alone(curved):
    problem, w, _, _ = curved
    before = [x.clone() for x in w]
    for optimise in (GaussNewton().run, steepest_descent):
        optimise(problem, w, (2, 2) if optimise is not steepest_descent else 2)
        assert all(torch.equal(a, b) for a, b in zip(w, before, strict=True))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"direction": "newton"}, "polak-ribiere, fletcher-reeves"),
        ({"forgetting": 1.5}, "in 0..1"),
        ({"scales": (1.0, 0.0)}, "above 0"),
    ],
)
def test_settings_that_cannot_be_are_told(wrong, says):
    with pytest.raises(ValueError, match=says):
        GaussNewton(**wrong)
