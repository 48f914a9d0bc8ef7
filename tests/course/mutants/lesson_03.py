"""Answers to the exercises of lesson 03 that must pass, and wrong ones that must not."""

import copy

import torch

from vosnb.methods.context import adaptation_losses
from vosnb.methods.matching import affinity

# ---------------------------------------------------------------------------------------------- query_gradient


def gradient_by_autograd(q, keys, m, scale):
    q = q.clone().requires_grad_()
    (m * torch.softmax(scale * q @ keys, -1)).sum().backward()
    return q.grad


def attention(q, keys, m, scale):
    a = torch.softmax(scale * q @ keys, -1)
    return a, (m * a).sum()


def gradient_without_denominator(q, keys, m, scale):
    a, _ = attention(q, keys, m, scale)
    return scale * keys @ (a * m)


def gradient_of_own_logits(q, keys, m, scale):
    a, _ = attention(q, keys, m, scale)
    return scale * keys @ (m * a * (1 - a))


def gradient_without_scale(q, keys, m, scale):
    return gradient_by_autograd(q, keys, m, scale) / scale


def gradient_downhill(q, keys, m, scale):
    return -gradient_by_autograd(q, keys, m, scale)


def gradient_unweighted(q, keys, m, scale):
    _, h = attention(q, keys, m, scale)
    return scale * keys @ (m - h)


def gradient_of_logits(q, keys, m, scale):
    a, h = attention(q, keys, m, scale)
    return a * (m - h)


def gradient_against_mean_mask(q, keys, m, scale):
    a, _ = attention(q, keys, m, scale)
    return scale * keys @ (a * (m - m.mean()))


# ---------------------------------------------------------------------------------------------- tune


def keys_of(convolution, features):
    return convolution(features).flatten(2)[0]


def tune_by_hand(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
    """Without an optimiser: gradients of `autograd.grad`, and steps taken one by one."""
    tuned = copy.deepcopy(keys)
    parameters, alpha, history = list(tuned.parameters()), None, []
    for step in range(steps + 1):
        for p in parameters:
            p.requires_grad_(True)
        A = affinity(keys_of(tuned[0], seen), keys_of(tuned[1], remembered))
        L_obj, L_bg = (L / mask.numel() for L in losses(A, mask[0], mask[0]))
        if alpha is None:
            alpha = (L_bg / L_obj).item()
        history.append((alpha * L_obj, L_bg))
        gradients = torch.autograd.grad(alpha * L_obj + L_bg, parameters)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.requires_grad_(False).sub_(rate * gradient if step < steps else 0)
    return tuned, history


def tuned_with(alpha="first", unit=None, clear=True, sign=1, tuned=(0, 1), more=0, fixed=None, copied=True, out=None):
    """An answer with something wrong."""

    def answer(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
        steps, rate = fixed or (steps, rate)
        keys = copy.deepcopy(keys) if copied else keys
        for place in tuned:
            keys[place].requires_grad_(True)
        descent = torch.optim.SGD([p for p in keys.parameters() if p.requires_grad], rate)
        history, first = [], None
        for _ in range(steps + more):
            A = affinity(keys[0](seen).flatten(2), keys[1](remembered).flatten(2))
            L_obj, L_bg = (L.sum() / (unit or mask.shape[-1]) for L in losses(A, mask, mask))
            first = (L_bg / L_obj).detach() if first is None else first
            weight = {"first": first, "one": 1, "anew": (L_bg / L_obj).detach(), "gradient": L_bg / L_obj}[alpha]
            history.append((float(weight * L_obj), float(L_bg)))
            if clear:
                descent.zero_grad()
            (sign * (weight * L_obj + L_bg)).backward()
            descent.step()
        return (keys, history) if out is None else out(keys, history)

    return answer


def tune_that_stands_still(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
    return copy.deepcopy(keys), [(0, 0)] * (steps + 1)


def tune_of_s0_alone(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
    return tune_by_hand(keys, seen, remembered, mask, adaptation_losses, steps, rate)


def tune_of_four(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
    return tune_by_hand(keys, seen, remembered, mask, losses, 4, 0.5)


def tune_without_weights(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
    tuned, history = tune_by_hand(keys, seen, remembered, mask, losses, steps, rate)
    return tuned, [(2 * a, b) for a, b in history]


# ---------------------------------------------------------------------------------------------- excess


def heat_of(A, memory_mask):
    return (A * memory_mask[..., None, :]).sum(-1)


def excess_over_the_floor(A, query_mask, memory_mask):
    """What each cell pays by S0-E3, less what it pays when it finds itself."""
    h, floor = heat_of(A, memory_mask), query_mask * (1 - query_mask)
    charges = (1 - query_mask) * h - floor, query_mask * (1 - h) - floor
    return tuple(torch.relu(charge).sum(-1) for charge in charges)


def excess_by_where(A, query_mask, memory_mask):
    h = heat_of(A, memory_mask)
    more, less = (1 - query_mask) * (h - query_mask), query_mask * (query_mask - h)
    return torch.where(h > query_mask, more, 0).sum(-1), torch.where(h < query_mask, less, 0).sum(-1)


def excess_with(over, under, weights=lambda m: (1 - m, m), add=lambda x: x.sum(-1)):
    """An answer that charges over(h, m) and under(h, m)."""

    def answer(A, query_mask, memory_mask):
        h = heat_of(A, memory_mask)
        outside, inside = weights(query_mask)
        return add(outside * over(h, query_mask)), add(inside * under(h, query_mask))

    return answer


def above(h, m):
    return (h - m).clamp_min(0)


def below(h, m):
    return (m - h).clamp_min(0)


def excess_of_the_sum(A, query_mask, memory_mask):
    floor = (query_mask * (1 - query_mask)).sum(-1)
    leaks = excess_with(lambda h, m: h, lambda h, m: 1 - h)(A, query_mask, memory_mask)
    return tuple((leak - floor).clamp_min(0) for leak in leaks)


def excess_of_the_sum_of_differences(A, query_mask, memory_mask):
    beyond = heat_of(A, memory_mask) - query_mask
    return tuple((weight * x).sum(-1).clamp_min(0) for weight, x in ((1 - query_mask, beyond), (query_mask, -beyond)))


def excess_swapped(A, query_mask, memory_mask):
    return excess_by_where(A, query_mask, memory_mask)[::-1]


def excess_over_the_memory(A, query_mask, memory_mask):
    h = heat_of(A, memory_mask)
    return ((1 - query_mask) * above(h, memory_mask)).sum(-1), (query_mask * below(h, memory_mask)).sum(-1)


def excess_of_hard_masks(A, query_mask, memory_mask):
    return excess_by_where(A, (query_mask > 0.5).to(A), memory_mask)


def excess_detached(A, query_mask, memory_mask):
    return excess_by_where(A.detach(), query_mask, memory_mask)


def excess_together(A, query_mask, memory_mask):
    return sum(excess_by_where(A, query_mask, memory_mask))


def excess_doubled(A, query_mask, memory_mask):
    L_obj, L_bg = excess_by_where(A, query_mask, memory_mask)
    return 2 * L_obj, 2 * L_bg


def excess_with_another_gradient(A, query_mask, memory_mask):
    """Right in value; the gradient of L_obj is that of S0-E3, which goes on where nothing exceeds."""
    L_obj, L_bg = excess_by_where(A, query_mask, memory_mask)
    leak = ((1 - query_mask) * heat_of(A, memory_mask)).sum(-1)
    return L_obj.detach() + leak - leak.detach(), L_bg


# ---------------------------------------------------------------------------------------------- control

OWN_CONTROL = (
    "Tune on a shifted silhouette instead, everything else equal, thereafter on somebody else's opening picture. Pair "
    "scores per video and bootstrap. Equal improvement under shifted silhouettes means supervision is irrelevant; no "
    "improvement means annotation matters; improvement from foreign pictures means undertrained weights."
)

RIGHT = {
    "query_gradient": [gradient_by_autograd],
    "tune": [tune_by_hand],
    "mend_excess": [excess_over_the_floor, excess_by_where],
    "control": [OWN_CONTROL],
}
MUTANTS = {
    "query_gradient": {
        "denominator forgotten": (gradient_without_denominator, "sums to one"),
        "own logits": (gradient_of_own_logits, "by its own logit"),
        "no scale": (gradient_without_scale, "scale is missing"),
        "downhill": (gradient_downhill, "the sign"),
        "unweighted": (gradient_unweighted, "same say"),
        "of the logits": (gradient_of_logits, "for the logits"),
        "mean of the mask for h": (gradient_against_mean_mask, "not the gradient"),
    },
    "tune": {
        "in place": (tuned_with(copied=False), "Copy them"),
        "keys alone": (tuned_with(out=lambda keys, history: keys), "two things"),
        "stands still": (tune_that_stands_still, "nothing has moved"),
        "gradients added up": (tuned_with(clear=False), "zero_grad"),
        "uphill": (tuned_with(sign=-1), "you climb"),
        "sums": (tuned_with(unit=1.0), "sums over all cells"),
        "no balance": (tuned_with(alpha="one"), "no balance"),
        "balanced at every step": (tuned_with(alpha="anew"), "anew at each step"),
        "alpha with a gradient": (tuned_with(alpha="gradient"), "gradient flows through"),
        "query key alone": (tuned_with(tuned=(0,)), "has not moved"),
        "one step less": (tuned_with(more=-1), "one step less"),
        "one step more": (tuned_with(more=1), "one step more"),
        "another way": (tuned_with(unit=7.0), "Go through step 1"),
        "history without the end": (tuned_with(), "5 entries"),
        "history of something else": (tune_without_weights, "the history is not"),
        "one loss for all": (tune_of_s0_alone, "call `losses`"),
        "settings ignored": (tune_of_four, "use the arguments"),
    },
    "mend_excess": {
        "S0-E3 itself": (excess_with(lambda h, m: h, lambda h, m: 1 - h), "still pays"),
        "not clamped": (excess_with(lambda h, m: h - m, lambda h, m: m - h), "never negative"),
        "not mended": (excess_of_the_sum_of_differences, "Two wrongs"),
        "excess of the sum": (excess_of_the_sum, "Two wrongs"),
        "distance": (excess_with(lambda h, m: (h - m).abs(), lambda h, m: (h - m).abs()), "charge both errors"),
        "no weights": (excess_with(above, below, weights=lambda m: (1, 1)), "weights of S0-E3 are gone"),
        "swapped": (excess_swapped, "swapped"),
        "beyond the memory's mask": (excess_over_the_memory, "the memory's mask"),
        "hard masks": (excess_of_hard_masks, "mask hard"),
        "squared": (excess_with(lambda h, m: above(h, m) ** 2, lambda h, m: below(h, m) ** 2), "squared"),
        "means": (excess_with(above, below, add=lambda x: x.mean(-1)), "means over the cells"),
        "doubled": (excess_doubled, "not right"),
        "one number": (excess_together, "two things"),
        "detached": (excess_detached, "no gradient"),
        "the gradient of S0-E3": (excess_with_another_gradient, "the gradient is not"),
        "objects summed": (excess_with(above, below, add=torch.sum), "K numbers"),
    },
    "control": {
        "too short": ("Use a wrong mask and compare.", "different words"),
        "the same words": ("swap " * 40, "same few words"),
        "not a text": (0.067, "should be a text"),
    },
}
