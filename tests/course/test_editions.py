"""The course run headless, twice: as shipped, within its budgets, and as students get it, with other parameters.

Slow, as it runs every lesson, two at a time: run it alone, not beside other tests.
"""

import re

import nbformat
import pytest

from vosnb.course import headless, notebooks, student, style
from vosnb.paths import NOTEBOOKS


def printed(notebook):
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    outputs = (output for cell in cells for output in cell.outputs)
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def results(rows):
    return {row["lesson"]: row["result"] for row in rows}


@pytest.fixture(scope="module")
def expected():
    return dict.fromkeys(notebooks.lessons(), "ok")


def test_the_course_runs_within_its_budgets(expected):
    # Beside another lesson each has half of a machine that students have to themselves: slow ones get a run alone.
    rows = headless.run_course(retime_above=60)
    assert results(rows) == expected
    slowest_first = sorted((row["seconds"] for row in rows), reverse=True)
    assert all(seconds <= 90 for seconds in slowest_first[:2])
    assert all(seconds <= 60 for seconds in slowest_first[2:])
    assert all(row["memory_mb"] <= 1500 for row in rows)
    for path in (NOTEBOOKS / f"{row['lesson']}.ipynb" for row in rows):
        assert path.stat().st_size < (2e6 if style.style(notebooks.read(path)) == 1 else 5e6), path.name


def test_the_student_edition_runs_unsolved_and_with_other_parameters(expected, tmp_path):
    student.student(tmp_path / "student")
    parameters = {"MAX_CLIPS": 1, "SEED": 1, "BUDGET": 0.5}
    assert results(headless.run_course(parameters=parameters, root=tmp_path / "student", out=tmp_path)) == expected
    for name in expected:
        ran = nbformat.read(tmp_path / "course" / f"{name}.ipynb", as_version=4)
        exercises = sum("exercise" in cell.metadata.get("tags", []) for cell in ran.cells)
        unsolved = r"^(?:· [^·]*?not\s+solved|✗ (?!You guessed))"  # the program of a bug hunt is there, and wrong
        assert len(re.findall(unsolved, printed(ran), re.MULTILINE)) == exercises, name
