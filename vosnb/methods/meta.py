"""Learning where to start and how fast to learn, for a fine-tuning of few steps (S4 section 3.2; MAML).

Inside, plain gradient descent tunes a network to one object on one frame; outside, what it started from and its rates
are changed such that the tuned network is right on other frames. Any `nn.Module` can be learned like this: its
parameters are handed to it from outside (`torch.func.functional_call`). Lesson 11 does all of it by hand first.

theta: {name: tensor}, the parameters of a network; rates: {name: tensor}, each of a shape that spreads over theta's.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from vosnb.features import fill, read_weights, to_image
from vosnb.files import FileError

Tensors = dict[str, torch.Tensor]
PER = ("one", "layer", "neuron")
ORDERS = (None, "first", "second")


def learning_rates(
    theta: Tensors, per: str = "neuron", value: float = 0.05, jitter: float = 0.0, r: np.random.Generator | None = None
) -> Tensors:
    """The rates lambda that learning begins with (S4 section 3.2.4); names with the same rate hold the same tensor.

    per: "neuron", one for the weights of each output channel and one for its bias, (C_out, 1, .., 1); "layer", one for
    all of a layer's parameters; "one" for the whole network. jitter: each is drawn from value * (1 - jitter .. 1 +
    jitter), S4's code: 0.5. Raises ValueError for an unknown per.
    """
    if per not in PER:
        raise ValueError(f"per={per!r} is unknown: choose from {', '.join(PER)}.")
    r = r or np.random.default_rng(0)
    rates, shared = {}, {}
    for name, weight in theta.items():
        shape = (len(weight), *[1] * (weight.dim() - 1)) if per == "neuron" else ()
        drawn = value * (1 + jitter * weight.new_tensor(r.uniform(-1, 1, shape)))
        owner = {"neuron": name, "layer": name.rpartition(".")[0], "one": None}[per]
        rates[name] = shared.setdefault(owner, drawn)
    return rates


def fine_tune(
    loss: Callable[[Tensors, int], torch.Tensor],
    theta: Tensors,
    rates: Tensors,
    steps: int,
    order: str | None = None,
    watch: Callable[[int, Tensors, torch.Tensor], None] | None = None,
) -> Tensors:
    """theta^T, after T steps of gradient descent with a rate for each parameter (S4-E5).

    loss(theta, t): of step t. order: what of the steps a gradient of theta^T sees: "second" all of them; "first" takes
    their gradients for constants (the dashed edges of S4's figure 2b cut), so that theta^0 gets the gradient at
    theta^T and each rate still its own; None nothing, as it is right at test time.
    watch(t, theta^t, loss): called before step t. Raises ValueError for an unknown order.
    """
    if order not in ORDERS:
        raise ValueError(f"order={order!r} is unknown: choose from first, second, None.")
    for t in range(steps):
        with torch.enable_grad():
            at = theta if order == "second" else {name: x.detach().requires_grad_() for name, x in theta.items()}
            value = loss(at, t)
            gradients = torch.autograd.grad(value, list(at.values()), create_graph=order == "second")
        if watch:
            watch(t, theta, value.detach())
        with torch.set_grad_enabled(order is not None):
            theta = {name: x - rates[name] * g for (name, x), g in zip(theta.items(), gradients, strict=True)}
    return theta


class MetaLearner:
    """A network, whose parameters are the start theta^0, and its rates: what is learned outside, theta_g (S4-E2).

    Inside is `fine_tune`, which in T steps stands for the argmin of S4-E3.

    Rates that share a tensor go on sharing it. Its `state_dict` is the network's with "rates.NAME" beside it: what a
    checkpoint holds, and a file of weights.
    """

    def __init__(self, net: nn.Module, rates: Tensors):
        self.net = net
        own = {id(rate): rate.detach().clone().requires_grad_() for rate in rates.values()}
        self.rates = {name: own[id(rate)] for name, rate in rates.items()}

    @property
    def theta(self) -> Tensors:
        return dict(self.net.named_parameters())

    def groups(self, start: float, rates: float, weight_decay: float) -> list[dict]:
        """For an optimizer: theta^0 with the rate `start` and decay, the rates with the rate `rates` and without."""
        groups = [{"params": list(self.net.parameters()), "lr": start, "weight_decay": weight_decay}]
        distinct = list({id(rate): rate for rate in self.rates.values()}.values())
        return groups + ([{"params": distinct, "lr": rates, "weight_decay": 0.0}] if distinct else [])

    def test_loss(
        self,
        train: Callable[[Tensors, int], torch.Tensor],
        test: Callable[[Tensors], torch.Tensor],
        steps: int,
        order: str = "first",
    ) -> torch.Tensor:
        """The loss on test frames after T steps on train frames (S4-E4); its `backward` is meta-learning."""
        return test(fine_tune(train, self.theta, self.rates, steps, order))

    @torch.no_grad()
    def clamp(self) -> None:
        """No rate below zero: called after each step outside (S4 section 4.2)."""
        for rate in self.rates.values():
            rate.clamp_(min=0)

    def state_dict(self) -> Tensors:
        return self.net.state_dict() | {f"rates.{name}": rate.detach() for name, rate in self.rates.items()}

    def load_state_dict(self, state: Tensors) -> None:
        own, rates = split_rates(state)
        self.net.load_state_dict(own)
        for name, rate in self.rates.items():
            rate.data.copy_(rates[name])


def split_rates(state: Tensors) -> tuple[Tensors, Tensors]:
    """The network's tensors, and the rates by the names of the parameters."""
    rates = {name.removeprefix("rates."): x for name, x in state.items() if name.startswith("rates.")}
    return {name: x for name, x in state.items() if not name.startswith("rates.")}, rates


def load_learner(net: nn.Module, name: str | Path) -> MetaLearner:
    """Fill a network with shipped weights, or those of a file; rates come with them if they were learned.

    Raises FileNotFoundError when there is no such file and FileError when it is damaged or of another network.
    """
    own, rates = split_rates(read_weights(name)[0])
    net = fill(net, own, name)
    sizes = {key: p.shape for key, p in net.named_parameters()}
    if rates and (rates.keys() != sizes.keys() or not all(_spreads(rates[key].shape, sizes[key]) for key in rates)):
        raise FileError(f"{name} does not fit this network: its rates are those of another.")
    return MetaLearner(net, {name: rate.float() for name, rate in rates.items()})


def _spreads(size: torch.Size, over: torch.Size) -> bool:
    """Whether a tensor of one size can be multiplied with one of the other, which keeps its size."""
    return len(size) <= len(over) and all(a in (1, b) for a, b in zip(size[::-1], over[::-1], strict=False))


class Task(NamedTuple):
    """One object of one clip: the frame to be tuned on, and frames to be right on afterwards."""

    train_images: torch.Tensor  # (1, 3, H, W)
    train_masks: torch.Tensor  # (1, 1, H, W)
    test_images: torch.Tensor  # (n, 3, H, W)
    test_masks: torch.Tensor  # (n, 1, H, W)


class TaskSet:
    """All tasks of some clips (S4 section 3.2.1): frames (N, T, H, W, 3) uint8, masks (N, T, K, H, W) bool.

    Each object of a clip is a task of its own, so that the same first image has several right answers: no start alone
    can give them, the steps must. together: the split broken, all objects of a clip one task. least: share of the
    frame that an object covers in the frame to be tuned on; objects that never do are left out.
    Raises ValueError when none is left.
    """

    def __init__(self, frames: np.ndarray, masks: np.ndarray, together: bool = False, least: float = 0.01):
        self.frames = frames
        self.masks = masks.any(2, keepdims=True) if together else masks
        self.shown = self.masks.mean((-2, -1)) >= least  # (N, T, K)
        there = self.shown.any(1)  # (N, K)
        for (n, k), _ in np.ndenumerate(there):  # some clips have the same object twice
            there[n, k] &= not any(np.array_equal(self.masks[n, :, k], self.masks[n, :, j]) for j in range(k))
        self.tasks = [(int(n), int(k)) for n, k in np.argwhere(there)]
        if not self.tasks:
            raise ValueError("no object of these clips covers enough of a frame to be a task: lower `least`.")

    def __len__(self) -> int:
        return len(self.tasks)

    def draw(self, i: int, r: np.random.Generator, augment: Callable, tests: int = 2) -> Task:
        """Task i, its frames drawn anew: one that shows the object (all of the clip's, if there is one), and others.

        augment(images, masks, r): train and test frames are given to it one after the other. With the same state of r,
        tasks of one clip have the same images.
        """
        n, k = self.tasks[i]
        shown = self.shown[n]
        first = r.choice(np.flatnonzero(shown.all(-1) if shown.all(-1).any() else shown[:, k]))
        rest = np.delete(np.arange(len(shown)), first)
        parts = []
        for times in ([first], r.choice(rest, tests, replace=False)):
            images = to_image(self.frames[n, times], "cpu")
            parts += augment(images, torch.from_numpy(self.masks[n, times, k])[:, None].float(), r)
        return Task(*parts)
