"""Rounds of correction: a user scribbles where a clip's masks are worst, a segmenter answers, and again (S2 section 3).

Scores are those of DAVIS's interactive track: J&F of all frames, the first and the last among them, against the seconds
that the segmenter took. Lesson 09 plays it.

Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation", and its davisinteractive package.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vosnb.clips import Clip
from vosnb.clips.masks import VOID
from vosnb.clips.scribbles import Scribble
from vosnb.metrics import boundary_f, jaccard
from vosnb.settings import Count, NotNegative, Positive, checked


@dataclass(frozen=True)
class Round:
    """What a round of correction on `frame` came to, in `seconds` of the segmenter; rounds count from 1.

    J, F: one number an object, its mean over all frames of the clip. answered: of the seconds, those before the painted
    frame had its mask; what is left is propagation.
    """

    round: int
    frame: int
    seconds: float
    J: tuple[float, ...]
    F: tuple[float, ...]
    answered: float = 0.0

    @property
    def JF(self) -> float:
        """The mean of J and F over the objects."""
        return float(np.mean([self.J, self.F]))


def frame_scores(truth: np.ndarray, prediction: np.ndarray, objects: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """J and F (K, T) of K objects in all frames of index masks (T, H, W), void left out."""
    void = truth == VOID
    pairs = [(truth == k, prediction == k, void) for k in objects]
    return np.array([jaccard(*pair) for pair in pairs]), np.array([boundary_f(*pair) for pair in pairs])


class InteractiveSession:
    """Rounds of a user and a segmenter on a clip whose frames are all annotated: iterate over it to get each `Round`.

    segmenter: `add(scribbles) -> masks (T, H, W)` takes what is new. If it has `finish() -> masks`, propagation between
        annotated frames, that follows `add` and belongs to its time: in every round, or with finish="last", as S2
        does, in the last one.
    user: `scribbles(truth, prediction, frame) -> list[Scribble]`, such as `robot.Robot`. Its time is not counted.
    rounds, max_time: where it ends; a round that ends after `max_time` seconds for each object, of all rounds together,
        is discarded. (DAVIS: 8 rounds, 8 * 30 seconds.) It also ends where the user corrects no frame.

    The user is shown the frame of the lowest J&F among those without scribbles yet, then among the rest; at first, with
    nothing predicted, that is the first with the most objects in sight. Where the user has nothing to correct, the next
    one follows. After each round `masks` (T, H, W) uint8, `rows` and `scribbles` hold what there is so far.

    Raises ValueError where a frame is not annotated, there is no object, or a segmenter's masks have another shape.
    """

    @checked
    def __init__(
        self,
        clip: Clip,
        segmenter,
        user,
        rounds: Count = 8,
        max_time: NotNegative | None = 240.0,
        finish: Literal["every", "last"] = "every",
        clock: Callable[[], float] = time.perf_counter,
    ):
        if not hasattr(segmenter, "add") or not hasattr(user, "scribbles"):
            raise ValueError(
                "a session needs a segmenter with add(scribbles), and a user with scribbles(..), as Robot."
            )
        truth = [clip.masks[t] for t in range(len(clip))]
        if any(mask is None for mask in truth):
            raise ValueError(f"{clip.name} has frames without a mask: a session needs the truth of all of them.")
        self.truth = np.stack(truth)
        self.objects = [int(k) for k in np.unique(self.truth) if k not in (0, VOID)]
        if not self.objects:
            raise ValueError(f"{clip.name} has no object: there is nothing to scribble on.")
        self.segmenter, self.user, self.rounds, self.clock = segmenter, user, rounds, clock
        self.finish = finish
        self.time_left = np.inf if max_time is None else max_time * len(self.objects)
        self.masks = np.zeros_like(self.truth)
        self.rows: list[Round] = []
        self.scribbles: list[Scribble] = []

    def worst_frames(self) -> list[int]:
        """All frames, in the order in which they are shown."""
        scores = np.mean(frame_scores(self.truth, self.masks, self.objects), axis=(0, 1))
        annotated = np.isin(np.arange(len(scores)), [s.frame for s in self.scribbles])
        return np.lexsort((scores, annotated)).tolist()

    def __iter__(self) -> Iterator[Round]:
        while len(self.rows) < self.rounds and self.time_left >= 0:
            shown = (self.user.scribbles(self.truth, self.masks, frame) for frame in self.worst_frames())
            if not (scribbles := next(filter(None, shown), [])):
                return
            start = self.clock()
            masks = self.segmenter.add(scribbles)
            answered = self.clock() - start
            if hasattr(self.segmenter, "finish") and (self.finish == "every" or len(self.rows) == self.rounds - 1):
                masks = self.segmenter.finish()
            seconds = self.clock() - start
            if np.shape(masks) != self.truth.shape:
                raise ValueError(f"the segmenter's masks are {np.shape(masks)}, the clip's are {self.truth.shape}.")
            self.time_left -= seconds
            if self.time_left < 0:
                return
            self.masks, self.scribbles = np.asarray(masks, np.uint8), self.scribbles + scribbles
            J, F = (tuple(map(float, s.mean(1))) for s in frame_scores(self.truth, self.masks, self.objects))
            self.rows.append(Round(len(self.rows) + 1, scribbles[0].frame, seconds, J, F, answered))
            yield self.rows[-1]

    def run(self) -> list[Round]:
        """All rounds that are left to play; returns `rows`."""
        for _ in self:
            pass
        return self.rows


@dataclass(frozen=True)
class Curve:
    """J&F against seconds: `times` and `scores` (rounds + 2), straight lines between them."""

    times: np.ndarray
    scores: np.ndarray

    @property
    def auc(self) -> float:
        """The area under the curve over its length, 0..1."""
        return float(np.diff(self.times) @ (self.scores[1:] + self.scores[:-1]) / 2 / self.times[-1])

    def at(self, seconds: float = 60.0) -> float:
        """J&F at a time; DAVIS takes 60 s."""
        return float(np.interp(seconds, self.times, self.scores))


@checked
def curve(sessions: Sequence[Sequence[Round]], rounds: Count = 8, max_time: Positive | None = 240.0) -> Curve:
    """The curve of many sessions, given by their rows: (0, 0), a point for each round, and the last score to the end.

    A round's score is the mean of J&F over all objects of all sessions, its time the sum of the rounds' mean seconds. A
    session that ended early keeps its score and takes no more time. The end is `max_time` seconds for each of the mean
    number of objects; with None, the longest round of all, `rounds` times.

    Raises ValueError where a session has no round, and where the rounds took longer than that end: the curve would go
    back in time, and its area mean nothing. (The benchmark's own formula does so. An `InteractiveSession` with the same
    `max_time` discards what came too late, so its curves never do.)
    """
    if not sessions or not all(sessions):
        raise ValueError("a curve needs sessions of at least one finished round each.")
    scores = np.array([[rows[min(k, len(rows) - 1)].JF for k in range(rounds)] for rows in sessions])
    seconds = np.array([[rows[k].seconds if k < len(rows) else 0 for k in range(rounds)] for rows in sessions])
    objects = [len(rows[0].J) for rows in sessions]
    times = np.cumsum(seconds.mean(0))
    end = rounds * seconds.max() if max_time is None else max_time * np.mean(objects)
    if end < times[-1]:
        raise ValueError(
            f"the rounds took {times[-1]:.1f} s on average, but max_time={max_time} ends the curve at {end:.1f} s: "
            "give the max_time that the sessions were played with."
        )
    scores = np.average(scores, axis=0, weights=objects)
    return Curve(np.array([0, *times, end]), np.array([0, *scores, scores[-1]]))
