"""The student edition: lessons without solutions, whole, as a working folder, or one of them afresh.

Nothing that a student wrote is ever lost: a file that must make way is kept beside the new one, as NN_name.old-1.ipynb.
"""

import hashlib
import json
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from vosnb.course.build import measured, render
from vosnb.course.notebooks import DEEPER, CourseError, is_deeper, lessons, number, pick, read, text
from vosnb.files import FileError, read_json, write_text
from vosnb.paths import NOTEBOOKS, ROOT

MY_COURSE = Path("my-course")  # where `vosnb start` puts the lessons unless told otherwise
GIVEN = ".vosnb.json"  # in a student's folder: what each file held when the course gave it, as `_content` says it


def student(out: Path, root: Path = NOTEBOOKS) -> list[str]:
    """Write the student edition of every lesson, and the glossary, into the folder `out`; returns one sentence a file.

    A file there that differs is kept beside the new one. Raises `CourseError` if `out` is a file or the course's own.
    """
    folder = _working_folder(out, root)
    return [_put(folder / name, fresh) for name, fresh in _edition(root)]


def start(folder: Path = MY_COURSE, root: Path = NOTEBOOKS) -> list[str]:
    """Give a student a folder with every lesson and the glossary. What a student has done there stays as it is.

    A file that is missing comes; one that the student has neither changed nor run follows the course, when the course
    has a newer version. A notebook that no longer can be read makes way and is kept. Returns a sentence for each file
    with news, one for all others, and the command that goes on. Raises `CourseError` if `folder` is a file or the
    course's own.
    """
    folder, said, stays = _working_folder(folder, root), [], False
    given = _given(folder)
    before = dict(given)
    for name, fresh in _edition(root):
        path, newest = folder / name, _content(name, fresh.encode())
        if not os.path.lexists(path) or _is_cut(path):
            said.append(_put(path, fresh))
            given[name] = newest
            continue
        held = _content(name, path.read_bytes()) if path.is_file() else None
        if held == newest:
            given[name], stays = newest, True
        elif given.get(name, newest) == newest:  # what the student made of the course's present version
            stays = True
        elif held == given[name]:
            said.append(f"{path.stem}: brought up to date in {write_text(path, fresh)}; you had not changed it.")
            given[name] = newest
        else:
            again = f": `{_reset(name, folder)}` brings it, and keeps yours" if path.suffix == ".ipynb" else ""
            said.append(f"{path.stem}: yours is kept as it is, though the course has a newer version by now{again}.")
    if given != before:
        write_text(folder / GIVEN, json.dumps(given, indent=1) + "\n")
    first = f"{lessons(root)[0]}.ipynb"
    if stays:
        afresh = _reset(first, folder)
        said.append(f"All else in {folder} stays as it is, your work is safe; `{afresh}` gives one lesson afresh.")
    return [*said, f"The first lesson opens with:\n  {_open(folder / first)}"]


def _given(folder: Path) -> dict[str, str]:
    """{file name: its content when the course gave it}; where nothing is known, nothing counts as unchanged."""
    try:
        return read_json(folder / GIVEN, dict[str, str])
    except (OSError, FileError):  # a folder from before there was such a file, or it is damaged
        return {}


def _content(name: str, data: bytes) -> str:
    """A hash of what a reader or a student put into a file: of a notebook its cells and their outputs alone.

    JupyterLab also saves what it learned by opening a notebook, which is nobody's work.
    """
    if name.endswith(".ipynb"):
        cells = json.loads(data)["cells"]
        data = json.dumps([(c["cell_type"], "".join(c["source"]), c.get("outputs", [])) for c in cells]).encode()
    return hashlib.sha256(data).hexdigest()


def _reset(name: str, folder: Path) -> str:
    """The command that gives this lesson afresh."""
    lesson = name.removesuffix(".ipynb") if is_deeper(name) else number(name)
    return f"vosnb reset {lesson}" + (f" {shlex.quote(str(folder))}" if folder != MY_COURSE else "")


def _open(notebook: Path) -> str:
    """The command that opens a notebook in JupyterLab, with the course's settings, as `make lab` does."""
    found, ours = shutil.which("jupyter"), Path(sys.executable).with_name("jupyter")
    # make puts our environment on its own PATH; who reads this has not activated it for that
    known = found and Path(found) == ours and "MAKELEVEL" not in os.environ
    program = "jupyter" if known else f"{shlex.quote(sys.executable)} -m jupyter"
    root_may = " --allow-root" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    settings = shlex.quote(str(ROOT / "jupyter"))
    return f"JUPYTER_CONFIG_PATH={settings} {program} lab{root_may} {shlex.quote(str(notebook))}"


def reset(lesson: str, folder: Path | None = None, root: Path = NOTEBOOKS) -> str:
    """Put a fresh student copy of one lesson into `folder`; the old copy stays beside it as NN_name.old-1.ipynb, ...

    lesson: number or name. folder: by default my-course if there is one here, else the current folder. Returns what
    was done. Raises `CourseError` for an unknown lesson, a missing folder or the course's own.
    """
    (name,) = pick([lesson], lessons(root))
    if folder is None:
        folder = MY_COURSE if MY_COURSE.is_dir() else Path()
    if not Path(folder).is_dir():
        raise CourseError(f"There is no folder {folder}; `vosnb start {folder}` makes one with every lesson.")
    path = _working_folder(folder, root) / f"{name}.ipynb"
    was_there = os.path.lexists(path)
    said = _put(path, _fresh(name, root))
    return f"{said}\nIf it is open in JupyterLab, choose File > Reload Notebook from Disk." if was_there else said


def _working_folder(folder: Path, root: Path) -> Path:
    """The folder, if lessons may be written there: it is no file, and neither the course's own folder nor in it.

    What a killed run left half written is removed there.
    """
    folder = Path(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise CourseError(f"{folder} is a file; name a folder to work in, new or existing.")
    place = folder.resolve()  # then compared as the system does: upper case, mounts
    if any(above.exists() and above.samefile(root) for above in (place, *place.parents)):
        raise CourseError(f"{folder} belongs to the course's own lessons; name another folder, as in {MY_COURSE}.")
    for below in ("", DEEPER):
        for half in folder.glob(f"{below}.{12 * '[0-9a-f]'}.half.*"):
            half.unlink(missing_ok=True)
    return folder


def _edition(root: Path) -> Iterator[tuple[str, str]]:
    """(path in the folder, text) of every file that a student gets: all lessons, then the glossary, whose links lead
    to them."""
    for name in lessons(root):
        yield f"{name}.ipynb", _fresh(name, root)
    for page in root.glob("GLOSSARY.md"):
        yield page.name, page.read_text(encoding="utf-8")


def _fresh(name: str, root: Path) -> str:
    course = read(root / f"{name}.ipynb")
    return text(_with_opening(render(name, root, measured(course), edition="student"), course))


def _with_opening(fresh: NotebookNode, course: NotebookNode | None) -> NotebookNode:
    """Where a lesson opens on a film, the student's copy does so too, before anything has run. Of all later outputs it
    has none: they would tell what the student is asked."""
    opening = next((cell for cell in course.cells if cell.get("outputs")), None) if course else None
    if opening and any("image/webp" in output.get("data", {}) for output in opening.outputs):
        for cell in fresh.cells:
            if cell.id == opening.id:
                cell.outputs = opening.outputs
    return fresh


def _is_cut(path: Path) -> bool:
    """Whether this is a notebook that cannot be read: cut off by a full disk or a kill, or a link to nowhere."""
    try:
        return path.suffix == ".ipynb" and read(path) is None
    except CourseError:
        return True


def _put(path: Path, fresh: str) -> str:
    """Write a file; what is there and differs is kept beside it, with a number. Returns one sentence."""
    name = path.stem
    if not os.path.lexists(path):
        return f"{name}: copied to {write_text(path, fresh)}"
    if path.is_file() and not path.is_symlink() and path.read_bytes() == fresh.encode():
        return f"{name}: is fresh already, left as it is."
    why = " could not be read; it" if _is_cut(path) else ""
    number = 1
    while os.path.lexists(old := path.with_name(f"{name}.old-{number}{path.suffix}")):
        number += 1
    half = path.with_name(f".{secrets.token_hex(6)}.half{path.suffix}")
    write_text(half, fresh)  # first, for the disk may be full
    path.rename(old)
    half.replace(path)
    return f"{name}: fresh again; what you had{why} is kept in {old.name}"
