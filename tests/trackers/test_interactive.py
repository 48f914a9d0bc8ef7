"""Strokes in, masks out: what is law, what may change, what is carried through the clip and taken back."""

import numpy as np
import pytest

from vosnb import toys
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import NO_INK, Scribble, draw
from vosnb.metrics import jaccard
from vosnb.trackers.interactive import ClipFeatures, InteractiveSegmenter
from vosnb.trackers.session import InteractiveSession


@pytest.fixture(scope="module")
def clip():
    return toys.generate(4, "easy", size=(192, 256), frames=6).subclip(0, 6)


@pytest.fixture(scope="module")
def features(clip):
    return ClipFeatures(clip.frames, device="cpu")


@pytest.fixture(scope="module")
def truth(clip):
    return np.stack(list(clip.masks))


def robot_on(truth, masks=None, t=0, k=None):
    found = Robot().scribbles(truth, masks, t)
    return [s for s in found if k is None or s.object == k]


def painted(segmenter):
    """The labels that the ink of every painted frame has, and those of the masks there."""
    for t in segmenter.corrected:
        ink = segmenter._ink([s for s in segmenter.scribbles if s.frame == t])
        yield ink[ink != NO_INK], segmenter.masks[t][ink != NO_INK]


def test_a_stroke_answers_on_its_frame_and_propagation_on_all_others(features, truth):
    segmenter = InteractiveSegmenter(features)
    masks = segmenter.add(robot_on(truth, k=1))
    assert jaccard(truth[0] == 1, masks[0] == 1) > 0.5 and not masks[1:].any()
    first = masks[0].copy()
    steps = [(done, total) for done, total, _ in segmenter.propagate()]
    assert steps == [(n + 1, len(steps)) for n in range(len(steps))]
    np.testing.assert_array_equal(segmenter.masks[0], first)
    assert np.mean(jaccard(truth[1:] == 1, segmenter.masks[1:] == 1)) > 0.5


def test_ink_is_law_through_rounds_of_all_objects(clip, features, truth):
    segmenter = InteractiveSegmenter(features)
    session = InteractiveSession(clip, segmenter, Robot(), rounds=3, max_time=None)
    rows = session.run()
    assert rows[-1].JF > 0.6 and all(0 < row.answered < row.seconds for row in rows)
    for wanted, found in painted(segmenter):
        np.testing.assert_array_equal(wanted, found)
    again = segmenter.finish()
    for wanted, found in painted(segmenter):
        np.testing.assert_array_equal(wanted, found)
    assert set(np.unique(again)) <= {0, *map(int, np.unique(truth))}


def test_what_new_ink_does_not_touch_stays(features, truth):
    segmenter = InteractiveSegmenter(features)
    segmenter.add(robot_on(truth))
    before = segmenter.masks[0].copy()
    y, x = np.argwhere(before == 0)[0]  # background that is background already
    size = np.array(before.shape)
    segmenter.add([Scribble(0, 0, [[x / size[1], y / size[0]]])])
    np.testing.assert_array_equal(segmenter.masks[0], before)


def test_undo_takes_a_round_back_and_propagation_follows(features, truth):
    segmenter = InteractiveSegmenter(features)
    segmenter.add(robot_on(truth))
    first = segmenter.finish().copy()
    segmenter.add(robot_on(truth, first, 3))
    second = segmenter.finish().copy()
    assert (first != second).any() and segmenter.corrected == [0, 3]
    segmenter.undo()
    np.testing.assert_array_equal(segmenter.masks[3], first[3])
    np.testing.assert_array_equal(segmenter.finish(), first)
    segmenter.undo()
    assert not segmenter.finish().any() and not segmenter.scribbles and segmenter.suggest() is None
    segmenter.undo()  # nothing left to take back


def test_a_dropped_propagation_keeps_what_it_has(features, truth):
    segmenter = InteractiveSegmenter(features)
    segmenter.add(robot_on(truth, k=1))
    for _, _, masks in segmenter.propagate():
        if masks[1].any():
            break
    assert segmenter.masks[1].any() and not segmenter.masks[-1].any()
    assert segmenter.finish()[-1].any()


def test_an_error_changes_nothing(features, truth):
    segmenter = InteractiveSegmenter(features)
    segmenter.add(robot_on(truth, k=1))
    kept = segmenter.masks.copy()
    for scribbles, says in (([], "draw on frames 0 to 5"), ([Scribble(9, 1, [[0.5, 0.5]])], "draw on frames 0 to 5")):
        with pytest.raises(ValueError, match=says):
            segmenter.add(scribbles)
    np.testing.assert_array_equal(segmenter.masks, kept)
    assert len(segmenter.rounds) == 1


def test_background_alone_and_boxes(features, truth):
    segmenter = InteractiveSegmenter(features)
    assert not segmenter.add([Scribble(0, 0, [[0.1, 0.1]])]).any()
    assert not segmenter.finish().any()
    y, x = np.nonzero(truth[0] == 1)
    size = np.array(truth.shape[:0:-1])
    masks = segmenter.add([Scribble(0, 1, np.array([[x.min(), y.min()], [x.max() + 1, y.max() + 1]]) / size, box=True)])
    assert jaccard(truth[0] == 1, masks[0] == 1) > 0.5


def test_the_next_frame_is_the_one_farthest_from_paint(features, truth):
    segmenter = InteractiveSegmenter(features)
    segmenter.add(robot_on(truth))
    frame, reason = segmenter.suggest()
    assert frame == 5 and "5 frames" in reason
    segmenter.add(robot_on(truth, None, 5))
    assert segmenter.suggest()[0] in (2, 3)


def test_width_of_ink_follows_the_frame():
    frames = [np.zeros((480, 640, 3), np.uint8)]
    segmenter = InteractiveSegmenter(ClipFeatures(frames, device="cpu"))
    ink = segmenter._ink([Scribble(0, 1, [[0.5, 0.1], [0.5, 0.9]])])
    assert 5 <= np.median((ink == 1).sum(1)[100:380]) <= 7 and draw([], (4, 4)).shape == (4, 4)
