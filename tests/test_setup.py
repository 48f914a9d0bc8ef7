"""The way from a fresh machine: pins, environment.yml, the Makefile, what CI runs, and how light `import vosnb` is."""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import vosnb
from vosnb.course.student import MY_COURSE
from vosnb.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    requirement.name: requirement
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if (text := line.partition("#")[0].strip())
    for requirement in [Requirement(text)]
}
# where the name that is imported is not the name that is installed
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "websocket": "websocket-client",
}
COMMANDS = {"ipykernel"}  # run, not imported
WITH_JUPYTER = {"IPython", "traitlets", "requests", "packaging", "websocket-client"}
WITH_JUPYTER |= {"jupyter-client", "jupyter-core", "jupyterlab-server"}


# ------------------------------------------------------------------------------------------------ what is installed


def test_every_requirement_is_pinned_exactly_and_once():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(lines) == len(PINS) > 20
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in PINS.values())


def test_pins_lie_within_the_ranges_of_the_package():
    for line in PROJECT["dependencies"]:
        needs = Requirement(line)
        (pin,) = PINS[needs.name].specifier
        assert needs.specifier.contains(pin.version), line


def imports(file: Path) -> set[str]:
    """The distributions whose modules a file imports, be it at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in found - sys.stdlib_module_names}


def test_the_package_declares_what_it_imports_and_no_more():
    imported = set().union(*(imports(file) for file in (ROOT / "vosnb").rglob("*.py"))) - {"vosnb"}
    declared = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert declared == imported - WITH_JUPYTER | COMMANDS


def test_the_versions_of_python_agree():
    oldest = re.search(r">=(\d+\.\d+)", PROJECT["requires-python"])[1]
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text()
    assert f"version_info < ({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text()


def test_environment_yml_is_valid_and_gives_the_same_set():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(environment) <= {"name", "channels", "dependencies", "variables", "prefix"}
    assert environment["channels"] == ["conda-forge"]
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    python, version = conda[0].split("=")
    assert (python, conda[1:]) == ("python", ["pip"])
    assert version in {"3.11", "3.12", "3.13"}  # also what repo2docker can read
    assert pip == ["-r requirements.txt", "-e ."]


def test_kernels_and_servers_find_our_settings():
    folder = re.search(r'JUPYTER_CONFIG_PATH="\$\(CURDIR\)/(\w+)"', (ROOT / "Makefile").read_text())[1]
    assert (ROOT / folder / "jupyter_server_config.py").is_file()


# ---------------------------------------------------------------------------------------------------- import vosnb


def test_import_vosnb_is_light():
    """All that it loads counts, also what `import torch` would have loaded by then."""
    program = "import time; start = time.perf_counter(); import vosnb; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True) for _ in range(5)]
    assert min(float(run.stdout) for run in runs) < 0.3


def test_modules_are_loaded_when_they_are_named():
    program = """
import sys, vosnb
assert not {"torch", "numpy", "cv2", "matplotlib", "anywidget"} & sys.modules.keys()
assert "metrics" in dir(vosnb) and "vosnb.metrics" not in sys.modules
assert vosnb.metrics is sys.modules["vosnb.metrics"]
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with pytest.raises(AttributeError, match="'vosnb' has no attribute 'metrix'"):
        vosnb.metrix  # noqa: B018


@pytest.mark.parametrize("old, new", [(old, new) for old, new in vosnb._MOVED.items()])
def test_what_has_moved_is_found_under_its_old_name_too_and_is_not_there_twice(old, new):
    """Students' notebooks go on with their imports; each way in a process that has imported nothing before."""
    program = f"""
import importlib
old = importlib.import_module("vosnb.{old}")
new = importlib.import_module("vosnb.{new}")
assert old is new and new.__name__ == new.__spec__.name == "vosnb.{new}"
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_lesson_finds_its_exercises_under_the_old_name():
    program = """
import vosnb.exercises.lesson_00 as old
import vosnb.course.exercises.lesson_00 as new
from vosnb import clips, datasets, lesson
assert old is new and clips.load is datasets.load and lesson.check
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


# -------------------------------------------------------------------------------------------------------- make

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

PYTHON_STUB = """#!/bin/sh
# Stands in for Python: notes what it is asked, makes an environment of copies of itself, installs nothing.
case "$*" in
  "-c "*version_info*) exit {old} ;;
  "-c "*) exit 0 ;;
  --version) echo "Python {version}" ;;
  "-m pip --version") exit 0 ;;
  "-m venv --clear .venv") echo venv >> log; rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip install "*) echo "pip $*" >> log; eval "$PIP_DOES" ;;
  "-m vosnb.cli start "*) echo "$*" >> log; eval "$COPY_DOES" ;;
  *) echo "$*" >> log ;;
esac
"""


class Fresh:
    """A folder with our Makefile and a Python that installs nothing."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "log"
        for name in ("Makefile", "requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        self.stub("python3", "3.12.1", old=0)

    def stub(self, name: str, version: str, old: int):
        (self.folder / name).write_text(PYTHON_STUB.format(version=version, old=old))
        (self.folder / name).chmod(0o755)

    def make(self, *words: str, pip_does: str = "true", copy_does: str = "true"):
        self.log.write_text("")
        environment = os.environ | {"PIP_DOES": pip_does, "COPY_DOES": copy_does}
        command = ["make", "PYTHON=./python3", *words]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def begin(self, *words: str, pip_does: str = "true"):
        """A make that runs beside others."""
        environment = os.environ | {"PIP_DOES": pip_does}
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(["make", "PYTHON=./python3", *words], cwd=self.folder, env=environment, **streams)

    def did(self) -> list[str]:
        if not self.log.exists():
            return []
        return [
            line.split()[0] if line.startswith(("venv", "pip")) else line for line in self.log.read_text().splitlines()
        ]


def wait_until(condition, seconds: float = 20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def fresh(tmp_path):
    return Fresh(tmp_path)


@needs_make
def test_make_installs_once_and_again_only_when_what_it_needs_has_changed(fresh):
    assert fresh.make("test").returncode == 0
    assert fresh.did() == ["venv", "pip", "tests/gates.py"]
    assert "-r requirements.txt -e ." in fresh.log.read_text()
    fresh.make("test")
    assert fresh.did() == ["tests/gates.py"]
    later = (fresh.folder / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(fresh.folder / "requirements.txt", (later, later))
    fresh.make("test")
    assert fresh.did() == ["pip", "tests/gates.py"]


@needs_make
def test_make_lab_opens_the_students_own_copy(fresh):
    assert fresh.make("lab", "LAB_ARGS=--no-browser --port=8899").returncode == 0
    *_, copied, opened = fresh.did()
    assert copied == f"-m vosnb.cli start {MY_COURSE}"
    root_dir = f"--ServerApp.root_dir={fresh.folder / MY_COURSE}"
    root_may = ["--allow-root"] * (os.getuid() == 0)
    lesson = f"{MY_COURSE}/00_start_here.ipynb"
    assert opened.split() == ["-m", "jupyter", "lab", root_dir, *root_may, "--no-browser", "--port=8899", lesson]


@needs_make
def test_make_lab_opens_the_courses_own_lessons_where_it_is_asked_to(fresh):
    fresh.make("lab", "EDITION=solved", "LAB_ARGS=--no-browser")
    opened = fresh.did()[-1]
    assert not any("vosnb.cli" in line for line in fresh.did())
    assert f"--ServerApp.root_dir={fresh.folder} " in opened
    assert opened.endswith("--no-browser notebooks/00_start_here.ipynb")


@needs_make
def test_make_lab_opens_nothing_when_the_students_copy_could_not_be_made(fresh):
    refused = fresh.make("lab", copy_does="exit 1")
    assert refused.returncode != 0 and "start my-course" in fresh.did()[-1]


@needs_make
@pytest.mark.parametrize("edition", ["sovled", "", "student sovled"])
def test_an_unknown_edition_is_told_in_one_sentence_before_anything_is_installed(fresh, edition):
    refused = fresh.make("lab", f"EDITION={edition}")
    assert refused.returncode != 0 and fresh.did() == []
    (said,) = refused.stderr.splitlines()
    assert f'There is no edition "{edition}": leave EDITION out for your own copy' in said and "EDITION=solved" in said


def test_what_a_student_does_is_never_committed_nor_cleaned_away():
    assert f"{MY_COURSE}/" in (ROOT / ".gitignore").read_text().splitlines()
    clean = (ROOT / "Makefile").read_text().partition("\nclean:")[2]
    assert clean and str(MY_COURSE) not in clean


@needs_make
@pytest.mark.parametrize(
    "target, command",
    [
        ("course", "-m vosnb.cli course"),
        ("build", "-m vosnb.cli build"),
        ("student", "-m vosnb.cli student build/student"),
        ("gpu-check", "-m vosnb.gpu_check"),
    ],
)
def test_other_targets_call_the_package(fresh, target, command):
    assert fresh.make(target).returncode == 0
    assert fresh.did()[-1] == command


@needs_make
def test_an_installation_that_was_killed_begins_anew(fresh):
    killed = fresh.make("test", pip_does="touch .venv/half; kill -9 $PPID")
    assert killed.returncode != 0 and (fresh.folder / ".venv" / "half").exists()
    assert fresh.make("test").returncode == 0
    assert fresh.did() == ["venv", "pip", "tests/gates.py"] and not (fresh.folder / ".venv" / "half").exists()


@needs_make
def test_a_second_make_waits_for_the_first_and_installs_nothing_again(fresh):
    first = fresh.begin("test", pip_does="until [ -e go ]; do sleep 0.1; done")
    wait_until(lambda: "pip" in fresh.did())
    second = fresh.begin("course")
    said = second.stderr.readline()
    assert f"Another make (process {os.readlink(fresh.folder / '.venv.lock')}) is installing; waiting" in said
    (fresh.folder / "go").touch()
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert sorted(fresh.did()) == ["-m vosnb.cli course", "pip", "tests/gates.py", "venv"]
    assert not os.path.lexists(fresh.folder / ".venv.lock")


@needs_make
def test_a_make_that_waited_for_one_that_failed_installs_itself(fresh):
    first = fresh.begin("test", pip_does="until [ -e go ]; do sleep 0.1; done; exit 1")
    wait_until(lambda: "pip" in fresh.did())
    second = fresh.begin("test")
    second.stderr.readline()
    (fresh.folder / "go").touch()
    assert first.wait(20) != 0 and second.wait(20) == 0
    assert fresh.did() == ["venv", "pip", "pip", "tests/gates.py"]


@needs_make
def test_a_pip_that_refuses_is_tried_again_in_the_same_environment(fresh):
    refused = fresh.make("test", pip_does="exit 1")
    assert refused.returncode != 0 and "pip could not install the pinned set" in refused.stderr
    assert "tests/gates.py" not in fresh.did()
    fresh.make("test")
    assert fresh.did() == ["pip", "tests/gates.py"]


@needs_make
def test_an_environment_whose_python_is_gone_is_made_again(fresh):
    fresh.make("test")
    (fresh.folder / ".venv" / "bin" / "python").unlink()
    fresh.make("test")
    assert fresh.did() == ["venv", "pip", "tests/gates.py"]


@needs_make
def test_an_old_or_missing_python_is_told_in_one_sentence(fresh):
    fresh.stub("old", "3.9.2", old=1)
    for name, found in {"./old": "Python 3.9.2", "./nowhere": "missing"}.items():
        refused = fresh.make("lab", f"PYTHON={name}")
        assert refused.returncode != 0 and fresh.did() == []
        assert f"needs Python 3.11 or newer, but '{name}' is " in refused.stderr and found in refused.stderr
        assert "make PYTHON=python3.12 lab" in refused.stderr


@needs_make
def test_another_index_for_torch_is_asked_only_when_it_is_named(fresh):
    fresh.make("test")
    assert "index-url" not in fresh.log.read_text()
    (fresh.folder / ".venv" / ".installed").unlink()
    fresh.make("test", "TORCH_INDEX=https://example.org/cpu")
    assert "--extra-index-url https://example.org/cpu" in fresh.log.read_text()


# --------------------------------------------------------------------------------------------------------------- CI


@pytest.mark.parametrize("there", [True, False])
def test_ci_brings_chromium_where_it_is_missing_and_makes_browser_tests_a_must(tmp_path, there):
    (tmp_path / "bin").mkdir()
    for name, text in {
        "make": 'echo "make $* CI=$CI" >> "$LOG"',
        "apt-get": 'echo "apt-get $*" >> "$LOG"',
        "id": "echo 0",
        **({"chromium": "true"} if there else {}),
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("dirname", "env"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    log = tmp_path / "log"
    environment = {"PATH": str(tmp_path / "bin"), "LOG": str(log)}
    run = subprocess.run([shutil.which("bash"), ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = log.read_text().splitlines()
    assert lines[-1] == "make test CI=true"
    assert any("install" in line and "chromium" in line for line in lines) == (not there)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_gates_go_on_after_a_failure_and_close_with_the_lines_of_pytest(monkeypatch, capfd, tmp_path):
    import gates

    def said(*lines, code=0):
        return [sys.executable, "-c", f"import sys; print({chr(10).join(lines)!r}); sys.exit({code})"]

    chosen = {
        "one": ("the first", [said("12 passed, 1 skipped in 3.25s")]),
        "two": ("the second", [said("1 failed, 4 passed in 0.50s", code=1), said("never reached")]),
        "three": ("the third", [said("===== 7 passed in 61.02s (0:01:01) =====")]),
    }
    monkeypatch.setattr(gates, "GATES", chosen)
    monkeypatch.setattr(gates, "COURSE", tmp_path / "course.json")
    assert gates.main([]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-3:] == [
        "12 passed, 1 skipped in 3.25s",
        "1 failed, 4 passed in 0.50s",
        "===== 7 passed in 61.02s (0:01:01) =====",
    ]
    assert "never reached" not in lines
    assert [line.split()[0] for line in lines if line.endswith(("the first", "the second", "the third"))][-3:] == [
        *("ok", "FAILED", "ok")
    ]
    assert gates.main(["one", "three"]) == 0
    assert gates.main(["four"]) == 2 and "the gates are one, two, three" in capfd.readouterr().out


def test_every_test_file_belongs_to_a_gate():
    import gates

    apart = {ROOT / path for path in gates.APART}
    commands = [word for _, gate in gates.GATES.values() for command in gate for word in command]
    assert all(path.exists() and str(path.relative_to(ROOT)) in commands for path in apart)
    assert "tests" in commands and "notebooks" in commands


# ----------------------------------------------------------------------------------------------------------- README

README = (ROOT / "README.md").read_text()


def test_every_link_and_picture_of_the_readme_is_there():
    targets = re.findall(r"\]\(([^)#][^)]*)\)", README)
    assert len(targets) >= 6
    assert [target for target in targets if not (ROOT / target).exists()] == []
    assert all(len(alt) > 20 for alt in re.findall(r"!\[([^\]]*)\]", README))


def test_every_command_that_the_readme_names_exists():
    from vosnb.cli import main

    assert set(re.findall(r"`vosnb (\w+)", README)) <= main.commands.keys()
    targets = re.search(r"^.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"lab", "test", "course"} <= named <= set(targets)


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 11
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<readme>", "exec"), {})
    assert re.fullmatch(r"\S+: J 0\.\d\d, F 0\.\d\d\n", capsys.readouterr().out)
    assert (tmp_path / "followed.png").stat().st_size > 10_000
