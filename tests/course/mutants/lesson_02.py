"""Answers to the exercises of lesson 02 that must pass, and wrong ones that must not."""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.methods.matching import affinity

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


# ---------------------------------------------------------------------------------------------- theft_meter


def cells(mask, groups, stride):
    inside = np.stack([np.isin(mask, numbers) for numbers in groups]).astype(np.float32)
    h, w = (side // stride for side in mask.shape)
    return torch.from_numpy(inside.reshape(len(groups), h, stride, w, stride).mean((2, 4)).reshape(len(groups), -1))


def metered(h=lambda k, m, r: affinity(k, m) @ r, share=lambda c, h: c @ h / h.sum(), covered=cells):
    def meter(query_keys, memories, masks, groups, stride=8):
        found = []
        for key, memory, mask in zip(query_keys, memories, masks, strict=True):
            heat = h(key, *memory)
            found.append(share(covered(mask, groups, stride), heat))
        return torch.stack(found)

    return meter


def meter_in_numpy(query_keys, memories, masks, groups, stride=8):
    rows = []
    for key, (memory_key, remembered), mask in zip(query_keys, memories, masks, strict=True):
        logits = key.numpy().T @ memory_key.numpy() / np.sqrt(len(key))
        A = np.exp(logits - logits.max(1, keepdims=True))
        h = (A / A.sum(1, keepdims=True)) @ remembered.numpy()
        rows.append([float((cells(mask, [g], stride)[0].numpy() * h).sum() / h.sum()) for g in groups])
    return rows


def meter_hard(mask, groups, stride):
    return (cells(mask, groups, stride) > 0.5).float()


def meter_corner(mask, groups, stride):
    return torch.from_numpy(np.stack([np.isin(mask[::stride, ::stride], g) for g in groups])).float().flatten(1)


def meter_first_memory(query_keys, memories, masks, groups, stride=8):
    return metered()(query_keys, [memories[0]] * len(masks), masks, groups, stride)


def meter_of_four(query_keys, memories, masks, groups, stride=8):
    return metered()(query_keys, memories, masks, [[1], [2, 3], [], [0]], stride)


def meter_transposed(query_keys, memories, masks, groups, stride=8):
    return metered()(query_keys, memories, masks, groups, stride).T


def meter_stride_4(query_keys, memories, masks, groups, stride=8):
    return metered()(query_keys, memories, [m[:12, :16] for m in masks], groups, 4)


# ---------------------------------------------------------------------------------------------- heat_of_memory


def heat_at_once(query_key, frames):
    keys, masks = zip(*frames, strict=True)
    return affinity(query_key, torch.cat(keys, 1)) @ torch.cat(masks)


def heat_summed(query_key, frames):
    return sum(affinity(query_key, key) @ mask for key, mask in frames)


def heat_averaged(query_key, frames):
    return heat_summed(query_key, frames) / len(frames)


def heat_clamped(query_key, frames):
    return heat_summed(query_key, frames).clamp(max=1)


def heat_of_the_best(query_key, frames):
    return torch.stack([affinity(query_key, key) @ mask for key, mask in frames]).amax(0)


def heat_of_the_last(query_key, frames):
    return heat_summed(query_key, frames[-1:])


def heat_scaled(query_key, frames):
    h = heat_summed(query_key, frames)
    return h / h.max()


# ---------------------------------------------------------------------------------------------- alarm

OWN_ALARM = (
    "I would watch how many separate blobs the predicted mask has, weighted by area. Thieves light up elsewhere, thus "
    "extra blobs appear. Occluders splitting one animal produce false rings. Validate using generated toys where truth "
    "exists, tuning on half, reporting precision for the remainder, plus scenes containing no twins."
)

RIGHT = {
    "soft_heatmap": [heatmap_by_blocks],
    "theft_meter": [metered(), meter_in_numpy],
    "heat_of_memory": [heat_at_once],
    "alarm": [OWN_ALARM],
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
    "theft_meter": {
        "mean heat of a group": (metered(share=lambda c, h: c @ h / c.sum(1)), "group's area"),
        "sums": (metered(share=lambda c, h: c @ h), "sums of heat"),
        "over the cells": (metered(share=lambda c, h: c @ h / len(h)), "number of cells"),
        "hard cells": (metered(covered=meter_hard), "count half"),
        "corners of cells": (metered(covered=meter_corner), "count half"),
        "no scale": (metered(h=lambda k, m, r: affinity(k, m, 1.0) @ r), "no scale"),
        "softmax over queries": (metered(h=lambda k, m, r: affinity(m, k).T @ r), "over the query cells"),
        "hard memory": (metered(h=lambda k, m, r: affinity(k, m) @ r.round()), "remembered masks hard"),
        "first memory": (meter_first_memory, "memory of its own"),
        "background": (metered(h=lambda k, m, r: affinity(k, m) @ (1 - r)), "*not* the object"),
        "fixed groups": (meter_of_four, "is an argument"),
        "stride ignored": (meter_stride_4, "default of 8"),
        "transposed": (meter_transposed, "for each frame and each group"),
    },
    "heat_of_memory": {
        "not mended": (heat_summed, "cannot be more than 1"),
        "averaged": (heat_averaged, "same vote"),
        "clamped": (heat_clamped, "hides the symptom"),
        "the best frame": (heat_of_the_best, "hides the symptom"),
        "the last frame": (heat_of_the_last, "one frame alone"),
        "scaled to 1": (heat_scaled, "not the sum"),
    },
    "alarm": {
        "too short": ("Look at the number of blobs.", "different words"),
        "the same words": ("blobs " * 40, "same few words"),
        "not a text": (0.5, "should be a text"),
    },
}
