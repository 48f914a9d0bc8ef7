"""Exercises of lesson 05: a Gauss-Newton step, the next conjugate direction, and J p of the target model by hand."""

import torch
import torch.nn.functional as F

from vosnb.course.exercises import Exercise, expect, same

# ---------------------------------------------------------------------------------------------- gauss_newton_step


def gauss_newton_step_reference(J, r):
    return torch.linalg.solve(J.T @ J, -J.T @ r)


def _check_gauss_newton_step(answer):
    g = torch.Generator().manual_seed(5)
    J, r = torch.randn(6, 3, generator=g).double(), torch.randn(6, generator=g).double()
    d = gauss_newton_step_reference(J, r)
    got = answer(J, r)

    expect(
        same(got, got) and tuple(torch.as_tensor(got).shape) != (6,),
        "one number for each residual came out; the step has one for each unknown. J'J is n x n, J J' is not.",
    )
    expect(
        not same(got, -J.T @ r) and not same(got, -2 * J.T @ r),
        "that is the direction downhill and nothing more. How far to go in it, and where to turn, is in the curvature "
        "J'J.",
    )
    expect(not same(got, -d), "the sign: this step goes uphill. Where the model is lowest, J'J d = -J'r.")
    expect(
        not same(got, 2 * d) and not same(got, d / 2),
        "a factor of 2. The gradient of ||r||^2 is 2 J'r, and its second derivative 2 J'J: the two cancel.",
    )
    expect(
        not same(got, -(J.T @ r) / (J**2).sum(0)),
        "you divided by the diagonal of J'J alone, as if each unknown moved while the others stay. Solve for all at "
        "once.",
    )
    expect(
        not same(got, torch.linalg.solve(J[:3], -r[:3])),
        "you made the first n residuals zero and forgot the others. All of them count; their squares are summed.",
    )
    expect(
        not same(got, d / d.norm()),
        "the direction is right and the length is 1. The model says how far as well.",
    )
    expect(
        same(got, d, 1e-8),
        "not the minimum of the model: there its gradient J'(r + J d) is zero, and yours is not.",
    )
    square = torch.eye(2).double() * 3
    expect(
        same(answer(square, torch.tensor([3.0, -6.0]).double()), [-1.0, 2.0], 1e-8),
        "with as many residuals as unknowns the step makes every one of them zero; yours does not.",
    )


gauss_newton_step = Exercise(
    name="gauss_newton_step",
    title="One Gauss-Newton step",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=(
        "Write S1-E3 as a function of d and set its gradient to zero: 2 J'J d + 2 J'r = 0.",
        "That is a linear system with the square matrix J.T @ J. torch.linalg.solve(A, b) solves A d = b.",
        "torch.linalg.solve(J.T @ J, ...) with the right-hand side minus J.T @ r.",
    ),
    reference=gauss_newton_step_reference,
    check=_check_gauss_newton_step,
)

# ---------------------------------------------------------------------------------------------- conjugate_direction


def conjugate_direction_reference(r, p, Ap):
    return r - (r @ Ap) / (p @ Ap) * p


def _check_conjugate_direction(answer):
    g = torch.Generator().manual_seed(6)
    R = torch.randn(8, 5, generator=g).double()
    A = R.T @ R
    r, p = torch.randn(5, generator=g).double(), torch.randn(5, generator=g).double()
    Ap = A @ p
    truth = conjugate_direction_reference(r, p, Ap)
    got = answer(r, p, Ap)

    expect(
        not same(got, -(r @ Ap) / (p @ Ap)),
        "that is how much of p to add, beta. The answer is the whole direction, r + beta p.",
    )
    expect(
        not same(got, r),
        "that is steepest descent: it forgets p, and the next step spoils what the last one has reached.",
    )
    expect(
        not same(got, r + (r @ Ap) / (p @ Ap) * p),
        "the sign: what r has of A p must be taken away, and yours has twice as much of it.",
    )
    expect(
        not same(got, r - (r @ p) / (p @ p) * p),
        "yours is at a right angle to p. In a bowl that is long and narrow this is not enough: <p_new, A p> must be "
        "zero, so measure with A.",
    )
    expect(
        not same(got, r - (r @ Ap) / (p @ p) * p) and not same(got, r - (r @ Ap) / (r @ r) * p),
        "the numerator is measured with A, the denominator is not: divide by <p, A p>.",
    )
    expect(
        not same(got, r - (r @ Ap) / (p @ Ap) * Ap),
        "you took away a multiple of A p. What is added to r is a multiple of the last *direction* p.",
    )
    turned = torch.as_tensor(got, dtype=torch.float64) if same(got, got) else torch.zeros(1)
    expect(turned.shape == (5,), "a direction has one number for each unknown, as r and p have.")
    conjugate = abs(turned @ Ap) < 1e-8 * turned.norm() * Ap.norm() and turned.norm() > 0
    along = abs(F.cosine_similarity(turned, truth, 0)) > 1 - 1e-9
    expect(
        not (conjugate and along) or same(turned, truth, 1e-8),
        "it points the right way, but it was scaled. Leave r as it is and add a multiple of p.",
    )
    expect(
        same(turned, truth, 1e-8),
        "not conjugate to p: choose beta such that <r + beta p, A p> = 0.",
    )


conjugate_direction = Exercise(
    name="conjugate_direction",
    title="The next direction",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=(
        "Write p_new = r + beta p. One number is unknown, and there is one condition: <p_new, A p> = 0.",
        "Put the first into the second: <r, A p> + beta <p, A p> = 0. Both are numbers; r @ Ap is the first.",
        "beta = -(r @ Ap) / (p @ Ap), and the answer is r + beta * p.",
    ),
    reference=conjugate_direction_reference,
    check=_check_conjugate_direction,
)

# ---------------------------------------------------------------------------------------------- jvp_by_hand


def D(x, w1, w2):
    return F.conv2d(F.conv2d(x, w1), w2, padding=1)


def jvp_by_hand_reference(x, w, p):
    return D(x, p[0], w[1]) + D(x, w[0], p[1])


def _check_jvp_by_hand(answer):
    g = torch.Generator().manual_seed(7)

    def normal(*shape):
        return torch.randn(*shape, generator=g).double()

    x = normal(2, 4, 5, 6)
    w, p = ([normal(3, 4, 1, 1), normal(1, 3, 3, 3)] for _ in range(2))
    one, two = D(x, p[0], w[1]), D(x, w[0], p[1])
    got = answer(x, w, p)

    expect(
        not same(got, D(x, *p)),
        "that is D with p in place of w. J p asks how D(x; w) *changes* when w moves along p, and that depends on w.",
    )
    expect(
        not same(got, one) and not same(got, two),
        "only one of the two layers moves in yours. Both do, and by the product rule their effects add.",
    )
    expect(
        not same(got, one + two + D(x, *p)),
        "that is D(x; w + p) - D(x; w), the whole difference. J p is its linear part, and p2 * (p1 * x) is of second "
        "order.",
    )
    expect(
        not same(got, D(x, *w) + one + two),
        "you predicted where the scores go, D + J p. J p is the change alone.",
    )
    expect(not same(got, one - two), "a product rule with a minus: the two effects add.")
    expect(
        not same(got, 2 * (one + two)),
        "a factor of 2 too much: the residuals are not squared yet.",
    )
    expect(
        same(got, got) and tuple(torch.as_tensor(got).shape) == (2, 1, 5, 6),
        "the scores have the cells of x, (K, 1, h, w): w2 is 3 x 3 and needs padding=1.",
    )
    expect(
        same(got, one + two, 1e-9),
        "not J p: w2 * (p1 * x) + p2 * (w1 * x), each a convolution of a convolution.",
    )
    there_and_back = torch.as_tensor(answer(x, w, [-3 * q for q in p]))
    expect(
        same(there_and_back, -3 * (one + two), 1e-9),
        "it is not linear in p: a step three times as long, and backwards, must move the scores by minus three times.",
    )


jvp_by_hand = Exercise(
    name="jvp_by_hand",
    title="How the scores move: J p",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=(
        "D is a product of w1 and w2. How does a product change when both factors move a little?",
        "(w2 + p2) * ((w1 + p1) * x) has four terms. One is D itself, and one holds two small things at once.",
        "Two terms remain: w2 * (p1 * x) and p2 * (w1 * x). F.conv2d(F.conv2d(x, p[0]), w[1], padding=1) is the first.",
    ),
    reference=jvp_by_hand_reference,
    check=_check_jvp_by_hand,
)
