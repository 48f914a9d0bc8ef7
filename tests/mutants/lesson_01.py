"""Answers to the exercises of lesson 01 that must pass, and wrong ones that must not."""

import torch


def scaled(query_keys, memory_keys):
    return query_keys.transpose(-1, -2) @ memory_keys / query_keys.shape[-2] ** 0.5


# ---------------------------------------------------------------------------------------------- top_k_affinity


def top_k_by_threshold(query_keys, memory_keys, k):
    logits = scaled(query_keys, memory_keys)
    threshold = logits.sort(dim=-1, descending=True).values[..., k - 1 : k]
    return torch.softmax(logits.masked_fill(logits < threshold, -torch.inf), dim=-1)


def top_k_of_queries(query_keys, memory_keys, k):
    logits = scaled(query_keys, memory_keys)
    best = logits.topk(k, dim=0)
    return torch.zeros_like(logits).scatter(0, best.indices, torch.softmax(best.values, dim=0))


def zero_logits(query_keys, memory_keys, k):
    logits = scaled(query_keys, memory_keys)
    best = logits.topk(k, dim=-1)
    return torch.softmax(torch.zeros_like(logits).scatter(-1, best.indices, best.values), dim=-1)


def not_renormalised(query_keys, memory_keys, k):
    A = torch.softmax(scaled(query_keys, memory_keys), dim=-1)
    best = A.topk(k, dim=-1)
    return torch.zeros_like(A).scatter(-1, best.indices, best.values)


def unscaled(query_keys, memory_keys, k):
    return top_k_by_threshold(query_keys * query_keys.shape[-2] ** 0.5, memory_keys, k)


def worst_matches(query_keys, memory_keys, k):
    logits = scaled(query_keys, memory_keys)
    worst = logits.topk(k, dim=-1, largest=False)
    return torch.zeros_like(logits).scatter(-1, worst.indices, torch.softmax(worst.values, dim=-1))


def memory_by_queries(query_keys, memory_keys, k):
    return top_k_by_threshold(query_keys, memory_keys, k).T


def nothing_dropped(query_keys, memory_keys, k):
    return torch.softmax(scaled(query_keys, memory_keys), dim=-1)


def equal_weights(query_keys, memory_keys, k):
    return (top_k_by_threshold(query_keys, memory_keys, k) > 0) / k


# ---------------------------------------------------------------------------------------------- affinity_bytes


def bytes_by_negative_floor(height, width, frames, stride=8, itemsize=4):
    cells = (-height // stride) * (-width // stride)
    return itemsize * frames * cells**2


def bytes_of_pixels(height, width, frames, stride=8, itemsize=4):
    return (height * width) ** 2 * frames * itemsize


def bytes_all_frames_ask(height, width, frames, stride=8, itemsize=4):
    return bytes_by_negative_floor(height, width, frames**2, stride, itemsize)


def bytes_of_one_frame(height, width, frames, stride=8, itemsize=4):
    return bytes_by_negative_floor(height, width, 1, stride, itemsize)


def bytes_rounded_down(height, width, frames, stride=8, itemsize=4):
    return ((height // stride) * (width // stride)) ** 2 * frames * itemsize


def entries(height, width, frames, stride=8, itemsize=4):
    return bytes_by_negative_floor(height, width, frames, stride, 1)


def bytes_with_channels(height, width, frames, stride=8, itemsize=4):
    return bytes_by_negative_floor(height, width, frames, stride, itemsize) * 32


def bytes_of_defaults(height, width, frames, stride=8, itemsize=4):
    return bytes_by_negative_floor(height, width, frames)


# ---------------------------------------------------------------------------------------------- frames_in_memory


def frames_as_a_story(t, schedule, every=5, capacity=5):
    kept, last = [0], None
    for seen in range(1, t):
        if schedule != "first" and seen % every == 0:
            kept.append(seen)
            if len(kept) > capacity + 1:
                kept.pop(1)
            last = None
        else:
            last = seen
    return kept + ([last] if schedule == "every+last" and last else [])


def frames_first_grows(t, schedule, every=5, capacity=5):
    return frames_as_a_story(t, "every", every, capacity)


def frames_with_the_current(t, schedule, every=5, capacity=5):
    return frames_as_a_story(t + 1, schedule, every, capacity)


def frames_without_the_first(t, schedule, every=5, capacity=5):
    return [0] if schedule == "first" else list(range(0, t, every))[-capacity:]


def frames_without_end(t, schedule, every=5, capacity=5):
    return frames_as_a_story(t, schedule, every, capacity=t)


def frames_oldest_stay(t, schedule, every=5, capacity=5):
    return [0] if schedule == "first" else list(range(0, t, every))[: capacity + 1]


def frames_without_the_last(t, schedule, every=5, capacity=5):
    return frames_as_a_story(t, "first" if schedule == "first" else "every", every, capacity)


def frames_last_stay(t, schedule, every=5, capacity=5):
    extra = [t - 2, t - 1] if schedule == "every+last" and t > 2 else []
    return sorted({*frames_as_a_story(t, schedule, every, capacity), *extra})


def frames_last_twice(t, schedule, every=5, capacity=5):
    return frames_without_the_last(t, schedule, every, capacity) + ([t - 1] if schedule == "every+last" else [])


RIGHT = {
    "top_k_affinity": [top_k_by_threshold],
    "affinity_bytes": [bytes_by_negative_floor],
    "frames_in_memory": [frames_as_a_story],
}
MUTANTS = {
    "top_k_affinity": {
        "the k best queries of each memory cell": (top_k_of_queries, "it is each *query* cell that chooses"),
        "a logit of zero for the dropped": (zero_logits, "exp(0) is 1"),
        "softmax first, then drop": (not_renormalised, "no longer sum to one"),
        "no scale": (unscaled, "divide the dot products by sqrt(d)"),
        "the smallest instead of the largest": (worst_matches, "k *worst* matches"),
        "transposed": (memory_by_queries, "one row for each query cell"),
        "nothing dropped": (nothing_dropped, "exactly k = 3"),
        "every kept cell weighs the same": (equal_weights, "not the softmax of their scaled"),
    },
    "affinity_bytes": {
        "pixels, not cells": (bytes_of_pixels, "you counted pixels"),
        "every frame asks": (bytes_all_frames_ask, "cells of *one* frame"),
        "one frame in memory": (bytes_of_one_frame, "grows with every frame"),
        "rounded down": (bytes_rounded_down, "round up"),
        "entries, not bytes": (entries, "itemsize"),
        "channels counted": (bytes_with_channels, "no key channel"),
        "arguments ignored": (bytes_of_defaults, "use the arguments"),
    },
    "frames_in_memory": {
        "first grows": (frames_first_grows, "nothing is ever added"),
        "the current frame": (frames_with_the_current, "just being segmented"),
        "frame 0 leaves": (frames_without_the_first, "never leaves"),
        "no capacity": (frames_without_end, "grows without end"),
        "the newest leave": (frames_oldest_stay, "the *oldest* goes"),
        "no previous frame": (frames_without_the_last, "is missing"),
        "previous frames stay": (frames_last_stay, "guest for one step"),
        "previous frame twice": (frames_last_twice, "twice"),
    },
}
