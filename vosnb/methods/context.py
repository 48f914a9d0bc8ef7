"""Where affinity goes: heatmaps of what a frame reads from the object's memory and from the background's (S0 3.2-3.3).

Lesson 02 builds this file step by step. Masks are those of the cells: each cell holds the share of its pixels that lies
in the object, 0..1 ("downscaled, and mask values are floats", S0 section 3.3).

Shapes: N query cells, M memory cells; leading batch dimensions are allowed.
"""

import torch


def object_heatmap(A: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
    """h_i = sum_{j in object} A_ij: how much each query cell reads from the object (S0 section 3.2).

    A (..., N, M) as of S0-E1, memory_mask (..., M) in 0..1 (soft at the object's border); returns h (..., N) in 0..1.
    """
    return (A @ memory_mask.unsqueeze(-1)).squeeze(-1)


def background_heatmap(A: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
    """The reversed analysis: how much each query cell reads from what is not the object, sum_j (1 - m_j) A_ij.

    S0 section 3.3 speaks of it in words ("some object pixels in the query may be similar to some background pixels in
    the memory"). Shapes as in `object_heatmap`.
    """
    return object_heatmap(A, 1 - memory_mask)


def affinity_shares(A: torch.Tensor, query_groups: torch.Tensor, memory_groups: torch.Tensor) -> torch.Tensor:
    """Where groups of query cells read: entry (a, b) is the share of its attention that group a gives to group b.

        sum_i q_ai sum_j A_ij m_bj / sum_i q_ai

    A (..., N, M), query_groups (..., G, N) and memory_groups (..., B, M) in 0..1: how much of each cell lies in each
    group (object, look-alikes, background). Returns (..., G, B): the blocks of A, averaged. Rows sum to one where the
    memory's groups do so in every cell; the row of an empty group is NaN.

    With the object and the rest as groups, (rest, object) is what S0 section 3.3 wants small and (object, rest) is the
    reversed analysis, each for a cell of its group on average.
    """
    given = query_groups @ A @ memory_groups.transpose(-1, -2)
    return given / query_groups.sum(-1, keepdim=True)
