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
from vosnb.studies import common, context, interactive
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


def test_the_stored_ablations_are_of_the_same_runs_as_table_1():
    """Where a study and the table on all clips ran the same tracker, the study's clips have the same J in both."""
    rows = json.loads((RESULTS / "context_ablations.json").read_text())["rows"]
    records = json.loads((RESULTS / "context.json").read_text())["clips"]
    for setting, tracker in {"excess": "", "S0-E3": ":loss=leak"}.items():
        row = next(row for row in rows if (row["study"], row["setting"]) == ("loss", setting))
        for key, name in {"J": f"matching+context:memory=first{tracker}", "J_without": "matching:memory=first"}.items():
            J = [r["J"] for r in records if (r["tracker"], r["difficulty"]) == (name, "twins")][: row["clips"]]
            assert len(J) == row["clips"] and row[key] == pytest.approx(np.mean(J), abs=5e-3), (setting, key)


def record(variant, clip, difficulty, J, seconds=1.0):
    return {
        "variant": variant,
        "clip": clip,
        "difficulty": difficulty,
        "J": [[j] for j in J],
        "F": [[j] for j in J],
        "seconds": [seconds] * len(J),
    }


def test_a_row_of_rounds_says_what_was_gained_over_the_reference():
    records = [
        record(variant, f"clip-{n}", kind, np.array([0.2, 0.4]) + shift + 0.1 * n)
        for variant, shift in (("plain", 0.0), ("better", 0.1))
        for n, kind in enumerate(("easy", "twins"))
    ]
    rows = {(row["variant"], row["difficulty"]): row for row in interactive.tabulate(records, reference="plain")}
    assert {key[1] for key in rows} == {"all", "lookalike+twins", "easy", "twins"}
    plain, better = rows["plain", "all"], rows["better", "all"]
    assert plain["gain"] == 0 and plain["won"] == plain["lost"] == 0
    assert (better["gain"], better["low"], better["high"]) == pytest.approx((0.1, 0.1, 0.1)) and better["won"] == 2
    assert better["J"] == pytest.approx([0.35] + [0.55] * 7)  # nothing more to correct: the last score stays
    assert better["mean_J"] == pytest.approx(np.mean(better["J"])) and better["JF60"] == pytest.approx(0.55)
    assert rows["better", "lookalike+twins"]["clips"] == 1
    assert better["AUC_gain"] == pytest.approx(better["AUC"] - plain["AUC"], abs=1e-3) and better["AUC_low"] > 0.09


def test_rounds_that_were_played_are_not_played_again(monkeypatch, tmp_path):
    monkeypatch.setattr(interactive, "ROOT", tmp_path)
    monkeypatch.setattr(interactive, "ROUNDS", 2)
    clips = [creatures.generate(1, "easy", "val", (64, 64), frames=3).only(1)]
    variants = {"ridge": {"parts": (("none", "matching"),)}}
    played = interactive.play_all("test", clips, variants)
    assert len(played) == 1 and len(played[0]["J"]) == len(played[0]["seconds"]) <= 2
    assert interactive.play_all("test", clips, variants) == played  # seconds and all: read, not played


def test_the_stored_rounds_hold_together():
    stored = json.loads((RESULTS / "interactive.json").read_text())
    assert {row["variant"] for row in stored["rows"]} == set(interactive.VARIANTS)
    for row in stored["rows"]:
        assert len(row["J"]) == 8 and row["mean_J"] == pytest.approx(np.mean(row["J"]), abs=1e-3)
        assert row["low"] <= row["gain"] <= row["high"]
        assert (row["gain"] == 0) >= (row["variant"] == row["reference"])
