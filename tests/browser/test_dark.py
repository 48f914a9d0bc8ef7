"""Stored lessons in JupyterLab's dark theme: figures have its ground and legible ink, cards legible text."""

import base64

import cv2
import numpy as np
import pytest
from contrast import faint, luminance, pixels, ratio

from vosnb.paths import NOTEBOOKS

DARK = (17, 17, 17)  # JupyterLab's ground
INK = 4.3  # what one tone can have on white and on the dark ground alike
SLAB = 0.05  # the share of a figure that may be pale grey or white

# A picture in its own pixels, as it was stored, on a ground; on the screen it is smaller, and thin strokes are blurred.
ON_GROUND = """(image, ground) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const pen = canvas.getContext("2d");
    pen.fillStyle = `rgb(${ground})`;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0);
    return canvas.toDataURL("image/png").split(",")[1];
}"""


@pytest.fixture
def dark(page, lab):
    lab.load(page)
    lab.theme(page, "JupyterLab Dark")
    yield lab
    lab.theme(page, "JupyterLab Light")


@pytest.mark.parametrize("number", ["00", "01", "02"])
def test_figures_and_cards_are_legible_in_the_dark(page, dark, number):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    (dark.root / path.name).write_bytes(path.read_bytes())
    dark.show(page, path.name)
    figures, cards, wrong = 0, 0, []
    for cell in dark.cells(page):
        for figure in cell.locator('.jp-OutputArea-output img[src^="data:image/png"]').all():
            figures += 1
            wrong += [f"{figure.get_attribute('alt')[:60]} {fault}" for fault in faults(figure)]
        for card in cell.locator(".jp-OutputArea-output.jp-RenderedHTML").all():
            cards += 1
            wrong += faint(card)
    assert not wrong, "\n".join(wrong)
    assert figures >= 2 and cards >= 10


def faults(figure) -> list[str]:
    """What is wrong with a line drawing: its ground is not the page's, its ink is faint, or it has a white slab."""
    shown = pixels(figure.screenshot())
    edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    ground = tuple(np.median(edge, axis=0).astype(int).tolist())
    stored = pixels(base64.b64decode(figure.evaluate(ON_GROUND, ground))).reshape(-1, 3)
    tones, counts = np.unique(stored[np.ptp(stored.astype(int), axis=1) <= 6], axis=0, return_counts=True)
    ink = max((ratio(tone, ground) for tone, count in zip(tones, counts, strict=True) if count > 200), default=1)
    pale = sum(count for tone, count in zip(tones, counts, strict=True) if luminance(tone) > 0.5) / len(stored)
    found = [] if ground == DARK else [f"has the ground {ground}"]
    found += [f"has ink of {ink:.2f} : 1"] if ink < INK else []
    return found + ([f"is pale on {pale:.0%} of it"] if pale > SLAB else [])


def test_faint_text_a_wrong_ground_and_a_slab_would_be_found(page):
    def figure(ink, ground):
        image = np.full((60, 90, 4), ground, np.uint8)
        image[20:30, 20:60] = ink
        png = base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()
        return f'<img src="data:image/png;base64,{png}">'

    clear, grey, white = (0, 0, 0, 0), (121, 121, 121, 255), (255, 255, 255, 255)
    good, black, slab = figure(grey, clear), figure((0, 0, 0, 255), clear), figure(grey, white)
    half = '<p style="color: white; opacity: 0.3">half</p>'
    page.set_content(
        f'<body style="background: rgb{DARK}; color: #eee"><p>legible</p><p style="color: #666">grey</p>{half}'
        f'<p style="background: #ffffff80">on a veil</p><b style="color: #2e8b57">✓</b>{good}{black}{slab}</body>'
    )
    pictures = [faults(image) for image in page.locator("img").all()]
    assert pictures == [[], ["has ink of 1.11 : 1"], ["has the ground (255, 255, 255)", "is pale on 93% of it"]]
    assert [text.split("'")[1] for text in faint(page.locator("body"))] == ["grey", "half", "on a veil"]
