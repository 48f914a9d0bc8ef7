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
from vosnb.studies import common, context
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
