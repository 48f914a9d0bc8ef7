"""What a reader of a lesson meets, counted; lessons of the second style keep within the limits (`vosnb style`).

Counts are no judgement of quality. But where lessons were over these limits, readers got lost.
"""

import base64
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode

from vosnb.audience import table
from vosnb.course.notebooks import executed, first_line, is_deeper, pick, read, tags, text
from vosnb.paths import NOTEBOOKS

ANSWER = re.compile(r"The answer:\s+([a-z])\)")  # as `asking.Choice.reveal` says it
TABLE = re.compile(r"^-{3,}( +-{3,})+", re.MULTILINE)  # the line below the heads of a table of text
WIDTH = 88  # characters of a text table that fit beside JupyterLab's file browser
PICTURE = 480  # pixels: the least width of a stored picture
NOT_COUNTED = {"setup", "package", "exercise", "hide-input", "hide-cell", "remove-cell"}  # as code in sight
DEEPER_MAY = 3  # times as much of what has `deeper` below


class Limit(NamedTuple):
    most: int
    of: str
    deeper: bool = False


LIMITS = {
    "cells": Limit(60, "cells in all", True),
    "words": Limit(2600, "words of prose", True),
    "code": Limit(320, "lines of code in sight", True),
    "longest": Limit(24, "lines of the longest code cell in sight"),
    "tables": Limit(6, "tables in outputs", True),
    "wide": Limit(0, f"text tables wider than {WIDTH} characters"),
    "posterised": Limit(0, "PNG pictures stored with a palette"),
    "small": Limit(0, f"pictures under {PICTURE} pixels wide"),
    "guessed": Limit(0, "outputs that say 'You guessed'"),
    "claims": Limit(6, "lines in sight that end in ': ok'", True),
    "kB": Limit(5000, "kilobytes of the file"),
}


def count(notebook: NotebookNode) -> dict[str, Counter]:
    """Of each of the `LIMITS`, how much each cell has: {key: {number of the cell, from 0: amount}}."""
    found = {key: Counter() for key in LIMITS}
    for place, cell in enumerate(notebook.cells):
        found["cells"][place] = 1
        found["kB"][place] = len(json.dumps(cell).encode()) / 1000
        if cell.cell_type == "markdown":
            prose = re.sub(r"\$[^$]*\$|`[^`]*`", " ", cell.source)  # formulas and code are no words
            found["words"][place] = len(re.findall(r"[A-Za-z][A-Za-z'-]+", prose))
        if cell.cell_type != "code":
            continue
        if not NOT_COUNTED & tags(cell) and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            lines = [line.strip() for line in cell.source.splitlines()]
            found["code"][place] = found["longest"][place] = sum(line[:1] not in ("", "#") for line in lines)
        for output in cell.outputs:
            for key, amount in _count_output(output).items():
                found[key][place] += amount
        if "hide-output" in tags(cell):
            del found["claims"][place]
    return found


def _count_output(output: Mapping) -> dict[str, int]:
    data = output.get("data", {})
    said, page = output.get("text", "") + data.get("text/plain", ""), data.get("text/html", "")
    is_text_table = bool(TABLE.search(said)) and "<table" not in page
    pictures = [_picture(data[kind]) for kind in ("image/png", "image/jpeg") if kind in data]
    return {
        "tables": int(is_text_table or "<table" in page),
        "wide": int(is_text_table and max(map(len, said.splitlines())) > WIDTH),
        "posterised": sum(mode == "P" for mode, _ in pictures),
        "small": sum(width < PICTURE for _, width in pictures),
        "guessed": said.count("You guessed"),
        "claims": len(re.findall(r": ok$", said, re.MULTILINE)),
    }


def _picture(encoded: str) -> tuple[str, int]:
    """How a picture is stored (Pillow's mode: "P" is a palette) and its width in pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return picture.mode, picture.width


def totals(notebook: NotebookNode) -> dict[str, int]:
    """What the notebook has of each of the `LIMITS`."""
    found = {
        key: max(cells.values(), default=0) if key == "longest" else cells.total()
        for key, cells in count(notebook).items()
    }
    return found | {"kB": len(text(notebook).encode()) // 1000}


def limits(name: str) -> dict[str, int]:
    """The most that lesson `name` may have of each."""
    return {key: most * (DEEPER_MAY if deeper and is_deeper(name) else 1) for key, (most, _, deeper) in LIMITS.items()}


def style(notebook: NotebookNode) -> int:
    """The style in which a lesson says that it is written, 1 or 2."""
    return notebook.metadata.get("vosnb", {}).get("style", 1)


def over(name: str, notebook: NotebookNode) -> list[str]:
    """Each limit that the lesson breaks, in a sentence that says where. A lesson in the first style breaks none."""
    if style(notebook) < 2:
        return []
    cells, has, said = count(notebook), totals(notebook), []
    for key, most in limits(name).items():
        if has[key] <= most:
            continue
        sentence = f"{name}: {has[key]} {LIMITS[key].of}, and {most or 'none'} may be"
        where = [] if key == "cells" else cells[key].most_common(3)  # every cell is one
        places = [f"{place} with {round(amount)} ({first_line(notebook.cells[place])!r})" for place, amount in where]
        said.append(f"{sentence}; most in cell {', '.join(places)}." if places else f"{sentence}.")
    return said


def answers(notebooks: Iterable[NotebookNode]) -> Counter:
    """How often each letter is the right answer of a prediction, over notebooks."""
    found = Counter()
    for output in (output for notebook in notebooks for cell in notebook.cells for output in cell.get("outputs", [])):
        found.update(ANSWER.findall(output.get("text", "") + output.get("data", {}).get("text/plain", "")))
    return found


def too_often(letters: Counter) -> str | None:
    """Which letter is right above half the time, in a sentence; None if none is, or there is but one prediction."""
    for letter, times in letters.most_common(1):
        if times > 1 and 2 * times > letters.total():
            return f"{letter}) is the right answer of {times} of {letters.total()} predictions; shuffle the options."
    return None


def report(names: Iterable[str] | None = None, root: Path = NOTEBOOKS) -> list[str]:
    """Print what lessons (all, or as `notebooks.pick` takes them) have; returns what breaks a limit, a sentence each.

    "!" marks what is over a limit; only lessons in the second style are held to them. The letters of right answers are
    counted over all of these, whatever `names` asks for.
    """
    course = {name: read(root / f"{name}.ipynb") for name in executed(root)}
    asked = pick(names, list(course))
    table([dict(_row(name, course[name])) for name in asked])
    letters = answers(notebook for notebook in course.values() if style(notebook) > 1)
    more = ", ".join(key for key, limit in LIMITS.items() if limit.deeper)
    print("\n! over the limit: " + "; ".join(f"{key}: {limit.of}, {limit.most}" for key, limit in LIMITS.items()))
    print(f"Of {more} a deeper lesson may have {DEEPER_MAY} times as much.")
    print("Right answers in style 2: " + ", ".join(f"{key} {times}" for key, times in sorted(letters.items())))
    said = [sentence for name in asked for sentence in over(name, course[name])]
    return said + [sentence for sentence in [too_often(letters)] if sentence]


def _row(name: str, notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    yield "lesson", name
    yield "style", str(style(notebook))
    has, may = totals(notebook), limits(name)
    for key in LIMITS:
        yield key, f"{has[key]}{'!' if has[key] > may[key] else ''}"
