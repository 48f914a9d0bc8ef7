"""Answers to the exercises of lesson 08 that must pass, and wrong ones that must not."""

import math

import torch
import torch.nn.functional as F

from vosnb.methods.losses import metric_loss
from vosnb.methods.st_rnn import wavefronts

# ---------------------------------------------------------------------------------------------- hidden_states


def sweep(z, K, heard=((1, 0), (0, 1), (1, 1)), f=torch.tanh, wrap=False, of=None):
    h = torch.zeros_like(z)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            total = z[i, j]
            for up, left in heard:
                if wrap or min(i - up, j - left) >= 0:
                    total = total + K @ (h if of is None else of)[i - up, j - left]
            h[i, j] = f(total)
    return h


def states_by_wavefronts(z, K):
    return wavefronts(z[None, None].expand(4, -1, -1, -1, -1), K.expand(4, -1, -1))[0, 0]


def states_transposed(z, K):
    return sweep(z, K.T)


def states_of_two(z, K):
    return sweep(z, K, ((1, 0), (0, 1)))


def states_of_the_diagonal(z, K):
    return sweep(z, K, ((1, 1),))


def states_wrapped(z, K):
    return sweep(z, K, wrap=True)


def states_linear(z, K):
    return sweep(z, K, f=lambda total: total)


def states_of_inputs(z, K):
    return sweep(z, K, of=z)


def states_alone(z, K):
    return torch.tanh(z)


def states_to_the_north_west(z, K):
    return sweep(z.flip(0, 1), K).flip(0, 1)


def states_with_relu(z, K):
    return sweep(z, K, f=torch.relu)


# ---------------------------------------------------------------------------------------------- ways


def ways_by_recursion(down, right, neighbours):
    if neighbours == 4:
        return math.comb(down + right, down)
    return sum(math.comb(down, k) * math.comb(right, k) * 2**k for k in range(min(down, right) + 1))


def ways_as_length(down, right, neighbours):
    return down + right


def ways_doubling(down, right, neighbours):
    return 2 ** (down + right) if down and right else 1


def ways_without_diagonals(down, right, neighbours):
    return math.comb(down + right, down)


def ways_of_a_border_of_zeros(down, right, neighbours):
    return math.comb(down + right - 1, down) if down + right else 1


def ways_with_diagonals_always(down, right, neighbours):
    return ways_by_recursion(down, right, 8)


def ways_of_three_choices(down, right, neighbours):
    return math.comb(down + right, down) if neighbours == 4 else 3 ** min(down, right)


def ways_in_float32(down, right, neighbours):
    exact = ways_by_recursion(down, right, neighbours)
    return exact if exact < 2**31 else exact % 2**31


# ---------------------------------------------------------------------------------------------- gradient_by_hand


def gradient_by_autograd(h, g, K):
    with torch.enable_grad():
        before = F.pad(h, (0, 0, 1, 0, 1, 0))
        z = (torch.atanh(h) - (before[:-1, 1:] + before[1:, :-1]) @ K.T).requires_grad_()
        states = wavefronts(z[None, None].expand(4, -1, -1, -1, -1), K.expand(4, -1, -1), 4)[0, 0]
        return torch.autograd.grad(states, z, g)[0]


def backward(h, g, K, slope, successors=((1, 0), (0, 1))):
    dz = torch.zeros_like(h)
    for i in reversed(range(h.shape[0])):
        for j in reversed(range(h.shape[1])):
            total = g[i, j]
            for down, right in successors:
                if i + down < h.shape[0] and j + right < h.shape[1]:
                    total = total + K.T @ dz[i + down, j + right]
            dz[i, j] = slope(h[i, j]) * total
    return dz


def gradient_without_slope(h, g, K):
    return backward(h, g, K, torch.ones_like)


def gradient_slope_at_the_end(h, g, K):
    return (1 - h**2) * backward(h, g, K, torch.ones_like)


def gradient_slope_not_squared(h, g, K):
    return backward(h, g, K, lambda h: 1 - h)


def gradient_not_transposed(h, g, K):
    return backward(h, g, K.T, lambda h: 1 - h**2)


def gradient_with_the_sweep(h, g, K):
    return backward(h.flip(0, 1), g.flip(0, 1), K, lambda h: 1 - h**2).flip(0, 1)


def gradient_alone(h, g, K):
    return (1 - h**2) * g


def gradient_of_eight(h, g, K):
    return backward(h, g, K, lambda h: 1 - h**2, ((1, 0), (0, 1), (1, 1)))


# ---------------------------------------------------------------------------------------------- ratio_loss


def distances(a, pool):
    return (a[:, None] - pool).square().sum(-1)


def loss_of_the_package(a, p, n, alpha):
    return metric_loss(a, p, n, "ratio", alpha)


def loss_summed(a, p, n, alpha):
    return len(a) * loss_of_the_package(a, p, n, alpha)


def loss_over_means(a, p, n, alpha):
    return (distances(a, p).mean(1) / (distances(a, n).mean(1) + alpha)).mean()


def loss_not_squared(a, p, n, alpha):
    return (torch.cdist(a, p).amin(1) / (torch.cdist(a, n).amin(1) + alpha)).mean()


def loss_upside_down(a, p, n, alpha):
    return (distances(a, n).amin(1) / (distances(a, p).amin(1) + alpha)).mean()


def loss_without_alpha(a, p, n, alpha):
    return (distances(a, p).amin(1) / distances(a, n).amin(1)).mean()


def loss_of_sums(a, p, n, alpha):
    return distances(a, p).amin(1).sum() / (distances(a, n).amin(1) + alpha).sum()


def loss_of_each(a, p, n, alpha):
    return distances(a, p).amin(1) / (distances(a, n).amin(1) + alpha)


def loss_of_one_minimum(a, p, n, alpha):
    return distances(a, p).min() / (distances(a, n).min() + alpha)


def loss_softplus(a, p, n, alpha):
    return metric_loss(a, p, n, "softplus")


RIGHT = {
    "hidden_states": [states_by_wavefronts, sweep],
    "ways": [ways_by_recursion],
    "gradient_by_hand": [gradient_by_autograd],
    "ratio_loss": [loss_of_the_package],
}
MUTANTS = {
    "hidden_states": {
        "K transposed": (states_transposed, "transposed"),
        "two predecessors": (states_of_two, "three predecessors"),
        "the diagonal alone": (states_of_the_diagonal, "only the diagonal"),
        "wrapped around": (states_wrapped, "borders"),
        "no f": (states_linear, "f is missing"),
        "inputs for states": (states_of_inputs, "receive"),
        "each alone": (states_alone, "no cell hears"),
        "north-west": (states_to_the_north_west, "north-west"),
        "relu": (states_with_relu, "do not agree"),
    },
    "ways": {
        "the length": (ways_as_length, "length"),
        "2 to the steps": (ways_doubling, "another cell"),
        "no diagonals": (ways_without_diagonals, "diagonal steps"),
        "off by one": (ways_of_a_border_of_zeros, "just one way"),
        "diagonals always": (ways_with_diagonals_always, "with 4 neighbours"),
        "three choices": (ways_of_three_choices, "with 8 neighbours"),
        "overflow": (ways_in_float32, "overflow"),
    },
    "gradient_by_hand": {
        "no slope": (gradient_without_slope, "is missing"),
        "slope at the end": (gradient_slope_at_the_end, "not on the way"),
        "slope not squared": (gradient_slope_not_squared, "square the state"),
        "K not transposed": (gradient_not_transposed, "transpose"),
        "with the sweep": (gradient_with_the_sweep, "with the sweep"),
        "each alone": (gradient_alone, "for itself alone"),
        "three successors": (gradient_of_eight, "not the gradient"),
    },
    "ratio_loss": {
        "summed": (loss_summed, "summed"),
        "means of the pools": (loss_over_means, "nearest"),
        "not squared": (loss_not_squared, "squared"),
        "upside down": (loss_upside_down, "upside down"),
        "no alpha": (loss_without_alpha, "alpha"),
        "ratio of sums": (loss_of_sums, "ratio of its own"),
        "one for each anchor": (loss_of_each, "each anchor"),
        "one minimum": (loss_of_one_minimum, "by itself"),
        "softplus": (loss_softplus, "not S2-E4"),
    },
}
