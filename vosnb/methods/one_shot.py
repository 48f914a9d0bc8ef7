"""The fully convolutional one-shot segmenter: a small U-Net that is tuned to one object on one frame (S4 section 2).

What the net knows before it has seen the object, and how fast it learns, come from `vosnb.methods.meta`; detecting the
object first is `vosnb.methods.mask_rcnn`.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vosnb.features import network_of
from vosnb.methods.losses import lovasz_hinge, soft_mask_loss
from vosnb.methods.meta import MetaLearner, load_learner

NORMS = ("group", "batch")
LOSSES = ("cross-entropy", "lovasz")


def normalisation(norm: str, channels: int) -> nn.Module:
    """ "group" (Wu and He 2018): over groups of four channels of one image, whatever else is in its batch.

    "batch": over the whole batch, or, in evaluation mode, by the averages of a training. One frame is no sample of a
    clip, so that they stay frozen while fine-tuning (S4 section 3.1).
    """
    return nn.GroupNorm(channels // 4, channels) if norm == "group" else nn.BatchNorm2d(channels)


class OneShotNet(nn.Module):
    """A U-Net of strides 2 to 16: images (B, 3, H, W) of any size to logits of the object (B, 1, H, W).

    Its decoder narrows maps before it doubles them and adds the skips: half the work of concatenating.
    norm: one of NORMS. loss: what it is trained and tuned with, one of LOSSES. widths: channels at each stride.
    """

    def __init__(self, norm: str = "group", loss: str = "cross-entropy", widths: tuple[int, ...] = (16, 24, 40, 64)):
        super().__init__()
        if norm not in NORMS or loss not in LOSSES:
            raise ValueError(f"norm={norm!r}, loss={loss!r}: choose from {', '.join(NORMS)}; {', '.join(LOSSES)}.")
        self.settings = {"norm": norm, "loss": loss, "widths": list(widths)}

        def layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
            conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
            return nn.Sequential(conv, normalisation(norm, outputs), nn.ReLU(inplace=True))

        pairs = list(zip(widths, widths[1:], strict=False))
        deeper = [nn.Sequential(layer(a, b, 2), layer(b, b)) for a, b in pairs]
        self.down = nn.ModuleList([layer(3, widths[0], 2), *deeper])
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in reversed(pairs))
        self.up = nn.ModuleList(layer(a, a) for a, _ in reversed(pairs))
        self.logit = nn.Conv2d(widths[0], 1, 1)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x, skips = images.contiguous(memory_format=torch.channels_last), []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        for narrow, layer, skip in zip(self.narrow, self.up, reversed(skips[:-1]), strict=True):
            x = layer(enlarge(narrow(x), skip.shape[-2:]) + skip)
        return enlarge(self.logit(x), images.shape[-2:])

    def loss(self, logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """L_seg of S4-E1, for logits and masks in 0..1, both (B, 1, H, W)."""
        if self.settings["loss"] == "lovasz":
            return lovasz_hinge(logits[:, 0], masks[:, 0])
        return soft_mask_loss(logits, masks)


def enlarge(x: torch.Tensor, size) -> torch.Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def spatial_transforms(
    images: torch.Tensor, masks: torch.Tensor, r: np.random.Generator, turn: float = 30, scale: float = 0.25
):
    """Each image (B, 3, H, W) and its mask (B, 1, H, W) flipped or not, turned and scaled about the middle.

    By up to `turn` degrees, and by 1 - scale to 1 + scale, the defaults those of S4's code; what lies outside is
    mirrored, so that no black corners are learned. Where the object would be lost, image and mask stay.
    """
    H, W = images.shape[-2:]
    matrices = []
    for _ in images:
        angle, size, flip = math.radians(r.uniform(-turn, turn)), 1 + r.uniform(-scale, scale), r.choice([-1, 1])
        c, s = math.cos(angle) / size, math.sin(angle) / size
        matrices.append([[flip * c, s * H / W, 0], [-flip * s * W / H, c, 0]])  # of coordinates in -1..1
    grid = F.affine_grid(images.new_tensor(matrices), list(images.shape), align_corners=False)
    both = torch.cat([images, masks], 1)
    moved = F.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
    lost = masks.amax((1, 2, 3), keepdim=True) > moved[:, 3:].amax((1, 2, 3), keepdim=True) + 0.5
    moved = torch.where(lost, both, moved)
    return moved[:, :3], moved[:, 3:]


def merge_maximum(p: torch.Tensor) -> torch.Tensor:
    """Probabilities of objects, each segmented alone, (K, H, W) to (K + 1, H, W) that sum to one, background first.

    The likeliest object has the pixel where it is likelier than not (S4 section 2), else the background.
    """
    together = torch.cat([1 - p.amax(0, keepdim=True), p])
    return together / together.sum(0)


def load_one_shot(name: str | Path) -> MetaLearner:
    """A `OneShotNet` with the weights of this name (or file), and the rates learned with it.

    Raises FileNotFoundError when there is no such file and FileError when it is damaged or of another network.
    """
    return load_learner(network_of(OneShotNet, name, "vosnb train meta"), name)
