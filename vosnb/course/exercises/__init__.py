"""Exercises: a task, its reference answer, and a check that names the misconception behind a wrong one.

Each lesson has one module here, `lesson_NN.py`, whose `Exercise`s are module-level names. The wrong answers that a
check must catch (mutants) stand in `tests/course/mutants/lesson_NN.py`.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Kind = Literal["warm-up", "build", "bug hunt", "open question"]


class Misconception(AssertionError):
    """A wrong answer: one sentence that names the belief behind it and points to the way out."""


@dataclass(frozen=True)
class Exercise:
    """One task of a lesson.

    name: the module-level name it is bound to. title: one short line. difficulty, importance: 1 to 5.
    minutes: how long it should take. hints: in rising order, at least two; the last one is not the code.
    reference: the right answer (a function, or a value), which later cells use, so that an unsolved exercise breaks
    nothing. check(answer): returns if the answer is right, raises `Misconception` if not.
    kind: what sort of task it is.
      "warm-up": a function of a few lines.
      "build": a whole made of parts, which `check` judges by what it does; the lesson may run on with the student's.
      "bug hunt": a program of ours with one planted fault, `faulty`, which a cell of the lesson shows; `reference` is
      the program without it. To `faulty`, `check` names the symptom, not the line.
      "open question": answered by a text. `reference` is a model answer, `rubric` says what a good one has; both are
      shown after the student has written something. `check` is best made by `written`.
    task: what to do, in a few sentences, for the card.
    """

    name: str
    title: str
    difficulty: int
    importance: int
    minutes: int
    hints: tuple[str, ...]
    reference: object
    check: Callable[[object], None]
    kind: Kind = "warm-up"
    task: str = ""
    faulty: object = None
    rubric: tuple[str, ...] = ()

    def __post_init__(self):
        if not (1 <= self.difficulty <= 5 and 1 <= self.importance <= 5):
            raise ValueError(f"Exercise {self.name}: difficulty and importance go from 1 to 5.")
        if isinstance(self.hints, str) or len(self.hints) < 2:
            raise ValueError(f"Exercise {self.name}: give at least two hints, in rising order.")
        if self.kind not in get_args(Kind):
            raise ValueError(f"Exercise {self.name}: {self.kind!r} is no kind; there are {', '.join(get_args(Kind))}.")
        if (self.kind == "bug hunt") != (self.faulty is not None):
            raise ValueError(f"Exercise {self.name}: a bug hunt, and nothing else, has faulty=, the program to mend.")
        is_open = self.kind == "open question"
        if isinstance(self.rubric, str) or is_open != (len(self.rubric) > 0):
            raise ValueError(f"Exercise {self.name}: an open question, and nothing else, has a rubric=, a tuple.")
        if is_open and not isinstance(self.reference, str):
            raise ValueError(f"Exercise {self.name}: the reference of an open question is a text, the model answer.")

    @property
    def call(self) -> str:
        """How a student writes this exercise in a cell, as in `exercises.read_memory`."""
        return f"exercises.{self.name}"


def expect(right: bool, misconception: str) -> None:
    """Raise `Misconception` with this sentence unless `right`."""
    if not right:
        raise Misconception(misconception)


def written(least: int = 25, question: str = "") -> Callable[[object], None]:
    """The check of an open question: whether somebody has written at least `least` different words of their own.

    Words of the question do not count. What is said is for the student to judge, beside the rubric. An empty text
    counts as not solved yet.
    """

    def check(answer) -> None:
        expect(isinstance(answer, str), "your answer should be a text: write it between quotation marks.")
        if not (words := _words(answer)):
            raise NotImplementedError
        own = set(words) - set(_words(question))
        expect(
            bool(own),
            "these are the words of the question. Say in your own words what you think, and why.",
        )
        expect(
            len(set(words)) > len(words) / 4,
            "the same few words come again and again. Write sentences that somebody else could understand.",
        )
        expect(
            len(own) >= least,
            f"there are {len(own)} different words of your own; write at least {least}, enough to compare with ours.",
        )

    return check


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def same(value, truth, atol: float = 1e-5) -> bool:
    """Whether two numbers or arrays agree in shape and, within `atol`, in value; tensors and lists are welcome.

    Anything that is not a number or an array of them is not the same, so that a check can go on to say what is wrong.
    """
    try:
        value, truth = (np.asarray(x, dtype=float) for x in (value, truth))
    except (TypeError, ValueError):
        return False
    return value.shape == truth.shape and bool(np.allclose(value, truth, rtol=0, atol=atol, equal_nan=True))


def of_lesson(number: int) -> dict[str, Exercise]:
    """The exercises of a lesson, by name, in the order in which its module defines them."""
    module = importlib.import_module(f"{__name__}.lesson_{number:02d}")
    return {name: value for name, value in vars(module).items() if isinstance(value, Exercise)}
