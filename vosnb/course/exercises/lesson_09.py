"""Exercises of lesson 09: a smooth stroke, the next frame to correct, and the area under J&F against seconds."""

import numpy as np

from vosnb.course.exercises import Exercise, expect, same

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
    difficulty=2,
    importance=3,
    minutes=8,
    hints=(
        "Two points: (1 - s) of the first, s of the second. Three: blend the first two, blend the last two, and then "
        "blend the results. How do n points go on?",
        "`points[:-1]` and `points[1:]` are all neighbours at once.",
        "while len(points) > 1: points = (1 - s) * points[:-1] + s * points[1:]",
    ),
    reference=curve_point_reference,
    check=_check_curve_point,
)

# ---------------------------------------------------------------------------------------------- next_frame


def next_frame_reference(scores, annotated):
    mean = np.asarray(scores, float).mean(0)
    fresh = ~np.asarray(annotated, bool)
    if fresh.any():
        mean = np.where(fresh, mean, np.inf)
    return int(mean.argmin())


def _check_next_frame(answer):
    scores = np.array([[0.1, 0.05, 0.5, 0.2, 0.8, 0.5], [0.1, 1.0, 0.6, 0.6, 0.7, 0.45]])
    annotated = np.array([True, False, False, False, False, False])
    got = answer(scores.copy(), annotated.copy())

    expect(
        np.shape(got) == () and not isinstance(got, bool),
        "one frame is asked for: a whole number.",
    )
    expect(got != 0, "frame 0 was annotated already. Its turn comes again when every frame has had one.")
    expect(
        got != 4,
        "that is the best of the frames without scribbles. A correction helps where the score is *lowest*.",
    )
    expect(
        got != 2,
        "you counted among the frames that are left, so your number is one too small: it must be a frame of the clip.",
    )
    expect(
        got != 1,
        "frame 1 has the lowest score of any single object. It is the *mean* over the objects that decides.",
    )
    expect(
        got != 5,
        "frame 5 is the worst by one object, or by the better of the two. It is the *mean* over the objects.",
    )
    expect(got == 3, "not the frame with the lowest mean over objects among those without scribbles, which is 3.")
    expect(
        int(answer(scores.copy(), np.zeros(6, bool))) == 0,
        "before anything is annotated, frame 0 may be chosen, too, and here it is the worst.",
    )
    try:
        last = answer(scores[:, ::-1].copy(), np.ones(6, bool))
    except (ValueError, IndexError):
        last = None
    expect(
        last is not None and np.isfinite(last) and int(last) == 5,
        "when every frame has scribbles the session goes on: then the worst of all frames is next, here 5.",
    )


next_frame = Exercise(
    name="next_frame",
    title="Which frame next?",
    difficulty=1,
    importance=4,
    minutes=6,
    hints=(
        "First one number a frame: the mean over objects, which are the rows.",
        "Give annotated frames a score that can never be the lowest, rather than dropping them: then numbers of frames "
        "stay what they are. And if all are annotated?",
        "np.where(annotated, np.inf, mean).argmin(), unless annotated.all().",
    ),
    reference=next_frame_reference,
    check=_check_next_frame,
)

# ---------------------------------------------------------------------------------------------- area


def area_reference(seconds, scores, end):
    times = np.cumsum(seconds)
    if end < times[-1]:
        raise ValueError("the rounds took longer than the curve is long.")
    times = np.array([0, *times, end])
    scores = np.array([0, *scores, scores[-1]])
    return np.diff(times) @ (scores[1:] + scores[:-1]) / 2 / end


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
        "your curve stops with the last round. The clock runs on to `end`, and the last score with it: a fast method "
        "is rewarded for all the time in which it is done already.",
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
    title="The area under the curve",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "Draw it first: (0, 0), then a point for each round, then the last score once more, at `end`.",
        "np.cumsum turns what rounds took into moments. A piece between two points has the area width times the mean "
        "of its two heights (np.trapezoid sums them all).",
        "Before anything else: if end < times[-1], raise ValueError. At last divide by `end`.",
    ),
    reference=area_reference,
    check=_check_area,
)
