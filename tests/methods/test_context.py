"""Where affinity goes, the loss that charges for it, and the keys that are tuned with it."""

import copy

import pytest
import torch
from torch import nn

from vosnb import creatures
from vosnb.features import load_weights
from vosnb.methods.context import (
    adapt_keys,
    adaptation_losses,
    affinity_shares,
    background_heatmap,
    balance,
    excess_losses,
    object_heatmap,
)
from vosnb.methods.matching import MatchingNet, affinity
from vosnb.trackers import make_tracker, segment


def example(n=30, m=20):
    r = torch.Generator().manual_seed(0)
    A = affinity(torch.randn(8, n, generator=r), torch.randn(8, m, generator=r))
    return A, torch.rand(n, generator=r), torch.rand(m, generator=r)


def with_rest(mask):
    return torch.stack([mask, 1 - mask])


def test_shares_of_two_groups_are_the_heatmaps_averaged_over_each_group():
    A, query, memory = example()
    shares = affinity_shares(A, with_rest(query), with_rest(memory))
    h, reverse = object_heatmap(A, memory), background_heatmap(A, memory)
    torch.testing.assert_close(shares[1, 0], ((1 - query) * h).sum() / (1 - query).sum())
    torch.testing.assert_close(shares[0, 1], (query * reverse).sum() / query.sum())
    torch.testing.assert_close(shares.sum(-1), torch.ones(2))


def test_shares_of_a_small_matrix_are_what_one_counts_by_hand():
    A = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]])
    queries, memory = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    expected = torch.tensor([[0.75, 0.25], [0.2, 0.8]])
    torch.testing.assert_close(affinity_shares(A, queries, memory), expected)


def test_shares_of_one_group_in_a_batch_are_those_alone_and_an_empty_group_has_none():
    A, query, memory = example()
    groups = torch.stack([query, torch.zeros_like(query)])
    batch = affinity_shares(torch.stack([A, A.flip(1)]), torch.stack([groups, groups]), with_rest(memory))
    torch.testing.assert_close(batch[1, 0], affinity_shares(A.flip(1), groups, with_rest(memory))[0])
    assert batch[:, 1].isnan().all() and batch[:, 0].isfinite().all()


def test_a_border_cell_that_finds_itself_still_reads_the_other_side():
    """With soft masks the leak is not zero even where every cell matches itself: m (1 - m) remains."""
    m = torch.tensor([0.0, 0.5, 1.0, 1.0])
    shares = affinity_shares(torch.eye(4), with_rest(m), with_rest(m))
    torch.testing.assert_close(shares[0, 1], (m * (1 - m)).sum() / m.sum())
    hard = with_rest((m > 0.6).float())
    torch.testing.assert_close(affinity_shares(torch.eye(4), hard, hard), torch.eye(2))


# The loss and the adaptation, held to an independent evaluation in float64 ------------------------------------------

SCALES = {"unscaled": 1.0, "sqrt_d": None}


@pytest.fixture
def frame0(oracle):
    """The two key convolutions of the oracle, and the features and the mask that they are tuned on."""
    o = oracle("s0_adaptation_selfmade")
    convs = nn.Conv2d(16, 4, 3, padding=1).double(), nn.Conv2d(16, 4, 3, padding=1).double()
    with torch.no_grad():
        for conv, end in zip(convs, "qr", strict=True):
            conv.weight.copy_(o[f"w{end}"])
            conv.bias.copy_(o[f"b{end}"])
    return o, *convs, (o["fq"][None], o["fr"][None], o["m"][None])


@pytest.mark.parametrize("name", SCALES)
def test_S0_E3_losses_alpha_and_gradients_are_those_of_an_independent_evaluation(frame0, name):
    o, query_key, memory_key, (fq, fr, mask) = frame0
    A = affinity(query_key(fq).flatten(2), memory_key(fr).flatten(2), SCALES[name])
    L_obj, L_bg = adaptation_losses(A, mask.flatten(1), mask.flatten(1))
    alpha = balance(L_obj, L_bg)
    for found, key in (A[0], "A"), (L_obj[0], "Lobj"), (L_bg[0], "Lbg"), (alpha[0], "alpha"):
        torch.testing.assert_close(found, o[f"{name}_{key}"], atol=1e-9, rtol=0)
    assert not alpha.requires_grad
    (alpha * L_obj + L_bg).sum().backward()
    for i, p in enumerate([*query_key.parameters(), *memory_key.parameters()]):
        torch.testing.assert_close(p.grad, o[f"{name}_g{i}"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("normalise", ["sum", "mean"])
@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_fifty_steps_go_the_same_way(frame0, name, normalise, rate):
    o, query_key, memory_key, what = frame0
    settings = {"learning_rate": rate, "normalise": normalise, "scale": SCALES[name], "patience": None, "loss": "leak"}
    history = adapt_keys(query_key, memory_key, *what, 50, **settings)
    unit = what[2].numel() if normalise == "mean" else 1  # the oracle's losses are sums either way
    found = torch.tensor([history.object, history.background], dtype=torch.float64).T[:50] * unit
    found[:, 0] /= history.alpha
    given = o[f"{name}_{normalise}_lr{rate}_traj"]
    torch.testing.assert_close(found[:10], given[:10], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(found, given, atol=1e-7, rtol=1e-7)  # last digits, magnified from step to step
    if (normalise, rate) == ("sum", 1.0):
        torch.testing.assert_close(query_key.weight, o[f"{name}_final_wq"], atol=1e-8, rtol=0)


# What the adaptation promises -----------------------------------------------------------------------------------------


def test_the_paper_s_rate_on_the_summed_loss_loses_and_patience_brings_the_best_state_back(frame0):
    _, query_key, memory_key, what = frame0
    settings = {"learning_rate": 1.0, "normalise": "sum", "loss": "leak"}
    lost = adapt_keys(copy.deepcopy(query_key), copy.deepcopy(memory_key), *what, **settings, patience=None)
    assert lost.total[-1] > lost.total[0] and lost.background[-1] < 1e-6 * lost.background[0]
    before = query_key.weight.clone()
    kept = adapt_keys(query_key, memory_key, *what, **settings, patience=5)
    assert kept.best == 0 and len(kept.total) == 6
    assert torch.equal(query_key.weight, before)
    better = adapt_keys(query_key, memory_key, *what, learning_rate=0.1)
    assert better.total[better.best] == min(better.total) < 0.9 * better.total[0]


def test_excess_is_free_where_a_cell_finds_itself_and_is_S0_E3_for_masks_of_0_and_1():
    A, _, _ = example(20, 20)
    soft, hard = torch.rand(20, generator=torch.Generator().manual_seed(1)), (torch.arange(20) < 7).float()
    assert all(L.abs() < 1e-6 for L in excess_losses(torch.eye(20), soft, soft))
    assert all(L > 0.1 for L in adaptation_losses(torch.eye(20), soft, soft))
    torch.testing.assert_close(excess_losses(A, hard, hard), adaptation_losses(A, hard, hard))
    h = object_heatmap(A, soft)
    L_obj, L_bg = excess_losses(A, soft, soft)
    up = h > soft
    torch.testing.assert_close(L_obj, ((1 - soft) * (h - soft))[up].sum())
    torch.testing.assert_close(L_bg, (soft * (soft - h))[~up].sum())


def test_balance_starts_both_losses_equal_and_survives_when_nothing_leaks():
    torch.testing.assert_close(balance(torch.tensor([2.0, 0.0]), torch.tensor([3.0, 3.0])), torch.tensor([1.5, 1.0]))


def test_objects_are_balanced_one_by_one_and_their_losses_summed(frame0):
    _, query_key, memory_key, (fq, fr, mask) = frame0
    fr2, mask2 = fr.flip(1), mask.flip(2)
    one, two = (
        adapt_keys(query_key, memory_key, fq, features, m, steps=0) for features, m in ((fr, mask), (fr2, mask2))
    )
    both = adapt_keys(query_key, memory_key, fq, torch.cat([fr, fr2]), torch.cat([mask, mask2]), steps=0)
    torch.testing.assert_close(both.alpha, torch.cat([one.alpha, two.alpha]))
    assert both.total[0] == pytest.approx(one.total[0] + two.total[0])
    assert both.object[0] == pytest.approx(both.background[0])


def test_the_loss_of_several_query_frames_is_the_mean_of_theirs(frame0):
    _, query_key, memory_key, (fq, fr, mask) = frame0
    other, shifted = fq.flip(-1), mask.flip(-1)

    def start(features, masks):
        history = adapt_keys(query_key, memory_key, features, fr, mask, steps=0, alpha=1.0, query_masks=masks)
        return history.total[0]

    one, two = start(fq, mask[None]), start(other, shifted[None])
    assert one == adapt_keys(query_key, memory_key, fq, fr, mask, steps=0, alpha=1.0).total[0] != two
    assert start(torch.cat([fq, other]), torch.stack([mask, shifted])) == pytest.approx((one + two) / 2)


@pytest.mark.parametrize(
    ("tune", "moved"), [("both", {"query", "memory"}), ("query", {"query"}), ("memory", {"memory"})]
)
def test_only_the_convolutions_asked_for_are_tuned(frame0, tune, moved):
    _, query_key, memory_key, what = frame0
    convs = {"query": query_key, "memory": memory_key}
    before = copy.deepcopy(convs)
    adapt_keys(*convs.values(), *what, steps=3, tune=tune)
    for end, conv in convs.items():
        for p, old in zip(conv.parameters(), before[end].parameters(), strict=True):
            still = torch.allclose(p, old, atol=1e-12, rtol=0)  # the memory's bias shifts whole rows of A: no gradient
            assert still == (end not in moved or (end == "memory" and p.ndim == 1))
            assert not p.requires_grad and p.grad is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"optimizer": "lbfgs"}, "sgd, adam"),
        ({"tune": "all"}, "both, query, memory"),
        ({"normalise": "max"}, "mean, sum"),
        ({"alpha": "same"}, "not negative or one of balanced"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"steps": -1}, "not negative"),
        ({"loss": "hinge"}, "excess, leak"),
    ],
)
def test_settings_that_cannot_be_are_told_before_anything_runs(wrong, says):
    with pytest.raises(ValueError, match=says):
        make_tracker("matching+context", net=MatchingNet(), **wrong)


# The tracker ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def net():
    return load_weights(MatchingNet(), "matching")


@pytest.fixture(scope="module")
def clip():
    return creatures.generate(3, "twins", "val", (64, 64), 4)


def test_the_tracker_changes_the_two_key_convolutions_and_nothing_else(net, clip):
    given = copy.deepcopy(net.state_dict())
    tracker = make_tracker("matching+context", net=net, device="cpu", steps=3)
    tracker.start(clip.frames[0], clip.first_mask)
    assert all(torch.equal(value, given[name]) for name, value in net.state_dict().items())
    changed = {name for name, value in tracker.net.state_dict().items() if not torch.equal(value, given[name])}
    assert {"query_key.weight", "query_key.bias", "memory_key.weight"} <= changed
    assert changed <= {f"{end}_key.{part}" for end in ("query", "memory") for part in ("weight", "bias")}


@pytest.mark.parametrize("memory", ["first", "every+last", "variation"])
def test_frame_0_is_remembered_with_the_adapted_keys_and_no_step_is_the_plain_matcher(net, clip, memory):
    def masks(name, **settings):
        tracker = make_tracker(name, net=net, device="cpu", memory=memory, **settings)
        return tracker, torch.stack([p for *_, p in segment(tracker, clip) if p is not None])

    plain, expected = masks("matching")
    _, same = masks("matching+context", steps=0)
    torch.testing.assert_close(same, expected, atol=1e-4, rtol=0)
    tuned, other = masks("matching+context", steps=3, learning_rate=1.0, patience=None)
    assert (other - expected).abs().max() > 1e-3
    (key, value), (plain_key, plain_value) = tuned.memories[0].frames[0], plain.memories[0].frames[0]
    assert not torch.allclose(key, plain_key)
    torch.testing.assert_close(value, plain_value)


def test_every_clip_starts_from_the_generic_keys(net, clip):
    tracker = make_tracker("matching+context", net=net, device="cpu", steps=3)
    first = torch.stack([p for *_, p in segment(tracker, clip) if p is not None])
    for _ in segment(tracker, creatures.generate(4, "easy", "val", (64, 64), 2)):
        pass
    again = torch.stack([p for *_, p in segment(tracker, clip) if p is not None])
    assert torch.equal(first, again)
    assert tracker.history.object[0] == pytest.approx(tracker.history.background[0], rel=1e-4)
