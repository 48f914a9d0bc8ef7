"""A film as the course's JupyterLab extension shows it: starts, stops, is calm where it should, and moves by itself.

The extension's renderer runs here in plain Chromium, with stand-ins for the two libraries that JupyterLab gives it.
"""

import base64

import numpy as np
import pytest

from vosnb import show
from vosnb.paths import ROOT

LAB = """async ([data, metadata]) => {
    class Widget {
        node = document.createElement("div");
        addClass() {}
    }
    const library = (content) => ({ "1.0.0": { get: async () => () => content } });
    await window._JUPYTERLAB.vosnb.init({
        "@lumino/widgets": library({ Widget }),
        "@jupyterlab/rendermime": library({ RenderMimeRegistry: class { createRenderer() {} } }),
    });
    const { rendererFactory } = (await window._JUPYTERLAB.vosnb.get())().default;
    const mimeType = rendererFactory.mimeTypes.find((kind) => kind in data);
    const renderer = rendererFactory.createRenderer({ mimeType });
    document.body.append(renderer.node);
    await renderer.renderModel({ data, metadata });
}"""


def shown(page, picture):
    """The picture as the extension shows its output; returns the image on the page."""
    data, metadata = picture._repr_mimebundle_()
    data = {kind: base64.b64encode(d).decode() if isinstance(d, bytes) else d for kind, d in data.items()}
    page.set_content("<body></body>")
    page.add_script_tag(path=ROOT / "jupyter" / "labextensions" / "vosnb" / "static" / "vosnb.js")
    page.evaluate(LAB, [data, metadata])
    return page.locator("img")


def moves(image) -> bool:
    return image.get_attribute("src").startswith("data:image/webp")


@pytest.fixture(scope="module")
def film():
    frames = [np.full((60, 100, 3), 60 * t, np.uint8) for t in range(5)]
    return show.film(frames, alt="A wall grows brighter.", still=2, fps=10)


def test_a_film_starts_and_stops_by_mouse_and_keys(page, film):
    image = shown(page, film)
    assert image.get_attribute("alt") == film.alt and moves(image) and "pause" in image.get_attribute("title")
    image.click()
    assert not moves(image) and image.get_attribute("aria-pressed") == "false"
    for key in ("Space", "Space", "p", "Enter"):
        before = moves(image)
        image.press(key)
        assert moves(image) != before, key


def test_a_film_moves_by_itself(page, film):
    image = shown(page, film)
    first = image.screenshot()
    for _ in range(20):
        page.wait_for_timeout(100)
        if image.screenshot() != first:
            return
    pytest.fail("the film stood still for two seconds")


def test_a_film_stands_still_for_whoever_wants_less_motion(page, film):
    page.emulate_media(reduced_motion="reduce")
    image = shown(page, film)
    assert not moves(image) and "play" in image.get_attribute("title")
    image.press("p")
    assert moves(image)


def test_a_photo_is_no_button(page):
    image = shown(page, show.frames([np.zeros((60, 100, 3), np.uint8)], alt="Night."))
    assert image.get_attribute("alt") == "Night." and image.get_attribute("role") is None
