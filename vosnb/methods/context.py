"""Context adaptation: where affinity leaks between object and background, and keys tuned to stop it (S0 3.2-3.3).

Lesson 02 looks at the leaks, lesson 03 builds the rest of this file step by step. Masks are those of the cells: each
cell holds the share of its pixels that lies in the object, 0..1 ("downscaled, and mask values are floats", S0 3.3).

Shapes: N query cells, M memory cells, K objects; leading batch dimensions are allowed.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

from vosnb.methods.matching import affinity


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


def heat_shares(h: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Who reads the object: the share of all the heat of a frame that lies on each group of cells.

        sum_i q_gi h_i / sum_i h_i

    h (..., N) as of `object_heatmap`, groups (..., G, N) in 0..1: how much of each cell lies in each group. Returns
    (..., G), which sums to one where the groups do so in every cell; NaN where nothing reads from the object. What lies
    on look-alikes is stolen.
    """
    return (groups @ h.unsqueeze(-1)).squeeze(-1) / h.sum(-1, keepdim=True)


def adaptation_losses(
    A: torch.Tensor, query_mask: torch.Tensor, memory_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Affinity where there should be none (S0-E3), as plain sums, the way the paper prints them:

        L_obj = sum_i (1 - m_i) sum_j m_j A_ij          background cells that read from the object
        L_bg  = sum_i m_i sum_j (1 - m_j) A_ij          object cells that read from the background

    A (..., N, M), query_mask (..., N) and memory_mask (..., M) in 0..1; returns L_obj and L_bg (...). With soft masks
    a cell on the border, half object, is charged for matching itself: alpha L_obj + L_bg is a straight line in h_i,
    lowest at h_i = 0 or 1 and never at h_i = m_i.
    """
    L_obj = ((1 - query_mask) * object_heatmap(A, memory_mask)).sum(-1)
    L_bg = (query_mask * background_heatmap(A, memory_mask)).sum(-1)
    return L_obj, L_bg


def excess_losses(
    A: torch.Tensor, query_mask: torch.Tensor, memory_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses of `adaptation_losses` for what goes beyond the mask alone; a border cell that finds itself is free:

        L_obj = sum_i (1 - m_i) max(h_i - m_i, 0)          L_bg = sum_i m_i max(m_i - h_i, 0)

    Both are zero where h = m, and equal to S0-E3 where masks are 0 or 1. Keys tuned with S0-E3 itself learn to read
    from pure cells and to avoid those on the border, from which the decoder draws its outline; lesson 03 measures it.
    Ours, not the paper's. Shapes as there.
    """
    beyond = object_heatmap(A, memory_mask) - query_mask
    return ((1 - query_mask) * beyond.clamp_min(0)).sum(-1), (query_mask * (-beyond).clamp_min(0)).sum(-1)


def balance(L_obj: torch.Tensor, L_bg: torch.Tensor) -> torch.Tensor:
    """alpha such that alpha L_obj = L_bg (S0 section 3.3), without gradient; 1 where L_obj is 0 and nothing leaks."""
    L_obj, L_bg = L_obj.detach(), L_bg.detach()
    return torch.where(L_obj > 0, L_bg / L_obj.clamp_min(torch.finfo(L_obj.dtype).tiny), torch.ones_like(L_bg))


@dataclass
class History:
    """What an adaptation did: for every state that was looked at, alpha L_obj and L_bg summed over the objects.

    Entry 0 is the state before the first step, so that n steps give n + 1 entries. best: the entry that was kept.
    Units: those of the loss that was minimised (see `normalise` of `adapt_keys`).
    """

    alpha: torch.Tensor = None  # (K,)
    object: list[float] = field(default_factory=list)
    background: list[float] = field(default_factory=list)
    best: int = 0

    @property
    def total(self) -> list[float]:
        return [a + b for a, b in zip(self.object, self.background, strict=True)]


OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
TUNED = ("both", "query", "memory")
NORMALISATIONS = ("mean", "sum")
LOSSES = {"excess": excess_losses, "leak": adaptation_losses}


def check_settings(steps, learning_rate, alpha, normalise, optimizer, tune, patience, loss) -> None:
    """Raise ValueError, with what is allowed, unless `adapt_keys` can work with these."""
    for name, value, known in (
        ("optimizer", optimizer, tuple(OPTIMIZERS)),
        ("tune", tune, TUNED),
        ("normalise", normalise, NORMALISATIONS),
        ("loss", loss, tuple(LOSSES)),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown: choose from {', '.join(known)}.")
    if steps < 0 or learning_rate <= 0 or (patience is not None and patience < 1):
        raise ValueError(
            f"steps={steps}, learning_rate={learning_rate}, patience={patience}: steps are not negative, the rate is "
            "above 0, and patience is at least 1, or None."
        )
    if alpha != "balanced" and not (isinstance(alpha, int | float) and alpha >= 0):
        raise ValueError(f"alpha={alpha!r}: take 'balanced' or a number that is not negative.")


def adapt_keys(
    query_key: nn.Module,
    memory_key: nn.Module,
    query_features: torch.Tensor,
    memory_features: torch.Tensor,
    masks: torch.Tensor,
    steps: int = 50,
    learning_rate: float = 0.3,
    alpha: float | str = "balanced",
    normalise: str = "mean",
    scale: float | None = None,
    optimizer: str = "sgd",
    tune: str = "both",
    patience: int | None = 10,
    loss: str = "excess",
    query_masks: torch.Tensor | None = None,
) -> History:
    """Tune the two key convolutions, in place, on frame 0 looking into a memory of frame 0 (S0 sections 3.3 and 4).

        L_adapt = sum_k (alpha_k L_obj_k + L_bg_k)           (section 4.3 sums over objects)

    query_key, memory_key: the convolutions, left frozen; nothing else is changed.
    query_features: (Q, C, h, w), what the query encoder sees in frame 0, Q = 1. memory_features: (K, C, h, w), what the
        memory encoder sees there of each object. masks: (K, h, w) in 0..1, one for each object.
    steps, learning_rate: the paper has 50 and 1; with which normalisation and optimiser it does not say.
    alpha: "balanced" (the paper: both losses of an object start equal), or a number.
    normalise: "mean" divides the losses by the number of query cells, so that a rate means the same on any size of
        frame; "sum" is S0-E3 to the letter, and collapses at the paper's rate (lesson 03).
    scale: of the affinity, as there. optimizer: "sgd" or "adam". tune: "both" convolutions, "query" or "memory".
    patience: stop after so many steps without a new lowest loss, and return to the state that had it; None: run on and
        keep the last state.
    loss: "excess" (`excess_losses`, ours) or "leak" (S0-E3 to the letter).
    query_masks: (Q, K, h, w), for query frames other than frame 0, which is all that a tracker has: what could keys
        learn from more? The loss is the mean over these frames.

    Raises ValueError for settings that do not exist.
    """
    check_settings(steps, learning_rate, alpha, normalise, optimizer, tune, patience, loss)
    tuned = {"both": [query_key, memory_key], "query": [query_key], "memory": [memory_key]}[tune]
    query_key.requires_grad_(False)
    memory_key.requires_grad_(False)
    parameters = [p.requires_grad_(True) for conv in tuned for p in conv.parameters()]
    descent = OPTIMIZERS[optimizer](parameters, learning_rate)
    m, history, kept, lowest = masks.flatten(1), History(), None, torch.inf
    q = m[None] if query_masks is None else query_masks.flatten(2)
    query_features, memory_features = query_features.detach(), memory_features.detach()
    with torch.enable_grad():
        for step in range(steps + 1):
            A = affinity(query_key(query_features).flatten(2)[:, None], memory_key(memory_features).flatten(2), scale)
            L_obj, L_bg = (L.mean(0) for L in LOSSES[loss](A, q, m))
            if normalise == "mean":
                L_obj, L_bg = L_obj / m.shape[-1], L_bg / m.shape[-1]
            if step == 0:
                history.alpha = balance(L_obj, L_bg) if alpha == "balanced" else torch.full_like(L_bg, alpha)
            L_obj, L_bg = (history.alpha * L_obj).sum(), L_bg.sum()
            history.object.append(L_obj.item())
            history.background.append(L_bg.item())
            total = L_obj.item() + L_bg.item()
            if step == 0 or patience is None or total < lowest:
                lowest, history.best, kept = total, step, [p.detach().clone() for p in parameters]
            if step == steps or (patience is not None and step - history.best >= patience):
                break
            descent.zero_grad()
            (L_obj + L_bg).backward()
            descent.step()
    with torch.no_grad():
        for p, best in zip(parameters, kept, strict=True):
            p.copy_(best)
            p.requires_grad_(False).grad = None
    return history
