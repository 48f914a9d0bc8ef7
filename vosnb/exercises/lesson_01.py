"""Exercises of lesson 01: a sharper affinity, what an affinity costs, and which frames a memory holds."""

import math

import torch

from vosnb.exercises import Exercise, expect, same

# ---------------------------------------------------------------------------------------------- top_k_affinity


def top_k_affinity_reference(query_keys, memory_keys, k):
    logits = query_keys.shape[-2] ** -0.5 * query_keys.transpose(-1, -2) @ memory_keys
    best = logits.topk(k, dim=-1)
    return torch.zeros_like(logits).scatter(-1, best.indices, torch.softmax(best.values, dim=-1))


def _check_top_k_affinity(answer):
    r = torch.Generator().manual_seed(1)
    queries, memory, k = 2 * torch.randn(16, 6, generator=r), 2 * torch.randn(16, 9, generator=r), 3
    logits = queries.T @ memory / 16**0.5
    truth = top_k_affinity_reference(queries, memory, k)
    kept = truth > 0
    A = answer(queries, memory, k)

    expect(
        tuple(getattr(A, "shape", ())) == (6, 9),
        "A has one row for each query cell and one column for each memory cell: (N, M), here (6, 9).",
    )
    A = torch.as_tensor(A, dtype=torch.float32)
    of_queries = (logits.topk(k, dim=0).indices[..., None] == torch.arange(6)).any(0).T
    expect(
        not same(A > 0, of_queries),
        "you kept the k best query cells of each memory cell; it is each *query* cell "
        "that chooses its k best memory cells, along the last axis.",
    )
    expect(
        not same(A, torch.softmax(torch.where(kept, logits, 0.0), -1)),
        "the cells that you dropped still weigh "
        "something: exp(0) is 1, not 0. Leave them out of the softmax, or give them a logit of minus infinity.",
    )
    expect(
        not same(A, torch.softmax(logits, -1) * kept),
        "your rows no longer sum to one: what the dropped cells had "
        "must go to the kept ones. Choose first, then take the softmax over the chosen.",
    )
    expect(
        not same(A, torch.softmax(torch.where(kept, logits * 4, -torch.inf), -1)),
        "the scale is missing: divide the dot products by sqrt(d), as `affinity` does.",
    )
    expect(
        not same(A > 0, logits < logits.kthvalue(k + 1, -1, keepdim=True).values),
        "you kept the k *worst* matches: large dot products are good ones.",
    )
    expect(
        same((A > 0).sum(-1), torch.full((6,), k)),
        f"each row must have exactly k = {k} weights above zero; the others are zero.",
    )
    expect(
        same(A, truth),
        "the right number of cells is kept, but their weights are not the softmax of their scaled dot products.",
    )
    expect(
        same(answer(queries, memory, 9), torch.softmax(logits, -1)),
        "with k = M nothing is dropped: the result must be that of `affinity`.",
    )


top_k_affinity = Exercise(
    name="top_k_affinity",
    title="Keep the k best matches",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=(
        "Which axis is the memory? Each row of A belongs to one query cell; the choice is made within the row.",
        "Compute the scaled dot products first. `logits.topk(k, dim=-1)` gives their `values` and their `indices`.",
        "Take the softmax of the k values alone, then put them where they belong in a matrix of zeros: "
        "`torch.zeros_like(logits).scatter(-1, indices, weights)`.",
    ),
    reference=top_k_affinity_reference,
    check=_check_top_k_affinity,
)

# ---------------------------------------------------------------------------------------------- affinity_bytes


def affinity_bytes_reference(height, width, frames, stride=8, itemsize=4):
    cells = math.ceil(height / stride) * math.ceil(width / stride)
    return cells * (frames * cells) * itemsize


def _check_affinity_bytes(answer):
    got = answer(480, 854, 6)
    cells = 60 * 107
    expect(not same(got, (480 * 854) ** 2 * 6 * 4), "you counted pixels; keys live on cells of stride x stride pixels.")
    expect(
        not same(got, (cells * 6) ** 2 * 4),
        "the queries are the cells of *one* frame; only the memory has several frames.",
    )
    expect(
        not same(got, cells**2 * 4),
        "the memory's axis holds the cells of all its frames: the matrix grows with every frame that is remembered.",
    )
    expect(
        not same(got, (60 * 106) ** 2 * 6 * 4),
        "854 is no multiple of 8: a cell that is only partly covered still counts, so round up.",
    )
    expect(not same(got, cells**2 * 6), "that is the number of entries; each takes `itemsize` bytes.")
    expect(not same(got, cells**2 * 6 * 4 * 32), "no key channel is left in A: the dot product has summed over them.")
    expect(
        same(got, affinity_bytes_reference(480, 854, 6)),
        "the number is not right: rows (cells of the query frame) "
        "times columns (cells of all frames in memory) times bytes for each entry.",
    )
    for case in ({"stride": 16}, {"itemsize": 2}):
        expect(
            same(answer(480, 854, 6, **case), affinity_bytes_reference(480, 854, 6, **case)),
            f"right for the defaults, but not for {case}: use the arguments, not their default values.",
        )


affinity_bytes = Exercise(
    name="affinity_bytes",
    title="What does an affinity matrix weigh?",
    difficulty=1,
    importance=3,
    minutes=5,
    hints=(
        "How many cells has one frame? Then: how many rows has A, and how many columns?",
        "Rows: the cells of the query frame. Columns: the cells of all frames in memory. `math.ceil` counts the cells "
        "that stick out over the border.",
    ),
    reference=affinity_bytes_reference,
    check=_check_affinity_bytes,
)

# ---------------------------------------------------------------------------------------------- frames_in_memory


def frames_in_memory_reference(t, schedule, every=5, capacity=5):
    if schedule == "first":
        return [0]
    later = list(range(every, t, every))[-capacity:]
    previous = [t - 1] if schedule == "every+last" and (t - 1) % every != 0 else []
    return [0, *later, *previous]


def _check_frames_in_memory(answer):
    def of(*arguments, **settings):
        got = answer(*arguments, **settings)
        expect(isinstance(got, (list, tuple, set, range)), "return the frame numbers as a list, such as [0, 5, 10].")
        return sorted(int(i) for i in got)

    expect(of(9, "first") == [0], 'with the schedule "first" nothing is ever added to frame 0.')
    got = of(10, "every")
    expect(
        10 not in got,
        "frame t is in your memory already; but it is just being segmented, and nobody knows its mask yet.",
    )
    expect(got == [0, 5], 'at t = 10 with "every" and every = 5 the memory holds frames 0 and 5.')
    got = of(31, "every", capacity=2)
    expect(0 in got, "frame 0 is gone from your memory; it is the only frame whose mask is true, so it never leaves.")
    expect(len(got) <= 3, "your memory grows without end: beside frame 0 it holds at most `capacity` frames.")
    expect(
        got != [0, 5, 10], "you keep the oldest frames; when the memory is full the *oldest* goes, and the newest stay."
    )
    expect(got == [0, 25, 30], "with capacity = 2 the memory at t = 31 holds frame 0 and the two newest, 25 and 30.")
    got = of(13, "every+last")
    expect(12 in got, 'the previous frame, t - 1, is missing: "every+last" always has it.')
    expect(11 not in got, "the previous frame is a guest for one step: when the next one comes, it leaves.")
    expect(
        of(11, "every+last") == [0, 5, 10],
        "at t = 11 the previous frame is frame 10, kept anyway: it must not be there twice.",
    )
    for t in range(1, 40):
        for settings in ({}, {"every": 3}, {"every": 4, "capacity": 1}):
            for schedule in ("first", "every", "every+last"):
                expect(
                    of(t, schedule, **settings) == frames_in_memory_reference(t, schedule, **settings),
                    f"not right at t = {t} with {schedule!r} and {settings or 'the defaults'}: write down by hand "
                    "what happened frame by frame until then.",
                )


frames_in_memory = Exercise(
    name="frames_in_memory",
    title="Which frames does the memory hold?",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "When frame t is to be segmented, frames 0 .. t - 1 have been seen. Which are multiples of `every`?",
        "`range(every, t, every)` lists the later candidates; a slice `[-capacity:]` keeps the newest of them.",
        'For "every+last", add t - 1 unless it is a multiple of `every`: then it is there already.',
    ),
    reference=frames_in_memory_reference,
    check=_check_frames_in_memory,
)
