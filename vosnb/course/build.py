"""From a lesson's text to its notebook.

A lesson is written once, as `notebooks/source/NN_name.py` (jupytext py:percent), with its solutions. From it come
`notebooks/NN_name.ipynb` (`build`: executed, and cleaned of whatever differs from one run to the next) and the student
edition (`student.py`: solutions taken out, nothing executed). What core lesson NN leaves out stands in
`source/deeper/NN_topic.py`, and becomes `deeper/NN_topic.ipynb` in the same way.

A lesson in the second style says so in the header of its text, which goes into the notebook's metadata; then the tests
hold it to the limits of `style.py`:

    # ---
    # jupyter:
    #   jupytext: ...
    #   vosnb:
    #     style: 2
    # ---

What prose may have filled in, {{read}}, links and numbers of the run, is told in `prose.py`. What the tags of cells do:

parameters             the first code cell, whose values a run from outside may replace
setup                  folded: imports, loading, helpers
ask                    folded: a prediction, whose options stand below it anyway
plot                   folded: what draws a figure or a widget
check                  folded: the check of an exercise, what a prediction's answer is computed from
hold                   folded, and its outputs are not kept: assertions that hold the lesson, `numbers(...)` for prose
exercise               has a region between solution marks, which the student edition leaves out
solution               becomes a note in the student edition
package                shows code of the package, to which a test compares it (in the first style: in-package)
nbval-check-output     a test compares the outputs of a fresh run with those that are stored (never beside `hold`)

Folded means that JupyterLab opens the notebook with one line in place of the code, which a click unfolds.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from vosnb.course import prose
from vosnb.course.headless import execute_all
from vosnb.course.notebooks import CourseError, first_line, is_deeper, lessons, number, pick, read, tags, write
from vosnb.paths import NOTEBOOKS

STYLES = (1, 2)
FOLDED = {"setup", "ask", "plot", "check", "hold"}
RUN_BOUNDS = (10, 20, 30, 45, 60, 90, 120, 300, 600)  # seconds: what a title card may promise
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
SOLUTION = re.compile(r"^([ \t]*)# solution begin\n.*?^\1# solution end[ \t]*$", re.MULTILINE | re.DOTALL)
SOLUTION_NOTE = "*The course's own edition explains the solution here; `solution(...)` prints its code. Hints first!*"


def render(
    name: str, root: Path = NOTEBOOKS, measured: Mapping | None = None, edition: str = "solution"
) -> NotebookNode:
    """The notebook of a lesson, without outputs.

    measured: what a run gave, "seconds" (to promise in the title card) and "numbers" (for prose); what is not in it is
    not measured yet. edition: "solution" or "student".
    Cell ids come from the lesson's name and the cell's own text, so that they change only with the cell.
    Raises `CourseError` where the text's header, its solution marks or its prose cannot be used.
    """
    source = jupytext.read(root / "source" / f"{name}.py")
    about, style = dict(measured or {}), _style(source, name)
    values = {"read": f"{_minutes_toread(source)} minutes"} | about.get("numbers", {})
    if "seconds" in about:
        values["run"] = f"under {about['seconds']} seconds"
    cells, seen = [], {}
    for cell in source.cells:
        labels = cell.metadata.get("tags", [])
        if edition == "student":
            cell = _without_solution(cell, labels, name)
        text = cell.source
        seen[text] = seen.get(text, 0) + 1
        identity = hashlib.sha256(f"{name}\n{cell.cell_type}\n{seen[text]}\n{text}".encode()).hexdigest()[:12]
        if cell.cell_type == "markdown":
            text = prose.fill(text, name, values, root)
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        metadata = {"tags": list(labels)} if labels else {}
        if cell.cell_type == "code" and FOLDED & set(labels):
            metadata["jupyter"] = {"source_hidden": True} | ({"outputs_hidden": True} if "hold" in labels else {})
        cells.append(new(text, id=identity, metadata=metadata))
    if style > 1:
        about["style"] = style
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA | ({"vosnb": about} if about else {}))


def _style(source: NotebookNode, name: str) -> int:
    style = source.metadata.get("vosnb", {}).get("style", 1)
    if style not in STYLES:
        raise CourseError(f"{name}: the header of its text says style {style}; there are styles 1 and 2.")
    return style


def _without_solution(cell: NotebookNode, labels: list[str], name: str) -> NotebookNode:
    """A `solution` cell becomes a note; in other cells what stands between the solution marks goes.

    Inside a function NotImplementedError is raised in its place, which `check` takes for "not solved yet"; at top level
    nothing is, so that the notebook runs on with the stub value assigned above.
    """
    if "solution" in labels:
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


def build(names: Iterable[str] | None = None, execute: bool = True, root: Path = NOTEBOOKS, jobs: int = 2) -> list[str]:
    """Derive notebooks from their text sources and write them beside `source/`; returns the names of those built.

    names: lessons as `notebooks.pick` takes them, all if None. execute=False is for changes of prose alone: code cells
    whose text is as before keep their outputs, others have none (and the notebook tests say so).
    Raises `CourseError` when a lesson fails, with the cell; its notebook then stays as it was.
    """
    names = pick(names, lessons(root))
    old = {name: read(root / f"{name}.ipynb") for name in names}
    if not execute:
        for name in names:
            write(_with_outputs(render(name, root, measured(old[name])), old[name]), root / f"{name}.ipynb")
        return names
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        drafts, ran = Path(scratch) / "in", Path(scratch) / "out"
        for name in names:
            write(render(name, root), drafts / f"{name}.ipynb")
        for row in execute_all(names, drafts, ran, {}, jobs, root):
            name = row["lesson"]
            if row["result"] != "ok":
                failed.append(f"{name}: {row['result']}")
                continue
            executed = read(ran / f"{name}.ipynb")
            numbers = prose.given(executed, name)
            if said := prose.missing(name, numbers, root):
                failed.append(said)
                continue
            fresh = {"seconds": _bound(row["seconds"], measured(old[name]).get("seconds"))}
            fresh |= {"numbers": numbers} if numbers else {}
            write(_with_outputs(render(name, root, fresh), _clean(executed, name)), root / f"{name}.ipynb")
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


def measured(notebook: NotebookNode | None) -> dict:
    """What the run that made a notebook has measured, "seconds" and "numbers", as `render` takes it."""
    about = notebook.metadata.get("vosnb", {}) if notebook else {}
    return {key: about[key] for key in ("seconds", "numbers") if key in about}


def _bound(seconds: float, before: int | None) -> int:
    """The promise "under N seconds": the one made before as long as it is true and not far too high."""
    if before and 0.4 * before <= seconds <= before:
        return before
    return next((bound for bound in RUN_BOUNDS if seconds * 1.1 <= bound), RUN_BOUNDS[-1])


def _clean(notebook: NotebookNode, name: str) -> NotebookNode:
    """Leave what a reader sees: no stream pieces, no second copy of a picture; a widget must have one instead.

    Of a cell tagged `hold` no output is left.
    """
    for place, cell in enumerate(notebook.cells):
        outputs = []
        for output in cell.get("outputs", []) if "hold" not in tags(cell) else []:
            last = outputs[-1] if outputs else {}
            if output.output_type == "stream" and last.get("name") == output.name:
                last["text"] += output.text
                continue
            if WIDGET_VIEW in output.get("data", {}):
                raise CourseError(
                    f"{name}: the widget of cell {place} has no picture for readers without a kernel; "
                    "show one of vosnb.widgets, which bring their own."
                )
            if "image/png" in output.get("data", {}):
                output.data.pop("text/html", None)
            outputs.append(output)
        if cell.cell_type == "code":
            cell.outputs = outputs
    return notebook


def difference(name: str, root: Path = NOTEBOOKS) -> str | None:
    """Where `NN_name.ipynb` and its text source differ, in one sentence; None when they are in step."""
    notebook = read(root / f"{name}.ipynb")
    mend = f"build it with `vosnb build {name if is_deeper(name) else number(name)}`."
    if notebook is None:
        return f"{name}: the text source has no notebook yet; {mend}"
    expected = render(name, root, measured(notebook))
    if notebook.metadata != expected.metadata:
        return f"{name}: the notebook's metadata are not those that a build writes; {mend}"
    if len(notebook.cells) != len(expected.cells):
        return f"{name}: the notebook has {len(notebook.cells)} cells, its source {len(expected.cells)}; {mend}"
    for place, (have, want) in enumerate(zip(notebook.cells, expected.cells, strict=True)):
        if any(have.get(key) != want.get(key) for key in ("id", "cell_type", "source", "metadata")):
            return f"{name}: cell {place} differs from its source ({first_line(want)!r}); {mend}"
    return None
