"""Table 1 and figure 3 of S4: the search for a rate, rows that add up, trackers that there are."""

import json

import numpy as np
import pytest

from vosnb.paths import RESULTS
from vosnb.studies import one_shot
from vosnb.trackers import make_tracker, parse_tracker

RATES = {T: 0.1 for part in one_shot.PARTS.values() for T in part.steps}


def record(clip: str, J: float) -> dict:
    return {"clip": clip, "difficulty": clip * 2, "J": J, "F": 0.4, "JF": (J + 0.4) / 2} | {
        "frames": 10,
        "seconds": 2.0,
        "start_s": 3.0,
    }


@pytest.mark.parametrize("part", one_shot.PARTS)
def test_rows_and_curves_are_of_trackers_that_there_are(part):
    table, curves = one_shot.PARTS[part].played(RATES)
    assert all(against is None or against in table for _, against in table.values())
    specs = [spec for spec, _ in table.values()] + [spec for curve in curves.values() for spec in curve.values()]
    for name, settings in map(parse_tracker, specs):
        assert make_tracker(name, **settings)
    for curve in curves.values():
        for T, spec in curve.items():
            assert parse_tracker(spec)[1]["steps"] == T


def test_the_search_takes_the_best_rate_for_each_number_of_steps(monkeypatch):
    best = {1: 0.4, 3: 0.2, 5: 0.2, 10: 0.2, 20: 0.1, 50: 0.05, 100: 0.05}

    def play(run, specs, clips):
        assert len(clips) == 2 and all(clip.info["split"] == "val" for clip in clips)
        settings = {spec: parse_tracker(spec)[1] for spec in specs}
        return {spec: [record("a", 0.5 - abs(best[s["steps"]] - s["rate"]))] for spec, s in settings.items()}

    monkeypatch.setattr(one_shot, "play", play)
    rows, rates = one_shot.search("u-net", 2)
    assert rates == best and len(rows) == 7 * 5
    assert [row["J"] for row in rows if row["T"] == 10] == pytest.approx([0.32, 0.35, 0.4, 0.5, 0.3])


def test_a_row_is_compared_clip_by_clip_with_the_one_it_names():
    records = {"x": [record("a", 0.5), record("b", 0.7)], "y": [record("a", 0.6), record("b", 0.65)]}
    rows = one_shot.tabulate({"plain": ("x", None), "better": ("y", "plain")}, records)
    assert [(row["row"], row["difficulty"]) for row in rows] == [
        (n, d) for n in ("plain", "better") for d in ("all", "aa", "bb")
    ]
    assert rows[0]["J"] == pytest.approx(0.6) and "gain" not in rows[0] and rows[0]["fps"] == 5
    assert rows[3]["gain"] == pytest.approx(0.025) and (rows[3]["won"], rows[3]["lost"]) == (1, 1)
    assert rows[5]["gain"] == pytest.approx(-0.05) and rows[5]["clips"] == 1


def test_a_point_counts_the_time_for_the_first_frame():
    (point,) = one_shot.points({"learned": {10: "x"}}, {"x": [record("a", 0.5), record("b", 0.7)]})
    assert point["T"] == 10 and point["J"] == pytest.approx(0.6)
    assert point["fps"] == pytest.approx(22 / 10)  # eleven frames a clip, in five seconds


def test_the_stored_table_is_whole():
    rows = json.loads((RESULTS / "one_shot.json").read_text())["rows"]
    rates = [row for row in rows if row["study"] == "rate"]
    for part in one_shot.PARTS.values():
        tried = {(row["T"], row["rate"]): row["J"] for row in rates if row["tracker"] == part.parent}
        assert set(tried) == {(T, rate) for T in part.steps for rate in part.rates}
        best = {T: max(part.rates, key=lambda rate, T=T: tried[T, rate]) for T in part.steps}
        table, curves = part.played(best)
        stored = {row["row"]: row for row in rows if row["study"] == "table 1" and row["difficulty"] == "all"}
        for name, (spec, against) in table.items():
            assert (
                stored[name]["tracker"] == spec and stored[name]["J_low"] <= stored[name]["J"] <= stored[name]["J_high"]
            )
            if against:
                assert stored[name]["gain"] == pytest.approx(stored[name]["J"] - stored[against]["J"], abs=2e-4)
        points = {(row["curve"], row["T"]): row for row in rows if row["study"] == "figure 3"}
        for curve, specs in curves.items():
            for T, spec in specs.items():
                assert points[curve, T]["tracker"] == spec and points[curve, T]["fps"] > 0
    assert np.isfinite([row["J"] for row in rows]).all()
