"""The notebooks as they are shipped: in step with their text, executed, clean, small, and built as a lesson is."""

import ast
import base64
import re
from pathlib import Path

import nbformat
import pytest

from vosnb.course import build, notebooks, prose, style
from vosnb.paths import NOTEBOOKS, ROOT

NAMES = notebooks.lessons()
CORE = [name for name in NAMES if not notebooks.is_deeper(name)]
PARAMETERS = ["DATASET", "SPLIT", "MAX_CLIPS", "DEVICE", "SEED", "BUDGET"]
each_lesson = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def notebook(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code_cells(notebook, tag=None):
    return [c for c in notebook.cells if c.cell_type == "code" and (tag is None or tag in c.metadata.get("tags", []))]


def words(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def calls(notebook, name):
    """How many calls of a function or method of this name the code cells hold."""
    nodes = (node for cell in code_cells(notebook) for node in ast.walk(ast.parse(cell.source)))
    called = (node.func for node in nodes if isinstance(node, ast.Call))
    return sum(name == (f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", None)) for f in called)


def texts(output):
    """The readable texts of an output, pictures aside."""
    yield output.get("text", "")
    yield from (str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/"))


# ------------------------------------------------------------------------------------ the set


def test_lessons_are_numbered_from_zero_and_every_notebook_has_a_source():
    assert [name[:2] for name in CORE] == [f"{i:02d}" for i in range(len(CORE))] != []
    assert {notebooks.number(name) for name in NAMES} == {name[:2] for name in CORE}, "a deeper one has a core lesson"
    assert notebooks.executed() == NAMES


def test_the_glossary_sends_to_lessons_that_use_the_word():
    row = re.compile(r"^\| (.+?) \| .+ \| \[(\d\d)\]\((.+)\) \|$", re.MULTILINE)
    rows = row.findall((NOTEBOOKS / "GLOSSARY.md").read_text())
    assert len(rows) > 40
    for terms, number, file in rows:
        assert Path(file).name.startswith(number)
        text = words(nbformat.read(NOTEBOOKS / file, as_version=4))
        for term in terms.split(", "):
            assert re.search(rf"\b{term}", text, 0 if len(term) < 3 else re.IGNORECASE), f"{term} in lesson {number}"


# ------------------------------------------------------------------------------------ derived, executed, clean


@each_lesson
def test_notebook_is_in_step_with_its_text(name):
    assert build.difference(name) is None


@each_lesson
def test_notebook_is_valid_small_and_for_the_kernel_that_everybody_has(name, notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < (2e6 if style.style(notebook) == 1 else 5e6)


@each_lesson
def test_every_cell_was_executed_in_order_without_errors_or_warnings(name, notebook):
    counts = [cell.execution_count for cell in code_cells(notebook) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []


@each_lesson
def test_cells_whose_output_is_a_claim_have_one(name, notebook):
    """nbval passes a cell that was never executed, whatever it prints."""
    claims = code_cells(notebook, "nbval-check-output")
    assert all(cell.outputs for cell in claims)
    assert claims or code_cells(notebook, "hold")


@each_lesson
def test_prose_has_no_markup_left_and_no_number_that_was_never_measured(name, notebook):
    said = re.sub(r"\$[^$]*\$", "", words(notebook))  # LaTeX has braces of its own
    assert "{{" not in said and prose.NOT_YET not in said


FORBIDDEN = {
    "memory address": re.compile(r"\b0x[0-9a-fA-F]{6,}"),
    "absolute path": re.compile(r"(?:^|[\s'\"(=])(?:/(?:home|root|tmp|usr|work|opt|var|mnt|Users)/|[A-Z]:\\)"),
    "version": re.compile(r"\b(?:version|torch|numpy|python|opencv|matplotlib)\W{0,3}v?\d+\.\d+", re.IGNORECASE),
    "widget view": re.compile(re.escape(build.WIDGET_VIEW)),
    "picture as text": re.compile(r"<(?:Figure|Axes|IPython|matplotlib)"),
}


def finds(text):
    return [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]


@each_lesson
def test_outputs_hold_nothing_of_the_machine(name, notebook):
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            assert not [finds(text) for text in texts(output) if finds(text)], f"cell {number}"
            assert build.WIDGET_VIEW not in output.get("data", {}), f"cell {number}"
            picture = base64.b64decode(output.get("data", {}).get("image/png", ""))
            assert b"version" not in picture, f"cell {number}: the PNG names the library that wrote it"


@pytest.mark.parametrize(
    "text, found",
    [
        ("<Clip at 0x7f3a2c91d0>", ["memory address"]),
        ("read /home/me/x.png", ["absolute path"]),
        ("'/tmp/x'", ["absolute path"]),
        ("torch 2.13.0", ["version"]),
        ("Version: 3.1", ["version"]),
        ("<Figure size 640x480 with 1 Axes>", ["picture as text"]),
        ("mean J 0.71 ± 0.02: ok; 3/4 of data/test, torch.float32", []),
    ],
)
def test_the_search_for_traces_of_a_machine_finds_them(text, found):
    assert finds(text) == found


@each_lesson
def test_every_picture_has_alternative_text(name, notebook):
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            for kind in (kind for kind in output.get("data", {}) if kind.startswith("image/")):
                assert len(output.metadata.get(kind, {}).get("alt", "")) >= 15, f"cell {number}: no alt text"
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=)", cell.source), f"cell {number}: no alt text"


# ------------------------------------------------------------------------------------ written as a lesson is


@each_lesson
def test_parameters_come_first_and_none_depends_on_another(name, notebook):
    assert code_cells(notebook, "parameters") == code_cells(notebook)[:1]
    statements = ast.parse(code_cells(notebook)[0].source).body
    assert [s.target.id if isinstance(s, ast.AnnAssign) else s.targets[0].id for s in statements] == PARAMETERS
    for statement in statements:
        ast.literal_eval(statement.value)  # raises ValueError if it is more than a literal


@each_lesson
def test_cells_hold_nothing_but_the_lesson(name, notebook):
    for number, cell in enumerate(code_cells(notebook)):
        tree = ast.parse(cell.source)  # a magic or a shell command is no Python
        banned = {"interact", "interactive", "system", "get_ipython"}
        used = {
            n.attr if isinstance(n, ast.Attribute) else n.id
            for n in ast.walk(tree)
            if hasattr(n, "attr") or hasattr(n, "id")
        }
        assert not used & banned, f"code cell {number}"
        assert "sys.path" not in ast.unparse(tree), f"code cell {number}"


def definitions(tree):
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]


def without_docstrings(node):
    """The syntax tree of a function or class as text, comments, layout and docstrings aside."""
    node = ast.parse(ast.unparse(node)).body[0]
    for part in definitions(node):
        if ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
    return ast.dump(node)


@pytest.fixture(scope="module")
def package():
    """Every function and class of vosnb, by name."""
    found = {}
    for path in (ROOT / "vosnb").rglob("*.py"):
        for node in definitions(ast.parse(path.read_text())):
            found.setdefault(node.name, set()).add(without_docstrings(node))
    return found


@each_lesson
def test_what_a_lesson_shows_is_what_the_package_runs(name, notebook, package):
    for cell in code_cells(notebook, "in-package") + code_cells(notebook, "package"):
        shown = [n for n in ast.parse(cell.source).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        assert shown, "a cell that shows the package defines nothing"
        for node in shown:
            assert without_docstrings(node) in package.get(node.name, set()), f"{node.name} differs from vosnb's"


def test_the_comparison_with_the_package_sees_code_and_nothing_else():
    def dump(text):
        return without_docstrings(ast.parse(text).body[0])

    shown = 'def f(x):\n    """One."""\n    # why\n    return x + 1'
    assert dump(shown) == dump('def f(x):\n    """Another\n\n    one."""\n    return (x + 1)')
    assert dump(shown) != dump("def f(x):\n    return x + 2")
    assert dump(shown) != dump("def f(x, y=0):\n    return x + 1")


@pytest.mark.parametrize("name", CORE)
def test_a_lesson_has_all_its_parts(name, notebook):
    title = notebook.cells[0].source
    assert notebook.cells[0].cell_type == "markdown" and title.startswith("# ")
    assert re.search(r"\d+ minutes", title) and re.search(r"under \d+ seconds", title), "the title card says how long"
    assert 1 <= calls(notebook, "predict") <= calls(notebook, "reveal")
    exercises = len(code_cells(notebook, "exercise"))
    assert 2 <= exercises <= 4
    assert calls(notebook, "card") == calls(notebook, "check") == exercises
    assert calls(notebook, "claim") + calls(notebook, "hold") >= 1
    buttons = style.style(notebook) > 1  # a card of style 2 has them
    assert buttons or "hint(" in words(notebook) or calls(notebook, "hint"), "students are told how to get a hint"
    assert re.search(r"^#+ What we now know", words(notebook), re.MULTILINE)


@pytest.mark.parametrize("name", CORE)
def test_a_lesson_leads_on_to_its_neighbours(name, notebook):
    before, after = CORE[: CORE.index(name)][-1:], CORE[CORE.index(name) + 1 :][:1]
    if style.style(notebook) == 1:
        for other in after:
            assert f"**Next: [lesson {other[:2]}]({other}.ipynb).**" in words(notebook)
    else:  # also to what goes deeper, somewhere
        deeper = [other for other in NAMES if notebooks.is_deeper(other) and notebooks.number(other) == name[:2]]
        assert [other for other in before + after + deeper if f"]({other}.ipynb)" not in words(notebook)] == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(CORE)))
def test_a_deeper_notebook_says_how_long_it_takes_and_leads_back_to_its_lesson(name, notebook):
    (core,) = notebooks.pick([notebooks.number(name)], NAMES)
    title = notebook.cells[0].source
    assert title.startswith("# ") and re.search(r"\d+ minutes", title) and re.search(r"under \d+ seconds", title)
    assert f"](../{core}.ipynb)" in words(notebook)


@each_lesson
def test_every_exercise_is_marked_for_the_student_edition_and_solved_here(name, notebook):
    for cell in code_cells(notebook, "exercise"):
        assert build.SOLUTION.search(cell.source), "an exercise cell has a region between solution marks"
        functions = [n for n in ast.parse(cell.source).body if isinstance(n, ast.FunctionDef)]
        assert all(ast.get_docstring(function) for function in functions), "an exercise says what to write"
    printed = "\n".join(text for cell in code_cells(notebook) for output in cell.outputs for text in texts(output))
    right = r"^✓ .*: (?:right\.$|written\s+down\.)"  # an open question is not judged
    assert len(re.findall(right, printed, re.MULTILINE)) == calls(notebook, "check")
    assert "not solved yet" not in printed
