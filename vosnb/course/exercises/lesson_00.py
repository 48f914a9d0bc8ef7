"""Exercises of lesson 00: J of one object, a tracker by colour, a score that forgives too much, a judgement."""

import numpy as np

from vosnb.course.exercises import Exercise, expect, same, written

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
    task="Write J of object `k`, given two index masks. Where the truth is 255 nobody is judged. "
    "Two empty masks score 1.",
    hints=(
        "First make two sets out of the two index masks: G is where `truth == k`, and P where `prediction == k`.",
        "A void pixel is one where `truth == 255`. It is not in G already. How do you get it out of P?",
        "Clean P with a second condition, joined by `&`. Then count the pixels of intersection and union, "
        "and think of the case in which the union is empty.",
    ),
    reference=object_jaccard_reference,
    check=_check_object_jaccard,
)

# ----------------------------------------------------------------------------------------------- a tracker by colour

BINS = 16


def colour_bins(frame):
    """(H, W, 3) uint8 -> (H, W) numbers of bins, 0 to 16^3 - 1: each channel is cut into 16 steps."""
    r, g, b = np.moveaxis(frame.astype(int) * BINS // 256, -1, 0)
    return (r * BINS + g) * BINS + b


class ColourTrackerReference:
    """P(object | colour), counted in frame 0."""

    def start(self, frame, mask):
        bins = colour_bins(frame)
        inside = np.bincount(bins[mask == 1], minlength=BINS**3)
        outside = np.bincount(bins[mask == 0], minlength=BINS**3)
        self.belief = inside / np.maximum(inside + outside, 1)

    def step(self, frame):
        return self.belief[colour_bins(frame)]


RED, GREEN, BLUE, GREY, WHITE = (200, 20, 20), (20, 180, 30), (20, 40, 220), (120, 120, 120), (250, 250, 250)


def _painted(rows):
    """A frame (10, 10, 3) of colours given as (colour, how many pixels), in reading order."""
    return np.repeat([c for c, _ in rows], [n for _, n in rows], axis=0).reshape(10, 10, 3).astype(np.uint8)


def _check_colour_tracker(answer):
    # 20 object pixels (10 red, 10 grey), 70 of background (30 grey, 40 green), 10 void ones (red).
    frame = _painted([(RED, 10), (GREY, 40), (GREEN, 40), (RED, 10)])
    mask = np.repeat([1, 1, 0, 0, 255], [10, 10, 30, 40, 10]).reshape(10, 10).astype(np.uint8)
    later = _painted([(GREEN, 50), (RED, 20), (GREY, 20), (BLUE, 10)])
    tracker = answer()
    expect(
        hasattr(tracker, "start") and hasattr(tracker, "step"),
        "hand in the class itself, `ColourTracker`, with the methods `start` and `step`.",
    )
    tracker.start(frame.copy(), mask.copy())
    got = tracker.step(later.copy())
    expect(got is not None, "`step` returned None: is a return missing?")
    got = np.asarray(got)
    expect(
        got.shape == (10, 10),
        f"`step` should return one belief for each pixel, an array (H, W); yours has shape {got.shape}.",
    )
    got = got.astype(float)
    expect(
        not np.isnan(got[9]).any(),
        "blue never occurs in frame 0, and 0 / 0 is NaN; say 0 there, as we take unknown colours for background.",
    )
    green, red, grey, blue = got[0, 0], got[5, 0], got[7, 0], got[9, 0]
    expect(
        not same(got, mask == 1),
        "you gave back the mask of frame 0: look up the colours of the frame that `step` is given.",
    )
    expect(
        not same(blue, 1) and not same(grey, 0.75, 1e-6),
        "that is P(background | colour): the object's pixels belong into the numerator.",
    )
    expect(
        same(blue, 0),
        "blue never occurs in frame 0 and should get 0: what we have not seen we take for background.",
    )
    expect(
        red > 0.1,
        "red occurs in the object alone and should be believed. If it comes out as 0, look at `frame` again: "
        "bin numbers do not fit into uint8, and `colour_bins` takes care of that.",
    )
    expect(
        not same(grey, 0.5, 1e-6),
        "that is P(colour | object), how the object spreads over its colours; we ask for P(object | colour): "
        "of all known pixels of this colour, the share in the object.",
    )
    expect(
        not same(grey, 0.5 / (0.5 + 30 / 70), 1e-6),
        "you left the prior out: you compared *shares* (half of the object is grey, and 3/7 of the background), but "
        "there are 10 grey pixels inside and 30 outside.",
    )
    expect(
        not same(red, 0.5, 1e-6),
        "red occurs in the object and in *void*, and void is nobody's: count as background only where the mask is 0.",
    )
    expect(
        not (same(red, 1) and same(grey, 1)),
        "grey occurs 10 times inside and 30 times outside: believe it a quarter, not wholly because it occurs inside.",
    )
    expect(
        same([green, red, grey], [0, 1, 0.25], 1e-6),
        "for green, red and grey we expected 0, 1 and 1/4: of all known pixels of a colour, the share in the object.",
    )
    expect(
        same(tracker.step(later.copy()), got),
        "the second `step` on the same frame gave another answer: this tracker learns in `start` alone.",
    )
    other = np.where(mask == 0, 1, 0).astype(np.uint8)
    tracker.start(frame.copy(), other)
    expect(
        same(tracker.step(later.copy())[0, 0], 1) and same(tracker.step(later.copy())[5, 0], 0),
        "`start` on another mask must forget the first clip; your counts of both are added up.",
    )


colour_tracker = Exercise(
    name="colour_tracker",
    title="A tracker that knows colours",
    difficulty=3,
    importance=5,
    minutes=35,
    kind="build",
    task="Write a tracker that knows nothing but colour: `start` counts the colours of frame 0 inside and outside of "
    "the mask, and `step` says for each pixel of a new frame which share of that colour was inside. Colours that "
    "frame 0 does not show get 0. When your tracker passes, the rest of the lesson runs on it.",
    hints=(
        "`start` counts and `step` looks up. In `start` you need two histograms over the bins: pixels of each bin "
        "inside the object (mask 1), and outside (mask 0). Void is in neither.",
        "`np.bincount(numbers, minlength=...)` counts how often each number occurs, and `colour_bins(frame)[mask == "
        "1]` are the numbers of the bins inside.",
        "Of all pixels of a colour, which share is inside? Divide one histogram by the sum of both, with "
        "`np.maximum(total, 1)` where the total may be 0, and keep the result in `self`.",
        "`step` is one line: index your array of beliefs with the bin numbers of the new frame, (H, W).",
    ),
    reference=ColourTrackerReference,
    check=_check_colour_tracker,
)

# ------------------------------------------------------------------------------------------- a score that forgives


def mean_j_reference(truths, answers):
    scores = []
    for truth, answer in zip(truths[1:-1], answers[1:-1], strict=True):
        known = truth != 255
        G, P = (truth == 1) & known, (answer == 1) & known
        scores.append(1.0 if not (G | P).any() else (G & P).sum() / (G | P).sum())
    return float(np.mean(scores))


def mean_j_faulty(truths, answers):
    scores = []
    for truth, answer in zip(truths[1:-1], answers[1:-1], strict=True):
        known = truth != 255
        G, P = (truth == 1) & known, (answer == 1) & known
        scores.append(1.0 if not G.any() else (G & P).sum() / (G | P).sum())
    return float(np.mean(scores))


def _check_mean_j(answer):
    there, away = np.zeros((2, 6, 6), np.uint8)
    there[1:4, 1:4] = 1
    truths = [there, there, away, away, there, there]
    clinging = [there] * 6
    got, silent = answer(truths, clinging), answer(truths, truths)
    expect(
        not np.isnan(silent),
        "two empty masks give 0 / 0 = NaN now: keep a rule for them, J = 1.",
    )
    expect(
        not same(silent, 0.5),
        "now whoever is right to say nothing gets 0: two empty masks are a perfect match.",
    )
    expect(
        not same(answer(truths, [there] + [away] * 5), 4 / 6) and not same(got, 4 / 6),
        "frame 0 was given and the last frame is not judged: the slices were right, so leave them as they were.",
    )
    mixed = answer([there, there, away, there], [there, away, there, there])
    expect(
        not (same(got, 1) and same(mixed, 0)),
        "you leave frames out in which the object is away. Leaving them out forgives a mask there; its J is 0.",
    )
    expect(
        not same(got, 1),
        "the fault is still there: a mask that stays when its object has gone scores 1, as if it were right.",
    )
    expect(
        same(silent, 1) and same(got, 0.5),
        "who is right in every frame should score 1, and who clings on in two of four judged frames .5.",
    )
    hazy, wider = there.copy(), there.copy()
    hazy[4, 1:4], wider[4, 1:4] = 255, 1
    expect(
        same(answer([there, hazy, there], [there, wider, there]), 1),
        "void pixels cost something now: they were left out on both sides, and that was right.",
    )


mean_j = Exercise(
    name="mean_j",
    title="A score that forgives too much",
    difficulty=2,
    importance=4,
    minutes=15,
    kind="bug hunt",
    task="This program scores a clip, and a mask that simply stays when its object has left is not punished at all. "
    "Find the fault and mend it. Everything else in it is right.",
    hints=(
        "The symptom is in frames from which the object is away. Work through one by hand: G is empty there, and P is "
        "not. What are G ∩ P and G ∪ P, and what should J be?",
        "`1.0` is for frames in which both masks are empty. Which test is made?",
    ),
    reference=mean_j_reference,
    faulty=mean_j_faulty,
    check=_check_mean_j,
)

# ------------------------------------------------------------------------------------------------- which clips to take

CLIPS = (
    "A paper shows its new tracker on one clip with twins: J 0.94, and two older trackers have 0.32 and 0.37 there. "
    "Do you believe that it is the better tracker? Which clips would you ask for, how many, and what would you compare?"
)

judge_a_claim = Exercise(
    name="judge_a_claim",
    title="One clip in a paper",
    difficulty=2,
    importance=4,
    minutes=10,
    kind="open question",
    task=CLIPS,
    hints=(
        "How was the clip of the opening chosen, and by whom?",
        "Think of clips without look-alikes, of other worlds, of settings that somebody had to choose, and of luck.",
    ),
    rubric=(
        "It says that a clip which was chosen for its result proves only that such a clip exists.",
        "It asks for clips chosen before anybody saw a result, and for so many that luck averages out.",
        "It compares the trackers clip by clip on the same clips, and asks how often the new one wins.",
        "It asks for clips without look-alikes and from elsewhere, where the new tracker may gain nothing or lose.",
        "It asks where settings were chosen: on other clips than those of the table.",
    ),
    reference=(
        "One clip shows what can happen, not what usually happens, and this one may have been chosen because the new "
        "tracker shines on it. I would ask for a list of clips that was fixed before anything was run, at least twenty "
        "with look-alikes and as many without, some of them real video from somebody else. All trackers run on all of "
        "them, with settings that were chosen on other clips. Then I would count on how many clips the new tracker "
        "wins, and look at its average gain with an interval. A tracker that wins on twins and loses nothing "
        "elsewhere is better; one that wins on twins alone is a specialist, and the paper should say so."
    ),
    check=written(25, CLIPS),
)
