"""Exercises of lesson 09: a smooth stroke, what a round may change, a fault in AUC, robots and people."""

import cv2
import numpy as np

from vosnb.course.exercises import Exercise, expect, same, written
from vosnb.methods.scribbles import NO_INK

# ---------------------------------------------------------------------------------------------- curve_point


def curve_point_reference(path, s):
    points = np.asarray(path, float)
    while len(points) > 1:
        points = (1 - s) * points[:-1] + s * points[1:]
    return points[0]


def _check_curve_point(answer):
    path = np.array([[0, 0], [4, 0], [4, 4], [4, 9], [0, 9], [1, 5]], float)
    s = 0.3
    got = answer(path.copy(), s)
    truth = curve_point_reference(path, s)
    at = np.linspace(0, 1, len(path))

    expect(
        np.shape(got) == (2,),
        "one point is asked for, x and y: blend neighbours, n points give n - 1, and go on until a single one is left.",
    )
    expect(
        not same(got, [np.interp(s, at, path[:, c]) for c in (0, 1)]),
        "that point lies on the path itself. On the curve every pixel of the path pulls at every point; the path is "
        "followed exactly only at its two ends.",
    )
    expect(
        not same(got, (1 - s) * path[0] + s * path[-1]),
        "you blend the two ends only, and have a straight line. The pixels between must pull, too.",
    )
    expect(
        not same(got, path.mean(0)),
        "that is the mean of the path, wherever on the curve you are. s says how far along: near s = 0 the first "
        "pixels pull most.",
    )
    expect(
        not same(got, curve_point_reference(path, 1 - s)),
        "you run backwards: s = 0 is the path's first pixel, so a blend takes 1 - s of the first of two neighbours.",
    )
    k = np.arange(len(path))
    bare = (1 - s) ** k[::-1] * s**k
    expect(
        not same(got, bare @ path) and not same(got, bare @ path / bare.sum()),
        "(1 - s)^(n-1-k) s^k counts each pixel once, but many ways of blending lead to the pixels in the middle: the "
        "binomial coefficients are missing.",
    )
    expect(
        not same(got, curve_point_reference(np.floor(path / 2) * 2, s)) and not same(got, np.floor(truth)),
        "you round on the way. Points of the curve lie between pixels; `draw` rounds at the end.",
    )
    expect(same(got, truth), "not the curve's point: blend all neighbours with 1 - s and s, again and again.")
    expect(same(answer(path.copy(), 0.0), path[0]), "at s = 0 the curve begins at the path's first pixel.")
    expect(same(answer(path.copy(), 1.0), path[-1]), "at s = 1 the curve ends at the path's last pixel.")
    expect(same(answer(path[:1].copy(), s), path[0]), "a path of one pixel is that pixel, for any s.")


curve_point = Exercise(
    name="curve_point",
    title="A point of the robot's curve",
    kind="warm-up",
    task="A Bezier curve, with *every* pixel of a path as a control point. Its point at s, from 0 to 1, comes from "
    "blending: replace each pair of neighbours by (1 - s) of the first plus s of the second, so that n points become "
    "n - 1, and go on until one is left.",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=(
        "Two points: (1 - s) of the first, s of the second. Three: blend the first two, blend the last two, and then "
        "blend the results. How do n points go on?",
        "`points[:-1]` and `points[1:]` are all neighbours at once.",
        "Blend all neighbours in one line, in a loop that ends when one point is left; begin with a copy of numbers "
        "that need not be whole.",
    ),
    reference=curve_point_reference,
    check=_check_curve_point,
)

# ---------------------------------------------------------------------------------------------- settle


def settle_reference(before, drawn, fresh, ink):
    mask = before.copy()
    for k in np.union1d(before, drawn):
        gained = (drawn == k) & (before != k)
        n, regions = cv2.connectedComponents(gained.astype(np.uint8))
        touched = np.unique(regions[gained & (fresh == k)])
        mask[np.isin(regions, touched)] = k
    mask[ink != NO_INK] = ink[ink != NO_INK]
    return mask


def _regions_scene():
    """before, drawn, fresh, ink (9, 15): objects 1 and 2, gains and losses of both, and ink on some of them."""
    before = np.zeros((9, 15), np.uint8)
    before[1:4, 1:4], before[6:8, 1:6], before[1, 12] = 1, 2, 1
    drawn = before.copy()
    drawn[1:4, 4:6] = 1  # A: grows out of object 1
    drawn[1:3, 8:10] = 1  # B: by itself
    drawn[1:3, 12:14] = 1  # C: by itself
    drawn[6:8, 1] = drawn[6:8, 5] = 0  # D, E: object 2 ends earlier, on both sides
    drawn[5:8, 9:11] = 1  # G: by itself
    drawn[4:6, 13:15] = 2  # H: by itself
    fresh = np.full(before.shape, NO_INK, np.int16)
    fresh[2, 2] = fresh[1, 8] = 1  # on object 1, and on B
    fresh[6, 1] = fresh[6, 9] = 0  # on D, and on G, where it is not an object
    fresh[8, 7] = 1  # where nothing is drawn
    ink = fresh.copy()
    ink[1, 12], ink[7, 1], ink[2, 9] = 1, 2, 0  # of earlier rounds: on C, D and B
    return before, drawn, fresh, ink


def _check_settle(answer):
    before, drawn, fresh, ink = _regions_scene()
    given = [x.copy() for x in (before, drawn, fresh, ink)]
    got = answer(*given)
    expect(
        all(np.array_equal(a, b) for a, b in zip(given, (before, drawn, fresh, ink), strict=True)),
        "you changed what you were given. Undo needs the mask as it was: work on a copy.",
    )
    expect(
        np.shape(got) == before.shape,
        "the answer is a mask as large as the frame: the label of each pixel.",
    )
    got = np.asarray(got)
    truth = settle_reference(before, drawn, fresh, ink)
    painted = ink != NO_INK
    free = ~painted
    expect(
        not np.array_equal(got[free], drawn[free]),
        "you take everything that R draws. Only a region that new ink touches may change; the others were not asked "
        "about, and may have been right.",
    )
    expect(
        not np.array_equal(got[free], before[free]),
        "only painted pixels change in yours. A stroke means the whole region that it touches.",
    )
    expect(
        (got[1:3, 12:14][free[1:3, 12:14]] == 0).all(),
        "one touched region lets all others of its label in, far away as they may be. Take the connected regions one "
        "by one.",
    )
    expect(
        (got[5:8, 9:11][free[5:8, 9:11]] == 0).all(),
        "a region of object 1 came in that was touched by ink of the *background*. New ink of a label lets in regions "
        "of this label alone.",
    )
    expect(
        (got[1:4, 4:6] == 0).all(),
        "a stroke on what was the object's already let in a region beside it. Look at the regions of what would "
        "*change*, not at those of all that R draws.",
    )
    expect(
        (got[1:3, 8:10][free[1:3, 8:10]] == 1).all(),
        "new ink of object 1 touches a region of object 1, and it did not come in.",
    )
    expect(
        got[2, 9] == 0,
        "a pixel that was painted as background is the object's again. The background's ink is law as well.",
    )
    expect(
        got[7, 1] == 2,
        "a pixel that was painted in an earlier round has lost its label. All ink is law, not only what is new, and "
        "regions come first, ink last.",
    )
    expect(got[8, 7] == 1, "a pixel was painted as object 1, and it has another label. Ink is law, whatever R draws.")
    second = drawn.copy()
    second[5, 2:4] = 0
    wide = before.copy()
    wide[5, 2:4] = 2
    more = fresh.copy()
    more[5, 3] = 0
    lost = np.asarray(answer(wide.copy(), second.copy(), more.copy(), np.maximum(ink, more)))
    expect(
        (lost[5, 2:4] == 0).all(),
        "strokes of the background take nothing away in yours. What an object loses is what the background gains: a "
        "region like any other.",
    )
    expect(np.array_equal(got, truth), "not right yet: touched regions as R draws them, the rest as before, ink last.")
    empty = np.zeros_like(before)
    first = np.asarray(answer(empty.copy(), drawn.copy(), fresh.copy(), fresh.copy()))
    expect(
        np.array_equal(first, settle_reference(empty, drawn, fresh, fresh)),
        "right for a frame that has a mask, wrong for one that has none yet: labels may be new.",
    )


settle = Exercise(
    name="settle",
    title="What a round may change",
    kind="build",
    task="A painted frame has a mask from before, and R draws a new one. For each label find the regions that it would "
    "gain, and let in those that new ink of the same label touches. All else stays as it was. At the end every painted "
    "pixel, of this round or an earlier one, gets the label of its ink. The rest of the lesson runs on yours.",
    difficulty=3,
    importance=5,
    minutes=25,
    hints=(
        "Draw a small frame by hand: the old object, a part that R adds to it, and a patch far away. Which regions of "
        "*change* are there, and which would you let in after a stroke on the patch?",
        "`n, regions = cv2.connectedComponents(change.astype(np.uint8))` numbers the regions of a mask from 1; 0 is "
        "what is not in it.",
        "Loop over all labels of both masks, the background among them: what an object loses, the background gains.",
        "Which numbers does `regions` have under new ink of this label? `np.isin` finds all pixels of these regions; "
        "take care that 0 is not among the numbers.",
    ),
    reference=settle_reference,
    check=_check_settle,
)

# ---------------------------------------------------------------------------------------------- area


def area_faulty(seconds, scores, end):
    """AUC of a session, 0..1: seconds and J&F of each round, and the end of the curve in seconds."""
    times = np.array([0, *np.cumsum(seconds)])
    if times[-1] > end:
        raise ValueError("the rounds took longer than the curve is long.")
    times = np.append(times, times[-1])
    heights = np.array([0, *scores, scores[-1]])
    return np.trapezoid(heights, times) / times[-1]


def area_reference(seconds, scores, end):
    """AUC of a session, 0..1: seconds and J&F of each round, and the end of the curve in seconds."""
    times = np.array([0, *np.cumsum(seconds)])
    if times[-1] > end:
        raise ValueError("the rounds took longer than the curve is long.")
    times = np.append(times, end)
    heights = np.array([0, *scores, scores[-1]])
    return np.trapezoid(heights, times) / times[-1]


def _check_area(answer):
    seconds, scores, end = np.array([4.0, 2.0, 6.0]), np.array([0.3, 0.6, 0.7]), 40.0
    truth = area_reference(seconds, scores, end)
    got = answer(seconds.copy(), scores.copy(), end)
    padded = np.array([0, *scores, scores[-1]])

    def under(times, heights, length):
        return np.trapezoid(heights, times) / length

    expect(
        not same(got, scores.mean()),
        "that is the mean over rounds. A round that took long should count for long: what does the clock say?",
    )
    expect(
        not same(got, under([0, *seconds, end], padded, end)),
        "`seconds` is what each round took by itself. On the time axis they stand one after the other: sum them up.",
    )
    expect(
        not same(got, truth * end),
        "that is an area in seconds. Divide it by how long the curve is, so that a perfect score all along gives 1.",
    )
    times = np.cumsum(seconds)
    expect(
        not same(got, under([0, *times], [0, *scores], times[-1])) and not same(got, under(times, scores, times[-1])),
        "rounds ten times as long, and the same AUC: a method that is done early gets nothing for it. The clock runs "
        "on to `end`, and the last score with it.",
    )
    expect(
        not same(got, under([0, *times, end], padded, times[-1])),
        "the curve is `end` long, and you divided by the time of the last round.",
    )
    expect(
        not same(got, under([*times, end], padded[1:], end))
        and not same(got, under([*times, end], padded[1:], end - times[0])),
        "the curve begins at (0, 0): before the first answer there is nothing.",
    )
    steps = np.array([0, *times, end])
    expect(
        not same(got, np.diff(steps) @ padded[:-1] / end) and not same(got, np.diff(steps) @ padded[1:] / end),
        "you have steps. Between two rounds the benchmark draws a straight line: take the mean of both ends.",
    )
    expect(same(got, truth), "not the area under (0, 0), the rounds and the last score at `end`, divided by `end`.")
    try:
        late = answer(seconds.copy(), scores.copy(), 8.0)
    except ValueError:
        late = None
    expect(
        late is None,
        "rounds that took 12 s and an end at 8 s: the last piece runs back in time, and its area is subtracted. Raise "
        "a ValueError instead of returning a number that means nothing.",
    )
    expect(
        same(answer(seconds.copy(), scores.copy(), 12.0), area_reference(seconds, scores, 12.0)),
        "an end at the very moment of the last round is fine: the last piece has no length.",
    )


area = Exercise(
    name="area",
    title="An AUC that does not care for time",
    kind="bug hunt",
    task="This program should compute DAVIS's AUC: the area under (0, 0), a point for each round, and the last score "
    "on to the end, over the whole length. Above you see what it says of a fast and of a slow method. Find the fault "
    "and mend it.",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "Draw the curve that the text describes. Where is its last point, and where is the program's?",
        "Write `times` and `heights` side by side, for two rounds. Which two points lie on one another?",
        "One of the three arguments is looked at only once, to complain.",
    ),
    reference=area_reference,
    check=_check_area,
    faulty=area_faulty,
)

# ---------------------------------------------------------------------------------------------- people

_PEOPLE = (
    "A paper shows that with the robot its segmenter reaches a higher J&F after eight rounds than another one, on 30 "
    "clips, and concludes that people will get their masks faster with it. What does the robot know or do that people "
    "do not, and which experiment would tell whether the conclusion holds? Say what you measure, on whom, and which "
    "outcome would contradict the paper."
)

people = Exercise(
    name="people",
    title="Robots and people",
    kind="open question",
    task=_PEOPLE,
    difficulty=4,
    importance=4,
    minutes=15,
    hints=(
        "How does the robot choose its frame, and how does it know what is wrong there?",
        "Whose time does DAVIS's clock count, and whose does it not?",
        "People differ much from one another, and they learn. How do you compare two tools fairly all the same?",
    ),
    reference="The robot sees the truth: it knows which frame is worst and finds every error at once, it never paints "
    "a wrong pixel, and it never gets tired. Its strokes are short and lie in the middle of an error; people draw "
    "along limbs, near outlines, and sometimes over them. Its thinking and painting cost nothing, for the clock runs "
    "only while the segmenter works. So I let about twenty people correct clips with both tools, in random order, each "
    "person each clip with one tool, and without telling them which is whose. I stop the whole time, looking and "
    "painting as well, and measure J&F against these seconds, and how long it takes them to reach a given J&F. I "
    "compare person by person and clip by clip, with paired intervals. If the other tool is as fast or faster in "
    "people's hands, the paper is contradicted. I would also replay the people's strokes to both segmenters, to see "
    "whether a difference comes from the strokes or from the choice of frames, and let the robot make mistakes on "
    "purpose: if the order of the two tools changes with a few wrong strokes, the robot's order says little.",
    rubric=(
        "The robot knows the truth: the worst frame and every error; people have to look for them.",
        "The robot's time is not counted, so seconds of people, looking and painting, have to be measured.",
        "There are several people, both tools, a random order, and a paired comparison.",
        "It says which outcome would contradict the paper.",
    ),
    check=written(25, _PEOPLE),
)
