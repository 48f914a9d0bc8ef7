"""Kernels written by the object (S3), held to the code of their kin and to convolutions object by object."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vosnb.methods.dynamic_kernels import (
    ASPP,
    KernelGenerator,
    ObjectFeatures,
    convolve,
    kernel_numbers,
    object_feature,
)
from vosnb.paths import ROOT

HEADS = [(24, 1), (16, 8, 1), (16, 8, 8, 1)]


@pytest.fixture(scope="module")
def oracle():
    return {k: torch.from_numpy(v) for k, v in np.load(ROOT / "tests" / "oracles" / "dynamic_kernels.npz").items()}


def test_three_layers_against_condinst(oracle):
    y = convolve(oracle["feats"], oracle["params"], (16, 8, 8, 1))
    torch.testing.assert_close(y, oracle["out"], atol=1e-5, rtol=1e-5)
    assert kernel_numbers((16, 8, 8, 1)) == (oracle["weight_nums"].tolist(), oracle["bias_nums"].tolist())


def test_means_under_masks_against_cfbi(oracle):
    """CFBI: object and background in the first frame and in the previous one, eps in the denominator."""
    found = []
    for which in ("cfbi", "cfbi_prev"):
        f, m = oracle[f"{which}_feat"], oracle[f"{which}_mask"][:, 0]
        found += [object_feature(f, mask, eps=1e-5)[0] for mask in (m, 1 - m)]
    torch.testing.assert_close(torch.cat(found, 1), oracle["cfbi_head"], atol=1e-5, rtol=1e-5)


def test_S3_E1_the_mean_of_a_hard_mask_is_the_mean_of_its_cells():
    f, m = torch.randn(1, 3, 4, 5), torch.zeros(2, 4, 5)
    m[0, 1:3, 2:4] = 1
    means, there = object_feature(f, m)
    torch.testing.assert_close(means[0], f[0, :, 1:3, 2:4].mean((1, 2)))
    assert there.tolist() == [True, False] and not means[1].any()


def test_frames_without_the_object_count_neither_globally_nor_locally():
    features, f = ObjectFeatures(), torch.randn(4, 2, 3, 4, 4)
    masks = torch.ones(4, 2, 4, 4)
    masks[1, 0] = masks[3, 0] = masks[:, 1] = 0
    for frame, m in zip(f, masks, strict=True):
        features.add(frame, m)
    torch.testing.assert_close(features.globally[0], f[[0, 2], 0].mean((0, 2, 3)))
    torch.testing.assert_close(features.locally[0], f[2, 0].mean((1, 2)))
    assert not features.globally[1].any() and not features.locally[1].any()  # never seen: zero, not NaN


@pytest.mark.parametrize("channels", HEADS, ids=str)
def test_all_objects_at_once_are_each_alone(channels):
    r = torch.Generator().manual_seed(0)
    P = sum(map(sum, kernel_numbers(channels)))
    x, k = torch.randn(3, channels[0], 5, 6, generator=r), torch.randn(3, P, generator=r)
    for maps in (x, x[:1]):
        together = convolve(maps, k, channels)
        for n in range(3):
            one = maps[n : n + 1] if len(maps) > 1 else maps
            weights, biases = kernel_numbers(channels)
            parts = k[n].split([*weights, *biases])
            for layer in range(len(weights)):
                one = F.conv2d(one, parts[layer].view(channels[layer + 1], -1, 1, 1), parts[len(weights) + layer])
                one = F.relu(one) if layer + 1 < len(weights) else one
            torch.testing.assert_close(together[n], one[0], atol=1e-4, rtol=1e-4)


def test_swapping_two_objects_kernels_swaps_their_masks():
    x, k = torch.randn(1, 24, 5, 6), torch.randn(2, 25)
    torch.testing.assert_close(convolve(x, k.flip(0), (24, 1)), convolve(x, k, (24, 1)).flip(0))


@pytest.mark.parametrize("inputs", [("global",), ("local",), ("global", "local")])
def test_S3_E2_the_generator_reads_what_it_is_told_to_and_starts_small(inputs):
    torch.manual_seed(0)
    generator, means = KernelGenerator(inputs, 8, (24, 1)), torch.randn(2, 2, 8, requires_grad=True)
    k = generator(*means)
    assert k.shape == (2, 25) and k.abs().max() < 0.2
    k.sum().backward()
    assert [bool(g.any()) for g in means.grad] == ["global" in inputs, "local" in inputs]


def test_aspp_starts_as_the_identity_and_sees_far():
    aspp, x = ASPP(6, 4), torch.randn(1, 6, 9, 9, requires_grad=True)
    torch.testing.assert_close(aspp(x), x)
    torch.nn.init.ones_(aspp.out.weight)
    aspp(x)[0, 0, 4, 4].backward()
    assert x.grad[0, 0, 0, 4] != 0 and x.grad[0, 0, 1, 1] != 0


def test_numbers_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="want 25 numbers"):
        convolve(torch.zeros(1, 24, 2, 2), torch.zeros(1, 24), (24, 1))
