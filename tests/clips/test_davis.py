"""DAVIS's layout: what is written is read again, and what is wrong with it is said in one sentence."""

import json

import numpy as np
import pytest
from PIL import Image
from ponds import assert_same, make_clip

from vosnb import clips
from vosnb.clips import Clip, ClipError, load, masks, open_clip
from vosnb.clips.masks import read_mask, write_mask
from vosnb.paths import ROOT

REAL = ROOT.parent / "shared" / "real"


@pytest.fixture
def davis(tmp_path):
    """A data set in DAVIS layout: clips pond and reed in split val."""
    for name in ("pond", "reed"):
        clips.write_davis(make_clip(name), tmp_path / "set", "val")
    return tmp_path / "set"


def test_davis_2017_round_trip(davis):
    pond, reed = load(davis, "val")
    assert (pond.name, reed.name) == ("pond", "reed")
    assert_same(pond, make_clip())
    assert [c.name for c in load(str(davis), "val", limit=1)] == ["pond"]


def test_davis_2016_has_one_object(tmp_path):
    clips.write_davis(make_clip(), tmp_path, "val", year="2016")
    assert set(np.unique(Image.open(tmp_path / "Annotations/480p/pond/00006.png"))) == {0, 255}
    (clip,) = load(tmp_path, "val")
    assert clip.objects == [1]
    np.testing.assert_array_equal(clip.masks[6] == 1, np.isin(make_clip().masks[6], (1, 2)))


def test_davis_2016_lists_pairs_of_paths_by_resolution(davis):
    (davis / "ImageSets/2017/val.txt").unlink()
    (davis / "ImageSets/480p").mkdir()
    lines = [f"/JPEGImages/480p/reed/{t:05d}.jpg /Annotations/480p/reed/{t:05d}.png " for t in range(12)]
    (davis / "ImageSets/480p/val.txt").write_text("\n".join(lines) + "\n")
    (clip,) = load(davis, "val")
    assert clip.name == "reed" and len(clip) == 12


def test_full_resolution(davis):
    clips.write_davis(make_clip(size=(80, 120)), davis, resolution="Full-Resolution")
    assert load(davis, "val", limit=1)[0].size == (40, 60)
    assert load(davis, "val", limit=1, resolution="Full-Resolution")[0].size == (80, 120)
    with pytest.raises(ClipError, match="resolution '1080p'.*480p, Full-Resolution"):
        load(davis, "val", resolution="1080p")


def test_unannotated_frames_and_lists(davis):
    for t in range(1, 12):
        (davis / f"Annotations/480p/pond/{t:05d}.png").unlink()
    assert [mask is None for mask in load(davis, "val")[0].masks] == [False] + [True] * 11
    (davis / "ImageSets/2017/val.txt").unlink()
    assert [c.name for c in load(davis, "anything")] == ["pond", "reed"]


def test_what_is_known_about_clips(davis):
    about = {"pond": {"difficulty": "twins", "seed": 7, "seen": {"1": False}}}
    (davis / "clips.json").write_text(json.dumps({"clips": about}))
    pond, reed = load(davis, "val")
    names = [f"{t:05d}" for t in range(12)]
    assert pond.info == {"difficulty": "twins", "seed": 7, "seen": {1: False}, "names": names}
    assert reed.info == {"names": names} and reed.subclip(3, 5).info == {"names": ["00003", "00004"]}


def test_a_missing_frame(davis):
    (davis / "JPEGImages/480p/reed/00003.jpg").unlink()
    pond, reed = load(davis, "val")
    assert pond.frames[3].any()  # the other clip is as it was
    with pytest.raises(ClipError, match=r"reed/00003\.jpg is missing.*Annotations/480p/reed/00003\.png"):
        _ = reed.first_mask
    (davis / "Annotations/480p/reed/00003.png").unlink()
    with pytest.raises(ClipError, match=r"reed/00003\.jpg is missing between"):
        _ = load(davis, "val")[1].frames[0]


def test_a_missing_clip_and_an_unknown_split(davis):
    with pytest.raises(ClipError, match="no split 'vall' but val; perhaps you mean val"):
        load(davis, "vall")
    with (davis / "ImageSets/2017/val.txt").open("a") as file:
        file.write("reeds\n")
    with pytest.raises(ClipError, match="reeds; perhaps you mean reed"):
        load(davis, "val")


def test_frames_and_masks_of_another_size(davis):
    masks.write_frame(davis / "JPEGImages/480p/pond/00004.jpg", np.zeros((30, 60, 3), np.uint8))
    write_mask(davis / "Annotations/480p/pond/00005.png", np.zeros((40, 50), np.uint8))
    clip = load(davis, "val")[0]
    with pytest.raises(ClipError, match=r"00004\.jpg is 60 x 30 .* 60 x 40; bring all to one size"):
        _ = clip.frames[4]
    with pytest.raises(ClipError, match=r"00005\.png is 50 x 40 .* nearest"):
        _ = clip.masks[5]


@pytest.mark.parametrize("cut", [2, 20, 400])
def test_a_truncated_jpeg(davis, cut):
    file = davis / "JPEGImages/480p/pond/00000.jpg"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(ClipError, match=r"00000\.jpg is damaged or cut off"):
        _ = load(davis, "val")[0].frames[0]


def test_an_empty_first_mask(davis):
    file = davis / "Annotations/480p/pond/00000.png"
    write_mask(file, np.zeros((40, 60), np.uint8))
    clip = load(davis, "val")[0]
    with pytest.raises(ClipError, match=r"00000\.png\) is empty.* is that of frame 1: let the clip begin there"):
        _ = clip.first_mask
    assert clip.subclip(1).first_mask.any()
    nothing = Clip.from_arrays("nothing", np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(ClipError, match="is empty: there is nothing to track; give one with an object"):
        _ = nothing.first_mask


def test_gaps_in_the_ids(davis):
    for t in range(12):
        file = davis / f"Annotations/480p/pond/{t:05d}.png"
        mask = read_mask(file)
        mask[mask == 2] = 1
        mask[0:3, 0:3] = 4
        write_mask(file, mask)
    clip = load(davis, "val")[0]
    assert clip.objects == [1, 2] and clip.ids == [1, 4] and clip.only(2).ids == [4]
    assert set(np.unique(clip.masks[3])) == {0, 1, 2, masks.VOID} and (clip.masks[6] == 2).sum() == 9
    alone = open_clip(davis / "JPEGImages/480p/pond", davis / "Annotations/480p/pond/00000.png")
    assert alone.ids == [1, 4] and alone.objects == [1, 2]
    write_mask(davis / "Annotations/480p/reed/00000.png", np.where(make_clip().masks[6] == 2, 2, 0))
    assert set(np.unique(load(davis, "val")[1].first_mask)) == {0, 2}  # object 1 comes later: no gap


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips for development are not here")
def test_real_clips_read_like_any_other():
    real = load(REAL, "dev")
    assert [len(c) for c in real] == [36] * 8 and {c.size for c in real} == {(480, 854)}
    assert all(c.first_mask.max() == 1 and c.frames[35].shape == (480, 854, 3) for c in real[:2])
    assert [c.first_mask.max() for c in load(REAL, "derived_dev")] == [3, 2]
    with pytest.raises(ClipError, match="no split 'val'.* derived_dev, dev|no split 'val'.* dev, derived_dev"):
        load(REAL, "val")
