"""The study of S2's recurrences: trackers and steps have their rows in each list, and rows of other parts stay."""

import json
import sys

import pytest

from vosnb import toys
from vosnb.methods.st_rnn import Recurrences, untrained
from vosnb.studies import common, st_rnn
from vosnb.trackers import ridge


@pytest.fixture
def cheap(monkeypatch, tmp_path):
    clips = [toys.generate(seed, "easy", size=(64, 96), frames=3) for seed in range(2)]
    for module, name, value in (
        (st_rnn, "load", lambda folder, split: clips),
        (st_rnn.creatures, "generate", lambda seed, *given: clips[seed % 2]),
        (st_rnn.toys, "generate", lambda seed, *given, **how: clips[seed % 2]),
        (st_rnn, "CLIPS", 2),
        (st_rnn, "FRAMES", 3),
        (st_rnn, "TRACKERS", {name: st_rnn.TRACKERS[name] for name in ("none", "deaf", "alone")}),
        (st_rnn, "STEPS", {name: st_rnn.STEPS[name] for name in ("more features, deaf", "alone")}),
        (st_rnn, "LAMBDAS", {"lambda 1": {"lam": 1.0}}),
        (st_rnn, "load_weights", lambda *given: untrained(1)),
        (ridge, "load_weights", lambda *given: untrained(1)),
        (st_rnn, "RESULTS", tmp_path),
        (st_rnn, "ROOT", tmp_path),
        (common, "RESULTS", tmp_path),
        (common, "ROOT", tmp_path),
    ):
        monkeypatch.setattr(module, name, value)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["st_rnn", "folder", *arguments])
        st_rnn.main()
        return json.loads((tmp_path / "st_rnn.json").read_text())["rows"]

    return run


def test_trackers_and_steps_have_rows_in_three_worlds_and_rows_of_other_parts_stay(cheap):
    rows = cheap("--part", "mask")
    names = [*st_rnn.TRACKERS, *st_rnn.STEPS]
    assert [(row["list"], row.get("tracker") or row["step"]) for row in rows] == [
        (name, what) for name in ("creatures", "toys", "dev") for what in names
    ]
    J = {(row["list"], row["tracker"]): row["J"] for row in rows if "tracker" in row}
    for row in rows:
        if "step" in row:
            assert row["J_before"] == J[row["list"], row["before"]] and row["J_after"] == J[row["list"], row["after"]]
            assert row["J_after"] - row["J_before"] == pytest.approx(row["gain"], abs=2e-4)
    later = cheap("--part", "settings")
    assert later[: len(rows)] == rows and [row["list"] for row in later[len(rows) :]] == ["creatures", "dev"]


def test_a_control_stands_in_the_trained_recurrences_place(cheap):
    encoder = st_rnn.Once()
    deaf = st_rnn.made(st_rnn.RidgeTracker, encoder, "deaf", context="st-rnn").features
    assert isinstance(deaf.net, Recurrences) and not deaf.rnn.K.any() and not deaf.rnn.K_d.any()
    assert st_rnn.made(st_rnn.StrokesTracker, encoder, "untrained", context="st-rnn", alone=True).features.alone
