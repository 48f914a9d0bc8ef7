"""Answers to the exercises of lesson 05 that must pass, and wrong ones that must not."""

import torch

# ---------------------------------------------------------------------------------------------- best_step


def step_by_least_squares(J, r):
    return torch.linalg.lstsq(J[:, None], -r[:, None]).solution[0, 0]


def step_of_two_sums(J, r):
    return -sum(a * b for a, b in zip(J, r, strict=True)) / sum(a * a for a in J)


# ---------------------------------------------------------------------------------------------- conjugate_gradients


def by_right_angles(multiply, b, iterations):
    """Both numbers from their conditions: lowest along p, conjugate to p."""
    d, r, p, places = torch.zeros_like(b), b.clone(), b.clone(), [torch.zeros_like(b)]
    for _ in range(iterations):
        q = multiply(p)
        alpha = torch.dot(r, p) / torch.dot(p, q)
        d, r = d + alpha * p, r - alpha * q
        p = r - torch.dot(r, q) / torch.dot(p, q) * p
        places.append(d)
    return places


def by_polak_and_ribiere(multiply, b, iterations):
    places, r, p = [torch.zeros_like(b)], b, b
    for _ in range(iterations):
        q = multiply(p)
        step = (r @ r) / (p @ q)
        places.append(places[-1] + step * p)
        last, r = r, r - step * q
        p = r + ((r - last) @ r) / (last @ last) * p
    return places


def walked(beta=lambda new, r: (new @ new) / (r @ r), sign=1, keep=False, far=None, drop=0, last=False, anew=False):
    """An answer with something wrong."""

    def answer(multiply, b, iterations):
        places, r, p = [torch.zeros_like(b)], sign * b, sign * b
        for _ in range(iterations):
            q = multiply(p)
            alpha = sign * (r @ r) / (p @ q) if far is None else far
            alpha = -alpha if sign < 0 else alpha
            places.append(places[-1] + alpha * p)
            new = b - multiply(places[-1]) if anew else r - alpha * q
            p = new + beta(new, r) * p
            r, p = (r, r) if keep else (new, p)
        return places[-1] if last else places[drop:]

    return answer


def in_place(multiply, b, iterations):
    d, r, p, places = torch.zeros_like(b), b.clone(), b.clone(), []
    places.append(d)
    for _ in range(iterations):
        q = multiply(p)
        alpha = (r @ r) / (p @ q)
        d += alpha * p
        new = r - alpha * q
        p = new + (new @ new) / (r @ r) * p
        r = new
        places.append(d)
    return places


def changes_b(multiply, b, iterations):
    places, r, p = [torch.zeros_like(b)], b, b.clone()
    for _ in range(iterations):
        q = multiply(p)
        before = (r @ r).clone()
        alpha = before / (p @ q)
        places.append(places[-1] + alpha * p)
        r -= alpha * q
        p = r + (r @ r) / before * p
    return places


def from_b(multiply, b, iterations):
    return [place + b for place in by_right_angles(multiply, b, iterations)]


def first_residual_kept(multiply, b, iterations):
    places, r, p, first = [torch.zeros_like(b)], b, b, b @ b
    for _ in range(iterations):
        q = multiply(p)
        alpha = (r @ r) / (p @ q)
        places.append(places[-1] + alpha * p)
        r = r - alpha * q
        p = r + (r @ r) / first * p
    return places


def none(new, r):
    return 0.0


# ---------------------------------------------------------------------------------------------- mend_conjugate


def mended_at_the_end(multiply, b, iterations):
    places, r, p = [torch.zeros_like(b)], b, b
    before = r @ r
    for _ in range(iterations):
        Ap = multiply(p)
        places.append(places[-1] + before / (p @ Ap) * p)
        r = r - before / (p @ Ap) * Ap
        after = r @ r
        p, before = r + after / before * p, after
    return places


OWN_COLLEAGUE = (
    "Jaccard over subsequent pictures matters, so I compare trackers whose only difference is the optimiser, at equal "
    "seconds, with Adam's step size fixed elsewhere beforehand. Paired bootstrap per video. If Adam's masks are better "
    "by an interval above zero I switch, otherwise not."
)

RIGHT = {
    "best_step": [step_by_least_squares, step_of_two_sums],
    "conjugate_gradients": [by_right_angles, by_polak_and_ribiere],
    "mend_conjugate": [mended_at_the_end, by_right_angles],
    "colleague": [OWN_COLLEAGUE],
}
MUTANTS = {
    "best_step": {
        "for each residual": (lambda J, r: -r / J, "one number for each residual"),
        "uphill": (lambda J, r: (J @ r) / (J @ J), "the sign"),
        "downhill only": (lambda J, r: -2 * J @ r, "nothing more"),
        "twice": (lambda J, r: -2 * (J @ r) / (J @ J), "factor of 2"),
        "half": (lambda J, r: -(J @ r) / (2 * J @ J), "factor of 2"),
        "mean of the steps": (lambda J, r: (-r / J).mean(), "by itself"),
        "sum of the residuals": (lambda J, r: -r.sum() / J.sum(), "cancel"),
        "first residual": (lambda J, r: -r[0] / J[0], "forgot the others"),
        "damped": (lambda J, r: -(J @ r) / (J @ J + 1), "not the lowest"),
        "norm": (lambda J, r: -(J @ r) / J.norm(), "not the lowest"),
    },
    "conjugate_gradients": {
        "steepest descent": (walked(beta=none), "forgets"),
        "residual kept": (walked(keep=True), "brought up to date"),
        "wrong sign": (walked(beta=lambda new, r: -(new @ new) / (r @ r)), "the sign of beta"),
        "upside down": (walked(beta=lambda new, r: (r @ r) / (new @ new)), "upside down"),
        "beta is one": (walked(beta=lambda new, r: 1.0), "your beta is 1"),
        "momentum": (walked(beta=lambda new, r: 0.5), "not conjugate to the first"),
        "fixed rate": (walked(far=0.01), "not the lowest along b"),
        "uphill": (walked(sign=-1), "uphill"),
        "no first place": (walked(drop=1), "first place is missing"),
        "two places too few": (walked(drop=2), "visit 5 places"),
        "the last place alone": (walked(last=True), "list of all places"),
        "in place": (in_place, "the same tensor"),
        "b changed": (changes_b, "belongs to the caller"),
        "begins at b": (from_b, "begin at d = 0"),
        "two products": (walked(anew=True), "products with A"),
        "first residual kept": (first_residual_kept, "the third is not"),
    },
    "mend_conjugate": {
        "not mended": (first_residual_kept, "the first pair"),
        "steepest descent": (walked(beta=none), "threw the old direction away"),
        "beta is one": (walked(beta=lambda new, r: 1.0), "always 1"),
        "two products": (walked(anew=True), "nothing more is needed"),
        "momentum": (walked(beta=lambda new, r: 0.5), "Only one thing"),
        "no first place": (walked(drop=1), "visit 5 places"),
    },
    "colleague": {
        "too short": ("Measure J at equal time.", "different words"),
        "the same words": ("masks " * 40, "same few words"),
        "not a text": (0.4, "should be a text"),
    },
}
