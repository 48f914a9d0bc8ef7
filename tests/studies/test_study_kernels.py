"""Tables 2 and 3 of S3: intervals over clips and seeds, and rows that add up."""

import json

import numpy as np
import pytest

from vosnb import benchmark, creatures
from vosnb.benchmark import interval
from vosnb.paths import RESULTS
from vosnb.studies import kernels
from vosnb.trackers import TRACKERS, make_tracker, parse_tracker


def test_an_interval_over_clips_and_seeds_is_wider_than_over_clips_where_seeds_differ():
    r = np.random.default_rng(0)
    clips = r.normal(0.02, 0.03, 40)
    alike, apart = np.stack([clips] * 3), clips + np.array([[-0.03], [0.0], [0.03]])
    over_clips = interval(clips)
    assert kernels.crossed_interval(alike) == pytest.approx(over_clips, abs=2e-3)
    low, high = kernels.crossed_interval(apart)
    assert low < over_clips[0] - 0.005 and high > over_clips[1] + 0.005


def records(gains: dict[str, float]) -> list[dict]:
    """Two seeds; row X scores 0.5 + gains[X] on clip a, 0.1 less on clip b, and seed 1 is 0.01 above seed 0."""
    return [
        {
            row: {
                clip: {"J": 0.5 + gain - 0.1 * (clip == "b") + 0.01 * seed, "difficulty": clip * 2}
                | {"frames": 10, "seconds": 2.0}
                for clip in "ab"
            }
            for row, gain in gains.items()
        }
        for seed in (0, 1)
    ]


def test_table_2_has_a_row_for_each_row_and_difficulty_and_its_gain_over_none():
    gains = dict(zip(kernels.ROWS, (0, 0.01, 0.02, 0.03, -0.04), strict=True))
    rows = {(row["row"], row["difficulty"]): row for row in kernels.table_2(records(gains))}
    assert len(rows) == 3 * len(gains)
    for name, gain in gains.items():
        row = rows[name, "all"]
        assert row["gain"] == row["low"] == row["high"] == pytest.approx(gain)
        assert (row["won"], row["lost"]) == (2 * (gain > 0), 2 * (gain < 0))
        assert row["J"] == pytest.approx(0.455 + gain) and row["fps"] == 5 and row["by_seed"] == [gain, gain]
    assert rows["both", "bb"]["J"] == pytest.approx(0.435) and rows["both", "bb"]["clips"] == 1


def test_the_matcher_is_compared_clip_by_clip(monkeypatch, tmp_path):
    clips = [creatures.generate(n, kind, "val", (64, 64), 4) for n, kind in enumerate(("easy", "twins"))]
    monkeypatch.setattr(kernels, "STUDIES", tmp_path)
    plain = {r["clip"]: r["J"] for r in benchmark.bench(["matching"], clips, objects="first")["clips"]}
    better = {name: {"J": J + 0.01} for name, J in plain.items()}
    rows = {(row["row"], row["difficulty"]): row for row in kernels.against_matcher(better, clips)}
    tricks = ("plain", "flip", "flip, matcher too")
    assert list(rows) == [(trick, kind) for trick in tricks for kind in ("all", "easy", "twins")]
    assert all(rows["plain", kind]["gain"] == pytest.approx(0.01) for kind in ("all", "easy", "twins"))
    J = {
        spec: np.mean([r["J"] for r in benchmark.bench([spec], clips, objects="first")["clips"]])
        for spec in ("kernels:flip=true", "matching:flip=true")
    }
    for trick, J_matching in (("flip", np.mean(list(plain.values()))), ("flip, matcher too", J["matching:flip=true"])):
        row = rows[trick, "all"]
        assert (row["J"], row["J_matching"]) == pytest.approx((J["kernels:flip=true"], J_matching), abs=1e-3)


def test_rows_are_of_trackers_that_there_are():
    for row in kernels.ROWS.values():
        assert kernels.name_of(*row) in TRACKERS
    for name, settings in map(parse_tracker, kernels.TRICKS.values()):
        assert make_tracker(name, **settings)


def test_the_stored_tables_are_whole():
    rows = json.loads((RESULTS / "kernels.json").read_text())["rows"]
    table_2 = [row for row in rows if row["study"] == "table 2" and row["difficulty"] == "all"]
    assert [row["row"] for row in table_2] == list(kernels.ROWS)
    for row in table_2:
        assert row["clips"] == 160 and row["seeds"] == len(row["by_seed"]) == 3
        assert row["gain"] == pytest.approx(row["J"] - table_2[0]["J"], abs=2e-4)
        assert (
            row["gain"] == pytest.approx(np.mean(row["by_seed"]), abs=2e-4) and row["low"] <= row["gain"] <= row["high"]
        )
    assert [row["row"] for row in rows if row["study"] == "table 3"] == list(kernels.TRICKS)
