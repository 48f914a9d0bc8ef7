"""The course as it is shipped, within its budgets, and as students get it, run headless with other parameters.

Slow, as the second runs every lesson, two at a time: run it alone, not beside other tests. The first judges what the
gate `nbval` measured a moment ago.
"""

import json
import re

import nbformat
import pytest
from measured import MEASURED

from vosnb.course import headless, notebooks, student, style
from vosnb.paths import NOTEBOOKS, ROOT


def printed(notebook):
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    outputs = (output for cell in cells for output in cell.outputs)
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def results(rows):
    return {row["lesson"]: row["result"] for row in rows}


@pytest.fixture(scope="module")
def expected():
    return dict.fromkeys(notebooks.lessons(), "ok")


def measured(name):
    row, notebook = MEASURED / f"{name}.json", NOTEBOOKS / f"{name}.ipynb"
    assert row.exists() and row.stat().st_mtime > notebook.stat().st_mtime, f"{name} changed: run the gate nbval first"
    return json.loads(row.read_text())


def test_the_course_keeps_its_budgets(expected, tmp_path):
    rows = {name: measured(name) for name in expected}
    # Beside another lesson each had half of a machine that students have to themselves: slow ones get a run alone.
    if slow := [name for name, row in rows.items() if row["seconds"] > 60]:
        rows |= {row["lesson"]: row for row in headless.run_course(slow, jobs=1, out=tmp_path)}
    (ROOT / "build" / "course.json").write_text(json.dumps({"lessons": list(rows.values())}))
    assert results(rows.values()) == expected
    slowest_first = sorted((row["seconds"] for row in rows.values()), reverse=True)
    assert all(seconds <= 90 for seconds in slowest_first[:2])
    assert all(seconds <= 60 for seconds in slowest_first[2:])
    assert all(row["memory_mb"] <= 1500 for row in rows.values())
    for name, row in rows.items():
        limit = 2e6 if style.style(notebooks.read(NOTEBOOKS / f"{name}.ipynb")) == 1 else 5e6
        assert row["file_kb"] * 2**10 < limit, name


def test_the_student_edition_runs_unsolved_and_with_other_parameters(expected, tmp_path):
    student.student(tmp_path / "student")
    parameters = {"MAX_CLIPS": 1, "SEED": 1, "BUDGET": 0.5}
    assert results(headless.run_course(parameters=parameters, root=tmp_path / "student", out=tmp_path)) == expected
    for name in expected:
        ran = nbformat.read(tmp_path / "course" / f"{name}.ipynb", as_version=4)
        exercises = sum("exercise" in cell.metadata.get("tags", []) for cell in ran.cells)
        unsolved = r"^(?:· [^·]*?not\s+solved|✗ (?!You guessed))"  # the program of a bug hunt is there, and wrong
        assert len(re.findall(unsolved, printed(ran), re.MULTILINE)) == exercises, name
