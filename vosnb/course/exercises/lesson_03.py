"""Exercises of lesson 03: a gradient by hand, the loss of several objects, and a loss that lets the border be."""

import torch

from vosnb.course.exercises import Exercise, expect, same
from vosnb.methods.context import adaptation_losses, balance, excess_losses, object_heatmap

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

# ---------------------------------------------------------------------------------------------- excess


def _check_excess(answer):
    r = torch.Generator().manual_seed(51)  # cells on either side of their mask, in either sum
    logits = (2 * torch.randn(6, 6, generator=r).double()).requires_grad_()
    A = torch.softmax(logits, -1)
    query = torch.tensor([1.0, 0.0, 0.2, 0.7, 0.0, 0.4]).double()
    memory = torch.tensor([1.0, 0.0, 0.9, 0.6, 0.0, 0.8]).double()
    h = object_heatmap(A, memory).detach()
    beyond, floor = h - query, query * (1 - query)
    over, under = beyond.clamp_min(0), (-beyond).clamp_min(0)

    got = answer(A, query, memory)
    expect(
        isinstance(got, (tuple, list)) and len(got) == 2,
        "return two things: L_obj and L_bg.",
    )
    got = [torch.as_tensor(x) for x in got]
    L_obj, L_bg = (x.detach() for x in got)

    def is_(object, background):
        return same(L_obj, object.sum()) and same(L_bg, background.sum())

    expect(
        not is_((1 - query) * h, query * (1 - h)),
        "that is S0-E3 itself: a cell that is half object and reads half from the object still pays.",
    )
    expect(
        not is_((1 - query) * beyond, -query * beyond),
        "a charge is never negative. In yours a cell that reads too little from the object is paid for it by L_obj, "
        "which makes up for others that read too much.",
    )
    summed = [(x.detach() - floor.sum()).clamp_min(0) for x in adaptation_losses(A, query, memory)]
    expect(
        not is_(*summed) and not is_(((1 - query) * beyond).sum().clamp_min(0), (-query * beyond).sum().clamp_min(0)),
        "you took the excess of the sum. Then a cell that reads too little makes up for one that reads too much: take "
        "the excess of each cell first, and sum last.",
    )
    expect(
        not is_((1 - query) * beyond.abs(), query * beyond.abs()),
        "both of your losses charge both errors. L_obj is for reading more from the object than the mask says, L_bg "
        "for reading less.",
    )
    expect(
        not is_(over, under),
        "the weights of S0-E3 are gone: L_obj is paid by the part of a cell that lies outside, 1 - m_i, and L_bg by "
        "the part inside, m_i.",
    )
    expect(
        not is_(query * under, (1 - query) * over),
        "the two are swapped: L_obj, the first, charges the background for reading too much from the object.",
    )
    expect(
        not is_((1 - query) * (h - memory).clamp_min(0), query * (memory - h).clamp_min(0)),
        "you compare with the memory's mask. What a query cell may read is its own share, the query's mask; the "
        "memory's is already in h.",
    )
    hard = (query > 0.5).double()
    expect(
        not is_((1 - hard) * (h - hard).clamp_min(0), hard * (hard - h).clamp_min(0)),
        "you made the mask hard, and then nothing has changed: with a mask of 0 and 1 this is S0-E3.",
    )
    expect(
        not is_((1 - query) * over**2, query * under**2),
        "you squared the excess. With a mask of 0 and 1 these should be the losses of S0-E3, which are not squared.",
    )
    expect(
        not same(L_obj, ((1 - query) * over).mean()) and not same(L_bg, (query * under).mean()),
        "plain sums, as in S0-E3: yours are means over the cells.",
    )
    truth = excess_losses(A, query, memory)
    expect(
        same(L_obj, truth[0].detach()) and same(L_bg, truth[1].detach()),
        "not right: L_obj is the sum of (1 - m_i) times what h_i has above m_i, or 0; L_bg that of m_i times what it "
        "lacks.",
    )
    expect(all(x.requires_grad for x in got), "no gradient comes out of your losses: do not detach h, or round it.")
    gradients = [torch.autograd.grad(2 * x[0] + x[1], logits, retain_graph=True)[0] for x in (got, truth)]
    expect(same(*gradients), "the values are right, the gradient is not: let it flow through h, and through h alone.")
    A = torch.softmax(torch.randn(3, 6, 4, generator=r).double(), -1)
    masks = torch.rand(3, 6, generator=r).double(), torch.rand(3, 4, generator=r).double()
    expect(
        all(same(*pair) for pair in zip(answer(A, *masks), excess_losses(A, *masks), strict=True)),
        "with several objects, A (K, N, M), there are K numbers of each loss: sum over the query cells, the last "
        "dimension, alone.",
    )


excess = Exercise(
    name="excess",
    title="Charge only what goes beyond the mask",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=(
        "How far is each cell from where it should be? h - query_mask is positive where it reads too much from the "
        "object and negative where it reads too little.",
        "`.clamp_min(0)` keeps what is positive. L_obj needs that of h - query_mask, L_bg that of query_mask - h.",
        "The weights stay those of S0-E3, (1 - query_mask) for L_obj and query_mask for L_bg; `.sum(-1)` comes last.",
    ),
    reference=excess_losses,
    check=_check_excess,
)
