"""Exercises of lesson 11: the gradients of a start and a rate by hand, a step that can be learned, rates of neurons."""

import torch

from vosnb.course.exercises import Exercise, expect, same

# ---------------------------------------------------------------------------------------------- by_hand


def by_hand_reference(theta, rate, a, b, T):
    kept = (1 - rate) ** T  # what T steps leave of the distance to a
    end = a + kept * (theta - a)
    to_start = (end - b) * kept
    to_rate = (end - b) * (theta - a) * -T * (1 - rate) ** (T - 1)
    return to_start, to_rate


def _check_by_hand(answer):
    theta, rate, a, b, T = 0.5, 0.3, 2.0, 3.0, 4
    found = answer(theta, rate, a, b, T)
    expect(
        isinstance(found, tuple | list) and len(found) == 2,
        "return 2 numbers, the gradient of the start and that of the rate, separated by a comma.",
    )
    start, speed = found
    kept = (1 - rate) ** T
    end = a + kept * (theta - a)
    once = a + (1 - rate) * (theta - a)
    on_the_way = -sum((1 - rate) ** t for t in range(T)) * (theta - a)
    right = by_hand_reference(theta, rate, a, b, T)

    expect(
        not same(start, end - b, 1e-9),
        "that is first order: you took the gradients on the way for constants. But a start moved by 1 moves the end by "
        "(1 - rate)^T only.",
    )
    expect(
        not same(start, (end - a) * kept, 1e-9),
        "that is the gradient of the loss *inside*. What counts outside is the distance to b.",
    )
    expect(
        not same(start, (once - b) * (1 - rate), 1e-9),
        "you took one step. T steps leave (1 - rate)^T of the distance to a.",
    )
    expect(
        not same(start, theta - b, 1e-9), "that is the gradient before any step: the loss outside is asked at theta^T."
    )
    expect(same(start, right[0], 1e-9), "the start's gradient does not agree: (theta^T - b) times d theta^T / d theta.")
    expect(
        not same(speed, -right[1], 1e-9),
        "the rate's gradient has the wrong sign: a larger rate takes theta^T *towards* a.",
    )
    expect(
        not same(speed, (end - b) * on_the_way, 1e-9),
        "that is the rate's gradient to first order: you took the gradients on the way for constants. They depend on "
        "the rate too: differentiate (1 - rate)^T.",
    )
    expect(
        not same(speed, right[1] / T, 1e-9),
        "a factor of T is missing: the derivative of x^T is T x^(T - 1). The rate is used in each of the T steps.",
    )
    expect(same(speed, right[1], 1e-9), "the rate's gradient does not agree: (theta^T - b) times d theta^T / d rate.")


by_hand = Exercise(
    name="by_hand",
    title="Through T steps by hand",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=(
        "One step: theta - rate * (theta - a). So the distance to a becomes (1 - rate) times what it was.",
        "After T steps theta^T = a + (1 - rate)^T (theta - a), and the loss is (theta^T - b)^2 / 2.",
        "Both gradients begin with (theta^T - b). It is multiplied with the derivative of theta^T: by theta that is "
        "(1 - rate)^T, by the rate -T (1 - rate)^(T - 1) (theta - a).",
    ),
    reference=by_hand_reference,
    check=_check_by_hand,
)

# ---------------------------------------------------------------------------------------------- step


def step_reference(theta, rate, gradient, order):
    if order == "first":
        gradient = gradient.detach()
    return theta - rate * gradient


def _gradients(moved, theta, rate):
    """What arrives at theta and at the rate; zeros where nothing does."""
    if not moved.requires_grad:
        return torch.zeros_like(theta), torch.zeros_like(rate)
    found = torch.autograd.grad(moved.sum(), (theta, rate), allow_unused=True, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, (theta, rate), strict=True)]


def _check_step(answer):
    theta = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([0.3, 0.2], dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad((theta**3).sum(), theta, create_graph=True)[0]  # 3 theta^2
    g = gradient.detach()
    first, second = (answer(theta, rate, gradient, order) for order in ("first", "second"))
    expect(isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor), "return a tensor: the next theta.")
    expect(not same(first.detach(), (theta + rate * g).detach()), "this step goes uphill: subtract.")
    expect(not same(first.detach(), (theta - g).detach()), "the rate is missing.")
    expect(
        same(first.detach(), (theta - rate * g).detach(), 1e-9), "the value does not agree: theta - rate * gradient."
    )
    expect(same(second.detach(), first.detach(), 1e-9), "both orders take the same step: only what is learned differs.")

    to_start, to_rate = _gradients(first, theta, rate)
    expect(
        not (same(to_start, [0, 0]) and same(to_rate, [0, 0])),
        "the step is right, and no gradient comes back through it: neither start nor rate would ever be learned. "
        "Detach the gradient, not the result.",
    )
    expect(
        not same(to_rate, [0, 0]),
        "the rate gets no gradient. To first order too it must be learned: only `gradient` is a constant.",
    )
    expect(
        not same(to_start, [0, 0]),
        "the start gets no gradient: theta is cut off. It stands in theta - rate * gradient too, as itself.",
    )
    through = (1 - rate * 6 * theta).detach()
    expect(
        not same(to_start, through, 1e-9),
        "with order='first' your step still goes through the gradient: that is second order. Detach it.",
    )
    expect(same(to_start, [1, 1], 1e-9), "to first order a start moved by 1 moves the end by 1; yours does not.")
    expect(same(to_rate, -g, 1e-9), "the derivative by the rate is minus the gradient; yours is not.")

    to_start, to_rate = _gradients(second, theta, rate)
    expect(
        not same(to_start, [1, 1], 1e-9),
        "with order='second' the gradient is to be differentiated as well: it depends on theta. Yours is detached "
        "always.",
    )
    expect(same(to_start, through, 1e-9) and same(to_rate, -g, 1e-9), "to second order the gradients do not agree.")


step = Exercise(
    name="step",
    title="A step that can be learned",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=(
        "Without `order` it is one line: theta - rate * gradient.",
        "x.detach() has the numbers of x, and no gradient goes through it.",
        "To first order: theta - rate * gradient.detach(). Nothing else is detached.",
    ),
    reference=step_reference,
    check=_check_step,
)

# ---------------------------------------------------------------------------------------------- neuron_rates


def neuron_rates_reference(theta, value):
    return {name: torch.full((len(x), *[1] * (x.dim() - 1)), value) for name, x in theta.items()}


def _check_neuron_rates(answer):
    sizes = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "norm.weight": (4,), "last.weight": (3, 3, 1, 1)}
    theta = {name: torch.zeros(size) for name, size in sizes.items()}
    found = answer(dict(theta), 0.25)
    expect(isinstance(found, dict), "return a dictionary: a tensor of rates under each name of theta.")
    expect(
        "conv.bias" in found, "the biases have no rates. A neuron has two: one for its weights, and one for its bias."
    )
    expect(set(found) == set(theta), f"the names are not theta's: {', '.join(theta)}.")
    found = {name: torch.as_tensor(x, dtype=torch.float32) for name, x in found.items()}
    weight = tuple(found["conv.weight"].shape)
    expect(weight not in ((), (1,)), "that is one rate for a whole tensor. One for each output channel is asked for.")
    expect(
        weight != sizes["conv.weight"],
        "that is a rate for each single number. S4 says why not: it would double what is to be learned.",
    )
    expect(
        weight not in ((1, 3, 1, 1), (3, 1, 1)),
        "these are rates of the *input* channels. A neuron is an output channel, and those come first: (C_out, C_in, "
        "h, w).",
    )
    expect(
        weight != (4,),
        "(C_out,) does not spread over (C_out, C_in, h, w): from the right it meets w. Give it dimensions of one: "
        "(C_out, 1, 1, 1).",
    )
    for name, x in theta.items():
        wanted = (len(x), *[1] * (x.dim() - 1))
        expect(tuple(found[name].shape) == wanted, f"the rates of {name} {tuple(x.shape)} are to be {wanted}.")
    expect(all(bool((x == 0.25).all()) for x in found.values()), "each rate begins with `value`.")


neuron_rates = Exercise(
    name="neuron_rates",
    title="A rate for each neuron",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=(
        "A layer's weights are (C_out, C_in, h, w): the first dimension counts neurons. A bias is (C_out,).",
        "len(x) is the first dimension, x.dim() how many there are. All others become 1.",
        "torch.full((len(x), *[1] * (x.dim() - 1)), value), for each name.",
    ),
    reference=neuron_rates_reference,
    check=_check_neuron_rates,
)
