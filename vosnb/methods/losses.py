"""Losses that more than one method uses."""

import torch
import torch.nn.functional as F


def soft_mask_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus half of one minus the soft IoU; logits and target (B, 1, H, W)."""
    p = torch.sigmoid(logits)
    overlap = (p * target).sum((1, 2, 3))
    union = (p + target - p * target).sum((1, 2, 3))
    return F.binary_cross_entropy_with_logits(logits, target) + 0.5 * (1 - (overlap + 1) / (union + 1)).mean()
