"""YouTube-VOS's layout: what is written is read again, and what is wrong with it is said in one sentence."""

import numpy as np
import pytest
from ponds import make_clip

from vosnb.clips import Clip, ClipError, load, masks, write_youtube_vos
from vosnb.clips.masks import read_mask, write_mask


@pytest.fixture
def youtube(tmp_path):
    """A clip whose objects have the ids 5 (from the start) and 2 (from frame 5), annotated in every fifth frame."""
    clip = make_clip(ids=[5, 2], categories={1: "duck", 2: "toad"})
    sparse = Clip(clip.name, clip.frames, [m if t % 5 == 0 else None for t, m in enumerate(clip.masks)], clip.info)
    write_youtube_vos(sparse, tmp_path / "yt", "valid")
    return tmp_path / "yt"


def test_youtube_vos_round_trip(youtube):
    stored = read_mask(youtube / "valid/Annotations/pond/00005.png")
    assert set(np.unique(stored)) == {0, 2, 5, masks.VOID}
    (clip,) = load(youtube, "valid")
    assert clip.info["ids"] == [5, 2] and clip.info["categories"] == {1: "duck", 2: "toad"}
    assert clip.appearances == {1: 0, 2: 5}  # renumbered in the order of their appearance
    assert [t for t, mask in enumerate(clip.masks) if mask is not None] == [0, 5, 10]
    for t in (0, 5, 10):
        np.testing.assert_array_equal(clip.masks[t], make_clip().masks[t])
    assert load(youtube / "valid")[0].name == "pond"  # the folder of one split


def test_youtube_vos_knows_seen_categories(youtube):
    write_youtube_vos(make_clip("lake", categories={1: "duck", 2: "goat"}), youtube, "train")
    write_youtube_vos(make_clip("moor", categories={1: "toad", 2: "goat"}), youtube, "valid")
    pond, moor = sorted(load(youtube, "valid"), key=lambda c: c.name, reverse=True)
    assert pond.info["seen"] == {1: True, 2: False} and moor.info["seen"] == {1: False, 2: True}
    assert "seen" not in load(youtube, "train")[0].info


def test_youtube_vos_faults(youtube):
    with pytest.raises(ClipError, match="no split 'valid_all_frames' but valid"):
        load(youtube, "valid_all_frames")
    file = youtube / "valid/Annotations/pond/00005.png"
    write_mask(file, np.where(read_mask(file) == 2, 9, 0))
    with pytest.raises(ClipError, match=r"00005\.png has object 9"):
        _ = load(youtube, "valid")[0].masks[5]
    (youtube / "valid/JPEGImages/pond/00010.jpg").unlink()
    with pytest.raises(ClipError, match=r"00010\.jpg is missing, though .*meta\.json"):
        _ = load(youtube, "valid")[0].size
    (youtube / "valid/meta.json").write_text("{")
    with pytest.raises(ClipError, match=r"meta\.json is damaged"):
        load(youtube, "valid")
