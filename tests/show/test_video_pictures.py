"""Frames and films: how large they are, what colours contours have, how they are stored, what bad input hears."""

import io

import numpy as np
import pytest
from PIL import Image

from vosnb import show
from vosnb.datasets import load
from vosnb.widgets import MaskPlayer

ALT = "A disc moves over a wall."
GREEN, GREY = (60, 150, 40), (128, 128, 128)


def scene(ground=GREEN, target=GREY, size=(120, 200), length=4):
    """Frames and masks of a disc that moves to the right."""
    y, x = np.mgrid[: size[0], : size[1]]
    frames, masks = [], []
    for t in range(length):
        inside = np.hypot(y - 60, x - 50 - 20 * t) < 30
        frames.append(np.where(inside[..., None], np.uint8(target), np.uint8(ground)))
        masks.append(inside.astype(np.uint8))
    return frames, masks


def pixels(picture) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(next(iter(picture.kinds.values())))).convert("RGB"))


def near(image, color, within=60) -> np.ndarray:
    """Where an image has a colour, as far as JPEG keeps it."""
    return np.abs(image.astype(int) - np.array(show.rgb(color))).max(-1) < within


# ---------------------------------------------------------------- colours


@pytest.mark.parametrize("avoided", show.CONTOURS)
def test_a_contour_has_neither_the_targets_colour_nor_the_grounds(avoided):
    for scenery in ({"target": show.rgb(avoided)}, {"ground": show.rgb(avoided)}):
        assert show.contour_colors(*scene(**scenery))[1] != avoided


def test_objects_have_different_colours_that_later_masks_do_not_change():
    frames, masks = scene()
    first = masks[0] + 2 * (np.roll(masks[0], 100, 1) > 0) + 3 * (np.roll(masks[0], 55, 1) * (masks[0] == 0) > 0)
    first = np.minimum(first, 3).astype(np.uint8)
    colors = show.contour_colors(frames, [first, None, None, None])
    assert len(set(colors.values())) == len(colors) == 3
    assert show.contour_colors(frames, [first, first, masks[2], masks[3]]) == colors  # whatever a tracker answers later


def test_the_same_clip_has_the_same_colours_in_every_figure():
    frames, masks = scene()
    (color,) = show.contour_colors(frames, masks).values()
    for picture in (
        show.frames(frames, masks, [3], alt=ALT),
        show.frames(frames, {"a": masks, "b": [masks[0]] * 4}, [0, 2], alt=ALT),
    ):
        assert near(pixels(picture), color).sum() > 300


def test_specks_are_painted_since_outlines_would_bury_them():
    frame, color = np.full((60, 80, 3), 60, np.uint8), {1: "#FF2FD6"}
    specks, whole = np.zeros((2, 60, 80), np.uint8)
    specks[10:50:4, 10:70:4] = 1
    whole[20:40, 20:60] = 1
    painted, lined = (show.contoured(frame, mask, color, scale=4.0) for mask in (specks, whole))
    tint = 0.3 * 60 + 0.7 * np.array(show.rgb("#FF2FD6"))
    assert np.abs(painted[42, 42] - tint).max() <= 1
    assert (painted[:, :, 0] == 60).mean() > 0.9, "nothing lies around a speck"
    assert (lined[120, 160] == 60).all()


def test_a_contour_is_drawn_without_fill_unless_asked_for():
    frames, masks = scene()
    bare, filled = (show.contoured(frames[0], masks[0], {1: "#FF2FD6"}, fill=fill, scale=2.0) for fill in (0.0, 0.3))
    assert (bare[120, 100] == GREY).all() and (bare[20, 380] == GREEN).all() and (filled[20, 380] == GREEN).all()
    assert np.abs(filled[120, 100] - (0.7 * np.array(GREY) + 0.3 * np.array(show.rgb("#FF2FD6")))).max() <= 1
    row = near(bare[120], "#FF2FD6", 30)
    assert 4 <= row.sum() <= 8 and np.abs(np.flatnonzero(row)[0] - 2 * 21) < 5  # two crossings of a thin line


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("times, columns", [([0], 1), ([0, 1], 2), ([0, 1, 2], 3), ([0, 1, 2, 3], 3)])
def test_every_frame_is_at_least_300_pixels_wide(times, columns):
    frames, masks = scene()
    image = pixels(show.frames(frames, masks, times, alt=ALT))
    assert (image.shape[1] - 4 * (columns - 1)) / columns >= 300


def test_frames_are_stored_as_true_colour_jpeg_with_their_text():
    noise = np.random.default_rng(0).integers(0, 256, (240, 426, 3), dtype=np.uint8)
    picture = show.frames([noise] * 3, alt=ALT)
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"image/jpeg", "text/plain"} and data["text/plain"] == metadata["image/jpeg"]["alt"] == ALT
    assert Image.open(io.BytesIO(data["image/jpeg"])).mode == "RGB" and len(data["image/jpeg"]) <= 300_000
    assert picture.html().startswith(f'<img alt="{ALT}" src="data:image/jpeg;base64,')


def test_numbers_stand_on_objects_where_there_are_several():
    frames, masks = scene()
    two = [m + 2 * (np.roll(m, 90, 1) > 0).astype(np.uint8) for m in masks]
    white = lambda m: (pixels(show.frames(frames, m, [0], alt=ALT))[40:, 120:] > 230).all(-1).sum()  # noqa: E731
    assert white(masks) == 0 < white(two)


def test_a_clip_that_owes_a_credit_shows_it_in_every_picture():
    (clip,) = load("film")
    plain = list(clip.frames)
    for make in (show.frames, show.film):
        short = clip.subclip(0, 2)
        with_credit, without = (pixels(make(given, alt=ALT)) for given in (short, plain[:2]))
        assert with_credit.shape[0] == without.shape[0] + 20
        strip = with_credit[-18:]
        assert (strip < 60).all(-1).mean() > 0.5 and (strip > 200).all(-1).sum() > 200  # white letters on black


def test_heat_is_a_large_photograph_with_its_scale_below():
    frames, masks = scene()
    grid = np.eye(4)
    one, two = show.heat(frames[0], 2 * grid, alt=ALT, top=2.0), show.heat(frames[0], {"a": grid, "b": grid}, alt=ALT)
    assert Image.open(io.BytesIO(one.jpeg)).mode == "RGB" and list(one.kinds) == ["image/jpeg"]
    height = round(frames[0].shape[0] * 600 / frames[0].shape[1])
    assert pixels(one).shape == (height + 26, 600, 3) and pixels(two).shape[1] == 904
    brightest = show.heat_colors(np.array([1.0]))[0]
    ramp = pixels(one)[height + 13, 22:182].astype(float)
    assert np.abs(ramp[-2] - brightest).max() < 30 and np.abs(pixels(one)[8, 80] - brightest).max() < 60
    outlined = pixels(show.heat(frames[:2], {"a": grid, "b": grid}, masks[:2], alt=ALT))
    assert (outlined != pixels(two)).any()


def test_heat_says_what_does_not_fit():
    frames, _ = scene()
    with pytest.raises(ValueError, match="2 panels but 1 frames"):
        show.heat(frames[:1], {"a": np.eye(2), "b": np.eye(2)}, alt=ALT)
    with pytest.raises(ValueError, match="a frame must be"):
        show.heat(3, np.eye(2), alt=ALT)
    with pytest.raises(ValueError, match="give one grid"):
        show.heat(frames[0], {}, alt=ALT)


# ---------------------------------------------------------------- films


def test_a_film_moves_and_has_a_picture_that_stands_still():
    frames, masks = scene()
    film = show.film(frames, {"truth": masks, "still": [masks[0]] * 4}, alt=ALT, still=2, fps=5)
    data, metadata = film._repr_mimebundle_()
    assert list(data) == ["image/webp", "image/jpeg", "text/plain"]
    assert metadata["image/webp"]["alt"] == metadata["image/jpeg"]["alt"] == data["text/plain"] == ALT
    moving, still = (Image.open(io.BytesIO(data[f"image/{kind}"])) for kind in ("webp", "jpeg"))
    assert moving.n_frames == 4 and moving.size == still.size == (904, 270)
    moving.seek(2)
    apart = [np.abs(np.array(still, int) - np.array(moving.convert("RGB"), int)).mean() for _ in [0]]
    moving.seek(0)
    apart.append(np.abs(np.array(still, int) - np.array(moving.convert("RGB"), int)).mean())
    assert apart[0] < apart[1] / 3  # the still is frame 2
    assert 'media="(prefers-reduced-motion: reduce)" srcset="data:image/jpeg' in film.html() and ALT in film.html()


def test_a_film_fits_into_its_limit():
    noise = np.random.default_rng(0).integers(0, 256, (6, 90, 160, 3), dtype=np.uint8)
    film = show.film(list(noise), alt=ALT, limit=60_000)
    assert len(film.webp) <= 60_000 and Image.open(io.BytesIO(film.webp)).n_frames == 6


def test_a_player_can_have_a_film_as_its_stand_in(monkeypatch):
    frames, masks = scene()
    monkeypatch.setenv("VOSNB_HEADLESS", "1")
    player = MaskPlayer(frames, {"truth": masks, "still": [masks[0]] * 4}, alt=ALT, moving=True)
    data, _ = player._repr_mimebundle_()
    assert set(data) == {"image/webp", "image/jpeg", "text/plain"}
    assert player.palette[0] == show.contour_colors(frames, masks)[1] and not player.fill


BAD = {
    "there are 4 frames but 2 masks of a": lambda f, m: show.film(f, {"a": m[:2]}, alt=ALT),
    "frame 9 does not exist": lambda f, m: show.frames(f, m, [9], alt=ALT),
    "frame 7 does not exist": lambda f, m: show.film(f, m, alt=ALT, still=7),
    "masks= is an empty dict": lambda f, m: show.film(f, {}, alt=ALT),
    "give at least one frame number": lambda f, m: show.frames(f, m, [], alt=ALT),
    "columns=4 does not fit": lambda f, m: show.frames(f, m, alt=ALT, columns=4),
    "fill=2 does not fit": lambda f, m: show.film(f, m, alt=ALT, fill=2),
    "the clip has no frames": lambda f, m: show.film([], alt=ALT),
    "alt= must say": lambda f, m: show.frames(f, m, alt=" "),
    "3 panels but 1 titles": lambda f, m: show.frames(f, m, alt=ALT, titles=["a"]),
    "the mask is 5 x 5": lambda f, m: show.frames(f, [np.zeros((5, 5), np.uint8)] * 4, alt=ALT),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_gets_one_clear_sentence(message):
    with pytest.raises(ValueError, match=message) as caught:
        BAD[message](*scene())
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
