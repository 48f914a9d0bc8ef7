"""Exercises of lesson 10: a kernel from two means, an object's features over time, and kernels put to work."""

import torch
import torch.nn.functional as F

from vosnb.course.exercises import Exercise, expect, same


def _normal(seed, *size):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def _uniform(seed, *size):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def _parts(answer, count, what):
    """The answer's parts, if it is as many as it should be."""
    right = isinstance(answer, tuple | list) and len(answer) == count
    expect(right, f"return {count} things, {what}, separated by a comma.")
    return [torch.as_tensor(part) for part in answer]


# ---------------------------------------------------------------------------------------------- mean_kernel


def mean_kernel_reference(f, m):
    def mean(weights):
        return (f * weights).sum((1, 2)) / weights.sum()

    inside, outside = mean(m), mean(1 - m)
    return inside - outside, (outside @ outside - inside @ inside) / 2


def _check_mean_kernel(answer):
    f, m = 1.0 + _normal(0, 6, 4, 5), _uniform(1, 4, 5)
    a, b = ((f * part).sum((1, 2)) / part.sum() for part in (m, 1 - m))
    w, bias = _parts(answer(f.clone(), m.clone()), 2, "w (C,) and b")

    expect(not same(w, b - a), "the sign is turned round: w.f + b is to be above 0 for the *object*, so w = O - B.")
    expect(
        not same(w, a),
        "w is the object's mean alone. Then whatever has large features responds, the object or not: subtract the "
        "background's mean.",
    )
    total = (f * m).sum((1, 2)) - (f * (1 - m)).sum((1, 2))
    expect(not same(w, total), "these are sums, not means: divide by the sum of the weights (S3-E1).")
    expect(
        not same(w, a - f.mean((1, 2))),
        "you subtracted the mean over *all* cells. The object is among them: weigh the cells by 1 - m.",
    )
    hard = (m > 0.5).float()
    c, d = ((f * part).sum((1, 2)) / part.sum() for part in (hard, 1 - hard))
    expect(not same(w, c - d), "you made the mask hard. A cell that lies half in the object counts half, for either.")
    expect(same(w, a - b, 1e-4), "w does not agree: it is the mean under m minus the mean under 1 - m.")
    expect(
        not same(bias, 0.0),
        "w is right, but without a bias the border lies at the origin. It belongs halfway between the two means.",
    )
    expect(not same(bias, b @ b - a @ a, 1e-4), "halfway: b is *half* the difference of the squared lengths.")
    expect(
        not same(bias, (a @ a - b @ b) / 2, 1e-4),
        "the bias has the wrong sign: at the middle (O + B) / 2 the response w.f + b must be 0.",
    )
    expect(same(bias, (b @ b - a @ a) / 2, 1e-4), "b does not agree: w.(O + B) / 2 + b must be 0.")


mean_kernel = Exercise(
    name="mean_kernel",
    title="A kernel from two means",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Two means: one with the weights m, the other with 1 - m. (f * m).sum((1, 2)) / m.sum() is the first.",
        "|f - O|^2 < |f - B|^2. Write out both squares: |f|^2 cancels, and what is left is linear in f.",
        "w = O - B, and b = (B @ B - O @ O) / 2.",
    ),
    reference=mean_kernel_reference,
    check=_check_mean_kernel,
)

# ---------------------------------------------------------------------------------------------- over_time


def over_time_reference(f, m):
    there = [t for t in range(len(f)) if m[t].sum() > 0]
    means = [(f[t] * m[t]).sum((1, 2)) / m[t].sum() for t in there]
    return torch.stack(means).mean(0), means[-1]


def _check_over_time(answer):
    f, m = _normal(2, 5, 3, 4, 4), _uniform(3, 5, 4, 4)
    m[1] = m[4] = 0  # out of sight in these frames, the last one among them
    m[2] *= 0.2  # small there
    found = answer(f.clone(), m.clone())
    globally, locally = _parts(found, 2, "the global feature (C,) and the local one")
    expect(
        not (globally.isnan().any() or locally.isnan().any()),
        "there are NaN: in frames that do not show the object its mask is empty, and 0 / 0 is no number. Leave them "
        "out.",
    )
    area = m.sum((1, 2))
    total = (f * m[:, None]).sum((2, 3))
    means = total / area.clamp_min(1e-9)[:, None]
    there = area > 0
    expect(
        not same(globally, means.mean(0), 1e-5),
        "frames without the object count as zeros in your mean, and pull it towards 0. Divide by the number of frames "
        "that show it.",
    )
    expect(
        not same(globally, total.sum(0) / area.sum(), 1e-5),
        "you summed over all frames and divided once, as CFBI does: then frames in which the object is large count "
        "more. S3 takes the mean of each frame first, and then the mean of these.",
    )
    expect(not same(globally, total[there].mean(0), 1e-5), "divide by the sum of the mask, in each frame (S3-E1).")
    hard = (m > 0.5).float()
    rounded = (f * hard[:, None]).sum((2, 3)) / hard.sum((1, 2)).clamp_min(1e-9)[:, None]
    expect(
        not (same(locally, rounded[3], 1e-5) or same(globally, rounded[there].mean(0), 1e-5)),
        "you made the masks hard. What the tracker predicts is soft, and a cell counts with its share.",
    )
    expect(
        not same(globally, means[[0, 2]].mean(0), 1e-5),
        "the last frame is missing in the global mean: it belongs to both.",
    )
    expect(same(globally, means[there].mean(0), 1e-5), "the global feature does not agree: the mean of frames' means.")
    expect(
        not same(locally, means[4], 1e-5),
        "the object is out of sight in the last frame, and your local feature is zero. Keep the last one that there "
        "was.",
    )
    expect(not same(locally, means[0], 1e-5), "the local feature is that of the *last* frame, not of the first.")
    expect(same(locally, means[3], 1e-5), "the local feature does not agree: the mean of the last frame that shows it.")


over_time = Exercise(
    name="over_time",
    title="Global and local",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=(
        "First a mean for each frame, as S3-E1 says. An empty mask has none: leave such frames out.",
        "Collect the means of the frames with m[t].sum() > 0 in a list.",
        "The global feature is the mean of that list, the local one its last entry.",
    ),
    reference=over_time_reference,
    check=_check_over_time,
)

# ---------------------------------------------------------------------------------------------- filter_with


def filter_with_reference(x, k, channels):
    layers = len(channels) - 1
    sizes = [channels[n] * channels[n + 1] for n in range(layers)]
    parts = k.split([*sizes, *channels[1:]])  # the weights of all layers, then the biases of all
    y = x[None]
    for n in range(layers):
        weight = parts[n].view(channels[n + 1], channels[n], 1, 1)
        y = F.conv2d(y, weight, parts[layers + n])
        if n < layers - 1:
            y = F.relu(y)
    return y[0, 0]


def _filtered(x, k, channels, interleaved=False, turned=False, relu="between", use_bias=True):
    """The reference, with one thing done differently."""
    y, at, layers = x[None], 0, len(channels) - 1
    sizes = [a * b for a, b in zip(channels, channels[1:], strict=False)]
    bias_at = sum(sizes)
    for n, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False)):
        weight = k[at : at + sizes[n]]
        weight = weight.view(inputs, outputs).T if turned else weight.view(outputs, inputs)
        at += sizes[n]
        if interleaved:
            bias, at = k[at : at + outputs], at + outputs
        else:
            bias, bias_at = k[bias_at : bias_at + outputs], bias_at + outputs
        y = F.conv2d(y, weight[..., None, None], bias if use_bias else None)
        if relu == "always" or (relu == "between" and n + 1 < layers):
            y = F.relu(y)
    return y[0, 0]


def _check_filter_with(answer):
    x, channels = _normal(4, 4, 3, 5), (4, 3, 2, 1)
    k = 0.7 * _normal(5, 4 * 3 + 3 * 2 + 2 * 1 + 3 + 2 + 1)
    one = answer(x.clone(), k[:5].clone(), (4, 1))
    got = answer(x.clone(), k.clone(), channels)

    def is_that(**different):
        return same(got, _filtered(x, k, channels, **different), 1e-4)

    expect(
        not (
            same(got, _filtered(x, k, channels)[None], 1e-4) or same(got, _filtered(x, k, channels)[None, None], 1e-4)
        ),
        "right numbers, but the shape is (H, W): drop the dimensions of one.",
    )
    expect(
        not is_that(interleaved=True),
        "you took each layer's biases right behind its weights. The order is: the weights of *all* layers, then the "
        "biases of all.",
    )
    expect(
        not is_that(turned=True),
        "the weights are transposed: a layer's matrix is (outputs, inputs), row by row, as in conv2d.",
    )
    expect(
        not is_that(relu="always"),
        "there is a ReLU behind the last layer. The response is a logit: below 0 means background, so it must be able "
        "to get there.",
    )
    expect(
        not is_that(relu="never"),
        "there is no ReLU between the layers: then three layers are no more than one.",
    )
    expect(not is_that(use_bias=False), "the biases are missing.")
    expect(same(one, _filtered(x, k[:5], (4, 1)), 1e-4), "of one layer: weights k[:C], the bias k[C].")
    expect(is_that(), "of one layer it is right, but not of several: split k by kernel sizes, layer by layer.")


filter_with = Exercise(
    name="filter_with",
    title="Numbers become a network",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=(
        "A layer from a to b channels takes a * b weights and b biases. k.split([..]) cuts k into pieces.",
        "The sizes are [a * b for each layer] and then [b for each layer].",
        "F.conv2d(y, weight.view(b, a, 1, 1), bias), and a ReLU behind every layer but the last.",
    ),
    reference=filter_with_reference,
    check=_check_filter_with,
)
