"""Trackers of parts from several papers: each part does in them what it does at home."""

import pytest
import torch

from vosnb import creatures
from vosnb.methods.dynamic_kernels import load_kernel_net
from vosnb.methods.refinement import RefinementNet, backbone_maps
from vosnb.methods.target_model import pixel_weights, target_residuals
from vosnb.trackers import make_tracker, segment


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(3, "easy", "val", (64, 80), 5).only(1)


def probabilities(name, clip, **settings):
    return torch.stack([p for *_, p in segment(make_tracker(name, device="cpu", **settings), clip) if p is not None])


def test_keys_are_tuned_and_kernels_stay(clip):
    net = load_kernel_net("kernels")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    tracker = make_tracker("kernels+context", net=net, steps=3, device="cpu")
    tracker.start(clip.frames[0], clip.first_mask)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "a copy is tuned"
    moved = {name for name, value in tracker.net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith(("query_key", "memory_key")) for name in moved)
    assert tracker.kernels().shape[0] == 1


def test_without_steps_it_is_the_tracker_with_kernels(clip):
    kernels, untuned, tuned = (
        probabilities(name, clip, **settings)
        for name, settings in (("kernels", {}), ("kernels+context", {"steps": 0}), ("kernels+context", {"steps": 20}))
    )
    assert torch.equal(kernels, untuned) and not torch.equal(kernels, tuned)


@pytest.fixture
def solved(clip):
    torch.manual_seed(0)
    tracker = make_tracker("frtm+ridge", net=RefinementNet().eval(), augmented=2, device="cpu")
    tracker.start(clip.frames[0], clip.first_mask)
    return tracker


def test_one_layer_is_solved_for_at_the_bottom_of_s1s_loss(clip, solved):
    """S1-E2 is convex in w2, and its gradient there is zero, to the float32 in which w2 is kept."""
    (target,) = solved.targets
    w1, w2 = target.w
    channels = len(w1)
    assert torch.equal(w1[:, :, 0, 0], torch.eye(channels))
    with torch.no_grad():
        images, labels = solved._samples(clip.frames[0], clip.first_mask == 1, (64, 80))
        x = solved.net.features(backbone_maps(solved.encoder, images)).double()
    labels = labels.double()
    gamma = target.memory.weights[: len(x)]
    v = pixel_weights(labels, target.settings.kappa, target.settings.share, target.settings.root)

    def loss(w2):
        residuals = target_residuals([w1.double(), w2], x, labels, v, gamma, target.settings.lambdas)
        return sum(r.square().sum() for r in residuals)

    found = w2.double().contiguous().requires_grad_(True)
    (slope,) = torch.autograd.grad(loss(found), found)
    zero = torch.zeros_like(found).requires_grad_(True)
    (slope_at_zero,) = torch.autograd.grad(loss(zero), zero)
    assert slope.norm() < 1e-5 * slope_at_zero.norm()


def test_an_update_solves_again_with_what_was_remembered(clip, solved):
    (target,) = solved.targets
    before = target.w[1].clone()
    solved.step(clip.frames[1])
    assert torch.equal(target.w[1], before), "updates come every second frame"
    solved.step(clip.frames[2])
    assert not torch.equal(target.w[1], before) and target.memory.filled == 4
    assert torch.equal(target.w[0][:, :, 0, 0], torch.eye(len(before[0])))


@pytest.mark.parametrize("name", ["hidden", "iterations", "direction"])
def test_settings_that_a_single_layer_has_no_use_for_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} means nothing where D has one layer"):
        make_tracker("frtm+ridge", **{name: 4})
