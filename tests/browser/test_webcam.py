"""The webcam button in plain Chromium, whose stand-in for a camera shows a moving disc: pictures, refusals, keys."""

import base64
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from conftest import CHROMIUM, FLAGS, fresh_page

from vosnb.widgets import Webcam, base, to_html

ALT = "Take the frames of a clip with your webcam."
KEEP = "send: async (told, _, pictures) => (window.sent = { told, pictures: await Promise.all(pictures.map(text)) }),"
TEXT = """const text = (picture) => new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.readAsDataURL(new Blob([picture]));
});"""


class Heard(Webcam):
    """A webcam whose page believes in a kernel."""

    def export_state(self):
        return base.Widget.export_state(self)


@pytest.fixture(scope="module")
def chromium(browser):
    """chromium(n): a Chromium with n cameras."""
    with ExitStack() as running:
        found = {}

        def launch(cameras: int):
            if cameras not in found:
                flags = [*FLAGS, f"--use-fake-device-for-media-stream=device-count={cameras}"]
                found[cameras] = browser.browser_type.launch(executable_path=CHROMIUM, args=flags)
                running.callback(found[cameras].close)
            return found[cameras]

        yield launch


@pytest.fixture
def opened(chromium, tmp_path):
    """opened(widget): its exported page, in which `window.sent` becomes what the widget sends, pictures as base64."""
    with ExitStack() as pages:

        def show(widget, cameras: int = 1, allowed: bool = True):
            path = to_html(widget, tmp_path / "webcam.html")
            html = path.read_text()
            assert "send() {}," in html
            path.write_text(html.replace("send() {},", KEEP).replace("const model =", f"{TEXT}\nconst model ="))
            page = pages.enter_context(fresh_page(chromium(cameras), permissions=["camera"] if allowed else []))
            page.goto(path.as_uri())
            page.wait_for_selector(".webcam")
            return page

        yield show


def test_a_press_takes_pictures_that_move(opened):
    page = opened(Heard(print, alt=ALT, count=12, seconds=1.2))
    start = page.evaluate("performance.now()")
    page.get_by_role("group", name=ALT).get_by_role("button", name="Use the webcam").click()
    page.get_by_label("what the webcam sees").wait_for(state="visible")
    page.wait_for_function("window.sent")
    assert page.evaluate("performance.now()") - start > 1100  # not all in one moment
    assert page.get_by_role("status").inner_text() == "12 pictures taken; the webcam is off."
    assert not page.locator("video").is_visible() and page.evaluate("document.querySelector('video').srcObject") is None
    sent = page.evaluate("window.sent")
    data = [np.frombuffer(base64.b64decode(picture), np.uint8) for picture in sent["pictures"]]
    pictures = [cv2.imdecode(jpeg, cv2.IMREAD_COLOR) for jpeg in data]
    assert sent["told"] == {"type": "pictures"} and [p.shape for p in pictures] == [(360, 480, 3)] * 12
    moved = [np.abs(one.astype(int) - other).max() for one, other in zip(pictures, pictures[1:], strict=False)]
    assert np.median(moved) > 50


def test_keys_start_and_stop_it(opened):
    page = opened(Heard(print, alt=ALT))
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Stop").wait_for()
    page.wait_for_selector('.webcam[data-on="true"]')
    page.evaluate("window.track = document.querySelector('video').srcObject.getTracks()[0]")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Use the webcam").wait_for()
    assert page.get_by_role("status").inner_text() == "Stopped; no pictures were taken."
    assert page.evaluate("[window.track.readyState, window.sent ?? null]") == ["ended", None]


def test_a_camera_that_is_not_there_or_not_allowed_is_said(opened):
    for options, said in (
        ({"allowed": False}, "The browser may not use the webcam: allow it"),
        ({"cameras": 0}, "No webcam was found: connect one"),
    ):
        page = opened(Heard(print, alt=ALT), **options)
        page.get_by_role("button").click()
        page.wait_for_function("document.querySelector('[role=alert]').textContent")
        assert page.get_by_role("alert").inner_text().startswith(said)
        assert page.get_by_role("button", name="Use the webcam").is_enabled()


@pytest.mark.parametrize(
    "media, said",
    [
        ("undefined", "Browsers give no webcam to a page that came unencrypted from another machine"),
        ("{ getUserMedia: async () => { throw new DOMException('', 'NotReadableError') } }", "The webcam is busy"),
        ("{ getUserMedia: async () => { throw new Error('cable') } }", "The webcam does not answer (cable)"),
    ],
)
def test_whatever_else_goes_wrong_is_said(opened, media, said):
    page = opened(Heard(print, alt=ALT))
    page.evaluate(f"Object.defineProperty(navigator, 'mediaDevices', {{ value: {media} }})")
    page.get_by_role("button").click()
    page.wait_for_function("document.querySelector('[role=alert]').textContent")
    assert page.get_by_role("alert").inner_text().startswith(said)


def test_an_exported_page_says_that_nobody_takes_the_pictures(opened):
    page = opened(Webcam(print, alt=ALT))
    assert page.get_by_role("button").is_disabled()
    assert "No kernel answers" in page.get_by_role("status").inner_text()
