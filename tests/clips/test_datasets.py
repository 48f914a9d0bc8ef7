"""Data sets by name."""

from pathlib import Path

import pytest
from ponds import make_clip

from vosnb import datasets
from vosnb.clips import ClipError, load, write_davis


def test_names_that_are_no_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("VOSNB_DATA", str(tmp_path))
    with pytest.raises(ClipError, match="get it with `vosnb data davis2016`"):
        load("davis2016", "val")
    with pytest.raises(ClipError, match="no data set 'davis2018'; perhaps you mean davis201"):
        load("davis2018", "val")
    (tmp_path / "clips").mkdir()
    with pytest.raises(ClipError, match="clip'; perhaps you mean clips"):
        load(tmp_path / "clip")
    with pytest.raises(ClipError, match="none of the layouts DAVIS.*YouTube-VOS.*OVIS.*`vosnb run`"):
        load(tmp_path / "clips")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 0}, "limit is 0; give the number of clips"),
        ({"limit": -1}, "limit is -1"),
        ({"limit": 1.5}, "limit is 1.5"),
        ({"limit": "3"}, "limit is '3'"),
        ({"limit": True}, "limit is True"),
        ({"split": ""}, "The split is ''; give its name"),
        ({"split": None}, "The split is None"),
        ({"split": "tset"}, "no split 'tset' but val, test, train, test-large; perhaps you mean test"),
        ({"split": "generated:-1:3"}, "generated:START:COUNT"),
        ({"split": "generated:1:0"}, "generated:START:COUNT"),
        ({"split": "train", "resolution": "480p"}, "leave the resolution '480p' out"),
        ({"resolution": "1080p"}, "no frames of resolution '1080p'; it has 480p"),
        ({"dataset": "Embeded"}, "no data set 'Embeded'; perhaps you mean embedded"),
        ({"dataset": "DAVIS2017"}, "perhaps you mean davis2017"),
        ({"dataset": ""}, "no data set ''"),
        ({"dataset": None}, "no data set 'None'"),
        ({"dataset": __file__}, "test_datasets.py is a file, not a data set; give the folder"),
    ],
)
def test_what_cannot_be_loaded_is_told(settings, message):
    with pytest.raises(ClipError, match=message):
        load(**{"dataset": "embedded", "split": "test"} | settings)


def test_a_path_is_as_good_as_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("VOSNB_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert [clip.name for clip in load(Path("embedded"), "test", 2)] == [c.name for c in load("embedded", "test", 2)]
    with pytest.raises(ClipError, match="get it with `vosnb data davis2017`"):
        load(Path("davis2017"), "val")
    for name in ("davis2017", "davis2017-mine"):  # a folder here, where none of that name was downloaded
        write_davis(make_clip(name), name, "val")
        assert load(name, "val")[0].name == name
    write_davis(make_clip("downloaded"), tmp_path / "cache" / "davis2017", "val")
    assert load(Path("davis2017"), "val")[0].name == "downloaded"


def test_generated_clips_come_by_seed():
    clip, *rest = load("embedded", "generated:7:3", limit=1)
    assert not rest and clip.info["difficulty"] and clip.first_mask.any() and 1 in clip.objects
    assert len(load("embedded", "generated:7:2")) == 2
    for split in ("generated:7", "generated:a:b", "generated"):
        with pytest.raises(ClipError, match="generated:START:COUNT"):
            load("embedded", split)


def test_the_embedded_data_is_missed_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "DATA", tmp_path)
    with pytest.raises(ClipError, match="no folder of clips .*JPEGImages"):
        load("embedded", "test")
