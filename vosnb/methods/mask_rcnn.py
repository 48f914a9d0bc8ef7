"""First find the object's box, then draw its mask inside it: a small Mask R-CNN (He et al. 2017; S4 section 3.1).

A backbone makes maps at three strides, and a feature pyramid brings what the coarse ones know to the fine ones (Lin et
al. 2017). At each cell, anchors (boxes of a few shapes) are scored and moved: the best become proposals. What lies
under a proposal is read from the pyramid at a fixed size (RoIAlign); one head scores the box and moves it again,
another draws the mask. The loss is the sum of L_RPN, L_box and L_mask.

There is one class, "object". Everything is trained by us, and few enough numbers that a step of fine-tuning on one
frame of 128 x 128 takes some hundredths of a second. Boxes are (..., 4): left, top, right, bottom in pixels, pixel
(y, x) covering y..y+1, x..x+1. B images, K objects, A anchors, P proposals, M regions whose masks are learned.
"""

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.features import network_of
from vosnb.methods.losses import lovasz_hinge
from vosnb.methods.meta import MetaLearner, load_learner
from vosnb.methods.one_shot import LOSSES, NORMS, normalisation

STRIDES = (4, 8, 16)
RATIOS = (0.5, 1.0, 2.0)  # height to width of anchors
ANCHOR = 5  # side of a square anchor, in cells: 20, 40 and 80 pixels
DELTA_SCALE = (10.0, 10.0, 5.0, 5.0)  # brings the moves of boxes to about unit spread
NOTHING = -10.0  # the logit where there is no object


# ------------------------------------------------------------------------------------------------------- boxes


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """The smallest boxes (..., 4) around masks (..., H, W) in 0..1 where they exceed one half; zeros when empty."""
    masks = masks > 0.5
    edges = []
    for inside in (masks.any(-2), masks.any(-1)):  # columns, rows
        cells = inside.int()
        edges += [cells.argmax(-1), cells.shape[-1] - cells.flip(-1).argmax(-1)]
    left, right, top, bottom = edges
    return torch.stack([left, top, right, bottom], -1).float() * masks.flatten(-2).any(-1, keepdim=True)


def area(boxes: torch.Tensor) -> torch.Tensor:
    """(..., 4) to (...), in square pixels."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1)


def box_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each of a (..., n, 4) with each of b (..., m, 4): (..., n, m); 0 for empty boxes."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    overlap = area(torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], -1))
    return overlap / (area(a) + area(b) - overlap).clamp_min(1e-6)


def centre_size(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre and size, each (..., 2), x first; sizes of at least one pixel."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp_min(1)


def encode(anchors: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The moves (..., 4) that turn anchors into boxes (Girshick et al. 2014).

    Of the centre in sizes of the anchor, and the logarithm of the ratio of sizes; times `DELTA_SCALE`.
    """
    (at, size), (target, target_size) = centre_size(anchors), centre_size(boxes)
    return torch.cat([(target - at) / size, (target_size / size).log()], -1) * anchors.new_tensor(DELTA_SCALE)


def decode(anchors: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Anchors moved, the inverse of `encode`; no box grows more than sixteenfold."""
    (at, size), deltas = centre_size(anchors), deltas / anchors.new_tensor(DELTA_SCALE)
    at, size = at + deltas[..., :2] * size, size * deltas[..., 2:].clamp(max=math.log(16)).exp()
    return torch.cat([at - size / 2, at + size / 2], -1)


def clip_boxes(boxes: torch.Tensor, size) -> torch.Tensor:
    """What of the boxes lies in a frame of size (H, W)."""
    H, W = size
    return torch.minimum(boxes.clamp_min(0), boxes.new_tensor([W, H, W, H]))


def nms(boxes: torch.Tensor, threshold: float) -> torch.Tensor:
    """Non-maximum suppression: which of the boxes (..., n, 4), best first, stay, as (..., n) bool.

    A box goes when its IoU with a better one that stays exceeds the threshold. All decide at once, given what the
    others decided before, until nobody changes: after i rounds the first i are right, and five or six rounds mostly do.
    """
    covers = (box_iou(boxes, boxes) > threshold).triu(1)
    stays = torch.ones_like(covers[..., 0])
    while True:
        now = ~(covers & stays[..., None]).any(-2)
        if torch.equal(now, stays):
            return stays
        stays = now


@cache
def anchors_of(shapes: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Anchors (A, 4) of maps of these shapes (h, w) at `STRIDES`: level by level, row by row, the ratios innermost."""
    levels = []
    for (h, w), stride in zip(shapes, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
        at = torch.stack([x, y], -1)[..., None, :] * stride  # (h, w, 1, 2)
        sides = torch.tensor([[r**-0.5, r**0.5] for r in RATIOS]) * (ANCHOR * stride / 2)
        levels.append(torch.cat([at - sides, at + sides], -1).flatten(0, 2))
    return torch.cat(levels)


def extend_proposals(proposals: torch.Tensor, last_box: torch.Tensor, size, generator: torch.Generator):
    """Box propagation (S4 section 3.3): the better half of proposals (P, 4), and copies of the last box (4,).

    Each side of a copy is moved outward by U(0, 0.1) of the box's width or height, and back into the frame (H, W).
    """
    kept = len(proposals) // 2
    share = 0.1 * torch.rand(len(proposals) - kept, 4, generator=generator).to(last_box.device)
    return torch.cat([proposals[:kept], clip_boxes(move_sides(last_box, share), size)])


def move_sides(boxes: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Boxes (..., 4) with each side moved outward by a share (..., 4) of the width or height."""
    extent = boxes[..., 2:] - boxes[..., :2]
    return boxes + share * torch.cat([-extent, extent], -1)


# ------------------------------------------------------------------------------------- from maps to boxes and back


def bilinear(points: torch.Tensor, cells: int) -> torch.Tensor:
    """Weights (..., n, cells) that interpolate between cell centres 0..cells-1 at points (..., n)."""
    at = points.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=points.device)
    return (1 - at.abs()).clamp_min(0)


def roi_align(maps: torch.Tensor, boxes: torch.Tensor, out: int, stride: float, samples: int = 2) -> torch.Tensor:
    """What lies under boxes (B, P, 4) in maps (B, C, h, w) at a stride, as (B, P, C, out, out) (He et al. 2017).

    Each box is divided into out x out bins; a bin is the mean of samples x samples points, read bilinearly at exactly
    where they are. That is linear, and the rows and columns do not depend on each other: two matrix products.
    """
    share = (torch.arange(out * samples, device=boxes.device, dtype=boxes.dtype) + 0.5) / (out * samples)
    weights = []
    for low, high, cells in ((1, 3, maps.shape[2]), (0, 2, maps.shape[3])):
        points = boxes[..., low, None] + share * (boxes[..., high] - boxes[..., low])[..., None]
        weights.append(bilinear(points / stride - 0.5, cells).unflatten(-2, (out, samples)).mean(-2))
    rows = weights[0].flatten(1, 2) @ maps.movedim(1, -1).flatten(2)  # (B, P out, w C): channels last spare copies
    rows = rows.unflatten(1, (-1, out)).unflatten(-1, (-1, maps.shape[1]))
    return (weights[1][:, :, None] @ rows).movedim(-1, 2)


def paste(masks: torch.Tensor, boxes: torch.Tensor, size) -> torch.Tensor:
    """Logits (n, m, m), drawn into their boxes (n, 4) in frames of size (H, W): (n, H, W), `NOTHING` around them."""
    weights, inside = [], []
    for low, high, pixels in ((1, 3, size[0]), (0, 2, size[1])):
        centres = torch.arange(pixels, device=boxes.device) + 0.5
        extent = (boxes[:, high] - boxes[:, low]).clamp_min(1e-3)
        share = (centres - boxes[:, low, None]) / extent[:, None]
        weights.append(bilinear(share * masks.shape[-1] - 0.5, masks.shape[-1]))
        inside.append((share >= 0) & (share <= 1))
    drawn = weights[0] @ masks @ weights[1].transpose(1, 2)
    return torch.where(inside[0][:, :, None] & inside[1][:, None], drawn, NOTHING)


# ------------------------------------------------------------------------------------------------------ network


class Detections(NamedTuple):
    """The best box of each of B images: boxes (B, 4), scores (B,) in 0..1, mask logits (B, H, W).

    Where the score is below one half nothing was found, and all logits are `NOTHING`.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    logits: torch.Tensor


def block(inputs: int, outputs: int, norm: str, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, normalised, and a ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, normalisation(norm, outputs), nn.ReLU(inplace=True))


class MaskRCNN(nn.Module):
    """Image (B, 3, H, W) -> the best detection of each, or with true masks, the loss.

    norm: "group" can be fine-tuned on one frame, "batch" keeps the averages of its training (S4 section 3.1). loss: of
    masks, "cross-entropy" or "lovasz" (the hinge of each region, as in S4's code; the paper says Lovasz-Softmax).
    proposals: P. Raises ValueError for a norm or a loss that it does not know.
    """

    COPIES, REGIONS = 8, 8  # of true boxes among the proposals that are learned from; M, for each image
    CANDIDATES = 100  # anchors that enter the suppression
    SHAKEN = 0.15  # how far sides of copies move, as share of width or height

    def __init__(self, norm="group", loss="lovasz", proposals=24, widths=(16, 32, 48, 64), channels=48, hidden=32):
        super().__init__()
        if norm not in NORMS or loss not in LOSSES:
            raise ValueError(f"norm={norm!r}, loss={loss!r}: choose from {', '.join(NORMS)}; {', '.join(LOSSES)}.")
        self.settings = {"norm": norm, "loss": loss, "proposals": proposals}
        self.proposals = proposals
        self.stem = block(3, widths[0], norm, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(block(a, b, norm, 2), block(b, b, norm)) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths[1:])
        self.smooth = block(channels, channels, norm)

        self.rpn = nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(inplace=True))
        self.anchor_score = nn.Conv2d(hidden, len(RATIOS), 1)
        self.anchor_move = nn.Conv2d(hidden, 4 * len(RATIOS), 1)

        self.box = nn.Sequential(
            block(channels, channels, norm, 2), nn.Flatten(), nn.Linear(channels * 16, 128), nn.ReLU(inplace=True)
        )
        self.box_score, self.box_move = nn.Linear(128, 1), nn.Linear(128, 4)

        self.mask = nn.Sequential(
            block(channels, hidden, norm),
            block(hidden, hidden, norm),
            nn.Conv2d(hidden, 4, 1),
            nn.PixelShuffle(2),  # each of 14 x 14 cells draws its own four pixels of 28 x 28
        )
        for layer in (self.anchor_score, self.anchor_move, self.box_score, self.box_move):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, images, masks=None, generator=None, last_box=None):
        """`loss` of images and masks, a single number; without masks, `detect`."""
        if masks is None:
            return self.detect(images, last_box, generator)
        return sum(self.losses(images, masks, generator).values())

    def pyramid(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps (B, C, h, w) at `STRIDES`; the first is smoothed, for regions to be read from it."""
        x, maps = self.stem(images), []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            maps.append(lateral(x))
        for i in (1, 0):
            maps[i] = maps[i] + F.interpolate(maps[i + 1], maps[i].shape[-2:], mode="nearest")
        return [self.smooth(maps[0]), *maps[1:]]

    def score_anchors(self, maps: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Anchors (A, 4), a logit (B, A) and a move (B, A, 4) for each."""
        hidden = [self.rpn(x) for x in maps]
        logits = [self.anchor_score(x).movedim(1, -1).flatten(1) for x in hidden]
        moves = [self.anchor_move(x).movedim(1, -1).flatten(1).unflatten(1, (-1, 4)) for x in hidden]
        anchors = anchors_of(tuple(tuple(x.shape[-2:]) for x in maps)).to(maps[0].device)
        return anchors, torch.cat(logits, 1), torch.cat(moves, 1)

    @torch.no_grad()
    def propose(self, anchors, logits, moves, size) -> torch.Tensor:
        """The best anchors, moved, without near duplicates: (B, P, 4), best first; boxes that went fill up the end."""
        best = logits.topk(min(self.CANDIDATES, logits.shape[1]), 1).indices
        moves = moves.gather(1, best[..., None].expand(-1, -1, 4))
        boxes = clip_boxes(decode(anchors[best], moves), size)
        order = (~nms(boxes, 0.7)).int().argsort(dim=1, stable=True)[:, : self.proposals]
        return pick(boxes, order)

    def judge(self, maps: list[torch.Tensor], boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The box head: a logit (B, P) and a move (B, P, 4) for each of boxes (B, P, 4)."""
        x = self.box(roi_align(maps[0], boxes, 7, STRIDES[0]).flatten(0, 1)).unflatten(0, boxes.shape[:2])
        return self.box_score(x)[..., 0], self.box_move(x)

    def draw(self, maps: list[torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
        """The mask head: logits (B, M, 28, 28) inside boxes (B, M, 4)."""
        x = roi_align(maps[0], boxes, 14, STRIDES[0])
        return self.mask(x.flatten(0, 1))[:, 0].unflatten(0, boxes.shape[:2])

    def detect(self, images, last_box=None, generator=None) -> Detections:
        """The best box of each image and the mask inside it.

        last_box (4,): where the object was in the frame before; half of the proposals then begin there, moved at
        random by the generator (`extend_proposals`).
        """
        size, maps = images.shape[-2:], self.pyramid(images)
        proposals = self.propose(*self.score_anchors(maps), size)
        if last_box is not None:
            generator = generator or torch.Generator().manual_seed(0)
            proposals = torch.stack([extend_proposals(p, last_box, size, generator) for p in proposals])
        logits, moves = self.judge(maps, proposals)
        scores, best = torch.sigmoid(logits).max(1)
        boxes = clip_boxes(decode(pick(proposals, best[:, None]), pick(moves, best[:, None])), size)
        drawn = paste(self.draw(maps, boxes)[:, 0], boxes[:, 0], size)
        return Detections(boxes[:, 0], scores, torch.where(scores[:, None, None] < 0.5, NOTHING, drawn))

    def losses(self, images: torch.Tensor, masks: torch.Tensor, generator=None) -> dict[str, torch.Tensor]:
        """L_RPN, L_box and L_mask of images (B, 3, H, W) and the masks of their objects (B, K, H, W), soft, in 0..1.

        Images with fewer than K objects, or none, have empty masks: there, nothing is to be found.
        """
        generator = generator or torch.Generator().manual_seed(0)
        masks, true = masks.float(), boxes_of(masks)
        maps = self.pyramid(images)
        anchors, logits, moves = self.score_anchors(maps)

        overlap = box_iou(anchors, true)  # (B, A, K)
        best, which = overlap.max(-1)
        nearest = (overlap == overlap.amax(1, keepdim=True)) & (overlap > 0)  # no object goes without an anchor
        positive = (best >= 0.5) | nearest.any(-1)
        target = encode(anchors, pick(true, which))
        losses = {"rpn": balanced(logits, positive, best < 0.35) + move_loss(moves, target, positive)}

        proposals = self.propose(anchors, logits, moves, images.shape[-2:])
        boxes = torch.cat([proposals, self.copies(true, images.shape[-2:], generator)], 1)
        best, which = box_iou(boxes, true).max(-1)
        logits, moves = self.judge(maps, boxes)
        target = encode(boxes, pick(true, which))
        negative = (best < 0.5) & (area(boxes) > 0)
        losses["box"] = balanced(logits, best >= 0.5, negative) + move_loss(moves, target, best >= 0.5)

        best, regions = best.topk(self.REGIONS, 1)
        boxes, which = pick(boxes, regions), which.gather(1, regions)
        drawn = self.draw(maps, boxes)[best >= 0.5]
        target = roi_align(masks, boxes, drawn.shape[-1], 1)  # of all objects
        target = target[best >= 0.5][torch.arange(len(drawn)), which[best >= 0.5]]
        if not len(drawn):
            losses["mask"] = drawn.sum()
        elif self.settings["loss"] == "lovasz":
            losses["mask"] = lovasz_hinge(drawn, target, per_image=True)
        else:
            losses["mask"] = F.binary_cross_entropy_with_logits(drawn, target)
        return losses

    def copies(self, true: torch.Tensor, size, generator: torch.Generator) -> torch.Tensor:
        """True boxes (B, K, 4) of objects that are there, in turn, as (B, COPIES, 4): exact, then shaken.

        Proposals to learn from while the network makes none that are of use. Empty where there is no object.
        """
        turn, absent = torch.arange(self.COPIES, device=true.device), area(true) == 0
        count = (~absent).sum(1, keepdim=True).clamp_min(1)
        order = absent.int().argsort(dim=1, stable=True).gather(1, turn % count)
        share = (2 * torch.rand(len(true), self.COPIES, 4, generator=generator) - 1).to(true.device) * self.SHAKEN
        return clip_boxes(move_sides(pick(true, order), share * (turn >= count)[..., None]), size)


def pick(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows of x (B, n, 4) by index (B, m): (B, m, 4)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def balanced(logits: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, half of it from the positives and half from the negatives, however few; the rest do not count."""
    loss = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
    return sum((loss * chosen).sum() / chosen.sum().clamp_min(1) for chosen in (positive, negative & ~positive)) / 2


def move_loss(moves: torch.Tensor, target: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of the moves (..., 4), the mean over positives (...)."""
    loss = F.smooth_l1_loss(moves, target, reduction="none").mean(-1)
    return (loss * positive).sum() / positive.sum().clamp_min(1)


def load_mask_rcnn(name: str | Path) -> MetaLearner:
    """A `MaskRCNN` with the weights of this name (or file), and the rates learned with it.

    Raises FileNotFoundError when there is no such file and FileError when it is damaged or of another network.
    """
    return load_learner(network_of(MaskRCNN, name, "vosnb train e-osvos"), name)
