"""S4's fully convolutional trackers: tuned to each object alone, merged, and adapted to their own answers."""

import json

import numpy as np
import pytest
import torch
from torch.func import functional_call

from vosnb import creatures
from vosnb.features import save_weights
from vosnb.methods.meta import MetaLearner, fine_tune, learning_rates
from vosnb.methods.one_shot import OneShotNet, load_one_shot, merge_maximum, spatial_transforms
from vosnb.trackers import segment
from vosnb.trackers.one_shot import ConvolutionalTracker, FinetunedParentTracker


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(3, "easy", "val", (64, 80), 6)


def learner_of(per="neuron", value=0.1, **settings):
    torch.manual_seed(0)
    net = OneShotNet(widths=(8, 8, 8, 8), **settings).eval()
    return MetaLearner(net, learning_rates(dict(net.named_parameters()), per, value) if per else {})


def tracker_of(learner=None, **settings):
    return ConvolutionalTracker(learner=learner or learner_of(), device="cpu", **{"steps": 3} | settings)


def run(clip, tracker):
    return torch.stack([p for *_, p in segment(tracker, clip) if p is not None])


@pytest.mark.parametrize("size", [(96, 96), (70, 51), (16, 16)], ids=str)
def test_the_net_takes_images_of_any_size(size):
    net = OneShotNet().eval()
    assert net(torch.randn(2, 3, *size)).shape == (2, 1, *size)
    assert 1e5 < sum(p.numel() for p in net.parameters()) < 1.4e5


def test_normalised_by_groups_an_image_does_not_know_its_batch():
    x = torch.randn(3, 3, 48, 48)
    for norm, apart in (("group", True), ("batch", False)):
        torch.manual_seed(0)
        net = OneShotNet(norm).train()
        assert torch.allclose(net(x)[:1], net(x[:1]), atol=1e-4) is apart
        frozen = net.eval()
        torch.testing.assert_close(frozen(x)[:1], frozen(x[:1]), atol=1e-4, rtol=1e-3)


def test_S4_E1_the_loss_is_the_one_of_the_settings():
    logits, masks = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    right = 4 * (2 * masks - 1)  # lovasz: hinges of 1 - 4 are zero; cross-entropy never is
    assert OneShotNet(loss="lovasz").loss(right, masks) == 0 < OneShotNet().loss(right, masks)
    assert OneShotNet(loss="lovasz").loss(logits, masks) > 0
    with pytest.raises(ValueError, match="choose from group, batch; cross-entropy, lovasz"):
        OneShotNet(loss="dice")


def test_transforms_move_image_and_mask_together():
    r, image = np.random.default_rng(0), torch.zeros(1, 3, 40, 60)
    image[:, :, 10:24, 20:38] = 1
    mask = image[:, :1].clone()
    images, masks = spatial_transforms(image.expand(50, -1, -1, -1), mask.expand(50, -1, -1, -1), r)
    torch.testing.assert_close(images[:, :1], masks)
    areas = masks.sum((1, 2, 3)) / mask.sum()
    assert 0.5 < areas.min() < 0.65 and 1.4 < areas.max() < 1.6  # 0.75 and 1.25, squared
    same, _ = spatial_transforms(image, mask, np.random.default_rng(0))
    torch.testing.assert_close(same, images[:1])
    turned = masks[(areas - 1).abs().argmin(), 0]
    outline = torch.nonzero(turned > 0.5).float()
    assert torch.linalg.eigvalsh(torch.cov(outline.T))[1] == pytest.approx(18**2 / 12, rel=0.15)  # lengths are kept


def test_a_transform_does_not_lose_the_object():
    image = torch.rand(40, 3, 32, 32)
    mask = torch.zeros(40, 1, 32, 32)
    mask[:, :, 0, 0] = 1
    images, masks = spatial_transforms(image, mask, np.random.default_rng(0))
    assert (masks.sum((1, 2, 3)) > 0).all()
    kept = [torch.equal(a, b) for a, b in zip(image, images, strict=True)]
    assert any(kept) and not all(kept)


def test_merged_by_the_maximum():
    p = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    merged = merge_maximum(p)
    torch.testing.assert_close(merged.sum(0), torch.ones(20, 20))
    by_hand = torch.where(p.amax(0) > 0.5, p.argmax(0) + 1, 0)
    assert torch.equal(merged.argmax(0), by_hand)
    torch.testing.assert_close(merge_maximum(p[:1])[1], p[0])


def test_tuned_to_the_first_frame_and_nothing_else(clip):
    learner, first = learner_of(), clip.only(1)
    p = run(first, tracker_of(learner))
    image, mask = tracker_of(learner)._fit(first.frames[0]), torch.from_numpy(first.first_mask == 1).float()[None, None]

    def loss(theta, t):
        return learner.net.loss(functional_call(learner.net, theta, (image,)), mask)

    theta = fine_tune(loss, learner.theta, learner.rates, 3)
    with torch.no_grad():
        last = torch.sigmoid(functional_call(learner.net, theta, (tracker_of(learner)._fit(first.frames[5]),)))[0, 0]
    torch.testing.assert_close(p[-1, 1], last, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(p.sum(1), torch.ones(5, 64, 80))


def test_more_steps_fit_the_first_frame_better(clip):
    first, losses = clip.only(1), []
    for steps in (0, 2, 20):
        tracker = tracker_of(steps=steps)
        tracker.start(first.frames[0], first.first_mask)
        (object,) = tracker.followed
        losses.append(tracker._loss(object.image, object.mask, object.first).item())
    assert losses[0] > losses[1] > losses[2] and losses[2] < 0.7 * losses[0]


def test_objects_are_tuned_apart(clip):
    both = run(clip, tracker_of())
    alone = [run(clip.only(k), tracker_of())[:, 1] for k in clip.objects]
    torch.testing.assert_close(both[-1], merge_maximum(torch.stack([p[-1] for p in alone])), atol=1e-4, rtol=1e-3)


def test_a_clip_after_another_is_as_if_alone(clip):
    tracker = tracker_of(transforms=2, online=True, every=2)
    assert torch.equal(run(clip, tracker), run(clip, tracker))


def test_transforms_are_drawn_by_the_seed(clip):
    first, second, other = (run(clip.only(1), tracker_of(transforms=2, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_online_adaptation_begins_where_the_first_frame_had_left_it(clip, monkeypatch):
    learner = learner_of(value=0.01)
    learner.net.logit.bias.data.fill_(1.0)  # answers are not empty
    tracker, calls = tracker_of(learner, online=True, every=2, adapt_steps=4, recent=3), []
    monkeypatch.setattr("vosnb.trackers.one_shot.fine_tune", lambda *given: (calls.append(given), fine_tune(*given))[1])
    batches, loss = [], tracker._loss
    tracker._loss = lambda images, masks, theta: (batches.append((images, masks)), loss(images, masks, theta))[1]
    first = clip.only(1)
    p = run(first, tracker)
    (object,) = tracker.followed
    assert [given[3] for given in calls] == [3, 4, 4]
    assert calls[0][1] is tracker.start_from and all(given[1] is object.first for given in calls[1:])
    answers = [(x.argmax(0) == 1).float() for x in p]
    used = [n for n in (1, 2, 3, 4) if answers[n - 1].any()]
    images, masks = batches[-1]
    assert len(images) == 1 + len(used[-3:]) > 1 and torch.equal(images[0], object.image[0])
    for mask, n in zip(masks[1:], used[-3:], strict=True):
        assert torch.equal(mask[0], answers[n - 1])
    plain = run(first, tracker_of(learner))
    assert torch.equal(p[:2], plain[:2]) and not torch.equal(p[2:], plain[2:])


def test_nothing_is_learned_from_empty_answers(clip):
    tracker = tracker_of(online=True, every=1, steps=0, adapt_steps=2)
    tracker.start(clip.frames[0], clip.only(1).first_mask)
    (object,) = tracker.followed
    empty = torch.zeros_like(object.mask)
    tracker._remember(object, object.image, empty)
    assert object.theta is object.first and object.recent == [] and object.seen == 1
    tracker._remember(object, object.image, 1 - empty)
    assert object.theta is not object.first and len(object.recent) == 1


def test_rates_learned_or_given(clip):
    with pytest.raises(ValueError, match="no rates were learned"):
        tracker_of(learner_of(None))
    given, learned = (run(clip, tracker_of(learner_of(per), rate=rate)) for per, rate in ((None, 0.1), ("one", None)))
    assert torch.equal(given, learned)
    parent = FinetunedParentTracker(learner=learner_of(None), device="cpu")
    assert {float(rate) for rate in parent.rates.values()} == {float(torch.tensor(0.1))}


def test_weights_say_what_they_are_of(tmp_path):
    learner, path = learner_of(norm="batch", loss="lovasz"), tmp_path / "w.safetensors"
    save_weights(learner, path, network="OneShotNet", settings=json.dumps(learner.net.settings))
    again = load_one_shot(path)
    assert again.net.settings == learner.net.settings and again.rates.keys() == learner.rates.keys()
    ConvolutionalTracker(weights=str(path), device="cpu")
    with pytest.raises(ValueError, match="no weights of a OneShotNet"):
        ConvolutionalTracker(weights="matching")
    with pytest.raises(ValueError, match="steps=-1 does not fit: take a whole number that is not negative"):
        tracker_of(steps=-1)
