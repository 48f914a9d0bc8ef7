"""Notebooks executed by a program: through papermill, some at a time, measured, and with hidden errors found."""

import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import psutil
from nbformat import NotebookNode
from tqdm import tqdm

from vosnb.audience import live, table
from vosnb.course import prose
from vosnb.course.notebooks import CourseError, executed, first_line, pick, read, tags, write
from vosnb.files import write_text
from vosnb.machine import processors
from vosnb.paths import NOTEBOOKS, ROOT

CELL_TIMEOUT = 600  # seconds; a lesson stays far below it, this only ends a cell that hangs


def run_course(
    names: Iterable[str] | None = None,
    parameters: Mapping[str, object] | None = None,
    jobs: int = 2,
    root: Path = NOTEBOOKS,
    out: Path = ROOT / "build",
) -> list[dict]:
    """Execute the notebooks in `root` headless through papermill, `jobs` at a time, and print a table of them.

    A run without other parameters is the one that the lessons' prose is written for: where a number of this run parts
    from the one that prose quotes (see `prose.py`), the lesson's result says so.

    parameters: values for the `parameters` cell of every lesson. Returns the rows of `execute_all`, in the order of the
    course; `out/course.json` holds the same, `out/course/` the executed notebooks.
    Raises `CourseError` for a lesson or a parameter that does not exist, but not for a lesson that fails.
    """
    import papermill

    parameters = dict(parameters or {})
    names = pick(names, executed(root))
    for name in names:
        known = papermill.inspect_notebook(root / f"{name}.ipynb")
        if unknown := sorted(set(parameters) - set(known)):
            raise CourseError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}.")
    ran = out / "course"
    rows = {row["lesson"]: row for row in execute_all(names, root, ran, parameters, jobs, root)}
    for name in names:
        if rows[name]["result"] == "ok" and not parameters:
            rows[name]["result"] = "; ".join(prose.parted(name, read(ran / f"{name}.ipynb"), root)) or "ok"
    rows = [rows[name] for name in names]
    write_text(out / "course.json", json.dumps({"parameters": parameters, "jobs": jobs, "lessons": rows}, indent=1))
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


def execute_all(names: list[str], folder: Path, out: Path, parameters: dict, jobs: int, root: Path) -> Iterator[dict]:
    """Execute the notebooks of these lessons, `jobs` at a time, each in a process of its own.

    folder, out: where the notebooks lie, and where the executed ones go. parameters: values for the `parameters` cell
    of all. root: the course's folder; each runs where it has its place there. Yields, as each ends, its lesson (the
    name), seconds (kernel start included), memory_mb (peak of the kernel and what it starts),
    file_kb (of the executed notebook) and result ("ok", or the cell that failed and why).
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, processors() // jobs)), "VOSNB_HEADLESS": "1"}
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(names), unit="lesson", disable=not live()) as bar:
        work = [pool.submit(_execute, name, folder, out, parameters, root, environment) for name in names]
        for done in as_completed(work):
            bar.update()
            bar.set_postfix_str(done.result()["lesson"])
            yield done.result()


def _execute(name: str, folder: Path, out: Path, parameters: dict, root: Path, environment: Mapping[str, str]) -> dict:
    notebook, output, cwd = folder / f"{name}.ipynb", out / f"{name}.ipynb", (root / name).parent
    output.parent.mkdir(parents=True, exist_ok=True)
    cwd.mkdir(parents=True, exist_ok=True)  # of the first deeper notebook there is none yet
    paths = {"input_path": notebook.resolve(), "output_path": output.resolve(), "cwd": cwd.resolve()}
    call = paths | {"parameters": parameters, "kernel_name": "python3", "progress_bar": False}
    call |= {"execution_timeout": CELL_TIMEOUT, "autosave_cell_every": 0}
    program = "import json, sys; from vosnb.course.headless import papermill_run as run; run(**json.loads(sys.argv[1]))"
    output.unlink(missing_ok=True)
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-c", program, json.dumps(call, default=str)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            while process.poll() is None:
                peak = max(peak, _memory_of_children(process.pid))
                time.sleep(0.1)
        finally:
            process.terminate()
        seconds = time.perf_counter() - began
        log.seek(0)
        try:
            done = read(output)
        except CourseError:  # cut off while papermill wrote it
            done = None
        problems = _problems(done) if done else []
        if process.returncode and not problems:
            problems = [f"papermill stopped: {(log.read().strip().splitlines() or ['no message'])[-1]}"]
    if done:
        done.metadata.pop("widgets", None)  # megabytes, and only kept until here to look for hidden errors
        write(done, output)
    row = {"lesson": name, "seconds": round(seconds, 1), "memory_mb": round(peak / 2**20, 1)}
    row["file_kb"] = round(output.stat().st_size / 2**10, 1) if done else 0.0
    return row | {"result": "; ".join(problems) or "ok"}


def papermill_run(**call):
    """`papermill.execute_notebook`, which saves the notebook once, at the end, also when a cell fails.

    Before and after every cell, as papermill does it, takes a tenth of a lesson's time: megabytes, 200 times.
    """
    from papermill import execute_notebook
    from papermill.engines import NBClientEngine, papermill_engines

    class SavedOnce(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, *args, **settings):
            path, nb_man.output_path = nb_man.output_path, None
            try:
                super().execute_managed_notebook(nb_man, *args, **settings)
            finally:
                nb_man.output_path = path

    papermill_engines.register("saved once", SavedOnce)
    execute_notebook(engine_name="saved once", **call)


def _memory_of_children(pid: int) -> int:
    """Resident bytes of the processes below `pid`: the kernel and its workers."""
    total = 0
    try:
        for child in psutil.Process(pid).children(recursive=True):
            total += child.memory_info().rss
    except psutil.Error:  # ended between the two calls
        pass
    return total


def _problems(notebook: NotebookNode) -> list[str]:
    """Errors in an executed notebook, also those that a widget's callback left where papermill does not look."""
    found = []
    ours = [c for c in notebook.cells if not {"injected-parameters", "papermill-error-cell-tag"} & tags(c)]
    for number, cell in enumerate(ours):
        for said in _errors(cell.get("outputs", [])):
            found.append(f"cell {number} ({first_line(cell)!r}) failed: {said}")
    state = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    for widget in state.values():
        for said in _errors(widget.get("state", {}).get("outputs", [])):
            found.append(f"a widget's callback failed: {said}")
    return found


def _errors(outputs: list) -> Iterable[str]:
    for output in outputs:
        if output["output_type"] == "error":
            yield f"{output['ename']}: {output['evalue']}"
        elif output.get("name") == "stderr" and "Traceback (most recent call last)" in output["text"]:
            yield output["text"].strip().splitlines()[-1]
