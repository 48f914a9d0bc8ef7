"""Notebooks executed by a program: through papermill, some at a time, measured, and with hidden errors found."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode
from tqdm import tqdm

from vosnb.lesson import live

CELL_TIMEOUT = 600  # seconds; a lesson stays far below it, this only ends a cell that hangs


def execute_all(notebooks: list[Path], out: Path, parameters: dict, jobs: int, cwd: Path) -> Iterator[dict]:
    """Execute notebooks, `jobs` at a time, each in a process of its own, into the folder `out`.

    parameters: values for the `parameters` cell of all. cwd: the folder in which they run. Yields, as each ends, its
    lesson (the file's stem), seconds (kernel start included), memory_mb (peak of the kernel and what it starts),
    file_kb (of the executed notebook) and result ("ok", or the cell that failed and why).
    """
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs)), "VOSNB_HEADLESS": "1"}
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(notebooks), unit="lesson", disable=not live()) as bar:
        work = [pool.submit(_execute, nb, out / nb.name, parameters, cwd, environment) for nb in notebooks]
        for done in as_completed(work):
            bar.update()
            bar.set_postfix_str(done.result()["lesson"])
            yield done.result()


def _execute(notebook: Path, output: Path, parameters: dict, cwd: Path, environment: Mapping[str, str]) -> dict:
    paths = {"input_path": notebook.resolve(), "output_path": output.resolve(), "cwd": cwd.resolve()}
    call = paths | {"parameters": parameters, "kernel_name": "python3", "progress_bar": False}
    call |= {"execution_timeout": CELL_TIMEOUT, "autosave_cell_every": 0}
    program = "import json, sys; from vosnb.headless import papermill_run; papermill_run(**json.loads(sys.argv[1]))"
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
        executed = read(output)
        problems = _problems(executed) if executed else []
        if process.returncode and not problems:
            problems = [f"papermill stopped: {(log.read().strip().splitlines() or ['no message'])[-1]}"]
    if executed:
        executed.metadata.pop("widgets", None)  # megabytes, and only kept until here to look for hidden errors
        write(executed, output)
    row = {"lesson": notebook.stem, "seconds": round(seconds, 1), "memory_mb": round(peak / 2**20, 1)}
    row["file_kb"] = round(output.stat().st_size / 2**10, 1) if executed else 0.0
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
    ours = [c for c in notebook.cells if not {"injected-parameters", "papermill-error-cell-tag"} & _tags(c)]
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


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def first_line(cell: NotebookNode) -> str:
    """The beginning of a cell, by which a reader recognises it."""
    return cell.source.strip().split("\n")[0][:60]


def read(path: Path) -> NotebookNode | None:
    """The notebook at `path`, or None if there is none."""
    return nbformat.read(path, as_version=4) if path.exists() else None


def write(notebook: NotebookNode, path: Path) -> Path:
    """Write a notebook, with the folders that lead to it; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path
