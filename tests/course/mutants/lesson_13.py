"""Answers to the exercises of lesson 13 that must pass, and wrong ones that must not."""

import numpy as np
import torch

ENDS = [0.025, 0.975]

# ---------------------------------------------------------------------------------------------- paired


def paired_by_two_means(a, b, draws):
    gains = [b[draw].mean() - a[draw].mean() for draw in draws]
    return tuple(np.percentile(gains, [2.5, 97.5]))


def paired_backwards(a, b, draws):
    return np.quantile((a - b)[draws].mean(1), ENDS)


def paired_over_clips(a, b, draws):
    return np.quantile(b - a, ENDS)


def paired_of_one(a, b, draws):
    return np.quantile(b[draws].mean(1), ENDS)


def paired_intervals_subtracted(a, b, draws):
    (a_low, a_high), (b_low, b_high) = (np.quantile(x[draws].mean(1), ENDS) for x in (a, b))
    return b_low - a_high, b_high - a_low


def paired_ninety(a, b, draws):
    return np.quantile((b - a)[draws].mean(1), [0.05, 0.95])


def paired_by_spread(a, b, draws):
    gains = b - a
    return gains.mean() - 1.96 * gains.std(), gains.mean() + 1.96 * gains.std()


def paired_with_draws_of_their_own(a, b, draws):
    return np.quantile(b[draws].mean(1) - a[draws[::-1]].mean(1), ENDS)


def paired_turned(a, b, draws):
    return np.quantile((b - a)[draws].mean(1), ENDS[::-1])


def paired_middle(a, b, draws):
    return (b - a)[draws].mean()


# ---------------------------------------------------------------------------------------------- front


def front_from_the_best(J, speed):
    stay, fastest = [], -np.inf
    for i in sorted(range(len(J)), key=lambda i: (-J[i], -speed[i])):
        twin = any(J[i] == J[k] and speed[i] == speed[k] for k in stay)
        if speed[i] > fastest or twin:
            stay, fastest = [*stay, i], max(fastest, speed[i])
    return stay


def front_two_winners(J, speed):
    return [int(np.argmax(J)), int(np.argmax(speed))]


def front_all(J, speed):
    return list(range(len(J)))


def front_strictly(J, speed):
    return [i for i in range(len(J)) if not ((J[i] < J) & (speed > speed[i])).any()]


def front_without_twins(J, speed):
    others = [np.arange(len(J)) != i for i in range(len(J))]
    return [i for i in range(len(J)) if not ((J[i] <= J) & (speed >= speed[i]) & others[i]).any()]


def front_as_yes_or_no(J, speed):
    return [not ((J[i] < J) & (speed > speed[i])).any() for i in range(len(J))]


def front_by_product(J, speed):
    return np.argsort(J * speed)[-3:]


# ---------------------------------------------------------------------------------------------- one_layer


def one_layer_by_hand(channels, kernel):
    w1 = torch.zeros(channels, channels, 1, 1)
    for c in range(channels):
        w1[c, c] = 1
    return w1, torch.zeros(1, channels, kernel, kernel)


def one_layer_of_ones(channels, kernel):
    return torch.ones(channels, channels, 1, 1), torch.zeros(1, channels, kernel, kernel)


def one_layer_deaf(channels, kernel):
    return torch.zeros(channels, channels, 1, 1), torch.zeros(1, channels, kernel, kernel)


def one_layer_wide(channels, kernel):
    return torch.zeros(channels, channels, kernel, kernel), torch.zeros(1, channels, kernel, kernel)


def one_layer_turned(channels, kernel):
    return torch.eye(channels).view(channels, channels, 1, 1), torch.zeros(channels, 1, kernel, kernel)


def one_layer_at_random(channels, kernel):
    return torch.randn(channels, channels, 1, 1), torch.zeros(1, channels, kernel, kernel)


def one_layer_begun(channels, kernel):
    return torch.eye(channels).view(channels, channels, 1, 1), torch.ones(1, channels, kernel, kernel)


RIGHT = {"paired": [paired_by_two_means], "front": [front_from_the_best], "one_layer": [one_layer_by_hand]}
MUTANTS = {
    "paired": {
        "backwards": (paired_backwards, "b - a"),
        "over clips": (paired_over_clips, "where single clips lie"),
        "of one": (paired_of_one, "one tracker's mean"),
        "intervals subtracted": (paired_intervals_subtracted, "subtracted two intervals"),
        "ninety": (paired_ninety, "90 %"),
        "by spread": (paired_by_spread, "bell curve"),
        "with draws of their own": (paired_with_draws_of_their_own, "not the percentiles of the mean gain"),
        "turned": (paired_turned, "lower percentile comes first"),
        "middle": (paired_middle, "two numbers"),
    },
    "front": {
        "two winners": (front_two_winners, "not all"),
        "all": (front_all, "all stay"),
        "strictly": (front_strictly, "as accurate as number 3"),
        "without twins": (front_without_twins, "equal in both"),
        "as yes or no": (front_as_yes_or_no, "indices"),
        "by product": (front_by_product, "as accurate as number 3"),
    },
    "one_layer": {
        "of ones": (one_layer_of_ones, "adds all channels up"),
        "deaf": (one_layer_deaf, "lets nothing through"),
        "wide": (one_layer_wide, "1 x 1 convolution"),
        "turned": (one_layer_turned, "one score of all channels"),
        "at random": (one_layer_at_random, "hand every channel on"),
        "begun": (one_layer_begun, "learned nothing yet"),
    },
}
