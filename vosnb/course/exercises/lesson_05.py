"""Exercises of lesson 05: a step in one number, conjugate gradients, a program that is right twice, and a colleague."""

import torch

from vosnb.course.exercises import Exercise, expect, same, written

# ---------------------------------------------------------------------------------------------- best_step


def best_step_reference(J, r):
    return -(J @ r) / (J @ J)


def _check_best_step(answer):
    J, r = torch.tensor([2.0, -1.0, 0.5, 3.0]).double(), torch.tensor([1.0, 4.0, -2.0, -0.5]).double()
    d = best_step_reference(J, r)
    got = answer(J, r)

    expect(
        not (same(got, got) and tuple(torch.as_tensor(got).shape) == (4,)),
        "one number for each residual came out. There is one unknown, so there is one step for all of them.",
    )
    expect(not same(got, -d), "the sign: this step goes uphill. Where the parabola is lowest, d = -(J @ r) / ...")
    expect(
        not same(got, -J @ r) and not same(got, -2 * J @ r),
        "that is the direction downhill and nothing more. How far to go stands in the curvature J @ J.",
    )
    expect(
        not same(got, 2 * d) and not same(got, d / 2),
        "a factor of 2. The slope of the sum of squares is 2 J @ r and its curvature 2 J @ J: the twos cancel.",
    )
    expect(
        not same(got, (-r / J).mean()),
        "you made each residual zero by itself and took the mean of those steps. A residual that hardly moves with w "
        "then asks for a huge step. Minimise the sum of squares instead.",
    )
    expect(
        not same(got, -r.sum() / J.sum()),
        "you made the sum of the residuals zero, in which positive and negative ones cancel. It is the sum of their "
        "squares that should be small.",
    )
    expect(
        not same(got, -r[0] / J[0]),
        "you made the first residual zero and forgot the others. All of them count.",
    )
    expect(same(got, d, 1e-9), "not the lowest place: there the slope J @ (r + J d) is zero, and yours is not.")
    one = torch.tensor([2.0]).double()
    expect(same(answer(one, -one), 1.0, 1e-9), "with a single residual the step makes it zero: -r / J. Yours does not.")


best_step = Exercise(
    name="best_step",
    title="One step in one number",
    task="Write the d at which the sum of (r_i + J_i d)² over all residuals is smallest. With one residual it is "
    "-r / J, the step above; here there are several.",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=(
        "The sum is a parabola in d. Differentiate it by d and set the result to zero.",
        "Each term gives 2 J_i (r_i + J_i d). Sum them, and separate what has a d from what has none.",
        "Sums of products are dot products: J @ r and J @ J.",
    ),
    reference=best_step_reference,
    check=_check_best_step,
)

# ---------------------------------------------------------------------------------------------- conjugate_gradients


def conjugate_gradients_reference(multiply, b, iterations):
    places, r, p = [torch.zeros_like(b)], b, b
    for _ in range(iterations):
        Ap = multiply(p)
        alpha = (r @ r) / (p @ Ap)
        places.append(places[-1] + alpha * p)
        new = r - alpha * Ap
        p = new + (new @ new) / (r @ r) * p
        r = new
    return places


def _bowl(n=6, seed=6):
    g = torch.Generator().manual_seed(seed)
    R = torch.randn(n + 3, n, generator=g).double()
    return R.T @ R, torch.randn(n, generator=g).double()


def _walk(A, b, iterations, direction):
    """Places along directions with exact step lengths; direction(new residual, old residual, old p)."""
    places, r, p = [torch.zeros_like(b)], b, b
    for _ in range(iterations):
        alpha = (r @ p) / (p @ A @ p)
        places.append(places[-1] + alpha * p)
        new = r - alpha * A @ p
        p, r = direction(new, r, p), new
    return places


def _alike(got, truth):
    return all(same(a, b, 1e-7) for a, b in zip(got, truth, strict=False))


def _run_conjugate(answer):
    """What an answer makes of a bowl of six unknowns in four iterations; and the bowl; and its products."""
    (A, b), calls = _bowl(), []

    def multiply(p):
        calls.append(torch.as_tensor(p).clone())
        return A @ p

    before = b.clone()
    got = answer(multiply, b, 4)
    expect(same(b, before, 0), "your function changed b, which belongs to the caller. Make a new tensor instead.")
    expect(
        isinstance(got, (list, tuple)) and not (torch.is_tensor(got) and got.ndim == 1),
        "return the list of all places, not the last one alone: the lesson draws the way.",
    )
    return A, b, [torch.as_tensor(place) for place in got], calls


def _check_conjugate_gradients(answer):
    A, b, got, calls = _run_conjugate(answer)
    expect(
        len(got) != 4 or same(got[0], torch.zeros(6)),
        "the first place is missing: begin the list with d = 0, before any step.",
    )
    expect(
        len(got) == 5,
        f"4 iterations visit 5 places, d = 0 included; yours has {len(got)}.",
    )
    expect(
        not all(place is got[0] or same(place, got[0], 0) for place in got),
        "all your places are one and the same tensor: `d += ...` changes it in place, and the list holds it five "
        "times. Write d = d + ....",
    )
    expect(same(got[0], torch.zeros(6)), "begin at d = 0: there the residual of the equations is b itself.")
    expect(
        not same(got[1], -_walk(A, b, 1, lambda new, r, p: new)[1], 1e-7),
        "the first step goes uphill: from d = 0 the direction downhill is r = b.",
    )
    expect(
        same(got[1], _walk(A, b, 1, lambda new, r, p: new)[1], 1e-7),
        "the first place is not the lowest along b. How far to go is alpha = <r, r> / <p, A p>.",
    )
    expect(
        not _alike(got, _walk(A, b, 4, lambda new, r, p: new)),
        "that is steepest descent: every direction forgets the one before, so each step spoils what the last one has "
        "reached. Add beta p.",
    )
    expect(
        not same(got[2], 2 * got[1], 1e-7),
        "your second step goes the same way as the first: the residual must be brought up to date, r - alpha A p, "
        "before the next direction.",
    )
    expect(
        not _alike(got[:3], _walk(A, b, 2, lambda new, r, p: new - (new @ new) / (r @ r) * p)),
        "the sign of beta: yours has twice as much of A p instead of none.",
    )
    expect(
        not _alike(got[:3], _walk(A, b, 2, lambda new, r, p: new + (r @ r) / (new @ new) * p)),
        "beta is upside down: the new residual stands above, the old one below.",
    )
    expect(
        not _alike(got[:3], _walk(A, b, 2, lambda new, r, p: new + p)),
        "your beta is 1. Did you overwrite r before you divided by the old one?",
    )
    truth = conjugate_gradients_reference(lambda p: A @ p, b, 4)
    expect(
        not _alike(got[:3], truth) or _alike(got, truth),
        "the first two steps are right and the third is not. Follow one number of your program from the second "
        "iteration into the third.",
    )
    expect(_alike(got, truth), "the second direction is not conjugate to the first: <p_new, A p> should be zero.")
    expect(
        len(calls) <= 5,
        f"the places are right, but 4 iterations took {len(calls)} products with A. A product is the price of an "
        "iteration: compute A p once and keep it.",
    )
    small, b2 = _bowl(2, 3)
    end = answer(lambda p: small @ p, b2, 2)[-1]
    expect(
        same(end, torch.linalg.solve(small, b2), 1e-7), "with two unknowns the second place is the bottom; not yours."
    )


conjugate_gradients = Exercise(
    name="conjugate_gradients",
    title="Conjugate gradients",
    kind="build",
    task="Build the method. `multiply(p)` gives A p; you never see A itself, and may call it once an iteration. Start "
    "at d = 0, go along p as far as the bowl goes down, bring the residual r up to date, and make the next direction "
    "conjugate to the last. Return the list of all places, d = 0 first. The rest of the lesson runs on yours, D "
    "included.",
    difficulty=4,
    importance=5,
    minutes=30,
    hints=(
        "Three vectors live through the loop: the place d, the residual r, the direction p. Write down what each of "
        "them is before the first iteration.",
        "One iteration: A p; how far, alpha; the new place; the new residual; then beta; then the new direction.",
        "The new residual costs no product: r_new = r - alpha A p. Keep the old one until beta is computed.",
        "Stuck on numbers? With A = diag(1, 2) and b = (1, 1) the places are (0, 0), (2/3, 2/3), (1, 1/2).",
    ),
    reference=conjugate_gradients_reference,
    check=_check_conjugate_gradients,
)

# ---------------------------------------------------------------------------------------------- mend_conjugate


def conjugate_faulty(multiply, b, iterations):
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


def mend_conjugate_reference(multiply, b, iterations):
    """All places of conjugate gradients on A d = b, from d = 0; multiply(p) = A p."""
    places, r, p = [torch.zeros_like(b)], b, b
    for _ in range(iterations):
        before = r @ r
        Ap = multiply(p)
        alpha = (r @ r) / (p @ Ap)
        places.append(places[-1] + alpha * p)
        r = r - alpha * Ap
        beta = (r @ r) / before
        p = r + beta * p
    return places


def _check_mend_conjugate(answer):
    A, b, got, calls = _run_conjugate(answer)
    expect(len(got) == 5, f"4 iterations visit 5 places, d = 0 included; yours has {len(got)}.")
    truth = mend_conjugate_reference(lambda p: A @ p, b, 4)
    expect(
        not _alike(got, conjugate_faulty(lambda p: A @ p, b, 4)),
        "two steps are right, the third is not, as before. With two unknowns nobody sees that. Compute <p, A p_new> "
        "for each pair of neighbours: which is the first pair for which it is not zero?",
    )
    expect(
        not _alike(got, _walk(A, b, 4, lambda new, r, p: new)),
        "that never goes wrong, but it is steepest descent: you threw the old direction away instead of mending beta.",
    )
    expect(
        not _alike(got, _walk(A, b, 4, lambda new, r, p: new + p)),
        "now beta is always 1: what should be the residual before the step is taken after it.",
    )
    expect(
        _alike(got[:3], truth),
        "the first two steps were right, and now they are not. Only one thing has to move.",
    )
    expect(_alike(got, truth), "the third place is still not the one of conjugate gradients.")
    expect(
        len(calls) <= 5,
        f"right, but with {len(calls)} products for 4 iterations. The program had one in each; nothing more is needed.",
    )


mend_conjugate = Exercise(
    name="mend_conjugate",
    title="Right in two numbers, slow in twelve",
    kind="bug hunt",
    task="A student's program goes to the bottom of our valley in two steps, as it should. Its author tested it there "
    "and was content. With twelve unknowns it should arrive after twelve iterations, and the orange line shows how far "
    "it is. Find the fault and mend it.",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=(
        "Which iteration is the first whose place is wrong? Compare with your own program, place by place.",
        "Place 3 is wrong and place 2 is right, so the third direction is wrong, and with it the second beta.",
        "beta compares two residuals that follow each other. Which two are compared in the second iteration?",
    ),
    reference=mend_conjugate_reference,
    check=_check_mend_conjugate,
    faulty=conjugate_faulty,
)

# ---------------------------------------------------------------------------------------------- colleague

_QUESTION = (
    "A colleague says: after 200 iterations Adam has a lower loss than Gauss-Newton after 35, so the tracker should "
    "use Adam. What would you measure before you decide? Say on what, what is held equal, and which outcome would make "
    "you agree."
)

colleague = Exercise(
    name="colleague",
    title="A lower loss",
    kind="open question",
    task=_QUESTION,
    difficulty=3,
    importance=5,
    minutes=15,
    hints=(
        "What is the loss measured on, and what is a tracker judged by?",
        "Each of the two had 200 or 35 iterations, and one of them had a rate. Who paid for that, and when?",
        "Name the clips, the number that you compare, how you see that a difference is no accident, and your rule.",
    ),
    reference="The loss is that of frame 0 and its augmented copies. A tracker is judged by J in later frames, so I "
    "would measure that, with each optimiser's D and everything else equal: features, samples, loss, start. The clips "
    "must be ones on which nothing was chosen, and differences are taken clip by clip with an interval. Adam's rate "
    "must be one number, fixed on other clips, since a tracker cannot try several. I hold time equal and not "
    "iterations: J after a tenth of a second, half a second, two seconds. I would agree if at the time that we can "
    "afford Adam's J were higher, with an interval clear of zero. If both have the same J, I would take the one that "
    "has no rate and is done sooner. If Adam's J falls while its loss falls, it has learned frame 0 by heart.",
    rubric=(
        "It judges by masks in later frames, not by the loss on frame 0.",
        "It holds time equal, or says what an iteration costs.",
        "Adam's rate is fixed on clips other than those of the comparison.",
        "Differences are taken clip by clip with an interval, and it says which outcome would change its mind.",
    ),
    check=written(25, _QUESTION),
)
