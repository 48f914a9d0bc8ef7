"""Answers to the exercises of lesson 06 that must pass, and wrong ones that must not."""

import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------- attend


def enlarge(below, here, **how):
    return F.interpolate(below, here.shape[-2:], **({"mode": "bilinear", "align_corners": False} | how))


def means(here, below):
    return torch.cat([F.adaptive_avg_pool2d(x, 1) for x in (here, below)], 1)


def attend_object_by_object(here, below, wanted):
    found = []
    for k in range(len(here)):
        a = wanted(torch.cat([here[k].mean((1, 2)), below[k].mean((1, 2))])[None, :, None, None])
        found.append(a[0] * here[k] + enlarge(below[k : k + 1], here)[0])
    return torch.stack(found)


def attend_with(combine, ask=means, **how):
    def answer(here, below, wanted):
        return combine(wanted(ask(here, below)), here, enlarge(below, here, **how))

    return answer


def right(a, here, up):
    return a * here + up


def attend_means_of_below(here, below, wanted):
    return wanted(means(here, below)) * here + below.mean((-2, -1), keepdim=True)


def attend_at_the_size_below(here, below, wanted):
    return wanted(means(here, below)) * F.adaptive_avg_pool2d(here, below.shape[-2:]) + below


def attend_twice_as_large(here, below, wanted):
    up = F.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)
    return wanted(means(here, below)) * here + up[..., : here.shape[-2], : here.shape[-1]]


def largest(here, below):
    return torch.cat([x.amax((-2, -1), keepdim=True) for x in (here, below)], 1)


# ---------------------------------------------------------------------------------------------- insert


def insert_with_numpy(weights, last, rate):
    weights = weights.numpy().copy()
    slot = min(range(len(weights)), key=lambda k: (weights[k], k))
    new = rate if last is None else weights[last] / (1 - rate)
    if last is None:
        weights /= 1 - rate
    weights[slot] = new
    return weights / weights.sum(), slot


def insert_with(
    slot_of=lambda weights, last: int(weights.argmin()),
    first=lambda weights, rate: weights / (1 - rate),
    later=lambda weights, last, rate: weights[last] / (1 - rate),
    normalise=lambda weights, slot: weights / weights.sum(),
):
    def answer(weights, last, rate):
        weights, slot = weights.clone(), slot_of(weights, last)
        if last is None:
            weights = first(weights, rate)
            weights[slot] = rate
        else:
            weights[slot] = later(weights, last, rate)
        return normalise(weights, slot), slot

    return answer


def smallest_in_use(weights, last):
    return int(torch.where(weights > 0, weights, torch.inf).argmin())


def next_slot(weights, last):
    return int(weights.argmin()) if weights.min() == 0 else (last + 1) % len(weights)


def insert_first_like_others(weights, last, rate):
    weights, slot = weights.clone(), int(weights.argmin())
    weights[slot] = (weights.max() if last is None else weights[last]) / (1 - rate)
    return weights / weights.sum(), slot


def insert_first_share(weights, last, rate):
    """The new sample gets the share eta, each time."""
    weights, slot = weights.clone(), int(weights.argmin())
    weights[slot] = 0
    weights *= (1 - rate) / weights.sum()
    weights[slot] = rate
    return weights, slot


def insert_share_from_the_second(weights, last, rate):
    if last is None:
        return insert_with_numpy(weights, last, rate)
    return insert_first_share(weights, last, rate)


def insert_always_first(weights, last, rate):
    return insert_with_numpy(weights, None, rate)


def insert_normalised_too_early(weights, last, rate):
    """Right as long as empty slots are filled; then the old sample's weight is missing from the sum."""
    old = weights[weights.argmin()]
    new, slot = insert_with_numpy(weights, last, rate)
    return torch.as_tensor(new) * (1 - old), slot


def insert_old_weight_stays(weights, last, rate):
    weights, slot = weights.clone(), int(weights.argmin())
    if last is None:
        weights, new = weights / (1 - rate), rate
    else:
        new = weights[last] / (1 - rate)
    weights[slot] += new
    return weights / weights.sum(), slot


def insert_weights_alone(weights, last, rate):
    return torch.as_tensor(insert_with_numpy(weights, last, rate)[0])


# ---------------------------------------------------------------------------------------------- relearn


def relearn_by_inverse(Q, q, gamma, lam):
    left = (gamma[:, None, None] * Q).sum(0)
    left.diagonal().add_(lam)
    return torch.linalg.inv(left) @ (gamma[:, None] * q).sum(0)


def relearn_by_cholesky(Q, q, gamma, lam):
    left = torch.tensordot(gamma, Q, 1) + lam * torch.eye(len(q[0])).to(Q)
    return torch.cholesky_solve((gamma @ q)[:, None], torch.linalg.cholesky(left))[:, 0]


def relearn_with(left=lambda gamma: gamma, right=lambda gamma: gamma, regular=None, sign=1, unit=1):
    def answer(Q, q, gamma, lam):
        matrix = torch.tensordot(left(gamma), Q, 1)
        one = torch.eye(len(matrix)).to(Q)
        matrix = matrix + (lam * one if regular is None else regular(lam, one))
        return sign * torch.linalg.solve(matrix / unit, right(gamma) @ q)

    return answer


def relearn_one_by_one(Q, q, gamma, lam):
    return sum(
        g * relearn_by_inverse(Q[k : k + 1], q[k : k + 1], torch.ones(1).to(Q), lam) for k, g in enumerate(gamma)
    )


def relearn_newest(Q, q, gamma, lam):
    return relearn_by_inverse(Q[-1:], q[-1:], torch.ones(1).to(Q), lam)


def relearn_by_one_step(Q, q, gamma, lam):
    return 0.01 * (gamma @ q)


RIGHT = {
    "attend": [attend_object_by_object],
    "insert": [insert_with_numpy],
    "relearn": [relearn_by_inverse, relearn_by_cholesky],
}
MUTANTS = {
    "attend": {
        "weighs what is below": (attend_with(lambda a, here, up: here + a * up), "seen *here*"),
        "weighs the sum": (attend_with(lambda a, here, up: a * (here + up)), "weigh the sum"),
        "no attention": (attend_with(lambda a, here, up: here + up), "no attention"),
        "added": (attend_with(lambda a, here, up: a + here + up), "is a factor"),
        "sigmoid twice": (attend_with(lambda a, here, up: torch.sigmoid(a) * here + up), "second one"),
        "order": (attend_with(right, ask=lambda here, below: means(below, here)), "the order"),
        "in each place": (
            attend_with(right, ask=lambda here, below: torch.cat([here, enlarge(below, here)], 1)),
            "one number a channel",
        ),
        "largest": (attend_with(right, ask=largest), "largest value"),
        "over objects": (
            attend_with(right, ask=lambda here, below: means(here, below).mean(0, keepdim=True)),
            "averaged over the objects",
        ),
        "mean of what is below": (attend_means_of_below, "keeps its places"),
        "small": (attend_at_the_size_below, "the shape of `here`"),
        "corners": (attend_with(right, align_corners=True), "not as corners"),
        "nearest": (attend_with(right, mode="nearest", align_corners=None), "blends between"),
        "nothing from below": (attend_with(lambda a, here, up: a * here), "not right"),
    },
    "insert": {
        "smallest in use": (insert_with(smallest_in_use), "slots 4 and 5 are empty"),
        "largest": (insert_with(lambda weights, last: int(weights.argmax())), "the largest weight"),
        "next slot": (insert_with(next_slot), "after the last one"),
        "not normalised": (insert_with(normalise=lambda weights, slot: weights), "do not sum to one"),
        "first without dividing": (insert_with(first=lambda weights, rate: weights), "left them as they were"),
        "always the share eta": (insert_first_share, "a little less"),
        "the share eta from the second on": (insert_share_from_the_second, "the share eta"),
        "first from the largest": (insert_first_like_others, "no sample before the first"),
        "lighter": (insert_with(later=lambda w, last, rate: w[last] * (1 - rate)), "lighter and lighter"),
        "as the last": (insert_with(later=lambda w, last, rate: w[last]), "nothing is ever forgotten"),
        "from the largest": (insert_with(later=lambda w, last, rate: w.max() / (1 - rate)), "says which slot"),
        "always first": (insert_always_first, "is the first one"),
        "normalised too early": (insert_normalised_too_early, "no longer sum to one"),
        "old weight stays": (insert_old_weight_stays, "goes with it"),
        "weights alone": (insert_weights_alone, "two things"),
    },
    "relearn": {
        "no lambda": (relearn_with(regular=lambda lam, one: 0 * one), "lambda is missing"),
        "lambda everywhere": (relearn_with(regular=lambda lam, one: lam), "on the diagonal"),
        "lambda squared": (relearn_with(regular=lambda lam, one: lam**2 * one), "squared lambda"),
        "unweighted": (relearn_with(torch.ones_like, torch.ones_like), "count alike"),
        "gamma on one side": (relearn_with(right=torch.ones_like), "both sides"),
        "gamma squared": (relearn_with(torch.square, torch.square), "squared gamma"),
        "sign": (relearn_with(sign=-1), "the sign"),
        "one by one": (relearn_one_by_one, "solve once"),
        "newest": (relearn_newest, "newest sample alone"),
        "divided": (relearn_with(unit=3), "nothing is left to"),
        "one step": (relearn_by_one_step, "not the minimum"),
    },
}
