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


# ---------------------------------------------------------------------------------------------- regroup


def regrouped_by_parts(A, h_new, m):
    inside, outside = A * m, A * (1 - m)
    shares = [part / part.sum(-1, keepdim=True).clamp_min(1e-6) for part in (inside, outside)]
    return h_new[:, None] * shares[0] + (1 - h_new)[:, None] * shares[1]


def factors(A, h_new, m):
    h = (A @ m).clamp(1e-6, 1 - 1e-6)
    return (h_new / h)[:, None], ((1 - h_new) / (1 - h))[:, None]


def regrouped_on_the_object_alone(A, h_new, m):
    return A * (factors(A, h_new, m)[0] * m + 1 - m)


def regrouped_and_divided(A, h_new, m):
    scaled = regrouped_on_the_object_alone(A, h_new, m)
    return scaled / scaled.sum(-1, keepdim=True)


def regrouped_times_new(A, h_new, m):
    return A * (h_new[:, None] * m + (1 - h_new)[:, None] * (1 - m))


def regrouped_over_h(A, h_new, m):
    h = (A @ m)[:, None].clamp(1e-6, 1 - 1e-6)
    return A * (h_new[:, None] / h * m + (1 - h_new)[:, None] / h * (1 - m))


def regrouped_hard(A, h_new, m):
    return regrouped_by_parts(A, h_new, (m > 0.6).to(m))


def regrouped_along_columns(A, h_new, m):
    h = (A @ m).clamp(1e-6, 1 - 1e-6)
    return A * (h_new / h * m + (1 - h_new) / (1 - h) * (1 - m))


def regrouped_not(A, h_new, m):
    return A.clone()


def regrouped_unguarded(A, h_new, m):
    h = A @ m
    return A * ((h_new / h)[:, None] * m + ((1 - h_new) / (1 - h))[:, None] * (1 - m))


def regrouped_by_adding(A, h_new, m):
    move = (h_new - A @ m)[:, None]
    return A + move * (m / m.sum() - (1 - m) / (1 - m).sum())


RIGHT = {
    "query_gradient": [gradient_by_autograd],
    "total_loss": [loss_object_by_object],
    "regroup": [regrouped_by_parts],
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
    "regroup": {
        "object alone": (regrouped_on_the_object_alone, "do not sum to one"),
        "divided afterwards": (regrouped_and_divided, "dividing afterwards"),
        "times h'": (regrouped_times_new, "where it should be h' / h"),
        "over h everywhere": (regrouped_over_h, "is 1 - h"),
        "hard mask": (regrouped_hard, "mask hard"),
        "columns": (regrouped_along_columns, "which axis"),
        "nothing moved": (regrouped_not, "nothing was moved"),
        "unguarded": (regrouped_unguarded, "divide by zero"),
        "moved by adding": (regrouped_by_adding, "not right"),
    },
}
