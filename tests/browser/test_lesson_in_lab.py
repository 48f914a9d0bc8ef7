"""Predictions, progress bars and sliders in a real JupyterLab, where somebody looks on."""

from outputs import VIEW, faults

SETUP = "from vosnb.course.lesson import predict, progress"
SLIDERS = """
import numpy as np
from vosnb.show import Picture
from vosnb.widgets.sliders import Sliders

Sliders(lambda side: Picture(np.zeros((side, side, 3), np.uint8), f"A square of {side} pixels."), side=(8, 64, 16))
"""


def test_a_prediction_is_chosen_by_button_and_revealed(page, lab):
    lab.open(page, "predict.ipynb", SETUP, 'guess = predict("Which one?", ["this", "that", "neither"], default="b")')
    page.wait_for_selector("text=c) neither", timeout=60_000)
    assert page.locator("input[type=radio]").count() == 3
    assert page.locator("input[type=radio]:checked").count() == 0
    assert lab.evaluate("predict.ipynb", "[guess.guess]") == ["b"]
    page.locator("input[type=radio]").nth(2).click()
    lab.wait_until("predict.ipynb", "[guess.guess]", ["c"])


def test_a_bar_shows_and_vanishes(page, lab):
    lab.open(page, "progress.ipynb", SETUP, "steps = iter(progress(range(3), 'counting to three')); _ = next(steps)")
    page.wait_for_selector(".jp-OutputArea-output >> text=counting to three:", timeout=60_000)
    assert lab.evaluate("progress.ipynb", "list(steps)") == [1, 2]
    page.wait_for_selector(".jp-OutputArea-output >> text=counting to three:", state="detached", timeout=60_000)


def test_bars_that_vanish_before_they_are_drawn_leave_no_error(page, lab):
    """On a slow machine; `page` fails the test if anything on it threw an error."""
    setup = f"import time\n{SETUP}"
    bars = "for i in range(60):\n    for _ in progress(range(2), 'counting to two'):\n        time.sleep(i / 1000)"
    lab.write("bars.ipynb", setup, bars, "'all ' + 'counted'")
    lab.visit(page, "bars.ipynb")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    lab.run_all(page)
    page.wait_for_selector(".jp-OutputArea-output >> text=all counted")
    page.evaluate("new Promise((done) => requestIdleCallback(() => requestIdleCallback(done)))")  # all is drawn
    devtools.detach()
    assert page.locator(".jp-OutputArea-output", has_text="counting to two").count() == 0


def test_a_slider_redraws_its_picture(page, lab):
    lab.open(page, "sliders.ipynb", SLIDERS)
    page.wait_for_selector('img[alt="A square of 16 pixels."]', timeout=60_000)
    page.locator(".widget-slider .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('img[alt="A square of 17 pixels."]', timeout=10_000)


# ------------------------------------------------------------------------------------ style 2

ASKING = "from vosnb.course.classroom import card, check, chosen, estimate, predict, solution, table"
EXERCISE = """
from vosnb.course.exercises import Exercise, expect

def double(x):
    return 2 * x

def _check(answer):
    expect(answer(3) == 6, "this is not twice the number.")

class exercises:
    double = Exercise("double", "Double it", 1, 5, 3, ("Think of a sum.", "How often?"), double, _check)
"""
CHOICE = 'guess = predict("Which one?", {"x": "this", "y": "that"})'


def press(page, selector, key="Enter"):
    """Choose an element as the keyboard does: focused, then a key."""
    page.locator(selector).focus()
    page.keyboard.press(key)


def test_a_choice_is_made_by_mouse_and_by_keyboard(page, lab):
    lab.open(page, "choice.ipynb", ASKING, CHOICE)
    page.wait_for_selector("button.widget-toggle-button", timeout=60_000)
    buttons = page.locator("button.widget-toggle-button")
    assert buttons.all_inner_texts() == ["a", "b"]
    assert lab.evaluate("choice.ipynb", "guess.guess") is None
    buttons.nth(1).click()
    lab.wait_until("choice.ipynb", "guess.letters.get(guess.guess)", "b")
    page.wait_for_selector(".jp-OutputArea-output >> text=You chose b)")
    buttons.nth(1).focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    lab.wait_until("choice.ipynb", "guess.letters.get(guess.guess)", "a")
    press(page, "button.widget-toggle-button >> nth=1")
    lab.wait_until("choice.ipynb", "guess.letters.get(guess.guess)", "b")
    assert page.locator(".jp-Cell").count() == 2  # no key was taken for a command


def test_a_number_is_written_and_understood(page, lab):
    lab.open(page, "number.ipynb", ASKING, 'guess = estimate("How much?", 0, 10)')
    page.wait_for_selector(".jp-OutputArea-output input[type=text]", timeout=60_000)
    page.locator(".jp-OutputArea-output input[type=text]").focus()
    page.keyboard.type("2,5")
    lab.wait_until("number.ipynb", "guess.guess", 2.5)
    page.wait_for_selector(".jp-OutputArea-output >> text=Your guess is 2.50")


def test_hints_unfold_by_mouse_and_by_keyboard(page, lab):
    lab.open(page, "hints.ipynb", ASKING, EXERCISE, "card(exercises.double)")
    page.wait_for_selector("summary", timeout=60_000)
    shown = page.locator(".jp-OutputArea-output")  # the words stand in the code as well
    first, second = shown.get_by_text("Think of a sum."), shown.get_by_text("How often?")
    assert not first.is_visible() and not second.is_visible()
    page.locator("summary").nth(0).click()
    first.wait_for(state="visible")
    press(page, "summary >> nth=1")
    second.wait_for(state="visible")
    press(page, "summary >> nth=0", "Space")
    first.wait_for(state="hidden")


def test_questions_and_verdicts_stand_when_the_kernel_is_gone(page, lab):
    cells = (ASKING, EXERCISE, CHOICE, "guess.reveal('x')", "check(exercises.double, double)", "table([{'J': 0.5}])")
    lab.open(page, "gone.ipynb", *cells)
    page.wait_for_selector("table >> text=0.50", timeout=60_000)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    lab.end_kernels()
    page.goto(f"{lab.url}/lab/tree/gone.ipynb?token=t&reset")
    page.wait_for_selector(".jp-OutputArea-output >> text=Run this cell to get buttons", timeout=60_000)
    for said in ("Which one?", "The answer:", "✓ Right", "0.50"):
        assert page.locator(".jp-OutputArea-output", has_text=said).count() >= 1
    assert page.locator("text=model not found").count() == 0


def test_nothing_pops_up_and_markdown_opens_as_a_page(page, lab):
    page.goto("about:blank")  # JupyterLab shall start
    (lab.root / "words.md").write_text("# Words")
    lab.open(page, "quiet.ipynb", "'all ' + 'quiet'")
    page.wait_for_selector(".jp-OutputArea-output >> text=all quiet")
    page.evaluate("window.jupyterapp.commands.execute('docmanager:open', {path: 'words.md'})")
    page.wait_for_selector(".jp-MarkdownViewer h1 >> text=Words")
    assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0


def test_an_empty_widget_a_dead_one_and_an_error_would_be_found(page, lab):
    dead = f"display({{'{VIEW}': {{'model_id': 'none', 'version_major': 2, 'version_minor': 0}}}}, raw=True)"
    cells = "ipywidgets.HTML('all')", "ipywidgets.VBox([ipywidgets.HTML()])", dead, "1 / 0"
    lab.open(page, "faults.ipynb", "import ipywidgets", *cells)
    page.wait_for_selector(".jp-OutputArea-output >> text=ZeroDivisionError >> nth=0")
    found, widgets = faults(page, lab)
    assert [fault.split(": ")[:2] for fault in found] == [["cell 2", "empty"], ["cell 3", "dead"], ["cell 4", "error"]]
    assert widgets == 2
