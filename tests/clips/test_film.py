"""The film clip: what `load("film")` gives, its mask, its credit, and that it can be made again."""

import importlib.util

import cv2
import numpy as np
import pytest

from vosnb.clips.masks import ClipError
from vosnb.datasets import FILM_CREDIT, load
from vosnb.paths import DATA


@pytest.fixture(scope="module")
def clip():
    (clip,) = load("film")
    return clip


def test_the_film_is_one_clip_with_a_first_mask_and_no_other(clip):
    assert clip.name == "rabbit" and len(clip) == 36 and clip.size == (480, 854)
    assert set(np.unique(clip.masks[0])) == {0, 1} and all(mask is None for mask in list(clip.masks)[1:])
    assert clip.info["credit"] == FILM_CREDIT and "CC BY 3.0" in FILM_CREDIT
    size = sum(file.stat().st_size for file in (DATA / "film").rglob("*") if file.is_file())
    assert size < 3_000_000


@pytest.mark.parametrize(
    "part, x, y, inside",
    [
        ("ear", 308, 150, 1),
        ("other ear", 362, 160, 1),
        ("between the ears", 341, 160, 0),
        ("raised hand", 150, 200, 1),
        ("finger", 115, 168, 1),
        ("leaning arm", 380, 310, 1),
        ("flank in the shade", 170, 280, 1),
        ("foot", 335, 385, 1),
        ("wall below the raised arm", 172, 236, 0),
        ("wall behind the leaning arm", 340, 330, 0),
        ("wall above the back", 240, 170, 0),
        ("stone", 120, 230, 0),
        ("grass", 200, 400, 0),
    ],
)
def test_the_mask_holds_the_rabbit_and_not_the_burrow(clip, part, x, y, inside):
    assert clip.masks[0][y, x] == inside, part


def test_the_mask_is_one_piece_and_is_made_again_from_its_points(clip):
    assert cv2.connectedComponents(clip.masks[0])[0] == 2
    spec = importlib.util.spec_from_file_location("make_film", DATA / "film" / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert (make.first_mask() == clip.masks[0]).all()


def test_the_credit_stands_beside_the_film():
    assert FILM_CREDIT in (DATA / "film" / "CREDITS.md").read_text()


@pytest.mark.parametrize("split", ["val", "generated:0:3"])
def test_there_are_no_other_splits(split):
    with pytest.raises(ClipError, match="film"):
        load("film", split)
