"""From a lesson's text to what students run: notebooks with outputs, the student edition, and the course run headless.

A lesson is written once, as `notebooks/source/NN_name.py` (jupytext py:percent), with its solutions. From it come
`notebooks/NN_name.ipynb` (`build`: executed, and cleaned of whatever differs from one run to the next) and the student
edition (`student`, `start`, `reset`: solutions taken out, nothing executed). `run_course` executes finished notebooks.
"""

import ast
import hashlib
import json
import math
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from vosnb.headless import execute_all, first_line, read, write
from vosnb.lesson import table
from vosnb.paths import NOTEBOOKS, ROOT

RUN_BOUNDS = (10, 20, 30, 45, 60, 90, 120, 300, 600)  # seconds: what a title card may promise
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
SOLUTION = re.compile(r"^([ \t]*)# solution begin\n.*?^\1# solution end[ \t]*$", re.MULTILINE | re.DOTALL)
SOLUTION_NOTE = "*The course's own edition explains the solution here; `solution(...)` prints its code. Hints first!*"


class CourseError(ValueError):
    """A lesson, a parameter or a folder that cannot be used, said in one sentence."""


# ---------------------------------------------------------------------------------------- text source -> notebook


def lessons(root: Path = NOTEBOOKS) -> list[str]:
    """The names of the lessons that have a source below `root`, in order: "00_start_here", ..."""
    return sorted(path.stem for path in (root / "source").glob("[0-9][0-9]_*.py"))


def render(name: str, root: Path = NOTEBOOKS, seconds: int | None = None, edition: str = "solution") -> NotebookNode:
    """The notebook of a lesson, without outputs.

    seconds: the time to run which the title card promises (None: not measured yet). edition: "solution" or "student".
    Cell ids come from the lesson's name and the cell's own text, so that they change only with the cell.
    """
    source = jupytext.read(root / "source" / f"{name}.py")
    run = f"under {seconds} seconds" if seconds else "not measured yet"
    cells, seen = [], {}
    for cell in source.cells:
        tags = cell.metadata.get("tags", [])
        if edition == "student":
            cell = _without_solution(cell, tags, name)
        text = cell.source
        seen[text] = seen.get(text, 0) + 1
        identity = hashlib.sha256(f"{name}\n{cell.cell_type}\n{seen[text]}\n{text}".encode()).hexdigest()[:12]
        if cell.cell_type == "markdown":
            text = text.replace("{{read}}", f"{_minutes_toread(source)} minutes").replace("{{run}}", run)
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        cells.append(new(text, id=identity, metadata={"tags": list(tags)} if tags else {}))
    metadata = METADATA | ({"vosnb": {"seconds": seconds}} if seconds else {})
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _without_solution(cell: NotebookNode, tags: list[str], name: str) -> NotebookNode:
    """A `solution` cell becomes a note; in other cells what stands between the solution marks goes.

    Inside a function NotImplementedError is raised in its place, which `check` takes for "not solved yet"; at top level
    nothing is, so that the notebook runs on with the stub value assigned above.
    """
    if "solution" in tags:
        return nbformat.v4.new_markdown_cell(SOLUTION_NOTE)

    def stub(found: re.Match) -> str:
        indent = found[1]
        raised = f'\n{indent}raise NotImplementedError("your code here")' if indent else ""
        return f"{indent}# your code here{raised}"

    source = SOLUTION.sub(stub, cell.source)
    if "# solution begin" in source or "# solution end" in source:
        raise CourseError(f"{name}: every '# solution begin' needs its '# solution end' at the same indentation.")
    return NotebookNode(cell, source=source)


def _minutes_toread(source: NotebookNode) -> int:
    """Counted: 150 words or 15 lines of code a minute, which is slow, as one reads what is new; to five minutes."""
    words = sum(len(cell.source.split()) for cell in source.cells if cell.cell_type == "markdown")
    lines = sum(len(cell.source.splitlines()) for cell in source.cells if cell.cell_type == "code")
    return max(5, 5 * round((words / 150 + lines / 15) / 5))


# ---------------------------------------------------------------------------------------- building


def build(names: Iterable[str] | None = None, execute: bool = True, root: Path = NOTEBOOKS, jobs: int = 2) -> list[str]:
    """Derive notebooks from their text sources and write them beside `source/`; returns the names of those built.

    names: lessons by number or name, all if None. execute=False is for changes of prose alone: code cells whose text
    is as before keep their outputs, others have none (and the notebook tests say so).
    Raises `CourseError` when a lesson fails, with the cell; its notebook then stays as it was.
    """
    names = _pick(names, lessons(root))
    old = {name: read(root / f"{name}.ipynb") for name in names}
    if not execute:
        for name in names:
            write(_with_outputs(render(name, root, _promise(old[name])), old[name]), root / f"{name}.ipynb")
        return names
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        drafts = [write(render(name, root), Path(scratch) / "in" / f"{name}.ipynb") for name in names]
        for row in execute_all(drafts, Path(scratch) / "out", {}, jobs, cwd=root):
            name = row["lesson"]
            if row["result"] != "ok":
                failed.append(f"{name}: {row['result']}")
                continue
            executed = _clean(read(Path(scratch) / "out" / f"{name}.ipynb"), name)
            seconds = _bound(row["seconds"], _promise(old[name]))
            write(_with_outputs(render(name, root, seconds), executed), root / f"{name}.ipynb")
    if failed:
        raise CourseError("\n".join(failed))
    return names


def _with_outputs(notebook: NotebookNode, executed: NotebookNode | None) -> NotebookNode:
    """Give code cells the outputs that the same cell, known by its id, has in `executed`."""
    ran = {cell.id: cell for cell in executed.cells if cell.cell_type == "code"} if executed else {}
    for cell in notebook.cells:
        if cell.id in ran:
            cell.outputs, cell.execution_count = ran[cell.id].outputs, ran[cell.id].execution_count
    return notebook


def _promise(notebook: NotebookNode | None) -> int | None:
    return notebook.metadata.get("vosnb", {}).get("seconds") if notebook else None


def _bound(seconds: float, before: int | None) -> int:
    """The promise "under N seconds": the one made before as long as it is true and not far too high."""
    if before and 0.4 * before <= seconds <= before:
        return before
    return next((bound for bound in RUN_BOUNDS if seconds * 1.1 <= bound), RUN_BOUNDS[-1])


def _clean(notebook: NotebookNode, name: str) -> NotebookNode:
    """Leave what a reader sees: no widget views (their picture stands in), no stream pieces, no run metadata."""
    for number, cell in enumerate(notebook.cells):
        outputs = []
        for output in cell.get("outputs", []):
            last = outputs[-1] if outputs else {}
            if output.output_type == "stream" and last.get("name") == output.name:
                last["text"] += output.text
                continue
            if WIDGET_VIEW in output.get("data", {}):
                del output.data[WIDGET_VIEW]
                if "image/png" not in output.data:
                    raise CourseError(
                        f"{name}: the widget of cell {number} has no picture for readers without a kernel; "
                        "show one of vosnb.widgets, which bring their own."
                    )
            outputs.append(output)
        if cell.cell_type == "code":
            cell.outputs = outputs
    return notebook


def difference(name: str, root: Path = NOTEBOOKS) -> str | None:
    """Where `NN_name.ipynb` and its text source differ, in one sentence; None when they are in step."""
    notebook = read(root / f"{name}.ipynb")
    mend = f"build it with `vosnb build {name[:2]}`."
    if notebook is None:
        return f"{name}: the text source has no notebook yet; {mend}"
    expected = render(name, root, _promise(notebook))
    if notebook.metadata != expected.metadata:
        return f"{name}: the notebook's metadata are not those that a build writes; {mend}"
    if len(notebook.cells) != len(expected.cells):
        return f"{name}: the notebook has {len(notebook.cells)} cells, its source {len(expected.cells)}; {mend}"
    for number, (have, want) in enumerate(zip(notebook.cells, expected.cells, strict=True)):
        if any(have.get(key) != want.get(key) for key in ("id", "cell_type", "source", "metadata")):
            return f"{name}: cell {number} differs from its source ({first_line(want)!r}); {mend}"
    return None


# ---------------------------------------------------------------------------------------- for students


def student(out: Path, root: Path = NOTEBOOKS) -> list[Path]:
    """Write the student edition of every lesson into the folder `out`; returns the notebooks. Overwrites."""
    return [_write_student(name, Path(out), root) for name in lessons(root)]


def start(folder: Path, root: Path = NOTEBOOKS) -> list[str]:
    """Give a student a folder with every lesson. Lessons that are there already stay as they are.

    Returns one sentence a lesson. Raises `CourseError` if `folder` is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"{folder} is a file; name a folder to work in, new or existing.")
    said = []
    for name in lessons(root):
        if (folder / f"{name}.ipynb").exists():
            said.append(f"{name}: kept as it is, your work is safe; `vosnb reset {name[:2]}` gives a fresh copy.")
        else:
            said.append(f"{name}: copied to {_write_student(name, folder, root)}")
    return said


def reset(lesson: str, folder: Path, root: Path = NOTEBOOKS) -> str:
    """Put a fresh student copy of one lesson into `folder`; the old copy stays beside it as NN_name.old-1.ipynb, ...

    lesson: number or name. Returns one sentence. Raises `CourseError` for an unknown lesson or a missing folder.
    """
    (name,) = _pick([lesson], lessons(root))
    target = Path(folder) / f"{name}.ipynb"
    if not target.parent.is_dir():
        raise CourseError(f"There is no folder {folder}; `vosnb start {folder}` makes one with every lesson.")
    if not target.exists():
        return f"{name}: a fresh copy is in {_write_student(name, target.parent, root)}"
    number = 1
    while (old := target.with_name(f"{name}.old-{number}.ipynb")).exists():
        number += 1
    target.rename(old)
    _write_student(name, target.parent, root)
    return f"{name}: fresh again; what you had is kept in {old.name}"


def _write_student(name: str, folder: Path, root: Path) -> Path:
    seconds = _promise(read(root / f"{name}.ipynb"))
    path = Path(folder) / f"{name}.ipynb"
    write(render(name, root, seconds, edition="student"), path)
    return path


# ---------------------------------------------------------------------------------------- running


def run_course(
    names: Iterable[str] | None = None,
    parameters: Mapping[str, object] | None = None,
    jobs: int = 2,
    root: Path = NOTEBOOKS,
    out: Path = ROOT / "build",
    retime_above: float = math.inf,
) -> list[dict]:
    """Execute the notebooks in `root` headless through papermill, `jobs` at a time, and print a table of them.

    parameters: values for the `parameters` cell of every lesson. retime_above: lessons that ran well, but took more
    seconds than this beside others, run once more, each by itself on all cores; then that run counts. Returns the rows
    of `headless.execute_all`; `out/course.json` holds the same, `out/course/` the executed notebooks.
    Raises `CourseError` for a lesson or a parameter that does not exist, but not for a lesson that fails.
    """
    import papermill

    parameters = dict(parameters or {})
    here = [path.stem for path in root.glob("[0-9][0-9]_*.ipynb") if ".old-" not in path.stem]
    notebooks = [root / f"{name}.ipynb" for name in _pick(names, here)]
    for notebook in notebooks:
        known = papermill.inspect_notebook(notebook)
        if unknown := sorted(set(parameters) - set(known)):
            raise CourseError(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has {', '.join(known)}.")
    rows = {row["lesson"]: row for row in execute_all(notebooks, out / "course", parameters, jobs, cwd=root)}
    well = [notebook for notebook in notebooks if rows[notebook.stem]["result"] == "ok"]
    if slow := [notebook for notebook in well if rows[notebook.stem]["seconds"] > retime_above]:
        rows |= {row["lesson"]: row for row in execute_all(slow, out / "course", parameters, 1, cwd=root)}
    rows = [rows[notebook.stem] for notebook in notebooks]
    (out / "course.json").write_text(json.dumps({"parameters": parameters, "jobs": jobs, "lessons": rows}, indent=1))
    table(rows, digits=1)
    return rows


def parse_parameters(settings: Iterable[str]) -> dict[str, object]:
    """Read NAME=VALUE texts of a command line: VALUE as a Python literal where it is one, else as text."""
    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (equals and name.isidentifier()):
            raise CourseError(f"{setting!r} is not of the form NAME=VALUE, as in MAX_CLIPS=1.")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values


# ---------------------------------------------------------------------------------------- small helpers


def _pick(names: Iterable[str] | None, available: list[str]) -> list[str]:
    """Lessons by name or number ("1", "01", "01_name"), in the order of the course."""
    available = sorted(available)
    if names is None:
        return available
    picked = set()
    for asked in map(str, names):
        found = [name for name in available if name == asked or name[:2] == asked.zfill(2)]
        if not found:
            raise CourseError(f"There is no lesson {asked}; there are {', '.join(available) or 'none yet'}.")
        picked.update(found)
    return sorted(picked)
