"""What a lesson of style 2 shows: tables, cards, hints, checks and solutions, as HTML and as text; claims, silently."""

import linecache
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from vosnb import audience
from vosnb.course import claims, classroom, page
from vosnb.course.exercises import Exercise, expect

ROWS = [{"tracker": "still", "J": 0.31149, "clips": 8}, {"tracker": "<matching>", "J": 10.7, "clips": 160}]


def double(x):
    return 2 * x


def _check_double(answer):
    expect(answer(3) != 9, "you squared; doubling adds the number to *itself*.")
    expect(answer(3) == 6, "this is not twice the number.")


EXERCISE = Exercise(
    "double", "Double `x`", 2, 5, 3, ("Think of a sum.", "How often is it in there?"), double, _check_double
)


@pytest.fixture(autouse=True)
def nothing_tried(monkeypatch):
    monkeypatch.setattr(classroom, "_judged", {})


@pytest.fixture
def shown(monkeypatch):
    """What a notebook's cell shows: one dictionary an output."""
    outputs = []
    monkeypatch.setattr(audience, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: outputs.append(data))
    return outputs


def everything():
    """Each sort of output once."""
    classroom.table(ROWS)
    classroom.card(EXERCISE)
    classroom.hint(EXERCISE, 2)
    classroom.solution(EXERCISE)
    for answer in (double, lambda x: x * x, ..., lambda x: 1 / 0):
        classroom.check(EXERCISE, answer)
    classroom.solution(EXERCISE)
    classroom.chosen(EXERCISE, double)


# ------------------------------------------------------------------------------------ text and HTML


def test_a_notebook_stores_html_and_the_text_that_a_terminal_prints(shown, monkeypatch, capsys):
    everything()
    assert capsys.readouterr().out == ""
    assert all(set(output) == {"text/plain", "text/html"} for output in shown)
    monkeypatch.undo()
    monkeypatch.setattr(classroom, "_judged", {})
    everything()
    assert capsys.readouterr().out == "\n".join(output["text/plain"] for output in shown) + "\n"


def test_what_is_shown_is_the_same_each_time(shown, monkeypatch):
    everything()
    monkeypatch.setattr(classroom, "_judged", {})
    everything()
    half = len(shown) // 2
    assert shown[:half] == shown[half:]


class Balanced(HTMLParser):
    """Fails at a tag that is closed and was not open, or the other way round."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_well_formed_and_brings_no_style_sheet_or_id(shown):
    everything()
    for output in shown:
        Balanced(output["text/html"])
        assert not re.search(r"<style|<script|\bid=", output["text/html"])


def test_lines_of_text_fit_a_page(shown):
    everything()
    assert max(len(line) for output in shown for line in output["text/plain"].splitlines()) <= 88


def _luminance(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("ground", ["#ffffff", "#212121", "#111111"], ids=["light", "dark", "darkest"])
@pytest.mark.parametrize("color", [*page.COLORS.values(), page.EDGE.split()[-1]])
def test_colours_stand_out_from_both_of_jupyterlabs_themes(color, ground):
    """WCAG 2.2: 3 to 1 for signs, bars and bold words; other text takes the theme's own colour."""
    bright, dark = sorted((_luminance(color), _luminance(ground)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 3


def test_verdicts_differ_in_sign_word_and_colour(shown):
    for answer in (double, lambda x: x, ...):
        classroom.check(EXERCISE, answer)
    for output, sign, word in zip(shown, "✓✗·", ("Right", "Not yet", "Not solved yet"), strict=True):
        assert f'<b><span style="color: {page.COLORS[sign]}">{sign}</span> {word}</b>' in output["text/html"]
        assert output["text/plain"].startswith(sign)
    assert len({page.COLORS[sign] for sign in "✓✗·?"}) == 4


@pytest.mark.parametrize(
    "text, expected",
    [
        ("`a < b` and *this*", "<code>a &lt; b</code> and <em>this</em>"),
        ("2 * x * y, `x * y * z`, a*b*c", "2 * x * y, <code>x * y * z</code>, a*b*c"),
        ("no `end", "no `end"),
    ],
)
def test_code_and_emphasis_are_as_in_markdown(text, expected):
    assert page.inline(text) == expected


# ------------------------------------------------------------------------------------ tables


def test_a_table_has_heads_numbers_to_the_right_and_text_as_before(shown, capsys):
    classroom.table(ROWS, digits=1)
    (output,) = shown
    audience.table(ROWS, digits=1)
    assert capsys.readouterr().out == output["text/plain"] + "\n"  # also in a notebook: that of the first lessons
    assert re.findall(r"<th [^>]*>(.*?)</th>", output["text/html"]) == ["tracker", "J", "clips"]
    cells = re.findall(r'<td style="text-align: (\w+)[^>]*>(.*?)</td>', output["text/html"])
    assert cells[:3] == [("left", "still"), ("right", "0.3"), ("right", "8")] and len(cells) == 6
    assert cells[3] == ("left", "&lt;matching&gt;")
    with pytest.raises(ValueError, match="at least one row"):
        classroom.table([])


# ------------------------------------------------------------------------------------ cards, hints, solutions


def test_a_card_shows_the_task_and_a_button_for_each_hint(shown):
    classroom.card(Exercise(**(vars(EXERCISE) | {"kind": "build", "task": "Write `double`."})))
    text, html = shown[0]["text/plain"], shown[0]["text/html"]
    assert text.splitlines()[:3] == [
        "Build: Double `x`",
        "about 3 minutes, difficulty 2 of 5, importance 5 of 5",
        "Write `double`.",
    ]
    assert re.findall(r"<summary[^>]*>(.*?)</summary>", html) == ["Hint 1", "Hint 2"]
    assert "Think of a sum." in html and "Think of a sum." not in text  # to read it takes a click
    assert "<details open" not in html and "return 2 * x" not in html + text


def test_a_hint_can_be_asked_for_by_number(capsys):
    classroom.hint(EXERCISE, 1)
    assert capsys.readouterr().out == "Hint 1 of 2: Think of a sum.\n"
    for level in (0, 3):
        with pytest.raises(ValueError, match="hints 1 to 2"):
            classroom.hint(EXERCISE, level)


@pytest.mark.parametrize("tried", [double, lambda x: x * x, lambda x: 1 / 0])
def test_a_solution_comes_after_a_try(capsys, tried):
    for untried in (None, ..., None):
        classroom.solution(EXERCISE)
        said = capsys.readouterr().out
        assert said.startswith("First try it yourself") and "return 2 * x" not in said
        assert "solution(exercises.double, anyway=True)" in said.replace("\n", " ")
        classroom.check(EXERCISE, untried)
        capsys.readouterr()
    classroom.check(EXERCISE, tried)
    capsys.readouterr()
    classroom.solution(EXERCISE)
    assert capsys.readouterr().out == "def double(x):\n    return 2 * x\n"


def test_a_solution_can_be_seen_all_the_same(capsys):
    classroom.solution(EXERCISE, anyway=True)
    assert capsys.readouterr().out == "def double(x):\n    return 2 * x\n"
    classroom.solution(Exercise(**(vars(EXERCISE) | {"reference": 6})), anyway=True)
    assert capsys.readouterr().out == "6\n"


# ------------------------------------------------------------------------------------ a student's line


def student(cell):
    """What a cell of a notebook defines as `answer`, its lines known as IPython knows them."""
    name = f"<cell {hash(cell)}>"
    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
    exec(compile(cell, name, "exec"), names := {"__name__": "cell"})
    return names["answer"]


@pytest.mark.parametrize(
    "cell, where",
    [
        ("\ndef answer(x):\n    y = x * x\n    return y\n", "  in line 4 of its cell: return y"),
        ("def answer(x):\n    if x:\n        return 9\n    return 0\n", None),  # which of the two?
        ("answer = lambda x: x * x\n", None),
        ("def answer(x):\n    x * x\n", None),
        ("def answer(x):\n    y = x +\\\n    None\n    return y\n", "  in line 2 of its cell: y = x +\\"),
    ],
)
def test_a_mistake_shows_the_students_line(capsys, shown, cell, where):
    classroom.check(EXERCISE, student(cell))
    first, *rest = shown[0]["text/plain"].splitlines()
    assert first.startswith("✗ Double `x`: ")
    assert [line for line in rest if line.startswith("  in line")] == ([where] if where else [])
    if where:
        assert f"<pre><code>{where.split(': ', 1)[1]}</code></pre>" in shown[0]["text/html"]


def test_an_answer_on_which_the_check_itself_stumbles_is_not_said_to_have_stopped(capsys):
    def check(answer):
        raise TypeError("a text has no mean")

    classroom.check(Exercise(**(vars(EXERCISE) | {"check": check, "reference": 3})), 4)
    assert "TypeError: a text has no mean" in capsys.readouterr().out


# ------------------------------------------------------------------------------------ claims


@pytest.mark.parametrize(
    "value, bounds", [(0.7, (0.69, 0.73)), (np.float32(0.2), (None, 0.35)), (0.9, (0.5,)), (1, ())]
)
def test_a_claim_that_holds_says_nothing(capsys, value, bounds):
    classroom.hold("mean J", value, *bounds)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("value, bounds", [(0.5, (0.6,)), (0.7, (None, 0.6)), (np.nan, (0, 1)), (False, ())])
def test_a_claim_that_fails_raises_with_the_value(value, bounds):
    with pytest.raises(AssertionError, match=f"mean J.* does not hold: it is {value}"):
        classroom.hold("mean J", value, *bounds)


def test_a_claim_about_the_clock_stops_a_program_and_is_only_remarked_to_a_person(capsys, monkeypatch):
    for clock, looked_at in ((True, False), (False, True)):
        monkeypatch.setattr(claims, "live", lambda looked_at=looked_at: looked_at)
        with pytest.raises(AssertionError, match="faster ≥ 10 does not hold: it is 9.7"):
            classroom.hold("faster", 9.7, low=10, clock=clock)
    classroom.hold("faster", 9.7, low=10, clock=True)
    assert capsys.readouterr().out == "faster ≥ 10 does not hold: it is 9.7. Is the machine busy with something else?\n"


def test_a_claim_with_bounds_is_about_a_number():
    with pytest.raises(ValueError, match="'much' is none"):
        classroom.hold("mean J", "much", 0, 1)


# ------------------------------------------------------------------------------------ in a kernel


def test_importing_classroom_brings_in_nothing_heavy():
    heavy = "('torch', 'matplotlib', 'cv2', 'ipywidgets', 'anywidget', 'tqdm', 'IPython')"
    code = f"import sys, vosnb.course.classroom; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_kernel_run_by_a_program_stores_html_and_text(monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.delenv("VOSNB_HEADLESS", raising=False)
    source = (
        "from vosnb.course.classroom import estimate, predict, table\n"
        "table([{'J': 0.5}])\n"
        "guess = predict('Which?', ['this', 'that'])\n"
        "number = estimate('How much?', 0, 1)"
    )
    cells = [nbformat.v4.new_code_cell(source), nbformat.v4.new_code_cell("guess.reveal('this'); number.reveal(0.5)")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute(cwd=".")
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert [output.output_type for output in outputs] == ["display_data"] * 5
    assert all(set(output.data) == {"text/html", "text/plain"} for output in outputs)
    assert not any("You guessed" in output.data["text/plain"] for output in outputs)
