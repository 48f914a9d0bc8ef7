"""What the builder fills in where a lesson's prose says {{...}}.

{{read}}, {{run}}      minutes to read, seconds to run: for title cards
{{to after}}           a link to the lesson after this one; so {{to before}}, {{to core}} (from a deeper notebook to its
                       lesson), {{to deeper}} (to all deeper notebooks of this lesson), and {{to 04}} or
                       {{to deeper/04_folds}} to any other
{{gain:.2f}}           a number of the run that is shipped, rounded as Python's format does it. A cell tagged `hold`
                       gives it: `numbers(gain=after - before)`
{{gain:.2f ± 0.03}}    the same; a later run may differ from what the prose says by so much

`build` writes the numbers of its run into the notebook's metadata, and prose from them, so that text and notebook can
be compared without a run. A run by program with the parameters as they are shipped (`vosnb course`) fails where a
number, rounded as the prose rounds it, parts from the prose by more than the author allows, else by more than one unit
of the last digit. With other parameters nothing is compared, for the prose is not about them.
"""

import posixpath
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from vosnb.course.claims import NUMBERS
from vosnb.course.notebooks import CourseError, is_deeper, lessons, number, pick, read, tags
from vosnb.paths import NOTEBOOKS

LINK = re.compile(r"\{\{to ([\w/]+)\}\}")
QUOTE = re.compile(r"\{\{\s*(?P<name>[A-Za-z_]\w*)(?::(?P<form>[^{}±]*?))?(?:\s*±\s*(?P<within>[\d.]+))?\s*\}\}")
NOT_YET = "not measured yet"
NONE = {"before": "none, this is the first", "after": "none, this is the last", "deeper": "none"}


def fill(text: str, name: str, values: Mapping[str, float | str], root: Path = NOTEBOOKS) -> str:
    """The markdown `text` of lesson `name` with its links and values; those that `values` lacks are not measured yet.

    Raises `CourseError` for a link to a lesson that does not exist, and for a number that cannot be written so.
    """

    def say(quote: re.Match) -> str:
        return _rounded(quote, values, name) if quote["name"] in values else NOT_YET

    return QUOTE.sub(say, LINK.sub(lambda link: _links(link[1], name, root), text))


def given(notebook: NotebookNode, name: str) -> dict[str, float]:
    """The numbers that cells tagged `hold` of an executed notebook gave. Raises `CourseError` for one given twice."""
    found = {}
    for output in (output for cell in notebook.cells if "hold" in tags(cell) for output in cell.get("outputs", [])):
        more = output.get("data", {}).get(NUMBERS, {})
        if twice := sorted(found.keys() & more.keys()):
            raise CourseError(f"{name}: two cells give the number {twice[0]}; rename one of them.")
        found |= more
    return found


def missing(name: str, numbers: Mapping[str, float], root: Path = NOTEBOOKS) -> str | None:
    """Which numbers the text of a lesson quotes and its run did not give, in one sentence; None if there are none."""
    absent = sorted({quote["name"] for quote in _quotes(name, root)} - numbers.keys() - {"read", "run"})
    if not absent:
        return None
    calls = ", ".join(f"{number}=..." for number in absent)
    return f"{name}: the text quotes {', '.join(absent)}; give them by numbers({calls}) in a cell tagged `hold`."


def parted(name: str, executed: NotebookNode, root: Path = NOTEBOOKS) -> list[str]:
    """Where an executed notebook's numbers part from what the prose of the shipped one says, one sentence each.

    Nothing is held where there is no text source or no shipped number, as in a student's folder.
    """
    shipped = read(root / f"{name}.ipynb").metadata.get("vosnb", {}).get("numbers", {})
    if not shipped or not (root / "source" / f"{name}.py").exists():
        return []
    fresh, said = given(executed, name), []
    for quote in _quotes(name, root):
        if quote["name"] not in shipped:  # {{read}}, {{run}}
            continue
        if quote["name"] not in fresh:
            said.append(f"the prose quotes {quote['name']}, and this run does not give it")
            continue
        old, new = (_rounded(quote, values, name) for values in (shipped, fresh))
        before, now = _decimal(old, quote, name), _decimal(new, quote, name)
        within = Decimal(quote["within"]) if quote["within"] else Decimal(1).scaleb(before.as_tuple().exponent)
        if abs(now - before) > within:
            said.append(f"the prose says that {quote['name']} is {old}, and in this run it is {new}")
    return said


def _quotes(name: str, root: Path) -> list[re.Match]:
    source = jupytext.read(root / "source" / f"{name}.py")
    return [found for cell in source.cells if cell.cell_type == "markdown" for found in QUOTE.finditer(cell.source)]


def _rounded(quote: re.Match, values: Mapping[str, float | str], name: str) -> str:
    value, form = values[quote["name"]], quote["form"]
    if isinstance(value, float) and not form:
        raise CourseError(f"{name}: {quote[0]} must say how to round, as in {{{{{quote['name']}:.2f}}}}.")
    try:
        return format(value, form or "")
    except ValueError as error:
        raise CourseError(f"{name}: {quote[0]} cannot be written, as the number is {value}: {error}.") from None


def _decimal(text: str, quote: re.Match, name: str) -> Decimal:
    """A number as the prose says it, with as many digits: "0.79", "+1,204" or, in per cent, "79%"."""
    try:
        return Decimal(text.replace(",", "").strip("% "))
    except InvalidOperation:
        raise CourseError(f"{name}: {quote[0]} gives {text}, which cannot be compared with a later run.") from None


def _links(where: str, name: str, root: Path) -> str:
    available = lessons(root)
    core = [other for other in available if not is_deeper(other)]
    targets = {
        "before": [other for other in core if number(other) < number(name)][-1:],
        "after": [other for other in core if number(other) > number(name)][:1],
        "deeper": [other for other in available if is_deeper(other) and number(other) == number(name)],
    }
    try:
        found = targets[where] if where in targets else pick([number(name) if where == "core" else where], available)
    except CourseError as error:
        raise CourseError(f"{name}: {{{{to {where}}}}} leads nowhere. {error}") from None
    return ", ".join(_link(target, name, root) for target in found) or NONE[where]


def _link(target: str, name: str, root: Path) -> str:
    """A link from one notebook to another, relative to the first one's folder, with the other's title as its text."""
    source = (root / "source" / f"{target}.py").read_text(encoding="utf-8")
    title = re.search(r"^# # (.+)$", source, re.MULTILINE)
    text = title[1].strip() if title else target
    if not is_deeper(target):
        text = f"lesson {number(target)}: {text}"
    return f"[{text}]({posixpath.relpath(f'{target}.ipynb', posixpath.dirname(name) or '.')})"
