"""The tracker interface, the baselines, and the matcher under every memory schedule."""

import numpy as np
import pytest
import torch

from vosnb.clips import Clip
from vosnb.features import to_image
from vosnb.methods.matching import MatchingNet, Memory, affinity, read_memory, soft_aggregate
from vosnb.methods.refinement import BaseNet, RefinementNet
from vosnb.trackers import MatchingTracker, make_tracker, segment, tracker_names

TARGET = ("target-model", "frtm-static", "frtm", "frtm-fast", "frtm+ridge")
ONE_SHOT = ("one-shot", "parent+finetune", "e-osvos-10", "e-osvos-50", "e-osvos-10-OnA", "e-osvos-50-OnA")


def square_clip(steps=6, size=(48, 64), late=None):
    """A red and a blue square on grey that move right; `late`: the frame in which the blue one first appears."""
    frames, masks = np.full((steps, *size, 3), 90, np.uint8), np.zeros((steps, *size), np.uint8)
    for t in range(steps):
        for k, (y, colour) in enumerate([(6, (200, 30, 30)), (28, (30, 30, 200))], 1):
            if k == 1 or late is None or t >= late:
                where = (t, slice(y, y + 14), slice(4 + 3 * t, 18 + 3 * t))
                frames[where], masks[where] = colour, k
    return Clip.from_arrays("squares", frames, masks)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return MatchingNet().eval()


def every_tracker(net):
    settings = {"matching": {"net": net, "device": "cpu"}, "base-net+finetune": {"finetune": 1, "batch": 1}}
    target, base = RefinementNet(), BaseNet()
    settings |= {name: {"net": target, "augmented": 2} for name in TARGET}
    settings |= {name: {"steps": 1, "adapt_steps": 1} for name in ONE_SHOT}
    for name in ("base-net", "base-net+finetune"):
        settings[name] = settings.get(name, {}) | {"net": base, "augmented": 2}
    return [make_tracker(name, **settings.get(name, {})) for name in tracker_names()]


def test_every_tracker_keeps_the_contract(net):
    clip = square_clip()
    for tracker in every_tracker(net):
        answers = list(segment(tracker, clip))
        assert [t for t, _, _ in answers] == list(range(6)) and answers[0][2] is None
        np.testing.assert_array_equal(answers[0][1], clip.masks[0])
        for _, mask, p in answers[1:]:
            assert p.shape == (3, 48, 64) and p.dtype == torch.float32
            torch.testing.assert_close(p.sum(0), torch.ones(48, 64), atol=1e-5, rtol=0)
            assert mask.dtype == np.uint8 and mask.max() <= 2


def test_still_never_moves_and_histogram_follows_colour():
    clip = square_clip()
    for _, mask, _ in segment(make_tracker("still"), clip):
        np.testing.assert_array_equal(mask, clip.masks[0])
    for t, mask, _ in segment(make_tracker("histogram"), clip):
        np.testing.assert_array_equal(mask, clip.masks[t])


def test_objects_may_come_later_and_keep_their_numbers(net):
    clip = square_clip(late=3)
    for tracker in every_tracker(net):
        answers = list(segment(tracker, clip))
        assert answers[2][2].shape[0] == 2 and answers[4][2].shape[0] == 3
        assert (answers[3][1][clip.masks[3] == 2] == 2).all()
    histogram = list(segment(make_tracker("histogram"), clip))
    np.testing.assert_array_equal(histogram[5][1], clip.masks[5])


def test_numbers_with_gaps_stay_what_they_are():
    clip = square_clip()
    tracker = make_tracker("histogram")
    tracker.start(clip.frames[0], np.where(clip.masks[0] == 2, 5, clip.masks[0]).astype(np.uint8))
    p = tracker.step(clip.frames[1])
    assert p.shape[0] == 6 and p[2:5].max() == 0
    np.testing.assert_array_equal(p.argmax(0) == 5, clip.masks[1] == 2)


def test_a_start_forgets_what_was_before(net):
    clip = square_clip()
    for tracker in every_tracker(net):
        fresh = [m for _, m, _ in segment(tracker, clip)]
        again = [m for _, m, _ in segment(tracker, clip)]
        np.testing.assert_array_equal(fresh, again)


@pytest.mark.parametrize("schedule", Memory.SCHEDULES)
def test_matching_runs_under_every_schedule_and_at_odd_sizes(net, schedule):
    tracker = MatchingTracker(memory=schedule, every=2, net=net, short_side=32, device="cpu")
    for _, mask, _ in segment(tracker, square_clip(size=(51, 77))):
        assert mask.shape == (51, 77)
    frames = {"first": 1, "every": 3, "every+last": 4}
    cells = tracker.memories[0].keys.shape[-1]
    if schedule == "variation":
        assert 20 * 4 * 2 > cells > 24
    else:
        assert cells == frames[schedule] * 4 * 6


def test_the_tracker_reads_what_the_equations_say(net):
    """One step by hand, with the affinity held in full, gives the tracker's probabilities."""
    clip = square_clip().only(1)
    tracker = MatchingTracker(memory="first", net=net, device="cpu")
    tracker.start(clip.frames[0], clip.masks[0])
    p = tracker.step(clip.frames[1])
    with torch.no_grad():
        image, mask = to_image(clip.frames[0], "cpu")[None], torch.from_numpy(clip.masks[0])[None, None].float()
        key, value = net.encode_memory(image, mask, torch.zeros_like(mask))
        query = net.encode_query(to_image(clip.frames[1], "cpu")[None])
        read = read_memory(affinity(query.key.flatten(2), key), value)
        by_hand = soft_aggregate(torch.sigmoid(net.decode(query, read))[:, 0])
    torch.testing.assert_close(p, by_hand, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name, settings, says",
    [
        ("matchin", {}, "Did you mean 'matching'"),
        ("histogram", {"bin": 8}, "no setting 'bin': it takes bins"),
        ("still", {"memory": "first"}, "it takes none"),
        ("histogram", {"bins": 1}, "between 2 and 256"),
        ("matching", {"memory": "sometimes"}, "choose one of first"),
        ("matching", {"short_side": 3}, "at least 16"),
    ],
)
def test_wrong_names_and_settings_are_told(name, settings, says):
    with pytest.raises(ValueError, match=says):
        make_tracker(name, **settings)


def test_wrong_frames_and_masks_are_told(net):
    clip = square_clip()
    frame, mask = clip.frames[0], clip.masks[0]
    for tracker in every_tracker(net):
        with pytest.raises(RuntimeError, match="call start"):
            tracker.step(frame)
        with pytest.raises(ValueError, match="the mask is empty"):
            tracker.start(frame, np.zeros_like(mask))
        with pytest.raises(ValueError, match="one label for each pixel"):
            tracker.start(frame, mask[:-1])
        with pytest.raises(ValueError, match="uint8 RGB"):
            tracker.start(frame.astype(np.float32), mask)
        tracker.start(frame, mask)
        with pytest.raises(ValueError, match="object 1 is followed already"):
            tracker.add(frame, mask)


def test_missing_and_foreign_weights_are_told(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="restore data.weights"):
        MatchingTracker(weights="nothing")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="does not fit this network"):
        MatchingTracker(weights=str(tmp_path / "other.safetensors"))
