"""Answers to the exercises of lesson 04 that must pass, and wrong ones that must not."""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.refinement import UntrainedTargetNet
from vosnb.methods.target_model import pixel_weights

# ---------------------------------------------------------------------------------------------- mean_direction


def direction_by_products(X, m):
    on, off = X.T @ m / m.sum(), X.T @ (1 - m) / (1 - m).sum()
    w = (on - off) / (on - off).square().sum()
    return w, 1 - w @ on


def direction_with(means=None, length=lambda way: way @ way, sign=1, constant=None):
    """An answer that goes wrong in one place: in the means, in the length of w, or in b."""

    def answer(X, m):
        on, off = (means or both_means)(X, m)
        w = sign * (on - off) / length(on - off)
        return w, -(w @ off) if constant is None else constant(w, on, off)

    return answer


def both_means(X, m):
    return m @ X / m.sum(), (1 - m) @ X / (1 - m).sum()


def hard_means(X, m):
    return both_means(X, (m > 0.5).to(m))


def sums_over_all(X, m):
    return m @ X / len(m), (1 - m) @ X / len(m)


# ---------------------------------------------------------------------------------------------- pixel weights


def weights_one_by_one(labels, kappa=0.1):
    v = torch.ones_like(labels)
    for sample, weights in zip(labels.flatten(0, -3), v.flatten(0, -3), strict=True):
        inside = sample > 0.5
        share = inside.double().mean()
        if inside.sum() >= 10 and not inside.all() and share < kappa:
            weights[inside] = (kappa / share) ** 0.5
            weights[~inside] = ((1 - kappa) / (1 - share)) ** 0.5
    return v


def weights_with(choose, root=True, guard=True, full_guard=True, threshold=True, fewest=10, dims=(-2, -1), blend=False):
    """An answer that goes wrong in one place: choose(share, kappa) is the share that is wanted.

    blend: y times one weight plus 1 - y times the other, as S1's code does, where 0 times infinity is not a number.
    """

    def answer(labels, kappa=0.1):
        y = (labels > 0.5).to(labels.dtype)
        share = (y if threshold else labels).mean(dims, keepdim=True)
        wanted = choose(share, kappa)
        inside, outside = wanted / share, (1 - wanted) / (1 - share)
        v = y * inside + (1 - y) * outside if blend else torch.where(y > 0, inside, outside)
        v = v.sqrt() if root else v
        few = y.sum((-2, -1), keepdim=True) < fewest
        v = torch.where(few, 1.0, v) if guard else v
        return torch.where(y.mean((-2, -1), keepdim=True) == 1, 1.0, v) if full_guard else v

    return answer


def largest(share, kappa):
    return share.clamp_min(kappa)


def weights_upside_down(labels, kappa=0.1):
    return 1 / weights_one_by_one(labels, kappa)


def weights_on_target_only(labels, kappa=0.1):
    return torch.where(labels > 0.5, weights_one_by_one(labels, kappa), 1.0)


def weights_of_a_tenth(labels, kappa=0.1):
    return weights_one_by_one(labels, 0.1)


# ---------------------------------------------------------------------------------------------- a first target model


def linear_target(**wrong):
    """A tracker that solves by least squares of stacked rows, with something wrong."""

    class Answer:
        def __init__(self, look, samples=1, lam=1.0, seed=0):
            self.look, self.n, self.lam, self.seed = look, wrong.get("n", samples), wrong.get("lam", lam), seed
            self.net, self.known = UntrainedTargetNet(), False

        def see(self, images, begin=False):
            maps = self.look(images)
            if wrong.get("raw"):
                return self.net.together(maps)
            if (begin and not (wrong.get("keeps") and self.known)) or wrong.get("each"):
                self.net.begin([x[:1] for x in maps] if wrong.get("one") else maps)
                self.known = True
            return self.net.features(maps)

        def start(self, frame, mask):
            images, masks = augment_first_frame(frame, mask > 0 if wrong.get("all") else mask == 1, self.n, self.seed)
            x = self.see(images, True)
            y = F.avg_pool2d(torch.as_tensor(masks)[:, None].float(), 8).reshape(-1)
            v = pixel_weights(y.view(len(x), 1, *x.shape[-2:])).reshape(-1) ** wrong.get("power", 1)
            X = torch.cat(list(x.flatten(2)), 1).T
            rows = torch.cat([v[:, None] * X, self.lam**0.5 * torch.eye(X.shape[1])])
            self.w = torch.linalg.lstsq(rows, torch.cat([v * y, torch.zeros(X.shape[1])])[:, None]).solution[:, 0]

        def step(self, frame):
            x = self.see(frame[None])
            s = (x * self.w[:, None, None]).sum(1, keepdim=True)
            if wrong.get("cells"):
                return (s[0, 0] > 0.5).numpy().astype(np.uint8)
            mode = {"mode": "nearest"} if wrong.get("nearest") else {"mode": "bilinear", "align_corners": False}
            s = F.interpolate(s, frame.shape[:2], **mode)[0, 0].numpy()
            if wrong.get("scores"):
                return s
            found = (s > wrong.get("line", 0.5)).astype(np.uint8)
            if wrong.get("learns") and found.any():
                self.start(frame, found)
            return found

    return Answer


# ---------------------------------------------------------------------------------------------- blame

OWN_BLAME = (
    "Average ground truth onto the grid, interpolate back, threshold, compute Jaccard: that upper bound isolates "
    "resolution. Subtracting what our model reaches gives the remainder caused by misclassification. Also histogram "
    "mistakes against distance from contours; nearby ones call for refinement, distant ones for richer training."
)

RIGHT = {
    "mean_direction": [direction_by_products],
    "mend_weights": [weights_one_by_one],
    "linear_target": [linear_target()],
    "blame": [OWN_BLAME],
}
MUTANTS = {
    "mean_direction": {
        "the other way": (direction_with(sign=-1), "points from the object"),
        "not scaled": (direction_with(length=lambda way: 1), "its length is not"),
        "unit length": (direction_with(length=lambda way: way.norm()), "length 1"),
        "hard masks": (direction_with(means=hard_means), "a quarter object"),
        "sums over all": (direction_with(means=sums_over_all), "its own weights"),
        "medians": (
            direction_with(means=lambda X, m: (X[m > 0.4].median(0).values, X[m < 0.4].median(0).values)),
            "not the difference",
        ),
        "sign of b": (direction_with(constant=lambda w, on, off: w @ off), "the sign of b"),
        "half-way": (direction_with(constant=lambda w, on, off: -(w @ (on + off)) / 2), "half-way"),
        "no constant": (direction_with(constant=lambda w, on, off: 0.0), "b is not right"),
        "one thing": (lambda X, m: direction_by_products(X, m)[0], "two things"),
    },
    "mend_weights": {
        "not mended": (weights_with(lambda share, kappa: share.clamp_max(kappa)), "never been weighed"),
        "as printed": (weights_with(lambda share, kappa: share.clamp_max(kappa), root=False), "never been weighed"),
        "no root": (weights_with(largest, root=False), "the root is gone"),
        "upside down": (weights_upside_down, "upside down"),
        "one share for all": (weights_with(largest, dims=None), "each has its own"),
        "object only": (weights_on_target_only, "left the rest at 1"),
        "always kappa": (weights_with(lambda share, kappa: torch.full_like(share, kappa)), "pulled *down*"),
        "halves": (weights_with(lambda share, kappa: (share + kappa) / 2), "as if they filled kappa"),
        "always 0.1": (weights_of_a_tenth, "kappa is given"),
        "share of soft labels": (weights_with(largest, threshold=False), "soft labels"),
        "no guard": (weights_with(largest, guard=False, blend=True), "empty mask"),
        "no guard, but finite": (weights_with(largest, guard=False), "fewer than 10 pixels"),
        "guard for empty masks only": (weights_with(largest, fewest=1), "fewer than 10 pixels"),
        "guard for 10 too": (weights_with(largest, fewest=11), "10 pixels are enough"),
        "full mask": (weights_with(largest, full_guard=False, blend=True), "fills the frame"),
    },
    "linear_target": {
        "on cells": (linear_target(cells=True), "one mask of the frame's size"),
        "scores": (linear_target(scores=True), "0 and 1"),
        "all objects": (linear_target(all=True), "the other object"),
        "whitens each frame": (linear_target(each=True), "whiten each frame"),
        "as they come": (linear_target(raw=True), "as they come"),
        "not weighed": (linear_target(power=0), "outvotes"),
        "line at zero": (linear_target(line=0.0), "one half"),
        "weights not squared": (linear_target(power=0.5), "weights are squared"),
        "nearest": (linear_target(nearest=True), "U is bilinear"),
        "one sample": (linear_target(n=1), "learn from all"),
        "whitens by frame 0": (linear_target(one=True), "whiten with all samples"),
        "lam ignored": (linear_target(lam=1.0), "lam is given"),
        "learns on": (linear_target(learns=True), "compare w with the equation"),
        "remembers": (linear_target(keeps=True), "forget the clip before"),
    },
    "blame": {
        "too short": ("Compare with perfect cells.", "different words"),
        "the same words": ("ceiling " * 40, "same few words"),
        "not a text": (0.88, "should be a text"),
    },
}
