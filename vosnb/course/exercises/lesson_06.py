"""Exercises of lesson 06: attention over channels, what the memory keeps, Algorithm 1, a fault, and who is to blame."""

import torch
from torch import nn

from vosnb.course.exercises import Exercise, expect, same, written
from vosnb.methods.matching import soft_aggregate
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
    kind="warm-up",
    task="Two depths meet. Ask `wanted` what both look like on average, let it answer with one number for each "
    "channel, multiply what is seen here by it, and add what comes from below, enlarged.",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "Three steps: the means of both depths side by side, (K, 2n, 1, 1); what `wanted` says to them; the sum.",
        "`torch.cat` along dimension 1 puts channels side by side. (K, n, 1, 1) times (K, n, h, w) works as it is.",
        "Only one of the two maps is multiplied, and only the other one is enlarged. Take the size from `here`.",
    ),
    reference=attend_reference,
    check=_check_attend,
)

# ---------------------------------------------------------------------------------------------- first_share


def first_share_reference(frames, rate):
    first, newest, new = 1.0, 0.0, 0.0
    for n in range(frames):
        if n == 0:
            first, newest = first / (1 - rate), rate
        else:
            newest = newest / (1 - rate)
        new += newest
    return first / (first + new)


def _check_first_share(answer):
    def near(value):
        return all(same(got[n], value(n, rate), 1e-9) for n in (1, 2, 5))

    rate = 0.2
    got = {n: torch.as_tensor(answer(n, rate), dtype=torch.float64).item() for n in (0, 1, 2, 5)}
    expect(
        not near(lambda n, r: 1 - first_share_reference(n, r)),
        "that is the share of the new frames. Asked for is what is left to frame 0.",
    )
    expect(same(got[0], 1), "before any new frame everything that is remembered is of frame 0: the share is 1.")
    expect(
        not near(lambda n, r: (1 - r) ** n),
        "you took a factor of 1 - eta for each new frame. That is right in the long run, not at first: the first new "
        "sample gets eta *before* all are divided by their sum, and the others are divided by 1 - eta, so it ends up "
        "with less than eta.",
    )

    def recursion(n, first, start, step):
        samples = [start * step**i for i in range(n)]
        return first / (first + sum(samples))

    expect(
        not near(lambda n, r: recursion(n, 1, r, 1 / (1 - r))),
        "before the first new sample gets its eta, the others are divided by 1 - eta. You left them as they were.",
    )
    expect(
        not near(lambda n, r: recursion(n, 1 / (1 - r), r, 1 - r)),
        "your samples get lighter and lighter. A new one weighs 1 / (1 - eta) times the last one, so that old ones "
        "fade when all are divided by their sum.",
    )
    expect(
        not near(lambda n, r: recursion(n, 1 / (1 - r), r, 1)),
        "each new sample weighs as much as the last one in yours, and nothing is forgotten. It weighs 1 / (1 - eta) "
        "times as much.",
    )
    expect(
        not near(lambda n, r: first_share_reference(n - 1, r))
        and not near(lambda n, r: first_share_reference(n + 1, r)),
        "you are off by one frame: after one new frame there is one new sample, and it weighs eta before the division.",
    )
    expect(
        not near(
            lambda n, r: (
                recursion(n, 1 / (1 - r), r, 1 / (1 - r)) * (1 / (1 - r) + sum(r / (1 - r) ** i for i in range(n)))
            )
        ),
        "divide by the sum of all weights, at the end.",
    )
    expect(
        near(first_share_reference),
        "not the share that is left. Write the weights of two new frames by hand, undivided, and add them up.",
    )
    expect(
        same(answer(30, 0.05), first_share_reference(30, 0.05), 1e-9),
        "right for a rate of 0.2, wrong for 0.05: use the argument.",
    )


first_share = Exercise(
    name="first_share",
    title="What is left to frame 0",
    kind="warm-up",
    task="The memory holds frame 0, with weights that sum to one, and room for all that comes. Then so many new frames "
    "come in. The first one divides frame 0's weights by 1 - eta and gets eta; each later one gets 1 / (1 - eta) times "
    "the one before. At the end all are divided by their sum. Which share of all weight is left to frame 0?",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "Leave the division to the end: weights that are all divided by the same number keep their ratios.",
        "Undivided, frame 0 has 1 / (1 - eta) once a new frame has come. What have the first, the second and the third "
        "new one?",
        "Each new sample is 1 / (1 - eta) times the one before. Add them up in a loop, and divide what frame 0 has by "
        "the sum of all.",
    ),
    reference=first_share_reference,
    check=_check_first_share,
)

# ---------------------------------------------------------------------------------------------- follow


def follow_reference(look, frames, targets, refine, every=2):
    found = []
    for t in range(1, frames):
        maps, x = look(t)
        s = torch.cat([D.scores(x) for D in targets])  # predict
        p = soft_aggregate(torch.sigmoid(refine(maps, s)[:, 0]))  # refine
        if every is not None:
            for D, label in zip(targets, p[1:], strict=True):
                D.add(x, label[None, None])  # extend
                if t % every == 0:
                    D.update()  # update
        found.append(p)
    return found


class _Pretender:
    """Stands for a target model of object k: its scores change with each update, and it writes down what happens."""

    def __init__(self, k: int):
        self.k, self.log, self.updates = k, [], 0

    def scores(self, x):
        self.log.append(("scores", x))
        return (0.2 + 0.3 * self.k) * x[:, :1] + 0.4 * self.updates - 0.1 * self.k

    def add(self, x, label):
        self.log.append(("add", x, label))

    def update(self):
        self.updates += 1
        self.log.append(("update",))

    def said(self, what: str) -> list:
        return [entry for entry in self.log if entry[0] == what]

    @property
    def after(self) -> list[int]:
        """How many samples had been added before each update."""
        kinds = [entry[0] for entry in self.log]
        return [kinds[:place].count("add") for place, kind in enumerate(kinds) if kind == "update"]


def _pretend(answer, frames=8, every=3, objects=2):
    """What an answer gives, the targets with what they wrote down, and what R was asked."""
    r = torch.Generator().manual_seed(64)
    seen = torch.rand(frames, 1, 3, 2, 3, generator=r).double()
    targets, asked = [_Pretender(k) for k in range(objects)], []

    def refine(maps, s):
        asked.append(torch.as_tensor(s))
        return 6 * bilinear(s, (4, 6)) - 2.5 + bilinear(maps, (4, 6))

    got = answer(lambda t: (seen[t, :, :1] - 0.5, seen[t]), frames, targets, refine, every)
    return got, targets, asked, seen


def _check_follow(answer):
    got, still, asked, _ = _pretend(answer, every=None)
    expect(
        isinstance(got, (list, tuple)) or torch.is_tensor(got),
        "return a list: for each frame after the first its probabilities (K + 1, H, W).",
    )
    expect(len(asked) > 0, "R is never asked: `refine(maps, s)` turns the scores into a mask.")
    expect(len(got) != 8, "frame 0 has its mask already. Begin with frame 1: there are frames - 1 answers.")
    expect(len(got) == 7, f"of 8 frames 7 want an answer, all but frame 0; yours gives {len(got)}.")
    shapes = {tuple(torch.as_tensor(p).shape) for p in got}
    expect(shapes != {(4, 6)}, "an answer holds all objects and the background, (K + 1, H, W); yours is one mask.")
    expect(
        shapes != {(2, 4, 6)},
        "the background is missing: `soft_aggregate` takes (K, H, W) and gives (K + 1, H, W), background first.",
    )
    expect(shapes == {(3, 4, 6)}, f"an answer is (K + 1, H, W), here (3, 4, 6); yours is {min(shapes)}.")
    expect(
        not any(D.said("add") or D.said("update") for D in still),
        "with every=None nothing is learned while the clip runs: no `add`, no `update`.",
    )
    ours = _pretend(follow_reference, every=None)[0]
    logits = [6 * bilinear(s, (4, 6)) for s in asked]
    expect(
        not same(got[0], soft_aggregate(torch.sigmoid(logits[0])[:, 0])) or same(got[0], ours[0]),
        "you fused D's scores; what is fused is R's answer, `refine(maps, s)`, after a sigmoid.",
    )
    maps = _pretend(follow_reference)[3][1, :, :1] - 0.5
    logit = (6 * bilinear(asked[0], (4, 6)) - 2.5 + bilinear(maps, (4, 6)))[:, 0] if asked[0].shape[0] == 2 else None
    expect(
        logit is None or not same(got[0], soft_aggregate(logit)),
        "R gives logits, and `soft_aggregate` wants probabilities: there is a sigmoid between them.",
    )
    expect(
        all(map(same, got, ours)),
        "the answers are wrong even where nothing is learned: scores of each D, R, a sigmoid, `soft_aggregate`.",
    )

    got, targets, _, seen = _pretend(answer)
    ours, right, *_ = _pretend(follow_reference)
    adds = [len(D.said("add")) for D in targets]
    expect(max(adds) > 0, "nothing is ever remembered: after each frame every D gets x and its label, by `add`.")
    expect(min(adds) > 0, "only one object learns. Each has a D and a memory of its own.")
    expect(
        adds == [7, 7],
        f"each frame after the first is remembered, whether it is one with an update or not: 7 times, not {max(adds)}.",
    )
    for D, k in zip(targets, (1, 2), strict=True):
        for t, (_, x, label) in enumerate(D.said("add"), start=1):
            p = torch.as_tensor(got[t - 1])
            expect(
                torch.is_tensor(label) and label.numel() == 24, "a label is a map of the frame's size, (1, 1, H, W)."
            )
            shape, label = tuple(label.shape), label.reshape(4, 6).double()
            expect(
                not set(label.unique().tolist()) <= {0.0, 1.0},
                "your labels are 0 or 1. What is remembered is the soft answer: a pixel of which R is not sure should "
                "not be taught as certain.",
            )
            expect(
                not same(label, p[k - 1]),
                "you number the objects from 0, and row 0 of the answer is the background: D would learn what is *not* "
                "its object."
                if k == 1
                else "the rows are off by one: object k is row k, after the background.",
            )
            expect(
                same(label, p[k]) or same(label, ours[t - 1][k]),
                "the labels are not the answer. They are taken after fusion: before it two objects can claim the same "
                "pixel, and both would learn it.",
            )
            expect(shape == (1, 1, 4, 6), f"a label is (1, 1, H, W): yours is {shape}.")
            expect(same(x, seen[t]), "a label is remembered with the x of its own frame; yours is of another one.")
    after = targets[0].after
    expect(after, "D is never updated: every t_s frames it learns on what it remembers, by `update`.")
    expect(
        after != [1, 2, 3, 4, 5, 6, 7],
        "you update after each frame. S1 does so every t_s frames: when t is a multiple of `every`.",
    )
    expect(
        after != [2, 5],
        "you update before the frame is remembered, so that D learns it t_s frames later: first extend, then update.",
    )
    expect(
        after != [1, 4, 7],
        "you count from 0 where frame 1 is the first: with every=3 the updates come after frames 3 and 6.",
    )
    expect(after == [3, 6], f"with every=3 updates come after frames 3 and 6; yours come after {after}.")
    expect(targets[1].after == after, "each D is updated, and at the same frames; yours updates one of them.")
    expect(
        all(map(same, got, ours)),
        "you learn rightly, and answer differently: a frame is answered before it is learned, with the D of that time.",
    )
    by_two = _pretend(lambda *arguments: answer(*arguments[:4]), every=None)[1][0].after
    expect(by_two == [2, 4, 6], "right for every=3; without the argument it should be every second frame.")


follow = Exercise(
    name="follow",
    title="Algorithm 1",
    kind="build",
    task="Put S1's whole method together. For each frame after the first: *predict* with every D, *refine* with R and "
    "fuse the objects, *extend* each memory with the frame and its label, and *update* every D after each `every` "
    "frames. Return the probabilities of all frames after the first. The rest of the lesson runs on yours.",
    difficulty=3,
    importance=5,
    minutes=30,
    hints=(
        "Write it first without learning, for every=None: look, scores, `refine`, sigmoid, `soft_aggregate`. The check "
        "tells you when that part is right.",
        "Scores of K objects are put together along dimension 0. R's logits are (K, 1, H, W), and `soft_aggregate` "
        "takes (K, H, W).",
        "The label of object k is row k of the fused answer, since row 0 is the background. It wants two more "
        "dimensions in front.",
        "Everything that is learned comes after the answer. Frames count from 1, and an update comes when their number "
        "is divisible by `every`.",
    ),
    reference=follow_reference,
    check=_check_follow,
)

# ---------------------------------------------------------------------------------------------- protect


def protect_faulty(weights, last, rate, first, least):
    """The new weights, and the slot of a new sample; the slots before `first` are frame 0's, and keep `least`."""
    weights, slot = weights.clone(), int(weights[first:].argmin())
    if last is None:
        weights, new = weights / (1 - rate), rate
    else:
        new = weights[last] / (1 - rate)
    weights[slot] = new
    weights = weights / weights.sum()
    kept = weights[:first].sum()
    if kept < least:
        weights[:first] *= least / kept
        weights[first:] *= (1 - least) / (1 - kept)
    return weights, slot


def protect_reference(weights, last, rate, first, least):
    """The new weights, and the slot of a new sample; the slots before `first` are frame 0's, and keep `least`."""
    weights, slot = weights.clone(), first + int(weights[first:].argmin())
    if last is None:
        weights, new = weights / (1 - rate), rate
    else:
        new = weights[last] / (1 - rate)
    weights[slot] = new
    weights = weights / weights.sum()
    kept = weights[:first].sum()
    if kept < least:
        weights[:first] *= least / kept
        weights[first:] *= (1 - least) / (1 - kept)
    return weights, slot


def _check_protect(answer):
    rate, first, least = 0.3, 2, 0.25

    def run(program, frames):
        weights, last, slots, lives = torch.tensor([0.6, 0.4, 0, 0, 0]).double(), None, [], []
        for _ in range(frames):
            both = program(weights.clone(), last, rate, first, least)
            expect(isinstance(both, (tuple, list)) and len(both) == 2, "return two things: the weights, and the slot.")
            weights, last = torch.as_tensor(both[0]).double(), int(both[1])
            slots.append(last)
            lives.append(weights)
        return slots, lives

    slots, lives = run(answer, 12)
    expect(
        slots[:3] != [0, 0, 0],
        "three new frames came in, and each of them took slot 0, though three slots are empty. Frame 0 and its true "
        "mask are gone, the newest answer stands in its place, and its weight is protected.",
    )
    expect(
        all(slot >= first for slot in slots),
        "a slot of frame 0 was given away, which should be kept for ever: here slots 0 and 1.",
    )
    expect(slots[:3] == [2, 3, 4], f"the empty slots 2, 3 and 4 come first, in this order; yours takes {slots[:3]}.")
    ours, truth = run(protect_reference, 12)
    expect(
        slots == ours,
        "once all is full, the new sample takes the slot of the one that weighs least among the new ones, which is the "
        f"oldest: {ours[3:6]}, not {slots[3:6]}.",
    )
    shares = torch.stack([weights[:first].sum() for weights in lives])
    expect(
        shares.min() > least - 1e-9,
        f"frame 0 should keep a share of {least} at least; in yours it falls to {shares.min():.2f}.",
    )
    expect(
        all(same(weights.sum(), 1) for weights in lives),
        "the weights do not sum to one: what frame 0 keeps, the others have to give.",
    )
    expect(
        all(map(same, lives, truth)),
        "the slots are right, the weights are not. Nothing is wrong with how they are computed: leave that as it was.",
    )


protect = Exercise(
    name="protect",
    title="A memory that protects the wrong frame",
    kind="bug hunt",
    task="This program should give a new sample its weight and its slot, and keep frame 0 for ever. Above you see what "
    "it does with the first new frames. Find the fault and mend it.",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "Which slot would you give to the first new frame, if slots 0 to 9 are frame 0's and the others are empty? "
        "Which one does the program give?",
        "Follow the very first line with numbers: what is `weights[first:]`, and what does `argmin` of it count from?",
        "A place in a part of a list is not its place in the whole list.",
    ),
    reference=protect_reference,
    check=_check_protect,
    faulty=protect_faulty,
)

# ---------------------------------------------------------------------------------------------- blame

_BLAME = (
    "In frame 14 of a clip the mask covers a stranger instead of the object. Somebody says: R is to blame, it draws "
    "outlines around whatever is nearest. Which experiment would tell whether D or R is to blame? Say what you feed to "
    "which of them, what you compare, and what each outcome would mean."
)

blame = Exercise(
    name="blame",
    title="D or R?",
    kind="open question",
    task=_BLAME,
    difficulty=4,
    importance=5,
    minutes=15,
    hints=(
        "R has two inputs, and you can make up one of them. Which scores would a perfect D have given?",
        "Two parts, each as it is or replaced by a perfect one, make four combinations. Which of them can you run?",
        "An error may have been made earlier and learned since. How do you tell a bad D of now from a bad memory?",
    ),
    reference="I exchange one part at a time, in the same frame. First I give R perfect scores, the true mask averaged "
    "over cells, and leave R and the frame as they are. If the mask is now right, R can draw this object, and D's "
    "scores were at fault. If it still covers the stranger, R is to blame. Second I read the mask off D's own scores "
    "without R. If they point at the stranger already, R only followed. As a control I do both in frames where the "
    "tracker is right, since perfect scores on cells lose some J by themselves, and in many clips, because one frame "
    "shows nothing. If D is at fault I ask since when: I run the clip again without updates, and with updates on true "
    "masks. If the D of frame 0 is right in frame 14, the updates broke it, and I look in which frame the label went "
    "wrong first, for there D or R made the first error. If it is wrong too, frame 0 did not show enough.",
    rubric=(
        "One part is replaced and everything else stays: R with perfect scores, or D's scores without R.",
        "It says what each outcome means, also that both may be at fault.",
        "There is a control: frames in which the tracker is right, what perfect scores cost, or many clips.",
        "It asks whether a wrong D was wrong from frame 0 or learned it, by a run without updates or with true masks.",
    ),
    check=written(25, _BLAME),
)
