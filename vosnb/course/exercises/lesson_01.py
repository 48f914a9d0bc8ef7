"""Exercises of lesson 01: a read-out, a tracker by nearest neighbours, a lost object, and what to remember."""

import torch

from vosnb.course.cells import to_cells, to_pixels
from vosnb.course.exercises import Exercise, expect, same, written

# ---------------------------------------------------------------------------------------------- read


def read_reference(query_keys, memory_keys, memory_values, scale):
    A = torch.softmax(scale * query_keys.T @ memory_keys, dim=1)
    return memory_values @ A.T


def _check_read(answer):
    r = torch.Generator().manual_seed(1)
    queries, memory, values = (torch.randn(shape, generator=r) for shape in ((8, 6), (8, 9), (2, 9)))
    scale = 0.7
    logits, truth = scale * queries.T @ memory, read_reference(queries, memory, values, scale)
    got = answer(queries, memory, values, scale)
    shape = tuple(getattr(got, "shape", ()))
    expect(shape != (6, 9), "that is the affinity A itself. One step is left: read the values with it (S0-E2).")
    expect(shape != (6, 2), "your result is (N, v); the values that went in are (v, M), so what is read is (v, N).")
    expect(shape == (2, 6), f"each of the 6 query cells reads one value of 2 numbers, so (2, 6); yours is {shape}.")
    expect(
        not same(got, values @ torch.softmax(logits, 0).T),
        "your softmax runs over the query cells. Each *query* cell shares out one unit over the memory: row i of A "
        "sums to one.",
    )
    expect(
        not same(got, values @ torch.softmax(logits / scale, 1).T),
        "`scale` has no effect: multiply the dot products by it before the softmax.",
    )
    expect(
        not same(got, values[:, logits.argmax(1)]),
        "each cell copies its best match alone. S0-E1 weighs all of them, by a softmax.",
    )
    expect(
        not same(got, values @ (logits / logits.sum(1, keepdim=True)).T),
        "you divided the dot products by their sum, and some of them are negative: take the exponential first.",
    )
    expect(not same(got, values @ logits.exp().T), "the weights of a query cell do not sum to one yet: divide by Z_i.")
    expect(same(got, truth), "the shape is right, but this is not the sum over j of A_ij V_j.")


read = Exercise(
    name="read",
    title="Read from a memory",
    kind="warm-up",
    task="Write S0-E1 and the sum in S0-E2: from query keys (d, N), memory keys (d, M) and memory values (v, M) to "
    "what "
    "each query cell reads, (v, N).",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=(
        "Which product of two matrices has one number for each pair of a query cell and a memory cell, (N, M)?",
        "Row i of A belongs to query cell i, and must sum to one: along which axis does the softmax run?",
        "What is read is a product of the values (v, M) with A (N, M), one of them transposed.",
    ),
    reference=read_reference,
    check=_check_read,
)

# ---------------------------------------------------------------------------------------------- Nearest


class NearestReference:
    def __init__(self, features, neighbours=20, sharpness=20.0, last=3):
        self.features, self.neighbours, self.sharpness, self.last = features, neighbours, sharpness, last

    def start(self, frame, mask):
        x = self.features(frame)
        self.first = x.flatten(1), to_cells(mask, x.shape[1:])
        self.answers = []

    def step(self, frame):
        x = self.features(frame)
        keys, labels = (torch.cat(part, 1) for part in zip(self.first, *self.answers, strict=True))
        likeness = self.sharpness * x.flatten(1).T @ keys
        top = likeness.topk(min(self.neighbours, likeness.shape[1]), dim=1)
        p = (labels[:, top.indices] * top.values.softmax(1)).sum(-1)
        self.answers = [*self.answers, (x.flatten(1), p)][-self.last :] if self.last else []
        return to_pixels(p, x.shape[1:], frame.shape[:2])


class _Variant(NearestReference):
    """The reference with one slip, to tell a student which it is."""

    def __init__(self, slip, *settings):
        super().__init__(*settings)
        self.slip = slip

    def step(self, frame):
        x = self.features(frame)
        keys, labels = (torch.cat(part, 1) for part in zip(self.first, *self.answers, strict=True))
        likeness = self.sharpness * x.flatten(1).T @ keys
        top = likeness.topk(likeness.shape[1] if self.slip == "all" else self.neighbours, dim=1)
        weights = torch.full_like(top.values, 1 / self.neighbours) if self.slip == "equal" else top.values.softmax(1)
        p = (labels[:, top.indices] * weights).sum(-1)
        kept = torch.eye(len(p))[p.argmax(0)].T if self.slip == "decided" else p
        self.answers = [*self.answers, (x.flatten(1), kept)]
        self.answers = self.answers if self.slip == "endless" else self.answers[-self.last :]
        return to_pixels(p, x.shape[1:], frame.shape[:2])


SLIPS = {
    "all": "your tracker asks every cell in memory; `neighbours` are enough, the ones that are most alike.",
    "equal": "all neighbours weigh the same; those that are more alike should count for more, by a softmax over them.",
    "decided": "you remember decisions, zeros and ones. Remember the probabilities: doubt should stay doubt.",
    "endless": "your memory grows with every frame; beside frame 0 it holds the last `last` answers.",
}


def _frame(cells):
    """A frame of 4 x 6 cells of 8 x 8 pixels, whose first two channels say which vector stands in each cell."""
    return torch.as_tensor(cells, dtype=torch.uint8).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()


def _features(frame):
    """(4, h, w) unit vectors: channel 0 chooses ground (0, 1) or object (2, 3), channel 1 turns it (degrees)."""
    kind, angle = (torch.as_tensor(frame[4::8, 4::8, i].astype("int64")) for i in (0, 1))
    turn = torch.deg2rad(angle.float())
    x = torch.zeros(4, *kind.shape)
    x[2] = (kind == 0).float()
    x[1], x[2] = x[1] + 0.4 * (kind == 1), x[2] + 0.9165 * (kind == 1)
    x[0], x[1] = x[0] + turn.cos() * (kind == 2), x[1] + turn.sin() * (kind == 2)
    x[3] += kind == 3
    return x


def _scene(place=None, angle=0, kind=2):
    """Ground of both kinds, and the object in column `place` if that is given."""
    cells = torch.zeros(4, 6, 3)
    cells[3, :, 0] = 1
    if place is not None:
        cells[1:3, place, 0], cells[1:3, place, 1] = kind, angle
    return _frame(cells)


def _column(place, k=1):
    """The mask of object k in this column."""
    cells = torch.zeros(4, 6, 1)
    cells[1:3, place] = k
    return _frame(cells)[..., 0]


def _answers(tracker, frames, mask):
    tracker.start(frames[0], mask)
    return [tracker.step(frame) for frame in frames[1:]]


def _found(p, place):
    """Whether object 1 is most likely in the middle of the cells of this column."""
    p = torch.as_tensor(p)
    return bool((p.argmax(0)[12:28:8, place * 8 + 4] == 1).all())


def _check_nearest(answer):
    expect(callable(answer), "hand in the class itself, `Nearest`, not one made from it.")

    def make(**settings):
        return answer(_features, **{"neighbours": 2, "sharpness": 20.0, "last": 2} | settings)

    got = _answers(make(), [_scene(1), _scene(4)], _column(1))[0]
    shape = tuple(getattr(got, "shape", ()))
    expect(len(shape) != 2, "`step` gives probabilities, one map each for background and objects: (K + 1, H, W).")
    expect(shape[1:] != (4, 6), "your maps are still of cells; `to_pixels` brings them to the frame's size.")
    expect(shape == (2, 32, 48), f"one object and the background in a frame of 32 x 48: (2, 32, 48); yours is {shape}.")
    expect(
        not _found(got, 1) or _found(got, 4),
        "the object moved, and your answer stayed where the first mask was. A cell asks what it looks like, not "
        "where it is.",
    )
    expect(_found(got, 4), "the object moved, its look did not, and your tracker does not find it.")
    expect(
        same(torch.as_tensor(got).sum(0), torch.ones(32, 48), 1e-3), "at some pixels the probabilities do not sum to 1."
    )

    gone = _answers(make(), [_scene(1), *[_scene()] * 5, _scene(3)], _column(1))[-1]
    expect(
        _found(gone, 3),
        "after five frames without the object, it is not found again: frame 0 must never leave the memory.",
    )
    turning = _answers(make(last=3), [_scene(1 + t % 2, 15 * t) for t in range(7)], _column(1))[-1]
    expect(
        _found(turning, 1),
        "the object changes its look a little in every frame, and your tracker loses it: it should also ask its own "
        "last answers.",
    )
    tracker = make()
    _answers(tracker, [_scene(1), _scene(1)], _column(1))
    again = _answers(tracker, [_scene(1, kind=3), _scene(2)], _column(1))[0]
    expect(not _found(again, 2), "a second `start` begins a new clip, and your tracker still remembers the one before.")

    r = torch.Generator().manual_seed(2)
    vectors = torch.nn.functional.normalize(torch.randn(256, 5, generator=r), dim=1)

    def mixed(frame):
        return vectors[torch.as_tensor(frame[4::8, 4::8, 0].astype("int64"))].movedim(-1, 0)

    codes = torch.randperm(256, generator=r)[: 7 * 24].view(7, 4, 6, 1)  # all different, so that there are no ties
    frames = [_frame(of_frame.expand(-1, -1, 3)) for of_frame in codes]
    settings = mixed, 3, 5.0, 2
    mask = _column(1) + _column(4, 2)
    ours, yours = (_answers(tracker, frames, mask) for tracker in (NearestReference(*settings), answer(*settings)))
    for slip, said in SLIPS.items():
        expect(not _alike(yours, _answers(_Variant(slip, *settings), frames, mask)), said)
    expect(
        _alike(yours, ours),
        "the tracker follows, but its probabilities are not those of the recipe: the softmax of sharpness times "
        "cosine, "
        "over the best neighbours, times their labels.",
    )


def _alike(some, others):
    return all(same(a, b, 1e-3) for a, b in zip(some, others, strict=True))


Nearest = Exercise(
    name="Nearest",
    title="A tracker by nearest neighbours",
    kind="build",
    task="Write the class `Nearest`. `start` remembers the features and labels of frame 0. `step` lets each cell of "
    "the "
    "new frame ask the `neighbours` cells in memory that are most alike (cosine), weighs their labels by a softmax of "
    "`sharpness` times the cosine, and remembers the answer: memory is frame 0 and the `last` answers.",
    difficulty=3,
    importance=5,
    minutes=35,
    hints=(
        "Two lists are all the state: what frame 0 said (features, labels), and what the last answers said. Which of "
        "them never changes after `start`?",
        "Put all features of the memory side by side with torch.cat(.., dim=1), and all labels likewise. Then one "
        "product of matrices gives the cosine of every pair of cells, since features have length one.",
        "`likeness.topk(k, dim=1)` has `.values` and `.indices`, both (N, k). With them `labels[:, indices]` is "
        "(K + 1, N, k): weigh by the softmax of the values, and sum over the last axis.",
        "The answer in cells, (K + 1, N), is what you remember; `to_pixels` makes of it what you return.",
    ),
    reference=NearestReference,
    check=_check_nearest,
)

# ---------------------------------------------------------------------------------------------- follow_cells


def follow_cells_faulty(x, labels, read):
    """x: T feature maps (C, N); labels of frame 0 (K + 1, N); read: yours -> labels of each frame, T x (K + 1, N)."""
    found, keys, values = [labels], x[0], labels
    for now in x[1:]:
        memory = torch.cat([x[0], keys], 1), torch.cat([labels, values], 1)  # frame 0, and the latest frame
        answer = read(now, *memory, 20.0)
        keys, values = now, found[-1]
        found.append(answer)
    return found


def follow_cells_reference(x, labels, read):
    """x: T feature maps (C, N); labels of frame 0 (K + 1, N); read: yours -> labels of each frame, T x (K + 1, N)."""
    found, keys, values = [labels], x[0], labels
    for now in x[1:]:
        memory = torch.cat([x[0], keys], 1), torch.cat([labels, values], 1)  # frame 0, and the latest frame
        answer = read(now, *memory, 20.0)
        keys, values = now, answer
        found.append(answer)
    return found


def _follow_cells(x, labels, slip):
    """The reference with one slip, to tell a student which it is."""
    found, frames = [labels], [(x[0], labels)]
    for now in x[1:]:
        first, latest = frames[0], frames[max(0, len(frames) - 2)] if slip == "stale" else frames[-1]
        kept = {"frame 0": [first], "latest": [latest], "all": frames}.get(slip, [first, latest])
        answer = read_reference(now, *(torch.cat(part, 1) for part in zip(*kept, strict=True)), 20.0)
        frames.append((now, torch.eye(len(answer))[answer.argmax(0)].T if slip == "decided" else answer))
        found.append(answer)
    return found


WAYS_OUT = {
    "frame 0": "the symptom is gone, and so is the latest frame: a thing that turns is not found any more. Keep its "
    "keys, and find the values that belong to them.",
    "latest": "now keys and values fit, but frame 0 has left the memory. It is the one frame whose labels are true.",
    "stale": "now keys and values are of one frame again, but of the frame before the latest.",
    "decided": "keys and values fit now. But you remember decisions, zeros and ones: doubt should stay doubt.",
    "all": "keys and values fit now. But you remember every frame, and not frame 0 and the latest alone.",
}


def _walk():
    """Six maps (16, 20) of cells in a row, labels (2, 20) of each: an object of two cells that turns as it walks."""
    r = torch.Generator().manual_seed(4)
    ground = torch.nn.functional.normalize(torch.cat([torch.zeros(2, 20), torch.randn(14, 20, generator=r)]), dim=0)
    maps, labels = [], []
    for t in range(6):
        at, turn = 2 + 3 * t, torch.tensor(0.4 * t)
        x, inside = ground.clone(), torch.zeros(20)
        x[:, at : at + 2], inside[at : at + 2] = 0, 1
        x[0, at : at + 2], x[1, at : at + 2] = turn.cos(), turn.sin()
        maps.append(x)
        labels.append(torch.stack([1 - inside, inside]))
    return maps, labels


def _check_follow_cells(answer):
    maps, truth = _walk()
    got = answer(maps, truth[0], read_reference)
    expect(
        isinstance(got, list) and len(got) == 6 and all(tuple(p.shape) == (2, 20) for p in got),
        "six frames went in, so six maps of labels (K + 1, N) come out, that of frame 0 first.",
    )
    expect(same(got[0], truth[0]), "the labels of frame 0 were given: they come first, as they are.")
    r = torch.Generator().manual_seed(5)
    mixed = [torch.nn.functional.normalize(torch.randn(5, 20, generator=r), dim=0) for _ in range(6)]
    yours = answer(mixed, truth[0], read_reference)
    for slip, said in WAYS_OUT.items():
        expect(not _alike(yours, _follow_cells(mixed, truth[0], slip)), said)
    lost = [t for t in range(6) if not same(got[t].argmax(0), truth[t].argmax(0))]
    expect(
        lost != [2, 3, 4, 5],
        "the symptom is still there: frame 1 is right, and from frame 2 on a thing that walks loses its label. Work "
        "through frame 2 by hand. Of which frame are the keys in memory, and of which frame are the values?",
    )
    expect(not lost, f"in frame {lost[0] if lost else 0} the object has not got its label.")
    expect(
        _alike(yours, follow_cells_reference(mixed, truth[0], read_reference)),
        "the object is followed, but more has changed than the fault: scale, memory and reading were right.",
    )


follow_cells = Exercise(
    name="follow_cells",
    title="Whoever moves is lost",
    kind="bug hunt",
    task="This program follows labels from frame to frame. What stands still it follows for ever; of what moves it "
    "loses more and more. Find the one fault and mend it. Everything else in it is right.",
    difficulty=2,
    importance=4,
    minutes=15,
    hints=(
        "Frame 1 comes out right, also for a thing that moves. What is in memory when frame 1 is read, and what when "
        "frame 2 is read?",
        "A memory cell is a key and a value *of the same cell of the same frame*. Write the number of the frame beside "
        "each of the two, for the second round of the loop.",
        "For a thing that stands still, the labels of the last frame and of the one before are the same. For which "
        "frame does `found[-1]` stand at that place?",
    ),
    reference=follow_cells_reference,
    check=_check_follow_cells,
    faulty=follow_cells_faulty,
)

# ---------------------------------------------------------------------------------------------- when_to_remember

QUESTION = (
    "The memory helps among the kangaroos and hurts among the fish, where it remembers its own mistake. Propose a rule "
    "by which the tracker decides whether to remember a frame, and the experiment that would tell whether your rule "
    "helps."
)

when_to_remember = Exercise(
    name="when_to_remember",
    title="When should a tracker not remember?",
    kind="open question",
    task=QUESTION,
    difficulty=4,
    importance=4,
    minutes=20,
    hints=(
        "What does the tracker know about a frame just segmented, without the truth? Think of how sure it is, and of "
        "how well the frame's keys fit those in memory.",
        "A rule that remembers less is also a smaller memory. Which control tells the two apart?",
        "On which clips may you choose the rule's threshold, and on which not?",
    ),
    reference=(
        "Remember a frame only if the mask is sure: if the mean of |2p - 1| over the pixels with p above 0.1 is above "
        "0.8. The tracker knows p, so the rule needs no truth. I would choose 0.8 on validation clips of creatures, "
        "fix "
        "it, and run three trackers on the same toy twins and real look-alikes: always remember, my rule, and a "
        "control "
        "that remembers equally many frames drawn at random. What counts is the difference in J, clip by clip, with "
        "its "
        "interval, of my rule against both others, and on easy clips that it loses nothing. If the random control "
        "gains "
        "as much, then it was the size of the memory and not the rule. If the fish are lost all the same, the tracker "
        "was sure and wrong, and confidence is the wrong sign: I would then look at how much two objects compete."
    ),
    check=written(25, QUESTION),
    rubric=(
        "The rule uses only what the tracker knows at that moment: no true mask, no later frame.",
        "A control separates the rule from its side effect: for example as many frames remembered at random.",
        "Thresholds are chosen on other clips than those of the verdict, and clips from worlds in which no network "
        "trained (toys, real video) are among the latter.",
        "Trackers are compared clip by clip, with an interval, and not by two means alone.",
        "It says which result would speak against the rule.",
    ),
)
