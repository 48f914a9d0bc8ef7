"""Exercises of lesson 00: J of one object with void pixels, boundary precision, Bayes' rule for colours."""

import numpy as np

from vosnb.exercises import Exercise, expect, same

# ------------------------------------------------------------------------------------------------- J with void pixels


def object_jaccard_reference(truth, prediction, k):
    gt = truth == k
    pred = (prediction == k) & (truth != 255)
    union = np.count_nonzero(gt | pred)
    return np.count_nonzero(gt & pred) / union if union else 1.0


def _check_object_jaccard(answer):
    truth = np.zeros((6, 8), int)
    truth[1:4, 1:4], truth[1:4, 5:8] = 1, 2
    prediction = np.roll(truth, 1, axis=1)
    prediction[:, 0], prediction[4, 2:4] = 0, 1
    right = object_jaccard_reference(truth, prediction, 1)
    got = answer(truth, prediction, 1)
    expect(
        not same(got, object_jaccard_reference(truth > 0, prediction > 0, 1)),
        "you took everything that is not background for object k; another object is as wrong as background.",
    )
    expect(
        not same(got, np.mean((truth == 1) == (prediction == 1))) and not same(got, np.mean(truth == prediction)),
        "that is the share of pixels that are right; background counts in it, and there is always plenty of that.",
    )
    gt, pred = truth == 1, prediction == 1
    expect(
        not same(got, 2 * (gt & pred).sum() / (gt.sum() + pred.sum())),
        "that is the Dice score 2|G ∩ P| / (|G| + |P|); J divides the intersection by the *union*.",
    )
    expect(
        not same(got, (gt & pred).sum() / gt.sum()),
        "you divided by the truth alone, and a mask that covers the whole frame would score 1; divide by the union.",
    )
    expect(same(got, right), "without any void pixel it should be |G ∩ P| / |G ∪ P| already; look at hint 1.")

    truth[1:4, 4] = 255  # exactly where the prediction leaves object 1
    got = answer(truth, prediction, 1)
    expect(
        not same(got, right),
        "you judged void pixels: where the truth is 255 nobody knows, so the prediction must not pay for them.",
    )
    expect(
        not same(got, ((gt & pred) | (truth == 255)).sum() / (gt | pred | (truth == 255)).sum()),
        "you gave void pixels as a present: take them out of both masks instead of counting them as found.",
    )
    expect(
        same(got, object_jaccard_reference(truth, prediction, 1)),
        "with void pixels the sets do not agree: take the pixels where the truth is 255 out, and nothing else.",
    )
    expect(
        same(answer(truth, prediction, 3), 1.0),
        "object 3 is nowhere, neither in the truth nor in the prediction: the rule is J = 1 for two empty masks.",
    )


object_jaccard = Exercise(
    name="object_jaccard",
    title="J of one object, void pixels left out",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "First make two sets out of the two index masks: G is where `truth == k`, and P where `prediction == k`.",
        "A void pixel is one where `truth == 255`. It is not in G already. How do you get it out of P?",
        "`pred = (prediction == k) & (truth != 255)`; then divide the two counts, unless the union is empty.",
    ),
    reference=object_jaccard_reference,
    check=_check_object_jaccard,
)

# ------------------------------------------------------------------------------------------------- boundary precision


def boundary_precision_reference(gt, pred, radius):
    true, found = np.argwhere(gt), np.argwhere(pred)
    gaps = np.linalg.norm(found[:, None] - true[None], axis=-1)  # from every found pixel to every true one
    return float(np.mean(gaps.min(axis=1) <= radius))


def _check_boundary_precision(answer):
    gt, pred = np.zeros((2, 12, 12), bool)
    gt[2, 2:10] = gt[4, 2] = True  # nine true pixels, eight of them in a row
    pred[3, 2:6] = True  # four found ones, one row lower: all within radius 1
    pred[8, 3:6] = True  # and three that are nowhere near
    expect(
        not same(answer(gt, pred, 1), boundary_precision_reference(pred, gt, 1)),
        "that is recall, the share of the *true* boundary that is found; precision asks about the predicted pixels.",
    )
    expect(
        not same(answer(gt, pred, 1), 4 / 9),
        "you divided by the length of the true boundary; precision is a share of the *predicted* boundary.",
    )
    expect(
        not same(answer(gt, pred, 1), 0),
        "you allow no distance: a predicted pixel counts when a true one lies within the radius, not only under it "
        "(a distance equal to the radius is within).",
    )
    expect(
        same(answer(gt, pred, 1), 4 / 7),
        "four of the seven predicted pixels lie one pixel from the true boundary, so with radius 1 P is 4/7.",
    )
    corner = np.zeros((12, 12), bool)
    corner[5, 5] = True
    diagonal = np.roll(corner, (2, 2), (0, 1))
    expect(
        not same(answer(corner, diagonal, 2), 1),
        "two down and two to the right is 2.8 pixels away, not 2: the tolerance is a disk, and yours is a square.",
    )
    expect(
        same(answer(corner, diagonal, 2), 0) and same(answer(corner, diagonal, 3), 1),
        "the distance between two pixels should be the Euclidean one, sqrt(dx^2 + dy^2).",
    )


boundary_precision = Exercise(
    name="boundary_precision",
    title="Boundary precision",
    difficulty=3,
    importance=3,
    minutes=15,
    hints=(
        "`np.argwhere(map)` lists the positions of the true pixels of a map as rows (y, x).",
        "You need the distance from each predicted pixel to the *nearest* true one. With `found[:, None] - true[None]` "
        "you get all pairs at once, shape (found, true, 2).",
        "`np.linalg.norm(pairs, axis=-1).min(axis=1)` is one distance for each predicted pixel; "
        "precision is the share of them that is at most the radius.",
    ),
    reference=boundary_precision_reference,
    check=_check_boundary_precision,
)

# -------------------------------------------------------------------------------------------- Bayes' rule for colours


def posterior_reference(inside, outside):
    total = inside + outside
    return np.where(total > 0, inside / np.maximum(total, 1), 0.0)


def _check_posterior(answer):
    inside, outside = np.array([30, 10, 0, 10]), np.array([30, 10, 100, 90])  # 50 pixels of object, 230 of background
    got = answer(inside.copy(), outside.copy())
    likelihood, other = inside / inside.sum(), outside / outside.sum()
    expect(
        not same(got, likelihood),
        "that is P(colour | object), how the object spreads over its colours; we ask for P(object | colour).",
    )
    expect(
        not same(got, likelihood / (likelihood + other)),
        "you left the prior out: the background has more pixels than the object, and a colour that is equally common "
        "in both is more likely to be background.",
    )
    expect(
        not same(got, inside / (inside.sum() + outside.sum())),
        "that is P(object and colour), the product of likelihood and prior; divide it by the evidence P(colour).",
    )
    expect(
        not same(got, outside / (inside + outside)),
        "that is P(background | colour): the object's pixels belong into the numerator.",
    )
    expect(
        same(got, posterior_reference(inside, outside)),
        "for colours 0 to 3 it should be 1/2, 1/2, 0 and 1/10: of all pixels of a colour, the share in the object.",
    )
    got = answer(np.array([3, 0]), np.array([1, 0]))
    expect(
        not np.isnan(np.asarray(got, float)).any(),
        "a colour that frame 0 never shows gives 0 / 0 = NaN; say 0 there, as we take unknown colours for background.",
    )
    expect(
        same(got, [0.75, 0]),
        "a colour that frame 0 never shows should get 0: what we have not seen we take for background.",
    )


posterior = Exercise(
    name="posterior",
    title="From two histograms to a belief",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "Write Bayes' rule with counts: P(c | object) = n_in(c) / N_in and P(object) = N_in / N. What cancels?",
        "The evidence is P(c) = (n_in(c) + n_out(c)) / N. So of all pixels of colour c: which share is inside?",
        "`inside / (inside + outside)`; where both are 0, `np.maximum(total, 1)` avoids the division by zero.",
    ),
    reference=posterior_reference,
    check=_check_posterior,
)
