"""Exercises of lesson 02: a heatmap from soft masks, the theft meter, a memory that counts too much, an alarm."""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.course.exercises import Exercise, expect, same, written
from vosnb.methods.matching import affinity

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
    kind="warm-up",
    task="Write the heat h of the object, from the affinity and from the masks of all frames in memory. Masks have "
    "pixels, the affinity has cells: a cell that is half covered counts half.",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Two steps: bring the masks from pixels to cells, then add up each row of A over the object's part.",
        "`F.avg_pool2d` means over squares. It wants a batch, channels and numbers: `masks.float()[:, None]`.",
        "Row-major order and frame after frame is just what flattening gives; then one matrix product is left.",
    ),
    reference=soft_heatmap_reference,
    check=_check_soft_heatmap,
)

# ---------------------------------------------------------------------------------------------- theft_meter


def theft_meter_reference(query_keys, memories, masks, groups, stride=8):
    shares = []
    for query_key, (memory_key, remembered), mask in zip(query_keys, memories, masks, strict=True):
        h = affinity(query_key, memory_key) @ remembered
        inside = np.stack([np.isin(mask, numbers) for numbers in groups])
        covered = F.avg_pool2d(torch.from_numpy(inside).float(), stride).flatten(1)  # (G, N)
        shares.append(covered @ h / h.sum())
    return torch.stack(shares)


def _scenes(count=3, stride=4):
    """Arguments of the meter: a grid of 3 x 4 cells, three objects, a memory that grows."""
    r = torch.Generator().manual_seed(5)
    keys = [2 * torch.randn(6, 12, generator=r) for _ in range(count)]
    memories = [
        (
            torch.cat([k + 0.5 * torch.randn(6, 12, generator=r) for k in keys[: t + 1]], 1),
            torch.rand(12 * (t + 1), generator=r) ** 2,
        )
        for t in range(count)
    ]
    masks = [torch.randint(0, 4, (3 * stride, 4 * stride), generator=r).byte().numpy() for _ in range(count)]
    for mask in masks:
        mask[:6, :7] = 1
        mask[7:, 9:] = 2
    return keys, memories, masks, [[1], [2, 3], [], [0]]


def _meter(h_of, covered_of=None):
    """A meter with another heat, or other cells, to recognise what a student did."""

    def meter(keys, memories, masks, groups, stride=4):
        rows = []
        for k, (m, remembered), mask in zip(keys, memories, masks, strict=True):
            inside = torch.from_numpy(np.stack([np.isin(mask, numbers) for numbers in groups])).float()
            covered = covered_of(inside) if covered_of else F.avg_pool2d(inside, stride).flatten(1)
            h = h_of(k, m, remembered)
            rows.append((covered, h))
        return rows

    return meter


def _heat(k, m, remembered):
    return affinity(k, m) @ remembered


def _check_theft_meter(answer):
    scenes = _scenes()
    groups = scenes[-1]
    truth = theft_meter_reference(*scenes, stride=4)
    got = answer(*scenes, 4)
    expect(
        np.shape(got) == (3, 4),
        f"the meter gives a number for each frame and each group, here (3, 4); yours has the shape {np.shape(got)}.",
    )

    def is_like(rows):
        return same(got, torch.stack(rows), 1e-4)

    parts = _meter(_heat)(*scenes)
    expect(
        not is_like([covered @ h / covered.sum(1) for covered, h in parts]) and not np.isnan(np.asarray(got)).any(),
        "that is the mean heat of a cell of each group, divided by the group's area. The meter asks how the frame's "
        "heat is divided up: divide by all the heat there is. (A group without cells then has none of it.)",
    )
    expect(
        not is_like([covered @ h for covered, h in parts]), "those are sums of heat. Divide by all the heat there is."
    )
    expect(
        not is_like([covered @ h / len(h) for covered, h in parts]),
        "you divided by the number of cells. Of all the *heat*, which share lies on each group?",
    )
    expect(
        not is_like(
            [covered @ h / h.sum() for covered, h in _meter(_heat, lambda x: F.max_pool2d(x, 4).flatten(1))(*scenes)]
        )
        and not is_like(
            [(covered > 0.5).float() @ h / h.sum() for covered, h in parts],
        )
        and not is_like(
            [c @ h / h.sum() for c, h in _meter(_heat, lambda x: x[:, ::4, ::4].flatten(1))(*scenes)],
        ),
        "a cell that is half a look-alike has to count half: take the mean of each group's mask over the cell's "
        "pixels.",
    )
    expect(
        not is_like([c @ h / h.sum() for c, h in _meter(lambda k, m, r: (k.T @ m).softmax(-1) @ r)(*scenes)]),
        "your affinity has no scale: keys of d channels need their products divided by the root of d, as "
        "`affinity` does.",
    )
    expect(
        not is_like([c @ h / h.sum() for c, h in _meter(lambda k, m, r: (6**-0.5 * k.T @ m).softmax(0) @ r)(*scenes)]),
        "your softmax runs over the query cells. Each *query* cell divides its attention among the memory's cells.",
    )
    expect(
        not is_like([c @ h / h.sum() for c, h in _meter(lambda k, m, r: affinity(k, m) @ (r > 0.5).float())(*scenes)]),
        "you made the remembered masks hard. They are what the tracker believed, from 0 to 1: take them as they are.",
    )
    first = scenes[1][0]
    expect(
        not is_like([c @ h / h.sum() for c, h in _meter(lambda k, m, r: _heat(k, *first))(*scenes)]),
        "you looked into the first frame's memory all the time. Frame t has a memory of its own, `memories[t]`.",
    )
    expect(
        not is_like([c @ h / h.sum() for c, h in _meter(lambda k, m, r: affinity(k, m) @ (1 - r))(*scenes)]),
        "that is the heat of what is *not* the object; the meter follows what is read from the object.",
    )
    expect(same(got, truth, 1e-4), "the shares are not right. Go through frame 0 by hand: heat, cells, shares.")
    reordered = [groups[3], groups[1], groups[0]]
    expect(
        same(answer(*scenes[:3], reordered, 4), truth[:, [3, 1, 0]], 1e-4),
        "right for four groups in this order, but not for others: which groups there are is an argument.",
    )
    large = _scenes(2, 8)
    expect(
        same(answer(*large), theft_meter_reference(*large), 1e-4),
        "right for cells of 4 pixels, but not for the default of 8: use the argument `stride`.",
    )


theft_meter = Exercise(
    name="theft_meter",
    title="The theft meter",
    kind="build",
    task="Build the instrument of this lesson. For every frame of a clip: compute the heat h from the keys and from "
    "what is remembered, bring the true masks of each group from pixels to cells, and say which share of all the heat "
    "lies on "
    "each group. The rest of the lesson runs on your meter.",
    difficulty=3,
    importance=5,
    minutes=30,
    hints=(
        "Do one frame first. Its heat is the warm-up, only that the remembered mask comes in cells already.",
        "For the groups you need (G, N): `np.isin(mask, numbers)` says where a group is, pooling says how much of "
        "a cell.",
        "A share is a part divided by the whole. The part: heat times how much of the cell is the group's, summed over "
        "cells. The whole: all the heat of the frame, whoever has it.",
        "Then a loop over the frames, which go through the three lists side by side, and a stack of its results.",
    ),
    reference=theft_meter_reference,
    check=_check_theft_meter,
)

# ---------------------------------------------------------------------------------------------- heat_of_memory


def heat_of_memory_faulty(query_key, frames):
    """h (N,) of a memory of several frames, given as a list of (key (d, M), mask (M,))."""
    products = [query_key.T @ key / len(query_key) ** 0.5 for key, _ in frames]
    A = torch.cat([product.softmax(dim=-1) for product in products], dim=-1)
    return A @ torch.cat([mask for _, mask in frames])


def heat_of_memory_reference(query_key, frames):
    """h (N,) of a memory of several frames, given as a list of (key (d, M), mask (M,))."""
    products = [query_key.T @ key / len(query_key) ** 0.5 for key, _ in frames]
    A = torch.cat(products, dim=-1).softmax(dim=-1)
    return A @ torch.cat([mask for _, mask in frames])


def _check_heat_of_memory(answer):
    r = torch.Generator().manual_seed(7)
    query = 2 * torch.randn(5, 9, generator=r)
    frames = [(3 * torch.randn(5, m, generator=r), torch.rand(m, generator=r)) for m in (9, 9, 4)]
    frames[0] = (query + 0.1, torch.rand(9, generator=r))
    truth = heat_of_memory_reference(query, frames)
    h = answer(query, frames)
    expect(
        np.shape(h) == (9,) and torch.as_tensor(h).max() <= 1.001,
        f"with three frames in memory a cell reads h = {float(torch.as_tensor(h).max()):.2f} from the object. A "
        f"share of "
        "its attention cannot be more than 1. Where does each frame get its share from?",
    )
    single = torch.stack([affinity(query, key) @ mask for key, mask in frames])
    expect(
        not same(h, single.mean(0)),
        "now every frame has the same vote, however badly it matches. Frames *compete*: a cell that finds itself "
        "in one "
        "frame should hardly look at the others.",
    )
    expect(
        not same(h, single.max(0).values) and not same(h, single.sum(0).clamp(max=1)),
        "cutting h down to 1 hides the symptom. Make the attention of each query cell sum to one over *all* frames.",
    )
    expect(
        not any(same(h, one) for one in single),
        "that reads one frame alone; the memory has three.",
    )
    expect(same(h, truth), "h is below 1 now, but it is not the sum over all memory cells of A_ij times the mask.")


heat_of_memory = Exercise(
    name="heat_of_memory",
    title="A memory that counts too much",
    kind="bug hunt",
    task="This program computes h for a memory of several frames. With one frame it is right. With more it says that "
    "cells read more than everything from the object. Find the fault and mend it.",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "Add up a row of A, for one frame in memory and for three. What should it be, and what is it in this program?",
        "There is a softmax for each frame. What does it make sum to one?",
        "A row has to share one attention among the cells of all frames: when should they meet?",
    ),
    reference=heat_of_memory_reference,
    check=_check_heat_of_memory,
    faulty=heat_of_memory_faulty,
)

# ---------------------------------------------------------------------------------------------- alarm

_QUESTION = (
    "The meter needs the true masks of all look-alikes, which nobody has for a real video. Propose an alarm: a number "
    "that a tracker can compute from what it has itself (frames, the first mask, keys, its own answers) and that rises "
    "when look-alikes steal. Say why it rises, when it fails, and how you would test it."
)

alarm = Exercise(
    name="alarm",
    title="An alarm without the truth",
    kind="open question",
    task=_QUESTION,
    difficulty=4,
    importance=4,
    minutes=20,
    hints=(
        "What does the heatmap of the film look like when heat is stolen? How would you describe it without naming "
        "animals?",
        "Frame 0 is the one frame whose mask is true. What can you already measure in it?",
        "For the test: on which clips do you know the truth, and on which of these may you choose a threshold?",
    ),
    reference="Count the heat outside of the largest connected blob of the answer, as a share of all the heat. Stolen "
    "heat lies on other animals, so it makes blobs of its own, and the share rises. In frame 0 the same number can be "
    "computed "
    "against the given mask: a clip that starts with much heat outside is a dangerous one. It fails when the "
    "target touches its look-alike, since there is one blob only; when something covers the target and cuts it "
    "into two; "
    "and when the memory has changed sides altogether: then all the heat lies on one wrong animal. To test it, "
    "take toys "
    "and creatures, where the meter is known; choose a threshold on some of the clips, and on others count alarms "
    "that were right, false ones, and thefts that were missed. As a control, use the same scenes with strangers as "
    "companions: there it should be silent.",
    rubric=(
        "It uses nothing that a tracker on a real video does not have.",
        "It says by which mechanism theft makes the number rise.",
        "It names at least one case in which the alarm is silent though heat is stolen, or rings for nothing.",
        "It is tested on clips other than those on which a threshold was chosen, with a control without look-alikes.",
    ),
    check=written(25, _QUESTION),
)
