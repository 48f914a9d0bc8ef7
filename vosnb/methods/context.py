"""Where affinity goes: heatmaps of what a frame reads from the object's memory and from the background's (S0 3.2-3.3).

Shapes: N query cells, M memory cells; leading batch dimensions are allowed.
"""

import torch


def object_heatmap(A: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
    """h_i = sum_{j in object} A_ij: how much each query cell reads from the object (S0 section 3.2).

    A (..., N, M) as of S0-E1, memory_mask (..., M) in 0..1 (soft at the object's border); returns h (..., N) in 0..1.
    """
    return (A @ memory_mask.unsqueeze(-1)).squeeze(-1)


def background_heatmap(A: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
    """The reversed analysis: how much each query cell reads from what is not the object, sum_j (1 - m_j) A_ij."""
    return object_heatmap(A, 1 - memory_mask)
