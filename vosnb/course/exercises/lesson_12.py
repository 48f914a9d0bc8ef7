"""Exercises of lesson 12: suppression, RoIAlign by hand, proposals at the last box, and adaptation with a reset."""

import torch

from vosnb.course.exercises import Exercise, expect, same
from vosnb.methods.mask_rcnn import area, bilinear, box_iou, clip_boxes, move_sides, roi_align

# ---------------------------------------------------------------------------------------------- suppress


def suppress_reference(boxes, scores, threshold):
    stays = []
    for i in scores.argsort(descending=True).tolist():  # best first
        if all(box_iou(boxes[[i]], boxes[[j]]).item() <= threshold for j in stays):
            stays.append(i)
    return stays


def _greedy(boxes, scores, threshold, iou=box_iou, against="those that stay", descending=True):
    """The reference, with one thing done differently."""
    stays, seen = [], []
    for i in scores.argsort(descending=descending).tolist():
        others = stays if against == "those that stay" else seen
        if all(iou(boxes[[i]], boxes[[j]]).item() <= threshold for j in others):
            stays.append(i)
        seen.append(i)
    return stays


def _over_smaller(a, b):
    iou = box_iou(a, b)
    union = (area(a)[:, None] + area(b)) / (1 + iou)  # intersection = iou * union
    return iou * union / torch.minimum(area(a)[:, None], area(b))


def _check_suppress(answer):
    chain = torch.stack([torch.tensor([4.0 * n, 0, 4 * n + 10, 10]) for n in (3, 0, 1, 2)])  # neighbours overlap
    inside = torch.tensor([[10.0, 40, 24, 54], [0, 30, 40, 70]])  # a small box in a large one
    boxes = torch.cat([inside, chain])
    scores = torch.tensor([0.5, 0.9, 0.4, 0.8, 0.7, 0.6])  # along the chain it falls: every second stays
    right = suppress_reference(boxes, scores, 0.4)
    got = answer(boxes.clone(), scores.clone(), 0.4)
    got = got.tolist() if isinstance(got, torch.Tensor) else list(got)
    expect(
        not any(isinstance(i, bool) for i in got) and len(set(got)) == len(got),
        "return the indices of the boxes that stay, each once, not a yes or no for each box.",
    )
    expect(len(got) < len(boxes), "all boxes stay. Some have a better one with which they overlap by more than 0.4.")

    def is_that(**different):
        return sorted(got) == sorted(_greedy(boxes, scores, 0.4, **different))

    in_order = torch.arange(len(boxes), 0, -1).float()
    expect(
        sorted(got) != sorted(suppress_reference(boxes, in_order, 0.4)),
        "you went through the boxes as they come. The best score decides first: sort by score.",
    )
    expect(not is_that(descending=False), "you began with the worst score: sort so that the best comes first.")
    expect(
        not is_that(against="all better ones"),
        "a box that has gone suppresses nothing any more: compare with those that stay, not with all better ones.",
    )
    expect(
        not is_that(iou=_over_smaller),
        "you divided by the smaller box. A small box in a large one is another object; divide by the union.",
    )
    expect(sorted(got) == sorted(right), "these are not the boxes that stay: one goes if its IoU with a better one "
           "that stays is above the threshold.")  # fmt: skip
    expect(got == right, "the right boxes, but not in the right order: best first.")


suppress = Exercise(
    name="suppress",
    title="One box for each object",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "Go through the boxes from the best score to the worst: scores.argsort(descending=True).",
        "Keep a list of those that stay. A new one stays if its IoU with each of them is at most the threshold.",
        "box_iou(boxes[[i]], boxes[[j]]).item() is the IoU of two of them.",
    ),
    reference=suppress_reference,
    check=_check_suppress,
)

# ---------------------------------------------------------------------------------------------- bin_value


def read_at(x, i, j):
    """The map x (h, w) at row i and column j, fractions allowed: bilinear between the centres of cells."""
    rows, columns = (bilinear(torch.as_tensor([float(at)]), cells) for at, cells in zip((i, j), x.shape, strict=True))
    return (rows @ x @ columns.T).item()


def bin_value_reference(x, box, row, column, out, stride):
    left, top, right, bottom = box
    values = []
    for a in (0.25, 0.75):
        for b in (0.25, 0.75):
            across = left + (column + b) / out * (right - left)  # in pixels
            down = top + (row + a) / out * (bottom - top)
            values.append(read_at(x, down / stride - 0.5, across / stride - 0.5))  # in cells
    return sum(values) / 4


def _bin(x, box, row, column, out, stride, inside=(0.25, 0.75), half=0.5, rounded=False, turned=False):
    """The reference, with one thing done differently."""
    left, top, right, bottom = box
    values = []
    for a in inside:
        for b in inside:
            across, down = left + (column + b) / out * (right - left), top + (row + a) / out * (bottom - top)
            i, j = down / stride - half, across / stride - half
            i, j = (round(i), round(j)) if rounded else (i, j)
            values.append(read_at(x, *((j, i) if turned else (i, j))))
    return sum(values) / len(values)


def _check_bin_value(answer):
    x = torch.randn(6, 7, generator=torch.Generator().manual_seed(4))
    box, out, stride = (5.5, 3.0, 24.5, 20.0), 3, 4
    right = roi_align(x[None, None], torch.tensor([[box]]), out, stride)[0, 0, 0]
    where = [(0, 0), (1, 2), (2, 1)]
    got = [float(answer(x.clone(), box, row, column, out, stride)) for row, column in where]

    def is_that(**different):
        return same(got, [_bin(x, box, row, column, out, stride, **different) for row, column in where], 1e-4)

    expect(
        not is_that(half=0.0),
        "half a cell is missing: the centre of cell 0 lies at stride / 2 pixels, so a pixel is at cell y / stride - "
        "0.5.",
    )
    expect(
        not is_that(rounded=True),
        "you rounded the points to whole cells. That is what came before RoIAlign: read between the cells.",
    )
    expect(not is_that(turned=True), "rows and columns are exchanged: read_at takes the row, from y, first.")
    expect(
        not is_that(inside=(0.5,)),
        "one point in the middle of the bin; here a bin is the mean of 2 x 2 points, at 1/4 and 3/4 of it.",
    )
    expect(
        not (is_that(inside=(0.0, 0.5)) or is_that(inside=(0.0, 1.0))),
        "your points lie on the border of the bin: they belong at 1/4 and 3/4 of it, each in the middle of a quarter.",
    )
    expect(
        not same(got, [_bin(x, box, *at, out, 1) for at in where], 1e-4),
        "the box is in pixels and the map in cells: divide by the stride before you read.",
    )
    expect(
        same(got, [right[at].item() for at in where], 1e-4),
        "the values do not agree: bin (row, column) goes from top + row / out of the height to top + (row + 1) / out.",
    )


bin_value = Exercise(
    name="bin_value",
    title="RoIAlign, one bin",
    difficulty=3,
    importance=4,
    minutes=15,
    hints=(
        "First in pixels: the bin is 1 / out of the box wide. Its points lie at 1/4 and 3/4 of its width and height.",
        "down = top + (row + a) / out * (bottom - top), with a = 1/4 and 3/4; and the same across.",
        "In cells that is down / stride - 0.5, since the centre of cell 0 lies half a cell from the border.",
    ),
    reference=bin_value_reference,
    check=_check_bin_value,
)

# ---------------------------------------------------------------------------------------------- extend


def extend_reference(proposals, last, share, size):
    kept = proposals[: len(proposals) // 2]
    left, top, right, bottom = last
    width, height = right - left, bottom - top
    moved = torch.stack([
        (left - share[:, 0] * width).clamp(min=0),
        (top - share[:, 1] * height).clamp(min=0),
        (right + share[:, 2] * width).clamp(max=size[1]),
        (bottom + share[:, 3] * height).clamp(max=size[0]),
    ], 1)  # fmt: skip
    return torch.cat([kept, moved])


def _check_extend(answer):
    r = torch.Generator().manual_seed(7)
    proposals = torch.rand(6, 4, generator=r) * torch.tensor([10.0, 10, 10, 10]) + torch.tensor([0.0, 0, 20, 20])
    last, size, share = torch.tensor([30.0, 2, 70, 22]), (48, 72), 0.1 + 0.1 * torch.rand(3, 4, generator=r)
    right = extend_reference(proposals, last, share, size)
    got = torch.as_tensor(answer(proposals.clone(), last.clone(), share.clone(), size))
    expect(
        got.shape == right.shape,
        "the number of boxes should stay what it was: half of the proposals, and as many copies of the last box.",
    )
    expect(not same(got[:3], proposals[3:]), "you kept the worse half: proposals come best first.")
    expect(same(got[:3], proposals[:3]), "the first half should be the better half of the proposals, as they were.")
    copies, sides = got[3:], share.clone()

    def is_that(moved):
        return same(copies, clip_boxes(moved, size), 1e-3)

    expect(
        not is_that(last + share * torch.tensor([40.0, 20, 40, 20])),
        "all four sides went right or down: the copies are shifted. Outward means: left and top by minus.",
    )
    expect(not is_that(move_sides(last, -sides)), "the sides went inward: left and top go down, right and bottom up.")
    expect(
        not is_that(last + share * torch.tensor([-20.0, -40, 20, 40])),
        "width and height are exchanged: left and right move by shares of the width.",
    )
    expect(
        not is_that(last + share * torch.tensor([-1.0, -1, 1, 1])),
        "the shares are shares of the box's width and height, not pixels.",
    )
    expect(not same(copies, move_sides(last, share), 1e-3), "boxes must not leave the frame: (H, W) is its size.")
    expect(
        not is_that(torch.stack([move_sides(last, share[0])] * 3)),
        "all copies are alike: each has its own row of shares.",
    )
    expect(same(got, right, 1e-3), "the copies do not agree: left - share[:, 0] * width, and so on, in the frame.")


extend = Exercise(
    name="extend",
    title="Look where it was",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "The answer has two parts, one behind the other: proposals[: len(proposals) // 2] and the copies.",
        "left - share[:, 0] * width is the left side of all copies. Which sign has each of the others?",
        "torch.stack([left, top, right, bottom], 1), with clamp(min=0) for two of them and clamp(max=..) for two.",
    ),
    reference=extend_reference,
    check=_check_extend,
)

# ---------------------------------------------------------------------------------------------- adapt


def adapt_reference(first, now, given, answers, tune):
    useful = [(image, mask) for image, mask in answers if (mask > 0.5).any()][-2:]
    if not useful:
        return now
    return tune(first, [given, *useful])


class _Tuned:
    """Stands in for fine-tuning: remembers from where and on what."""

    def __init__(self):
        self.calls = []

    def __call__(self, start, examples):
        self.calls.append((start, [image for image, _ in examples]))
        return f"tuned {len(self.calls)}"


def _check_adapt(answer):
    def asked(shown):
        """What the answer tuned from and on, and what it returned; shown: whether each answer shows the object."""
        tune = _Tuned()
        answers = [(f"frame {n + 1}", torch.full((2, 2), float(there))) for n, there in enumerate(shown)]
        result = answer("theta^T", "adapted before", ("frame 0", torch.ones(2, 2)), answers, tune)
        return tune.calls, result

    calls, result = asked([1, 1, 1, 1, 1])
    expect(len(calls) == 1, "call tune once, with the weights to begin with and the examples.")
    start, images = calls[0]
    expect(
        start != "adapted before",
        "you went on from where the last adaptation had ended. Then what one block learned wrongly, the next builds "
        "on: reset to `first`.",
    )
    expect("frame 0" in images, "frame 0 is missing: it is the only example whose mask is known to be true.")
    expect(images != ["frame 0"], "nothing is learned from the answers: add the last two.")
    expect(
        not set(images) & {"frame 1", "frame 2", "frame 3"},
        "too many or too old answers: take the last two, which are nearest to what comes next.",
    )
    expect(len(images) == 3, "frame 0 and the last two answers are three examples.")
    expect(result == "tuned 1", "return what tune returns.")
    calls, _ = asked([1, 1, 1, 1, 0])
    expect(
        calls and "frame 5" not in calls[0][1],
        "the object is not in the mask of frame 5. Learning from an empty answer is learning that it is not there.",
    )
    expect(
        calls[0][1][-2:] == ["frame 3", "frame 4"],
        "leave out the empty answers first, and then take the last two: here those of frames 3 and 4.",
    )
    calls, result = asked([0, 0])
    expect(
        not calls and result == "adapted before",
        "when no answer shows the object there is nothing to adapt to: the weights stay as they are `now`.",
    )


adapt = Exercise(
    name="adapt",
    title="Adapt, and reset",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Two questions: where do the steps begin, and which examples do they see?",
        "They begin at `first`, each time. Examples: the given one, and the last two answers that are not empty.",
        "tune(first, [given, *useful]); if there is nothing useful, return now.",
    ),
    reference=adapt_reference,
    check=_check_adapt,
)
