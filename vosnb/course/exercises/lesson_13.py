"""Exercises of lesson 13: the interval of a paired difference, what nothing beats, and D with a single layer."""

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.course.exercises import Exercise, expect, same
from vosnb.trackers.mixed import one_layer as one_layer_reference

# ---------------------------------------------------------------------------------------------- paired


def paired_reference(a, b, draws):
    means = (b - a)[draws].mean(1)
    return np.quantile(means, [0.025, 0.975])


def _check_paired(answer):
    r = np.random.default_rng(1)
    a = r.uniform(0.2, 0.9, 40)
    b = (a + r.normal(0.02, 0.06, 40)).clip(0, 1)
    draws = r.integers(40, size=(2000, 40))
    got = np.asarray(answer(a.copy(), b.copy(), draws.copy()), float)
    right = paired_reference(a, b, draws)
    expect(got.shape == (2,), "two numbers are wanted: where the interval begins and where it ends.")
    expect(got[0] < got[1], "the interval ends before it begins: the lower percentile comes first.")

    def is_that(means, ends=(0.025, 0.975)):
        return same(got, np.quantile(means, ends))

    of_a, of_b = a[draws].mean(1), b[draws].mean(1)
    expect(not is_that(of_a - of_b), "you took a from b's place: what b gains over a is b - a.")
    expect(
        not is_that(b - a),
        "these are percentiles over clips: where single clips lie, not where the mean lies. Draw, take means, then "
        "percentiles.",
    )
    expect(
        not (is_that(of_b) or is_that(of_a)),
        "this is the interval of one tracker's mean; asked is that of the difference, clip by clip.",
    )
    (a_low, a_high), (b_low, b_high) = (np.quantile(means, [0.025, 0.975]) for means in (of_a, of_b))
    expect(
        not (same(got, [b_low - a_high, b_high - a_low]) or same(got, [b_low - a_low, b_high - a_high])),
        "you subtracted two intervals. A clip that is hard is hard for both: take the difference first, on each clip.",
    )
    expect(not is_that(of_b - of_a, (0.05, 0.95)), "this holds 90 %: of 95 %, 2.5 % lie below and 2.5 % above.")
    spreads = [(b - a).std(ddof=ddof) / divisor for ddof in (0, 1) for divisor in (1, len(a) ** 0.5)]
    expect(
        not any(same(got, (b - a).mean() + np.array([-w, w]) * spread) for spread in spreads for w in (1.96, 2)),
        "you took the mean and so many spreads, which supposes a bell curve. Take percentiles of the means of draws.",
    )
    expect(
        same(got, right),
        "these are not the percentiles of the mean gain: gains (n,), of the clips in draws (R, n), mean over clips.",
    )


paired = Exercise(
    name="paired",
    title="Better on the same clips",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=(
        "Both trackers ran on the same clips. What one number says of one clip how they compare?",
        "gains = b - a. Each row of draws is a benchmark that might have been: gains[draws] has the shape (R, n).",
        "Take the mean of each row, and of these R means np.quantile at 0.025 and 0.975.",
    ),
    reference=paired_reference,
    check=_check_paired,
)

# ---------------------------------------------------------------------------------------------- front


def front_reference(J, speed):
    def beaten(i):
        return any(
            J[k] >= J[i] and speed[k] >= speed[i] and (J[k] > J[i] or speed[k] > speed[i]) for k in range(len(J))
        )

    return [i for i in range(len(J)) if not beaten(i)]


def _check_front(answer):
    J = np.array([0.80, 0.75, 0.60, 0.60, 0.85, 0.70, 0.85, 0.30])
    speed = np.array([20.0, 30.0, 45.0, 60.0, 5.0, 28.0, 5.0, 50.0])
    right = front_reference(J, speed)  # 0, 1, 3, 4, 6: 2 is beaten by 3 at the same J; 4 and 6 are twins
    got = list(answer(J.copy(), speed.copy()))
    expect(
        not any(isinstance(i, bool | np.bool_) for i in got),
        "return the indices of those that stay, not a yes or no for each.",
    )
    got = [int(i) for i in got]
    expect(len(got) > 2, "the most accurate and the fastest are not all: who is second in both may be beaten by none.")
    expect(
        len(got) < len(J),
        "all stay. Number 7, say, is beaten: number 3 is more accurate than it, and faster.",
    )
    expect(
        2 not in got,
        "number 2 is as accurate as number 3, and slower: nobody would take it. Equal in one and worse in the other "
        "is beaten.",
    )
    expect(
        4 in got and 6 in got,
        "numbers 4 and 6 are equal in both: neither is better than the other, so neither is beaten.",
    )
    expect(sorted(got) == right, "not these: one is beaten if another is at least as good in both, and better in one.")


front = Exercise(
    name="front",
    title="What nothing beats",
    difficulty=2,
    importance=3,
    minutes=10,
    hints=(
        "Write first when k beats i: at least as accurate, at least as fast, and better in one of the two.",
        "i stays if no k beats it: any(...) over all k. (i does not beat itself: it is better in nothing.)",
        "J[k] >= J[i] and speed[k] >= speed[i] and (J[k] > J[i] or speed[k] > speed[i])",
    ),
    reference=front_reference,
    check=_check_front,
)

# ---------------------------------------------------------------------------------------------- one_layer


def _check_one_layer(answer):
    channels, kernel = 5, 3
    w1, w2 = answer(channels, kernel)
    expect(
        tuple(w1.shape) == (channels, channels, 1, 1),
        "w1 is a 1 x 1 convolution from all channels to as many: (channels, channels, 1, 1).",
    )
    expect(
        tuple(w2.shape) == (1, channels, kernel, kernel),
        "w2 makes one score of all channels, as convolutions store it: (1, channels, kernel, kernel).",
    )
    x = torch.randn(2, channels, 4, 6, generator=torch.Generator().manual_seed(2))
    through = F.conv2d(x, w1.to(x))
    expect(
        not same(through, x.sum(1, keepdim=True).expand_as(x), 1e-4),
        "w1 adds all channels up, and hands the sum on in each: w2 cannot take that apart any more.",
    )
    expect(bool(through.abs().sum() > 0), "w1 lets nothing through: whatever w2 learns, all scores are 0.")
    expect(
        same(through, x, 1e-5),
        "w1 should hand every channel on as it is: in row c a 1 at channel c and 0 elsewhere.",
    )
    expect(
        bool((w2 == 0).all()),
        "w2 has learned nothing yet, and knows nothing of this object: let it be zero. It is solved for anyway.",
    )


one_layer = Exercise(
    name="one_layer",
    title="D with a single layer",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=(
        "D is conv(conv(x, w1), w2). Which w1 makes conv(x, w1) equal x?",
        "A 1 x 1 convolution multiplies the channels of each cell with a matrix. Which matrix changes nothing?",
        "torch.eye(channels).view(channels, channels, 1, 1), and torch.zeros(...) for w2.",
    ),
    reference=one_layer_reference,
    check=_check_one_layer,
)
