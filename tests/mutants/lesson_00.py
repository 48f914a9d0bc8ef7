"""Answers to the exercises of lesson 00 that must pass, and wrong ones that must not."""

import cv2
import numpy as np

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


# ------------------------------------------------------------------------------------------------- boundary precision


def by_distance_transform(gt, pred, radius):
    distance = cv2.distanceTransform((~gt).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return (distance[pred] <= radius + 1e-4).mean()


def recall(gt, pred, radius):
    return by_distance_transform(pred, gt, radius)


def share_of_the_true_length(gt, pred, radius):
    return by_distance_transform(gt, pred, radius) * pred.sum() / gt.sum()


def exact_overlap(gt, pred, radius):
    return (gt & pred).sum() / pred.sum()


def strictly_inside(gt, pred, radius):
    distance = cv2.distanceTransform((~gt).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return (distance[pred] < radius - 1e-4).mean()


def in_a_square(gt, pred, radius):
    side = 2 * radius + 1
    return (cv2.dilate(gt.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)[pred].mean()


def by_city_blocks(gt, pred, radius):
    distance = cv2.distanceTransform((~gt).astype(np.uint8), cv2.DIST_L1, 3)
    return (distance[pred] <= radius).mean()


# -------------------------------------------------------------------------------------------- Bayes' rule for colours


def bayes_in_full(inside, outside):
    n_in, n_out = inside.sum(), outside.sum()
    prior = n_in / (n_in + n_out)
    joint = inside / n_in * prior
    evidence = joint + outside / n_out * (1 - prior)
    return np.divide(joint, evidence, out=np.zeros_like(joint), where=evidence > 0)


def likelihood(inside, outside):
    return inside / inside.sum()


def without_prior(inside, outside):
    a, b = inside / inside.sum(), outside / outside.sum()
    return np.divide(a, a + b, out=np.zeros_like(a), where=a + b > 0)


def without_evidence(inside, outside):
    return inside / (inside + outside).sum()


def of_the_background(inside, outside):
    return 1 - bayes_in_full(inside, outside)


def undefined_where_unseen(inside, outside):
    with np.errstate(invalid="ignore"):
        return inside / (inside + outside)


def undecided_where_unseen(inside, outside):
    return np.where(inside + outside > 0, bayes_in_full(inside, outside), 0.5)


RIGHT = {
    "object_jaccard": [jaccard_of_sets],
    "boundary_precision": [by_distance_transform],
    "posterior": [bayes_in_full],
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
    "boundary_precision": {
        "recall": (recall, "that is recall"),
        "divided by the true length": (share_of_the_true_length, "length of the true boundary"),
        "no tolerance": (exact_overlap, "no distance"),
        "radius excluded": (strictly_inside, "equal to the radius is within"),
        "square instead of disk": (in_a_square, "yours is a square"),
        "city blocks instead of Euclid": (by_city_blocks, "Euclidean"),
    },
    "posterior": {
        "likelihood": (likelihood, "P(colour | object)"),
        "prior forgotten": (without_prior, "left the prior out"),
        "evidence forgotten": (without_evidence, "divide it by the evidence"),
        "background instead of object": (of_the_background, "P(background | colour)"),
        "NaN where unseen": (undefined_where_unseen, "NaN"),
        "undecided where unseen": (undecided_where_unseen, "never shows should get 0"),
    },
}
