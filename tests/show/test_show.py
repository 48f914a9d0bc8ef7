"""Figures: what they show, that they carry their text, and that they say what is wrong with bad input."""

import io

import numpy as np
import pytest
from PIL import Image

from vosnb import show

ALT = "A test picture."
FRAME = np.full((40, 60, 3), 100, np.uint8)
MASK = np.zeros((40, 60), np.uint8)
MASK[5:20, 5:25] = 1
MASK[25:38, 30:55] = 2


def pixels(picture) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(picture.png)).convert("RGB"))


class OneClip:
    name, info = "one", {"difficulty": "easy"}
    frames, masks = [FRAME] * 3, [MASK, None, MASK]


FIGURES = {
    "picture": lambda **alt: show.picture(FRAME, MASK, **alt),
    "filmstrip": lambda **alt: show.filmstrip(OneClip, **alt),
    "contact_sheet": lambda **alt: show.contact_sheet([OneClip] * 7, **alt),
    "heatmap": lambda **alt: show.heatmap(FRAME, np.eye(4), mask=MASK, **alt),
    "curves": lambda **alt: show.curves(
        {"a": [1, 0.5], "b": [0.2, np.nan]}, bands={"a": ([0.9, 0.4], [1, 0.6])}, **alt
    ),
    "bars": lambda **alt: show.bars({"easy": {"a": (0.5, 0.4, 0.6), "b": 0.2}, "twins": {"a": 0.1}}, **alt),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_carries_its_text(name):
    data, metadata = FIGURES[name](alt=ALT)._repr_mimebundle_()
    assert data["text/plain"] == ALT and metadata["image/png"]["alt"] == ALT
    assert data["image/png"].startswith(b"\x89PNG") and len(data["image/png"]) <= 80_000
    assert "0x" not in repr(FIGURES[name](alt=ALT))


def test_a_page_made_by_a_program_keeps_the_text_of_a_picture(monkeypatch):
    picture = show.Picture(FRAME, 'A "wall" <of bricks>.')
    monkeypatch.setenv("VOSNB_HEADLESS", "1")
    assert picture._repr_mimebundle_()[0]["text/html"].startswith(
        '<img alt="A &quot;wall&quot; &lt;of bricks&gt;." src="data:image/png;base64,iVBOR'
    )
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    assert "text/html" not in picture._repr_mimebundle_()[0]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_text_is_refused(name):
    with pytest.raises(TypeError, match="alt"):
        FIGURES[name]()
    with pytest.raises(ValueError, match="alt= must say"):
        FIGURES[name](alt="  ")


def test_figures_leave_nothing_global_behind():
    import matplotlib
    from matplotlib import pyplot

    settings = dict(matplotlib.rcParams)
    show.curves({"a": [1, 2]}, alt=ALT)
    show.bars({"a": 1}, alt=ALT)
    assert dict(matplotlib.rcParams) == settings and pyplot.get_fignums() == []


def test_large_photographs_are_made_to_fit():
    noise = np.random.default_rng(0).integers(0, 256, (480, 854, 3), dtype=np.uint8)
    assert len(show.encode_png(noise, 80_000)) <= 80_000
    plain = np.full((300, 400, 3), (10, 200, 30), np.uint8)
    assert (np.array(Image.open(io.BytesIO(show.encode_png(plain)))) == plain).all()  # small ones stay exact


def test_overlay_tints_each_object_and_nothing_else():
    image = show.overlay(FRAME, MASK, alpha=1.0, contours=False, numbers=False)
    assert (image[MASK == 1] == show.rgb(show.PALETTE[0])).all()
    assert (image[MASK == 2] == show.rgb(show.PALETTE[1])).all()
    assert (image[MASK == 0] == 100).all()
    half = show.overlay(FRAME, MASK, alpha=0.5, contours=False, numbers=False)
    assert np.abs(half[10, 10] - (np.array(show.rgb(show.PALETTE[0])) + 100) / 2).max() <= 1
    assert (FRAME == 100).all()


def test_objects_differ_in_more_than_colour():
    outlines = []
    for k in (1, 2, 3, 4):
        image = show.overlay(FRAME, k * (MASK == 1), fill=False, numbers=False)
        outlines.append((image != FRAME).any(-1))
    assert all((a != b).any() for i, a in enumerate(outlines) for b in outlines[:i])
    numbered = show.overlay(FRAME, MASK, alpha=0.0, contours=False)
    assert (numbered[MASK == 1] != 100).any() and (numbered[MASK == 2] != 100).any()


def test_outlines_lie_on_the_objects_also_when_magnified():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = 1
    image = show.overlay(FRAME, mask, fill=False, numbers=False, scale=4.0)
    y, x = np.nonzero((image != 100).any(-1))
    # The outline runs through the centres of the object's border pixels: 10.5 and 29.5, at four pixels each.
    found = np.array([y.min(), y.max(), x.min(), x.max()])
    assert np.abs(found - [42, 118, 82, 158]).max() <= 3  # half of the line and its rim


def test_void_is_hatched_grey():
    image = show.overlay(FRAME, np.full((40, 60), 255), alpha=1.0)
    grey = (image == 200).all(-1)
    assert 0.25 < grey.mean() < 0.45 and (image[~grey] == 100).all()


def test_numbers_stand_inside_of_curved_objects():
    y, x = np.mgrid[:80, :80]
    distance = np.hypot(y - 40, x - 40)
    ring = ((distance > 25) & (distance < 35)).astype(np.uint8)
    (k, across, down), *rest = show.anchors(ring)
    assert k == 1 and ring[down, across] == 1 and not rest
    assert len(show.outlines(ring)) == 2  # the hole has an outline of its own


def test_heat_covers_the_frame_also_when_the_grid_does_not_divide_it():
    values = np.zeros((3, 7))
    values[2, 6] = 1
    image = show.heat_over(FRAME, values)
    bright = image.sum(-1) > 400
    y, x = np.nonzero(bright)
    assert (y.min(), y.max(), x.max()) == (27, 39, 59) and x.min() in (51, 52)
    assert (image[~bright] == 60).all()  # greyed frame where the value is 0


def test_filmstrip_takes_a_clip_or_rows_of_masks():
    wide = pixels(show.filmstrip([FRAME] * 4, {"a": [MASK] * 4, "b": [MASK] * 4}, [0, 3], alt=ALT))
    one = pixels(show.filmstrip([FRAME] * 4, [MASK] * 4, [0, 3], alt=ALT))
    assert wide.shape[1] == one.shape[1] == show.WIDTH and wide.shape[0] == 2 * one.shape[0] + 6


BAD = {
    "a frame must be": lambda: show.overlay(FRAME.astype(float), MASK),
    "a mask must be": lambda: show.overlay(FRAME, MASK / 2),
    r"the mask is 20 x 60 but the frame is 40 x 60": lambda: show.overlay(FRAME, MASK[:20]),
    "there are 3 frames but 2 masks": lambda: show.filmstrip([FRAME] * 3, [MASK] * 2, alt=ALT),
    "the clip has no frames": lambda: show.filmstrip([], alt=ALT),
    "a heatmap takes a grid": lambda: show.heatmap(FRAME, [1, 2], alt=ALT),
    "2 panels but 1 frames": lambda: show.heatmap([FRAME], {"a": np.eye(2), "b": np.eye(2)}, alt=ALT),
    "'a' has 3 values but x has 2": lambda: show.curves({"a": [1, 2, 3]}, x=[0, 1], alt=ALT),
    "at least one curve": lambda: show.curves({}, alt=ALT),
    "at least one bar": lambda: show.bars({}, alt=ALT),
    "the list of panels is empty": lambda: show.contact_sheet([], alt=ALT),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_gets_one_clear_sentence(message):
    with pytest.raises(ValueError, match=message) as caught:
        BAD[message]()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
