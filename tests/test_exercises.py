"""Exercises: right answers pass, and each wrong one (tests/mutants) is told which misconception it shows."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest

from vosnb import course
from vosnb.exercises import Misconception, of_lesson

NUMBERS = [int(name[:2]) for name in course.lessons()]
EXERCISES = {(n, name): exercise for n in NUMBERS for name, exercise in of_lesson(n).items()}


@cache
def answers(number: int):
    """The module tests/mutants/lesson_NN.py, with its RIGHT and MUTANTS."""
    path = Path(__file__).parent / "mutants" / f"lesson_{number:02d}.py"
    spec = importlib.util.spec_from_file_location(f"mutants_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


each_exercise = pytest.mark.parametrize("number, name", EXERCISES, ids=[f"{n:02d}-{name}" for n, name in EXERCISES])
MUTANTS = [(n, name, wrong) for n, name in EXERCISES for wrong in answers(n).MUTANTS.get(name, {})]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lesson_has_two_to_four_exercises_under_their_own_names(number):
    exercises = of_lesson(number)
    assert 2 <= len(exercises) <= 4
    assert all(exercise.name == name for name, exercise in exercises.items())
    assert set(answers(number).MUTANTS) | set(answers(number).RIGHT) == set(exercises)


@each_exercise
def test_right_answers_pass(number, name):
    others = answers(number).RIGHT[name]
    assert others, "one right answer besides the reference"
    for answer in [EXERCISES[number, name].reference, *others]:
        EXERCISES[number, name].check(answer)


@each_exercise
def test_there_are_three_mutants_and_their_messages_differ(number, name):
    mutants = answers(number).MUTANTS[name]
    assert len(mutants) >= 3
    assert len({words for _, words in mutants.values()}) >= 2


@pytest.mark.parametrize("number, name, wrong", MUTANTS, ids=[f"{n:02d}-{name}-{wrong}" for n, name, wrong in MUTANTS])
def test_a_mutant_is_told_its_misconception(number, name, wrong):
    answer, words = answers(number).MUTANTS[name][wrong]
    with pytest.raises(Misconception) as told:
        EXERCISES[number, name].check(answer)
    assert words.lower() in str(told.value).lower()


@each_exercise
def test_a_check_lets_an_unsolved_answer_and_an_error_through(number, name):
    """`check` in a lesson tells them apart from a wrong answer, so they must reach it."""
    exercise = EXERCISES[number, name]
    if not callable(exercise.reference):
        return

    for error in (NotImplementedError, ZeroDivisionError):

        def answer(*args, error=error, **kwargs):
            raise error

        with pytest.raises(error):
            exercise.check(answer)
