"""Answers to the exercises of lesson 01 that must pass, and wrong ones that must not."""

import math

import torch

from vosnb.course.cells import to_cells, to_pixels
from vosnb.course.exercises.lesson_01 import QUESTION, NearestReference, read_as_stm

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


# ---------------------------------------------------------------------------------------------- mend_read


def mended_by_rows(query_keys, memory_keys, memory_values):
    A = torch.softmax(query_keys.T @ memory_keys / query_keys.shape[0] ** 0.5, dim=1)
    return memory_values @ A.T


def mended_without_scale(query_keys, memory_keys, memory_values):
    return memory_values @ torch.softmax(memory_keys.T @ query_keys, dim=0)


def mended_afterwards(query_keys, memory_keys, memory_values):
    A = torch.softmax(memory_keys.T @ query_keys / math.sqrt(query_keys.shape[0]), dim=1)
    return memory_values @ (A / A.sum(0))


def mended_by_a_mean(query_keys, memory_keys, memory_values):
    return memory_values.mean(1, keepdim=True).expand(-1, query_keys.shape[1])


def mended_over_all(query_keys, memory_keys, memory_values):
    match = memory_keys.T @ query_keys
    return memory_values @ torch.softmax(match.flatten(), 0).view(match.shape)


# ---------------------------------------------------------------------------------------------- when_to_remember

ANOTHER = (
    "Skip frames whose new keys have a low best cosine to memory, since something strange entered. Tune that limit on "
    "creatures, freeze it, then compare paired J over forty toy clips against always storing and against skipping at "
    "random with equal frequency; I would drop the idea if the interval includes zero."
)

RIGHT = {
    "read": [read_by_einsum],
    "Nearest": [NearestByLoop],
    "mend_read": [mended_by_rows],
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
    "mend_read": {
        "the fault itself": (read_as_stm, "symptom is still there"),
        "the scale is lost": (mended_without_scale, "sqrt(d) is lost"),
        "divided afterwards": (mended_afterwards, "divided by the totals"),
        "a mean": (mended_by_a_mean, "mean of the whole memory"),
        "softmax over everything": (mended_over_all, "symptom is still there"),
    },
    "when_to_remember": {
        "too short": ("I would skip bad frames.", "at least 25"),
        "the question": (QUESTION, "words of the question"),
        "the same words": ("Remember good frames only. " * 9, "again and again"),
    },
}
