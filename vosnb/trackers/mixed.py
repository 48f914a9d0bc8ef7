"""Parts from several papers in one tracker (lesson 13): what the shared interface is for."""

from dataclasses import replace

import torch

from vosnb.methods.target_model import TargetModel
from vosnb.settings import Count, Positive
from vosnb.trackers.kernels import KernelTracker
from vosnb.trackers.matching import ContextTracker
from vosnb.trackers.target import TargetTracker


class AdaptedKernelTracker(ContextTracker, KernelTracker):
    """`kernels+context`: S3's kernels, and keys that S0 tunes on the first frame. It takes the settings of both."""


def one_layer(channels: int, kernel: int = 3) -> list[torch.Tensor]:
    """Where D starts if only its second layer is to learn: w1 hands every channel on, w2 is zero."""
    w1 = torch.eye(channels).view(channels, channels, 1, 1)
    return [w1, torch.zeros(1, channels, kernel, kernel)]


class SolvedTargetTracker(TargetTracker):
    """`frtm+ridge`: S1 with S2's closed form in D's place.

    D keeps its second layer only, which reads all features. What is left of S1-E2 is a ridge regression (S2-E3), with
    S1's pixel weights and sample memory, and is solved, on frame 0 and in each update. regularisation: lambda.
    capacity: samples that are kept; each is a matrix of all features with all others. The other settings are those of
    `frtm`, but for what a first layer or a descent would need.
    """

    WITHOUT_MEANING = ("hidden", "init", "gauss_newton", "iterations", "first_iterations", "direction", "forgetting")

    def __init__(self, regularisation: Positive = 1000.0, capacity: Count = 20, **target):
        if idle := [name for name in self.WITHOUT_MEANING if name in target]:
            raise ValueError(f"{idle[0]} means nothing where D has one layer and takes no steps: leave it out.")
        super().__init__(regularisation=regularisation, capacity=capacity, **target)

    def _learn(self, images, labels):
        x = self._features(images)
        target = TargetModel(replace(self.settings, hidden=x.shape[1], iterations=()))
        target.start(x, labels, w=one_layer(x.shape[1]))
        self.targets.append(target)
