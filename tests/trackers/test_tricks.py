"""Mirrored frames, other sizes, several trackers: ensembles, and how they are asked for by name."""

import numpy as np
import pytest
import torch

from vosnb.benchmark import bench, describe, parse_tracker
from vosnb.clips import Clip
from vosnb.methods.matching import MatchingNet
from vosnb.trackers import Ensemble, HistogramTracker, MatchingTracker, StillTracker, make_tracker, segment
from vosnb.trackers.tricks import View


def square_clip(size=(48, 64), late=None, steps=5):
    """A red square that stands in the middle, and a blue one on its right, from frame `late` on."""
    frames, masks = np.full((steps, *size, 3), 90, np.uint8), np.zeros((steps, *size), np.uint8)
    frames[:, 8:24, 24:40], masks[:, 8:24, 24:40] = (200, 30, 30), 1
    if late is not None:
        frames[late:, 30:44, 44:60], masks[late:, 30:44, 44:60] = (30, 30, 200), 2
    return Clip.from_arrays("squares", frames, masks)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return MatchingNet().eval()


def probabilities(tracker, clip):
    return [p for *_, p in segment(tracker, clip) if p is not None]


def test_symmetric_frames_have_symmetric_answers_with_flip_and_not_without(net):
    plain, clip = MatchingTracker(net=net, device="cpu"), square_clip()
    for p in probabilities(Ensemble(plain, flip=True), clip):
        torch.testing.assert_close(p, p.flip(-1), atol=1e-5, rtol=1e-4)
    assert max((p - p.flip(-1)).abs().max() for p in probabilities(plain, clip)) > 1e-3


def test_an_ensemble_of_a_tracker_with_itself_is_that_tracker(net):
    clip = square_clip(late=2)
    for tracker in (MatchingTracker(net=net, device="cpu"), HistogramTracker()):
        for p, both in zip(probabilities(tracker, clip), probabilities(Ensemble(tracker, tracker), clip), strict=True):
            torch.testing.assert_close(both, p, atol=1e-5, rtol=1e-3)


def test_logits_are_averaged_not_probabilities():
    class Says(StillTracker):
        def __init__(self, p):
            super().__init__()
            self.p = p

        def _step(self, frame):
            return torch.stack([torch.full(frame.shape[:2], p) for p in (1 - self.p, self.p)])

    p, *_ = probabilities(Ensemble(Says(0.5), Says(0.999)), square_clip())
    by_hand = torch.sigmoid(torch.logit(torch.tensor(0.999)) / 2)
    torch.testing.assert_close(p[1], by_hand.expand_as(p[1]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("scale", "pixels"), [(0.5, (24, 32)), (1, (48, 64)), (1.5, (72, 96))])
def test_a_scale_is_what_the_network_works_at(net, scale, pixels, monkeypatch):
    seen, encode = [], MatchingNet.encode_query
    monkeypatch.setattr(MatchingNet, "encode_query", lambda self, x: (seen.append(x.shape[-2:]), encode(self, x))[1])
    tracker = Ensemble(MatchingTracker(net=net, short_side=48, device="cpu"), scales=[scale])
    for p in probabilities(tracker, square_clip()):
        assert p.shape == (2, 48, 64)
    assert {tuple(size) for size in seen} == {pixels}


def test_objects_that_join_keep_their_numbers_in_every_view(net):
    clip = square_clip(late=2)
    for tracker in (MatchingTracker(net=net, device="cpu"), HistogramTracker(), StillTracker()):
        tracker = Ensemble(tracker, flip=True, scales=(0.75, 1.0))
        shapes = [p.shape[0] for p in probabilities(tracker, clip)]
        assert shapes == [2, 2, 3, 3]
        torch.testing.assert_close(tracker.step(clip.frames[-1]).sum(0), torch.ones(48, 64), atol=1e-5, rtol=0)
    tracker = Ensemble(HistogramTracker(), flip=True, scales=(0.5, 1.0))
    last = list(segment(tracker, clip))[-1][1]
    assert (last == clip.masks[-1]).mean() > 0.98


def test_numbers_with_gaps_stay_what_they_are():
    clip = square_clip(late=0)
    tracker = Ensemble(HistogramTracker(), flip=True)
    tracker.start(clip.frames[0], np.where(clip.masks[0] == 2, 5, clip.masks[0]).astype(np.uint8))
    p = tracker.step(clip.frames[1])
    assert p.shape[0] == 6 and p[2:5].max() == 0
    np.testing.assert_array_equal(p.argmax(0) == 5, clip.masks[1] == 2)


def test_small_objects_outlive_a_coarse_grid():
    mask = np.zeros((40, 40), np.uint8)
    mask[11, 13], mask[30:36, 30:36] = 1, 2
    seen = View(mirrored=True, scale=0.25).mask(mask)
    assert seen.shape == (10, 10) and set(np.unique(seen)) == {0, 1, 2} and seen[2, 6] == 1


def test_the_trackers_that_were_given_are_left_alone(net):
    tracker, clip = MatchingTracker(net=net, short_side=48, device="cpu"), square_clip()
    before = probabilities(tracker, clip)
    probabilities(Ensemble(tracker, scales=(0.5, 2)), clip)
    assert tracker.short_side == 48
    torch.testing.assert_close(torch.stack(probabilities(tracker, clip)), torch.stack(before))


def test_tricks_by_name():
    plain = make_tracker("histogram", flip=False, scales=1)
    assert isinstance(plain, HistogramTracker)
    name, settings = parse_tracker("histogram++histogram@bins=4++still:flip=true:scales=1/1.25")
    tracker = make_tracker(name, **settings)
    kinds = [(type(member).__name__, getattr(member, "bins", None), *view) for member, view in tracker.members]
    views = [(False, 1.0), (True, 1.0), (False, 1.25), (True, 1.25)]
    trackers = [("HistogramTracker", 16), ("HistogramTracker", 4), ("StillTracker", None)]
    assert kinds == [(*one, *view) for one in trackers for view in views]
    same = make_tracker("histogram++still", scales=(1, 2))
    assert len(same.members) == 4


def test_they_can_be_benchmarked_and_other_weights_are_noticed(net):
    results = bench("histogram,histogram:flip=true,histogram++still", [square_clip()], progress=False)
    assert [row["tracker"] for row in results["rows"] if row["difficulty"] == "all"] == list(results["trackers"])
    torch.manual_seed(1)
    other = MatchingNet().eval()
    weights = {describe(Ensemble(MatchingTracker(net=n, device="cpu")), {})["weights"] for n in (net, other)}
    assert len(weights) == 2


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("still++histogran", {}, "Did you mean 'histogram'"),
        ("still++histogram@bin=4", {}, "no setting 'bin': it takes bins; all take flip and scales"),
        ("still++", {}, "a tracker without a name"),
        ("still", {"scales": "big"}, "write them as in 1/1.25"),
        ("still", {"flip": "true++histogram"}, "come after @"),
        ("still", {"scales": [1, 0]}, "above 0"),
        ("still", {"scales": []}, "at least one"),
    ],
)
def test_wrong_tricks_are_told(name, settings, says):
    with pytest.raises(ValueError, match=says):
        make_tracker(name, **settings)
