"""Each equation has an id, as in S0-E1, which stands in a lesson, in the docstring that computes it, and in a test."""

import ast
import re

import pytest

from vosnb.paths import NOTEBOOKS, ROOT

ID = re.compile(r"\bS\d-E\d+\b")


def docstrings(tree):
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [text for n in ast.walk(tree) if isinstance(n, documented) and (text := ast.get_docstring(n))]


def in_lessons():
    return {found for path in (NOTEBOOKS / "source").rglob("*.py") for found in ID.findall(path.read_text())}


def in_docstrings():
    files = (ROOT / "vosnb").rglob("*.py")
    return {found for path in files for text in docstrings(ast.parse(path.read_text())) for found in ID.findall(text)}


def in_tests():
    names = re.compile(r"^\s*def test_(S\d)_(E\d+)_", re.MULTILINE)
    files = (ROOT / "tests").rglob("test_*.py")
    return {"-".join(found) for path in files for found in names.findall(path.read_text())}


@pytest.mark.parametrize("equation", sorted(in_lessons() | in_docstrings() | in_tests()))
def test_an_equation_stands_in_a_lesson_a_docstring_and_a_test(equation):
    places = {"a lesson": in_lessons(), "a docstring of vosnb": in_docstrings(), "the name of a test": in_tests()}
    assert [place for place, ids in places.items() if equation not in ids] == []


def test_the_first_two_equations_are_there():
    assert {"S0-E1", "S0-E2"} <= in_lessons() & in_docstrings() & in_tests()
