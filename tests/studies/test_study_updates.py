"""The study of updates: ways differ in what is learned after frame 0 alone, and rows say what that gained."""

import numpy as np
import pytest

from vosnb import toys
from vosnb.methods.refinement import PhotographRefinementNet
from vosnb.studies import updates
from vosnb.trackers.target import TargetTracker


@pytest.fixture(scope="module")
def tracker():
    return TargetTracker(backbone="photos", net=PhotographRefinementNet(), short_side=96, hidden=8, augmented=3)


@pytest.fixture(scope="module")
def clips():
    return [toys.generate(seed, "twins", frames=5) for seed in (1, 2)]


def test_each_way_begins_with_the_d_of_frame_0_and_leaves_it_as_it_was(tracker, clips):
    clip = updates.whole_cells(clips[0], 96)
    tracker.start(clip.frames[0], (clip.masks[0] == 1).astype(np.uint8))
    D = tracker.targets[0]
    before, seen = D.w[1].clone(), [updates.look(tracker, clip.frames[t]) for t in range(1, 5)]
    J = {way: updates.follow(tracker, clip, seen, D, **how) for way, how in updates.WAYS.items()}
    assert (D.w[1] == before).all() and D.memory.filled == 3 and D.memory.rate == tracker.settings.rate
    np.testing.assert_allclose(J["own masks"][:2], J["no update"][:2])  # the first update comes after frame 2
    np.testing.assert_allclose(J["every 8th frame"], J["no update"])
    assert (J["the truth"] != J["no update"]).any() and (J["rate 0.05"] != J["own masks"]).any()
    assert (updates.follow(tracker, clip, seen, D, sure=1.1) != J["own masks"]).any()


def test_rows_hold_gains_over_no_updates_and_every_clip(monkeypatch, tracker, clips):
    J = iter([0.5, 0.7])
    monkeypatch.setattr(updates, "measure", lambda *_: {way: next(J) if way == "no update" else 0.8 for way in WAYS})
    rows = updates.rows_of(clips, tracker)
    assert [row["way"] for row in rows[:6]] == WAYS[1:] and all(row["gain"] == 0.2 for row in rows[:6])
    assert rows[0]["won"] == rows[0]["clips"] == 2 and rows[0]["J_without"] == 0.6
    assert [row["clip"] for row in rows[6:]] == [clip.name for clip in clips] and rows[7]["no update"] == 0.7


WAYS = list(updates.WAYS)
