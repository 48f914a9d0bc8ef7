"""The scribble pad as a tool: zoom, brush and eraser, redo, advice, propagation in the background, files, speed."""

import json
import zipfile

import numpy as np
import pytest
from contrast import faint
from examples import pad
from test_exported_html import pixel, show
from test_jupyterlab import setup
from test_strokes import counted, downloaded, drag, inked, on_canvas, press, saved

from vosnb.clips.video import Video
from vosnb.methods.scribbles import draw

ORANGE, WHITE = np.array([230, 159, 0]), np.array([255, 255, 255])
SLOW = "slow = examples.Slow({}); pad = examples.pad(slow); pad"


def brush(page, size: int):
    """Set the size of the brush."""
    page.locator(".pad input.brush").fill(str(size))
    page.wait_for_function(f"document.querySelector('.pad output.size').textContent === '{size} px'")


def zoomed(page, zoom: float):
    page.wait_for_selector(f'.pad[data-zoom="{zoom}"]')


def test_a_brush_at_zoom_paints_the_pixels_that_it_covers(page, tmp_path):
    root = show(page, pad(frame=2), tmp_path)
    press(page, "zoom in")
    press(page, "zoom in")  # about the middle: 5 / 18 .. 13 / 18 of the frame are in sight
    zoomed(page, 2.25)
    brush(page, 8)
    drag(page, [(0.3, 0.6), (0.3, 0.6), (0.7, 0.6)])
    inked(page, 2, 1)
    (stroke,) = saved(page, tmp_path)
    there = [((x - 0.5) / 2.25 + 0.5, (0.6 - 0.5) / 2.25 + 0.5) for x in (0.3, 0.7)]
    assert np.abs(stroke.path[[0, -1]] - there).max() < 0.005 and stroke.width == 8
    ink = np.argwhere(draw([stroke], (96, 160)) == 1)
    (left, right), y = [160 * x for x, _ in there], 96 * there[0][1]
    assert (
        np.abs(ink.min(0) - (y - 4, left - 4)).max() <= 1.5 and np.abs(ink.max(0) + 1 - (y + 4, right + 4)).max() <= 1.5
    )
    # On the canvas: tinted as far as the brush reaches, 4 pixels of 96 magnified, and no farther.
    far = 4 / 96 * 2.25
    press(page, "background")
    tints = [pixel(page, 0, 0.5, 0.6 + way) for way in (0.7 * far, -0.7 * far, 1.3 * far, -1.3 * far)]
    press(page, "clear")
    counted(page, 0)
    inked(page, 2, 0)
    bare = [pixel(page, 0, 0.5, 0.6 + way) for way in (0.7 * far, -0.7 * far, 1.3 * far, -1.3 * far)]
    changed = [int(np.abs(a - b).max()) for a, b in zip(tints, bare, strict=True)]
    assert min(changed[:2]) > 20 and max(changed[2:]) <= 2
    # The wheel magnifies once the pad has the focus, about the mouse; shift and drag moves; f shows all again.
    (place,) = on_canvas(page, [(0.25, 0.25)])
    page.mouse.move(*place)
    page.mouse.wheel(0, -60)
    page.wait_for_function("document.querySelector('.pad').dataset.zoom > 3")
    before = pixel(page, 0, 0.5, 0.5)
    page.keyboard.down("Shift")
    drag(page, [(0.5, 0.5), (0.2, 0.3)])
    page.keyboard.up("Shift")
    counted(page, 0)  # nothing was painted
    page.wait_for_timeout(200)
    assert np.abs(pixel(page, 0, 0.2, 0.3) - before).max() <= 40
    page.keyboard.press("f")
    zoomed(page, 1)
    assert root.get_by_role("button", name="100 %").is_visible()


def test_zoom_and_brush_by_keyboard_alone(page, tmp_path):
    root = show(page, pad(), tmp_path)
    root.focus()
    for key in ["]"] * 5 + ["["] + ["z"] * 3:
        page.keyboard.press(key)
    zoomed(page, 3.375)
    assert page.locator("output.size").inner_text() == "5 px"
    for key in ["ArrowRight"] * 60:  # out of what was in sight: the view follows
        page.keyboard.press(key)
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    page.keyboard.press("e")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert "erasing" in page.locator("figcaption").inner_text()
    one, two = saved(page, tmp_path)
    x = min(1, 0.5 + 60 * 0.02 / 3.375)
    assert np.allclose(one.path, [(x, 0.5)], atol=1e-3) and (one.object, one.width) == (1, 5)
    assert (two.object, two.width) == (0, 5)
    page.keyboard.press("2")  # to paint again
    assert "painting object 2" in page.locator("figcaption").inner_text()


def test_undo_and_redo_in_an_exported_page(page, tmp_path):
    show(page, pad(), tmp_path).focus()
    drag(page)
    page.keyboard.press("0")
    drag(page, [(0.6, 0.6), (0.7, 0.6)])
    counted(page, 2)
    for key, left in zip("uurrr", (1, 0, 1, 2, 2), strict=True):
        page.keyboard.press(key)
        counted(page, left)
    press(page, "clear")
    counted(page, 0)
    page.keyboard.press("r")
    page.keyboard.press("r")
    assert [s.object for s in saved(page, tmp_path)] == [1, 0]


def test_a_propagation_goes_on_between_strokes_in_lab(page, lab, tmp_path):
    name = "slow.ipynb"
    lab.open(page, name, setup(), SLOW.format(0.25))
    page.wait_for_selector(".pad[data-drawn]")
    root = page.locator(".pad")
    bar = root.locator("progress")
    drag(page, [(0.25, 0.5), (0.25, 0.5)])
    bar.wait_for(state="visible")
    counted(page, 1)  # its answer is there, though the clip is not carried through
    page.wait_for_function("document.querySelector('.pad progress').value >= 2")
    assert "carried through the clip: " in root.locator(".way").inner_text()
    # A stroke ends it, and it begins anew after that one's answer.
    press(page, "eraser")
    drag(page, [(0.25, 0.5), (0.25, 0.5)])
    counted(page, 2)
    assert bar.is_visible() and lab.evaluate(name, "[slow.begun, slow.ended, slow.closed]") == [2, 0, 1]
    assert lab.evaluate(name, "[pad.scribbles[1].object, pad.masks[0, 48, 40].item()]") == [0, 0]
    bar.wait_for(state="hidden")
    assert lab.evaluate(name, "[slow.begun, slow.ended, slow.closed, pad.carried, pad.total]") == [2, 1, 1, 8, 8]
    # Undo, redo, and the masks before the last answer while c is held.
    press(page, "brush")
    page.keyboard.press("End")
    inked(page, 7, 0)
    drag(page, [(0.6, 0.7), (0.6, 0.7)])
    counted(page, 3)
    root.locator("label input").last.fill("1")
    page.wait_for_timeout(300)
    shown = pixel(page, 0, 0.56, 0.7)
    page.keyboard.down("c")
    page.wait_for_function("document.querySelector('.pad figcaption').textContent.includes('before the last answer')")
    page.wait_for_timeout(300)
    hidden = pixel(page, 0, 0.56, 0.7)
    page.keyboard.up("c")
    assert np.abs(shown - ORANGE).max() <= 3 < np.abs(hidden - ORANGE).max()
    for key, left in (("u", 2), ("r", 3)):
        page.keyboard.press(key)
        counted(page, left)
    assert lab.evaluate(name, "[len(pad.scribbles), pad.masks[7, 67, 96].item()]") == [3, 1]
    # Which frame next, and why.
    press(page, "which frame next?")
    inked(page, 5, 0)
    assert root.locator(".advice").inner_text() == "Frame 5: the two discs meet there."
    # What is saved is carried to the end first.
    with zipfile.ZipFile(downloaded(page, "all masks", tmp_path)) as archive:
        assert archive.namelist() == [f"{t:05d}.png" for t in range(8)]
    assert lab.evaluate(name, "[pad.carried, pad.total]") == [8, 8]
    film = downloaded(page, "video", tmp_path)
    assert film.stem == "clip-overlay" and Video(film).length == 8
    coco = json.loads(downloaded(page, "COCO", tmp_path).read_text())
    assert len(coco["images"]) == 8 and {a["attributes"]["track_id"] for a in coco["annotations"]} == {1}
    assert [s.object for s in saved(page, tmp_path)] == [1, 0, 1]


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_pad_is_legible(page, lab, theme):
    lab.load(page)
    lab.theme(page, f"JupyterLab {theme}")
    lab.open(page, f"{theme}.ipynb", setup(), SLOW.format(0))
    page.wait_for_selector(".pad[data-drawn]")
    press(page, "all masks")  # the menu is open, and there is a sentence about what is missing
    page.wait_for_function("document.querySelector('.pad .trouble').textContent.includes('there is no mask yet')")
    press(page, "which frame next?")
    page.wait_for_function("document.querySelector('.pad .advice').textContent.includes('discs meet')")
    try:
        assert not faint(page.locator(".pad"))
    finally:
        lab.theme(page, "JupyterLab Light")
