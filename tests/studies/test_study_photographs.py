"""The study of S1 on photographs: each part has its rows, and rows of other parts stay."""

import json
import sys
from functools import partial

import pytest

from vosnb import toys
from vosnb.studies import common, photographs


@pytest.fixture
def cheap(monkeypatch, tmp_path):
    sees, s1 = photographs.sees, photographs.s1
    small = {"short_side": 64, "augmented": 2, "hidden": 4, "gauss_newton": 1}
    parts = {
        "features": (partial(sees, **small), sees, {"stride 8 alone": small | {"maps": (0,)}}, 1),
        "tuning": (
            partial(s1, "base-net", short_side=64),
            partial(s1, "base-net+finetune"),
            {"one step": {"short_side": 64, "finetune": 1}},
            2,
        ),
    }
    clips = [toys.generate(seed, "easy", size=(64, 96), frames=4) for seed in range(2)]
    for module, name, value in (
        (photographs, "load", lambda folder, split: clips),
        (photographs.creatures, "generate", lambda seed, *given: clips[seed % 2]),
        (photographs, "KINDS", ("easy", "twins")),
        (photographs, "PARTS", parts),
        (photographs, "COSTS", ("target-model",)),
        (photographs, "SIZE", (64, 96)),
        (photographs, "TIMED", 2),
        (photographs, "RESULTS", tmp_path),
        (common, "RESULTS", tmp_path),
        (common, "ROOT", tmp_path),
    ):
        monkeypatch.setattr(module, name, value)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["photographs", "folder", *arguments])
        photographs.main()
        return json.loads((tmp_path / "target_photos.json").read_text())["rows"]

    return run


def test_parts_have_rows_for_each_list_and_rows_of_other_parts_stay(cheap):
    rows = cheap("--part", "features")
    assert [(row["list"], row["setting"], row["clips"]) for row in rows] == [
        ("dev", "stride 8 alone", 2),
        ("creatures", "stride 8 alone", 2),
    ]
    for row in rows:
        assert row["J"] - row["J_without"] == pytest.approx(row["gain"], abs=2e-4)
    later = cheap("--part", "cost", "--part", "tuning")
    assert later[:2] == rows and [row["part"] for row in later[2:]] == ["cost", "tuning", "tuning"]
    assert later[2]["start_s"] > 0 and later[2]["fps"] > 0
    assert [row["clips"] for row in later[3:]] == [1, 1]
