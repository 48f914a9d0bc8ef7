"""Answers to the exercises of lesson 00 that must pass, and wrong ones that must not."""

import numpy as np

from vosnb.course.exercises.lesson_00 import CLIPS

# ------------------------------------------------------------------------------------------------- J with void pixels


def jaccard_of_sets(truth, prediction, k):
    pixels = [p for p in np.ndindex(truth.shape) if truth[p] != 255]
    gt = {p for p in pixels if truth[p] == k}
    pred = {p for p in pixels if prediction[p] == k}
    return len(gt & pred) / len(gt | pred) if gt | pred else 1.0


def jaccard_with_void(truth, prediction, k):
    gt, pred = truth == k, prediction == k
    return (gt & pred).sum() / (gt | pred).sum() if (gt | pred).any() else 1.0


def jaccard_of_foreground(truth, prediction, k):
    return jaccard_of_sets(np.where(truth == 255, 255, truth > 0), prediction > 0, 1)


def share_of_right_pixels(truth, prediction, k):
    return ((truth == k) == (prediction == k)).mean()


def dice(truth, prediction, k):
    gt, pred = truth == k, (prediction == k) & (truth != 255)
    return 2 * (gt & pred).sum() / (gt.sum() + pred.sum()) if (gt | pred).any() else 1.0


def share_of_the_truth(truth, prediction, k):
    gt, pred = truth == k, prediction == k
    return (gt & pred).sum() / gt.sum() if gt.any() else 1.0


def void_as_found(truth, prediction, k):
    void = truth == 255
    gt, pred = (truth == k) | void, (prediction == k) | void
    return (gt & pred).sum() / (gt | pred).sum() if (gt | pred).any() else 1.0


def nothing_scores_nothing(truth, prediction, k):
    gt, pred = truth == k, (prediction == k) & (truth != 255)
    return (gt & pred).sum() / max(1, (gt | pred).sum())


# ----------------------------------------------------------------------------------------------- a tracker by colour


class Colours:
    """A right answer by a dictionary of single colours; the wrong ones change a part of it."""

    def start(self, frame, mask):
        self.counts = {}
        self.first = mask
        self.sizes = [(mask == 0).sum(), (mask == 1).sum()]
        for colour, k in zip(frame.reshape(-1, 3).tolist(), mask.ravel(), strict=True):
            self.count(self.counts.setdefault(tuple(colour), [0, 0]), k)

    def count(self, counts, k):
        if k in (0, 1):
            counts[k] += 1

    def rate(self, outside, inside):
        return inside / (inside + outside) if inside + outside else 0.0

    def step(self, frame):
        rates = [self.rate(*self.counts.get(tuple(c), (0, 0))) for c in frame.reshape(-1, 3).tolist()]
        return np.reshape(rates, frame.shape[:2])


class Still(Colours):
    def step(self, frame):
        return (self.first == 1).astype(float)


class Likelihood(Colours):
    def rate(self, outside, inside):
        return inside / self.sizes[1]


class WithoutPrior(Colours):
    def rate(self, outside, inside):
        a, b = inside / self.sizes[1], outside / self.sizes[0]
        return a / (a + b) if a + b else 0.0


class OfTheBackground(Colours):
    def rate(self, outside, inside):
        return outside / (inside + outside) if inside + outside else 0.0


class VoidAsBackground(Colours):
    def count(self, counts, k):
        counts[int(k == 1)] += 1


class NaNWhereUnseen(Colours):
    def rate(self, outside, inside):
        return inside / (inside + outside) if inside + outside else np.nan


class UndecidedWhereUnseen(Colours):
    def rate(self, outside, inside):
        return inside / (inside + outside) if inside + outside else 0.5


class WhateverOccursInside(Colours):
    def rate(self, outside, inside):
        return float(inside > 0)


class NeverForgets(Colours):
    def __init__(self):
        self.kept = {}

    def start(self, frame, mask):
        super().start(frame, mask)
        for colour, counts in self.counts.items():
            before = self.kept.get(colour, [0, 0])
            self.kept[colour] = [a + b for a, b in zip(before, counts, strict=True)]
        self.counts = self.kept


class LearnsOnTheWay(Colours):
    def step(self, frame):
        belief = super().step(frame)
        for colour, p in zip(frame.reshape(-1, 3).tolist(), belief.ravel(), strict=True):
            self.counts.setdefault(tuple(colour), [0, 0])[int(p > 0.2)] += 1
        return belief


class BinsOverflow(Colours):
    def start(self, frame, mask):
        super().start(frame // 16 * 0, mask)
        self.counts = {(1, 1, 1): [1, 0]}


class OneNumberAFrame(Colours):
    def step(self, frame):
        return super().step(frame).mean()


# ------------------------------------------------------------------------------------------- a score that forgives


def mean_of(score, judged=slice(1, -1)):
    """A score of a clip from one of a frame, given the masks G and P."""

    def mean_j(truths, answers):
        scores = []
        for truth, answer in list(zip(truths, answers, strict=True))[judged]:
            known = truth != 255
            scores.append(score((truth == 1) & known, (answer == 1) & known))
        kept = [s for s in scores if s is not None]
        return sum(kept) / len(kept) if kept else 1.0

    return mean_j


def overlap(G, P, empty=1.0):
    return (G & P).sum() / (G | P).sum() if (G | P).any() else empty


def with_void(truths, answers):
    pairs = list(zip(truths, answers, strict=True))[1:-1]
    return float(np.mean([overlap(truth == 1, answer == 1) for truth, answer in pairs]))


# ------------------------------------------------------------------------------------------------- which clips to take

OWN = (
    "No. Somebody picked this example after looking at results, so luck and choice cannot be told apart. I want a "
    "fixed list made beforehand, thirty videos from several sources, half without similar objects, and then count "
    "wins for each pair, with the mean difference and its interval."
)

RIGHT = {
    "object_jaccard": [jaccard_of_sets],
    "colour_tracker": [Colours],
    "mean_j": [mean_of(overlap)],
    "judge_a_claim": [OWN],
}
MUTANTS = {
    "object_jaccard": {
        "void pixels judged": (jaccard_with_void, "judged void pixels"),
        "every object is object k": (jaccard_of_foreground, "not background for object k"),
        "share of right pixels": (share_of_right_pixels, "share of pixels that are right"),
        "Dice instead of Jaccard": (dice, "Dice"),
        "divided by the truth": (share_of_the_truth, "by the truth alone"),
        "void pixels given away": (void_as_found, "as a present"),
        "two empty masks score 0": (nothing_scores_nothing, "two empty masks"),
    },
    "colour_tracker": {
        "the first mask, unmoved": (Still, "the mask of frame 0"),
        "likelihood": (Likelihood, "P(colour | object)"),
        "prior forgotten": (WithoutPrior, "left the prior out"),
        "background instead of object": (OfTheBackground, "P(background | colour)"),
        "void counted as background": (VoidAsBackground, "void is nobody's"),
        "NaN where unseen": (NaNWhereUnseen, "NaN"),
        "undecided where unseen": (UndecidedWhereUnseen, "should get 0"),
        "whatever occurs inside": (WhateverOccursInside, "believe it a quarter"),
        "counts add up from clip to clip": (NeverForgets, "must forget"),
        "learns on the way": (LearnsOnTheWay, "learns in `start` alone"),
        "bins overflow": (BinsOverflow, "do not fit into uint8"),
        "one number a frame": (OneNumberAFrame, "one belief for each pixel"),
    },
    "mean_j": {
        "the planted fault": (mean_of(lambda G, P: overlap(G, P) if G.any() else 1.0), "fault is still there"),
        "0 where the object is away": (mean_of(lambda G, P: overlap(G, P) if G.any() else 0.0), "gets 0"),
        "frames without the object left out": (
            mean_of(lambda G, P: overlap(G, P) if G.any() else None),
            "Leaving them out",
        ),
        "NaN for two empty masks": (mean_of(lambda G, P: overlap(G, P, np.nan)), "NaN"),
        "the given frame judged": (mean_of(overlap, slice(0, None)), "frame 0 was given"),
        "void judged": (with_void, "void pixels cost"),
    },
    "judge_a_claim": {
        "three words": ("No, never.", "different words"),
        "the question again": (CLIPS, "words of the question"),
        "one word again and again": ("luck " * 60, "again and again"),
        "a number": (0.94, "should be a text"),
    },
}
