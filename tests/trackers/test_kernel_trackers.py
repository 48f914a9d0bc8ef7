"""S3's trackers: what their kernels are written from, what they add, and several objects at once."""

import json

import pytest
import torch

from vosnb import creatures
from vosnb.features import double, save_weights
from vosnb.methods.dynamic_kernels import KernelNet, ObjectFeatures, convolve, load_kernel_net
from vosnb.methods.matching import MatchingNet
from vosnb.trackers import MatchingTracker, segment
from vosnb.trackers.kernels import KernelTracker

ROWS = [(), ("global",), ("local",), ("global", "local")]


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(3, "easy", "val", (64, 80), 5)


@pytest.fixture(scope="module")
def matcher():
    torch.manual_seed(0)
    return MatchingNet().eval()


def kernel_net(matcher, *row, loud=True, **settings):
    """A net that begins as the matcher; its kernels begin small, so that tests turn them up."""
    torch.manual_seed(1)
    net = KernelNet(*row, **settings).begin_as(matcher).eval()
    if loud and net.generator:
        torch.nn.init.normal_(net.generator.layers[-1].weight, std=0.3)
    return net


def run(clip, tracker):
    return torch.stack([p for *_, p in segment(tracker, clip) if p is not None])


def test_without_kernels_it_is_the_matcher(clip, matcher):
    for net in (kernel_net(matcher, ()), kernel_net(matcher, (), aspp=True)):
        p = run(clip, KernelTracker(net=net, device="cpu"))
        torch.testing.assert_close(p, run(clip, MatchingTracker(net=matcher, device="cpu")), atol=1e-5, rtol=1e-4)
    assert kernel_net(matcher, ()).state_dict().keys() == matcher.state_dict().keys()


@pytest.mark.parametrize("row", ROWS[1:], ids=str)
def test_kernels_matter_a_little_at_first_and_more_when_turned_up(clip, matcher, row):
    plain = run(clip, MatchingTracker(net=matcher, device="cpu"))
    quiet, loud = (
        (run(clip, KernelTracker(net=kernel_net(matcher, row, loud=loud), device="cpu")) - plain).abs().max()
        for loud in (False, True)
    )
    assert 0 < quiet < min(0.01, 0.5 * loud)  # of probabilities


@pytest.mark.parametrize("channels", [(24, 1), (24, 8, 8, 1)], ids=str)
def test_the_generated_logits_add_to_the_decoders_own(matcher, channels):
    net, size = kernel_net(matcher, channels=channels), (2, 64, 4, 4)
    query = net.encode_query(torch.randn(1, 3, 32, 32))
    read, means = torch.randn(size).flatten(2), torch.randn(2, 2, 128)
    k = net.write(*means)
    values = torch.cat([query.value.expand(size), read.view(size)], 1)
    x, _ = net.decoder.map_and_logit(values, query.at4.expand(2, -1, -1, -1), query.at2.expand(2, -1, -1, -1))
    added = net.decode(query, read, k) - net.decode(query, read)
    torch.testing.assert_close(added, double(convolve(x, k, channels)), atol=1e-4, rtol=1e-3)


def test_one_step_by_hand(clip, matcher):
    """Frame 1: kernels from frame 0's features alone. Frame 2: from the mean, and from frame 1 as it was segmented."""
    net, first = kernel_net(matcher), clip.only(1)
    tracker = KernelTracker(net=net, device="cpu", memory="every+last")
    tracker.start(first.frames[0], first.first_mask)
    (features,) = tracker.features
    torch.testing.assert_close(features.globally, features.locally)
    before = features.locally
    p = tracker.step(first.frames[1])
    torch.testing.assert_close(features.globally, (before + features.locally) / 2)
    by_hand = ObjectFeatures()
    with torch.no_grad():
        image, mask = tracker._fit(first.frames[1]), p[1][None, None]
        net.remember(image, mask, torch.zeros_like(mask), by_hand)
        torch.testing.assert_close(features.locally, by_hand.locally, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(tracker.kernels(), net.write(features.globally, features.locally))


def test_remembering_is_the_matchers(matcher):
    net, image, mask = kernel_net(matcher), torch.randn(2, 3, 32, 32), torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        ours = net.remember(image, mask, 1 - mask, ObjectFeatures())
        for part, its in zip(ours, matcher.encode_memory(image, mask, 1 - mask), strict=True):
            torch.testing.assert_close(part, its)


def test_objects_in_one_pass_are_those_of_one_pass_each(clip, matcher, monkeypatch):
    """Kernels know only their object: the logits of two objects together are those of each alone."""
    net = kernel_net(matcher)
    r = torch.Generator().manual_seed(0)
    query = net.encode_query(torch.randn(1, 3, 32, 32, generator=r))
    read, means = torch.randn(3, 64, 16, generator=r), torch.randn(2, 3, 128, generator=r)
    together = net.decode(query, read, net.write(*means))
    for n in range(3):
        alone = net.decode(query, read[n : n + 1], net.write(*means[:, n : n + 1]))
        torch.testing.assert_close(together[n : n + 1], alone, atol=1e-4, rtol=1e-3)
    calls, decode = [], KernelNet.decode
    monkeypatch.setattr(KernelNet, "decode", lambda self, q, x, k: (calls.append(len(x)), decode(self, q, x, k))[1])
    run(clip, KernelTracker(net=net, device="cpu"))
    assert calls == [len(clip.objects)] * (len(clip) - 1)


def test_objects_that_join_write_kernels_from_what_there_is_of_them(clip, matcher):
    tracker = KernelTracker(net=kernel_net(matcher), device="cpu")
    first, second = clip.only(1), clip.only(2)
    tracker.start(clip.frames[0], first.first_mask)
    tracker.step(clip.frames[1])
    tracker.add(clip.frames[1], second.masks[1] * 2)
    assert [f.count.tolist() for f in tracker.features] == [[[2.0]], [[1.0]]]
    assert tracker.kernels().shape == (2, 25)
    p = tracker.step(clip.frames[2])
    assert p.shape[0] == 3 and [f.count.tolist() for f in tracker.features] == [[[3.0]], [[2.0]]]
    torch.testing.assert_close(p.sum(0), torch.ones(64, 80), atol=1e-5, rtol=0)


def test_an_object_out_of_sight_keeps_the_kernels_it_had(clip, matcher):
    tracker = KernelTracker(net=kernel_net(matcher), device="cpu")
    tracker.start(clip.frames[0], clip.only(1).first_mask)
    before, image = tracker.kernels(), tracker._fit(clip.frames[1])
    with torch.no_grad():
        tracker._remember(0, image, torch.zeros(1, 1, *image.shape[-2:]))
    torch.testing.assert_close(tracker.kernels(), before)


def test_weights_say_what_they_are_of(matcher, tmp_path):
    net = kernel_net(matcher, ("local",), aspp=True, channels=(24, 8, 1))
    save_weights(net, tmp_path / "w.safetensors", network="KernelNet", settings=json.dumps(net.settings))
    again = load_kernel_net(tmp_path / "w.safetensors")
    assert again.settings == net.settings and again.generator.channels == (24, 8, 1)
    torch.testing.assert_close(again.generator.layers[0].weight, net.generator.layers[0].weight, atol=1e-3, rtol=1e-3)
    tracker = KernelTracker(weights=str(tmp_path / "w.safetensors"), device="cpu")
    assert tracker.net.generator.inputs == ("local",)


def test_weights_that_are_not_there_or_foreign_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        KernelTracker(weights="nothing")
    with pytest.raises(ValueError, match="no weights of a KernelNet"):
        KernelTracker(weights="matching")
