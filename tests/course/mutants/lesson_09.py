"""Answers to the exercises of lesson 09 that must pass, and wrong ones that must not."""

import math

import numpy as np
from scipy import ndimage

from vosnb.course.exercises.lesson_09 import area_faulty

# ---------------------------------------------------------------------------------------------- curve_point


def weighted_point(path, s, binomial=True, normalise=False):
    n = len(path) - 1
    weights = np.array([(math.comb(n, k) if binomial else 1) * (1 - s) ** (n - k) * s**k for k in range(n + 1)])
    return (weights / weights.sum() if normalise else weights) @ path


def point_by_recursion(path, s):
    if len(path) == 1:
        return path[0]
    return (1 - s) * point_by_recursion(path[:-1], s) + s * point_by_recursion(path[1:], s)


def point_on_the_path(path, s):
    at = s * (len(path) - 1)
    k = min(int(at), len(path) - 2)
    return (k + 1 - at) * path[k] + (at - k) * path[k + 1]


def blend_once(path, s):
    return (1 - s) * path[:-1] + s * path[1:]


def rounded_point(path, s):
    return np.floor(weighted_point(path, s))


# ---------------------------------------------------------------------------------------------- settle


def settle_region_by_region(before, drawn, fresh, ink):
    """Right, with another library, by pixels that change."""
    mask = np.array(before)
    for k in range(max(before.max(), drawn.max()) + 1):
        regions, n = ndimage.label((drawn == k) & (before != k), np.ones((3, 3)))
        for region in range(1, n + 1):
            if ((regions == region) & (fresh == k)).any():
                mask[regions == region] = k
    return np.where(ink >= 0, ink, mask).astype(np.uint8)


def settle_with(
    touches=lambda fresh, k: fresh == k,
    change=lambda before, drawn, k: (drawn == k) & (before != k),
    connected=True,
    first=0,
    law=lambda mask, fresh, ink: np.where(ink >= 0, ink, mask),
):
    def answer(before, drawn, fresh, ink):
        mask = before.copy()
        for k in range(first, max(before.max(), drawn.max()) + 1):
            gained = change(before, drawn, k)
            regions = ndimage.label(gained, np.ones((3, 3)))[0] if connected else gained.astype(int)
            touched = set(regions[touches(fresh, k)]) - {0}
            mask[np.isin(regions, list(touched))] = k
        return law(mask, fresh, ink)

    return answer


def settle_everything(before, drawn, fresh, ink):
    return np.where(ink >= 0, ink, drawn)


def settle_ink_alone(before, drawn, fresh, ink):
    return np.where(ink >= 0, ink, before)


def settle_in_place(before, drawn, fresh, ink):
    before[...] = settle_region_by_region(before, drawn, fresh, ink)
    return before


def settle_ink_first(before, drawn, fresh, ink):
    mask = settle_ink_alone(before, drawn, fresh, ink)
    touched = settle_with(law=lambda mask, fresh, ink: mask)(before, drawn, fresh, ink)
    return np.where(touched != before, touched, mask)


# ---------------------------------------------------------------------------------------------- area


def piece_by_piece(seconds, scores, end):
    total, now, before = 0.0, 0.0, 0.0
    for took, score in zip(seconds, scores, strict=True):
        total, now, before = total + took * (before + score) / 2, now + took, score
    if now > end:
        raise ValueError("late")
    return (total + (end - now) * before) / end


def area_with(
    times=lambda seconds, end: [0, *np.cumsum(seconds), end],
    heights=lambda scores: [0, *scores, scores[-1]],
    length=lambda seconds, end: end,
    late=True,
):
    def answer(seconds, scores, end):
        if late and np.sum(seconds) > end:
            raise ValueError("late")
        return np.trapezoid(heights(scores), times(seconds, end)) / length(seconds, end)

    return answer


def steps_after(seconds, scores, end):
    now = np.cumsum(seconds)
    return (np.diff([*now, end]) @ scores) / end


def steps_before(seconds, scores, end):
    return (seconds @ scores + (end - seconds.sum()) * scores[-1]) / end


# ---------------------------------------------------------------------------------------------- people

OWN_PEOPLE = (
    "Ground truth guides its every line, whereas humans must search. Invite volunteers, hand each of them either "
    "program in shuffled sequence, stop wall time including hesitation, then test differences pairwise. Were the rival "
    "quicker under real hands, that claim falls."
)

RIGHT = {
    "curve_point": [point_by_recursion, weighted_point],
    "settle": [settle_region_by_region],
    "area": [piece_by_piece],
    "people": [OWN_PEOPLE],
}
MUTANTS = {
    "curve_point": {
        "on the path": (point_on_the_path, "on the path itself"),
        "ends only": (lambda path, s: (1 - s) * path[0] + s * path[-1], "two ends only"),
        "mean": (lambda path, s: path.mean(0), "mean of the path"),
        "backwards": (lambda path, s: point_by_recursion(path[::-1], s), "backwards"),
        "no binomials": (lambda path, s: weighted_point(path, s, binomial=False), "binomial"),
        "no binomials, normalised": (lambda path, s: weighted_point(path, s, False, True), "binomial"),
        "rounded": (rounded_point, "round on the way"),
        "once": (blend_once, "a single one is left"),
        "other weights": (lambda path, s: weighted_point(path, s**2), "again and again"),
    },
    "settle": {
        "everything": (settle_everything, "everything that R draws"),
        "ink alone": (settle_ink_alone, "only painted pixels change"),
        "in place": (settle_in_place, "work on a copy"),
        "any ink": (settle_with(touches=lambda fresh, k: fresh >= 0), "ink of the *background*"),
        "all at once": (settle_with(connected=False), "one by one"),
        "regions of the drawing": (settle_with(change=lambda before, drawn, k: drawn == k), "would *change*"),
        "objects only gain": (settle_with(first=1), "take nothing away"),
        "no law": (settle_with(law=lambda mask, fresh, ink: mask), "is law as well"),
        "new ink alone": (
            settle_with(law=lambda mask, fresh, ink: np.where(fresh >= 0, fresh, mask)),
            "is law as well",
        ),
        "objects' ink alone": (
            settle_with(law=lambda mask, fresh, ink: np.where(ink > 0, ink, mask)),
            "painted as background",
        ),
        "ink first": (settle_ink_first, "law as well"),
        "nothing new": (settle_with(touches=lambda fresh, k: fresh == k + 9), "only painted pixels change"),
        "ink of the background alone": (
            settle_with(law=lambda mask, fresh, ink: np.where(ink == 0, ink, mask)),
            "has lost its label",
        ),
        "a flat list": (lambda *given: settle_region_by_region(*given).ravel(), "as large as the frame"),
    },
    "area": {
        "mean over rounds": (lambda seconds, scores, end: scores.mean(), "mean over rounds"),
        "not summed up": (area_with(times=lambda seconds, end: [0, *seconds, end]), "one after the other"),
        "not divided": (area_with(length=lambda seconds, end: 1), "area in seconds"),
        "not mended": (area_faulty, "the same AUC"),
        "divided by the last round": (area_with(length=lambda seconds, end: seconds.sum()), "`end` long"),
        "begins late": (
            area_with(lambda seconds, end: [*np.cumsum(seconds), end], lambda scores: [*scores, scores[-1]]),
            "(0, 0)",
        ),
        "steps after": (steps_after, "straight line"),
        "steps before": (steps_before, "straight line"),
        "back in time": (area_with(late=False), "back in time"),
    },
    "people": {
        "too short": ("People differ from robots.", "different words"),
        "the same words": ("oracle " * 40, "same few words"),
        "not a text": (8, "should be a text"),
    },
}
