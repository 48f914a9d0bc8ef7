"""Lessons of the second style keep within its limits; and the counts, on notebooks that break one limit each."""

import base64
import io

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from vosnb.course import notebooks, style
from vosnb.paths import NOTEBOOKS


@pytest.mark.parametrize("name", notebooks.executed())
def test_a_lesson_keeps_within_the_limits_of_its_style(name):
    assert style.over(name, notebooks.read(NOTEBOOKS / f"{name}.ipynb")) == []


def test_no_letter_is_the_right_answer_of_most_predictions():
    course = (notebooks.read(NOTEBOOKS / f"{name}.ipynb") for name in notebooks.executed())
    assert style.too_often(style.answers(notebook for notebook in course if style.style(notebook) > 1)) is None


# ------------------------------------------------------------------------------------ one limit broken each


def lesson(*cells, of=2):
    cells = [NotebookNode(cell, id=f"cell-{place}") for place, cell in enumerate(cells)]
    return new_notebook(cells=cells, metadata={"vosnb": {"style": of}} if of > 1 else {})


def prints(text, **metadata):
    return new_code_cell("# shown", outputs=[new_output("stream", text=text)], metadata=metadata)


def shows(**data):
    """A code cell that displays something, by its kind with _ for /."""
    kinds = {kind.replace("_", "/"): value for kind, value in data.items()}
    return new_code_cell("# shown", outputs=[new_output("display_data", data=kinds)])


def picture(width, mode="RGB", kind="PNG"):
    file = io.BytesIO()
    Image.new(mode, (width, 20)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def words(count):
    return new_markdown_cell("word " * count + "$formula of words$ `and code`")


def code(lines, **metadata):
    return new_code_cell("# why\n\n" + "x = 1\n" * lines, metadata=metadata)


TABLE = "tracker  J\n-------  ----\nstill    0.10\n"
BROKEN = {  # the key, cells that are just over, and what is said
    "cells": ([words(1)] * 61, "61 cells in all, and 60 may be."),
    "words": ([words(2000), words(601)], "2601 words of prose, and 2600 may be; most in cell 0 with 2000 ('word word"),
    "code": (
        [code(24)] * 13 + [code(9)],
        "321 lines of code in sight, and 320 may be; most in cell 0 with 24 ('# why')",
    ),
    "longest": (
        [code(2), code(25)],
        "25 lines of the longest code cell in sight, and 24 may be; most in cell 1 with 25",
    ),
    "tables": ([prints(TABLE)] * 6 + [shows(text_html="<table>", text_plain=TABLE)], "7 tables in outputs, and 6"),
    "wide": ([prints(TABLE + "x" * 89)], "1 text tables wider than 88 characters, and none may be; most in cell 0"),
    "posterised": ([shows(image_png=picture(500, "P"))], "1 PNG pictures stored with a palette"),
    "small": (
        [words(1), shows(image_jpeg=picture(479, kind="JPEG"))],
        "1 pictures under 480 pixels wide, and none may",
    ),
    "guessed": ([prints("✗ You guessed  a) odd")], "1 outputs that say 'You guessed'"),
    "claims": (
        [prints("one: ok\n" * 5), prints("two ± 1: ok\nthree: ok\n")],
        "7 lines in sight that end in ': ok', and 6",
    ),
    "kB": ([shows(image_gif="x" * 5_001_000)], "5001 kilobytes of the file, and 5000 may be; most in cell 0 with 5001"),
}


@pytest.mark.parametrize("key", style.LIMITS)
def test_a_broken_limit_is_named_with_its_place(key):
    cells, says = BROKEN[key]
    (said,) = style.over("01_tiny", lesson(*cells))
    assert said.startswith(f"01_tiny: {says}")
    assert style.over("01_tiny", lesson(*cells, of=1)) == [], "the first style has no limits"


@pytest.mark.parametrize("key", style.LIMITS)
def test_a_deeper_lesson_may_have_three_times_of_some(key):
    assert len(style.over("deeper/01_tiny", lesson(*BROKEN[key][0]))) == (not style.LIMITS[key].deeper)
    assert style.limits("deeper/01_tiny")[key] == style.LIMITS[key].most * (3 if style.LIMITS[key].deeper else 1)


@pytest.mark.parametrize(
    "cell",
    [
        code(25, tags=["setup"]),
        code(25, tags=["package"]),
        code(25, tags=["exercise"]),
        code(25, jupyter={"source_hidden": True}),
        prints("one: ok\n" * 7, tags=["hide-output"]),
        prints("x" * 100),
        shows(text_plain=TABLE + "x" * 89, text_html="<table>"),
        shows(image_png=picture(480)),
    ],
)
def test_what_is_not_in_sight_or_within_bounds_breaks_nothing(cell):
    assert style.over("01_tiny", lesson(cell)) == []


def test_the_size_is_that_of_the_file(tmp_path):
    notebook = lesson(words(3000), shows(image_png=picture(2000)))
    path = notebooks.write(notebook, tmp_path / "01_tiny.ipynb")
    assert style.totals(notebook)["kB"] == path.stat().st_size // 1000 > 10


@pytest.mark.parametrize(
    "letters, said",
    [
        ("b", None),
        ("ab", None),
        ("abab", None),
        ("abb", "b) is the right answer of 2 of 3 predictions; shuffle the options."),
        ("cc", "c) is the right answer of 2 of 2 predictions; shuffle the options."),
        ("", None),
    ],
)
def test_right_answers_are_counted_by_letter(letters, said):
    pages = [lesson(prints(f"The answer: {letter}) odd, as 3 is\n")) for letter in letters]
    pages += [lesson(shows(text_plain="no", text_html="The answer: e) said in the text already"))]
    assert style.answers(pages) == style.Counter(letters)
    assert style.too_often(style.answers(pages)) == said


def test_the_report_marks_what_is_over_and_returns_it(tmp_path, capsys):
    notebooks.write(lesson(*[words(1)] * 61, of=1), tmp_path / "00_old.ipynb")
    notebooks.write(lesson(*[words(1)] * 61), tmp_path / "01_new.ipynb")
    notebooks.write(lesson(*[words(1)] * 61, prints("The answer: a) odd")), tmp_path / "deeper" / "01_more.ipynb")
    assert style.report(root=tmp_path) == ["01_new: 61 cells in all, and 60 may be."]
    rows = {line.split()[0]: line.split()[1:3] for line in capsys.readouterr().out.splitlines()[2:5]}
    assert rows == {"00_old": ["1", "61!"], "01_new": ["2", "61!"], "deeper/01_more": ["2", "62"]}
    assert style.report(["0"], tmp_path) == []
    assert "Right answers in style 2: a 1" in capsys.readouterr().out
