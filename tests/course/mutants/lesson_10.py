"""Answers to the exercises of lesson 10 that must pass, and wrong ones that must not."""

import torch
import torch.nn.functional as F

from vosnb.methods.dynamic_kernels import ObjectFeatures, convolve, object_feature

# ---------------------------------------------------------------------------------------------- mean_kernel


def two_means(f, m):
    return (object_feature(f[None], part[None])[0][0] for part in (m, 1 - m))


def kernel_of_the_package(f, m):
    a, b = two_means(f, m)
    return a - b, -(a - b) @ (a + b) / 2


def kernel_of_the_object(f, m):
    return next(two_means(f, m)), 0.0


def kernel_turned(f, m):
    w, b = kernel_of_the_package(f, m)
    return -w, -b


def kernel_without_bias(f, m):
    return kernel_of_the_package(f, m)[0], 0.0


def kernel_of_the_whole_bias(f, m):
    w, b = kernel_of_the_package(f, m)
    return w, 2 * b


def kernel_of_the_turned_bias(f, m):
    w, b = kernel_of_the_package(f, m)
    return w, -b


def kernel_of_a_hard_mask(f, m):
    return kernel_of_the_package(f, (m > 0.5).float())


def kernel_of_sums(f, m):
    a, b = (f * m).sum((1, 2)), (f * (1 - m)).sum((1, 2))
    return a - b, (b @ b - a @ a) / 2


def kernel_against_all(f, m):
    a, b = next(two_means(f, m)), f.mean((1, 2))
    return a - b, (b @ b - a @ a) / 2


def kernel_alone(f, m):
    return kernel_of_the_package(f, m)[0]


# ---------------------------------------------------------------------------------------------- over_time


def features_of_the_package(f, m):
    features = ObjectFeatures()
    for frame, mask in zip(f, m, strict=True):
        features.add(frame[None], mask[None])
    return features.globally[0], features.locally[0]


def means(f, m, nothing=1e-9):
    return (f * m[:, None]).sum((2, 3)) / m.sum((1, 2)).clamp_min(nothing)[:, None]


def features_with_empties(f, m):
    found = means(f, m)
    return found.mean(0), found[m.sum((1, 2)) > 0][-1]


def features_not_a_number(f, m):
    found = means(f, m, 0.0)
    return found.mean(0), found[-1]


def features_by_area(f, m):
    total = (f * m[:, None]).sum((0, 2, 3)) / m.sum()
    return total, means(f, m)[3]


def features_of_hard_masks(f, m):
    return features_of_the_package(f, (m > 0.5).float())


def features_summed(f, m):
    there = m.sum((1, 2)) > 0
    total = (f * m[:, None]).sum((2, 3))[there]
    return total.mean(0), total[-1]


def features_gone(f, m):
    return features_of_the_package(f, m)[0], means(f, m)[-1]


def features_of_the_first(f, m):
    return features_of_the_package(f, m)[0], means(f, m)[0]


def features_apart(f, m):
    there = means(f, m)[m.sum((1, 2)) > 0]
    return there[:-1].mean(0), there[-1]


# ---------------------------------------------------------------------------------------------- filter_with


def filter_of_the_package(x, k, channels):
    return convolve(x[None], k[None], channels)[0, 0]


def layers(x, k, channels, interleaved=False, turned=False, relu=lambda n, last: n < last, biased=True):
    y, at = x, 0
    bias_at = sum(a * b for a, b in zip(channels, channels[1:], strict=False))
    for n, (a, b) in enumerate(zip(channels, channels[1:], strict=False)):
        weight = k[at : at + a * b]
        weight = weight.view(a, b).T if turned else weight.view(b, a)
        at += a * b
        start = at if interleaved else bias_at
        y = torch.einsum("oi,ihw->ohw", weight, y) + (k[start : start + b, None, None] if biased else 0)
        at, bias_at = (at + b, bias_at) if interleaved else (at, bias_at + b)
        y = F.relu(y) if relu(n, len(channels) - 2) else y
    return y[0]


def filter_by_products(x, k, channels):
    return layers(x, k, channels)


def filter_interleaved(x, k, channels):
    return layers(x, k, channels, interleaved=True)


def filter_transposed(x, k, channels):
    return layers(x, k, channels, turned=True)


def filter_clamped(x, k, channels):
    return layers(x, k, channels, relu=lambda n, last: True)


def filter_linear(x, k, channels):
    return layers(x, k, channels, relu=lambda n, last: False)


def filter_without_biases(x, k, channels):
    return layers(x, k, channels, biased=False)


def filter_of_one_layer(x, k, channels):
    return torch.einsum("c,chw->hw", k[: len(x)], x) + k[len(x)]


def filter_unsqueezed(x, k, channels):
    return convolve(x[None], k[None], channels)


RIGHT = {
    "mean_kernel": [kernel_of_the_package],
    "over_time": [features_of_the_package],
    "filter_with": [filter_of_the_package, filter_by_products],
}
MUTANTS = {
    "mean_kernel": {
        "the object's mean": (kernel_of_the_object, "mean alone"),
        "turned round": (kernel_turned, "turned round"),
        "no bias": (kernel_without_bias, "without a bias"),
        "twice the bias": (kernel_of_the_whole_bias, "half"),
        "bias turned": (kernel_of_the_turned_bias, "wrong sign"),
        "hard mask": (kernel_of_a_hard_mask, "hard"),
        "sums": (kernel_of_sums, "sums"),
        "against all cells": (kernel_against_all, "all* cells"),
        "w alone": (kernel_alone, "return 2 things"),
    },
    "over_time": {
        "empty frames count": (features_with_empties, "as zeros"),
        "NaN": (features_not_a_number, "NaN"),
        "by area": (features_by_area, "CFBI"),
        "hard masks": (features_of_hard_masks, "hard"),
        "sums": (features_summed, "divide by the sum"),
        "gone when out of sight": (features_gone, "keep the last"),
        "the first for the last": (features_of_the_first, "not of the first"),
        "without the last": (features_apart, "belongs to both"),
    },
    "filter_with": {
        "biases behind each layer": (filter_interleaved, "all* layers"),
        "transposed": (filter_transposed, "transposed"),
        "ReLU at the end": (filter_clamped, "behind the last"),
        "no ReLU": (filter_linear, "between the layers"),
        "no biases": (filter_without_biases, "biases are missing"),
        "one layer": (filter_of_one_layer, "not of several"),
        "shape": (filter_unsqueezed, "shape"),
    },
}
