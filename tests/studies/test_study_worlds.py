"""Tables of three worlds: resumed, of the clips that they name, and what is stored adds up."""

import json
import sys

import pytest

from vosnb.paths import RESULTS
from vosnb.studies import common, place, worlds


@pytest.fixture
def cheap(monkeypatch, tmp_path):
    """The study with two trackers and two short lists, in a folder of its own."""
    lists = {
        "toys": {"easy": ("test", ["easy"], 2, "first")},
        "creatures": {"twins": ("val", ["twins"], 1, "first"), "several": ("val", ["easy"], 1, "all")},
    }
    bins = {"bins": ("still", "histogram:bins=8"), "back": ("histogram:bins=8", "still")}
    for module, name, value in (
        (worlds, "GENERATED", lists),
        (worlds, "BASELINES", ()),
        (worlds, "STEPS", {"matching": {"colour": ("still", "histogram")}, "S1": bins}),
        (worlds, "SEVERAL", ["S1"]),
        (worlds, "ROOT", tmp_path),
        (worlds, "RESULTS", tmp_path),
        (common, "RESULTS", tmp_path),
    ):
        monkeypatch.setattr(module, name, value)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["worlds", *arguments])
        worlds.main()
        return json.loads((tmp_path / "worlds.json").read_text())["rows"]

    return run


def test_rows_that_are_not_made_again_stay(cheap):
    rows = cheap("--part", "matching")
    again = cheap("--part", "S1", "--world", "toys")
    assert [row.get("tracker", row.get("step")) for row in again] == [
        *("still", "histogram", "histogram:bins=8", "colour", "bins", "back"),
        *("still", "histogram", "colour"),
    ]
    assert again[6:] == rows[3:] and again[3] == rows[2]


MADE = ["still", "histogram", "histogram:bins=8", "colour", "bins", "back"]


def test_each_list_has_its_trackers_and_steps_and_a_second_run_takes_what_is_there(cheap, monkeypatch, tmp_path):
    rows = cheap()
    lists = ("toys", "easy"), ("creatures", "twins"), ("creatures", "several")
    assert list(dict.fromkeys((row["world"], row["list"]) for row in rows)) == [*lists]
    several = [MADE[0], MADE[2], *MADE[4:]]
    assert [row.get("tracker", row.get("step")) for row in rows] == [*MADE, *MADE, *several]
    assert [row["clips"] for row in rows if "tracker" in row] == [2, 2, 2, 1, 1, 1, 1, 1]
    assert {"G", "J_seen", "J_unseen"} <= {*rows[-3]} and "G" not in rows[0]
    bins, back = rows[4:6]
    assert back["gain"] == -bins["gain"] and (back["low"], back["high"]) == (-bins["high"], -bins["low"])
    assert (back["won"], back["lost"]) == (bins["lost"], bins["won"]) and back["J_before"] == bins["J_after"]
    monkeypatch.setattr("vosnb.trackers.simple.HistogramTracker._step", None)  # it would fail if it ran again
    assert cheap() == rows
    assert cheap("--world", "toys") == rows


def test_real_clips_come_from_a_folder_by_lists(cheap, capsys):
    from vosnb.paths import DATA

    rows = cheap("--world", "real", "--real", str(DATA / "toys"), "--split", "test")
    assert {(row["world"], row["list"]) for row in rows} == {("real", "test")}
    with pytest.raises(SystemExit):
        cheap("--world", "real")
    assert "give it with --real" in capsys.readouterr().err


@pytest.mark.parametrize("name, key", [("worlds", "world"), ("place", "measure")])
def test_what_is_stored_adds_up(name, key):
    rows = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    steps = [row for row in rows if "gain" in row]
    assert steps and all(key in row for row in rows)
    for row in steps:
        after = row.get("J_after", row.get("J"))
        assert after - row["J_before"] == pytest.approx(row["gain"], abs=2e-4)
        assert row["low"] <= row["gain"] <= row["high"] and row["won"] + row["lost"] <= row["clips"]
    if name == "worlds":
        assert {row["world"] for row in rows} == {*worlds.GENERATED, "real"}
        made = {row["tracker"] for row in rows if "tracker" in row}
        assert made == {*worlds.trackers_of(*worlds.STEPS)}
    else:
        assert {row["tracker"] for row in rows} == set(place.TRACKERS)
