"""The refinement network: held to the authors' code with their weights; shapes, objects and sharing."""

import pytest
import torch
import torch.nn.functional as F

from vosnb.features import Whitening
from vosnb.methods.refinement import (
    FEATURES,
    BaseNet,
    PhotographBaseNet,
    PhotographRefinementNet,
    RefinementNet,
    Refiner,
    UntrainedTargetNet,
)

LEVELS = ("layer5", "layer4", "layer3", "layer2")
NAMES = {  # ours: the authors'
    "encoder.project.0": "TSE.{}.reduce.0",
    "encoder.project.2": "TSE.{}.reduce.2",
    "encoder.encode.0": "TSE.{}.transform.0",
    "encoder.encode.2": "TSE.{}.transform.2",
    "encoder.encode.4": "TSE.{}.transform.4",
    "before.mix": "RRB1.{}.conv1x1",
    "before.body.0": "RRB1.{}.bblock.0",
    "before.body.1": "RRB1.{}.bblock.1",
    "before.body.3": "RRB1.{}.bblock.3",
    "attention.attend.0": "CAB.{}.convreluconv.0",
    "attention.attend.2": "CAB.{}.convreluconv.2",
    "after.mix": "RRB2.{}.conv1x1",
    "after.body.0": "RRB2.{}.bblock.0",
    "after.body.1": "RRB2.{}.bblock.1",
    "after.body.3": "RRB2.{}.bblock.3",
}


def theirs(name):
    """The authors' name of one of our parameters."""
    if not name.startswith("blocks."):
        part, rest = name.split(".", 1)
        return f"sd.project.{'conv1' if part == 'narrow' else 'conv2'}.{rest}"
    _, level, rest = name.split(".", 2)
    part, last = rest.rsplit(".", 1)
    return f"sd.{NAMES[part].format(LEVELS[int(level)])}.{last}"


def test_S1_E5_is_the_authors_network_with_their_weights(oracle):
    o = oracle("frtm_refiner")
    maps = [o[f"ft_{level}"] for level in LEVELS]
    net = Refiner([x.shape[1] for x in maps], n=8).eval()
    state = {name: o[theirs(name)] for name in net.state_dict()}
    assert len(set(map(theirs, state))) == len(state) == sum(key.startswith("sd.") for key in o)
    net.load_state_dict(state)
    with torch.no_grad():
        found = net(maps, o["score"], (96, 128))
    torch.testing.assert_close(found, o["out"], atol=1e-4, rtol=0)
    assert o["out"].std() > 0.01


def test_bicubic_is_torch_s_own(oracle):
    o = oracle("frtm_refiner")
    found = F.interpolate(o["up_in"], scale_factor=2, mode="bicubic", align_corners=False)
    torch.testing.assert_close(found, o["up_out"], atol=1e-5, rtol=0)


def maps_of(frames, channels=(128, 48, 24), size=(48, 64)):
    return [torch.randn(frames, c, size[0] // s, size[1] // s) for c, s in zip(channels, (8, 4, 2), strict=True)]


def test_objects_share_a_frame_and_do_not_see_each_other():
    torch.manual_seed(0)
    net, maps, s = RefinementNet().eval(), maps_of(1), torch.randn(3, 1, 6, 8)
    with torch.no_grad():
        together = net(maps, s, (48, 64))
        alone = torch.cat([net(maps, one[None], (48, 64)) for one in s])
    assert together.shape == (3, 1, 48, 64)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 1e-3


ON_PHOTOGRAPHS = (232, 24, 16)


def test_R_on_photographs_begins_as_changing_nothing_and_learns_to_change_each_object_by_itself():
    torch.manual_seed(0)
    net, maps, s = PhotographRefinementNet().eval(), maps_of(1, ON_PHOTOGRAPHS), torch.rand(3, 1, 6, 8)
    with torch.no_grad():
        torch.testing.assert_close(net(maps, s, (48, 64)), net.coarse(s, (48, 64)))
        net.refiner.logit.weight.normal_()
        together = net(maps, s, (48, 64))
        assert (together - net.coarse(s, (48, 64))).abs().mean() > 0.1
        alone = torch.cat([net(maps, one[None], (48, 64)) for one in s])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_the_base_net_on_photographs_begins_undecided_on_the_features_of_D():
    torch.manual_seed(0)
    net, maps = PhotographBaseNet().eval(), maps_of(1, ON_PHOTOGRAPHS)
    cells = UntrainedTargetNet.together(maps)
    assert cells.shape == (1, 272, 6, 8)
    torch.testing.assert_close(cells[:, -16:], F.avg_pool2d(maps[2], 4))
    x = net.features(maps)
    torch.testing.assert_close(F.cosine_similarity(x, cells), torch.ones(1, 6, 8))
    with torch.no_grad():
        logits = net(maps, net.remember(x, torch.ones(1, 1, 48, 64)), (48, 64))
    torch.testing.assert_close(logits, torch.zeros(1, 1, 48, 64), atol=1e-5, rtol=0)


def test_coarse_masks_are_scaled_scores():
    net = RefinementNet()
    s = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(-1, -1, 2, 2)
    p = torch.sigmoid(net.coarse(s, (16, 16)))[:, 0, 0, 0]
    torch.testing.assert_close(p, torch.sigmoid(torch.tensor([-5.0, 0.0, 5.0])))


def test_base_net_depends_on_frame_0_and_on_the_frame():
    torch.manual_seed(0)
    net, first, later = BaseNet().eval(), maps_of(1), maps_of(1)
    mask = torch.zeros(2, 1, 48, 64)
    mask[0, :, 8:24, 8:24] = mask[1, :, 20:40, 30:60] = 1
    with torch.no_grad():
        target = net.remember(net.features(first), mask)
        answer = net(later, target, (48, 64))
        assert answer.shape == (2, 1, 48, 64) and (answer[0] - answer[1]).abs().max() > 1e-4
        assert (net(first, target, (48, 64)) - answer).abs().max() > 1e-3


def test_whitened_features_have_unit_covariance_where_they_vary():
    r = torch.Generator().manual_seed(0)
    mixed = torch.randn(4000, 6, generator=r) @ torch.randn(6, 6, generator=r) * 3 + 5
    whiten = Whitening(6, floor=0.0)
    whiten.fit(mixed)
    white = whiten(mixed.T.view(1, 6, 40, 100)).flatten(2)[0]
    torch.testing.assert_close(torch.cov(white), torch.eye(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.mean(1), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(whiten.matrix, whiten.matrix.T)  # ZCA: the symmetric root


def test_directions_without_variance_are_not_blown_up():
    whiten = Whitening(3)
    samples = torch.randn(1000, 3)
    samples[:, 2] = 1.0
    whiten.fit(samples)
    assert whiten.matrix.abs().max() < 10 and whiten.matrix.isfinite().all()


@pytest.mark.parametrize("net", [RefinementNet, BaseNet])
def test_every_trained_parameter_gets_a_gradient(net):
    net, maps = net(), maps_of(2)
    s = torch.randn(2, 1, 6, 8)
    if isinstance(net, BaseNet):
        s = net.remember(net.features(maps), torch.rand(2, 1, 48, 64).round())
    net(maps, s, (48, 64)).square().mean().backward()
    without = {name for name, p in net.named_parameters() if p.grad is None}
    assert without == ({"scale", "offset"} if isinstance(net, RefinementNet) else set())
    assert FEATURES == 176
