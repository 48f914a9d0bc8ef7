"""Text source to notebook, student edition, start, reset and the headless run, on a lesson of a few lines."""

import contextlib
import io
import json
import shutil
import textwrap

import nbformat
import pytest

from vosnb import course
from vosnb.course import CourseError

LESSON = '''
# %% [markdown]
# # A tiny lesson
# To read: {{read}}. To run: {{run}}.

# %% tags=["parameters"]
MAX_CLIPS = 4
SEED = 0
BREAK = False

# %%
from vosnb.lesson import claim, predict, progress

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
    assert course.build(root=root) == ["00_tiny"]
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
    assert course.difference("00_tiny", root) is None


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
    assert course.render("01_long", root).cells[0].source.startswith("# Long, 20 minutes, not measured yet")


@pytest.mark.parametrize(
    "seconds, before, promise", [(3, None, 10), (9.5, None, 20), (25, 45, 45), (46, 45, 60), (12, 45, 20)]
)
def test_a_promised_time_moves_only_when_it_must(seconds, before, promise):
    assert course._bound(seconds, before) == promise


def test_a_second_build_writes_the_same_bytes_and_names_the_cell_of_a_lesson_that_fails(root, monkeypatch):
    monkeypatch.setattr(course, "_bound", lambda seconds, before: before)
    before = (root / "00_tiny.ipynb").read_bytes()
    write_lesson(root, LESSON.replace("BREAK = False", "BREAK = True"), "01_bad")
    with pytest.raises(CourseError, match=r"^01_bad: cell 7 \('if BREAK:'\) failed: ValueError: asked to break$"):
        course.build(root=root)
    assert (root / "00_tiny.ipynb").read_bytes() == before
    assert not (root / "01_bad.ipynb").exists()


def test_ids_follow_the_text_of_a_cell_not_its_place(root):
    before = {cell.source: cell.id for cell in course.render("00_tiny", root).cells}
    write_lesson(root, LESSON.replace("# %%\nif BREAK", "# %% [markdown]\n# One more.\n\n# %%\nif BREAK"))
    after = {cell.source: cell.id for cell in course.render("00_tiny", root).cells}
    assert before.items() < after.items() and len(after) == len(before) + 1
    write_lesson(root, "# %%\nprint(1)\n\n# %%\nprint(1)\n", "01_twice")
    first, second = course.render("01_twice", root).cells
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
    assert said in course.difference("00_tiny", root)


def test_a_change_of_the_notebook_alone_is_noticed(root):
    notebook = read(root / "00_tiny.ipynb")
    notebook.metadata.kernelspec.name = "mine"
    nbformat.write(notebook, root / "00_tiny.ipynb")
    assert "metadata" in course.difference("00_tiny", root)
    (root / "00_tiny.ipynb").unlink()
    assert "no notebook yet" in course.difference("00_tiny", root)


def test_prose_is_built_without_running_and_changed_code_loses_its_outputs(root):
    before = read(root / "00_tiny.ipynb")
    write_lesson(
        root, LESSON.replace("Because a double", "As a double").replace("print(double(2), half)", "print(half)")
    )
    course.build(execute=False, root=root)
    after = read(root / "00_tiny.ipynb")
    assert course.difference("00_tiny", root) is None
    assert after.cells[3].outputs == before.cells[3].outputs != []
    assert after.cells[6].outputs == [] and after.cells[6].execution_count is None


# ------------------------------------------------------------------------------------ cleaning


def widget_output(**data):
    return nbformat.v4.new_output(
        "display_data", data={course.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "A player"} | data
    )


def test_widget_views_make_way_for_their_picture():
    cell = nbformat.v4.new_code_cell("player", outputs=[widget_output(**{"image/png": "aGk="})])
    cleaned = course._clean(nbformat.v4.new_notebook(cells=[cell]), "00_tiny")
    assert set(cleaned.cells[0].outputs[0].data) == {"text/plain", "image/png"}


def test_a_widget_without_a_picture_is_refused():
    cell = nbformat.v4.new_code_cell("slider", outputs=[widget_output()])
    with pytest.raises(CourseError, match="the widget of cell 0 has no picture"):
        course._clean(nbformat.v4.new_notebook(cells=[cell]), "00_tiny")


# ------------------------------------------------------------------------------------ student edition


def test_the_student_edition_has_stubs_for_solutions_and_no_outputs(root, tmp_path):
    (path,) = course.student(tmp_path / "out", root)
    notebook = read(path)
    text = sources(notebook)
    for gone in ("x + x", "half = 0.5", "solution begin", "solution end", "Because a double"):
        assert gone not in text
    assert '    """Twice x."""\n    # your code here\n    raise NotImplementedError("your code here")\n' in text
    assert text.count("# your code here") == 2 and "half = ...\n# your code here" in text
    assert course.SOLUTION_NOTE in text
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_the_student_edition_runs_from_top_to_bottom(root, tmp_path):
    course.student(tmp_path / "student", root)
    (row,) = course.run_course(root=tmp_path / "student", out=tmp_path / "build")
    assert row["result"] == "ok"
    assert "unsolved Ellipsis" in printed(read(tmp_path / "build" / "course" / "00_tiny.ipynb"))


@pytest.mark.parametrize("spoiled", ["    # solution end\n", "    # solution begin\n"])
def test_a_solution_mark_without_its_partner_is_refused(root, tmp_path, spoiled):
    write_lesson(root, LESSON.replace(spoiled, "", 1))
    with pytest.raises(CourseError, match="00_tiny: every '# solution begin' needs"):
        course.student(tmp_path, root)


def test_start_copies_what_is_missing_and_never_touches_work(root, tmp_path):
    folder = tmp_path / "mine"
    (said,) = course.start(folder, root)
    assert "copied to" in said
    (folder / "00_tiny.ipynb").write_text("my work")
    write_lesson(root, name="01_next")
    kept, copied = course.start(folder, root)
    assert "kept as it is" in kept and "copied to" in copied
    assert (folder / "00_tiny.ipynb").read_text() == "my work"
    assert (folder / "01_next.ipynb").exists()


def test_start_on_a_file_says_so(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="is a file; name a folder"):
        course.start(tmp_path / "file", root)


def test_reset_gives_a_fresh_lesson_and_keeps_every_old_copy(root, tmp_path):
    folder = tmp_path / "mine"
    course.start(folder, root)
    fresh = (folder / "00_tiny.ipynb").read_bytes()
    for number, work in enumerate(("first", "second"), 1):
        (folder / "00_tiny.ipynb").write_text(work)
        assert f"kept in 00_tiny.old-{number}.ipynb" in course.reset("0", folder, root)
        assert (folder / "00_tiny.ipynb").read_bytes() == fresh
    assert (folder / "00_tiny.old-1.ipynb").read_text() == "first"
    assert (folder / "00_tiny.old-2.ipynb").read_text() == "second"
    (folder / "00_tiny.ipynb").unlink()
    assert "a fresh copy" in course.reset("00_tiny", folder, root)


def test_reset_of_what_does_not_exist_says_what_does(root, tmp_path):
    with pytest.raises(CourseError, match="There is no lesson 07; there are 00_tiny."):
        course.reset("07", tmp_path, root)
    with pytest.raises(CourseError, match="`vosnb start .*nowhere` makes one"):
        course.reset("00", tmp_path / "nowhere", root)


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
    course.build(["1", "2"], execute=False, root=root)
    out = root.parent / "build"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        rows = course.run_course(parameters={"SEED": 98}, root=root, out=out)
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
    course.build(execute=False, root=root)
    (row,) = course.run_course(root=root, out=tmp_path)
    assert "Kernel died" in row["result"]
    first, _ = (cell for cell in read(tmp_path / "course" / "00_tiny.ipynb").cells if cell.cell_type == "code")
    assert first.outputs[0].text == "alive\n"


def test_slow_lessons_are_timed_again_by_themselves_and_failed_ones_are_not(root, tmp_path, monkeypatch):
    alone = []

    def execute_all(notebooks, out, parameters, jobs, cwd):
        for notebook in reversed(notebooks):
            name = notebook.stem
            if jobs == 1:
                alone.append(name)
            beside = {"00_tiny": (61.0, "ok"), "01_fast": (60.0, "ok"), "02_bad": (70.0, "cell 3 failed")}[name]
            seconds, result = (40.0, "ok") if jobs == 1 else beside
            yield {"lesson": name, "seconds": seconds, "result": result}

    for name in ("01_fast", "02_bad"):
        write_lesson(root, LESSON, name)
    course.build(execute=False, root=root)
    monkeypatch.setattr(course, "execute_all", execute_all)
    rows = course.run_course(root=root, out=tmp_path, retime_above=60)
    assert alone == ["00_tiny"]
    assert [(row["lesson"], row["seconds"], row["result"]) for row in rows] == [
        ("00_tiny", 40.0, "ok"), ("01_fast", 60.0, "ok"), ("02_bad", 70.0, "cell 3 failed"),
    ]  # fmt: skip


def test_an_unknown_parameter_is_an_error_and_nothing_runs(root, tmp_path):
    with pytest.raises(CourseError, match="00_tiny has no parameter MAX_CLIP; it has MAX_CLIPS, SEED, BREAK."):
        course.run_course(parameters={"MAX_CLIP": 1}, root=root, out=tmp_path)
    assert not (tmp_path / "course").exists()


def test_parameters_are_read_from_a_command_line():
    assert course.parse_parameters(["MAX_CLIPS=1", "DATASET=davis2017", "BUDGET=0.5", "X=None", "DEVICE='cpu'"]) == {
        "MAX_CLIPS": 1, "DATASET": "davis2017", "BUDGET": 0.5, "X": None, "DEVICE": "cpu",
    }  # fmt: skip
    with pytest.raises(CourseError, match="NAME=VALUE"):
        course.parse_parameters(["MAX_CLIPS"])
