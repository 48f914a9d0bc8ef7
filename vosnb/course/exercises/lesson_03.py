"""Exercises of lesson 03: a gradient by hand, the fifty steps, a loss with a fault, and a control."""

import copy

import torch
from torch import nn

from vosnb.course.exercises import Exercise, expect, same, written
from vosnb.methods.context import adaptation_losses, balance, excess_losses, object_heatmap
from vosnb.methods.matching import affinity

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
    kind="warm-up",
    task="One query cell has the key q. Write the gradient of its h for q: one number for each channel of the key. The "
    "text above has the derivative of h for the logits z; one step of the chain rule is left.",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=(
        "Three steps lead from q to h: the logits z, their softmax a, and the sum. The text has the last two.",
        "z_j is scale times the dot product of q and k_j. How does it change when q moves?",
        "Each memory cell pulls q towards its own key, with a weight that is positive or negative: the derivative for "
        "z_j, times the scale. Add up all the pulls.",
    ),
    reference=query_gradient_reference,
    check=_check_query_gradient,
)

# ---------------------------------------------------------------------------------------------- tune


def tune_reference(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
    tuned = copy.deepcopy(keys).requires_grad_(True)
    descent = torch.optim.SGD(tuned.parameters(), rate)
    history, alpha = [], None
    for step in range(steps + 1):
        A = affinity(tuned[0](seen).flatten(2), tuned[1](remembered).flatten(2))
        L_obj, L_bg = (L.sum() / mask.shape[-1] for L in losses(A, mask, mask))
        alpha = balance(L_obj, L_bg) if alpha is None else alpha
        history.append([(alpha * L_obj).item(), L_bg.item()])
        if step < steps:
            descent.zero_grad()
            (alpha * L_obj + L_bg).backward()
            descent.step()
    return tuned.requires_grad_(False), history


def _frame_0():
    """Keys and arguments of a frame of 4 x 5 cells, in double precision."""
    r = torch.Generator().manual_seed(8)
    keys = nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1) for _ in range(2)]).double().requires_grad_(False)
    for p in keys.parameters():
        p.copy_(0.6 * torch.randn(p.shape, generator=r).double())
    seen, remembered = (torch.randn(1, 3, 4, 5, generator=r).double() for _ in range(2))
    mask = torch.rand(1, 20, generator=r).double() * (torch.arange(20) < 9)
    mask[0, 2:5] = 1
    return keys, seen, remembered, mask


def _went(steps, rate=0.5, losses=adaptation_losses, unit=20.0, alpha="first", clear=True, sign=1, tuned=(0, 1)):
    """Where keys end that were tuned in another way: all their numbers in one vector."""
    keys, seen, remembered, mask = _frame_0()
    for place in tuned:
        keys[place].requires_grad_(True)
    descent, first = torch.optim.SGD([p for p in keys.parameters() if p.requires_grad], rate), None
    for _ in range(steps):
        A = affinity(keys[0](seen).flatten(2), keys[1](remembered).flatten(2))
        L_obj, L_bg = (L.sum() / unit for L in losses(A, mask, mask))
        first = balance(L_obj, L_bg) if first is None else first
        weight = {"first": first, "one": 1, "anew": balance(L_obj, L_bg), "with gradient": L_bg / L_obj}[alpha]
        if clear:
            descent.zero_grad()
        (sign * (weight * L_obj + L_bg)).backward()
        descent.step()
    return _vector(keys)


def _vector(keys):
    return torch.cat([p.detach().flatten() for p in keys.parameters()])


def _check_tune(answer):
    keys, *frame = _frame_0()
    before = _vector(keys)
    got = answer(keys, *frame, adaptation_losses, 4, 0.5)
    expect(
        same(_vector(keys), before, 0),
        "you tuned the network's own keys, and the next clip would begin with what this one taught them. Copy them "
        "first.",
    )
    expect(
        isinstance(got, (tuple, list)) and len(got) == 2 and isinstance(got[0], nn.Module),
        "return two things: the tuned pair of convolutions, and the history of the two losses.",
    )
    tuned, history = got
    history = [[torch.as_tensor(x).item() for x in row] for row in history]
    end = _vector(tuned)
    expect(not same(end, before), "nothing has moved: is there a step, and do the copied numbers want a gradient?")

    def is_like(**turned):
        return same(end, _went(4, **turned), 1e-9)

    expect(
        not is_like(clear=False),
        "gradients add up in torch until somebody clears them, so each of your steps takes all the earlier ones again: "
        "`zero_grad` before `backward`.",
    )
    expect(not is_like(sign=-1), "you climb: the loss grows with each step. Descend instead.")
    expect(
        not is_like(unit=1.0),
        "your losses are sums over all cells. Divide them by the number of cells, or a step is longer on a larger "
        "frame.",
    )
    expect(
        not is_like(alpha="one"),
        "there is no balance in yours: alpha is L_bg over L_obj as they are before the first step.",
    )
    expect(
        not is_like(alpha="anew"),
        "you balance anew at each step. Alpha is set once, before the first step, and stays.",
    )
    expect(
        not is_like(alpha="with gradient"),
        "a gradient flows through your alpha. Then alpha L_obj is nothing but L_bg again, and L_obj drops out of the "
        "loss: `balance` detaches it.",
    )
    expect(
        not is_like(tuned=(0,)) and not is_like(tuned=(1,)),
        "one convolution of the two has not moved. Query key and memory key are tuned together.",
    )
    expect(
        not same(end, _went(3), 1e-9) and not same(end, _went(5), 1e-9),
        f"you took one step {'less' if same(end, _went(3), 1e-9) else 'more'} than `steps`. The history has one entry "
        "more than there are steps: the losses before the first, and after the last.",
    )
    expect(is_like(), "the keys do not end where plain gradient descent on alpha L_obj + L_bg ends. Go through step 1.")
    expect(
        len(history) == 5 and all(len(row) == 2 for row in history),
        f"with 4 steps the history has 5 entries (alpha L_obj, L_bg); yours has {len(history)}.",
    )
    ours = tune_reference(keys, *frame, adaptation_losses, 4, 0.5)[1]
    expect(
        same(history, ours, 1e-8),
        "the keys are right, the history is not: each entry is (alpha L_obj, L_bg) for each cell, so the first has two "
        "equal numbers.",
    )
    expect(
        same(_vector(answer(keys, *frame, excess_losses, 4, 0.5)[0]), _went(4, losses=excess_losses), 1e-9),
        "right for S0-E3, but which losses there are is an argument: call `losses`.",
    )
    expect(
        same(_vector(answer(keys, *frame)[0]), _went(50, 0.3), 1e-7),
        "right for 4 steps of 0.5, but not for 50 of 0.3, which are the defaults: use the arguments.",
    )


tune = Exercise(
    name="tune",
    title="Fifty steps on frame 0",
    kind="build",
    task="Build S0's adaptation: copy the pair of keys, and descend on alpha L_obj + L_bg, divided by the number of "
    "cells, with plain SGD. Alpha is set before the first step and stays. Return the tuned pair and a history of "
    "(alpha L_obj, L_bg): before the first step, between steps and after the last. The rest of the lesson runs on "
    "yours.",
    difficulty=3,
    importance=5,
    minutes=30,
    hints=(
        "Write one turn of the loop first, without any step: keys of both ends, affinity, two losses, their balance. "
        "Print what you have. Both weighed losses should be equal.",
        "The network is frozen, so a copy of its keys is frozen too: `requires_grad_` thaws it. Give its parameters to "
        "`torch.optim.SGD`.",
        "Alpha must survive from the first turn to the others: begin with None, and set it only if it is None.",
        "The history has one entry more than there are steps, so the loop has one turn more, and the last turn only "
        "looks.",
    ),
    reference=tune_reference,
    check=_check_tune,
)

# ---------------------------------------------------------------------------------------------- mend_excess


def excess_faulty(A, query_mask, memory_mask):
    """L_obj and L_bg of what goes beyond the mask, plain sums; shapes as in adaptation_losses."""
    beyond = object_heatmap(A, memory_mask) - query_mask
    L_obj = ((1 - query_mask) * beyond).sum(-1).clamp_min(0)
    L_bg = (query_mask * -beyond).sum(-1).clamp_min(0)
    return L_obj, L_bg


def mend_excess_reference(A, query_mask, memory_mask):
    """L_obj and L_bg of what goes beyond the mask, plain sums; shapes as in adaptation_losses."""
    beyond = object_heatmap(A, memory_mask) - query_mask
    L_obj = ((1 - query_mask) * beyond.clamp_min(0)).sum(-1)
    L_bg = (query_mask * (-beyond).clamp_min(0)).sum(-1)
    return L_obj, L_bg


def _check_mend_excess(answer):
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
        "a cell of the ground reads too much from the object, another reads too little, and your loss is as low as if "
        "neither were wrong. Two wrongs must not make a right: where do cells make up for each other?",
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


mend_excess = Exercise(
    name="mend_excess",
    title="A loss that forgives too much",
    kind="bug hunt",
    task="This program should charge a cell for what it reads beyond its mask, and for nothing else. On our frame "
    "both of its losses are those of S0-E3 less the same number, so each gradient is what it was, and nothing is "
    "won. Find the fault and mend it.",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=(
        "Take two cells of the ground. One reads 0.4 too much from the object, one on the border 0.4 too little. What "
        "should L_obj be, and what does the program say?",
        "`beyond` is positive for a cell that reads too much and negative for one that reads too little. Follow a "
        "negative one through the program.",
        "Something that happens once, to the whole sum, should happen to every cell.",
    ),
    reference=mend_excess_reference,
    check=_check_mend_excess,
    faulty=excess_faulty,
)

# ---------------------------------------------------------------------------------------------- control

_QUESTION = (
    "On twenty clips of toy twins, keys tuned on frame 0 gain J. A colleague says: any fifty steps would have done "
    "that; the mask that the user gave has nothing to do with it. Which experiment would tell? Say what is the same "
    "and what differs between its arms, and what each outcome would mean."
)

control = Exercise(
    name="control",
    title="Any fifty steps?",
    kind="open question",
    task=_QUESTION,
    difficulty=4,
    importance=5,
    minutes=15,
    hints=(
        "Adaptation gets a picture and a mask. What could you put in the place of each, leaving everything else alone?",
        "Which pair of trackers do you compare, on which clips, and how do you see that a difference is no accident?",
        "Write down for each arm what you would conclude if it gained as much as the true one, half of it, or nothing.",
    ),
    reference="I run three arms on the same twenty clips, with the same number of steps, rate and loss, and with the "
    "true first frame and mask in memory. In the first arm the keys are tuned with the true mask. In the second they "
    "are tuned on the same picture with a mask that is wrong, the true one moved elsewhere. In the third they are "
    "tuned on another clip's first frame with that clip's mask. I compare each with the untuned matcher, clip by "
    "clip, with paired intervals. If the wrong mask gains nothing, the user's mask does the work. If it gains as "
    "much, the colleague is right that the mask hardly matters, and something else about the picture does. If "
    "another clip's frame gains too, not even the picture matters, and the matcher was simply short of training. I "
    "would also look at where h rises and falls, since J can rise for two reasons: the object is found again, or its "
    "look-alikes are let go.",
    rubric=(
        "At least one arm has a wrong mask or another frame, and everything else is as in the true arm.",
        "All arms run on the same clips, and differences are taken clip by clip, with an interval.",
        "It says for each outcome what it would mean, also for the unpleasant one.",
        "It tells what the picture teaches from what the mask teaches.",
    ),
    check=written(25, _QUESTION),
)
