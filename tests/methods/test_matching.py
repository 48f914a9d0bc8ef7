"""Matching with a memory: the equations, held to the authors' implementations and to their plain meaning."""

import numpy as np
import pytest
import torch

from vosnb.methods.context import background_heatmap, object_heatmap
from vosnb.methods.matching import (
    MatchingNet,
    Memory,
    affinity,
    enriched_value,
    most_changed,
    read_flat,
    read_memory,
    soft_aggregate,
)


def flat(x):
    return x.flatten(2)


def test_S0_E1_affinity_is_that_of_stm(oracle):
    o = oracle("memory_readout")
    A = affinity(flat(o["qk"]), flat(o["mk"]))
    torch.testing.assert_close(A.transpose(-1, -2), o["stm_affinity"], atol=1e-6, rtol=0)
    torch.testing.assert_close(A.sum(-1), torch.ones(2, 42), atol=1e-6, rtol=0)


def test_S0_E1_scale_one_is_the_equation_as_printed():
    q, m = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0, 1.0], [1.0, 3.0, 0.0]])
    unnormalised = np.exp(q.numpy().T @ m.numpy())
    expected = unnormalised / unnormalised.sum(1, keepdims=True)
    np.testing.assert_allclose(affinity(q, m, scale=1.0), expected, atol=1e-6)


def test_S0_E2_read_and_enriched_value_are_those_of_stm_and_swiftnet(oracle):
    o = oracle("memory_readout")
    A = affinity(flat(o["qk"]), flat(o["mk"]))
    ours = enriched_value(flat(o["qv"]), A, flat(o["mv"]))
    theirs_first = torch.cat([ours[:, 24:], ours[:, :24]], 1)  # both codes put what is read before the query's value
    for code in ("stm_out", "swiftnet_out"):
        torch.testing.assert_close(theirs_first.view_as(o[code]), o[code], atol=5e-6, rtol=0)


@pytest.mark.parametrize("d, v", [(32, 64), (64, 32), (16, 16)])
def test_S0_E2_reading_without_the_affinity_gives_the_same(d, v):
    r = torch.Generator().manual_seed(0)
    q, k, values = (torch.randn(3, n, cells, generator=r) for n, cells in ((d, 50), (d, 120), (v, 120)))
    torch.testing.assert_close(read_flat(q, k, values), read_memory(affinity(q, k), values), atol=2e-6, rtol=1e-5)


def test_reading_does_not_hold_the_affinity():
    """Four times the queries and memory cells: the plain read allocates sixteen times as much, the flat read four."""

    def allocated(read, n):
        q, k, v = torch.randn(1, 32, n), torch.randn(1, 32, n), torch.randn(1, 64, n)
        with torch.profiler.profile(profile_memory=True) as profile, torch.no_grad():
            read(q, k, v)
        return sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages())

    plain = [allocated(lambda q, k, v: read_memory(affinity(q, k), v), n) for n in (512, 2048)]
    ours = [allocated(read_flat, n) for n in (512, 2048)]
    assert plain[1] / plain[0] > 10
    assert ours[1] / ours[0] < 6
    assert ours[1] < plain[1] / 4


def test_soft_aggregation_is_that_of_stm_xmem_and_stcn(oracle):
    o = oracle("soft_aggregation")
    for code in ("stm_prob_K4", "xmem_prob", "stcn_prob"):
        torch.testing.assert_close(soft_aggregate(o["p"]), o[code], atol=2e-6, rtol=0)


def test_variation_update_selects_what_swiftnet_selects(oracle):
    o = oracle("swiftnet_memory_update")
    cells = most_changed(o["keys"], o["prev_key"], float(o["beta"]))
    for name, part in (("keys", "prev_key"), ("values", "prev_value")):
        chosen = o[part].gather(-1, cells[:, None].expand(-1, o[part].shape[1], -1))
        torch.testing.assert_close(torch.cat([o[name], chosen], -1), o[f"new_{name}"], atol=0, rtol=0)


def frames_remembered(schedule, steps, **settings):
    """Which frames a memory holds after some steps: each frame's key holds its own number."""
    memory = Memory(schedule, **settings)
    for t in range(steps):
        if memory.wants():
            memory.add(torch.full((1, 1, 1), float(t)), torch.full((1, 1, 1), float(t)))
        else:
            memory.skip()
    return memory.keys.flatten().tolist()


def test_memory_schedules():
    assert frames_remembered("first", 12) == [0]
    assert frames_remembered("every", 12, every=5) == [0, 5, 10]
    assert frames_remembered("every+last", 13, every=5) == [0, 5, 10, 12]
    assert frames_remembered("every+last", 11, every=5) == [0, 5, 10]
    assert frames_remembered("every", 30, every=5, capacity=2) == [0, 20, 25]


def test_variation_keeps_frame_0_whole_and_only_the_changed_cells_after():
    r = torch.Generator().manual_seed(0)
    first = torch.randn(1, 8, 40, generator=r)
    changed = first.clone()
    changed[..., [3, 17, 20, 39]] = torch.randn(1, 8, 4, generator=r)
    memory = Memory("variation", every=1, beta=0.1)
    memory.add(first, first)
    memory.add(changed, changed)
    assert memory.keys.shape[-1] == 44
    torch.testing.assert_close(memory.keys[..., 40:], changed[..., [3, 17, 20, 39]])


@pytest.mark.parametrize("settings", [{"schedule": "often"}, {"every": 0}, {"capacity": 0}, {"beta": 0.0}])
def test_memory_says_what_is_wrong_with_its_settings(settings):
    with pytest.raises(ValueError, match="memory s"):
        Memory(**settings)


def test_S0_heatmaps_share_what_a_cell_reads():
    r = torch.Generator().manual_seed(0)
    A = affinity(torch.randn(8, 30, generator=r), torch.randn(8, 20, generator=r))
    mask = torch.rand(20, generator=r)
    h, reversed_h = object_heatmap(A, mask), background_heatmap(A, mask)
    torch.testing.assert_close(h, sum(A[:, j] * mask[j] for j in range(20)))
    torch.testing.assert_close(h + reversed_h, torch.ones(30))


def test_network_gives_logits_of_image_size_for_every_object():
    net = MatchingNet().eval()
    image = torch.zeros(1, 3, 48, 64)
    query = net.encode_query(image)
    masks = torch.rand(2, 1, 48, 64)
    key, value = net.encode_memory(image.expand(2, -1, -1, -1), masks, masks.flip(0))
    assert key.shape == (2, 32, 48) and value.shape == (2, 64, 48)
    read = read_flat(query.key.flatten(2).expand(2, -1, -1), key, value)
    assert net.decode(query, read).shape == (2, 1, 48, 64)
    assert sum(p.numel() for p in net.parameters()) < 1.5e6
