"""Answers to the exercises of lesson 07 that must pass, and wrong ones that must not."""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.methods.ridge import Ridge
from vosnb.methods.scribbles import draw, select
from vosnb.trackers.interactive import at_pixels


def eye(n):
    return torch.eye(n).double()


def inverse(A):
    return torch.linalg.inv(A)


# ---------------------------------------------------------------------------------------------- closed_form


def form_by_cholesky(X, Y, lam):
    return torch.cholesky_solve(X @ Y.T, torch.linalg.cholesky(X @ X.T + lam * eye(len(X))))


def form_as_longer_least_squares(X, Y, lam):
    D, C = len(X), len(Y)
    rows = torch.cat([X.T, lam**0.5 * eye(D)])
    return torch.linalg.lstsq(rows, torch.cat([Y.T, torch.zeros(D, C).to(Y)])).solution


def form_transposed(X, Y, lam):
    return form_by_cholesky(X, Y, lam).T


def form_over_samples(X, Y, lam):
    return inverse(X.T @ X + lam * eye(X.shape[1])) @ Y.T


def form_without_lambda(X, Y, lam):
    return inverse(X @ X.T) @ X @ Y.T


def form_everywhere(X, Y, lam):
    return inverse(X @ X.T + lam) @ X @ Y.T


def form_right_side(X, Y, lam):
    return X @ Y.T


def form_twice_lambda(X, Y, lam):
    return form_by_cholesky(X, Y, 2 * lam)


def form_half_lambda(X, Y, lam):
    return form_by_cholesky(X, Y, lam / 2)


def form_lambda_squared(X, Y, lam):
    return form_by_cholesky(X, Y, lam**2)


def form_of_means(X, Y, lam):
    return form_by_cholesky(X, Y, lam * X.shape[1])


def form_free_constant(X, Y, lam):
    penalty = lam * eye(len(X))
    penalty[-1, -1] = 0
    return inverse(X @ X.T + penalty) @ X @ Y.T


def form_minus(X, Y, lam):
    return inverse(X @ X.T - lam * eye(len(X))) @ X @ Y.T


# ---------------------------------------------------------------------------------------------- an undo


def rounds(add=lambda it, X, Y: None, undo=None):
    """Sums whose `undo(it)` is given, and whose `add` remembers what it likes beside the samples."""

    class Answer:
        def __init__(self, samples, features, classes):
            self.samples, self.kept, self.strokes = samples, [], []
            self.XX = torch.zeros(features, features).double()
            self.XY = torch.zeros(features, classes).double()

        def add(self, stroke):
            X, Y = self.samples(stroke)
            self.kept.append((X, Y, self.XX.clone(), self.XY.clone()))
            self.strokes.append(stroke)
            self.XX += X @ X.T
            self.XY += X @ Y.T

        def undo(self):
            undo(self)

    return Answer


def undo_by_copies(it):
    *_, it.XX, it.XY = it.kept.pop()


def undo_with(pick=lambda kept: kept.pop(), sign=-1, both=True):
    def undo(it):
        X, Y, *_ = pick(it.kept)
        it.XX += sign * X @ X.T
        it.XY += sign * X @ Y.T if both else 0

    return undo


def undo_redrawn(it):
    X, Y = it.samples(it.strokes.pop())
    it.XX -= X @ X.T
    it.XY -= X @ Y.T


def undo_all(it):
    it.XX.zero_()
    it.XY.zero_()


def undo_nothing(it):
    it.kept.pop()


class NeverAdds:
    def __init__(self, samples, features, classes):
        self.XX, self.XY = torch.zeros(features, features).double(), torch.zeros(features, classes).double()

    def add(self, stroke):
        pass

    undo = add


# ---------------------------------------------------------------------------------------------- a painter


def painter(**wrong):
    """A painter that learns everything anew from what it keeps, with something wrong."""

    class Answer:
        def __init__(self, X, size, lam=1.0, ratio=10, seed=0):
            self.X, self.size, self.lam = X, size, wrong.get("lam", lam)
            self.ratio, self.seed = wrong.get("ratio", ratio), seed
            self.kept, self.masks = [], np.zeros((len(X), *size), np.uint8)

        def add(self, scribbles):
            rng, step = np.random.default_rng(self.seed + 7 * len(self.kept)), []
            frames = sorted({s.frame for s in scribbles})
            for t in frames[:1] if wrong.get("first frame") else frames:
                some = scribbles if wrong.get("first frame") else [s for s in scribbles if s.frame == t]
                ink = draw(some, self.size)
                known = select(ink, self.masks[t] if self.kept else None, int(self.ratio * (ink > 0).sum()), rng)
                y, x = np.nonzero(known >= 0)
                labels = torch.from_numpy((known[y, x] > 0).astype(np.int64))
                step.append((t, ink, at_pixels(self.X[t], y, x, self.size), F.one_hot(labels, 2).T))
            if wrong.get("each a round"):
                self.kept += [[one] for one in step]
            else:
                self.kept.append(step)
            return self.answer()

        def undo(self):
            if wrong.get("no undo"):
                return self.masks
            if self.kept:
                self.kept.pop(0 if wrong.get("oldest") else -1)
            return self.answer()

        def answer(self):
            sums = Ridge(self.X.shape[1], 2)
            for step in self.kept[-1:] if wrong.get("forgets") else self.kept:
                for _, _, X, Y in step:
                    sums.add(X, Y)
            if not sums.samples:
                if not wrong.get("keeps"):
                    self.masks = np.zeros((len(self.X), *self.size), np.uint8)
                return self.masks
            W = sums.solve(self.lam).float()
            cells = (self.X * (W[:, 1] - W[:, 0])[:, None, None]).sum(1, keepdim=True)
            up = F.interpolate(cells, self.size, mode="bilinear", align_corners=False)[:, 0]
            self.masks = (up > 0).numpy().astype(np.uint8)
            if wrong.get("cells"):
                return (cells[:, 0] > 0).numpy().astype(np.uint8)
            if wrong.get("scores"):
                return up.numpy()
            for t, ink, *_ in [one for step in self.kept for one in step]:
                if wrong.get("ink") != "none":
                    self.masks[t][ink == 0] = 0
                if wrong.get("ink") is None:
                    self.masks[t][ink > 0] = 1
            if wrong.get("one frame"):
                drawn = {t for step in self.kept for t, *_ in step}
                self.masks[[t for t in range(len(self.X)) if t not in drawn]] = 0
            if wrong.get("upside down"):
                return 1 - self.masks
            return self.masks

    return Answer


# ---------------------------------------------------------------------------------------------- a lambda

OWN_LAMBDA = (
    "Leave one complete scribble out, never individual points, because adjacent locations share interpolated features "
    "and would leak. Fit remaining samples for many regularisation strengths, score balanced accuracy "
    "on the omitted scribble, average over scribbles. Caveat: users annotate failures, hence biased. Compare against a "
    "constant picked on annotated videos."
)

RIGHT = {
    "closed_form": [form_by_cholesky, form_as_longer_least_squares],
    "mend_undo": [rounds(undo=undo_by_copies), rounds(undo=undo_with())],
    "Painter": [painter()],
    "choose_lambda": [OWN_LAMBDA],
}
MUTANTS = {
    "closed_form": {
        "transposed": (form_transposed, "that is W'"),
        "over samples": (form_over_samples, "each sample"),
        "no lambda": (form_without_lambda, "lambda is missing"),
        "lambda everywhere": (form_everywhere, "every entry"),
        "right side": (form_right_side, "Solve for W"),
        "twice lambda": (form_twice_lambda, "factor of 2"),
        "half lambda": (form_half_lambda, "factor of 2"),
        "lambda squared": (form_lambda_squared, "squared lambda"),
        "means": (form_of_means, "means"),
        "free constant": (form_free_constant, "constant's row"),
        "minus": (form_minus, "is not zero there"),
    },
    "mend_undo": {
        "not mended": (rounds(undo=undo_redrawn), "something else was taken away"),
        "oldest": (rounds(undo=undo_with(lambda kept: kept.pop(0))), "oldest"),
        "nothing": (rounds(undo=undo_nothing), "leaves X X' as it was"),
        "all": (rounds(undo=undo_all), "takes everything back"),
        "added again": (rounds(undo=undo_with(sign=1)), "something else was taken away"),
        "one sum": (rounds(undo=undo_with(both=False)), "X Y' does not come back"),
        "never adds": (NeverAdds, "leaves the sums as they were"),
    },
    "Painter": {
        "on cells": (painter(cells=True), "bring them up"),
        "scores": (painter(scores=True), "uint8"),
        "upside down": (painter(**{"upside down": True}), "below 0.6"),
        "one frame": (painter(**{"one frame": True}), "other frames"),
        "forgets": (painter(forgets=True), "forgotten"),
        "no ink": (painter(ink="none"), "painted background"),
        "no undo": (painter(**{"no undo": True}), "undo changes nothing"),
        "oldest": (painter(oldest=True), "from before it"),
        "keeps": (painter(keeps=True), "should be empty"),
        "lam ignored": (painter(lam=1.0), "lam is given"),
        "ratio ignored": (painter(ratio=10), "ratio is given"),
        "first frame": (painter(**{"first frame": True}), "each with the frame"),
        "each a round": (painter(**{"each a round": True}), "one undo takes back all"),
    },
    "choose_lambda": {
        "too short": ("Hold out a stroke.", "different words"),
        "the same words": ("eigenvalues " * 40, "same few words"),
        "not a text": (0.1, "should be a text"),
    },
}
