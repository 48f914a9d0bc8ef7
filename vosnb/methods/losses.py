"""Losses that more than one method uses."""

import torch
import torch.nn.functional as F


def soft_mask_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus half of one minus the soft IoU; logits and target (B, 1, H, W)."""
    p = torch.sigmoid(logits)
    overlap = (p * target).sum((1, 2, 3))
    union = (p + target - p * target).sum((1, 2, 3))
    return F.binary_cross_entropy_with_logits(logits, target) + 0.5 * (1 - (overlap + 1) / (union + 1)).mean()


METRICS = ("softplus", "margin", "ratio")


def metric_loss(
    anchors: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor, kind: str = "softplus", alpha: float = 0.1
) -> torch.Tensor:
    """Features of one object near each other, and far from the rest (S2-E4): the mean over anchors a (n, C).

    With d+ the squared distance from a to the nearest of the positives (p, C), d- to the nearest of the negatives:
    "ratio" is S2-E4 as printed, d+ / (d- + alpha). It is least, namely 0, where all features are the same, and training
    goes there. "softplus", log(1 + exp(d+ - d-)), and "margin", max(0, 1 + d+ - d-), are 0.69 and 1 there, and better
    only where d+ < d-.
    """
    if kind not in METRICS:
        raise ValueError(f"kind={kind!r} is unknown: choose from {', '.join(METRICS)}.")
    near, far = (nearest(anchors, pool) for pool in (positives, negatives))
    if kind == "ratio":
        return (near / (far + alpha)).mean()
    return F.softplus(near - far).mean() if kind == "softplus" else F.relu(1 + near - far).mean()


def nearest(a: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
    """The squared distance from each of a (n, C) to the nearest of pool (m, C)."""
    i = torch.cdist(a, pool).argmin(1)  # the gradient of a distance is not defined at 0, that of its square is
    return (a - pool[i]).square().sum(1)
