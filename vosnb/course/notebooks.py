"""The lessons' files: which there are, how they are chosen, read and written.

A lesson's name is the path of its notebook below `notebooks/`, without the suffix: "01_matching_with_a_memory" is a
core lesson, "deeper/01_numerics" a notebook that goes deeper into something that lesson 01 leaves out.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode
from pydantic import BaseModel

from vosnb.files import read_json, write_text
from vosnb.paths import NOTEBOOKS

DEEPER = "deeper/"  # how the names of deeper lessons begin


class CourseError(ValueError):
    """A lesson, a parameter or a folder that cannot be used, said in one sentence."""


class Cell(BaseModel):
    cell_type: str
    source: str | list[str]


class Notebook(BaseModel):
    """What every notebook has, and a file that was cut off or is something else has not."""

    nbformat: Literal[4]
    cells: list[Cell]


def lessons(root: Path = NOTEBOOKS) -> list[str]:
    """The names of all lessons that have a source below `root`, in the order of the course."""
    return _named(root / "source", ".py")


def executed(root: Path = NOTEBOOKS) -> list[str]:
    """The names of all notebooks in `root`, old copies that a student keeps there aside, in the order of the course."""
    return [name for name in _named(root, ".ipynb") if ".old-" not in name]


def _named(folder: Path, suffix: str) -> list[str]:
    paths = [path for below in ("", DEEPER) for path in folder.glob(f"{below}[0-9][0-9]_*{suffix}")]
    return sorted((path.relative_to(folder).as_posix().removesuffix(suffix) for path in paths), key=_place)


def _place(name: str) -> tuple:
    """Where a lesson stands in the course: each core lesson is followed by the deeper ones of its number."""
    return number(name), is_deeper(name), name


def is_deeper(name: str) -> bool:
    return name.startswith(DEEPER)


def number(name: str) -> str:
    """The two digits of a lesson; those of a deeper one are its core lesson's."""
    return name.removeprefix(DEEPER)[:2]


def pick(names: Iterable[str] | None, available: list[str]) -> list[str]:
    """Lessons by number or name, in the order of the course; all of them if `names` is None.

    A number ("1", "01") is the core lesson alone. Deeper ones go by their names, with or without the folder
    ("deeper/01_numerics", "01_numerics").
    """
    if names is None:
        return sorted(available, key=_place)
    picked = set()
    for asked in map(str, names):
        if asked.isdigit():
            found = {name for name in available if not is_deeper(name) and number(name) == asked.zfill(2)}
        else:
            found = {asked} & set(available) or {DEEPER + asked} & set(available)
        if not found:
            there = ", ".join(sorted(available, key=_place))
            raise CourseError(f"There is no lesson {asked}; there are {there or 'none yet'}.")
        picked |= found
    return sorted(picked, key=_place)


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def first_line(cell: NotebookNode) -> str:
    """The beginning of a cell, by which a reader recognises it."""
    return cell.source.strip().split("\n")[0][:60]


def read(path: Path) -> NotebookNode | None:
    """The notebook at `path`, or None if there is none. Raises `CourseError` where the file is no whole notebook."""
    if not path.exists():
        return None
    read_json(path, Notebook, CourseError)
    return nbformat.read(path, as_version=4)


def text(notebook: NotebookNode) -> str:
    """A notebook as its file holds it."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def write(notebook: NotebookNode, path: Path) -> Path:
    """Write a notebook whole or not at all, with the folders that lead to it; returns `path`."""
    return write_text(path, text(notebook))
