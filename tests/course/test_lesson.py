"""What lessons are made of: live or headless, predictions, claims, tables, checks and hints."""

import linecache
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from vosnb import audience
from vosnb.course import lesson
from vosnb.course.exercises import Exercise, Misconception, expect, same


def _check_double(answer):
    expect(answer(3) != 9, "You squared; doubling adds the number to itself.")
    expect(answer(3) == 6, "This is not twice the number.")


def double(x):
    return 2 * x


EXERCISE = Exercise("double", "Double it", 2, 5, 3, ("Think of a sum.", "x + x"), double, _check_double)


@pytest.fixture
def headless(monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "1")


@pytest.fixture
def looked_at(monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "0")


# ------------------------------------------------------------------------------------ live or headless


class Shell:
    """As much of an IPython shell as `live` looks at."""

    def __init__(self, allow_stdin):
        self.kernel = type("Kernel", (), {"_allow_stdin": allow_stdin})()


@pytest.mark.parametrize("allow_stdin", [True, False])
def test_a_kernel_is_live_when_its_frontend_could_answer_a_question(monkeypatch, allow_stdin):
    monkeypatch.delenv("VOSNB_HEADLESS", raising=False)
    monkeypatch.setattr("IPython.get_ipython", lambda: Shell(allow_stdin))
    assert lesson.live() is allow_stdin


def test_the_environment_overrules_the_kernel(monkeypatch):
    monkeypatch.setattr("IPython.get_ipython", lambda: Shell(True))
    monkeypatch.setenv("VOSNB_HEADLESS", "1")
    assert not lesson.live()
    monkeypatch.setattr("IPython.get_ipython", lambda: Shell(False))
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    assert lesson.live()


def test_a_real_kernel_is_live_for_an_interactive_client_only(monkeypatch):
    from jupyter_client.manager import start_new_kernel

    monkeypatch.delenv("VOSNB_HEADLESS", raising=False)
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        said = []

        def listen(message):
            said.append(message["content"].get("text", ""))

        for allow_stdin in (True, False):
            code = "from vosnb import lesson; print(lesson.live())"
            client.execute_interactive(code, allow_stdin=allow_stdin, output_hook=listen, timeout=60)
        assert "".join(said).split() == ["True", "False"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_progress_passes_everything_on_and_says_nothing_headless(headless, capsys):
    assert list(lesson.progress(range(5), "counting")) == list(range(5))
    assert capsys.readouterr() == ("", "")


def test_progress_shows_a_bar_that_vanishes_where_somebody_looks():
    code = "from vosnb.course.lesson import progress; [None for _ in progress(range(3), 'counting')]"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"VOSNB_HEADLESS": "0"})
    assert run.returncode == 0, run.stderr
    assert "counting" in run.stderr
    assert run.stdout == "" and run.stderr.splitlines()[-1].strip() == ""


def test_bars_in_a_notebook_are_one_widget_each_also_one_within_another(monkeypatch):
    lines, updates = [], []

    class Shown:
        def update(self, data, raw):
            updates.append((data, raw))

    def display(widget, display_id):
        lines.append(seen := [])
        widget.observe(lambda change: seen.append(change["new"]), "value")
        return Shown()

    monkeypatch.setattr("IPython.display.display", display)
    count = 0
    for _ in audience._bar_in_notebook(range(2), "outer", None):
        for _ in audience._bar_in_notebook(iter("abc"), "<inner>", 3):
            count += 1
            time.sleep(0.11)  # tqdm writes ten times a second
    assert count == 6 and len(lines) == 3 and updates == [({}, True)] * 3
    assert "outer:  50%" in "".join(lines[0]) and "&lt;inner&gt;:  67%" in "".join(lines[1])
    for line in lines:
        assert all(value.startswith("<pre>") and "\x1b" not in value and "\n" not in value for value in line)


def test_importing_lesson_brings_in_nothing_heavy():
    heavy = "('torch', 'matplotlib', 'cv2', 'ipywidgets', 'anywidget', 'tqdm')"
    code = f"import sys, vosnb.lesson; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_device_takes_a_name_as_it_stands_and_chooses_by_itself(monkeypatch):
    assert lesson.device("cpu") == "cpu"
    with pytest.raises(ValueError, match="there is no device 'gpu' here: choose from cpu"):
        lesson.device("gpu")
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert lesson.device() == expected


# ------------------------------------------------------------------------------------ predictions


def test_headless_prediction_prints_the_options_and_takes_the_default(headless, capsys):
    guess = lesson.predict("Which one?", ["this", "that"], default="b")
    assert guess.guess == "b"
    assert capsys.readouterr().out == "Which one?\n  a) this\n  b) that\nGuess: b\n"
    guess.reveal("a", "So it is.")
    assert capsys.readouterr().out == "✗ You guessed  b) that\n  It is        a) this\nSo it is.\n"
    guess.reveal("b")
    assert capsys.readouterr().out.startswith("✓ You guessed  b) that\n")


def test_live_prediction_takes_the_chosen_button_and_until_then_the_default(looked_at, capsys):
    guess = lesson.predict("Which <one>?", ["this", "that", "neither"], default="b")
    assert guess._buttons.value is None and guess.guess == "b"
    guess._buttons.value = "c"
    assert guess.guess == "c"
    capsys.readouterr()
    guess.reveal("c")
    assert "✓ You guessed  c) neither" in capsys.readouterr().out


@pytest.mark.parametrize("options, default", [(["only"], "a"), ("ab", "a"), (["x", "y"], "c"), (["x", "y"], "x")])
def test_a_prediction_without_a_choice_is_refused(headless, options, default):
    with pytest.raises(ValueError, match="options"):
        lesson.predict("?", options, default)


def test_a_truth_that_is_no_option_is_refused(headless):
    with pytest.raises(ValueError, match="none of the options"):
        lesson.predict("?", ["x", "y"], "a").reveal("z")


# ------------------------------------------------------------------------------------ claims and tables


@pytest.mark.parametrize(
    "value, bounds, said",
    [
        (0.7123, (0.69, 0.73), "mean J 0.71 ± 0.02: ok"),
        (0.7, (0.69, 0.73), "mean J 0.71 ± 0.02: ok"),
        (np.float32(0.2), (None, 0.35), "mean J ≤ 0.35: ok"),
        (0.9, (0.5,), "mean J ≥ 0.5: ok"),
        (True, (), "mean J: ok"),
    ],
)
def test_a_claim_that_holds_prints_its_band(capsys, value, bounds, said):
    lesson.claim("mean J", value, *bounds)
    assert capsys.readouterr().out == said + "\n"


@pytest.mark.parametrize("value, bounds", [(0.5, (0.6,)), (0.7, (None, 0.6)), (np.nan, (0, 1)), (False, ())])
def test_a_claim_that_fails_raises_with_the_value(capsys, value, bounds):
    with pytest.raises(AssertionError, match=f"mean J.* does not hold: it is {value}"):
        lesson.claim("mean J", value, *bounds)
    assert capsys.readouterr().out == ""


def test_a_claim_about_the_clock_stops_a_program_and_is_only_remarked_to_a_person(capsys, monkeypatch):
    for clock, looked_at in ((True, False), (False, True)):
        monkeypatch.setattr(lesson, "live", lambda looked_at=looked_at: looked_at)
        with pytest.raises(AssertionError, match="faster ≥ 10 does not hold: it is 9.7"):
            lesson.claim("faster", 9.7, low=10, clock=clock)
    lesson.claim("faster", 9.7, low=10, clock=True)
    lesson.claim("faster", 10.3, low=10, clock=True)
    assert capsys.readouterr().out == (
        "faster ≥ 10 does not hold: it is 9.7. Is the machine busy with something else?\nfaster ≥ 10: ok\n"
    )


def test_a_table_is_aligned_and_rounded(capsys):
    lesson.table([{"tracker": "still", "J": 0.31149}, {"tracker": "matching", "J": 10.7}])
    assert capsys.readouterr().out == (
        "tracker       J\n--------  -----\nstill      0.31\nmatching  10.70\n"
    )  # fmt: skip
    with pytest.raises(ValueError, match="at least one row"):
        lesson.table([])


# ------------------------------------------------------------------------------------ exercises


def _raises(error):
    def answer(x):
        raise error

    return answer


@pytest.mark.parametrize(
    "answer, said",
    [
        (double, "✓ Double it: right."),
        (lambda x: x * x, "✗ Double it: You squared; doubling adds the number to itself."),
        (lambda x: x, "✗ Double it: This is not twice the number."),
        (lambda x: print(end=""), "✗ Double it: your function returned None: is a return missing?"),
        (_raises(NotImplementedError()), "· Double it: not solved yet. hint(exercises.double, 1) helps you to begin."),
        (..., "· Double it: not solved yet. hint(exercises.double, 1) helps you to begin."),
        (None, "· Double it: not solved yet. hint(exercises.double, 1) helps you to begin."),
    ],
)
def test_check_says_one_sentence_and_never_raises(capsys, answer, said):
    lesson.check(EXERCISE, answer)
    assert capsys.readouterr().out == said + "\n"


def test_check_shows_the_line_of_the_students_code_that_failed(capsys):
    cell = "import numpy as np\n\ndef deep(x):\n    return np.linalg.inv(x)\n\ndef answer(x):\n    return deep(x)\n"
    linecache.cache["<cell>"] = (len(cell), None, cell.splitlines(True), "<cell>")  # as IPython does
    exec(compile(cell, "<cell>", "exec"), names := {})
    lesson.check(EXERCISE, names["answer"])
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("✗ Double it: your answer stopped with LinAlgError: ")
    assert last == "  in line 4 of its cell: return np.linalg.inv(x)"


def test_card_hint_and_solution(capsys):
    lesson.card(EXERCISE)
    out = capsys.readouterr().out
    assert "difficulty ●●○○○  importance ●●●●●  about 3 minutes" in out
    assert "hint(exercises.double, 1) up to 2" in out
    lesson.hint(EXERCISE, 2)
    assert capsys.readouterr().out == "Hint 2 of 2: x + x\n"
    with pytest.raises(ValueError, match="hints 1 to 2"):
        lesson.hint(EXERCISE, 3)
    lesson.solution(EXERCISE)
    assert capsys.readouterr().out == "def double(x):\n    return 2 * x\n"


def test_same_is_a_matter_of_shape_and_value():
    import torch

    assert same(torch.ones(2), [1, 1]) and same(1, 1 + 1e-7)
    for other in ([1, 1, 1], [[1, 1]], [1, 1.1], None, "one", [[1], [1, 2]], object()):
        assert not same(other, [1, 1])


def test_expect_raises_the_misconception():
    expect(True, "never said")
    with pytest.raises(Misconception, match=re.escape("this is why")):
        expect(False, "this is why")


@pytest.mark.parametrize("change", [{"difficulty": 0}, {"importance": 6}, {"hints": ("one",)}, {"hints": "ab"}])
def test_an_exercise_with_a_wrong_card_is_refused(change):
    with pytest.raises(ValueError, match="Exercise double"):
        Exercise(**(vars(EXERCISE) | change))
