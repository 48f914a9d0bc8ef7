"""Exercises of lesson 04: a direction from two means, a first target model, pixel weights with a fault, an outline."""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.course.exercises import Exercise, expect, same, written
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.refinement import UntrainedTargetNet
from vosnb.methods.target_model import pixel_weights

# ---------------------------------------------------------------------------------------------- mean_direction


def mean_direction_reference(X, m):
    on = (m[:, None] * X).sum(0) / m.sum()
    off = ((1 - m)[:, None] * X).sum(0) / (1 - m).sum()
    w = (on - off) / ((on - off) ** 2).sum()
    return w, -(w @ off)


def _check_mean_direction(answer):
    r = torch.Generator().manual_seed(3)
    X = 1 + torch.randn(9, 4, generator=r).double()
    m = torch.tensor([1.0, 1.0, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]).double()
    on, off = m @ X / m.sum(), (1 - m) @ X / (1 - m).sum()
    way = on - off
    got = answer(X, m)
    expect(isinstance(got, (tuple, list)) and len(got) == 2, "return two things: the direction w and the constant b.")
    w, b = got
    expect(not same(w, -way / (way @ way)), "your w points from the object to the rest: object minus rest, please.")
    expect(
        not same(w, way),
        "the direction is right, its length is not: the scores of the two means should be 1 and 0. By how much do "
        "their scores differ now?",
    )
    expect(
        not same(w, way / way.norm()),
        "with a w of length 1 the two means differ by their distance. Divide by that distance once more.",
    )
    hard = (m > 0.5).double()
    hard_way = hard @ X / hard.sum() - (1 - hard) @ X / (1 - hard).sum()
    expect(
        not same(w, hard_way / (hard_way @ hard_way)),
        "a cell that is a quarter object counts as none in yours. Weigh each cell by its share: m for one mean, 1 - m "
        "for the other.",
    )
    total = m @ X / len(m) - (1 - m) @ X / len(m)
    expect(
        not same(w, total / (total @ total)),
        "you divided both sums by the number of all cells. A mean divides by its own weights: m.sum(), (1 - m).sum().",
    )
    expect(
        same(w, way / (way @ way)),
        "w is not the difference of the two weighted means, divided by its squared length.",
    )
    expect(
        not same(b, w @ off),
        "the sign of b: the mean of the rest has w . x above zero or below it, and b has to take that away.",
    )
    expect(
        not same(b, -(w @ (on + off)) / 2),
        "with this b the score is 0 half-way between the means. It should be 0 at the mean of the rest and 1 at that "
        "of the object.",
    )
    expect(same(b, -(w @ off)), "b is not right: the mean of the rest should have the score 0.")


mean_direction = Exercise(
    name="mean_direction",
    title="From two means to a score",
    kind="warm-up",
    task="Turn the features of frame 0 into a direction `w` and a constant `b`, such that the score `X @ w + b` is 1 "
    "at the mean feature of the object and 0 at the mean feature of the rest. A cell on the outline counts for both "
    "means, by its share.",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=(
        "First the two means: weigh each row of X by m, or by 1 - m, and divide by the sum of these weights.",
        "w points from the mean of the rest to the mean of the object. Along w, how far apart are the scores of the "
        "two means, and how far apart should they be?",
        "If d is the difference of the means, w = d has scores that differ by d . d. And b is what makes the score of "
        "the rest's mean zero.",
    ),
    reference=mean_direction_reference,
    check=_check_mean_direction,
)

# ---------------------------------------------------------------------------------------------- mend_weights


def weights_faulty(labels, kappa=0.1):
    """v of S1-E4, shaped as labels (..., H, W), 0..1: the object counts as if it filled the share kappa."""
    y = (labels > 0.5).to(labels.dtype)
    actual = y.mean((-2, -1), keepdim=True)
    wanted = actual.clamp_max(kappa)
    v = torch.where(y > 0, wanted / actual, (1 - wanted) / (1 - actual)).sqrt()
    alone = (y.sum((-2, -1), keepdim=True) < 10) | (actual == 1)
    return torch.where(alone, 1.0, v)


def mend_weights_reference(labels, kappa=0.1):
    """v of S1-E4, shaped as labels (..., H, W), 0..1: the object counts as if it filled the share kappa."""
    y = (labels > 0.5).to(labels.dtype)
    actual = y.mean((-2, -1), keepdim=True)
    wanted = actual.clamp_min(kappa)
    v = torch.where(y > 0, wanted / actual, (1 - wanted) / (1 - actual)).sqrt()
    alone = (y.sum((-2, -1), keepdim=True) < 10) | (actual == 1)
    return torch.where(alone, 1.0, v)


def _check_mend_weights(answer):
    y = torch.zeros(4, 1, 20, 50).double()  # 1000 pixels: shares of 0.02, 0.3, 0.05 and 0.02
    for sample, pixels in zip(y.flatten(1), (20, 300, 50, 20), strict=True):
        sample[:pixels] = 1
    share = y.mean((-2, -1), keepdim=True)
    got = answer(y)

    def weights(wanted, root=True):
        v = torch.where(y > 0, wanted / share, (1 - wanted) / (1 - share))
        return v.sqrt() if root else v

    high, low = share.clamp_min(0.1), share.clamp_max(0.1)
    expect(
        not same(got, weights(low)) and not same(got, weights(low, root=False)),
        "an object of 2% of the pixels has the weight 1, as if it had never been weighed, and one of 30% is damped. "
        "It should be the small one that is helped.",
    )
    expect(
        not same(got, weights(high, root=False)),
        "the root is gone. The loss squares v, so that v = sqrt(kappa / share) weighs it by kappa / share.",
    )
    expect(
        not same(got, 1 / weights(high)) and not same(got, 1 / weights(high, root=False)),
        "now the fraction is upside down: pixels of a small object should count more.",
    )
    whole = y.mean()
    together = torch.where(y > 0, whole.clamp_min(0.1) / whole, (1 - whole.clamp_min(0.1)) / (1 - whole)).sqrt()
    expect(not same(got, together), "one share for all samples: each has its own, over its own pixels, dims -2 and -1.")
    expect(
        not same(got, torch.where(y > 0, weights(high), 1.0)),
        "you raised the object and left the rest at 1. Then the squares no longer sum to the number of pixels.",
    )
    expect(
        not same(got, weights(torch.full_like(share, 0.1))),
        "an object of 30% is pulled *down* to kappa in yours. A large one needs no help and should be left alone.",
    )
    expect(same(got, weights(high)), "small objects should count as if they filled kappa, large ones as they are.")
    expect(same(answer(y, kappa=0.4), weights(share.clamp_min(0.4))), "kappa is given, and not always 0.1.")
    expect(
        same(answer(0.9 * y + 0.05), weights(high)),
        "soft labels: a pixel belongs to the object where its label is above 0.5, and the share is of that mask.",
    )
    few = torch.zeros(3, 1, 20, 50).double()
    for sample, pixels in zip(few.flatten(1), (0, 9, 10), strict=True):
        sample[:pixels] = 1
    found = torch.as_tensor(answer(few))
    expect(bool(found[0].isfinite().all()), "an empty mask has the share 0, and now something is divided by it.")
    expect(
        same(found[:2], torch.ones(2, 1, 20, 50)),
        "fewer than 10 pixels are no object worth raising: one wrong pixel would rule the loss. All weights 1.",
    )
    ten = torch.where(few[2:] > 0, 0.1 / 0.01, 0.9 / 0.99).sqrt()
    expect(same(found[2:], ten), "10 pixels are enough; only fewer than 10 are left alone.")
    full = torch.as_tensor(answer(torch.ones(1, 1, 20, 50).double()))
    expect(same(full, torch.ones(1, 1, 20, 50)), "a mask that fills the frame should have weights of 1.")


mend_weights = Exercise(
    name="mend_weights",
    title="Weights, as printed",
    kind="bug hunt",
    task="This program computes the weights just as S1 prints them, with the root that its code has. The table above "
    "shows what it does: a small object keeps the weight 1, and a large one is damped. Find the fault and mend it.",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Take an object that fills 1% of the frame. Which share does it have, and which share should it have in the "
        "loss? Which of the two does the program choose?",
        "`wanted` is the share that the object shall have. Compute it for objects of 1% and of 30%.",
        "Whoever has less than kappa should be raised to it, and whoever has more should keep what he has.",
    ),
    reference=mend_weights_reference,
    check=_check_mend_weights,
    faulty=weights_faulty,
)

# ---------------------------------------------------------------------------------------------- LinearTarget


class linear_target_reference:
    """One linear layer learned on frame 0: start(frame, mask), then step(frame) -> mask (H, W) of 0 and 1."""

    def __init__(self, look, samples=1, lam=1.0, seed=0):
        self.look, self.samples, self.lam, self.seed = look, samples, lam, seed

    def start(self, frame, mask):
        images, masks = augment_first_frame(frame, mask == 1, self.samples, self.seed)
        maps = self.look(images)
        self.net = UntrainedTargetNet()
        self.net.begin(maps)
        x = self.net.features(maps)
        y = F.adaptive_avg_pool2d(torch.from_numpy(masks)[:, None].float(), x.shape[-2:]).to(x.device)
        weights = pixel_weights(y).flatten() ** 2
        X = x.movedim(1, -1).flatten(0, -2)
        gram = X.T @ (weights[:, None] * X) + self.lam * torch.eye(X.shape[1], device=X.device)
        self.w = torch.linalg.solve(gram, X.T @ (weights * y.flatten()))

    def step(self, frame):
        x = self.net.features(self.look(frame[None]))
        scores = torch.einsum("c,bchw->bhw", self.w, x)[:, None]
        scores = F.interpolate(scores, frame.shape[:2], mode="bilinear", align_corners=False)
        return (scores[0, 0] > 0.5).cpu().numpy().astype(np.uint8)


class _Turned(linear_target_reference):
    """The reference with something turned: what a wrong answer would do."""

    def __init__(self, look, samples=1, lam=1.0, seed=0, *, whiten="start", weigh=True, of="one", line=0.5):
        super().__init__(look, samples, lam, seed)
        self.whiten, self.weigh, self.of, self.line = whiten, weigh, of, line

    def features(self, maps):
        if self.whiten == "each":
            self.net.begin(maps)
        return self.net.together(maps) if self.whiten == "never" else self.net.features(maps)

    def start(self, frame, mask):
        images, masks = augment_first_frame(frame, mask > 0 if self.of == "all" else mask == 1, self.samples, self.seed)
        maps, self.net = self.look(images), UntrainedTargetNet()
        self.net.begin(maps)
        x = self.features(maps)
        y = F.adaptive_avg_pool2d(torch.from_numpy(masks)[:, None].float(), x.shape[-2:])
        weights = pixel_weights(y).flatten() ** 2 if self.weigh else torch.ones(y.numel())
        X = x.movedim(1, -1).flatten(0, -2)
        gram = X.T @ (weights[:, None] * X) + self.lam * torch.eye(X.shape[1])
        self.w = torch.linalg.solve(gram, X.T @ (weights * y.flatten()))

    def step(self, frame):
        x = self.features(self.look(frame[None]))
        scores = torch.einsum("c,bchw->bhw", self.w, x)[:, None]
        scores = F.interpolate(scores, frame.shape[:2], mode="bilinear", align_corners=False)
        return (scores[0, 0] > self.line).numpy().astype(np.uint8)


def _scene(x, seed, also=True):
    """A frame of 96 x 160 with a red disc at column x, object 1, and a blue one, object 2: (frame, mask)."""
    r = np.random.default_rng(seed)
    frame, mask = r.integers(70, 150, (96, 160, 3)), np.zeros((96, 160), np.uint8)
    rows, columns = np.mgrid[:96, :160]
    for k, (row, column, colour) in enumerate([(48, x, (210, 90, 60)), (30, 130, (60, 80, 200))][: 1 + also], 1):
        disc = (rows - row) ** 2 + (columns - column) ** 2 < 14**2
        frame[disc] = np.array(colour) + r.integers(-25, 25, (disc.sum(), 3))
        mask[disc] = k
    return frame.clip(0, 255).astype(np.uint8), mask


def _look(images):
    """Maps of colours and their products, at stride 8, 4 and 2; one channel is loud and says little."""
    x = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float() / 255
    x = torch.cat([x, x[:, :1] * x[:, 1:], 30 * x.mean(1, keepdim=True)], 1)
    return [F.avg_pool2d(x, stride) for stride in (8, 4, 2)]


def _alike(found, ours) -> bool:
    """Whether masks agree but for a few pixels, which rounding decides."""
    return all(np.mean(np.asarray(a) != b) < 1e-3 for a, b in zip(found, ours, strict=True))


def _check_linear_target(answer):
    frames = [_scene(x, seed) for seed, x in enumerate((40, 60, 85))]
    bare = _scene(60, 9, also=False)[0] // 2  # half as bright, and nobody else there
    later = [frame for frame, _ in frames[1:]] + [bare]

    def follow(kind, samples=1, lam=1.0, **turned):
        tracker = kind(_look, samples=samples, lam=lam, **turned)
        tracker.start(*frames[0])
        return [tracker.step(frame) for frame in later]

    got = follow(answer)
    expect(
        all(np.shape(mask) == (96, 160) for mask in got),
        f"step should return one mask of the frame's size, (96, 160); yours is {np.shape(got[0])}. Scores live on "
        "cells: bring them up to the pixels.",
    )
    expect(
        all(np.isin(np.asarray(mask), (0, 1)).all() for mask in got),
        "the mask should be 0 and 1: the scores say object where they are above one half.",
    )

    def is_like(found, samples=1, lam=1.0, **turned):
        right, theirs = follow(linear_target_reference, samples, lam), follow(_Turned, samples, lam, **turned)
        apart = [not np.array_equal(a, b) for a, b in zip(right, theirs, strict=True)]
        return any(apart) and all(np.array_equal(np.asarray(a), b) for a, b in zip(found, theirs, strict=True))

    expect(not is_like(got, of="all"), "the other object is learned as well: the target is where the mask is 1.")
    expect(
        not is_like(got, whiten="each"),
        "you whiten each frame by itself, so what a feature means changes from frame to frame, and w no longer fits. "
        "`begin` belongs into start.",
    )
    expect(
        not is_like(got, whiten="never"),
        "you take the features as they come. Without whitening their mean is not zero, and there is no constant that "
        "makes up for it: use `net.features`.",
    )
    expect(not is_like(got, weigh=False), "all cells have the same say in yours, and the ground outvotes the object.")
    expect(not is_like(got, line=0.0), "the line is at one half: the object should have 1 and the rest 0.")
    ours, strong = follow(linear_target_reference), follow(answer, lam=100.0)
    expect(
        not all(same(a, b) for a, b in zip(strong, ours, strict=True)),
        "lam is given, and not always 1: it stands on the diagonal of the system.",
    )
    expect(
        _alike(got, ours) and _alike(strong, follow(linear_target_reference, lam=100.0)),
        "the masks are not those of weighted least squares on whitened features. Compare w with the equation, and see "
        "that the weights are squared in it and that U is bilinear.",
    )
    several = follow(answer, samples=4)
    expect(
        not _alike(several, ours),
        "with samples=4 your tracker gives what it gave with one: learn from all that `augment_first_frame` makes.",
    )
    expect(
        _alike(several, follow(linear_target_reference, samples=4)),
        "with one sample the masks are right, with four they are not: whiten with all samples, and stack all cells.",
    )
    tracker = answer(_look)
    tracker.start(*frames[0])
    first = np.asarray(tracker.step(later[0]))
    tracker.step(bare)
    expect(
        np.array_equal(first, np.asarray(tracker.step(later[0]))),
        "the same frame gets another answer after a different one came between: step should change nothing.",
    )
    dark, mask = frames[2][0] // 2, (frames[2][1] == 2).astype(np.uint8)  # another clip, and another target
    tracker.start(dark, mask)
    fresh = answer(_look)
    fresh.start(dark, mask)
    expect(
        np.array_equal(np.asarray(tracker.step(later[0])), np.asarray(fresh.step(later[0]))),
        "a second start still knows something of the first: it has to forget the clip before.",
    )


linear_target = Exercise(
    name="linear_target",
    title="Your first target model",
    kind="build",
    task="Build a tracker out of one linear layer. `start` makes samples of frame 0, looks at them, whitens, and "
    "solves the weighted least squares for w; `step` looks at one frame and returns its mask, 1 where the score, "
    "brought up to the pixels, is above one half. Labels and weights live on cells here: average the masks to cells, "
    "and let `pixel_weights` weigh the cells. The rest of the lesson measures yours.",
    difficulty=3,
    importance=5,
    minutes=35,
    hints=(
        "Write start first, line by line, and print shapes: images and masks of the samples, maps, features x, labels "
        "y on cells, weights, and last w with one number a channel.",
        "A new UntrainedTargetNet for each clip: `begin` with the maps of all samples, once, then `features` of any "
        "maps.",
        "The cells of all samples are the rows of one matrix: x.movedim(1, -1).flatten(0, -2). The labels, flattened, "
        "come in the same order.",
        "In step, scores are the sum over channels of w times x. F.interpolate with mode='bilinear' brings them to the "
        "size of the frame.",
    ),
    reference=linear_target_reference,
    check=_check_linear_target,
)

# ---------------------------------------------------------------------------------------------- blame

_QUESTION = (
    "D alone loses J in two ways: its outline is coarse, since a cell is 8 pixels wide, and its scores may be wrong, "
    "since it lights up what is not the object or misses parts of it. Which measurements would tell how much each "
    "costs? Say what you would compute, and what each outcome would mean for the next step."
)

blame = Exercise(
    name="blame",
    title="Coarse, or wrong?",
    kind="open question",
    task=_QUESTION,
    difficulty=4,
    importance=5,
    minutes=15,
    hints=(
        "Which J would a tracker have that knows the true share of each cell, and has nothing else?",
        "Where are the wrong pixels? How far are they from the true outline?",
        "What would you improve first if nearly all wrong pixels were within one cell of the outline? And what if not?",
    ),
    reference="I take the true mask of each later frame, average it to cells and bring it up again, just as scores "
    "are. The J of that is a ceiling: what lies above it is the price of coarse cells, what lies between it and D is "
    "due to wrong scores. Then I look at where D's wrong pixels are: within 8 pixels of the true outline, or farther. "
    "Errors that are near could be drawn better by a network that sees finer maps. But a thin part, such as a tail, "
    "lies near the outline as a whole, so I also count which share of the object's own pixels lies there. Errors that "
    "are far, on another object or in the ground, need better scores: more samples, other features, or updates from "
    "later frames. As a control I would do the same for a matcher with its decoder, on the same clips, frame by frame. "
    "If D lost only near the outline, refinement would be all that is missing.",
    rubric=(
        "There is a ceiling: a J for perfect scores on the same cells.",
        "Errors are counted by place, near the outline and far from it, beside how much of the object lies near it.",
        "It says which remedy each outcome would call for.",
        "Everything is measured on the same clips and frames, with a control.",
    ),
    check=written(25, _QUESTION),
)
