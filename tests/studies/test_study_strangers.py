"""S0 among strangers: ways to adapt that change what they should and nothing else, and rows that add up."""

import json
import sys

import numpy as np
import pytest
import torch

from vosnb import creatures
from vosnb.paths import RESULTS
from vosnb.studies import common, strangers
from vosnb.trackers import make_tracker, segment

WAYS = [
    {"queries": "pasted", "recoloured": True, "n": 1},
    {"part": "matrix"},
    {"again": 2},
    {"mask": "rolled"},
]


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(1, "twins", "val", frames=6).only(1)


def masks(tracker, clip):
    return np.stack([mask for _, mask, _ in segment(tracker, clip)])


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_way_without_steps_is_the_matcher_and_with_steps_it_moves_the_keys(clip, way):
    plain = masks(make_tracker("matching"), clip)
    np.testing.assert_array_equal(masks(strangers.StrangersTracker(steps=0, **way), clip), plain)
    tracker = strangers.StrangersTracker(steps=2, **way)
    masks(tracker, clip)
    assert len(tracker.history.total) == 3 and tracker.history.best > 0
    seen = tracker.net.query_encoder(tracker._fit(clip.frames[0]))[-1]
    assert not torch.allclose(tracker.net.query_key(seen), tracker.generic[0](seen), atol=1e-4)


def test_a_wrong_mask_is_wrong_and_another_clip_is_another(clip):
    other = creatures.generate(2, "twins", "val", frames=2).only(1)
    trackers = {
        mask: strangers.StrangersTracker(steps=1, mask=mask, clips=[clip, other])
        for mask in ("own", "rolled", "rolled in the loss", "other clip")
    }
    for tracker in trackers.values():
        tracker.about(clip)
        tracker.start(clip.frames[0], clip.first_mask)
    own, rolled, in_the_loss, another = (tracker.first[1] for tracker in trackers.values())
    torch.testing.assert_close(rolled, own.roll(own.shape[-1] // 2, -1))
    torch.testing.assert_close(in_the_loss, rolled)
    remembered = {mask: tracker.first[0] for mask, tracker in trackers.items()}
    torch.testing.assert_close(remembered["rolled in the loss"], remembered["own"])
    assert not torch.allclose(remembered["rolled"], remembered["own"], atol=1e-4)
    tracker = make_tracker("matching")
    expected = tracker._fit_masks(other.first_mask, [1], tracker._fit(other.frames[0]).shape[-2:])
    torch.testing.assert_close(another, torch.nn.functional.avg_pool2d(expected, 8)[:, 0])


def test_each_part_has_its_rows_and_a_second_run_takes_what_is_there(monkeypatch, tmp_path):
    clips = [creatures.generate(seed, "twins", "val", frames=7) for seed in (1, 2)]  # two that are thinned to three
    monkeypatch.setattr(strangers, "load", lambda folder, split: clips)
    monkeypatch.setattr(strangers, "of", lambda *where: clips[:1])
    monkeypatch.setattr(strangers, "MATCHERS", {"old": {}})
    monkeypatch.setattr(strangers, "QUICK", {"steps": 1})
    monkeypatch.setattr(strangers, "COST", {"1 step": {"steps": 1}})
    alike = {"alike": ("creatures", "val", strangers.ALIKE, 1)}
    monkeypatch.setattr(strangers, "PARTS", {part: (run, alike) for part, (run, _) in strangers.PARTS.items()})
    monkeypatch.setattr(common, "ROOT", tmp_path)
    for module in (common, strangers):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    for name in ("worlds", "premise"):
        (tmp_path / f"{name}.json").write_text((RESULTS / f"{name}.json").read_text())

    def run(*parts):
        options = [option for part in parts for option in ("--part", part)]
        monkeypatch.setattr(sys, "argv", ["strangers", "FOLDER", "--split", "dev", "--clips", "2", *options])
        strangers.main()
        return json.loads((tmp_path / "s0.json").read_text())["rows"]

    stored = run("stored")
    rows = run("controls", "leaks", "objects", "cost")
    assert rows[: len(stored)] == stored
    assert {row["part"] for row in rows} == {"worlds", "training", "controls", "leaks", "objects", "cost"}
    monkeypatch.setattr("vosnb.trackers.matching.MatchingTracker._step", None)  # would fail if it ran again
    again = run("controls", "leaks", "objects")
    assert [row for row in again if row["part"] != "cost"] == [row for row in rows if row["part"] != "cost"]


def test_what_is_stored_adds_up():
    rows = json.loads((RESULTS / "s0.json").read_text())["rows"]
    assert {"worlds", "training"} <= {row["part"] for row in rows}
    for row in (row for row in rows if row["part"] != "cost"):
        assert row["with"] - row["without"] == pytest.approx(row["gain"], abs=2e-4)
        assert row["low"] <= row["gain"] <= row["high"] and row["won"] + row["lost"] <= row["clips"]
        assert row["memory"] in strangers.MEMORIES and row["matcher"] in strangers.MATCHERS
    cost = {(row["matcher"], row["what"]): row["seconds"] for row in rows if row["part"] == "cost"}
    assert all(0 < cost[matcher, "20 steps"] < cost[matcher, "as shipped"] for matcher in strangers.MATCHERS)
