"""Exercises: right answers pass, and each wrong one (tests/course/mutants) is told which misconception it shows."""

import difflib
import importlib.util
import inspect
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from test_kinds import RIGHT as EXAMPLES

from vosnb.course import notebooks
from vosnb.course.exercises import Exercise, Kind, Misconception, of_lesson
from vosnb.course.judging import judge
from vosnb.paths import NOTEBOOKS

NAMES = [name for name in notebooks.lessons() if not notebooks.is_deeper(name)]
NUMBERS = [int(name[:2]) for name in NAMES]
EXERCISES = {(n, name): exercise for n in NUMBERS for name, exercise in of_lesson(n).items()}


def style(number: int) -> int:
    """The style in which a lesson is written, as its notebook says."""
    notebook = notebooks.read(NOTEBOOKS / f"{NAMES[number]}.ipynb")
    return notebook.metadata.get("vosnb", {}).get("style", 1) if notebook else 1


STYLE_2 = [number for number in NUMBERS if style(number) >= 2]


@cache
def answers(number: int):
    """The module tests/course/mutants/lesson_NN.py, with its RIGHT and MUTANTS."""
    path = Path(__file__).parent / "mutants" / f"lesson_{number:02d}.py"
    spec = importlib.util.spec_from_file_location(f"mutants_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


each_exercise = pytest.mark.parametrize("number, name", EXERCISES, ids=[f"{n:02d}-{name}" for n, name in EXERCISES])
MUTANTS = [(n, name, wrong) for n, name in EXERCISES for wrong in answers(n).MUTANTS.get(name, {})]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lesson_has_some_exercises_under_their_own_names(number):
    exercises = of_lesson(number)
    assert 2 <= len(exercises) <= (6 if number in STYLE_2 else 4)
    assert all(exercise.name == name for name, exercise in exercises.items())
    assert set(answers(number).MUTANTS) | set(answers(number).RIGHT) == set(exercises)


@each_exercise
def test_right_answers_pass(number, name):
    others = answers(number).RIGHT[name]
    assert others, "one right answer besides the reference"
    for answer in [EXERCISES[number, name].reference, *others]:
        EXERCISES[number, name].check(answer)
        assert judge(EXERCISES[number, name], answer).sign == "✓"


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


# ------------------------------------------------------------------------------------ of lessons of style 2


def code(thing) -> str:
    """The source of a function or class, without what is around it; of a value, the value."""
    return textwrap.dedent(inspect.getsource(thing)) if callable(thing) else str(thing)


def gives_away(exercise: Exercise) -> list[str]:
    """The pieces of code in the last hint that stand in the reference too."""
    reference = re.sub(r"\s", "", code(exercise.reference))
    pieces = (re.sub(r"\s", "", piece) for piece in re.findall(r"`([^`]+)`", exercise.hints[-1]))
    return [piece for piece in pieces if len(piece) >= 15 and piece in reference]


def planted(exercise: Exercise) -> int:
    """How many lines of a bug hunt's program are otherwise in the reference, its name and docstring aside."""
    programs = [re.sub(r'""".*?"""', "", code(p), flags=re.DOTALL) for p in (exercise.faulty, exercise.reference)]
    lines = [[line for line in program.splitlines() if line.strip()][1:] for program in programs]
    return sum(line.startswith("- ") for line in difflib.ndiff(*lines))


STYLED = {f"{n:02d}-{name}": e for (n, name), e in EXERCISES.items() if n in STYLE_2} | {e.name: e for e in EXAMPLES}
styled = pytest.mark.parametrize("exercise", STYLED.values(), ids=list(STYLED))


@pytest.mark.parametrize("number", STYLE_2)
def test_a_lesson_has_all_four_kinds(number):
    assert {exercise.kind for exercise in of_lesson(number).values()} == set(get_args(Kind))


@styled
def test_the_last_hint_is_not_the_code(exercise):
    assert gives_away(exercise) == []


@styled
def test_a_bug_hunt_has_one_fault_and_its_symptom_is_told(exercise):
    if exercise.kind == "bug hunt":
        assert 1 <= planted(exercise) <= 2
        verdict = judge(exercise, exercise.faulty)
        assert verdict.sign == "✗" and "stopped" not in verdict.text


@styled
def test_an_open_question_begins_unanswered_and_its_model_answer_says_more_than_the_question(exercise):
    if exercise.kind == "open question":
        assert [judge(exercise, text).sign for text in ("", exercise.task, exercise.reference)] == ["·", "✗", "✓"]


def test_the_search_for_code_in_hints_finds_it():
    (softmax,) = (example for example in EXAMPLES if example.name == "softmax")
    told = Exercise(**(vars(softmax) | {"hints": ("Think.", "Write `e = np.exp(x - x.max())`.")}))
    assert gives_away(told) == ["e=np.exp(x-x.max())"]
