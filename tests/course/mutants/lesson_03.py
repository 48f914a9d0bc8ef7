"""Answers to the exercises of lesson 03 that must pass, and wrong ones that must not."""

import torch

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


# ---------------------------------------------------------------------------------------------- total_loss


def losses(A, masks):
    """L_obj and L_bg (K,), means over cells, written out."""
    h = (A * masks[:, None]).sum(-1)
    return ((1 - masks) * h).mean(-1), (masks * (1 - h)).mean(-1)


def ratio(L_obj, L_bg):
    return torch.where(L_obj > 0, L_bg / L_obj.clamp_min(1e-30), torch.ones_like(L_bg))


def loss_object_by_object(A, masks, alpha=None):
    pairs = [losses(a[None], mask[None]) for a, mask in zip(A, masks, strict=True)]
    if alpha is None:
        alpha = torch.cat([ratio(L_obj.detach(), L_bg.detach()) for L_obj, L_bg in pairs])
    return sum(a * L_obj[0] + L_bg[0] for a, (L_obj, L_bg) in zip(alpha, pairs, strict=True)), alpha


def loss_with(weigh, add=torch.sum, unit=1, harden=False):
    """An answer whose alpha is weigh(L_obj, L_bg) and whose objects are put together by add."""

    def answer(A, masks, alpha=None):
        L_obj, L_bg = losses(A, (masks > 0.5).to(masks) if harden else masks)
        alpha = weigh(L_obj, L_bg) if alpha is None else alpha
        return add(alpha * L_obj + L_bg) * (masks.shape[-1] if unit == "cells" else unit), alpha

    return answer


def detached(L_obj, L_bg):
    return ratio(L_obj.detach(), L_bg.detach())


def loss_balanced_at_every_step(A, masks, alpha=None):
    return loss_object_by_object(A, masks)


def loss_with_alpha_on_the_other(A, masks, alpha=None):
    L_obj, L_bg = losses(A, masks)
    alpha = detached(L_obj, L_bg) if alpha is None else alpha
    return (L_obj + alpha * L_bg).sum(), alpha


def loss_alone(A, masks, alpha=None):
    return loss_object_by_object(A, masks, alpha)[0]


def loss_without_gradient(A, masks, alpha=None):
    return loss_object_by_object(A.detach(), masks, alpha)


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


RIGHT = {
    "query_gradient": [gradient_by_autograd],
    "total_loss": [loss_object_by_object],
    "excess": [excess_over_the_floor, excess_by_where],
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
    "total_loss": {
        "one alpha": (loss_with(lambda L_obj, L_bg: ratio(L_obj.sum(), L_bg.sum()).detach()), "has its own"),
        "upside down": (loss_with(lambda L_obj, L_bg: detached(L_bg, L_obj)), "upside down"),
        "alpha with a gradient": (loss_with(ratio), "Detach it"),
        "hard masks": (loss_with(detached, harden=True), "counts half"),
        "sums": (loss_with(detached, unit="cells"), "those are sums"),
        "mean over objects": (loss_with(detached, add=torch.mean), "averaged over the objects"),
        "no guard": (loss_with(lambda L_obj, L_bg: (L_bg / L_obj).detach()), "divide by zero"),
        "balanced at every step": (loss_balanced_at_every_step, "anew at every step"),
        "alpha on L_bg": (loss_with_alpha_on_the_other, "the loss is not right"),
        "no alpha returned": (loss_alone, "two things"),
        "everything detached": (loss_without_gradient, "no gradient"),
    },
    "excess": {
        "S0-E3 itself": (excess_with(lambda h, m: h, lambda h, m: 1 - h), "still pays"),
        "not clamped": (excess_with(lambda h, m: h - m, lambda h, m: m - h), "never negative"),
        "excess of the sum": (excess_of_the_sum, "of the sum"),
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
}
