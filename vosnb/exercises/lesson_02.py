"""Exercises of lesson 02: a heatmap from soft masks, leaks in both directions, and that of a perfect match."""

import torch
import torch.nn.functional as F

from vosnb.exercises import Exercise, expect, same

# ---------------------------------------------------------------------------------------------- soft_heatmap


def soft_heatmap_reference(A, masks, stride=8):
    soft = F.avg_pool2d(masks.float()[:, None], stride)  # (T, 1, h, w): the share of each cell in the object
    return A @ soft.flatten()


def _check_soft_heatmap(answer):
    r = torch.Generator().manual_seed(2)
    masks = torch.rand(2, 8, 12, generator=r) < torch.tensor([0.35, 0.75])[:, None, None]  # two frames, grid 2 x 3
    masks[1, 4:, 8:] = True
    A = torch.softmax(2 * torch.randn(12, 12, generator=r), -1)
    soft = F.avg_pool2d(masks.float()[:, None], 4)[:, 0]
    truth = A @ soft.flatten()
    h = answer(A, masks, 4)

    for name, hard in {"more than half": soft > 0.5, "at all": soft > 0}.items():
        expect(
            not same(h, A @ hard.float().flatten()),
            f"you made the mask hard again (a cell counts if it is covered {name}). A cell at the border belongs to "
            "the object in part: let it count in part.",
        )
    for corner in (0, 2):
        expect(
            not same(h, A @ masks[:, corner::4, corner::4].float().flatten()),
            "you looked at one pixel of each cell. All of its stride x stride pixels have a say: take their mean.",
        )
    expect(
        not same(h, A @ soft.movedim(0, -1).flatten()),
        "the columns of A run through all cells of the first frame, then through all of the next; yours take the "
        "frames in turn, cell by cell.",
    )
    expect(
        not same(h, A @ soft.transpose(1, 2).flatten()),
        "cells are numbered row by row, i = row * w + column; yours run down the columns.",
    )
    expect(
        not same(h, A.T @ soft.flatten()),
        "you summed over the query cells. h_i has one number for each *query* cell: sum row i over the memory.",
    )
    expect(
        not same(h, truth / soft.sum()),
        "you divided by the object's area. h_i is a share of cell i's attention: the rows of A sum to one already.",
    )
    expect(
        not same(h, A[:, :6] @ soft[0].flatten()),
        "you read the first frame alone; the memory, and so each row of A, holds all T frames.",
    )
    expect(
        not same(h, truth / 2),
        "you averaged over the frames. The rows of A sum to one over *all* frames together, so the parts add up.",
    )
    expect(not same(h, 1 - truth), "that is what the cells read from the background; h is what they read inside.")
    expect(
        same(h, truth),
        "the heatmap is not right: it is a vector (N,); entry i is the sum over all memory cells j of A_ij times the "
        "share of cell j that the object covers.",
    )
    expect(
        same(answer(A[:6, :6], masks[:1], 4), A[:6, :6] @ soft[0].flatten()),
        "right for two frames in memory, but not for one.",
    )
    whole = torch.rand(1, 16, 8, generator=r) < 0.5
    expect(
        same(answer(A[:, :2], whole), A[:, :2] @ F.avg_pool2d(whole.float()[:, None], 8).flatten()),
        "right for stride 4, but not for the default of 8: use the argument.",
    )


soft_heatmap = Exercise(
    name="soft_heatmap",
    title="A heatmap from the masks of several frames",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Two steps: bring the masks from pixels to cells, then add up each row of A over the object's part.",
        "`F.avg_pool2d` means over squares. It wants a batch, channels and numbers: `masks.float()[:, None]`.",
        "Row-major order and frame after frame is just what `flatten()` gives; then one product with A is left.",
    ),
    reference=soft_heatmap_reference,
    check=_check_soft_heatmap,
)

# ---------------------------------------------------------------------------------------------- two_leaks


def two_leaks_reference(A, query_mask, memory_mask):
    h = A @ memory_mask
    rest = 1 - query_mask
    return (rest * h).sum() / rest.sum(), (query_mask * (1 - h)).sum() / query_mask.sum()


def _check_two_leaks(answer):
    r = torch.Generator().manual_seed(3)
    A = torch.softmax(2 * torch.randn(10, 10, generator=r), -1)
    q, m = (torch.rand(10, generator=r) ** 2 for _ in range(2))
    q[0], m[0], m[1] = 1.0, 1.0, 0.0
    into, out = two_leaks_reference(A, q, m)
    h = A @ m
    got = answer(A, q, m)
    expect(
        isinstance(got, (tuple, list, torch.Tensor)) and len(got) == 2,
        "return two numbers: what the rest reads from the object, then what the object reads from the rest.",
    )
    a, b = map(float, got)

    expect(
        not (same(a, out) and same(b, into)),
        "your two numbers are in the wrong order: first what the *rest* of the frame reads from the object, then the "
        "reversed.",
    )
    expect(
        not (same(a, ((1 - q) * h).sum(), 1e-4) or same(b, (q * (1 - h)).sum(), 1e-4)),
        "those are sums. A large object has a large sum even if each of its cells is good: divide by the area of "
        "those who ask.",
    )
    expect(
        not (same(a, ((1 - q) * h).mean()) or same(b, (q * (1 - h)).mean())),
        "you divided by all N cells. Divide each sum by the area of its own group: the rest's for the first number, "
        "the object's for the second.",
    )
    expect(
        not same(b, (q * (1 - h)).sum() / (1 - q).sum()),
        "the reversed leak is asked by the object: divide by the *object's* area, not by that of the rest.",
    )
    hard_q = (q > 0.5).float()
    hard = two_leaks_reference(A, hard_q, (m > 0.5).float()), two_leaks_reference(A, hard_q, m)
    expect(
        all(not (same(a, x) or same(b, y)) for x, y in hard),
        "you made the masks hard. A cell that lies half in the object counts half on either side.",
    )
    swapped = two_leaks_reference(A, m, q), two_leaks_reference(A, m, m), two_leaks_reference(A.T, q, m)
    expect(
        all(not (same(a, x) or same(b, y)) for x, y in swapped),
        "you mixed up the two masks or the two axes: the query's mask weighs the rows of A, the memory's its columns.",
    )
    expect(
        not same(b, 1 - h.mean()) and not same(b, (1 - h).sum()),
        "the reversed leak is over the cells of the object alone: weigh each cell by the query's mask.",
    )
    expect(
        not same(b, (q * h).sum() / q.sum()),
        "your second number is what the object reads from the object: that is right and proper. The leak is the rest.",
    )
    expect(
        same(a, into),
        "the first number is not right: mean of h over what is *not* the object, each cell weighed by 1 - m.",
    )
    expect(same(b, out), "the second number is not right: mean of 1 - h over the object, each cell weighed by m.")


two_leaks = Exercise(
    name="two_leaks",
    title="Leaks in both directions",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=(
        "Both begin with the heatmap h = A @ memory_mask. Who asks in the first case, and who in the second?",
        "A mean over a soft group is a weighted mean: sum(weight * value) / sum(weight). Which weights has the rest?",
        "First: weights 1 - query_mask, values h. Second: weights query_mask, values 1 - h.",
    ),
    reference=two_leaks_reference,
    check=_check_two_leaks,
)

# ---------------------------------------------------------------------------------------------- border_floor


def border_floor_reference(m):
    return (m * (1 - m)).sum() / m.sum()


def _check_border_floor(answer):
    m = torch.tensor([0.0, 0.0, 0.25, 1.0, 1.0, 0.5, 0.9, 0.0])
    truth = float(border_floor_reference(m))
    got = answer(m)
    expect(
        not same(got, 0.0),
        "zero is right for a hard mask only. A cell that is half object finds itself, and so reads its own half of "
        "background.",
    )
    expect(
        not same(got, (m * m).sum() / m.sum()),
        "m times m is what the object's part reads from the object; the leak is the other factor, 1 - m.",
    )
    expect(not same(got, (m * (1 - m)).sum()), "that is the sum; divide it by the object's area.")
    expect(not same(got, (m * (1 - m)).mean()), "you divided by all cells; the object's area is the sum of m.")
    expect(
        not same(got, (m * (1 - m)).sum() / (m > 0).sum()),
        "you divided by the number of cells that the object touches; its area is the sum of m: half a cell is a half.",
    )
    expect(
        not same(got, (1 - m)[m > 0].mean()),
        "every touched cell weighs the same in yours; a cell that is a quarter object asks with a quarter of its "
        "weight.",
    )
    expect(
        same(got, truth),
        "not the right number: cell i is its own and only match, so h_i = m_i. Put that into the reversed leak.",
    )


border_floor = Exercise(
    name="border_floor",
    title="The leak of a perfect match",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "The best memory one can think of: every cell finds exactly itself. What is A then, and what is h?",
        "A is the identity, so h_i = m_i. Now write down the second number of `two_leaks` with it.",
    ),
    reference=border_floor_reference,
    check=_check_border_floor,
)
