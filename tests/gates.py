"""Every gate, in the order of CI; `make test` runs this. What each one costs and says is printed again at the end.

python tests/gates.py            all gates
python tests/gates.py lint unit  those whose names begin so
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "--color=no"]
NBVAL = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
NOTEBOOKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").glob("*.ipynb"))

# Two workers, each with one thread: as fast as one with two, and no test waits for the other's threads.
# (`loadfile`: the tests of a file, or the cells of a notebook, stay with one worker.)
PARALLEL = ["-n", "2", "--dist", "loadfile"]

GATES = {
    "lint": [[sys.executable, "-m", "ruff", "format", "--check", "."], [sys.executable, "-m", "ruff", "check", "."]],
    "unit, equation, oracle and mutant tests": [[*PYTEST, *PARALLEL, "tests", "--ignore=tests/browser"]],
    "notebooks against their stored outputs": [[*PYTEST, *PARALLEL, *NBVAL, *NOTEBOOKS]],
    "browser": [[*PYTEST, "tests/browser"]],
}


def run(commands: list[list[str]]) -> tuple[bool, list[str]]:
    """Run commands until one fails, showing what they print; returns success and pytest's closing lines."""
    closing = []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "VOSNB_HEADLESS": "1", "PYTHONUNBUFFERED": "1"}
    for command in commands:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r"\d+ (passed|failed|error|skipped).* in [\d.]+s", line):
                closing.append(line.strip())
        if process.wait():
            return False, closing
    return True, closing


def main(names: list[str]) -> int:
    chosen = [gate for gate in GATES if not names or gate.startswith(tuple(names))]
    began, rows = time.perf_counter(), []
    for gate in chosen:
        print(f"\n===== {gate}", flush=True)
        start = time.perf_counter()
        passed, closing = run(GATES[gate])
        rows.append((gate, "ok" if passed else "FAILED", time.perf_counter() - start, closing))
    print(f"\n===== {len(rows)} gates in {time.perf_counter() - began:.0f} s")
    for gate, result, seconds, _ in rows:
        print(f"{gate:<45} {result:<7} {seconds:6.1f} s")
    for *_, closing in rows:
        print(*closing, sep="\n", end="\n" * bool(closing))
    return int(any(result != "ok" for _, result, *_ in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
