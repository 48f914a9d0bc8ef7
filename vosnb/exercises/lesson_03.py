"""Exercises of lesson 03: a gradient by hand, the loss of several objects, and affinity moved between groups."""

import torch

from vosnb.exercises import Exercise, expect, same
from vosnb.methods.context import adaptation_losses, balance

# ---------------------------------------------------------------------------------------------- query_gradient


def query_gradient_reference(q, keys, m, scale):
    a = torch.softmax(scale * q @ keys, -1)
    h = (m * a).sum()
    return scale * keys @ (a * (m - h))


def _check_query_gradient(answer):
    r = torch.Generator().manual_seed(5)
    q, keys = torch.randn(4, generator=r).double(), torch.randn(4, 7, generator=r).double()
    m = torch.tensor([0.0, 1.0, 0.25, 0.0, 1.0, 0.5, 0.0]).double()
    scale = 0.7
    a = torch.softmax(scale * q @ keys, -1)
    h = (m * a).sum()
    got = answer(q, keys, m, scale)

    expect(
        not same(got, scale * keys @ (a * m)),
        "you let each memory cell pull towards itself and forgot that a row sums to one: what one cell wins all the "
        "others lose. That is the `- h`.",
    )
    expect(
        not same(got, scale * keys @ (a * (1 - a) * m)),
        "you took the derivative of a_j by its own logit alone. Each logit moves all the others too, through the "
        "denominator.",
    )
    expect(
        not same(got, keys @ (a * (m - h))),
        "the scale is missing: z_j = scale q . k_j, so the chain rule brings one more factor.",
    )
    expect(
        not same(got, -scale * keys @ (a * (m - h))),
        "the sign: this is the direction in which h *falls* (what descent takes), and the gradient points where it "
        "rises.",
    )
    expect(
        not same(got, scale * keys @ (m - h)),
        "every memory cell has the same say in yours. A cell that hardly got attention hardly changes anything: weigh "
        "by a_j.",
    )
    expect(
        not same(got, a * (m - h)) and not same(got, scale * a * (m - h)),
        "that is the gradient for the logits z (one number a memory cell). One more step of the chain rule leads to "
        "the key q (one number a channel).",
    )
    expect(
        same(got, query_gradient_reference(q, keys, m, scale), 1e-6),
        "not the gradient: it is a vector like q, the sum over j of scale a_j (m_j - h) k_j.",
    )
    same_side = answer(q, keys, torch.ones(7).double(), scale)
    expect(
        same(same_side, torch.zeros(4), 1e-6),
        "where all memory is object, h is 1 whatever q is, and the gradient 0; yours is not.",
    )


query_gradient = Exercise(
    name="query_gradient",
    title="The gradient of one query cell, by hand",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=(
        "Three steps: the logits z, their softmax a, and h. The text above has the derivative of h by each z_j.",
        "z_j = scale q . k_j, so dz_j/dq = scale k_j. The chain rule sums over all j.",
        "scale * keys @ (weights), with one weight for each memory cell: a_j (m_j - h).",
    ),
    reference=query_gradient_reference,
    check=_check_query_gradient,
)

# ---------------------------------------------------------------------------------------------- total_loss


def total_loss_reference(A, masks, alpha=None):
    L_obj, L_bg = (L / masks.shape[-1] for L in adaptation_losses(A, masks, masks))
    if alpha is None:
        alpha = balance(L_obj, L_bg)
    return (alpha * L_obj + L_bg).sum(), alpha


def _check_total_loss(answer):
    r = torch.Generator().manual_seed(6)
    logits = (2 * torch.randn(2, 9, 9, generator=r).double()).requires_grad_()  # the rows of A sum to one, always
    A = torch.softmax(logits, -1)
    masks = torch.zeros(2, 9).double()
    masks[0, :3], masks[1, 4:] = torch.tensor([1.0, 0.75, 0.3]), torch.tensor([0.4, 1.0, 1.0, 1.0, 0.8])
    L_obj, L_bg = (L.detach() / 9 for L in adaptation_losses(A, masks, masks))
    own = L_bg / L_obj

    got = answer(A, masks)
    expect(
        isinstance(got, (tuple, list)) and len(got) == 2,
        "return two things: the loss, and alpha, which later steps are given back.",
    )
    loss, alpha = (torch.as_tensor(x) for x in got)
    value, weights = loss.detach(), alpha.detach()

    expect(
        not same(weights, L_bg.sum() / L_obj.sum()) and not same(weights, (L_bg.sum() / L_obj.sum()).expand(2)),
        "one alpha for all objects: then the losses start equal only in their sum. Each object has its own.",
    )
    expect(
        not same(weights, L_obj / L_bg),
        "your alpha is upside down: alpha L_obj = L_bg at the start, so alpha is L_bg over L_obj.",
    )
    hard = (masks > 0.5).double()
    H_obj, H_bg = (L.detach() / 9 for L in adaptation_losses(A, hard, hard))
    expect(
        not same(weights, H_bg / H_obj),
        "you made the masks hard. A cell that lies half in the object counts half on either side.",
    )
    expect(same(weights, own), "alpha is not right: for each object L_bg / L_obj, with the losses of this very A.")
    expect(
        not same(value, 2 * 9 * L_bg.sum()),
        "those are sums over the cells: divide by the number of query cells, or the step grows with the frame.",
    )
    expect(
        not same(value, 2 * L_bg.mean()),
        "you averaged over the objects. Section 4.3 sums: each object's losses count in full.",
    )
    expect(
        same(value, 2 * L_bg.sum()),
        "the loss is not right: alpha L_obj + L_bg of each object, over the number of cells, then summed over objects.",
    )
    expect(loss.requires_grad, "no gradient comes out of your loss: detach alpha, and nothing else.")
    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (truth,) = torch.autograd.grad(total_loss_reference(A, masks)[0], logits, retain_graph=True)
    expect(
        same(gradient, truth),
        "the value is right, the gradient is not: alpha is a number found at the start. Where a gradient flows through "
        "it, alpha L_obj is nothing but L_bg again, and L_obj drops out. Detach it.",
    )
    fixed = torch.tensor([0.5, 3.0]).double()
    later, kept = answer(A, masks, fixed)
    expect(
        not same(torch.as_tensor(later).detach(), value) and same(torch.as_tensor(kept).detach(), fixed),
        "you balance anew at every step. Alpha is set once, at the start; later it is given, and stays.",
    )
    expect(
        same(torch.as_tensor(later).detach(), (fixed * L_obj + L_bg).sum()),
        "with an alpha that is given the loss is not right: alpha L_obj + L_bg, with that alpha.",
    )
    clean = torch.eye(3)[None].double()
    loss, alpha = answer(clean, torch.tensor([[0.0, 1.0, 1.0]]).double())
    expect(
        same(torch.as_tensor(alpha).detach(), [1.0]) and same(torch.as_tensor(loss).detach(), 0.0),
        "where nothing leaks you divide by zero. There alpha is 1.",
    )


total_loss = Exercise(
    name="total_loss",
    title="One loss for several objects",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=(
        "`adaptation_losses(A, masks, masks)` takes all objects at once: it returns two vectors with K numbers each.",
        "Divide both by the number of cells, masks.shape[-1]. If alpha is None, `balance` knows the rest.",
        "At the end (alpha * L_obj + L_bg).sum(): a vector product over the objects. Return it with alpha.",
    ),
    reference=total_loss_reference,
    check=_check_total_loss,
)

# ---------------------------------------------------------------------------------------------- regroup


def regroup_reference(A, h_new, m):
    h = (A @ m).clamp(1e-6, 1 - 1e-6)
    inside, outside = h_new / h, (1 - h_new) / (1 - h)
    return A * (inside[:, None] * m + outside[:, None] * (1 - m))


def _check_regroup(answer):
    r = torch.Generator().manual_seed(7)
    A = torch.softmax(2 * torch.randn(6, 6, generator=r).double(), -1)
    m = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.5, 0.0]).double()
    new = torch.tensor([0.9, 0.05, 0.6, 0.2, 0.5, 0.35]).double()
    h = A @ m
    up = (new / h)[:, None]
    got = answer(A, new, m)

    expect(not same(got, A), "nothing was moved: the new heatmap has to enter.")
    expect(
        not same(got, A * (up * m + (1 - m))) and not same(got, A * up * m),
        "the rows do not sum to one: what the object wins, the rest has to give. Scale the rest as well.",
    )
    one_sided = A * (up * m + (1 - m))
    expect(
        not same(got, one_sided / one_sided.sum(-1, keepdim=True)),
        "rows sum to one, but by dividing afterwards; then the object no longer gets h'. Scale each side by its own "
        "factor.",
    )
    expect(
        not same(got, A * (new[:, None] * m + (1 - new)[:, None] * (1 - m))),
        "you multiplied by h' where it should be h' / h: A holds the old share h already.",
    )
    expect(
        not same(got, A * (up * m + (1 - new)[:, None] / h[:, None] * (1 - m))),
        "on the rest you divided by h; the rest's old share is 1 - h.",
    )
    hard = (m > 0.6).double()
    hh = A @ hard
    expect(
        not same(got, A * ((new / hh)[:, None] * hard + ((1 - new) / (1 - hh))[:, None] * (1 - hard))),
        "you made the mask hard. A cell that is half object is scaled half by one factor and half by the other.",
    )
    factor = new / h * m + (1 - new) / (1 - h) * (1 - m)
    expect(
        not same(got, A * factor),
        "h and h' belong to the *query* cells, the rows of A; m belongs to the memory cells, its columns. Mind which "
        "axis gets which.",
    )
    expect(
        same(got, regroup_reference(A, new, m)),
        "not right: A_ij times h'_i / h_i on the object and (1 - h'_i) / (1 - h_i) elsewhere, mixed by m_j.",
    )
    at_the_edge = torch.as_tensor(
        answer(torch.eye(2).double(), torch.tensor([0.5, 0.5]).double(), torch.eye(2)[0].double())
    )
    expect(
        bool(at_the_edge.isfinite().all()),
        "where h is 0 or 1 you divide by zero: keep h between 1e-6 and 1 - 1e-6.",
    )


regroup = Exercise(
    name="regroup",
    title="Move affinity between object and background",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=(
        "First the heatmap that A has now: h = A @ m, kept away from 0 and 1 with clamp.",
        "Two factors for each query cell: h_new / h for what lies on the object, (1 - h_new) / (1 - h) for the rest.",
        "Mix them by the memory mask: A * (inside[:, None] * m + outside[:, None] * (1 - m)).",
    ),
    reference=regroup_reference,
    check=_check_regroup,
)
