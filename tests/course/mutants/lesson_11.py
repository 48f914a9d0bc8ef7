"""Answers to the exercises of lesson 11 that must pass, and wrong ones that must not."""

import torch

from vosnb.methods.meta import fine_tune, learning_rates

# ---------------------------------------------------------------------------------------------- by_hand


def gradients_by_autograd(theta, rate, a, b, T):
    start, speed = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (theta, rate))
    tuned = fine_tune(lambda p, t: (p["x"] - a) ** 2 / 2, {"x": start}, {"x": speed}, T, "second")["x"]
    found = torch.autograd.grad((tuned - b) ** 2 / 2, (start, speed))
    return tuple(x.item() for x in found)


def parts(theta, rate, a, b, T):
    kept = (1 - rate) ** T
    return kept, a + kept * (theta - a), -T * (1 - rate) ** (T - 1) * (theta - a)


def gradients_of_first_order(theta, rate, a, b, T):
    _, end, through = parts(theta, rate, a, b, T)
    return end - b, (end - b) * through


def gradients_of_the_loss_inside(theta, rate, a, b, T):
    kept, end, through = parts(theta, rate, a, b, T)
    return (end - a) * kept, (end - a) * through


def gradients_of_one_step(theta, rate, a, b, T):
    return gradients_by_autograd(theta, rate, a, b, 1)


def gradients_before_any_step(theta, rate, a, b, T):
    return theta - b, 0.0


def gradients_with_the_rate_turned(theta, rate, a, b, T):
    to_start, to_rate = gradients_by_autograd(theta, rate, a, b, T)
    return to_start, -to_rate


def gradients_with_the_rate_of_first_order(theta, rate, a, b, T):
    kept, end, _ = parts(theta, rate, a, b, T)
    return (end - b) * kept, -(end - b) * sum((1 - rate) ** t * (theta - a) for t in range(T))


def gradients_without_T(theta, rate, a, b, T):
    to_start, to_rate = gradients_by_autograd(theta, rate, a, b, T)
    return to_start, to_rate / T


# ---------------------------------------------------------------------------------------------- step


def step_of_cases(theta, rate, gradient, order):
    return torch.sub(theta, torch.mul(gradient if order == "second" else gradient.data, rate))


def step_of_numbers(theta, rate, gradient, order):
    return (theta - rate * gradient).detach()


def step_of_a_fixed_rate(theta, rate, gradient, order):
    return theta - rate.detach() * (gradient if order == "second" else gradient.detach())


def step_without_a_start(theta, rate, gradient, order):
    return theta.detach() - rate * (gradient if order == "second" else gradient.detach())


def step_always_second(theta, rate, gradient, order):
    return theta - rate * gradient


def step_always_first(theta, rate, gradient, order):
    return theta - rate * gradient.detach()


def step_uphill(theta, rate, gradient, order):
    return theta + rate * (gradient if order == "second" else gradient.detach())


def step_without_a_rate(theta, rate, gradient, order):
    return theta - (gradient if order == "second" else gradient.detach())


# ---------------------------------------------------------------------------------------------- neuron_rates


def rates_of_the_package(theta, value):
    return learning_rates(theta, "neuron", value)


def rates_that_do_not_spread(theta, value):
    return {name: torch.full((len(x),), value) for name, x in theta.items()}


def rates_of_inputs(theta, value):
    return {name: torch.full((1, x.shape[1], 1, 1) if x.dim() > 1 else (1,), value) for name, x in theta.items()}


def rates_of_all_numbers(theta, value):
    return {name: torch.full_like(x, value) for name, x in theta.items()}


def rates_of_tensors(theta, value):
    return {name: torch.tensor(value) for name in theta}


def rates_of_weights(theta, value):
    return {name: x for name, x in rates_of_the_package(theta, value).items() if name.endswith("weight")}


def rates_of_another_value(theta, value):
    return rates_of_the_package(theta, 0.1)


RIGHT = {
    "by_hand": [gradients_by_autograd],
    "step": [step_of_cases],
    "neuron_rates": [rates_of_the_package],
}
MUTANTS = {
    "by_hand": {
        "first order": (gradients_of_first_order, "a start moved by 1"),
        "the loss inside": (gradients_of_the_loss_inside, "inside"),
        "one step": (gradients_of_one_step, "one step"),
        "before any step": (gradients_before_any_step, "before any step"),
        "the rate's sign": (gradients_with_the_rate_turned, "wrong sign"),
        "the rate to first order": (gradients_with_the_rate_of_first_order, "depend on the rate too"),
        "without T": (gradients_without_T, "factor of T"),
    },
    "step": {
        "numbers only": (step_of_numbers, "neither start nor rate"),
        "fixed rate": (step_of_a_fixed_rate, "rate gets no gradient"),
        "no start": (step_without_a_start, "start gets no gradient"),
        "always second order": (step_always_second, "that is second order"),
        "always first order": (step_always_first, "detached always"),
        "uphill": (step_uphill, "uphill"),
        "no rate": (step_without_a_rate, "rate is missing"),
    },
    "neuron_rates": {
        "does not spread": (rates_that_do_not_spread, "does not spread"),
        "of input channels": (rates_of_inputs, "input"),
        "of each number": (rates_of_all_numbers, "double"),
        "of a whole tensor": (rates_of_tensors, "whole tensor"),
        "without biases": (rates_of_weights, "biases"),
        "another value": (rates_of_another_value, "value"),
    },
}
