"""The ablations: keys cut to fewer channels, and rows that say what was compared with what."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from vosnb import creatures
from vosnb.features import load_weights
from vosnb.methods.matching import MatchingNet, affinity
from vosnb.paths import RESULTS
from vosnb.studies import common, context, interactive, real
from vosnb.trackers import make_tracker


@pytest.fixture(scope="module")
def net():
    return load_weights(MatchingNet(), "matching")


@pytest.fixture(scope="module")
def clips():
    return [creatures.generate(seed, "twins", "val", frames=5) for seed in (1, 2)]


def logits(net, clip):
    query, memory = context.first_frame(make_tracker("matching", net=net), clip)
    with torch.no_grad():
        q, m = net.query_key(net.query_encoder(*query)[-1]), net.memory_key(net.memory_encoder(*memory))
    return q.flatten(2), m.flatten(2)


def test_keys_of_full_width_keep_their_affinity_and_narrower_ones_lose_the_less_the_wider_they_are(net, clips):
    A = affinity(*logits(net, clips[0]))
    lost = []
    for width in (4, 16, 32):
        narrow = context.narrow_keys(net, width, clips)
        assert logits(narrow, clips[0])[0].shape[1] == narrow.query_key.out_channels == width
        lost.append((affinity(*logits(narrow, clips[0])) - A).abs().sum(-1).mean().item())
    assert lost[0] > lost[1] > lost[2] and lost[2] < 0.02
    assert net.query_key.out_channels == 32  # the one that was given is as it was


def test_a_row_says_what_was_gained_over_what_and_where_affinity_goes(net, clips, monkeypatch, tmp_path):
    monkeypatch.setattr(common, "ROOT", tmp_path)
    plain = partial(make_tracker, "matching", memory="first", net=net)
    adapted = {str(n): partial(make_tracker, "matching+context", memory="first", net=net, steps=n) for n in (0, 20)}
    found = context.compare("test", plain, adapted, clips)
    none, some = found["0"], found["20"]
    assert none["clips"] == 2 and none["loss"] == 1
    assert none["gain"] == pytest.approx(0, abs=1e-3)
    assert none["h_alike"] == none["h_alike_before"]
    assert some["loss"] < 0.9 and some["h_alike"] < some["h_alike_before"]
    assert some["J"] - some["J_without"] == pytest.approx(some["gain"], abs=1e-5)


def test_keys_that_were_told_of_frame_0_alone_are_those_of_the_tracker(net, clips):
    clip = clips[0].only(1)
    tracker = make_tracker("matching+context", memory="first", net=net, steps=5)
    told = {times: context.ToldTracker(clip, times, memory="first", net=net, steps=5) for times in ((0,), (0, 4))}
    for each in (tracker, *told.values()):
        each.start(clip.frames[0], clip.first_mask)
    weights = [each.net.query_key.weight for each in (tracker, *told.values())]
    torch.testing.assert_close(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2], atol=1e-5)


def test_the_stored_ablations_are_of_the_same_runs_as_table_1():
    """Where a study and the table on all clips ran the same tracker, the study's clips have the same J in both."""
    rows = json.loads((RESULTS / "context_ablations.json").read_text())["rows"]
    records = json.loads((RESULTS / "context.json").read_text())["clips"]
    for setting, tracker in {"excess": "", "S0-E3": ":loss=leak"}.items():
        row = next(row for row in rows if (row["study"], row["setting"]) == ("loss", setting))
        for key, name in {"J": f"matching+context:memory=first{tracker}", "J_without": "matching:memory=first"}.items():
            J = [r["J"] for r in records if (r["tracker"], r["difficulty"]) == (name, "twins")][: row["clips"]]
            assert len(J) == row["clips"] and row[key] == pytest.approx(np.mean(J), abs=5e-3), (setting, key)


def test_a_step_on_real_clips_says_what_came_after_what(clips, monkeypatch, tmp_path):
    monkeypatch.setattr(real, "ROOT", tmp_path)
    monkeypatch.setattr(
        real, "STEPS", {"easy": {"cues": ("still", "histogram")}, "S0": {"keys": ("still", "matching")}}
    )
    cues, keys = real.rows(clips)
    assert (cues["method"], cues["step"], cues["before"], cues["after"]) == ("easy", "cues", "still", "histogram")
    assert cues["J_before"] == keys["J_before"] and keys["J_after"] > keys["J_before"] + 0.1
    for row in (cues, keys):
        assert row["clips"] == 2 and row["gain"] == pytest.approx(row["J_after"] - row["J_before"], abs=2e-4)


def test_the_stored_steps_on_real_clips_are_those_of_the_study():
    rows = json.loads((RESULTS / "real.json").read_text())["rows"]
    stored = {(row["method"], row["step"]): (row["before"], row["after"]) for row in rows}
    assert stored == {(method, step): pair for method, steps in real.STEPS.items() for step, pair in steps.items()}
    assert all(row["low"] <= row["gain"] <= row["high"] and row["won"] + row["lost"] <= row["clips"] for row in rows)


def record(variant, clip, difficulty, J, seconds=1.0):
    return {
        "variant": variant,
        "clip": clip,
        "difficulty": difficulty,
        "J": [[j] for j in J],
        "F": [[j] for j in J],
        "seconds": [seconds] * len(J),
    }


def test_rows_of_rounds_have_areas_gains_and_their_intervals():
    def record(variant, clip, J):
        about = {"answered": [0.1] * len(J), "honoured": [1.0], "lowered": 0}
        return (
            {"variant": variant, "clip": clip, "J": [[x] for x in J], "F": [[x] for x in J]}
            | about
            | {"seconds": [0.2] * len(J)}
        )

    records = [record("S2 as printed", "a", [0.2, 0.4]), record("S2 as printed", "b", [0.3, 0.5])]
    records += [record("ours", "a", [0.3, 0.5]), record("ours", "b", [0.4, 0.6])]
    plain, better = interactive.tabulate(records)
    assert "gain" not in plain and better["reference"] == "S2 as printed"
    assert (better["gain"], better["low"], better["high"]) == pytest.approx((0.1, 0.1, 0.1)) and better["won"] == 2
    assert better["J"] == pytest.approx([0.35] + [0.55] * 7)  # nothing more to correct: the last score stays
    assert better["mean_JF"] == pytest.approx(np.mean(better["JF"])) and better["JF60"] == pytest.approx(0.55)


def test_rounds_that_were_played_are_not_played_again(monkeypatch, tmp_path):
    monkeypatch.setattr(interactive, "ROOT", tmp_path)
    clips = [creatures.generate(1, "easy", "val", (128, 128), frames=3).only(1)]
    played = interactive.play_all("test", clips, ["without propagation"], 1)
    assert len(played) == 1 and len(played[0]["J"]) == len(played[0]["seconds"]) <= 8
    assert min(played[0]["honoured"]) == 1.0
    assert (
        interactive.play_all("test", clips, ["without propagation"], 1) == played
    )  # seconds and all: read, not played


def test_the_stored_rounds_hold_together():
    stored = json.loads((RESULTS / "interactive.json").read_text())
    for row in stored["rows"]:
        assert row["variant"] in interactive.VARIANTS and len(row["J"]) == len(row["JF"]) == 8
        assert row["mean_JF"] == pytest.approx(np.mean(row["JF"]), abs=1e-3)
        if "gain" in row:
            assert row["low"] <= row["gain"] <= row["high"]
        if row["variant"] in ("ours", "without propagation"):
            assert row["honoured"] == 1.0
