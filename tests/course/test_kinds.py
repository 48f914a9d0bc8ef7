"""One exercise of each kind, as a lesson may have them: right answers pass, named wrong ones are told what is wrong.

A lesson's own exercises are held to the same by `test_exercises.py`.
"""

import linecache

import numpy as np
import pytest

from vosnb.course import classroom
from vosnb.course.exercises import Exercise, Misconception, expect, same, written

# ------------------------------------------------------------------------------------ warm-up: a function


def softmax_reference(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def _check_softmax(answer):
    x = np.array([0.0, 1.0, 2.0])
    got = answer(x)
    expect(not same(got, x / x.sum()), "you divided the scores themselves; exponentials come first.")
    expect(not same(got, np.exp(x)), "these are exponentials, and they do not sum to one yet.")
    expect(same(got, softmax_reference(x)), "this is not exp(x) over its sum.")
    expect(same(answer(x + 1000), got), "large scores overflow: take the largest away from all of them first.")


softmax = Exercise(
    name="softmax",
    title="Softmax of some scores",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=("What do the results sum to?", "Which number may you take away from all scores?"),
    reference=softmax_reference,
    check=_check_softmax,
)


def softmax_by_logs(x):
    return np.exp(x - np.logaddexp.reduce(x))


def shares(x):
    return x / x.sum()


def exponentials(x):
    return np.exp(x)


def softmax_that_overflows(x):
    with np.errstate(all="ignore"):
        return np.exp(x) / np.exp(x).sum()


# ------------------------------------------------------------------------------------ build: a whole, by what it does


class StillTracker:
    """The smallest tracker: the mask of frame 0 for ever. Takes index masks (H, W), gives probabilities (K+1, H, W)."""

    def start(self, frame, mask):
        self.probability = np.stack([mask == k for k in range(int(mask.max()) + 1)]).astype(np.float32)

    def step(self, frame):
        return self.probability


def _check_still(answer):
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 1], mask[2, 3] = 1, 2
    tracker = answer()
    tracker.start(np.zeros((4, 6, 3), np.uint8), mask)
    given, mask = mask.copy(), np.zeros_like(mask)
    got = np.asarray(tracker.step(np.ones((4, 6, 3), np.uint8)))
    expect(got.shape != (4, 6), "that is a mask; a tracker gives a probability for the background and each object.")
    expect(got.shape == (3, 4, 6), "two objects and the background make three maps, (3, H, W).")
    expect(same(got.sum(0), np.ones((4, 6))), "at some pixels the probabilities do not sum to one.")
    expect(same(got.argmax(0), given), "the most probable object is not the one that was given in frame 0.")


still = Exercise(
    name="still",
    title="A tracker that does not move",
    difficulty=2,
    importance=4,
    minutes=30,
    hints=("What has `step` to remember?", "One map a number: where is the mask equal to it?"),
    reference=StillTracker,
    check=_check_still,
    kind="build",
    task="Write a class with `start(frame, mask)` and `step(frame)`.",
)


class OneHot:
    def start(self, frame, mask):
        self.one_hot = np.eye(mask.max() + 1)[mask].transpose(2, 0, 1)

    def step(self, frame):
        return self.one_hot


class GivesTheMask:
    def start(self, frame, mask):
        self.mask = mask

    def step(self, frame):
        return self.mask


class ForgetsTheGround(StillTracker):
    def step(self, frame):
        return self.probability[1:]


class CountsObjectsTwice(StillTracker):
    def step(self, frame):
        return np.concatenate([np.ones_like(self.probability[:1]), self.probability[1:]])


# ------------------------------------------------------------------------------------ bug hunt: mend a program


def smooth_reference(scores):
    found = []
    for t in range(len(scores)):
        found.append(np.mean(scores[max(0, t - 1) : t + 2]))
    return found


def smooth(scores):
    """The mean over each frame and its two neighbours."""
    found = []
    for t in range(len(scores)):
        found.append(np.mean(scores[max(0, t - 1) : t + 1]))
    return found


def _check_smooth(answer):
    got = answer([0.0, 0.0, 3.0, 0.0, 0.0])
    expect(len(got) == 5, "five frames went in, and another number of means came out.")
    late = got[1] < got[3]
    expect(not late, "a peak at frame 2 comes out at frames 2 and 3: what is smoothed lags behind.")
    expect(got[1] <= got[3], "a peak at frame 2 comes out at frames 1 and 2: what is smoothed runs ahead.")
    expect(same(got, [0, 1, 1, 1, 0]), "a single peak of 3 should become three frames of 1.")


mend_smooth = Exercise(
    name="mend_smooth",
    title="Why does the curve lag?",
    difficulty=2,
    importance=2,
    minutes=10,
    hints=("Give it a single peak, and look where that goes.", "How many numbers does each slice hold?"),
    reference=smooth_reference,
    check=_check_smooth,
    kind="bug hunt",
    faulty=smooth,
)


def smooth_by_three(scores):
    padded = np.pad(np.asarray(scores, float), 1, constant_values=np.nan)
    return np.nanmean([padded[:-2], padded[1:-1], padded[2:]], axis=0)


def runs_ahead(scores):
    return [np.mean(scores[t : t + 2]) for t in range(len(scores))]


def loses_the_ends(scores):
    return [np.mean(scores[t - 1 : t + 2]) for t in range(1, len(scores) - 1)]


# ------------------------------------------------------------------------------------ open question: a text

QUESTION = "Which experiment would tell whether memory or place helps the tracker?"
MODEL = (
    "Run the same tracker four times on the same clips: with and without memory, with and without place. Take the "
    "difference clip by clip, and look at its interval. If the gain of memory vanishes where the camera jumps, then it "
    "was place."
)

experiment = Exercise(
    name="experiment",
    title="Memory or place?",
    difficulty=3,
    importance=4,
    minutes=15,
    hints=("What has to stay as it is?", "What would you expect if you are wrong?"),
    reference=MODEL,
    check=written(15, QUESTION),
    kind="open question",
    task=QUESTION,
    rubric=("It changes one thing at a time.", "It says which result would speak *against* the idea."),
)

ANOTHER = (
    "I shift every query by forty pixels before matching. A tracker that relies on position should lose much, one that "
    "relies on what it remembers nothing; both runs share seeds and clips."
)

# ------------------------------------------------------------------------------------ all of them

RIGHT = {
    softmax: [softmax_reference, softmax_by_logs],
    still: [StillTracker, OneHot],
    mend_smooth: [smooth_reference, smooth_by_three],
    experiment: [MODEL, ANOTHER],
}
WRONG = {
    softmax: {
        shares: "exponentials come first",
        exponentials: "do not sum to one",
        softmax_that_overflows: "large scores overflow",
    },
    still: {
        GivesTheMask: "that is a mask",
        ForgetsTheGround: "three maps",
        CountsObjectsTwice: "do not sum to one",
    },
    mend_smooth: {smooth: "lags behind", runs_ahead: "runs ahead", loses_the_ends: "another number of means"},
    experiment: {
        "I would just try it out.": "at least 15",
        QUESTION: "words of the question",
        "I do not know. " * 8: "again and again",
    },
}


@pytest.mark.parametrize("exercise, answer", [(e, a) for e, answers in RIGHT.items() for a in answers])
def test_right_answers_pass(exercise, answer, capsys):
    classroom.check(exercise, answer)
    assert capsys.readouterr().out.startswith(f"✓ {exercise.title}: ")


@pytest.mark.parametrize("exercise, answer", [(e, a) for e, answers in WRONG.items() for a in answers])
def test_wrong_answers_are_told_what_is_wrong(exercise, answer, capsys):
    with pytest.raises(Misconception, match=WRONG[exercise][answer]):
        exercise.check(answer)
    classroom.check(exercise, answer)
    assert capsys.readouterr().out.startswith(f"✗ {exercise.title}: ")


def test_the_rest_of_the_lesson_runs_on_what_the_student_built(capsys):
    assert classroom.chosen(still, OneHot) is OneHot
    assert capsys.readouterr().out == f"✓ {still.title}: From here on the lesson runs on your own version.\n"
    assert classroom.chosen(still, GivesTheMask) is StillTracker
    assert capsys.readouterr().out == f"· {still.title}: Until yours passes its check, the lesson runs on ours.\n"
    assert classroom.chosen(still, None) is StillTracker
    assert capsys.readouterr().out == f"· {still.title}: Until yours is written, the lesson runs on ours.\n"


def test_a_build_that_passed_is_not_checked_twice_and_one_that_failed_is(capsys):
    count = []
    built = Exercise(**(vars(still) | {"check": lambda answer: (count.append(1), _check_still(answer))}))
    classroom.check(built, OneHot)
    assert classroom.chosen(built, OneHot) is OneHot and len(count) == 1
    classroom.check(built, GivesTheMask)
    assert classroom.chosen(built, GivesTheMask) is StillTracker and len(count) == 3


def test_a_mistake_in_a_mended_program_shows_its_line(capsys):
    cell = "def smooth(scores):\n    return [neighbours(scores, t) for t in range(5)]\n"
    linecache.cache["<mended>"] = (len(cell), None, cell.splitlines(True), "<mended>")
    exec(compile(cell, "<mended>", "exec"), names := {})
    classroom.check(mend_smooth, names["smooth"])
    said, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    assert "NameError: name 'neighbours' is not defined" in said.replace("\n", " ")
    assert last == "  in line 2 of its cell: return [neighbours(scores, t) for t in range(5)]"


def test_the_solution_of_a_bug_hunt_is_the_mended_program_and_what_changed(capsys):
    classroom.solution(mend_smooth, anyway=True)
    program, _, changed = capsys.readouterr().out.partition("\n\nWhat changed:\n")
    assert program.startswith("def mend_smooth(scores):") and "t + 2" in program
    assert changed.splitlines() == [
        '-     """The mean over each frame and its two neighbours."""',
        "-         found.append(np.mean(scores[max(0, t - 1) : t + 1]))",
        "+         found.append(np.mean(scores[max(0, t - 1) : t + 2]))",
    ]


def test_rubric_and_model_answer_come_only_after_a_text_of_ones_own(capsys):
    for early in ("", "   ", None, "I would just try it out."):
        classroom.check(experiment, early)
        said = capsys.readouterr().out
        assert "Run the same tracker" not in said and "one thing at a time" not in said
    classroom.check(experiment, ANOTHER)
    said = capsys.readouterr().out
    assert "  - It changes one thing at a time." in said and "One good answer:\n  Run the same tracker" in said
    assert "right" not in said  # nobody but the student can judge that


def test_an_empty_text_is_not_solved_yet_and_a_number_is_no_text():
    with pytest.raises(NotImplementedError):
        experiment.check("...")
    with pytest.raises(Misconception, match="should be a text"):
        experiment.check(3)


@pytest.mark.parametrize(
    "exercise, change, said",
    [
        (softmax, {"kind": "riddle"}, "'riddle' is no kind; there are warm-up, build, bug hunt, open question"),
        (softmax, {"kind": "bug hunt"}, "has faulty="),
        (softmax, {"faulty": smooth}, "has faulty="),
        (experiment, {"rubric": ()}, "has a rubric="),
        (experiment, {"rubric": "one"}, "has a rubric="),
        (softmax, {"rubric": ("one",)}, "has a rubric="),
        (experiment, {"reference": 3}, "is a text, the model answer"),
    ],
)
def test_an_exercise_that_does_not_fit_its_kind_is_refused(exercise, change, said):
    with pytest.raises(ValueError, match=f"Exercise {exercise.name}: .*{said}"):
        Exercise(**(vars(exercise) | change))
