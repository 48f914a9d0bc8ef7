"""S0's premise: a row for each file of weights and memory, with what the file says of its training."""

import json
import sys

from vosnb.datasets import load
from vosnb.paths import DATA, WEIGHTS
from vosnb.studies import common, premise


def test_rows_name_the_training_and_a_second_run_takes_what_is_there(monkeypatch, tmp_path):
    monkeypatch.setattr(premise, "load", lambda folder, split: [clip.subclip(0, 3) for clip in load(folder, split)])
    monkeypatch.setattr(common, "ROOT", tmp_path)
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    file = str(WEIGHTS / "matching-photos.safetensors")
    monkeypatch.setattr(sys, "argv", ["premise", str(DATA / "toys"), file, "--split", "test", "--clips", "1"])
    premise.main()
    rows = json.loads((tmp_path / "premise.json").read_text())["rows"]
    assert [row["memory"] for row in rows] == ["static", "updated"]
    assert {(row["weights"], row["steps"], row["clips"]) for row in rows} == {("matching-photos", "1600", 1)}
    assert all(abs(row["J"] - row["J_without"] - row["gain"]) < 2e-4 for row in rows)
    monkeypatch.setattr("vosnb.trackers.matching.MatchingTracker._step", None)  # would fail if it ran again
    premise.main()
    assert json.loads((tmp_path / "premise.json").read_text())["rows"] == rows
