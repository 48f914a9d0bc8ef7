"""Exercises of lesson 06: attention over channels, the life of the sample weights, and an update in closed form."""

import torch
from torch import nn

from vosnb.course.exercises import Exercise, expect, same
from vosnb.methods.refinement import bilinear, pool

# ---------------------------------------------------------------------------------------------- attend


def attend_reference(here, below, wanted):
    attention = wanted(torch.cat([pool(here), pool(below)], 1))
    return attention * here + bilinear(below, here.shape[-2:])


def _check_attend(answer):
    torch_state = torch.Generator().manual_seed(61)
    here = torch.rand(2, 3, 4, 6, generator=torch_state).double()
    below = torch.rand(2, 3, 2, 3, generator=torch_state).double()
    mix = nn.Conv2d(6, 3, 1).double()
    mix.weight.data = 2 * torch.randn(3, 6, 1, 1, generator=torch_state).double()
    mix.bias.data = torch.randn(3, generator=torch_state).double()

    @torch.no_grad()
    def wanted(x):
        return torch.sigmoid(mix(x))

    both = torch.cat([pool(here), pool(below)], 1)
    a, up = wanted(both), bilinear(below, (4, 6))
    got = answer(here, below, wanted)

    expect(
        not same(got, a * up + here),
        "you weigh what comes from below. It is what is seen *here* that is let through channel by channel; what comes "
        "from below is added as it is.",
    )
    expect(
        not same(got, a * (here + up)),
        "you weigh the sum. What comes from below is added after the attention, and untouched by it.",
    )
    expect(not same(got, here + up), "there is no attention in yours: every channel is let through in full.")
    expect(
        not same(got, a + here + up) and not same(got, a + up),
        "attention is a factor: multiply with it. Added, it would only make a channel brighter everywhere.",
    )
    expect(
        not same(got, torch.sigmoid(a) * here + up),
        "`wanted` ends with a sigmoid: it gives numbers from 0 to 1 already. A second one leaves them all near 0.6.",
    )
    expect(
        not same(got, wanted(torch.cat([pool(below), pool(here)], 1)) * here + up),
        "the order: first what is here, then what is below. The network was trained with them in this order.",
    )
    expect(
        not same(got, wanted(torch.cat([here, up], 1)) * here + up),
        "you ask in every place anew. Channel attention is one number a channel for the whole frame: take the means "
        "over the places first (`pool`).",
    )
    largest = [x.amax((-2, -1), keepdim=True) for x in (here, below)]
    expect(
        not same(got, wanted(torch.cat(largest, 1)) * here + up),
        "you took the largest value of each channel; it is the mean (`pool`) that both depths are asked by.",
    )
    expect(
        not same(got, wanted(both.mean(0, keepdim=True)) * here + up),
        "you averaged over the objects, too. Each object of the K has its own attention.",
    )
    expect(
        not same(got, a * here + pool(below)),
        "what comes from below keeps its places: bring it to the size of `here` with `bilinear`. Its mean alone says "
        "nothing of where.",
    )
    expect(
        tuple(getattr(got, "shape", ())) == (2, 3, 4, 6),
        "the result has the shape of `here`, (K, n, h, w): what comes from below must be brought to that size.",
    )
    aligned = nn.functional.interpolate(below, (4, 6), mode="bilinear", align_corners=True)
    nearest = nn.functional.interpolate(below, (4, 6), mode="nearest")
    expect(
        not same(got, a * here + aligned) and not same(got, a * here + nearest),
        "enlarged, but not as everywhere in this network: use `bilinear`, which takes cells as areas, not as corners, "
        "and blends between them.",
    )
    expect(
        same(got, attend_reference(here, below, wanted)),
        "not right: attention (of the means of both depths) times what is here, plus what comes from below, enlarged.",
    )
    same_size = torch.rand(1, 3, 5, 5, generator=torch_state).double()
    expect(
        same(answer(same_size, same_size, wanted), attend_reference(same_size, same_size, wanted)),
        "right for a frame of 4 x 6 whose deeper level is 2 x 3, wrong for other sizes: take the size from `here`.",
    )


attend = Exercise(
    name="attend",
    title="Attention over channels",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "Three steps: the means of both depths side by side, (K, 2n, 1, 1); what `wanted` says to them; the sum.",
        "`torch.cat([...], 1)` puts channels side by side. (K, n, 1, 1) times (K, n, h, w) works as it is.",
        "wanted(torch.cat([pool(here), pool(below)], 1)) * here, plus bilinear(below, ...) of the right size.",
    ),
    reference=attend_reference,
    check=_check_attend,
)

# ---------------------------------------------------------------------------------------------- insert


def insert_reference(weights, last, rate):
    weights, slot = weights.clone(), int(weights.argmin())
    if last is None:
        weights = weights / (1 - rate)
        weights[slot] = rate
    else:
        weights[slot] = weights[last] / (1 - rate)
    return weights / weights.sum(), slot


def _check_insert(answer):
    rate = 0.2
    start = torch.tensor([0.4, 0.2, 0.2, 0.2, 0.0, 0.0]).double()  # four samples of frame 0, two empty slots
    first = answer(start.clone(), None, rate)
    expect(
        isinstance(first, (tuple, list)) and len(first) == 2,
        "return two things: the new weights, and the slot that the new sample takes.",
    )
    weights, slot = torch.as_tensor(first[0]).double(), first[1]
    expect(
        slot != 1,
        "slots 4 and 5 are empty, and you throw a sample away. An empty one weighs 0, so the smallest weight finds it.",
    )
    expect(slot != 0, "you replace the sample with the largest weight; the new one takes the place of the smallest.")
    expect(slot == 4, "the slot is that of the smallest weight, the first one where several are equal: here 4.")
    ratio = (weights[4] / weights[:4].sum()).item()
    expect(
        not same(weights.sum(), 1 / (1 - rate) + rate) and not same(weights.sum(), 1 + rate),
        "the weights do not sum to one: divide all of them by their sum, at the end.",
    )
    expect(
        not same(ratio, rate),
        "before the first new sample gets its eta, the others are divided by 1 - eta. You left them as they were.",
    )
    expect(
        not same(ratio, 0.2 / (1 - rate)) or not same(weights[4], rate),
        "you gave the new sample the share eta, and the others the rest. S1 divides the others by 1 - eta, gives the "
        "new one eta, and only then divides by the sum: it gets a little less.",
    )
    expect(
        not same(ratio, 0.4 / (1 - rate)),
        "there is no sample before the first new one (last is None): it gets eta. You gave it the largest weight, "
        "over 1 - eta.",
    )
    truth = insert_reference(start, None, rate)[0]
    expect(
        same(weights, truth),
        "the first new sample: divide all weights by 1 - eta, give the new one eta, then divide all by their sum.",
    )

    now, last = truth, 4
    weights, slot = answer(now.clone(), last, rate)
    weights = torch.as_tensor(weights).double()
    expect(slot == 5, "slot 5 is still empty: the next sample belongs there.")
    ratio = (weights[5] / weights[4]).item()
    expect(
        not same(ratio, 1 - rate),
        "your samples get lighter and lighter: the new one weighs (1 - eta) times the last. It should be the other way "
        "round, 1 / (1 - eta) times.",
    )
    expect(
        not same(ratio, 1.0),
        "the new sample weighs as much as the last one: then nothing is ever forgotten. It weighs 1 / (1 - eta) times "
        "as much.",
    )
    expect(
        not same(weights[5] / weights[0], 1 / (1 - rate)),
        "you take the largest weight for that of the last sample. At first frame 0 weighs more; `last` says which slot "
        "is meant.",
    )
    again = now / (1 - rate)
    again[5] = rate
    expect(
        not same(weights, again / again.sum()),
        "every new sample is the first one in yours. From the second on it gets the weight of the last one, over "
        "1 - eta.",
    )
    expect(
        same(ratio, 1 / (1 - rate)) or not same(weights[5], rate),
        "you give each new sample the share eta. From the second on it gets the weight of the last one, over 1 - eta. "
        "(In the long run that is the same; at first it is not.)",
    )
    expect(same(weights, insert_reference(now, last, rate)[0]), "not right from the second new sample on.")

    full = torch.tensor([0.05, 0.5, 0.25, 0.2]).double()  # no room left
    weights, slot = answer(full.clone(), 1, rate)
    weights = torch.as_tensor(weights).double()
    expect(
        slot != 2,
        "the memory is full, and you took the slot after the last one. It is the smallest weight that goes, wherever "
        "it is.",
    )
    expect(slot == 0, "the memory is full: the sample with the smallest weight goes, here slot 0, frame 0 or not.")
    expect(
        not same(weights.sum(), 1.0 / 1.05) and same(weights.sum(), 1.0),
        "when a sample is replaced your weights no longer sum to one: what the old one weighed is gone. Divide by the "
        "sum at the very end.",
    )
    expect(
        same(weights, insert_reference(full, 1, rate)[0]),
        "when a sample is replaced the weights are wrong: the old one's weight goes with it.",
    )


insert = Exercise(
    name="insert",
    title="One more sample",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "`weights.argmin()` is the slot, full memory or not: empty slots weigh 0, and of equal ones the first counts.",
        "Two cases. last is None: all / (1 - rate), and the new one gets rate. Else the new one gets "
        "weights[last] / (1 - rate), and the others stay.",
        "In both cases the last line is weights / weights.sum(). Work on a `.clone()`, so that the caller's stay.",
    ),
    reference=insert_reference,
    check=_check_insert,
)

# ---------------------------------------------------------------------------------------------- relearn


def relearn_reference(Q, q, gamma, lam):
    left = torch.einsum("k,kij->ij", gamma, Q) + lam * torch.eye(Q.shape[-1], dtype=Q.dtype, device=Q.device)
    return torch.linalg.solve(left, gamma @ q)


def _check_relearn(answer):
    r = torch.Generator().manual_seed(63)
    A = torch.randn(3, 4, 30, generator=r).double()  # three samples, four numbers to learn, thirty cells
    y = torch.rand(3, 30, generator=r).double().round()
    Q, q = A @ A.transpose(1, 2), (A @ y[..., None])[..., 0]
    gamma, lam = torch.tensor([0.2, 0.1, 0.7]).double(), 3.0
    one = torch.eye(4).double()
    left, right = torch.einsum("k,kij->ij", gamma, Q), gamma @ q
    got = answer(Q, q, gamma, lam)

    def is_(left, right):
        return same(got, torch.linalg.solve(left, right))

    expect(not is_(left, right), "lambda is missing: then nothing holds w where the samples say nothing.")
    expect(
        not is_(left + lam, right),
        "you added lambda to every entry of the matrix. ||w||^2 has no products of two different numbers: lambda "
        "belongs on the diagonal alone.",
    )
    expect(
        not is_(left + lam**2 * one, right),
        "you squared lambda. In the loss it stands before the norm, and is not squared with it.",
    )
    expect(
        not is_(Q.sum(0) + lam * one, q.sum(0)) and not is_(Q.mean(0) + lam * one, q.mean(0)),
        "all samples count alike in yours: weigh each by its gamma.",
    )
    expect(
        not is_(left + lam * one, q.sum(0)) and not is_(left + lam * one, q.mean(0)),
        "gamma weighs the whole error of a sample, so it stands on both sides: before Q_k and before q_k.",
    )
    expect(
        not is_(torch.einsum("k,kij->ij", gamma**2, Q) + lam * one, gamma**2 @ q),
        "you squared gamma. It stands before the square, not inside it.",
    )
    expect(
        not is_((left + lam * one), -right),
        "the sign: at the minimum Q w - q is zero, so Q w = +q.",
    )
    singles = torch.stack([torch.linalg.solve(Q[k] + lam * one, q[k]) for k in range(3)])
    expect(
        not same(got, gamma @ singles) and not same(got, singles.mean(0)),
        "you solved for each sample alone and averaged the solutions. Add the equations first, and solve once: a "
        "sample that says nothing in some direction must not have a say there.",
    )
    expect(
        not same(got, singles[-1]),
        "that is the newest sample alone; the memory is there so that the others count, too.",
    )
    expect(
        not is_((left + lam * one) / 3, right),
        "you divided one side by the number of samples, not the other. The weights sum to one: nothing is left to "
        "divide.",
    )
    expect(
        same(got, relearn_reference(Q, q, gamma, lam)),
        "not the minimum: solve (sum_k gamma_k Q_k + lambda I) w = sum_k gamma_k q_k.",
    )
    none = answer(Q, q, torch.tensor([1.0, 0.0, 0.0]).double(), lam)
    expect(same(none, singles[0]), "with gamma = 1, 0, 0 only the first sample should count; in yours others do.")


relearn = Exercise(
    name="relearn",
    title="An update, in closed form",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=(
        "Set the gradient to zero: 2 sum_k gamma_k (Q_k w - q_k) + 2 lambda w = 0. What stands before w, what is left?",
        "gamma @ q sums the right-hand sides; torch.einsum('k,kij->ij', gamma, Q) does the same for the matrices.",
        "torch.linalg.solve(left, right), with lambda * torch.eye(n) in the left one. Mind the dtype.",
    ),
    reference=relearn_reference,
    check=_check_relearn,
)
