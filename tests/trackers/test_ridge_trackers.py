"""The closed form at work: as a tracker from a first mask, and from scribbles on a whole clip (S2 2.3, 2.4)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vosnb import creatures
from vosnb.efficientnet import load_photographs
from vosnb.features import double, standardise
from vosnb.methods.ridge import ridge
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import Scribble
from vosnb.methods.st_rnn import untrained
from vosnb.metrics import jaccard
from vosnb.trackers import make_tracker, segment
from vosnb.trackers.base import fit_frame
from vosnb.trackers.interactive import PHOTOS, ClipFeatures, PaperSegmenter, at_pixels
from vosnb.trackers.ridge import PixelFeatures
from vosnb.trackers.session import InteractiveSession

NAMES = ("ridge", "ridge+rnn", "ridge+st-rnn")


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(3, "easy", "val", (64, 96), frames=5)


@pytest.fixture(scope="module")
def features(clip):
    return ClipFeatures(clip.frames, device="cpu")


@pytest.fixture(scope="module")
def images(clip):
    return torch.cat([fit_frame(frame, 240, "cpu") for frame in clip.frames])


@pytest.fixture(scope="module")
def truth(clip):
    return np.stack(list(clip.masks))


def stroke(truth, k, t=0):
    """A short one well inside object k of frame t."""
    y, x = np.argwhere(truth[t] == k).mean(0)
    rows, columns = truth.shape[1:]
    return Scribble(t, k, np.array([[x / columns, y / rows], [(x + 3) / columns, y / rows]]))


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_finds_the_object_of_the_first_mask_again(clip, truth, name):
    answers = [mask for _, mask, _ in segment(make_tracker(name, device="cpu"), clip.only(1))]
    assert jaccard(truth[1] == 1, answers[1] == 1) > 0.4


@pytest.mark.parametrize("name", NAMES)
def test_frames_in_a_row_are_described_as_all_at_once_up_to_the_scales_of_the_first(images, name):
    context = name.removeprefix("ridge").removeprefix("+") or "none"
    together, in_turn = PixelFeatures(context, "metric"), PixelFeatures(context, "metric")
    whole = together(images)
    in_turn.scales = together.scales  # of all frames
    again = torch.cat([in_turn(image[None]) for image in images])
    torch.testing.assert_close(again, whole, atol=1e-2, rtol=0)  # maps are kept in half precision
    assert whole.shape[1] == 48 + 128 + (48 if context != "none" else 0) + 1


def test_photographs_backbone_describes_a_pixel_by_three_strides_and_a_constant(clip):
    images = fit_frame(clip.frames[0], 240, "cpu").repeat(2, 1, 1, 1)
    together, in_turn = PixelFeatures(), PixelFeatures()
    X = together(images)
    assert X.shape == (2, 16 + 24 + 232 + 1, images.shape[-2] // 4, images.shape[-1] // 4)
    torch.testing.assert_close(X[:, :40].mean((0, 2, 3)), torch.zeros(40), atol=1e-4, rtol=0)
    torch.testing.assert_close(X[:, :40].std((0, 2, 3)), torch.ones(40), atol=0.01, rtol=0)
    assert (X[:, -1] == 1).all()
    at8 = standardise(load_photographs().maps(images)[2])
    torch.testing.assert_close(X[:, 40:-1], double(at8), atol=1e-2, rtol=0)
    in_turn.scales = together.scales
    torch.testing.assert_close(torch.cat([in_turn(image[None]) for image in images]), X, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("context", ["rnn", "st-rnn"])
def test_recurrences_join_photographs_maps_or_stand_alone_frame_by_frame_as_all_at_once(images, context):
    net, images = untrained(), images[:3]
    joined, alone = PixelFeatures(context, net=net), PixelFeatures(context, net=net, alone=True)
    X = joined(images)
    assert X.shape[1] == 272 + 48 + 1
    torch.testing.assert_close(alone(images), X[:, 272:])
    rnn = {"rnn": net.spatial, "st-rnn": net.temporal}[context]
    at8 = standardise(load_photographs().maps(images)[2])
    y = standardise(rnn(at8[:, None])[:, 0].detach())
    torch.testing.assert_close(X[:, 272:-1], double(y), atol=1e-2, rtol=0)
    alone.begin()
    alone.scales = joined.scales
    torch.testing.assert_close(torch.cat([alone(image[None]) for image in images]), X[:, 272:], atol=1e-3, rtol=1e-3)


def test_a_tracker_forgets_a_clip_before_the_next_one(clip):
    tracker = make_tracker("ridge+st-rnn", device="cpu")
    first, again = ([p for p, *_ in segment(tracker, clip.only(1))] for _ in range(2))
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one, other)


def test_the_ridge_on_photographs_looks_at_240_pixels_and_finds_the_object_again(clip, truth):
    tracker = make_tracker("ridge:backbone=photos", device="cpu")
    assert tracker.short_side == 240 and make_tracker("ridge", device="cpu").short_side == 128
    answers = [mask for _, mask, _ in segment(tracker, clip.only(1))]
    assert jaccard(truth[1] == 1, answers[1] == 1) > 0.4


def test_only_time_brings_earlier_frames_into_a_description(images):
    for context, hears in (("none", False), ("rnn", False), ("st-rnn", True)):
        two = [PixelFeatures(context, "metric") for _ in range(2)]
        for one, first in zip(two, (0, 3), strict=True):
            one.scales = {name: (0.0, 1.0) for name in ("4", "8", "rnn")}
            one(images[first : first + 1])
        after = [one(images[4:]) for one in two]
        assert torch.allclose(*after, atol=1e-5) != hears


def test_classifying_and_interpolating_may_change_places(features, truth):
    X = features.X(("none", "matching"), 0)
    W = torch.randn(len(X), 2, generator=torch.Generator().manual_seed(0))
    scores = F.interpolate(torch.einsum("dc,dhw->chw", W, X)[None], truth.shape[1:], mode="bilinear")[0]
    y, x = np.array([0, 10, 33, 63]), np.array([0, 50, 20, 95])
    torch.testing.assert_close(W.T @ at_pixels(X, y, x, truth.shape[1:]), scores[:, y, x], atol=1e-4, rtol=1e-4)


def test_rounds_are_the_same_as_solving_afresh_and_undo_takes_them_back(features, truth):
    segmenter = PaperSegmenter(features, negatives=1)
    first = segmenter.add([stroke(truth, 1)])
    sums = segmenter.ridges[0].XX.clone()
    second = segmenter.add([stroke(truth, 2, 3), stroke(truth, 1, 2)])
    assert set(np.unique(first)) == {0, 1} and set(np.unique(second)) == {0, 1, 2}
    labels = []
    columns = []
    for t, some in segmenter.rounds[-1]["samples"].items():
        for y, x, found in some:
            columns.append(at_pixels(features.X(PHOTOS, t), y, x, truth.shape[1:]))
            labels.append(found)
    labels = torch.from_numpy(np.concatenate(labels)).long()
    torch.testing.assert_close(
        segmenter.W[0], ridge(torch.cat(columns, 1), F.one_hot(labels).T, 10.0).float(), atol=1e-5, rtol=1e-4
    )
    assert (labels > 0).sum() == (labels == 0).sum()
    np.testing.assert_array_equal(segmenter.undo(), first)
    torch.testing.assert_close(segmenter.ridges[0].XX, sums)
    np.testing.assert_array_equal(segmenter.add([stroke(truth, 2, 3), stroke(truth, 1, 2)]), second)
    segmenter.undo(), segmenter.undo()
    assert not segmenter.masks.any() and not segmenter.scribbles
    np.testing.assert_array_equal(segmenter.undo(), segmenter.masks)  # nothing left to take back


def test_a_robot_brings_a_clip_towards_its_truth(clip, truth):
    parts = (("st-rnn", "metric"), ("none", "matching"))
    session = InteractiveSession(clip, PaperSegmenter(clip.frames, parts), Robot())
    rows = session.run()
    assert np.mean(rows[-1].J) > np.mean(rows[0].J) + 0.1


def test_the_last_round_propagates_annotated_masks(features, truth):
    segmenter = PaperSegmenter(features, propagated=0.9)
    before = segmenter.add([stroke(truth, 1), stroke(truth, 2)]).copy()
    after = segmenter.finish()
    assert (after[0] == before[0]).all() and (after[1:] != before[1:]).any()
    plain = PaperSegmenter(features)
    kept = plain.add([stroke(truth, 1)]).copy()
    np.testing.assert_array_equal(plain.finish(), kept)


def test_bad_input_is_told_and_changes_nothing(features, truth):
    segmenter = PaperSegmenter(features)
    kept = segmenter.add([stroke(truth, 1)]).copy()
    for scribbles, says in (([], "draw on frames 0 to 4"), ([Scribble(9, 1, [[0.5, 0.5]])], "draw on frames 0 to 4")):
        with pytest.raises(ValueError, match=says):
            segmenter.add(scribbles)
    np.testing.assert_array_equal(segmenter.masks, kept)
    assert len(segmenter.scribbles) == 1
    with pytest.raises(ValueError, match="above 0"):
        PaperSegmenter(features, lam=0)
    with pytest.raises(ValueError, match="share=1.0 does not fit: take a number between 0 and 1"):
        make_tracker("ridge", share=1.0)
    with pytest.raises(ValueError, match="leaves nothing to see"):
        PixelFeatures("none", alone=True)
    with pytest.raises(ValueError, match="choose from none"):
        PaperSegmenter(features, parts=(("lstm", "metric"),))


def test_background_alone_makes_everything_background(features, truth):
    assert not PaperSegmenter(features).add([stroke(truth, 1), Scribble(1, 0, [[0.1, 0.1]])][1:]).any()


def test_an_object_without_a_scribble_is_nowhere(features, truth):
    masks = PaperSegmenter(features).add([Scribble(0, 2, stroke(truth, 1).path)])
    assert set(np.unique(masks)) == {0, 2}  # its class, 1, has no sample; not even at the border


def test_an_object_that_joins_gets_a_class_of_its_own(clip, truth):
    tracker = make_tracker("ridge", device="cpu")
    tracker.start(clip.frames[0], np.where(truth[0] == 1, 1, 0))
    tracker.step(clip.frames[1])
    tracker.add(clip.frames[1], np.where(truth[1] == 2, 2, 0))
    p = tracker.step(clip.frames[2])
    assert p.shape == (3, *truth.shape[1:]) and torch.allclose(p.sum(0), torch.ones(()), atol=1e-5)
    assert jaccard(truth[2] == 2, p.argmax(0).numpy() == 2) > 0.3
