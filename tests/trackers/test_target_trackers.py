"""S1's trackers: what each of them learns, remembers and leaves alone; fusion as in the paper and as in the code."""

import copy

import numpy as np
import pytest
import torch

from vosnb import creatures
from vosnb.methods.matching import soft_aggregate
from vosnb.methods.refinement import BaseNet, RefinementNet
from vosnb.trackers import make_tracker, segment
from vosnb.trackers.target import odds_aggregate

SMALL = {"augmented": 2, "device": "cpu", "hidden": 8, "gauss_newton": 2, "iterations": 4}


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(3, "easy", "val", (64, 80), 7)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return RefinementNet().eval()


def run(name, clip, **settings):
    """The tracker after the clip, and its probabilities (T - 1, K + 1, H, W)."""
    tracker = make_tracker(name, **settings)
    return tracker, torch.stack([p for *_, p in segment(tracker, clip) if p is not None])


def test_the_names_are_settings_of_one_another(clip, net):
    settings = SMALL | {"net": net}
    _, updated = run("frtm", clip, update_every=2, **settings)
    _, static = run("frtm-static", clip, **settings)
    _, never = run("frtm", clip, update_every=None, **settings)
    _, coarse = run("target-model", clip, **settings)
    _, unrefined = run("frtm", clip, update_every=None, refine=False, **settings)
    assert torch.equal(static, never) and torch.equal(coarse, unrefined)
    assert torch.equal(updated[:2], static[:2]) and (updated[2:] - static[2:]).abs().max() > 1e-4
    assert (coarse - static).abs().max() > 1e-3


def test_what_d_learns_with_by_default_suits_its_backbone():
    for backbone, *suited in (("creatures", 32, 5, 0.2), ("photos", 64, 10, 0.1)):
        tracker = make_tracker("frtm", backbone=backbone)
        assert [tracker.settings.hidden, tracker.augmented, tracker.settings.rate] == suited
        tracker = make_tracker("frtm", backbone=backbone, hidden=7, augmented=2, rate=0.3)
        assert [tracker.settings.hidden, tracker.augmented, tracker.settings.rate] == [7, 2, 0.3]


def test_each_frame_is_remembered_and_learned_from_every_few_frames_with_w1_fixed(clip, net):
    tracker = make_tracker("frtm", net=net, update_every=3, refine=False, **SMALL)
    tracker.start(clip.frames[0], clip.only(1).first_mask)
    (target,) = tracker.targets
    seen, before = [], [p.clone() for p in target.w]
    for frame in clip.frames[1:]:
        tracker.step(frame)
        seen.append((target.memory.filled, torch.equal(target.w[1], before[1])))
    filled, unchanged = zip(*seen, strict=True)
    assert filled[0] == 3 and filled[-1] == 8 and list(filled) == sorted(filled)
    assert unchanged == (True, True, False, False, False, False)
    assert torch.equal(target.w[0], before[0])


def test_objects_have_models_of_their_own_that_are_those_they_have_alone(clip, net):
    both, _ = run("frtm-static", clip, net=net, **SMALL)
    alone = [run("frtm-static", clip.only(k), net=net, **SMALL)[0] for k in (1, 2)]
    for k, tracker in enumerate(alone):
        torch.testing.assert_close(both.targets[k].w[0], tracker.targets[0].w[0])


def test_the_network_that_was_given_is_left_alone(clip, net):
    before = copy.deepcopy(net.state_dict())
    run("frtm", clip, net=net, **SMALL)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_odds_are_fused_as_the_authors_do_and_saturate():
    p = torch.tensor([[0.9, 0.2, 0.5], [0.3, 0.1, 0.5]])[..., None]
    background = torch.tensor([0.1, 0.8, 0.5])[:, None]  # min_k (1 - p_k)
    odds = torch.stack([background, *p]) / (1 - torch.stack([background, *p]))
    torch.testing.assert_close(odds_aggregate(p), torch.softmax(odds, 0))
    assert odds_aggregate(p)[1, 0] > 0.99 > soft_aggregate(p)[1, 0]
    sure = odds_aggregate(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert sure.isfinite().all() and sure[1, 0] == 1 and sure[0, 1] == 1


def test_fusion_and_what_is_remembered_are_settings(clip, net):
    settings = SMALL | {"net": net, "update_every": 2}
    _, paper = run("frtm", clip, **settings)
    _, code = run("frtm", clip, fusion="code", remember="argmax", **settings)
    torch.testing.assert_close(code.sum(1), torch.ones_like(code[:, 0]), atol=1e-5, rtol=0)
    assert (paper - code).abs().max() > 1e-3


def test_argmax_labels_are_zero_where_another_label_wins(clip, net, monkeypatch):
    tracker = make_tracker("frtm", net=net, remember="argmax", **SMALL)
    tracker.start(clip.frames[0], clip.first_mask)
    labels = []
    for target in tracker.targets:
        monkeypatch.setattr(target, "add", lambda x, label: labels.append(label[0, 0]))
    tracker.step(clip.frames[1])
    assert len(labels) == len(tracker.targets) >= 2
    assert sum((label > 0).int() for label in labels).max() <= 1


def test_the_base_net_tunes_a_copy_for_each_object_and_more_steps_fit_frame_0_better(clip):
    torch.manual_seed(0)
    net = BaseNet().eval()
    before = copy.deepcopy(net.state_dict())
    settings = {"net": net, "augmented": 1, "device": "cpu", "batch": 1}
    first = clip.only(1)

    def error(**more):
        tracker = make_tracker("base-net+finetune", **settings, **more)
        tracker.start(first.frames[0], first.first_mask)
        return np.abs(tracker.step(first.frames[0])[1].numpy() - (first.first_mask == 1)).mean()

    assert error(finetune=30) < 0.7 * error(finetune=0)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    tracker, _ = run("base-net", clip, **settings)
    assert all(known is tracker.net for known, _ in tracker.known)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("frtm", {"fusion": "mean"}, "paper, code"),
        ("frtm", {"augmented": 0}, "at least 1"),
        ("frtm", {"update_every": 0}, "at least 1, at most 1000000 or null"),
        ("frtm", {"remember": "hard"}, "soft, argmax"),
        ("frtm", {"gauss_newton": 0}, "at least 1"),
        ("frtm", {"hidden": 0}, "hidden=0 does not fit: take a whole number of at least 1"),
        ("base-net", {"finetune": -1}, "not negative"),
        ("frtm", {"hiden": 8}, "no setting 'hiden'"),
    ],
)
def test_settings_that_cannot_be_are_told(name, wrong, says, net):
    with pytest.raises(ValueError, match=says):
        make_tracker(name, net=net if name == "frtm" else BaseNet(), **wrong)
