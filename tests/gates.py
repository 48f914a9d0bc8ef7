"""Every gate, in the order of CI; `make test` runs this. What each took and said is printed again at the end.

python tests/gates.py              all gates
python tests/gates.py lint unit    these alone
"""

import json
import os
import re
import subprocess
import sys
import time

from vosnb.audience import table
from vosnb.paths import ROOT

COURSE = ROOT / "build" / "course.json"  # written by the gate `editions`
RUFF = [sys.executable, "-m", "ruff"]
PYTEST = [sys.executable, "-m", "pytest", "--color=no"]
EDITIONS, NOTEBOOKS = "tests/course/test_editions.py", "tests/course/test_notebooks.py"
APART = ["tests/browser", EDITIONS, NOTEBOOKS]  # gates of their own
NBVAL = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "--nbval-sanitize-with=tests/nbval.cfg"]
# Two workers of one thread each; the tests of a file, and the cells of a notebook, stay with one worker.
PARALLEL = ["-n", "2", "--dist", "loadfile"]
# A JupyterLab and a Chromium for each worker; files as tests/browser/conftest.py puts them, the longest first.
BROWSER = [*PARALLEL, "--no-loadscope-reorder", "tests/browser"]

GATES = {
    "lint": (
        "format, lint, and imports in one direction",
        [[*RUFF, "format", "--check", "."], [*RUFF, "check", "."], ["lint-imports", "--no-cache"]],
    ),
    "unit": (
        "unit, equation, oracle and mutant tests",
        [[*PYTEST, *PARALLEL, "tests", *(f"--ignore={path}" for path in APART)]],
    ),
    "in-step": ("text sources and notebooks in step", [[*PYTEST, NOTEBOOKS]]),
    "nbval": (
        "every notebook against its stored outputs",
        [[*PYTEST, *PARALLEL, *NBVAL, "-p", "tests.measured", "notebooks"]],
    ),
    "editions": (
        "course within budgets; student edition, other parameters",
        [[*PYTEST, EDITIONS]],
    ),
    "browser": ("widgets in Chromium and in JupyterLab", [[*PYTEST, *BROWSER]]),
}


def run(commands: list[list[str]]) -> tuple[bool, list[str]]:
    """Run commands until one fails, showing what they print; returns success and pytest's closing lines."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "VOSNB_HEADLESS": "1", "PYTHONUNBUFFERED": "1"}
    closing = []
    for command in commands:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **streams)
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r"\d+ (passed|failed|skipped|errors?)\b.* in [\d.]+s", line):
                closing.append(line.strip())
        if process.wait():
            return False, closing
    return True, closing


def main(names: list[str]) -> int:
    if unknown := set(names) - GATES.keys():
        print(f"There is no gate {', '.join(sorted(unknown))}; the gates are {', '.join(GATES)}.")
        return 2
    COURSE.unlink(missing_ok=True)
    began, rows = time.perf_counter(), []
    for gate in names or GATES:
        meaning, commands = GATES[gate]
        print(f"\n===== {gate}: {meaning}", flush=True)
        start = time.perf_counter()
        passed, closing = run(commands)
        rows.append((gate, passed, time.perf_counter() - start, closing))

    print(f"\n===== {len(rows)} gates in {time.perf_counter() - began:.0f} s")
    for gate, passed, seconds, _ in rows:
        print(f"{'ok' if passed else 'FAILED':<7} {seconds:6.1f} s  {gate:<9} {GATES[gate][0]}")
    if COURSE.exists():
        print("\nBudgets: 60 s (90 s for the two longest), 1500 MB of memory, 2 MB of file (5 MB in style 2)")
        table(json.loads(COURSE.read_text())["lessons"], digits=1)
    print()
    for *_, closing in rows:
        for line in closing:
            print(line)
    return int(not all(passed for _, passed, *_ in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
