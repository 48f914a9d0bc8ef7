"""Exercises: a task, its reference answer, and a check that names the misconception behind a wrong one.

Each lesson has one module here, `lesson_NN.py`, whose `Exercise`s are module-level names. The wrong answers that a
check must catch (mutants) stand in `tests/mutants/lesson_NN.py`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class Misconception(AssertionError):
    """A wrong answer: one sentence that names the belief behind it and points to the way out."""


@dataclass(frozen=True)
class Exercise:
    """One task of a lesson.

    name: the module-level name it is bound to. title: one short line. difficulty, importance: 1 to 5.
    minutes: how long it should take. hints: in rising order, at least two. reference: the right answer (a function,
    or a value), which later cells use, so that an unsolved exercise breaks nothing.
    check(answer): returns if the answer is right, raises `Misconception` if not.
    """

    name: str
    title: str
    difficulty: int
    importance: int
    minutes: int
    hints: tuple[str, ...]
    reference: object
    check: Callable[[object], None]

    def __post_init__(self):
        if not (1 <= self.difficulty <= 5 and 1 <= self.importance <= 5):
            raise ValueError(f"Exercise {self.name}: difficulty and importance go from 1 to 5.")
        if isinstance(self.hints, str) or len(self.hints) < 2:
            raise ValueError(f"Exercise {self.name}: give at least two hints, in rising order.")

    @property
    def call(self) -> str:
        """How a student writes this exercise in a cell, as in `exercises.read_memory`."""
        return f"exercises.{self.name}"


def expect(right: bool, misconception: str) -> None:
    """Raise `Misconception` with this sentence unless `right`."""
    if not right:
        raise Misconception(misconception)


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
