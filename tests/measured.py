"""A pytest plugin for the gate `nbval`: what each notebook took, and whether its prose still says what a run gives.

nbval runs every lesson as it is shipped, so nothing has to run it a second time to hold it to its budgets. As the last
cell of a notebook ends, a row goes to build/measured/NAME.json, as those of `vosnb.course.headless.execute_all`;
test_editions.py judges them.
"""

import json
import re
import time
from pathlib import Path

import psutil
import pytest

from vosnb.course import prose
from vosnb.files import write_text
from vosnb.paths import NOTEBOOKS, ROOT

MEASURED = ROOT / "build" / "measured"


def is_lesson(item) -> bool:
    return type(item).__name__ == "IPyNbCell" and item.path.is_relative_to(NOTEBOOKS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """The clock starts before the kernel does."""
    if is_lesson(item) and item.parent.kernel is None:
        item.parent.began = time.perf_counter()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    """A cell's fresh outputs take the place of the stored ones; after the last cell the row is written."""
    if not is_lesson(item):
        return
    notebook = item.parent
    if item.test_outputs is not None:
        item.cell.outputs = item.test_outputs
    if nextitem is not None and nextitem.parent is notebook:
        return
    name = item.path.relative_to(NOTEBOOKS).with_suffix("").as_posix()
    kernel = notebook.kernel.km.provisioner.pid
    row = {
        "lesson": name,
        "seconds": round(time.perf_counter() - notebook.began, 1),
        "memory_mb": round(sum(map(peak, [kernel, *below(kernel)])) / 2**20, 1),
        "file_kb": round(item.path.stat().st_size / 2**10, 1),
        "result": "; ".join(prose.parted(name, notebook.nb)) or "ok",
    }
    write_text(MEASURED / f"{name}.json", json.dumps(row))


def below(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def peak(pid: int) -> int:
    """The most bytes that a process has had resident so far; where the system does not say, those that it has now."""
    try:
        return 2**10 * int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
    except FileNotFoundError:
        return psutil.Process(pid).memory_info().rss
