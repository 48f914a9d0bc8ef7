"""Text source to notebook, student edition, start, reset and the headless run, on a lesson of a few lines."""

import contextlib
import errno
import io
import json
import os
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest

from vosnb.course import build, headless, notebooks, student
from vosnb.course.notebooks import CourseError
from vosnb.paths import ROOT

LESSON = '''
# %% [markdown]
# # A tiny lesson
# To read: {{read}}. To run: {{run}}.

# %% tags=["parameters"]
MAX_CLIPS = 4
SEED = 0
BREAK = False

# %%
from vosnb.course.lesson import claim, predict, progress

# %% tags=["nbval-check-output"]
guess = predict("Odd or even?", ["odd", "even"], default="a")
for _ in progress(range(3), "counting"):
    print("clip")
claim("the sum of the seeds", SEED + 1, 0.5, 99.5)

# %% tags=["exercise"]
def double(x):
    """Twice x."""
    # solution begin
    return x + x
    # solution end


half = ...
# solution begin
half = 0.5
# solution end

# %% [markdown] tags=["solution"]
# Because a double is a sum.

# %%
try:
    print(double(2), half)
except NotImplementedError:
    print("unsolved", half)

# %%
if BREAK:
    raise ValueError("asked to break")
'''


def write_lesson(root, text=LESSON, name="00_tiny"):
    source = root / "source" / f"{name}.py"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(textwrap.dedent(text).lstrip())


def read(path):
    return nbformat.read(path, as_version=4)


def sources(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


def printed(notebook):
    return "".join(o.text for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.name == "stdout")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("built")
    write_lesson(root)
    assert build.build(root=root) == ["00_tiny"]
    return root


@pytest.fixture
def root(built, tmp_path):
    """A copy of the built course, free to be changed."""
    return shutil.copytree(built, tmp_path / "notebooks")


# ------------------------------------------------------------------------------------ build


def test_a_built_notebook_is_executed_valid_and_in_step_with_its_source(root):
    notebook = read(root / "00_tiny.ipynb")
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "the sum of the seeds 50 ± 50: ok\n4 0.5\n" in printed(notebook)
    assert build.difference("00_tiny", root) is None


def test_a_built_notebook_keeps_no_trace_of_the_run(root):
    notebook = read(root / "00_tiny.ipynb")
    assert set(notebook.metadata) == {"kernelspec", "language_info", "vosnb"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    assert len(notebook.cells[3].get("outputs", [])) == 1, "stream pieces are joined"


def test_the_title_card_gets_its_measured_minutes(root):
    notebook = read(root / "00_tiny.ipynb")
    assert f"To read: 5 minutes. To run: under {notebook.metadata.vosnb.seconds} seconds." in notebook.cells[0].source
    long = "# %% [markdown]\n# # Long, {{read}}, {{run}}\n# " + "word " * 3000
    write_lesson(root, long, "01_long")
    assert build.render("01_long", root).cells[0].source.startswith("# Long, 20 minutes, not measured yet")


@pytest.mark.parametrize(
    "seconds, before, promise", [(3, None, 10), (9.5, None, 20), (25, 45, 45), (46, 45, 60), (12, 45, 20)]
)
def test_a_promised_time_moves_only_when_it_must(seconds, before, promise):
    assert build._bound(seconds, before) == promise


def test_a_second_build_writes_the_same_bytes_and_names_the_cell_of_a_lesson_that_fails(root, monkeypatch):
    monkeypatch.setattr(build, "_bound", lambda seconds, before: before)
    before = (root / "00_tiny.ipynb").read_bytes()
    write_lesson(root, LESSON.replace("BREAK = False", "BREAK = True"), "01_bad")
    with pytest.raises(CourseError, match=r"^01_bad: cell 7 \('if BREAK:'\) failed: ValueError: asked to break$"):
        build.build(root=root)
    assert (root / "00_tiny.ipynb").read_bytes() == before
    assert not (root / "01_bad.ipynb").exists()


def test_ids_follow_the_text_of_a_cell_not_its_place(root):
    before = {cell.source: cell.id for cell in build.render("00_tiny", root).cells}
    write_lesson(root, LESSON.replace("# %%\nif BREAK", "# %% [markdown]\n# One more.\n\n# %%\nif BREAK"))
    after = {cell.source: cell.id for cell in build.render("00_tiny", root).cells}
    assert before.items() < after.items() and len(after) == len(before) + 1
    write_lesson(root, "# %%\nprint(1)\n\n# %%\nprint(1)\n", "01_twice")
    first, second = build.render("01_twice", root).cells
    assert first.id != second.id


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("Because a double", "As a double", "cell 5 differs"),
        ('tags=["exercise"]', 'tags=["other"]', "cell 4 differs"),
        ("# %% [markdown]\n# # A tiny", "# %%\n1\n\n# %% [markdown]\n# # A tiny", "has 8 cells, its source 9"),
    ],
)
def test_a_change_of_the_source_alone_is_noticed(root, old, new, said):
    assert old in LESSON
    write_lesson(root, LESSON.replace(old, new))
    assert said in build.difference("00_tiny", root)


def test_a_change_of_the_notebook_alone_is_noticed(root):
    notebook = read(root / "00_tiny.ipynb")
    notebook.metadata.kernelspec.name = "mine"
    nbformat.write(notebook, root / "00_tiny.ipynb")
    assert "metadata" in build.difference("00_tiny", root)
    (root / "00_tiny.ipynb").unlink()
    assert "no notebook yet" in build.difference("00_tiny", root)


def test_prose_is_built_without_running_and_changed_code_loses_its_outputs(root):
    before = read(root / "00_tiny.ipynb")
    write_lesson(
        root, LESSON.replace("Because a double", "As a double").replace("print(double(2), half)", "print(half)")
    )
    build.build(execute=False, root=root)
    after = read(root / "00_tiny.ipynb")
    assert build.difference("00_tiny", root) is None
    assert after.cells[3].outputs == before.cells[3].outputs != []
    assert after.cells[6].outputs == [] and after.cells[6].execution_count is None


# ------------------------------------------------------------------------------------ cleaning


def test_a_picture_is_kept_once():
    output = nbformat.v4.new_output("display_data", data={"text/html": "<img>", "image/png": "aGk=", "text/plain": "A"})
    cell = nbformat.v4.new_code_cell("player", outputs=[output])
    cleaned = build._clean(nbformat.v4.new_notebook(cells=[cell]), "00_tiny")
    assert set(cleaned.cells[0].outputs[0].data) == {"text/plain", "image/png"}


def test_a_widget_without_a_picture_is_refused():
    output = nbformat.v4.new_output("display_data", data={build.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "A"})
    cell = nbformat.v4.new_code_cell("slider", outputs=[output])
    with pytest.raises(CourseError, match="the widget of cell 0 has no picture"):
        build._clean(nbformat.v4.new_notebook(cells=[cell]), "00_tiny")


# ------------------------------------------------------------------------------------ student edition


def test_the_student_edition_has_stubs_for_solutions_and_no_outputs(root, tmp_path):
    assert student.student(tmp_path / "out", root) == [f"00_tiny: copied to {tmp_path / 'out' / '00_tiny.ipynb'}"]
    notebook = read(tmp_path / "out" / "00_tiny.ipynb")
    text = sources(notebook)
    for gone in ("x + x", "half = 0.5", "solution begin", "solution end", "Because a double"):
        assert gone not in text
    assert '    """Twice x."""\n    # your code here\n    raise NotImplementedError("your code here")\n' in text
    assert text.count("# your code here") == 2 and "half = ...\n# your code here" in text
    assert build.SOLUTION_NOTE in text
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_a_students_copy_opens_on_the_film_of_the_course_and_on_nothing_else(root, tmp_path):
    path = root / "00_tiny.ipynb"
    notebook = read(path)
    opening, *later = [cell for cell in notebook.cells if cell.get("outputs")]
    for cell in (opening, *later):
        cell.outputs = [nbformat.v4.new_output("display_data", data={"image/webp": "moves", "text/plain": "It moves."})]
    notebooks.write(notebook, path)
    student.student(tmp_path / "out", root)
    kept = [cell for cell in read(tmp_path / "out" / "00_tiny.ipynb").cells if cell.get("outputs")]
    assert [(cell.id, cell.outputs, cell.execution_count) for cell in kept] == [(opening.id, opening.outputs, None)]


def test_the_student_edition_runs_from_top_to_bottom(root, tmp_path):
    student.student(tmp_path / "student", root)
    (row,) = headless.run_course(root=tmp_path / "student", out=tmp_path / "build")
    assert row["result"] == "ok"
    assert "unsolved Ellipsis" in printed(read(tmp_path / "build" / "course" / "00_tiny.ipynb"))


@pytest.mark.parametrize("spoiled", ["    # solution end\n", "    # solution begin\n"])
def test_a_solution_mark_without_its_partner_is_refused(root, tmp_path, spoiled):
    write_lesson(root, LESSON.replace(spoiled, "", 1))
    with pytest.raises(CourseError, match="00_tiny: every '# solution begin' needs"):
        student.student(tmp_path, root)


def work(path, text="mine"):
    """Write into a notebook, as a student does; returns what its file holds then."""
    notebook = read(path)
    notebook.cells.append(nbformat.v4.new_code_cell(text))
    nbformat.write(notebook, path)
    return path.read_text()


def test_start_copies_what_is_missing_and_never_touches_work(root, tmp_path):
    folder = tmp_path / "mine"
    said, command = student.start(folder, root)
    assert "copied to" in said
    assert f"jupyter lab{' --allow-root' * (os.getuid() == 0)} {folder / '00_tiny.ipynb'}" in command
    mine = work(folder / "00_tiny.ipynb")
    write_lesson(root, name="01_next")
    copied, kept, command = student.start(folder, root)
    assert "01_next: copied to" in copied and "stays as it is, your work is safe" in kept and "jupyter lab" in command
    assert f"`vosnb reset 00 {folder}`" in kept
    assert (folder / "00_tiny.ipynb").read_text() == mine
    assert (folder / "01_next.ipynb").exists()


def newer(root):
    """A later version of the course: a word of the lesson is another one."""
    write_lesson(root, LESSON.replace("Because a double is a sum", "").replace("# A tiny", "# A newer tiny"))


def test_a_lesson_that_nobody_changed_follows_the_course(root, tmp_path):
    folder = tmp_path / "mine"
    student.start(folder, root)
    notebook = read(folder / "00_tiny.ipynb")
    notebook.metadata.language_info.version = "3.13.1"  # as JupyterLab saves what was opened
    notebook.metadata.widgets = {}
    nbformat.write(notebook, folder / "00_tiny.ipynb")
    (folder / "own.ipynb").write_text("not ours")
    newer(root)
    said = student.start(folder, root)
    assert said[0].startswith("00_tiny: brought up to date in ") and len(said) == 2
    assert "# A newer tiny" in sources(read(folder / "00_tiny.ipynb"))
    assert sorted(path.name for path in folder.iterdir()) == [student.GIVEN, "00_tiny.ipynb", "own.ipynb"]
    assert (folder / "own.ipynb").read_text() == "not ours"
    newest = (folder / "00_tiny.ipynb").read_bytes()
    assert "stays as it is" in student.start(folder, root)[0] and (folder / "00_tiny.ipynb").read_bytes() == newest


@pytest.mark.parametrize("done", ["changed", "run"])
def test_a_lesson_that_somebody_worked_on_stays_and_the_newer_one_is_told(root, tmp_path, done):
    folder = tmp_path / "mine"
    student.start(folder, root)
    notebook = read(folder / "00_tiny.ipynb")
    if done == "run":
        notebook.cells[3].outputs = [nbformat.v4.new_output("stream", text="clip")]
    else:
        notebook.cells[0].source += " My note."
    nbformat.write(notebook, folder / "00_tiny.ipynb")
    mine = (folder / "00_tiny.ipynb").read_bytes()
    assert "your work is safe" in student.start(folder, root)[0]
    newer(root)
    for _ in range(2):
        said = student.start(folder, root)[0]
        assert "yours is kept as it is, though the course has a newer version" in said
        assert (folder / "00_tiny.ipynb").read_bytes() == mine
    assert "kept in 00_tiny.old-1.ipynb" in student.reset("00", folder, root)
    assert "your work is safe" in student.start(folder, root)[0]


@pytest.mark.parametrize("known", [None, "{", '{"00_tiny.ipynb": 3}'])
def test_where_nothing_is_known_of_a_folder_everything_stays(root, tmp_path, known):
    """As in one that an earlier version made."""
    student.start(tmp_path / "mine", root)
    if known is None:
        (tmp_path / "mine" / student.GIVEN).unlink()
    else:
        (tmp_path / "mine" / student.GIVEN).write_text(known)
    before = (tmp_path / "mine" / "00_tiny.ipynb").read_bytes()
    newer(root)
    assert "stays as it is" in student.start(tmp_path / "mine", root)[0]
    assert (tmp_path / "mine" / "00_tiny.ipynb").read_bytes() == before


def test_students_get_the_glossary_and_keep_what_they_write_there(root, tmp_path):
    (root / "GLOSSARY.md").write_text("[00](00_tiny.ipynb)")
    student.start(tmp_path / "mine", root)
    glossary = tmp_path / "mine" / "GLOSSARY.md"
    assert glossary.read_text() == "[00](00_tiny.ipynb)"
    (root / "GLOSSARY.md").write_text("[00](00_tiny.ipynb), and more")
    assert student.start(tmp_path / "mine", root)[0].startswith("GLOSSARY: brought up to date")
    assert glossary.read_text() == "[00](00_tiny.ipynb), and more"
    glossary.write_bytes(b"my words \xff")
    assert "stays as it is" in student.start(tmp_path / "mine", root)[0]
    (root / "GLOSSARY.md").write_text("newer still")
    assert student.start(tmp_path / "mine", root)[0].endswith("though the course has a newer version by now.")
    assert "kept in GLOSSARY.old-1.md" in student.student(tmp_path / "mine", root)[1]
    assert (tmp_path / "mine" / "GLOSSARY.old-1.md").read_bytes() == b"my words \xff"


@pytest.mark.parametrize("left", [b"", b'{"cells": [', b"\0" * 100, b"{}", None])
def test_a_notebook_that_was_cut_off_makes_way_and_is_kept(root, tmp_path, left):
    student.start(tmp_path, root)
    fresh = (tmp_path / "00_tiny.ipynb").read_bytes()
    (tmp_path / "00_tiny.ipynb").unlink()
    if left is None:
        (tmp_path / "00_tiny.ipynb").symlink_to("nowhere")
    else:
        (tmp_path / "00_tiny.ipynb").write_bytes(left)
    said = student.start(tmp_path, root)[0]
    assert said == "00_tiny: fresh again; what you had could not be read; it is kept in 00_tiny.old-1.ipynb"
    assert (tmp_path / "00_tiny.ipynb").read_bytes() == fresh
    assert left is None or (tmp_path / "00_tiny.old-1.ipynb").read_bytes() == left


def test_start_completes_what_a_kill_or_a_full_disk_left(root, tmp_path, monkeypatch):
    (tmp_path / ".5f00aa00bb00.half.ipynb").write_text('{"cells": [')
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="00_tiny.ipynb"):
            student.start(tmp_path, root)
    assert list(tmp_path.glob("*.ipynb")) == []
    student.start(tmp_path, root)
    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["00_tiny.ipynb"]


def test_a_full_disk_leaves_work_under_its_name(root, tmp_path, monkeypatch):
    student.start(tmp_path, root)
    mine = work(tmp_path / "00_tiny.ipynb")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    for attempt in (student.student, lambda folder, root: student.reset("0", folder, root)):
        with pytest.raises(OSError):
            attempt(tmp_path, root)
        assert [(path.name, path.read_text()) for path in tmp_path.glob("*.ipynb")] == [("00_tiny.ipynb", mine)]


def test_the_student_edition_keeps_what_differs_and_leaves_what_does_not(root, tmp_path):
    student.student(tmp_path, root)
    assert student.student(tmp_path, root) == ["00_tiny: is fresh already, left as it is."]
    mine = work(tmp_path / "00_tiny.ipynb")
    assert student.student(tmp_path, root) == ["00_tiny: fresh again; what you had is kept in 00_tiny.old-1.ipynb"]
    assert (tmp_path / "00_tiny.old-1.ipynb").read_text() == mine


def test_a_link_makes_way_itself_and_what_it_leads_to_stays(root, tmp_path):
    solved = (root / "00_tiny.ipynb").read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "00_tiny.ipynb").symlink_to(root / "00_tiny.ipynb")
    student.reset("0", tmp_path / "mine", root)
    assert (root / "00_tiny.ipynb").read_bytes() == solved
    assert not (tmp_path / "mine" / "00_tiny.ipynb").is_symlink()
    assert (tmp_path / "mine" / "00_tiny.old-1.ipynb").resolve() == root / "00_tiny.ipynb"


@pytest.mark.parametrize(
    "where", ["notebooks", "notebooks/deeper", "notebooks/source", "link", "link/new", "a/../notebooks"]
)
def test_the_courses_own_folder_is_refused(root, tmp_path, where, monkeypatch):
    (tmp_path / "link").symlink_to("notebooks")
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    calls = [student.student, student.start]
    if os.path.isdir(where):
        calls.append(lambda folder, root: student.reset("0", folder, root))
    for folder in (where, tmp_path / where):
        for call in calls:
            with pytest.raises(CourseError, match="belongs to the course's own lessons; name another folder"):
                call(folder, root)
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("activated", [True, False])
def test_the_command_that_opens_the_first_lesson_is_whole_and_quoted(root, tmp_path, monkeypatch, activated):
    """Where the environment is not active, as under make, it names the program; else it says jupyter."""
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.setattr(
        shutil, "which", lambda _: str(Path(sys.executable).with_name("jupyter")) if activated else None
    )
    for _ in range(2):
        command = shlex.split(student.start(tmp_path / "my own course", root)[-1].splitlines()[-1])
        assert command[0] == f"JUPYTER_CONFIG_PATH={ROOT / 'jupyter'}"
        words = ["jupyter", "lab"] if activated else [sys.executable, "-m", "jupyter", "lab"]
        assert command[1 : 1 + len(words)] == words
        assert command[-1] == str(tmp_path / "my own course" / "00_tiny.ipynb")
    monkeypatch.setenv("MAKELEVEL", "1")
    assert f"{sys.executable} -m jupyter lab" in student.start(tmp_path / "my own course", root)[-1]


def test_start_on_a_file_says_so(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="is a file; name a folder"):
        student.start(tmp_path / "file", root)


def test_reset_gives_a_fresh_lesson_and_keeps_every_old_copy(root, tmp_path):
    folder = tmp_path / "mine"
    student.start(folder, root)
    fresh = (folder / "00_tiny.ipynb").read_bytes()
    for number in (1, 2):
        mine = work(folder / "00_tiny.ipynb", f"attempt {number}")
        assert f"kept in 00_tiny.old-{number}.ipynb" in student.reset("0", folder, root)
        assert (folder / "00_tiny.ipynb").read_bytes() == fresh
        assert (folder / f"00_tiny.old-{number}.ipynb").read_text() == mine
    assert "Reload Notebook from Disk" in student.reset("0", folder, root)
    (folder / "00_tiny.ipynb").unlink()
    assert student.reset("00_tiny", folder, root).endswith(f"copied to {folder / '00_tiny.ipynb'}")


def test_reset_without_a_folder_finds_the_one_of_start(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    student.start(root=root)
    work(tmp_path / "my-course" / "00_tiny.ipynb")
    assert "kept in" in student.reset("0", root=root)
    monkeypatch.chdir(tmp_path / "my-course")
    work(tmp_path / "my-course" / "00_tiny.ipynb")
    assert "kept in" in student.reset("0", root=root)
    assert (tmp_path / "my-course" / "00_tiny.old-2.ipynb").exists()


def test_reset_of_what_does_not_exist_says_what_does(root, tmp_path):
    with pytest.raises(CourseError, match="There is no lesson 07; there are 00_tiny."):
        student.reset("07", tmp_path, root)
    with pytest.raises(CourseError, match="`vosnb start .*nowhere` makes one"):
        student.reset("00", tmp_path / "nowhere", root)


# ------------------------------------------------------------------------------------ run_course


HIDDEN = """
# %% tags=["parameters"]
SEED = 0

# %%
import ipywidgets

ipywidgets.interact(lambda x: 1 / x, x=ipywidgets.IntSlider())
"""


@pytest.fixture(scope="module")
def ran(built, tmp_path_factory):
    root = shutil.copytree(built, tmp_path_factory.mktemp("ran") / "notebooks")
    write_lesson(root, LESSON.replace("if BREAK", "block = bytearray(3 * 10**8)\nif SEED == 98"), "01_bad")
    write_lesson(root, HIDDEN, "02_hidden")
    build.build(["1", "2"], execute=False, root=root)
    out = root.parent / "build"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        rows = headless.run_course(parameters={"SEED": 98}, root=root, out=out)
    return out, rows, printed.getvalue()


def test_run_course_tabulates_every_lesson(ran):
    out, rows, printed = ran
    assert [row["lesson"] for row in rows] == ["00_tiny", "01_bad", "02_hidden"]
    assert rows[0]["result"] == "ok"
    assert all(row["seconds"] > 0 and 0 < row["file_kb"] < 100 for row in rows)
    assert rows[0]["memory_mb"] > 10
    assert rows[1]["memory_mb"] > rows[0]["memory_mb"] + 200, "the kernel's memory is in the figure"
    assert json.loads((out / "course.json").read_text())["lessons"] == rows
    lines = printed.splitlines()
    assert lines[0].split() == ["lesson", "seconds", "memory_mb", "file_kb", "result"]
    assert lines[2].endswith("ok") and "asked to break" in lines[3]


def test_run_course_names_the_cell_that_fails_and_hands_parameters_on(ran):
    out, rows, _ = ran
    assert rows[1]["result"] == "cell 7 ('block = bytearray(3 * 10**8)') failed: ValueError: asked to break"
    assert json.loads((out / "course.json").read_text())["parameters"] == {"SEED": 98}


def test_an_error_hidden_in_a_widget_fails_the_run_and_its_state_is_not_kept(ran):
    out, rows, _ = ran
    assert "ZeroDivisionError: division by zero" in rows[2]["result"]
    assert "widgets" not in read(out / "course" / "02_hidden.ipynb").metadata


def test_a_kernel_that_dies_is_said_and_what_ran_before_is_kept(root, tmp_path):
    (root / "source" / "00_tiny.py").write_text("# %%\nprint('alive')\n\n# %%\nimport os\n\nos._exit(1)\n")
    build.build(execute=False, root=root)
    (row,) = headless.run_course(root=root, out=tmp_path)
    assert "Kernel died" in row["result"]
    first, _ = (cell for cell in read(tmp_path / "course" / "00_tiny.ipynb").cells if cell.cell_type == "code")
    assert first.outputs[0].text == "alive\n"


def test_an_unknown_parameter_is_an_error_and_nothing_runs(root, tmp_path):
    with pytest.raises(CourseError, match="00_tiny has no parameter MAX_CLIP; it has MAX_CLIPS, SEED, BREAK."):
        headless.run_course(parameters={"MAX_CLIP": 1}, root=root, out=tmp_path)
    assert not (tmp_path / "course").exists()


def test_parameters_are_read_from_a_command_line():
    assert headless.parse_parameters(["MAX_CLIPS=1", "DATASET=davis2017", "BUDGET=0.5", "X=None", "DEVICE='cpu'"]) == {
        "MAX_CLIPS": 1, "DATASET": "davis2017", "BUDGET": 0.5, "X": None, "DEVICE": "cpu",
    }  # fmt: skip
    with pytest.raises(CourseError, match="NAME=VALUE"):
        headless.parse_parameters(["MAX_CLIPS"])


# ------------------------------------------------------------------------------------ style 2, folds, numbers, deeper


STYLE_2 = """
# ---
# jupyter:
#   vosnb:
#     style: 2
# ---

# %% [markdown]
# # A lesson that goes deeper
# {{read}}, {{run}}; {{to core}}; the gain is {{gain:.2f}}, over {{seeds}} seeds.

# %% tags=["parameters", "setup"]
SEED = 0

# %% tags=["setup"]
from vosnb.course.classroom import numbers
from vosnb.course.lesson import claim

# %%
gain = 0.504 + SEED / 100

# %% tags=["plot"]
print("drawn")

# %% tags=["hold"]
claim("the gain", gain, 0.5, 2)
numbers(gain=gain, seeds=3)
"""


@pytest.fixture(scope="module")
def deep(built, tmp_path_factory):
    """A built course of a core lesson and a deeper one in style 2."""
    root = shutil.copytree(built, tmp_path_factory.mktemp("deep") / "notebooks")
    write_lesson(root, STYLE_2, "deeper/00_more")
    assert build.build(["00_more"], root=root) == ["deeper/00_more"]
    return root


def test_a_deeper_notebook_is_built_and_in_step(deep):
    notebook = read(deep / "deeper" / "00_more.ipynb")
    nbformat.validate(notebook)
    assert build.difference("deeper/00_more", deep) is None
    seconds = notebook.metadata.vosnb.seconds
    assert notebook.metadata.vosnb == {"style": 2, "seconds": seconds, "numbers": {"gain": 0.504, "seeds": 3}}
    assert notebook.cells[0].source == (
        "# A lesson that goes deeper\n"
        f"5 minutes, under {seconds} seconds; [lesson 00: A tiny lesson](../00_tiny.ipynb); "
        "the gain is 0.50, over 3 seeds."
    )
    assert notebooks.lessons(deep) == notebooks.executed(deep) == ["00_tiny", "deeper/00_more"]


def test_tags_fold_cells_and_what_holds_the_lesson_keeps_no_output(deep):
    cells = read(deep / "deeper" / "00_more.ipynb").cells[1:]
    folded = {"source_hidden": True}
    hidden = folded | {"outputs_hidden": True}
    assert [cell.metadata.get("jupyter") for cell in cells] == [folded, folded, None, folded, hidden]
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4, 5]
    assert cells[3].outputs[0].text == "drawn\n" and cells[4].outputs == []


@pytest.fixture
def deep_copy(deep, tmp_path):
    return shutil.copytree(deep, tmp_path / "notebooks")


def test_prose_and_stored_number_that_part_are_noticed_without_a_run(deep_copy):
    path = deep_copy / "deeper" / "00_more.ipynb"
    notebook = read(path)
    notebook.cells[0].source = notebook.cells[0].source.replace("0.50", "0.60")
    nbformat.write(notebook, path)
    assert "cell 0 differs" in build.difference("deeper/00_more", deep_copy)
    assert "build it with `vosnb build deeper/00_more`" in build.difference("deeper/00_more", deep_copy)
    build.build(["deeper/00_more"], execute=False, root=deep_copy)
    assert "the gain is 0.50, over 3" in read(path).cells[0].source
    assert build.difference("deeper/00_more", deep_copy) is None


def test_a_fresh_run_is_held_to_the_prose_and_one_with_other_parameters_is_not(deep_copy, tmp_path):
    path = deep_copy / "deeper" / "00_more.ipynb"
    write_lesson(deep_copy, STYLE_2.replace("{{gain:.2f}}", "{{gain:.2f ± 0.1}}"), "deeper/00_more")
    notebook = read(path)
    notebook.metadata.vosnb.numbers.gain = 0.604  # as if the prose were of an older run
    nbformat.write(notebook, path)

    def result(**parameters):
        (row,) = headless.run_course(["deeper/00_more"], parameters, root=deep_copy, out=tmp_path / "build")
        assert row["lesson"] == "deeper/00_more"
        return row["result"]

    assert result() == "ok", "0.60 and 0.50 part by what the author allows"
    write_lesson(deep_copy, STYLE_2, "deeper/00_more")
    assert result() == "the prose says that gain is 0.60, and in this run it is 0.50"
    assert result(SEED=1) == "ok"
    assert (tmp_path / "build" / "course" / "deeper" / "00_more.ipynb").exists()


def test_a_build_fails_where_prose_quotes_what_no_cell_gives(deep_copy):
    write_lesson(deep_copy, STYLE_2.replace(", seeds=3", ""), "deeper/00_more")
    before = (deep_copy / "deeper" / "00_more.ipynb").read_bytes()
    with pytest.raises(CourseError, match=r"^deeper/00_more: the text quotes seeds; give them by numbers\(seeds=...\)"):
        build.build(["deeper/00_more"], root=deep_copy)
    assert (deep_copy / "deeper" / "00_more.ipynb").read_bytes() == before


def test_a_style_that_does_not_exist_is_an_error(deep_copy):
    write_lesson(deep_copy, STYLE_2.replace("style: 2", "style: 3"), "deeper/00_more")
    with pytest.raises(
        CourseError, match="deeper/00_more: the header of its text says style 3; there are styles 1 and"
    ):
        build.render("deeper/00_more", deep_copy)


def test_students_get_deeper_notebooks_in_their_folder_and_keep_their_work(deep_copy, tmp_path):
    first, second, command = student.start(tmp_path, deep_copy)
    path = tmp_path / "deeper" / "00_more.ipynb"
    assert second == f"00_more: copied to {path}" and command.endswith("00_tiny.ipynb")
    fresh = path.read_text()
    assert "the gain is 0.50, over 3 seeds" in fresh and "](../00_tiny.ipynb)" in fresh
    assert all(not cell.get("outputs") for cell in read(path).cells)
    mine = work(path)
    (tmp_path / "deeper" / ".5f00aa00bb00.half.ipynb").write_text('{"cells": [')
    assert "stays as it is, your work is safe" in student.start(tmp_path, deep_copy)[0]
    assert path.read_text() == mine
    write_lesson(deep_copy, STYLE_2.replace("the gain is", "the gain was"), "deeper/00_more")
    assert (
        f"`vosnb reset deeper/00_more {tmp_path}` brings it, and keeps yours" in student.start(tmp_path, deep_copy)[0]
    )
    assert path.read_text() == mine
    student.reset("0", tmp_path, deep_copy)
    assert path.read_text() == mine, "a number is the core lesson alone"
    assert "kept in 00_more.old-1.ipynb" in student.reset("deeper/00_more", tmp_path, deep_copy)
    assert "the gain was 0.50" in path.read_text()
    assert sorted(file.name for file in path.parent.iterdir()) == ["00_more.ipynb", "00_more.old-1.ipynb"]
    assert notebooks.executed(tmp_path) == ["00_tiny", "deeper/00_more"]


def test_lessons_are_picked_by_number_or_name_in_the_order_of_the_course():
    available = ["deeper/01_b", "01_x", "00_y", "deeper/01_a", "02_z", "deeper/02_z"]
    assert notebooks.pick(None, available) == ["00_y", "01_x", "deeper/01_a", "deeper/01_b", "02_z", "deeper/02_z"]
    assert notebooks.pick(["deeper/01_b", "1"], available) == ["01_x", "deeper/01_b"]
    assert notebooks.pick(["01_a", "0", "00_y"], available) == ["00_y", "deeper/01_a"]
    assert notebooks.pick(["02_z"], available) == ["02_z"], "the core lesson, where both have the name"
    with pytest.raises(CourseError, match="There is no lesson 3; there are 00_y, 01_x, deeper/01_a, deeper/01_b, 02_z"):
        notebooks.pick(["3"], available)
