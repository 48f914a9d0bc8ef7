"""Answers to the exercises of lesson 01 that must pass, and wrong ones that must not."""

import torch

from vosnb.course.cells import to_cells, to_pixels
from vosnb.course.exercises.lesson_01 import QUESTION, NearestReference, follow_cells_faulty

# ---------------------------------------------------------------------------------------------- read


def read_by_einsum(query_keys, memory_keys, memory_values, scale):
    weights = torch.einsum("dn,dm->nm", query_keys, memory_keys).mul(scale).exp()
    return torch.einsum("nm,vm->vn", weights / weights.sum(-1, keepdim=True), memory_values)


def read_over_queries(query_keys, memory_keys, memory_values, scale):
    return memory_values @ torch.softmax(scale * query_keys.T @ memory_keys, 0).T


def read_unscaled(query_keys, memory_keys, memory_values, scale):
    return read_by_einsum(query_keys, memory_keys, memory_values, 1.0)


def read_best(query_keys, memory_keys, memory_values, scale):
    return memory_values[:, (query_keys.T @ memory_keys).argmax(1)]


def read_affinity(query_keys, memory_keys, memory_values, scale):
    return torch.softmax(scale * query_keys.T @ memory_keys, 1)


def read_transposed(query_keys, memory_keys, memory_values, scale):
    return read_by_einsum(query_keys, memory_keys, memory_values, scale).T


def read_without_exponential(query_keys, memory_keys, memory_values, scale):
    logits = scale * query_keys.T @ memory_keys
    return memory_values @ (logits / logits.sum(1, keepdim=True)).T


def read_unnormalised(query_keys, memory_keys, memory_values, scale):
    return memory_values @ (scale * query_keys.T @ memory_keys).exp().T


# ---------------------------------------------------------------------------------------------- Nearest


class NearestByLoop:
    """The same, cell by cell, with the whole memory in one list."""

    def __init__(self, features, neighbours=20, sharpness=20.0, last=3):
        self.features, self.k, self.s, self.last = features, neighbours, sharpness, last

    def start(self, frame, mask):
        x = self.features(frame)
        self.memory = [(x.flatten(1), to_cells(mask, x.shape[1:]))]

    def step(self, frame):
        x = self.features(frame)
        keys, labels = (torch.cat([entry[i] for entry in self.memory], 1) for i in (0, 1))
        p = torch.stack([self.ask(cell, keys, labels) for cell in x.flatten(1).T], 1)
        self.memory.append((x.flatten(1), p))
        if len(self.memory) > self.last + 1:
            del self.memory[1]
        return to_pixels(p, x.shape[1:], frame.shape[:2])

    def ask(self, cell, keys, labels):
        cosines = cell @ keys
        best = cosines.argsort(descending=True)[: self.k]
        return labels[:, best] @ torch.softmax(self.s * cosines[best], 0)


class NearestStays(NearestReference):
    def start(self, frame, mask):
        super().start(frame, mask)
        self.p = to_pixels(self.first[1], self.features(frame).shape[1:], frame.shape[:2])

    def step(self, frame):
        return self.p


class NearestOfFrame0(NearestReference):
    def step(self, frame):
        self.answers = []
        return super().step(frame)


class NearestForgetsFrame0(NearestReference):
    def step(self, frame):
        p = super().step(frame)
        self.first = self.answers[-1]
        return p


class NearestAsksAll(NearestReference):
    def step(self, frame):
        self.neighbours = 10**6
        return super().step(frame)


class NearestWeighsEqually(NearestByLoop):
    def ask(self, cell, keys, labels):
        return labels[:, (cell @ keys).topk(self.k).indices].mean(1)


class NearestDecides(NearestReference):
    def step(self, frame):
        answer = super().step(frame)
        self.answers = [(x, torch.eye(len(p))[p.argmax(0)].T) for x, p in self.answers]
        return answer


class NearestGrows(NearestByLoop):
    def step(self, frame):
        self.last = 10**6
        return super().step(frame)


class NearestCarriesOver(NearestByLoop):
    def start(self, frame, mask):
        before = getattr(self, "memory", [])
        super().start(frame, mask)
        self.memory += before


class NearestInCells(NearestReference):
    def step(self, frame):
        super().step(frame)
        return self.answers[-1][1].view(-1, *self.features(frame).shape[1:])


class NearestUnsharp(NearestReference):
    def step(self, frame):
        self.sharpness = 1.0
        return super().step(frame)


# ---------------------------------------------------------------------------------------------- follow_cells


def follow_by_frames(x, labels, read):
    """The same, with a list of frames in place of three names."""
    frames = [(x[0], labels)]
    for now in x[1:]:
        keys, values = zip(frames[0], frames[-1], strict=True)
        frames.append((now, read(now, torch.cat(keys, 1), torch.cat(values, 1), 20.0)))
    return [label for _, label in frames]


def follow_kept(x, labels, read, keep, decide=False, scale=20.0):
    frames, found = [(x[0], labels)], [labels]
    for now in x[1:]:
        keys, values = (torch.cat(part, 1) for part in zip(*keep(frames), strict=True))
        found.append(read(now, keys, values, scale))
        frames.append((now, (found[-1] == found[-1].amax(0)).float() if decide else found[-1]))
    return found


def follow_frame_0(x, labels, read):
    return follow_kept(x, labels, read, lambda frames: frames[:1])


def follow_latest(x, labels, read):
    return follow_kept(x, labels, read, lambda frames: frames[-1:])


def follow_stale(x, labels, read):
    return follow_kept(x, labels, read, lambda frames: [frames[0], frames[-2:][0]])


def follow_all(x, labels, read):
    return follow_kept(x, labels, read, lambda frames: frames)


def follow_decided(x, labels, read):
    return follow_kept(x, labels, read, lambda frames: [frames[0], frames[-1]], decide=True)


def follow_sharper(x, labels, read):
    return follow_kept(x, labels, read, lambda frames: [frames[0], frames[-1]], scale=40.0)


def follow_without_frame_0(x, labels, read):
    return follow_by_frames(x, labels, read)[1:]


# ---------------------------------------------------------------------------------------------- when_to_remember

ANOTHER = (
    "Skip frames whose new keys have a low best cosine to memory, since something strange entered. Tune that limit on "
    "creatures, freeze it, then compare paired J over forty toy clips against always storing and against skipping at "
    "random with equal frequency; I would drop the idea if the interval includes zero."
)

RIGHT = {
    "read": [read_by_einsum],
    "Nearest": [NearestByLoop],
    "follow_cells": [follow_by_frames],
    "when_to_remember": [ANOTHER],
}
MUTANTS = {
    "read": {
        "softmax over the queries": (read_over_queries, "over the query cells"),
        "no scale": (read_unscaled, "no effect"),
        "the best match alone": (read_best, "best match alone"),
        "A, not what is read": (read_affinity, "affinity A itself"),
        "transposed": (read_transposed, "your result is (N, v)"),
        "no exponential": (read_without_exponential, "take the exponential"),
        "not normalised": (read_unnormalised, "divide by Z_i"),
    },
    "Nearest": {
        "stays where it was": (NearestStays, "stayed where the first mask was"),
        "frame 0 alone": (NearestOfFrame0, "its own last answers"),
        "forgets frame 0": (NearestForgetsFrame0, "must never leave"),
        "asks everybody": (NearestAsksAll, "asks every cell"),
        "all weigh the same": (NearestWeighsEqually, "weigh the same"),
        "remembers decisions": (NearestDecides, "doubt should stay doubt"),
        "grows without end": (NearestGrows, "grows with every frame"),
        "carries over": (NearestCarriesOver, "still remembers the one before"),
        "maps of cells": (NearestInCells, "still of cells"),
        "no sharpness": (NearestUnsharp, "not those of the recipe"),
    },
    "follow_cells": {
        "the fault itself": (follow_cells_faulty, "symptom is still there"),
        "frame 0 alone": (follow_frame_0, "a thing that turns"),
        "the latest alone": (follow_latest, "frame 0 has left"),
        "one frame old": (follow_stale, "the frame before the latest"),
        "all frames": (follow_all, "every frame"),
        "decisions": (follow_decided, "doubt should stay doubt"),
        "another scale": (follow_sharper, "more has changed"),
        "frame 0 not returned": (follow_without_frame_0, "six maps"),
    },
    "when_to_remember": {
        "too short": ("I would skip bad frames.", "at least 25"),
        "the question": (QUESTION, "words of the question"),
        "the same words": ("Remember good frames only. " * 9, "again and again"),
    },
}
