"""Lesson 00 as a student meets it, in a real JupyterLab: its first screen, Run All, a clip of one's own, a webcam.

One copy is opened, looked at, run, and used; each test goes on where the one before it left the lesson.
"""

import time

import cv2
import numpy as np
import pytest
from conftest import no_errors
from contrast import faint, pixels
from examples import clip
from outputs import faults
from test_strokes import BOX, counted, drag

from vosnb.course.student import reset

NAME = "00_start_here.ipynb"
LAPTOP = {"width": 1366, "height": 768}
OWN = "next(o for o in Out.values() if type(o).__name__ == 'OwnClip')"


@pytest.fixture(scope="module")
def lesson(server, shared):
    """(page, seconds until the opened lesson showed a film); JupyterLab was there already, and nothing has run."""
    reset("00", server.root)
    page = shared()
    server.load(page)
    page.set_viewport_size(LAPTOP)
    with no_errors(page):
        start = time.monotonic()
        server.show(page, NAME)
        page.wait_for_selector('.jp-OutputArea-output img[src^="data:image/webp"]')
        yield page, time.monotonic() - start
        server.close_all(page)
    page.close()
    server.end_kernels()


@pytest.fixture(scope="module")
def ran(lesson, server):
    """The page, after Run All."""
    page, _ = lesson
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")  # until all has run
    return page


def test_the_first_screen_shows_a_film_before_anything_has_run(lesson):
    page, seconds = lesson
    assert seconds < 10
    page.wait_for_function(
        """() => {
            const { top, bottom } = document.querySelector(".jp-OutputArea-output img").getBoundingClientRect();
            return bottom > top + 100 && top + 0.6 * (bottom - top) < innerHeight;
        }"""
    )
    box = page.locator(".jp-OutputArea-output img").first.bounding_box()
    visible = box | {"height": min(box["height"], LAPTOP["height"] - 30 - box["y"])}  # above the bar at the bottom
    first = pixels(page.screenshot(clip=visible)).astype(int)
    moved = 0
    end = time.monotonic() + 10
    while moved < 0.01 and time.monotonic() < end:
        moved = np.mean(np.abs(pixels(page.screenshot(clip=visible)) - first).max(-1) > 40)
    assert moved >= 0.01, "the film stands still"
    counts = "window.jupyterapp.shell.currentWidget.content.widgets.map(({ model }) => model.executionCount ?? null)"
    assert set(page.evaluate(counts)) == {None}


def test_run_all_leaves_nothing_empty_and_no_error(ran, server):
    found, widgets = faults(ran, server)
    assert not found, "\n".join(found)
    assert widgets >= 6  # predictions, estimates, the clip of one's own, sliders


def test_what_a_student_reads_after_run_all_is_legible_in_both_themes(ran, server):
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        server.theme(ran, theme)
        outputs = (o for cell in server.cells(ran) for o in cell.locator(".jp-OutputArea-output").all())
        pale = [text for output in outputs for text in faint(output)]
        assert not pale, f"{theme}:\n" + "\n".join(pale)


@pytest.fixture
def own(ran):
    """The output with the clip of one's own, in sight."""
    own = ran.locator(".jp-OutputArea-output", has=ran.locator(".webcam"))
    own.scroll_into_view_if_needed()
    return own


def choose(page, own, *files):
    with page.expect_file_chooser() as chooser:
        own.get_by_role("button", name="Choose a video or pictures").click()
    chooser.value.set_files([{"name": name, "mimeType": "", "buffer": data} for name, data in files])


def test_a_file_that_is_no_clip_is_answered_by_a_sentence(ran, own):
    for file, said in (
        (("a.png", b"no picture"), "That is a single picture: choose several of one scene, which are the frames"),
        (("a.mp4", b"no video"), "a.mp4"),
    ):
        choose(ran, own, file)
        sentence = own.locator(".widget-html", has_text=said)
        sentence.wait_for()
        assert sentence.inner_text().strip().count(". ") == 0 and sentence.inner_text().strip().endswith(".")
    assert own.locator(".pad").count() == 0


def test_pictures_of_ones_own_are_followed(ran, own, server):
    frames, masks = clip(8, 240, 400)
    pictures = [cv2.imencode(".png", frame[..., ::-1])[1].tobytes() for frame in frames[:4]]
    choose(ran, own, *((f"{t}.png", picture) for t, picture in enumerate(pictures)))
    own.get_by_text("4 frames.").wait_for()
    ran.wait_for_selector(".pad[data-drawn]")
    drag(ran, BOX)
    counted(ran, 1)
    own.get_by_role("button", name="Follow").click()
    own.get_by_text("Done.").wait_for()
    own.get_by_role("group", name="Your clip with the mask that was followed.").locator("canvas").wait_for()
    mask = np.array(server.evaluate(NAME, f"{OWN}.player._masks['followed'][3].tolist()"), bool)
    truth = masks[3] == 1
    assert (mask & truth).sum() > 0.7 * (mask | truth).sum()


def test_the_webcams_pictures_become_the_clip(ran, own, server):
    ran.context.grant_permissions(["camera"])
    own.get_by_role("button", name="Use the webcam").focus()
    ran.keyboard.press("Enter")
    own.get_by_text("20 frames.").wait_for()
    assert own.locator(".webcam").get_by_role("status").inner_text() == "20 pictures taken; the webcam is off."
    ran.wait_for_selector('.pad[data-drawn="0"][data-strokes="0"]')
    assert ran.evaluate("window.jupyterapp.shell.currentWidget.content.mode") == "command"  # Enter was the button's
    sizes, moved = server.evaluate(
        NAME,
        f"[[f.shape for f in {OWN}.clip.frames], "
        f"[abs(f.astype(int) - {OWN}.clip.frames[0]).max().item() for f in {OWN}.clip.frames[1:]]]",
    )
    assert sizes == [[240, 320, 3]] * 20 and np.median(moved) > 50
