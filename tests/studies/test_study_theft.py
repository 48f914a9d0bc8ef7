"""The study of theft: its scenes differ in their companions alone, and its meter reads what it should."""

import numpy as np
import torch

from vosnb.course.cells import coverage, groups
from vosnb.methods.context import heat_shares
from vosnb.studies import theft


def test_strangers_stand_in_the_place_of_twins():
    twins, strangers = (theft.scene("toys", 6_000_001, company, 2) for company in theft.COMPANY)
    assert groups(twins)["look-alikes"] and not groups(twins)["others"]
    assert groups(strangers)["others"] == groups(twins)["look-alikes"] and not groups(strangers)["look-alikes"]
    for t in range(2):
        target = [clip.masks[t] == 1 for clip in (twins, strangers)]
        assert (target[0] & target[1]).sum() > 0.8 * (target[0] | target[1]).sum()  # but for who stands in front of it


def test_the_meter_keeps_what_the_decoder_is_given_and_memory_changes_it():
    clip = theft.scene("creatures", 6_000_000, "twins", 3)
    found = {}
    for name, schedule in theft.MEMORIES.items():
        tracker = theft.Metered(schedule, backbone="photos", short_side=96)
        small = clip.resized(96, 96)
        found[name] = theft.measure(tracker, small)
        assert tracker.heat.shape == (12 * 12,) and 0 <= tracker.heat.min() <= tracker.heat.max() <= 1.001
        shares = heat_shares(tracker.heat, coverage(small, 2))
        assert abs(shares.sum().item() - 1) < 1e-5 and 0 < found[name]["stolen"] < 1
    assert found["static"] != found["updated"]


def test_rows_hold_means_and_paired_differences(monkeypatch):
    values = iter([(0.4, 0.5), (0.3, 0.6), (0.1, 0.9), (0.1, 0.9)] * 3)  # twins static, updated, strangers alike
    monkeypatch.setattr(theft, "scene", lambda *_: None)
    monkeypatch.setattr(theft, "measure", lambda *_: dict(zip(("stolen", "J"), next(values), strict=True)))
    rows = theft.rows_of("toys", range(3), dict.fromkeys(theft.MEMORIES))
    means = {(row["company"], row["memory"]): row["stolen"] for row in rows if "company" in row}
    assert means == {
        ("twins", "static"): 0.4,
        ("twins", "updated"): 0.3,
        ("strangers", "static"): 0.1,
        ("strangers", "updated"): 0.1,
    }
    gains = [row["gain"] for row in rows if "step" in row]
    np.testing.assert_allclose(gains, [0.2, -0.3, -0.1, 0.1], atol=1e-9)


def test_heat_shares_by_hand():
    h = torch.tensor([0.8, 0.4, 0.0, 0.4])
    groups = torch.tensor([[1, 0.5, 0, 0], [0, 0.5, 1, 0], [0, 0, 0, 1.0]])
    torch.testing.assert_close(heat_shares(h, groups), torch.tensor([1.0, 0.2, 0.4]) / 1.6)
    assert heat_shares(torch.zeros(4), groups).isnan().all()
