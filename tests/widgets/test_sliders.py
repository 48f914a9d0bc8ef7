"""Sliders over a picture, driven without a browser."""

import base64

import numpy as np
import pytest

from vosnb.show import Picture
from vosnb.widgets.sliders import Sliders


def draw(grey, name, size):
    if grey > 0.9:
        raise ValueError("too <bright>")
    return Picture(np.full((size, size, 3), round(255 * grey), np.uint8), f"A {name} square, {size} pixels wide.")


@pytest.fixture
def sliders():
    return Sliders(draw, grey=(0.0, 1.0, 0.5), name=["plain", "fancy"], size=(2, 9, 4))


def test_the_picture_follows_the_knobs(sliders):
    assert sliders.state == {"grey": 0.5, "name": "plain", "size": 4}
    assert 'alt="A plain square, 4 pixels wide."' in sliders._picture.value
    sliders.controls["size"].value = 7
    sliders.controls["name"].value = "fancy"
    assert 'alt="A fancy square, 7 pixels wide."' in sliders._picture.value
    assert base64.b64encode(draw(0.5, "fancy", 7).png).decode() in sliders._picture.value


def test_render_takes_a_state_and_leaves_the_knobs(sliders):
    assert sliders.render({"size": 9}).alt == "A plain square, 9 pixels wide."
    assert sliders.state["size"] == 4
    with pytest.raises(ValueError, match="no knob 'depth'; there are grey, name, size"):
        sliders.render({"depth": 1})


def test_an_error_while_a_knob_is_turned_is_shown(sliders):
    sliders.controls["grey"].value = 1.0
    assert sliders._picture.value == "<b>ValueError:</b> too &lt;bright&gt;"
    sliders.controls["grey"].value = 0.2
    assert "<img" in sliders._picture.value


def test_its_picture_stands_in_where_there_is_no_kernel(sliders, monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    data, metadata = sliders._repr_mimebundle_()
    assert data["image/png"] == draw(0.5, "plain", 4).png
    assert data["text/plain"] == metadata["image/png"]["alt"] == "A plain square, 4 pixels wide."
    assert "application/vnd.jupyter.widget-view+json" in data
    monkeypatch.setenv("VOSNB_HEADLESS", "1")
    assert "application/vnd.jupyter.widget-view+json" not in sliders._repr_mimebundle_()[0]


@pytest.mark.parametrize("knob", [(0, 1), (0, 1, 2), [], 3, "abc"])
def test_a_knob_that_cannot_be_turned_is_refused(knob):
    with pytest.raises(ValueError, match="the knob grey must be"):
        Sliders(draw, grey=knob)
    with pytest.raises(ValueError, match="at least one knob"):
        Sliders(draw)
