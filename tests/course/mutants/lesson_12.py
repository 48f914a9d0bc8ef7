"""Answers to the exercises of lesson 12 that must pass, and wrong ones that must not."""

import torch

from vosnb.course.exercises.lesson_12 import read_at
from vosnb.methods.mask_rcnn import area, box_iou, clip_boxes, move_sides, nms, roi_align

# ---------------------------------------------------------------------------------------------- suppress


def suppress_with_the_package(boxes, scores, threshold):
    order = scores.argsort(descending=True)
    return order[nms(boxes[order], threshold)].tolist()


def suppress_by_striking_out(boxes, scores, threshold):
    left, stays = scores.argsort(descending=True), []
    while len(left):
        stays.append(left[0].item())
        left = left[box_iou(boxes[left[:1]], boxes[left])[0] <= threshold]
    return stays


def suppress_in_order(boxes, scores, threshold):
    return nms(boxes, threshold).nonzero()[:, 0].tolist()


def suppress_from_the_worst(boxes, scores, threshold):
    return suppress_with_the_package(boxes, -scores, threshold)


def suppress_by_all(boxes, scores, threshold):
    better = scores[:, None] < scores
    return (~((box_iou(boxes, boxes) > threshold) & better).any(1)).nonzero()[:, 0].tolist()


def suppress_over_the_smaller(boxes, scores, threshold):
    stays = []
    for i in scores.argsort(descending=True).tolist():
        alone = True
        for j in stays:
            a, b = boxes[i], boxes[j]
            overlap = area(torch.cat([torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])]))
            alone &= bool(overlap / torch.minimum(area(a), area(b)) <= threshold)
        if alone:
            stays.append(i)
    return stays


def suppress_as_yes_or_no(boxes, scores, threshold):
    order = scores.argsort(descending=True)
    return nms(boxes[order], threshold)


def suppress_none(boxes, scores, threshold):
    return scores.argsort(descending=True).tolist()


def suppress_sorted_by_index(boxes, scores, threshold):
    return sorted(suppress_with_the_package(boxes, scores, threshold))


# ---------------------------------------------------------------------------------------------- bin_value


def bin_of_the_package(x, box, row, column, out, stride):
    return roi_align(x[None, None], torch.tensor([[box]]), out, stride)[0, 0, 0, row, column].item()


def bins(x, box, row, column, out, stride, inside=(0.25, 0.75), half=0.5, to=lambda at: at, turned=False):
    left, top, right, bottom = box
    total = 0.0
    for a in inside:
        for b in inside:
            i = to((top + (row + a) / out * (bottom - top)) / stride - half)
            j = to((left + (column + b) / out * (right - left)) / stride - half)
            total += read_at(x, j, i) if turned else read_at(x, i, j)
    return total / len(inside) ** 2


def bin_without_half(*given):
    return bins(*given, half=0.0)


def bin_rounded(*given):
    return bins(*given, to=round)


def bin_turned(*given):
    return bins(*given, turned=True)


def bin_of_one_point(*given):
    return bins(*given, inside=(0.5,))


def bin_at_corners(*given):
    return bins(*given, inside=(0.0, 0.5))


def bin_in_pixels(x, box, row, column, out, stride):
    return bins(x, box, row, column, out, 1)


def bin_of_the_sum(*given):
    return 4 * bins(*given)


# ---------------------------------------------------------------------------------------------- extend


def extend_with_the_package(proposals, last, share, size):
    return torch.cat([proposals[: len(proposals) // 2], clip_boxes(move_sides(last, share), size)])


def extended(copies):
    """An answer with these copies(last, share), clipped."""
    return lambda proposals, last, share, size: torch.cat(
        [proposals[: len(proposals) // 2], clip_boxes(copies(last, share), size)]
    )


def sizes(last):
    return last[2] - last[0], last[3] - last[1]


def shifted(last, share):
    w, h = sizes(last)
    return last + share * torch.stack([w, h, w, h])


def inward(last, share):
    return move_sides(last, -share)


def exchanged(last, share):
    w, h = sizes(last)
    return last + share * torch.stack([-h, -w, h, w])


def by_pixels(last, share):
    return last + share * torch.tensor([-1.0, -1, 1, 1])


def alike(last, share):
    return move_sides(last, share[:1]).expand(len(share), -1)


def extend_the_worse(proposals, last, share, size):
    return extend_with_the_package(proposals.flip(0), last, share, size)


def extend_the_later(proposals, last, share, size):
    half = len(proposals) // 2
    return torch.cat([proposals[half:], clip_boxes(move_sides(last, share), size)])


def extend_beyond(proposals, last, share, size):
    return torch.cat([proposals[: len(proposals) // 2], move_sides(last, share)])


def extend_all(proposals, last, share, size):
    return torch.cat([proposals, clip_boxes(move_sides(last, share), size)])


# ---------------------------------------------------------------------------------------------- adapt


def adapt_in_a_loop(first, now, given, answers, tune):
    examples = []
    for image, mask in reversed(answers):
        if mask.max() > 0.5 and len(examples) < 2:
            examples.insert(0, (image, mask))
    return tune(first, [given] + examples) if examples else now


def useful(answers, count=2):
    return [(image, mask) for image, mask in answers if mask.any()][-count:]


def adapt_onward(first, now, given, answers, tune):
    return tune(now, [given, *useful(answers)]) if useful(answers) else now


def adapt_without_frame_0(first, now, given, answers, tune):
    return tune(first, useful(answers)) if useful(answers) else now


def adapt_to_all(first, now, given, answers, tune):
    return tune(first, [given, *useful(answers, 99)]) if useful(answers) else now


def adapt_to_the_first_alone(first, now, given, answers, tune):
    return tune(first, [given])


def adapt_to_empty_ones(first, now, given, answers, tune):
    return tune(first, [given, *answers[-2:]])


def adapt_to_the_last_unless_empty(first, now, given, answers, tune):
    return tune(first, [given, *useful(answers[-2:])]) if useful(answers[-2:]) else now


def adapt_always(first, now, given, answers, tune):
    return tune(first, [given, *useful(answers)])


RIGHT = {
    "suppress": [suppress_with_the_package, suppress_by_striking_out],
    "bin_value": [bin_of_the_package, bins],
    "extend": [extend_with_the_package],
    "adapt": [adapt_in_a_loop],
}
MUTANTS = {
    "suppress": {
        "as they come": (suppress_in_order, "as they come"),
        "from the worst": (suppress_from_the_worst, "worst score"),
        "all better ones": (suppress_by_all, "has gone suppresses nothing"),
        "over the smaller": (suppress_over_the_smaller, "smaller"),
        "yes or no": (suppress_as_yes_or_no, "indices"),
        "all stay": (suppress_none, "all boxes stay"),
        "by index": (suppress_sorted_by_index, "order"),
    },
    "bin_value": {
        "half a cell": (bin_without_half, "half a cell"),
        "rounded": (bin_rounded, "rounded"),
        "turned": (bin_turned, "exchanged"),
        "one point": (bin_of_one_point, "2 x 2"),
        "at the corners": (bin_at_corners, "border of the bin"),
        "in pixels": (bin_in_pixels, "divide by the stride"),
        "the sum": (bin_of_the_sum, "do not agree"),
    },
    "extend": {
        "shifted": (extended(shifted), "shifted"),
        "inward": (extended(inward), "inward"),
        "width and height exchanged": (extended(exchanged), "exchanged"),
        "pixels": (extended(by_pixels), "not pixels"),
        "all alike": (extended(alike), "alike"),
        "the later half": (extend_the_later, "worse half"),
        "the worse half, turned": (extend_the_worse, "better half"),
        "beyond the frame": (extend_beyond, "leave the frame"),
        "more boxes": (extend_all, "number of boxes"),
    },
    "adapt": {
        "onward": (adapt_onward, "reset"),
        "without frame 0": (adapt_without_frame_0, "frame 0 is missing"),
        "to all answers": (adapt_to_all, "last two"),
        "to frame 0 alone": (adapt_to_the_first_alone, "nothing is learned"),
        "to empty answers": (adapt_to_empty_ones, "empty answer"),
        "the last two unless empty": (adapt_to_the_last_unless_empty, "leave out"),
        "always": (adapt_always, "nothing to adapt to"),
    },
}
