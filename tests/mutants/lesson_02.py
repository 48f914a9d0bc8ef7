"""Answers to the exercises of lesson 02 that must pass, and wrong ones that must not."""

import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------- soft_heatmap


def heatmap_by_blocks(A, masks, stride=8):
    T, H, W = masks.shape
    cells = masks.double().reshape(T, H // stride, stride, W // stride, stride).mean((2, 4))
    return torch.einsum("ij,j->i", A.double(), cells.reshape(-1))


def pooled(masks, stride):
    return F.avg_pool2d(masks.float()[:, None], stride)[:, 0]


def heatmap_half_covered(A, masks, stride=8):
    return A @ (pooled(masks, stride) > 0.5).float().flatten()


def heatmap_touched(A, masks, stride=8):
    return A @ (F.max_pool2d(masks.float()[:, None], stride) > 0).float().flatten()


def heatmap_of_corners(A, masks, stride=8):
    return A @ masks[:, ::stride, ::stride].float().flatten()


def heatmap_frames_in_turn(A, masks, stride=8):
    return A @ pooled(masks, stride).movedim(0, -1).flatten()


def heatmap_down_the_columns(A, masks, stride=8):
    return A @ pooled(masks, stride).mT.flatten()


def heatmap_over_queries(A, masks, stride=8):
    return pooled(masks, stride).flatten() @ A


def heatmap_divided_by_area(A, masks, stride=8):
    soft = pooled(masks, stride)
    return A @ soft.flatten() / soft.sum()


def heatmap_of_the_first_frame(A, masks, stride=8):
    soft = pooled(masks, stride)[0].flatten()
    return A[:, : len(soft)] @ soft


def heatmap_mean_of_frames(A, masks, stride=8):
    return A @ pooled(masks, stride).flatten() / len(masks)


def heatmap_of_background(A, masks, stride=8):
    return A @ (1 - pooled(masks, stride)).flatten()


def heatmap_stride_four(A, masks, stride=8):
    return A @ pooled(masks, 4).flatten()[: A.shape[1]]


# ---------------------------------------------------------------------------------------------- two_leaks


def leaks_by_blocks(A, query_mask, memory_mask):
    groups = [torch.stack([mask, 1 - mask]) for mask in (query_mask, memory_mask)]
    blocks = (groups[0] @ A @ groups[1].T) / groups[0].sum(1, keepdim=True)
    return [blocks[1, 0].item(), blocks[0, 1].item()]


def leaks_in_the_other_order(A, q, m):
    return leaks_by_blocks(A, q, m)[::-1]


def leaks_as_sums(A, q, m):
    h = A @ m
    return ((1 - q) * h).sum(), (q * (1 - h)).sum()


def leaks_over_all_cells(A, q, m):
    h = A @ m
    return ((1 - q) * h).mean(), (q * (1 - h)).mean()


def leaks_over_the_rest(A, q, m):
    h = A @ m
    return ((1 - q) * h).sum() / (1 - q).sum(), (q * (1 - h)).sum() / (1 - q).sum()


def leaks_of_hard_masks(A, q, m):
    return leaks_by_blocks(A, (q > 0.5).float(), (m > 0.5).float())


def leaks_masks_swapped(A, q, m):
    return leaks_by_blocks(A, m, q)


def leaks_memory_mask_twice(A, q, m):
    return leaks_by_blocks(A, m, m)


def leaks_of_all_cells(A, q, m):
    return leaks_by_blocks(A, q, m)[0], 1 - (A @ m).mean()


def leaks_object_to_object(A, q, m):
    into, out = leaks_by_blocks(A, q, m)
    return into, 1 - out


def leaks_one_number(A, q, m):
    return sum(leaks_by_blocks(A, q, m))


# ---------------------------------------------------------------------------------------------- border_floor


def floor_from_squares(m):
    return 1 - (m**2).sum().item() / m.sum().item()


def floor_of_a_hard_mask(m):
    return border(m.round())


def border(m):
    return (m * (1 - m)).sum() / m.sum()


def floor_object_to_object(m):
    return (m * m).sum() / m.sum()


def floor_as_a_sum(m):
    return (m * (1 - m)).sum()


def floor_over_all_cells(m):
    return (m * (1 - m)).mean()


def floor_over_touched_cells(m):
    return (m * (1 - m)).sum() / (m > 0).sum()


def floor_unweighted(m):
    return 1 - m[m > 0].mean()


def floor_of_the_rest(m):
    return (m * (1 - m)).sum() / (1 - m).sum()


RIGHT = {
    "soft_heatmap": [heatmap_by_blocks],
    "two_leaks": [leaks_by_blocks],
    "border_floor": [floor_from_squares],
}
MUTANTS = {
    "soft_heatmap": {
        "half covered is covered": (heatmap_half_covered, "covered more than half"),
        "touched is covered": (heatmap_touched, "covered at all"),
        "one pixel of each cell": (heatmap_of_corners, "one pixel"),
        "frames in turn": (heatmap_frames_in_turn, "all cells of the first frame"),
        "columns first": (heatmap_down_the_columns, "row by row"),
        "summed over the queries": (heatmap_over_queries, "over the query cells"),
        "divided by the object's area": (heatmap_divided_by_area, "object's area"),
        "first frame only": (heatmap_of_the_first_frame, "first frame alone"),
        "mean over frames": (heatmap_mean_of_frames, "averaged over the frames"),
        "background": (heatmap_of_background, "from the background"),
        "stride ignored": (heatmap_stride_four, "default of 8"),
    },
    "two_leaks": {
        "order": (leaks_in_the_other_order, "wrong order"),
        "sums": (leaks_as_sums, "those are sums"),
        "all cells": (leaks_over_all_cells, "all N cells"),
        "reversed over the rest's area": (leaks_over_the_rest, "*object's* area"),
        "hard masks": (leaks_of_hard_masks, "counts half"),
        "masks swapped": (leaks_masks_swapped, "mixed up"),
        "memory's mask twice": (leaks_memory_mask_twice, "mixed up"),
        "every cell asks": (leaks_of_all_cells, "object alone"),
        "object to object": (leaks_object_to_object, "right and proper"),
        "one number": (leaks_one_number, "two numbers"),
    },
    "border_floor": {
        "hard mask": (floor_of_a_hard_mask, "hard mask only"),
        "object to object": (floor_object_to_object, "other factor"),
        "a sum": (floor_as_a_sum, "that is the sum"),
        "all cells": (floor_over_all_cells, "all cells"),
        "touched cells": (floor_over_touched_cells, "touches"),
        "unweighted": (floor_unweighted, "weighs the same"),
        "of the rest": (floor_of_the_rest, "its own and only match"),
    },
}
