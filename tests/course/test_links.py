"""Every link of every notebook leads to a file that exists: in the course's folder, and in the student edition."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from vosnb.course import notebooks, student
from vosnb.paths import NOTEBOOKS

LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)|\b(?:href|src)\s*=\s*["']([^"']+)""")
ELSEWHERE = re.compile(r"[a-z]+:|#|//", re.IGNORECASE)  # another site, or another place of the same page


def targets(notebook):
    """What the words and the pages of outputs in a notebook link to, other sites aside."""
    for cell in notebook.cells:
        said = [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            said += [output.get("data", {}).get(kind, "") for kind in ("text/html", "text/markdown")]
        for found in (link for text in said for link in LINK.findall(text)):
            if not ELSEWHERE.match(link := found[0] or found[1]):
                yield unquote(link.split("#")[0])


def broken(folder):
    """(notebook, link) of each link that leads to no file below `folder`."""
    return [
        (name, link)
        for name in notebooks.executed(folder)
        for link in targets(notebooks.read(folder / f"{name}.ipynb"))
        if not _is_file_of(folder, (folder / name).parent / link)
    ]


def _is_file_of(folder: Path, path: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def test_links_of_the_course_lead_to_its_files():
    assert broken(NOTEBOOKS) == []


def test_links_of_the_student_edition_lead_to_its_files(tmp_path):
    student.student(tmp_path)
    assert notebooks.executed(tmp_path) == notebooks.lessons()
    assert broken(tmp_path) == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("[next](01_b.ipynb)", ["01_b.ipynb"]),
        ("[cell](deeper/01_b.ipynb#a-part) and [up](../GLOSSARY.md)", ["deeper/01_b.ipynb", "../GLOSSARY.md"]),
        ("<a class='x' href='a%20b.html'>a</a>", ["a b.html"]),
        ("[paper](https://arxiv.org/abs/1), [part](#here), [mail](mailto:a@b.org)", []),
    ],
)
def test_links_are_found(text, found):
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    assert list(targets(new_notebook(cells=[new_markdown_cell(text)]))) == found
    page = new_output("display_data", data={"text/html": text})
    assert list(targets(new_notebook(cells=[new_code_cell("show()", outputs=[page])]))) == found
