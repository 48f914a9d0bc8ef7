"""The widgets in a real JupyterLab, with a real kernel behind them."""

import base64
import urllib.request
from pathlib import Path

import nbformat
from examples import player

SETUP = """
import sys
sys.path.insert(0, {folder!r})
import examples
"""
SELECT = '.jp-OutputArea-output .vosnb[data-drawn="{}"]'


def setup() -> str:
    return SETUP.format(folder=str(Path(__file__).parent))


def wait(page, number: int):
    """Wait until the widget has drawn this frame or cell."""
    page.wait_for_selector(SELECT.format(number))


def test_player_in_lab(page, lab):
    lab.open(page, "player.ipynb", setup(), "player = examples.player(); player")
    wait(page, 0)
    root = page.locator(".vosnb")
    root.focus()
    page.keyboard.press("End")
    wait(page, 7)
    page.keyboard.press("1")  # in JupyterLab's command mode, 1 would turn the cell into a heading
    page.wait_for_selector('.vosnb[data-shown="truth"]')
    page.keyboard.press("s")
    page.keyboard.press("2")
    page.wait_for_selector('.vosnb[data-shown="still"]')
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCell.model.type") == "code"
    lab.wait_until("player.ipynb", "[player.frame, player.chosen, player.side_by_side]", [7, "still", False])
    root.screenshot(path=lab.root / "player.png")


def test_explorer_asks_the_kernel(page, lab):
    lab.open(
        page,
        "explorer.ipynb",
        setup(),
        "asked = []\n"
        "def probe(i):\n"
        "    asked.append(i)\n"
        "    if i == 59:\n"
        "        raise RuntimeError('no keys here')\n"
        "    return examples.affinity(i)\n"
        "explorer = examples.explorer(probe); explorer",
    )
    wait(page, 35)
    box = page.locator(".query canvas").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + 0.25 * box["height"], steps=40)
    wait(page, 13)
    assert "largest affinity" in page.locator(".reading").inner_text()
    asked = lab.evaluate("explorer.ipynb", "asked")
    assert asked[-1] == 13 and 13 not in asked[:-1]
    # A probe that fails says so, and the next question is answered all the same.
    page.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 0.98 * box["height"])
    page.wait_for_function("document.querySelector('.reading').textContent.includes('no keys here')")
    page.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + 0.25 * box["height"])
    wait(page, 13)
    page.locator(".vosnb").focus()
    page.keyboard.press("h")
    page.wait_for_function("document.querySelector('.query figcaption').textContent.includes('heatmap')")


def test_explorer_takes_an_answer_that_comes_late(page, lab):
    """Run All: its first answer came with it; a question waits behind other cells, longer than it is patient.

    Its patience is 0.2 s here, not 10.
    """
    cells = "examples.explorer()", "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.1)"
    lab.write("late.ipynb", setup(), *cells)
    lab.visit(page, "late.ipynb")
    page.evaluate(  # of the explorer's own clock alone: JupyterLab has some that run as long
        """const wait = window.patient = setTimeout, its = (f) => String(f).includes('no answer yet');
        window.setTimeout = (f, ms, ...x) => wait(f, its(f) ? 200 : ms, ...x)"""
    )
    lab.run_all(page)
    wait(page, 35)
    assert "largest affinity" in page.locator(".reading").inner_text()
    page.locator(".vosnb").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.reading').textContent.includes('no answer yet')")
    (lab.root / "go").touch()
    wait(page, 36)
    page.wait_for_function("document.querySelector('.reading').textContent.includes('largest affinity')")
    page.evaluate("window.setTimeout = window.patient")


def test_views_follow_each_other_and_python(page, lab):
    lab.open(page, "views.ipynb", setup(), "player = examples.player(); player", "player", "player.frame = 4")
    page.wait_for_function("[...document.querySelectorAll('.vosnb[data-drawn=\"4\"]')].length === 2")
    page.locator(".vosnb").nth(1).focus()
    page.keyboard.press("End")
    page.wait_for_function("[...document.querySelectorAll('.vosnb[data-drawn=\"7\"]')].length === 2")


def test_saved_picture_stands_in_where_no_kernel_runs(page, lab):
    """A notebook without widget views, as those that we commit: JupyterLab shows the PNG, with its text."""
    data, metadata = player()._repr_mimebundle_()
    for kind in ("application/vnd.jupyter.widget-view+json", "text/html"):
        data.pop(kind, None)
    data["image/png"] = base64.b64encode(data["image/png"]).decode()
    output = nbformat.v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    cell = nbformat.v4.new_code_cell("player", outputs=[output], execution_count=1)
    lab.write("still.ipynb", cell)
    lab.show(page, "still.ipynb")
    image = page.wait_for_selector(".jp-OutputArea-output img")
    assert image.evaluate("image => image.naturalWidth") > 600
    assert image.get_attribute("alt") == player().alt


WIDGETS = """
import ipywidgets
from vosnb.course.lesson import predict, progress
from vosnb.show import Picture
from vosnb.widgets.sliders import Sliders

guess = predict("Which one?", ["this", "that"], default="b")
done = list(progress(range(3), "counting to three"))
"""
SQUARE = """
import numpy as np

Sliders(lambda side: Picture(np.zeros((side, side, 3), np.uint8), f"A square of {side} pixels."), side=(8, 64, 16))
"""


def test_on_the_next_day_pictures_and_texts_stand_in_for_widgets(page, lab):
    lab.open(page, "day.ipynb", setup(), WIDGETS, SQUARE, "examples.player()", "ipywidgets.IntSlider(3)")
    wait(page, 0)
    lab.wait_until("day.ipynb", "done", [0, 1, 2])
    page.wait_for_selector('[role="slider"][aria-valuenow="3"], .widget-readout >> text=3')
    assert page.locator(".jp-OutputArea-output", has_text="counting to three").count() == 0
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    saved = nbformat.read(lab.root / "day.ipynb", 4)
    assert "counting" not in str(saved.cells[1].outputs)
    with urllib.request.urlopen(f"{lab.url}/nbconvert/html/day.ipynb?token=t") as exported:
        assert 'alt="A square of 16 pixels."' in exported.read().decode()
    page.goto("about:blank")  # the evening: widgets' manager throws where a kernel goes while its notebook is open
    lab.end_kernels()

    page.goto(f"{lab.url}/lab/tree/day.ipynb?token=t&reset")
    player_, square = (
        page.locator(f'.jp-OutputArea-output img[alt="{alt}"]')
        for alt in (
            "Two discs cross; the true masks follow them, the first mask stays behind.",
            "A square of 16 pixels.",
        )
    )
    assert player_.evaluate("image => image.naturalWidth") > 600
    square.wait_for()
    page.wait_for_selector(".jp-OutputArea-output >> text=b) that")
    page.wait_for_selector(".jp-OutputArea-output >> text=IntSlider(value=3)")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')  # a new kernel, which knows none
    page.wait_for_timeout(1500)
    for waiting in ("Loading widget", "model not found"):  # on a busy machine the first stands for some seconds
        page.wait_for_function("text => !document.body.innerText.includes(text)", arg=waiting)
    assert square.is_visible() and player_.is_visible()
    page.screenshot(path=lab.root / "day.png")

    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    wait(page, 0)
    page.wait_for_selector(f'img[alt="{player().alt}"]', state="detached")
    assert page.locator("input[type=radio]").count() == 2
