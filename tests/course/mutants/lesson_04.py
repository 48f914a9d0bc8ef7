"""Answers to the exercises of lesson 04 that must pass, and wrong ones that must not."""

import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------- weighted_loss


def up(scores, labels, mode="bilinear", **how):
    how = {"align_corners": False} | how if mode == "bilinear" else how
    return F.interpolate(scores, labels.shape[-2:], mode=mode, **how)


def loss_sample_by_sample(scores, labels, v, gamma):
    errors = (v * (up(scores, labels) - labels)).flatten(1)
    return sum(g * e @ e for g, e in zip(gamma, errors, strict=True))


def loss_on_cells(scores, labels, v, gamma):
    stride = labels.shape[-1] // scores.shape[-1]
    labels, v = F.avg_pool2d(labels, stride), F.avg_pool2d(v, stride)
    return loss_sample_by_sample(scores, labels, v, gamma)


def loss_nearest(scores, labels, v, gamma):
    return (gamma.view(-1, 1, 1, 1) * (v * (up(scores, labels, "nearest") - labels)) ** 2).sum()


def loss_aligned(scores, labels, v, gamma):
    return (gamma.view(-1, 1, 1, 1) * (v * (up(scores, labels, align_corners=True) - labels)) ** 2).sum()


def loss_v_outside(scores, labels, v, gamma):
    return (gamma.view(-1, 1, 1, 1) * v * (up(scores, labels) - labels) ** 2).sum()


def loss_gamma_inside(scores, labels, v, gamma):
    return ((gamma.view(-1, 1, 1, 1) * v * (up(scores, labels) - labels)) ** 2).sum()


def loss_without_gamma(scores, labels, v, gamma):
    return ((v * (up(scores, labels) - labels)) ** 2).sum()


def loss_norm(scores, labels, v, gamma):
    return (gamma * (v * (up(scores, labels) - labels)).flatten(1).norm(dim=1)).sum()


def loss_mean(scores, labels, v, gamma):
    return loss_sample_by_sample(scores, labels, v, gamma) / labels[0].numel()


def loss_each(scores, labels, v, gamma):
    return gamma * ((v * (up(scores, labels) - labels)) ** 2).sum((1, 2, 3))


def loss_v_on_scores(scores, labels, v, gamma):
    return (gamma.view(-1, 1, 1, 1) * (v * up(scores, labels) - labels) ** 2).sum()


# ---------------------------------------------------------------------------------------------- pixel_weights


def weights_one_by_one(labels, kappa=0.1):
    v = torch.ones_like(labels)
    for sample, weights in zip(labels.flatten(0, -3), v.flatten(0, -3), strict=True):
        inside = sample > 0.5
        share = inside.double().mean()
        if inside.sum() >= 10 and not inside.all() and share < kappa:
            weights[inside] = (kappa / share) ** 0.5
            weights[~inside] = ((1 - kappa) / (1 - share)) ** 0.5
    return v


def weights_with(choose, root=True, guard=True, full_guard=True, threshold=True, fewest=10, dims=(-2, -1), blend=False):
    """An answer that goes wrong in one place: choose(share, kappa) is the share that is wanted.

    blend: y times one weight plus 1 - y times the other, as S1's code does, where 0 times infinity is not a number.
    """

    def answer(labels, kappa=0.1):
        y = (labels > 0.5).to(labels.dtype)
        share = (y if threshold else labels).mean(dims, keepdim=True)
        wanted = choose(share, kappa)
        inside, outside = wanted / share, (1 - wanted) / (1 - share)
        v = y * inside + (1 - y) * outside if blend else torch.where(y > 0, inside, outside)
        v = v.sqrt() if root else v
        few = y.sum((-2, -1), keepdim=True) < fewest
        v = torch.where(few, 1.0, v) if guard else v
        return torch.where(y.mean((-2, -1), keepdim=True) == 1, 1.0, v) if full_guard else v

    return answer


def largest(share, kappa):
    return share.clamp_min(kappa)


def weights_upside_down(labels, kappa=0.1):
    return 1 / weights_one_by_one(labels, kappa)


def weights_on_target_only(labels, kappa=0.1):
    return torch.where(labels > 0.5, weights_one_by_one(labels, kappa), 1.0)


def weights_of_a_tenth(labels, kappa=0.1):
    return weights_one_by_one(labels, 0.1)


# ---------------------------------------------------------------------------------------------- fold_pixels


def fold_by_scaling(U, v, y):
    A, a = v[:, None] * U, v * y
    return A.T @ A, A.T @ a, a @ a


def fold_with(G=None, b=None, constant=None):
    """The right fold, one of its parts replaced: each is called with U, v, y."""

    def answer(U, v, y):
        right = fold_by_scaling(U, v, y)
        return tuple(r if part is None else part(U, v, y) for part, r in zip((G, b, constant), right, strict=True))

    return answer


def fold_two(U, v, y):
    return fold_by_scaling(U, v, y)[:2]


RIGHT = {
    "weighted_loss": [loss_sample_by_sample],
    "pixel_weights": [weights_one_by_one],
    "fold_pixels": [fold_by_scaling],
}
MUTANTS = {
    "weighted_loss": {
        "labels on cells": (loss_on_cells, "labels down"),
        "nearest": (loss_nearest, "nearest cell"),
        "align_corners": (loss_aligned, "align_corners=False"),
        "v not squared": (loss_v_outside, "inside the norm"),
        "gamma squared": (loss_gamma_inside, "gamma is squared"),
        "no gamma": (loss_without_gamma, "gamma is missing"),
        "norm": (loss_norm, "has its square"),
        "mean": (loss_mean, "you averaged"),
        "one for each sample": (loss_each, "for each sample"),
        "v on the scores": (loss_v_on_scores, "weighs the error"),
    },
    "pixel_weights": {
        "min": (weights_with(lambda share, kappa: share.clamp_max(kappa)), "wrong way round"),
        "as printed": (weights_with(lambda share, kappa: share.clamp_max(kappa), root=False), "wrong way round"),
        "no root": (weights_with(largest, root=False), "root is missing"),
        "upside down": (weights_upside_down, "upside down"),
        "one share for all": (weights_with(largest, dims=None), "each has its own"),
        "target only": (weights_on_target_only, "left the rest at 1"),
        "always kappa": (weights_with(lambda share, kappa: torch.full_like(share, kappa)), "left alone"),
        "always 0.1": (weights_of_a_tenth, "kappa is given"),
        "share of soft labels": (weights_with(largest, threshold=False), "soft labels"),
        "no guard": (weights_with(largest, guard=False, blend=True), "empty mask"),
        "no guard, but finite": (weights_with(largest, guard=False), "fewer than 10 pixels"),
        "guard for empty masks only": (weights_with(largest, fewest=1), "fewer than 10 pixels"),
        "guard for 10 too": (weights_with(largest, fewest=11), "10 pixels are enough"),
        "full mask": (weights_with(largest, full_guard=False, blend=True), "fills the frame"),
    },
    "fold_pixels": {
        "v not squared": (fold_with(G=lambda U, v, y: U.T @ (v[:, None] * U)), "not squared"),
        "no v": (fold_with(G=lambda U, v, y: U.T @ U), "v is missing"),
        "on pixels": (fold_with(G=lambda U, v, y: v[:, None] ** 2 * U @ U.T), "row for each pixel"),
        "G twice": (fold_with(G=lambda U, v, y: 2 * fold_by_scaling(U, v, y)[0]), "twice too large"),
        "b without v": (fold_with(b=lambda U, v, y: U.T @ y), "counts with v^2"),
        "sign of b": (fold_with(b=lambda U, v, y: -fold_by_scaling(U, v, y)[1]), "sign of b"),
        "b twice": (fold_with(b=lambda U, v, y: 2 * fold_by_scaling(U, v, y)[1]), "stands in front"),
        "no constant": (fold_with(constant=lambda U, v, y: 0.0), "without the constant"),
        "constant without v": (fold_with(constant=lambda U, v, y: (y**2).sum()), "loss where s = 0"),
        "two of three": (fold_two, "three things"),
    },
}
