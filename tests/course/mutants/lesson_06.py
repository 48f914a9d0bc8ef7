"""Answers to the exercises of lesson 06 that must pass, and wrong ones that must not."""

import torch
import torch.nn.functional as F

from vosnb.course.exercises.lesson_06 import protect_faulty, protect_reference
from vosnb.methods.matching import soft_aggregate

# ---------------------------------------------------------------------------------------------- attend


def enlarge(below, here, **how):
    return F.interpolate(below, here.shape[-2:], **({"mode": "bilinear", "align_corners": False} | how))


def means(here, below):
    return torch.cat([F.adaptive_avg_pool2d(x, 1) for x in (here, below)], 1)


def attend_object_by_object(here, below, wanted):
    found = []
    for k in range(len(here)):
        a = wanted(torch.cat([here[k].mean((1, 2)), below[k].mean((1, 2))])[None, :, None, None])
        found.append(a[0] * here[k] + enlarge(below[k : k + 1], here)[0])
    return torch.stack(found)


def attend_with(combine, ask=means, **how):
    def answer(here, below, wanted):
        return combine(wanted(ask(here, below)), here, enlarge(below, here, **how))

    return answer


def right(a, here, up):
    return a * here + up


def attend_means_of_below(here, below, wanted):
    return wanted(means(here, below)) * here + below.mean((-2, -1), keepdim=True)


def attend_at_the_size_below(here, below, wanted):
    return wanted(means(here, below)) * F.adaptive_avg_pool2d(here, below.shape[-2:]) + below


def attend_twice_as_large(here, below, wanted):
    up = F.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)
    return wanted(means(here, below)) * here + up[..., : here.shape[-2], : here.shape[-1]]


def largest(here, below):
    return torch.cat([x.amax((-2, -1), keepdim=True) for x in (here, below)], 1)


# ---------------------------------------------------------------------------------------------- first_share


def share_in_one_formula(frames, rate):
    r = 1 / (1 - rate)
    return r / (r + (1 - rate) * (r**frames - 1)) if frames else 1


def share_divided_at_once(frames, rate):
    weights = [1.0]
    for _ in range(frames):
        new = rate if len(weights) == 1 else weights[-1] / (1 - rate)
        weights = [w / (1 - rate) for w in weights] if len(weights) == 1 else weights
        weights = [w / (sum(weights) + new) for w in (*weights, new)]
    return weights[0]


def share_with(first=lambda r: 1 / (1 - r), start=lambda r: r, step=lambda r: 1 / (1 - r), divide=True, shift=0):
    def answer(frames, rate):
        frames = max(0, frames + shift)
        kept = first(rate) if frames else 1.0
        new = sum(start(rate) * step(rate) ** i for i in range(frames))
        return kept / (kept + new) if divide else kept

    return answer


def share_by_power(frames, rate):
    return (1 - rate) ** frames


def share_of_the_new(frames, rate):
    return 1 - share_in_one_formula(frames, rate)


def share_at_one_rate(frames, rate):
    return share_in_one_formula(frames, 0.2)


# ---------------------------------------------------------------------------------------------- follow


def follow_in_steps(look, frames, targets, refine, every=2):
    """Right, and written differently: one object after the other, updates counted."""
    answers, since = [], 0
    for t in range(1, frames):
        maps, x = look(t)
        logits = refine(maps, torch.stack([target.scores(x)[0] for target in targets]))
        answers.append(soft_aggregate(logits.squeeze(1).sigmoid()))
        if every is None:
            continue
        since += 1
        for number, target in enumerate(targets):
            target.add(x, answers[-1][number + 1].view(1, 1, *answers[-1].shape[1:]))
        if since == every:
            since = 0
            for target in targets:
                target.update()
    return answers


def follow_with(
    fuse=lambda logits, s: soft_aggregate(torch.sigmoid(logits[:, 0])),
    label=lambda p, logits, k: p[k + 1][None, None],
    due=lambda t, every: t % every == 0,
    early=False,
    learners=slice(None),
    only_when_due=False,
    stop=True,
    start=1,
    previous=False,
    learn=True,
    ask=True,
    give=lambda p: p,
    again=False,
):
    """An answer with something wrong."""

    def answer(look, frames, targets, refine, every=2):
        found, before = [], None
        for t in range(start, frames):
            maps, x = look(t)
            s = torch.cat([D.scores(x) for D in targets])
            logits = refine(maps, s) if ask else 6 * F.interpolate(s, (4, 6), mode="bilinear") - 2.5
            p = fuse(logits, s)
            for k, D in list(enumerate(targets))[learners] if learn and (every or not stop) else ():
                if early and due(t, every or 2):
                    D.update()
                if due(t, every or 2) or not only_when_due:
                    D.add(before if previous and before is not None else x, label(p, logits, k))
                if not early and due(t, every or 2):
                    D.update()
            if again and learn and every:
                p = fuse(refine(maps, torch.cat([D.scores(x) for D in targets])), s)
            before = x
            found.append(give(p))
        return found

    return answer


def hard(p, logits, k):
    return (p.argmax(0) == k + 1).to(p)[None, None]


# ---------------------------------------------------------------------------------------------- protect


def protect_by_infinity(weights, last, rate, first, least):
    masked = weights.clone()
    masked[:first] = torch.inf
    slot = masked.argmin().item()
    new = rate if last is None else weights[last].item() / (1 - rate)
    weights = weights / (1 - rate) if last is None else weights.clone()
    weights[slot] = new
    weights /= weights.sum()
    if weights[:first].sum() < least:
        weights[:first] *= least / weights[:first].sum()
        weights[first:] *= (1 - least) / weights[first:].sum()
    return weights, slot


def protect_with(slot_of, least=lambda least: least):
    def answer(weights, last, rate, first, least_):
        slot = slot_of(weights, last, first)
        weights, new = (weights / (1 - rate), rate) if last is None else (weights.clone(), weights[last] / (1 - rate))
        weights[slot] = new
        weights = weights / weights.sum()
        kept = weights[:first].sum()
        if kept < least(least_):
            weights[:first] *= least_ / kept
            weights[first:] *= (1 - least_) / (1 - kept)
        return weights, slot

    return answer


def empty_or_oldest_of_all(weights, last, first):
    return int(weights.argmin())


def round_robin(weights, last, first):
    return len(weights) - 1 if last is None else max(first, last - 1) if last > first else len(weights) - 1


def largest_of_the_new(weights, last, first):
    new = weights[first:]
    return first + int(new.argmin() if (new == 0).any() else new.argmax())


def offset(weights, last, first):
    return first + int(weights[first:].argmin())


def protect_unnormalised(weights, last, rate, first, least):
    weights, slot = protect_reference(weights, last, rate, first, 0.0)
    kept = weights[:first].sum()
    if kept < least:
        weights[:first] *= least / kept
    return weights, slot


def protect_evenly(weights, last, rate, first, least):
    weights, slot = protect_reference(weights, last, rate, first, least)
    weights[:first] = weights[:first].mean()
    return weights, slot


def protect_slot_alone(weights, last, rate, first, least):
    return protect_reference(weights, last, rate, first, least)[1]


# ---------------------------------------------------------------------------------------------- blame

OWN_BLAME = (
    "Average ground truth onto cells, hand these ideal inputs to the refinement network, images untouched. Correct "
    "silhouettes then accuse the linear model; persisting mistakes accuse refinement. Additionally threshold raw maps "
    "without refining, repeat on successful pictures for reference, and rerun videos with learning switched off."
)

RIGHT = {
    "attend": [attend_object_by_object],
    "first_share": [share_in_one_formula, share_divided_at_once],
    "follow": [follow_in_steps],
    "protect": [protect_by_infinity],
    "blame": [OWN_BLAME],
}
MUTANTS = {
    "attend": {
        "weighs what is below": (attend_with(lambda a, here, up: here + a * up), "seen *here*"),
        "weighs the sum": (attend_with(lambda a, here, up: a * (here + up)), "weigh the sum"),
        "no attention": (attend_with(lambda a, here, up: here + up), "no attention"),
        "added": (attend_with(lambda a, here, up: a + here + up), "is a factor"),
        "sigmoid twice": (attend_with(lambda a, here, up: torch.sigmoid(a) * here + up), "second one"),
        "order": (attend_with(right, ask=lambda here, below: means(below, here)), "the order"),
        "in each place": (
            attend_with(right, ask=lambda here, below: torch.cat([here, enlarge(below, here)], 1)),
            "one number a channel",
        ),
        "largest": (attend_with(right, ask=largest), "largest value"),
        "over objects": (
            attend_with(right, ask=lambda here, below: means(here, below).mean(0, keepdim=True)),
            "averaged over the objects",
        ),
        "mean of what is below": (attend_means_of_below, "keeps its places"),
        "small": (attend_at_the_size_below, "the shape of `here`"),
        "corners": (attend_with(right, align_corners=True), "not as corners"),
        "nearest": (attend_with(right, mode="nearest", align_corners=None), "blends between"),
        "nothing from below": (attend_with(lambda a, here, up: a * here), "not right"),
    },
    "first_share": {
        "of the new frames": (share_of_the_new, "share of the new"),
        "a power": (share_by_power, "in the long run"),
        "first left as it was": (share_with(first=lambda r: 1), "left them as they were"),
        "lighter": (share_with(step=lambda r: 1 - r), "lighter and lighter"),
        "all alike": (share_with(step=lambda r: 1), "nothing is forgotten"),
        "one frame late": (share_with(shift=-1), "off by one"),
        "not divided": (share_with(divide=False), "sum of all"),
        "one rate": (share_at_one_rate, "use the argument"),
        "another rule": (share_with(start=lambda r: r / 2), "by hand"),
    },
    "follow": {
        "R is not asked": (follow_with(ask=False), "never asked"),
        "frame 0 too": (follow_with(start=0), "Begin with frame 1"),
        "starts late": (follow_with(start=2), "all but frame 0"),
        "mask alone": (follow_with(give=lambda p: p.argmax(0)), "one mask"),
        "no background": (follow_with(give=lambda p: p[1:]), "background is missing"),
        "logits fused": (follow_with(fuse=lambda logits, s: soft_aggregate(logits[:, 0])), "a sigmoid between"),
        "scores fused": (
            follow_with(
                fuse=lambda logits, s: soft_aggregate(F.interpolate(6 * s, (4, 6), mode="bilinear").sigmoid()[:, 0])
            ),
            "fused D's scores",
        ),
        "learns with None": (follow_with(stop=False), "every=None"),
        "never remembers": (follow_with(learn=False), "ever remembered"),
        "one object": (follow_with(learners=slice(0, 1)), "only one object"),
        "remembers with updates only": (follow_with(only_when_due=True), "whether it is one with an update"),
        "hard labels": (follow_with(label=hard), "0 or 1"),
        "background as label": (follow_with(label=lambda p, logits, k: p[k][None, None]), "row 0"),
        "before fusion": (
            follow_with(label=lambda p, logits, k: torch.sigmoid(logits[k])[None]),
            "before it two objects",
        ),
        "label without dimensions": (follow_with(label=lambda p, logits, k: p[k + 1]), "(1, 1, H, W)"),
        "label of the scores' size": (follow_with(label=lambda p, logits, k: p[:1, :1, :1]), "frame's size"),
        "features of the frame before": (follow_with(previous=True), "its own frame"),
        "never updates": (follow_with(due=lambda t, every: False), "never updated"),
        "always updates": (follow_with(due=lambda t, every: True), "after each frame"),
        "updates first": (follow_with(early=True), "first extend"),
        "counts from 0": (follow_with(due=lambda t, every: (t - 1) % every == 0), "count from 0"),
        "another rhythm": (follow_with(due=lambda t, every: t % (every + 1) == 0), "after frames 3 and 6"),
        "learns, then answers": (follow_with(again=True), "answered before"),
    },
    "protect": {
        "not mended": (protect_faulty, "took slot 0"),
        "any slot": (protect_with(empty_or_oldest_of_all), "given away"),
        "from the end": (protect_with(round_robin), "in this order"),
        "the newest": (protect_with(largest_of_the_new), "the oldest"),
        "no least share": (protect_with(offset, least=lambda least: 0), "keep a share"),
        "sum above one": (protect_unnormalised, "sum to one"),
        "evenly": (protect_evenly, "leave that as it was"),
        "slot alone": (protect_slot_alone, "two things"),
    },
    "blame": {
        "too short": ("Give R perfect scores and compare.", "different words"),
        "the same words": ("oracle " * 40, "same few words"),
        "not a text": (0.5, "should be a text"),
    },
}
