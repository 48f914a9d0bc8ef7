"""Losses that more than one method uses."""

import torch
import torch.nn.functional as F


def soft_mask_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus half of one minus the soft IoU; logits and target (B, 1, H, W)."""
    p = torch.sigmoid(logits)
    overlap = (p * target).sum((1, 2, 3))
    union = (p + target - p * target).sum((1, 2, 3))
    return F.binary_cross_entropy_with_logits(logits, target) + 0.5 * (1 - (overlap + 1) / (union + 1)).mean()


def lovasz_gradient(truth: torch.Tensor) -> torch.Tensor:
    """How the Jaccard loss grows as pixels become errors one after the other: truth (..., P) in 0..1, worst first."""
    P = truth.sum(-1, keepdim=True)
    jaccard = 1 - (P - truth.cumsum(-1)) / (P + (1 - truth).cumsum(-1))
    return torch.cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)


def lovasz_extension(errors: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The Jaccard loss, extended from right-or-wrong to any errors (..., P) (Berman et al. 2018); returns (...)."""
    errors, order = errors.sort(-1, descending=True)
    return (F.relu(errors) * lovasz_gradient(truth.gather(-1, order))).sum(-1)


def lovasz_hinge(
    logits: torch.Tensor, labels: torch.Tensor, per_image: bool = True, ignore: int | None = None
) -> torch.Tensor:
    """A convex bound on one minus the IoU of the masks logits > 0 (S4 section 3.1): logits and labels (B, H, W).

    labels: 0 and 1, or soft in between. per_image: the mean over images, else all are one. ignore: a label that does
    not count. An image without the object costs the worst of its hinges, not zero.
    """
    logits, labels = logits.flatten(1), labels.to(logits.dtype).flatten(1)
    if not per_image:
        logits, labels = logits.reshape(1, -1), labels.reshape(1, -1)
    if ignore is not None:
        pairs = zip(logits, labels, strict=True)
        counted = [(x[y != ignore], y[y != ignore]) for x, y in pairs]
        losses = [lovasz_extension(1 - x * (2 * y - 1), y) if len(y) else x.sum() for x, y in counted]
        return torch.stack(losses).mean()
    return lovasz_extension(1 - logits * (2 * labels - 1), labels).mean()


def lovasz_softmax(
    probabilities: torch.Tensor,
    labels: torch.Tensor,
    classes: str = "present",
    per_image: bool = False,
    ignore: int | None = None,
) -> torch.Tensor:
    """The same for classes: probabilities (B, C, H, W), labels (B, H, W) whole numbers; the mean over classes.

    classes: "present", those that some label names, or "all". per_image, ignore: as in `lovasz_hinge`.
    Raises ValueError for other classes.
    """
    if classes not in ("present", "all"):
        raise ValueError(f"classes={classes!r} is unknown: choose from present, all.")
    if per_image:
        alone = zip(probabilities.split(1), labels.split(1), strict=True)
        return torch.stack([lovasz_softmax(p, y, classes, False, ignore) for p, y in alone]).mean()
    p, y = probabilities.movedim(1, 0).flatten(1), labels.flatten()
    if ignore is not None:
        p, y = p[:, y != ignore], y[y != ignore]
    truth = (y == torch.arange(len(p), device=y.device)[:, None]).to(p.dtype)
    if classes == "present":
        there = truth.any(1)
        p, truth = p[there], truth[there]
    if not p.numel():
        return p.sum()
    return lovasz_extension((truth - p).abs(), truth).mean()


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
