"""The tracker interface, the baselines, and the matcher under every memory schedule."""

import numpy as np
import pytest
import torch

from vosnb.clips import Clip
from vosnb.efficientnet import load_photographs
from vosnb.features import to_image
from vosnb.methods.matching import (
    MatchingNet,
    Memory,
    PhotographMatchingNet,
    affinity,
    read_memory,
    soft_aggregate,
)
from vosnb.methods.refinement import (
    BaseNet,
    PhotographBaseNet,
    PhotographRefinementNet,
    RefinementNet,
    UntrainedTargetNet,
)
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
    named = [make_tracker(name, **settings.get(name, {})) for name in tracker_names() if name != "masks"]
    photos = {"backbone": "photos", "device": "cpu"}
    torch.manual_seed(0)
    given = {"net": PhotographMatchingNet().eval()} | photos
    named += [make_tracker("matching", **given), make_tracker("matching+context", steps=2, **given)]
    named.append(make_tracker("frtm", net=PhotographRefinementNet(), augmented=2, **photos))
    named.append(make_tracker("base-net", net=PhotographBaseNet(), augmented=2, **photos))
    return [*named, make_tracker("target-model", net=UntrainedTargetNet(), augmented=2, update_every=2, **photos)]


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


def test_on_photographs_the_tracker_reads_the_same_equations():
    clip, look = square_clip(size=(64, 96)).only(1), load_photographs("cpu").look
    torch.manual_seed(0)
    net = PhotographMatchingNet().eval()
    tracker = MatchingTracker(memory="first", net=net, backbone="photos", device="cpu")
    tracker.start(clip.frames[0], clip.masks[0])
    p = tracker.step(clip.frames[1])
    with torch.no_grad():
        first, later = (look(to_image(clip.frames[t], "cpu")[None]) for t in (0, 1))
        mask = torch.from_numpy(clip.masks[0])[None, None].float()
        key, value = net.encode_memory(first, mask, torch.zeros_like(mask))
        query = net.encode_query(later)
        read = read_memory(affinity(query.key.flatten(2), key), value)
        by_hand = soft_aggregate(torch.sigmoid(net.decode(query, read))[:, 0])
    torch.testing.assert_close(p, by_hand, atol=1e-4, rtol=1e-3)


def test_nearest_neighbours_hand_on_the_labels_of_what_looks_alike():
    small = square_clip(size=(48, 64))
    frames, masks = ([x.repeat(4, 0).repeat(4, 1) for x in part] for part in (small.frames, small.masks))
    clip = Clip.from_arrays("larger squares", frames, masks)
    tracker = make_tracker("nearest", last=2, device="cpu")
    for t, mask, _ in segment(tracker, clip):
        if t:
            assert len(tracker.answers) == min(t, 2)
            for k in (1, 2):
                found, true = mask == k, clip.masks[t] == k
                assert (found & true).sum() / (found | true).sum() > 0.6
    by_hand = tracker._features(clip.frames[0]).flatten(1)
    torch.testing.assert_close(by_hand.norm(dim=0), torch.ones(by_hand.shape[1]))
    one = make_tracker("nearest", neighbours=1, last=0, device="cpu")
    one.start(clip.frames[0], clip.masks[0])
    cells = one.first[0][1][1:].view(2, 24, 32)
    at = one.step(clip.frames[0])[1:, 4::8, 4::8]  # each cell finds itself
    torch.testing.assert_close(at, cells, atol=0.3, rtol=0)


def test_d_alone_on_photographs_is_whitened_by_the_clip_that_it_follows():
    first = square_clip(size=(64, 96))
    second = Clip.from_arrays("negative", [255 - frame for frame in first.frames], first.masks)
    tracker = make_tracker("target-model", backbone="photos", augmented=2, device="cpu")
    means = []
    for clip in (first, second, first):
        list(segment(tracker, clip))
        means.append(tracker.net.whiten.mean.clone())
    assert torch.equal(means[0], means[2]) and not torch.allclose(means[0], means[1])


@pytest.mark.parametrize(
    "name, settings, says",
    [
        ("matchin", {}, "Did you mean 'matching'"),
        ("histogram", {"bin": 8}, "no setting 'bin': it takes bins"),
        ("still", {"memory": "first"}, "it takes none"),
        ("histogram", {"bins": 1}, "between 2 and 256"),
        ("matching", {"memory": "sometimes"}, "take one of first, every, every.last, variation"),
        ("matching", {"short_side": 3}, "between 16 and 10000"),
        ("matching", {"backbone": "photo"}, "take one of photos, creatures"),
        ("matching", {"backbone": "photos", "weights": "matching"}, "does not fit this network"),
        ("kernels", {"backbone": "photos"}, "does not fit this network"),
        ("frtm", {"backbone": "photos", "weights": "refinement"}, "does not fit this network"),
        ("base-net", {"backbone": "photos", "weights": "base-net"}, "does not fit this network"),
        ("nearest", {"neighbours": 0}, "a whole number of at least 1"),
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
