"""Where affinity goes: shares of attention between groups of cells."""

import torch

from vosnb.methods.context import affinity_shares, background_heatmap, object_heatmap
from vosnb.methods.matching import affinity


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
