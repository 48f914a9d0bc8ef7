"""Predictions, progress bars and sliders in a real JupyterLab, where somebody looks on."""

SETUP = """
import os

os.environ.pop("VOSNB_HEADLESS", None)
from vosnb.lesson import predict, progress
"""
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


def test_a_slider_redraws_its_picture(page, lab):
    lab.open(page, "sliders.ipynb", SLIDERS)
    page.wait_for_selector('img[alt="A square of 16 pixels."]', timeout=60_000)
    page.locator(".widget-slider .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('img[alt="A square of 17 pixels."]', timeout=10_000)
