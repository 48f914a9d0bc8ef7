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

Sliders(lambda side: Picture(np.zeros((side, side, 3), np.uint8), f"A black square of {side} pixels."), side=(8, 64, 16))
"""


def test_a_prediction_is_chosen_by_button_and_revealed(page, lab):
    lab.open(page, "predict.ipynb", SETUP, 'guess = predict("Which one?", ["this", "that", "neither"], default="b")')
    page.wait_for_selector("text=c) neither", timeout=60_000)
    assert page.locator("input[type=radio]").count() == 3
    assert page.locator("input[type=radio]:checked").count() == 0
    assert lab.evaluate("predict.ipynb", "guess.guess") == "b"
    page.locator("input[type=radio]").nth(2).click()
    page.wait_for_timeout(500)
    assert lab.evaluate("predict.ipynb", "guess.guess") == "c"


def test_a_bar_shows_and_vanishes(page, lab):
    loop = "import time\nfor _ in progress(range(40), 'counting to forty'):\n    time.sleep(0.05)"
    lab.open(page, "progress.ipynb", SETUP, loop)
    page.wait_for_selector("text=counting to forty:", timeout=60_000)
    page.wait_for_selector(".jp-OutputArea-output >> text=counting to forty:", state="detached", timeout=60_000)


def test_a_slider_redraws_its_picture(page, lab):
    lab.open(page, "sliders.ipynb", SLIDERS)
    page.wait_for_selector('img[alt="A black square of 16 pixels."]', timeout=60_000)
    page.locator(".widget-slider .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('img[alt="A black square of 17 pixels."]', timeout=10_000)
