"""The widgets in a real JupyterLab, with a real kernel behind them."""

import base64
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


def test_views_follow_each_other_and_python(page, lab):
    lab.open(page, "views.ipynb", setup(), "player = examples.player(); player", "player", "player.frame = 4")
    page.wait_for_function("[...document.querySelectorAll('.vosnb[data-drawn=\"4\"]')].length === 2")
    page.locator(".vosnb").nth(1).focus()
    page.keyboard.press("End")
    page.wait_for_function("[...document.querySelectorAll('.vosnb[data-drawn=\"7\"]')].length === 2")


def test_saved_picture_stands_in_where_no_kernel_runs(page, lab):
    """A notebook whose widget views are stripped, as those that we commit: JupyterLab shows the PNG, with its text."""
    data, metadata = player()._repr_mimebundle_()
    del data["application/vnd.jupyter.widget-view+json"]
    data["image/png"] = base64.b64encode(data["image/png"]).decode()
    output = nbformat.v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    cell = nbformat.v4.new_code_cell("player", outputs=[output], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), lab.root / "still.ipynb")
    page.goto(f"{lab.url}/lab/tree/still.ipynb?token=t&reset")
    image = page.wait_for_selector(".jp-OutputArea-output img")
    assert image.evaluate("image => image.naturalWidth") > 600
    assert image.get_attribute("alt") == player().alt
