"""Real strokes on the scribble pad: mouse, finger, pen and keyboard, in JupyterLab and in the exported file."""

import json

import numpy as np
import pytest
from examples import Discs, clip, pad
from test_exported_html import pixel, show
from test_jupyterlab import setup

from vosnb.clips import read_mask
from vosnb.methods.scribbles import Scribble, from_davis
from vosnb.metrics import jaccard

ORANGE, BLUE = np.array([230, 159, 0]), np.array([86, 180, 233])
BOX = [(0.08, 0.1), (0.42, 0.6)]  # around the first disc of frame 0
PATH = [(0.2, 0.3), (0.3, 0.5), (0.45, 0.4)]


def on_canvas(page, points) -> list[tuple[float, float]]:
    """Fractions of the canvas as places on the page; the canvas may have moved since the last time."""
    canvas = page.locator(".pad canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def drag(page, points=PATH):
    """A stroke of the mouse."""
    first, *rest = on_canvas(page, points)
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def touch(page, points=PATH):
    """A stroke of a finger."""
    devtools = page.context.new_cdp_session(page)
    first, *rest = [{"x": x, "y": y} for x, y in on_canvas(page, points)]
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [first]})
    for place in rest:
        devtools.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    devtools.detach()


def pen(page, points=PATH):
    """A stroke of a pen."""
    devtools = page.context.new_cdp_session(page)
    places = [{"x": x, "y": y, "pointerType": "pen", "button": "left"} for x, y in on_canvas(page, points)]
    devtools.send("Input.dispatchMouseEvent", {"type": "mousePressed", "clickCount": 1, **places[0]})
    for place in places[1:]:
        devtools.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "buttons": 1, **place})
    devtools.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "clickCount": 1, **places[-1]})
    devtools.detach()


def counted(page, strokes: int, sent: int = 0):
    """Wait until the pad holds this many strokes, of which none is on its way to Python."""
    page.wait_for_selector(f'.pad[data-strokes="{strokes}"][data-sent="{sent}"]')


def inked(page, frame: int, strokes: int):
    """Wait until this frame is drawn with this many strokes."""
    page.wait_for_selector(f'.pad[data-drawn="{frame}"][data-inked="{strokes}"]')


def press(page, name: str):
    """Press a button of the pad; those in the menu "save" need it open."""
    root = page.locator(".pad")
    button = root.get_by_role("button", name=name, exact=True)
    if not button.is_visible():
        root.get_by_role("button", name="save …").click()
    button.click()


def downloaded(page, name: str, tmp_path):
    """The file that a button in the menu "save" downloads."""
    with page.expect_download() as download:
        press(page, name)
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def saved(page, tmp_path) -> list[Scribble]:
    """What the button "scribbles" downloads, read by Python."""
    path = downloaded(page, "scribbles", tmp_path)
    assert path.name == "clip-scribbles.json"
    return from_davis(path.rename(tmp_path / "saved.json"), 8)


def saved_mask(page, tmp_path) -> np.ndarray:
    """What the button "mask of this frame" downloads, read as `vosnb run --mask` reads it."""
    path = downloaded(page, "mask of this frame", tmp_path)
    assert path.name == "clip-00000.png"
    return read_mask(path)


def follows(scribble: Scribble, points=PATH) -> bool:
    """Whether a stroke begins, turns and ends where it was painted, to a hundredth of the frame."""
    distance = np.linalg.norm(scribble.path[:, None] - np.array(points), axis=-1)
    return (distance.min(0) < 0.01).all() and distance[0, 0] < 0.01 and distance[-1, -1] < 0.01


def test_pad_in_lab(page, lab, tmp_path):
    name = "pad.ipynb"
    lab.open(page, name, setup(), "discs = examples.Discs(); pad = examples.pad(discs); pad")
    page.wait_for_selector(".pad[data-drawn]")
    root, trouble = page.locator(".pad"), page.locator(".pad .trouble")

    # Background alone is refused in a sentence, and kept; an object's stroke takes it along.
    root.get_by_role("button", name="background").click()
    drag(page)
    page.wait_for_function("document.querySelector('.pad .trouble').textContent === 'paint an object too.'")
    page.keyboard.press("2")  # in JupyterLab's command mode, 2 would turn the cell into a heading
    pen(page, [(0.6, 0.7), (0.7, 0.7)])
    counted(page, 2)
    assert trouble.inner_text() == ""
    answer = root.locator(".reading").inner_text()
    assert "2 strokes on frame 0; answer in " in answer and "on the screen after " in answer

    # The masks of the whole clip are drawn; a finger paints another object on the last frame.
    page.keyboard.press("End")
    inked(page, 7, 0)
    root.locator("label input").last.fill("1")
    page.wait_for_function("[...document.querySelectorAll('.pad label input')].at(-1).value === '1'")
    page.keyboard.press("n")
    page.wait_for_selector('.pad .choices button:nth-child(4)[aria-pressed="true"]')
    touch(page, [(0.2, 0.3), (0.3, 0.3)])
    counted(page, 3)
    inked(page, 7, 1)
    assert np.abs(pixel(page, 0, 0.65, 0.76) - BLUE).max() <= 2
    drawn = saved(page, tmp_path)
    told = (
        "discs.asked, pad.waiting, pad.objects, pad.masks[0, 28, 40].item(), [s.path.tolist() for s in pad.scribbles]"
    )
    assert lab.evaluate(name, f"[{told}]") == [[[0, 2], [3]], 0, 3, 3, [s.path.tolist() for s in drawn]]
    assert [(s.frame, s.object) for s in drawn] == [(0, 0), (0, 2), (7, 3)] and follows(drawn[0])

    # Undo, clear, and the saved file once more.
    page.keyboard.press("u")
    counted(page, 2)
    root.get_by_role("button", name="clear").click()
    counted(page, 0)
    page.set_input_files(".pad input[type=file]", tmp_path / "saved.json")
    counted(page, 3)
    assert lab.evaluate(name, "[discs.asked[2:], len(discs.before)]") == [[[0, 2, 3]], 1]  # nothing from before "clear"
    (tmp_path / "other.json").write_text('{"scribbles": [[]]}')
    page.set_input_files(".pad input[type=file]", tmp_path / "other.json")
    page.wait_for_function("document.querySelector('.pad .trouble').textContent.includes('clip of 1 frames')")
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCell.model.type") == "code"


def test_a_dragged_box_gives_a_mask_in_lab(page, lab, tmp_path):
    name = "box.ipynb"
    made = (
        "from vosnb.trackers.grabcut import GrabCutSegmenter; pad = examples.pad(GrabCutSegmenter(examples.clip()[0]))"
    )
    lab.open(page, name, setup(), f"{made}; pad")
    page.wait_for_selector(".pad[data-drawn]")
    root = page.locator(".pad")
    press(page, "mask of this frame")
    page.wait_for_function("document.querySelector('.pad .trouble').textContent.includes('there is no mask yet')")
    page.keyboard.press("b")  # not JupyterLab's "one more cell below"
    page.wait_for_selector('.pad [aria-label="tool"] button:nth-child(3)[aria-pressed="true"]')
    drag(page, BOX)
    counted(page, 1)
    inked(page, 0, 1)
    assert root.locator(".reading").inner_text().startswith("1 box on frame 0; answer in ")
    assert root.locator(".trouble").inner_text() == ""
    mask, truth = saved_mask(page, tmp_path), clip()[1][0]
    assert jaccard(truth == 1, mask == 1) > 0.9
    assert lab.evaluate(name, "[pad.masks[0].sum().item(), pad.scribbles[0].box]") == [mask.sum().item(), True]
    page.keyboard.press("u")
    counted(page, 0)


def test_boxes_in_an_exported_page(page, tmp_path):
    known = pad(Discs(), scribbles=[Scribble(0, 2, [[0.25, 0.35]])])
    root = show(page, known, tmp_path)
    assert set(np.unique(saved_mask(page, tmp_path))) == {0, 2}  # the exported one
    root.get_by_role("button", name="box").click()
    drag(page, [(0.5, 0.5), (0.5, 0.5)])  # no box
    page.wait_for_function("document.querySelector('.pad .trouble').textContent.includes('opposite one')")
    drag(page, BOX[::-1])
    counted(page, 2)
    assert page.locator(".pad canvas").get_attribute("aria-label") == "frame 0, with masks, 1 box, 1 stroke"
    assert np.abs(pixel(page, 0, 0.09, 0.1) - ORANGE).max() <= 3 < np.abs(pixel(page, 0, 0.25, 0.15) - ORANGE).max()
    press(page, "mask of this frame")
    page.wait_for_function("document.querySelector('.pad .trouble').textContent.includes('no mask yet')")
    # By keyboard: a corner, the way, the opposite corner; background has strokes only.
    root.focus()
    page.keyboard.press("2")
    assert "a box around object 2" in page.locator("figcaption").inner_text()
    for key in ["Space"] + ["ArrowRight"] * 5 + ["ArrowDown"] * 5 + ["Space", "0", "Space", "ArrowUp", "Space"]:
        page.keyboard.press(key)
    counted(page, 4)
    assert root.locator(".reading").inner_text().startswith("2 boxes, 2 strokes on frame 0; ")
    dot, one, two, back = saved(page, tmp_path)
    assert [(s.object, s.box) for s in (dot, one, two, back)] == [(2, False), (1, True), (2, True), (0, False)]
    assert np.allclose(one.path, BOX[::-1], atol=0.01) and np.allclose(two.path, [(0.5, 0.5), (0.6, 0.6)])
    root.get_by_role("button", name="clear").click()
    page.set_input_files(".pad input[type=file]", tmp_path / "saved.json")
    counted(page, 4)
    again = saved(page, tmp_path)
    assert [(s.object, s.box, s.path.tolist()) for s in again] == [
        (s.object, s.box, s.path.tolist()) for s in (dot, one, two, back)
    ]


@pytest.mark.parametrize("paint", [drag, touch, pen])
def test_pad_paints_locally_where_no_kernel_answers(page, tmp_path, paint):
    root = show(page, pad(), tmp_path)
    paint(page)
    inked(page, 0, 1)
    (stroke,) = saved(page, tmp_path)
    assert follows(stroke) and (stroke.frame, stroke.object) == (0, 1)
    # Ink on the line, none beside it.
    assert np.abs(pixel(page, 0, 0.25, 0.4) - ORANGE).max() <= 3 < np.abs(pixel(page, 0, 0.25, 0.6) - ORANGE).max()
    assert "No kernel answers" in root.locator(".reading").inner_text()


def test_pad_keyboard(page, tmp_path):
    root = show(page, pad(), tmp_path)
    root.focus()
    caption = page.locator("figcaption")
    page.keyboard.press("2")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    assert caption.inner_text() == "frame 0, painting object 2, pen up at x 40 %, y 50 %"
    page.keyboard.press("Space")
    assert "pen down at" in caption.inner_text()
    for key in ["ArrowRight"] * 10 + ["ArrowDown"] * 5:
        page.keyboard.press(key)
    page.keyboard.press("Space")
    counted(page, 1)
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")  # this one is dropped
    page.keyboard.press(".")
    page.keyboard.press("0")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    page.keyboard.press(",")  # leaving the frame ends the stroke
    inked(page, 0, 1)
    one, two = saved(page, tmp_path)
    assert (one.frame, one.object, two.frame, two.object) == (0, 2, 1, 0)
    assert follows(one, [(0.4, 0.496), (0.6, 0.496), (0.6, 0.596)]) and len(one.path) == 16
    assert page.locator(".reading").inner_text().startswith("2 strokes on frames 0, 1.")
    page.keyboard.press("u")
    counted(page, 1)
    page.keyboard.press("p")
    page.wait_for_function("document.querySelector('.pad').dataset.drawn > 1")
    drag(page)  # stops the film
    counted(page, 2)
    slider = page.locator("input.time")
    frame = slider.input_value()
    page.wait_for_timeout(300)
    assert slider.input_value() == frame
    slider.focus()
    page.keyboard.press("Home")  # the slider's own key
    inked(page, 0, 1)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('.pad[data-drawn="1"]')


def test_pad_loads_in_an_exported_page(page, tmp_path):
    known = pad(Discs(), scribbles=[Scribble(0, 1, PATH)], alpha=1.0)
    show(page, known, tmp_path)
    inked(page, 0, 1)
    assert np.abs(pixel(page, 0, 0.35, 0.35) - ORANGE).max() <= 3  # the exported masks
    known.add([Scribble(4, 3, PATH)])
    known.save(tmp_path / "two.json")
    page.get_by_role("button", name="clear").click()
    counted(page, 0)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="load").click()
    chooser.value.set_files(tmp_path / "two.json")
    counted(page, 2)
    assert page.locator(".choices button").count() == 4  # object 3 came with the file
    for text, sentence in (("{", "bad.json is not json."), (json.dumps({"scribbles": []}), "a clip of 8 frames")):
        (tmp_path / "bad.json").write_text(text)
        page.set_input_files("input[type=file]", tmp_path / "bad.json")
        page.wait_for_function(f"document.querySelector('.trouble').textContent.includes('{sentence}')")
    counted(page, 2)
