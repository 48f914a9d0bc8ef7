"""Exercises of lesson 07: the closed form, an undo with a fault, a painter, a lambda without truth."""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.clips.scribbles import Scribble
from vosnb.course.exercises import Exercise, expect, same, written
from vosnb.methods.ridge import Ridge
from vosnb.methods.scribbles import draw, select
from vosnb.trackers.interactive import at_pixels


def _samples(features, n, seed, classes=2):
    """X (features, n) and one-hot Y (classes, n), float64; the last feature is a constant, class 0 is the larger."""
    r = torch.Generator().manual_seed(seed)
    X = torch.randn(features, n, generator=r).double()
    X[-1] = 1
    Y = torch.zeros(classes, n).double()
    Y[(torch.arange(n) % 4 == 0).long() * (1 + torch.arange(n) % (classes - 1)), torch.arange(n)] = 1
    return X, Y


def _solve(A, B):
    return torch.linalg.solve(A, B)


# ---------------------------------------------------------------------------------------------- closed_form


def closed_form_reference(X, Y, lam):
    left = X @ X.T + lam * torch.eye(len(X)).to(X)
    return torch.linalg.solve(left, X @ Y.T)


def _check_closed_form(answer):
    X, Y = _samples(4, 12, seed=1, classes=3)
    lam, eye = 1.7, torch.eye(4).double()
    XX, XY = X @ X.T, X @ Y.T
    W = closed_form_reference(X, Y, lam)
    got = answer(X, Y, lam)

    expect(not same(got, W.T), "that is W' (C, D). W has a row for each feature, and a column for each class.")
    expect(
        getattr(got, "shape", (0,))[0] != 12,
        "yours has a row for each sample: you inverted X'X. Here samples are the *columns* of X, so that the sum over "
        "samples is X X', as large as there are features.",
    )
    expect(
        not same(got, _solve(XX, XY)),
        "lambda is missing: that is plain least squares.",
    )
    expect(
        not same(got, _solve(XX + lam, XY)),
        "you added lambda to every entry. lambda I has it on the diagonal alone.",
    )
    expect(
        not same(got, XY) and not same(got, XY / lam),
        "that is where one looks when nothing is known of X X', the direction downhill from W = 0. Solve for W.",
    )
    expect(
        not same(got, _solve(XX + 2 * lam * eye, XY)) and not same(got, _solve(XX + lam / 2 * eye, XY)),
        "lambda is off by a factor of 2. Both terms are squares, so that both gradients have the 2, and it cancels.",
    )
    expect(
        not same(got, _solve(XX + lam**2 * eye, XY)),
        "you squared lambda. It stands before the square of W, and is not squared itself.",
    )
    expect(
        not same(got, _solve(XX / 12 + lam * eye, XY / 12)),
        "you took means over the samples. S2-E3 has sums: with more samples lambda counts for less.",
    )
    free = torch.diag(torch.tensor([1.0, 1, 1, 0]).double())
    expect(
        not same(got, _solve(XX + lam * free, XY)),
        "you left the constant's row of W unpunished, as libraries do with an intercept. In S2-E3 ||W||^2 has every "
        "row.",
    )
    expect(
        same(got, W, 1e-8),
        "the gradient X (X'W - Y') + lambda W is not zero there: solve (X X' + lambda I) W = X Y'.",
    )
    few, labels = _samples(4, 2, seed=2, classes=3)
    expect(
        same(answer(few, labels, 0.3), closed_form_reference(few, labels, 0.3), 1e-8),
        "with fewer samples than features X X' has no inverse, but X X' + lambda I has one; yours fails there.",
    )


closed_form = Exercise(
    name="closed_form",
    title="The closed form",
    kind="warm-up",
    task="Return the `W` at which the gradient is zero, for any number of features and classes. `torch.linalg.solve` "
    "solves a linear system, `torch.eye(n)` is the identity; `.to(X)` gives a tensor the type of X.",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=(
        "Set the gradient to zero, divide by 2, and bring all that has W to the left.",
        "X X' W + lambda W = X Y'. What is the matrix before W? Mind its shape.",
        "The matrix is X X' plus lambda times the identity of as many rows as X has, and the right side is X Y'.",
    ),
    reference=closed_form_reference,
    check=_check_closed_form,
)

# ---------------------------------------------------------------------------------------------- mend_undo


class undo_faulty:
    """Sums of all samples so far: samples(stroke) -> X (D, n), Y (C, n), with its random background pixels."""

    def __init__(self, samples, features, classes):
        self.samples, self.kept = samples, []
        self.XX = torch.zeros(features, features).double()
        self.XY = torch.zeros(features, classes).double()

    def add(self, stroke):
        X, Y = self.samples(stroke)
        self.XX += X @ X.T
        self.XY += X @ Y.T
        self.kept.append(stroke)

    def undo(self):
        X, Y = self.samples(self.kept.pop())
        self.XX -= X @ X.T
        self.XY -= X @ Y.T


class mend_undo_reference:
    """Sums of all samples so far: samples(stroke) -> X (D, n), Y (C, n), with its random background pixels."""

    def __init__(self, samples, features, classes):
        self.samples, self.kept = samples, []
        self.XX = torch.zeros(features, features).double()
        self.XY = torch.zeros(features, classes).double()

    def add(self, stroke):
        X, Y = self.samples(stroke)
        self.XX += X @ X.T
        self.XY += X @ Y.T
        self.kept.append((X, Y))

    def undo(self):
        X, Y = self.kept.pop()
        self.XX -= X @ X.T
        self.XY -= X @ Y.T


def _check_mend_undo(answer):
    r = torch.Generator().manual_seed(11)

    def samples(stroke):
        """As a stroke gives them: its own pixels, and background pixels that are drawn by chance each time."""
        own = torch.Generator().manual_seed(stroke)
        X = torch.cat([torch.randn(4, 3, generator=own), torch.randn(4, 6, generator=r)], 1).double()
        return X, F.one_hot((torch.arange(9) < 3).long(), 2).T.double()

    def sums(it):
        return it.XX.clone(), it.XY.clone()

    it, states = answer(samples, 4, 2), []
    states.append(sums(it))
    for stroke in (1, 2, 3):
        it.add(stroke)
        states.append(sums(it))
    expect(
        all(not same(states[n][0], states[n + 1][0]) for n in range(3)),
        "a stroke leaves the sums as they were: adding has to work as before.",
    )
    expect(
        same(states[1][0].trace(), states[1][0].diagonal().sum()) and (torch.linalg.eigvalsh(states[3][0]) > 0).all(),
        "after three strokes X X' is no sum of squares any more.",
    )
    for n in (2, 1, 0):
        it.undo()
        XX, XY = sums(it)
        if n and not same(XX, states[n][0], 1e-8):
            expect(
                not same(XX, states[n + 1][0], 1e-8),
                "undo leaves X X' as it was.",
            )
            expect(
                not same(XX, states[3][0] - states[1][0], 1e-8),
                "undo takes back the *oldest* stroke, and should take back the latest.",
            )
            expect(
                XX.any(),
                "undo takes everything back; the strokes before the last one should stay.",
            )
        expect(
            same(XX, states[n][0], 1e-8),
            "after a stroke and its undo the sums are not what they were before the stroke. Something else was taken "
            "away than had been added.",
        )
        expect(same(XY, states[n][1], 1e-8), "X X' is mended, and X Y' does not come back to what it was.")
    it.add(5)
    expect((torch.linalg.eigvalsh(it.XX) > -1e-9).all(), "a stroke after all undos should stand alone in the sums.")


mend_undo = Exercise(
    name="mend_undo",
    title="An undo that forgets a little",
    kind="bug hunt",
    task="This program keeps both sums, adds a stroke and takes it back. The numbers above show that something stays "
    "behind. Find the fault and mend it.",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=(
        "Call `samples` twice with the same stroke. Do you get the same samples twice?",
        "What undo takes away has to be, pixel for pixel, what add has added.",
        "Which of the two methods knows which random pixels were added, and where could it keep them?",
    ),
    reference=mend_undo_reference,
    check=_check_mend_undo,
    faulty=undo_faulty,
)

# ---------------------------------------------------------------------------------------------- Painter


class PainterReference:
    """Strokes in, masks of a whole clip out: X (T, D, h, w) describes its cells, size (H, W) is that of a frame."""

    def __init__(self, X, size, lam=1.0, ratio=10, seed=0):
        self.X, self.size, self.lam, self.ratio, self.seed = X, size, lam, ratio, seed
        self.ridge, self.rounds = Ridge(X.shape[1], 2, X.device), []
        self.masks = np.zeros((len(X), *size), np.uint8)

    def add(self, scribbles):
        rng, step = np.random.default_rng([self.seed, len(self.rounds)]), []
        for t in sorted({stroke.frame for stroke in scribbles}):
            ink = draw([stroke for stroke in scribbles if stroke.frame == t], self.size)
            before = self.masks[t] if self.rounds else None
            chosen = select(ink, before, self.ratio * np.count_nonzero(ink > 0), rng)
            y, x = np.nonzero(chosen >= 0)
            Y = F.one_hot(torch.from_numpy(chosen[y, x] > 0).long(), 2).T.to(self.X.device)
            step.append((t, ink, at_pixels(self.X[t], y, x, self.size), Y))
        for _, _, X, Y in step:
            self.ridge.add(X, Y)
        self.rounds.append(step)
        return self._answer()

    def undo(self):
        if self.rounds:
            for _, _, X, Y in self.rounds.pop():
                self.ridge.remove(X, Y)
        return self._answer()

    def _answer(self):
        self.masks = np.zeros((len(self.X), *self.size), np.uint8)
        if self.rounds:
            W = self.ridge.solve(self.lam).to(self.X)
            scores = torch.einsum("d,tdhw->thw", W[:, 1] - W[:, 0], self.X)[:, None]
            scores = F.interpolate(scores, self.size, mode="bilinear", align_corners=False)[:, 0]
            self.masks = (scores > 0).cpu().numpy().astype(np.uint8)
        for t, ink, _, _ in (one for step in self.rounds for one in step):
            self.masks[t][ink >= 0] = ink[ink >= 0] > 0
        return self.masks


def _clip(seed=0):
    """X (3, 6, 12, 16) of a square that moves to the right over noise, in which a second one, like it, stands still."""
    r = torch.Generator().manual_seed(seed)
    X = 0.3 * torch.randn(3, 6, 12, 16, generator=r)
    truth = torch.zeros(3, 48, 64, dtype=torch.bool)
    for t in range(3):
        X[t, 0, 4:9, 2 + 2 * t : 7 + 2 * t] += 3
        X[t, 1, 4:9, 2 + 2 * t : 7 + 2 * t] += 2
        X[t, 0, 1:3, 12:15] += 2.5
        truth[t, 16:36, 8 + 8 * t : 28 + 8 * t] = True
    X[:, -1] = 1
    return X, truth.numpy()


def _line(t, k, *points):
    """A stroke of object k on frame t through points (x, y) of a 48 x 64 frame."""
    return Scribble(t, k, np.array(points) / (64, 48))


def _check_painter(answer):
    X, truth = _clip()
    size = truth.shape[1:]
    on, off, odd = (
        _line(0, 1, (10, 18), (25, 21), (10, 29), (25, 33)),
        _line(0, 0, (47, 4), (60, 12)),
        _line(1, 0, (20, 26), (28, 26)),
    )
    it = answer(X, size)
    first = it.add([on])
    expect(
        np.shape(first) == truth.shape,
        f"add should return masks of all frames, (T, H, W); yours are {np.shape(first)}. Scores live on cells: bring "
        "them up to the pixels.",
    )
    first = np.array(first)
    expect(
        first.dtype == np.uint8 and np.isin(first, (0, 1)).all(),
        "masks are uint8, 1 on the object and 0 elsewhere.",
    )

    def J(mask, t):
        return (mask[t] & truth[t]).sum() / (mask[t] | truth[t]).sum()

    expect(first[0].any() and not first[0].all(), "one stroke, and the mask of its frame is all or nothing.")
    expect(J(first, 0) > 0.6, "after one stroke along the square its own frame has a J below 0.6.")
    expect(
        first[1].any() and J(first, 2) > 0.6,
        "other frames are empty or wrong: the same W classifies every frame of X.",
    )
    ours = PainterReference(X, size)
    ours.add([on])
    second = np.array(it.add([off]))
    right = np.array(ours.add([off]))
    inked = draw([off], size) == 0
    expect(
        J(second, 0) >= J(right, 0) - 0.1,
        "after a second stroke, on the background, the first one seems forgotten: sums of both belong together.",
    )
    third = np.array(it.add([odd]))
    odd_ink = draw([odd], size) == 0
    expect(not third[1][odd_ink].any(), "ink is law: a pixel that was painted background is object in your mask.")
    back = np.array(it.undo())
    expect(not same(back, third), "undo changes nothing.")
    expect(same(back, second), "undo of the last stroke does not give back the masks from before it.")
    back = np.array(it.undo())
    expect(not back[0][inked].all() and same(back, first), "a second undo should take back the stroke before the last.")
    empty = np.array(it.undo())
    expect(not empty.any(), "with no stroke left the masks should be empty.")
    expect(not np.any(it.undo()), "undo with no stroke left should change nothing.")
    strong = np.array(answer(X, size, lam=1e5).add([on]))
    theirs = np.array(PainterReference(X, size, lam=1e5).add([on]))
    expect(
        (strong != theirs).mean() < 0.05,
        "lam is given and hardly counts in yours: with a very large one your masks are not those of the closed form.",
    )
    none = np.array(answer(X, size, ratio=0).add([on]))
    expect(
        none[0].mean() > 0.5,
        "ratio is given: with ratio=0 there is no background to learn, and nearly all should be object.",
    )
    later = answer(X, size)
    later.add([on])
    two = np.array(later.add([off, odd]))
    expect(
        not two[1][odd_ink].any() and not two[0][inked].any(),
        "two strokes on two frames in one call: take each with the frame that it is on.",
    )
    expect(same(later.undo(), first), "strokes that came in one call are one round, and one undo takes back all.")
    high = answer(X, size)
    over = np.array(high.add([on, _line(0, 0, (16, 18), (16, 34))]))
    ink = draw([on, _line(0, 0, (16, 18), (16, 34))], size)
    expect(
        (over[0][ink >= 0] == (ink[ink >= 0] > 0)).all(), "ink is law, for the object's ink as for the background's."
    )


Painter = Exercise(
    name="Painter",
    title="A painter of your own",
    kind="build",
    task="Write a plain version of the program behind the pad. `add` takes a list of strokes, on one frame or several, "
    "and returns masks (T, H, W) of all frames; `undo` takes the last `add` back and returns the masks as they were. "
    "Sums live in a `Ridge`. Background pixels come from `select`, `ratio` for each pixel of object ink; from the "
    "second round on only from where the last mask was background. Painted pixels keep their label. When yours passes, "
    "the pad below runs on it.",
    difficulty=4,
    importance=5,
    minutes=40,
    hints=(
        "Begin with one stroke on frame 0: ink from `draw`, samples from `select`, their features from `at_pixels`, "
        "one-hot labels, `Ridge.add`, `Ridge.solve`. Print shapes.",
        "Masks: one score a cell, the object's minus the background's, for all frames in one einsum; interpolate them "
        "to the frame's size; above zero is object.",
        "For undo, keep with each round what was added: frame, ink, X and Y. `Ridge.remove` takes X and Y away again.",
        "Ink is law comes last: after the scores have decided, go through the ink of all rounds, oldest first, and "
        "write it into the masks.",
    ),
    reference=PainterReference,
    check=_check_painter,
)

# ---------------------------------------------------------------------------------------------- choose_lambda

_QUESTION = (
    "Nobody will paint a whole mask for you. How could a program choose lambda for a clip from the strokes alone? Say "
    "what you would hold out, what you would measure, and why your measure could mislead."
)

choose_lambda = Exercise(
    name="choose_lambda",
    title="A lambda without the truth",
    kind="open question",
    task=_QUESTION,
    difficulty=4,
    importance=4,
    minutes=15,
    hints=(
        "If you hold out every tenth pixel of a stroke: how far is the nearest pixel that you keep?",
        "What is the smallest thing that a user paints which is new to the program?",
        "Where do users paint from the second round on? Are these pixels like the others?",
    ),
    reference="I hold out whole strokes, not pixels: neighbours on a line are nearly the same pixel twice, so a "
    "held-out pixel would be known by heart and the smallest lambda would win. With three strokes or more I learn from "
    "all but one, at each lambda, and count which share of the pixels of the stroke left out gets its label right, for "
    "each class by itself, since background samples are many. One decomposition gives every lambda at once, and "
    "leaving a stroke out is a subtraction from the sums, so this costs milliseconds. It may mislead: corrections are "
    "painted where the last answer was wrong, so held-out strokes are harder than the clip, and lambda would be chosen "
    "for these places. Random background pixels are guesses and should not be judged by. With one or two strokes there "
    "is nothing to hold out; I keep a lambda that was chosen on other clips with known masks, and as a control I would "
    "measure on such clips whether choosing for each clip beats that one value at all.",
    rubric=(
        "Whole strokes (or rounds, or frames) are held out, not single pixels, and it says why.",
        "It measures both classes fairly and does not trust guessed background samples as truth.",
        "It says that corrections are painted where the answer was wrong, so they are no fair sample of the clip.",
        "There is a control: one fixed lambda, on clips whose masks are known.",
    ),
    check=written(25, _QUESTION),
)
