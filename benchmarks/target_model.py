"""The target model learned with double backward over all pixels, and folded onto the cells: both in one run.

    python benchmarks/target_model.py

First frame: 5 samples of 256 x 30 x 54 features, labels of 480 x 854, c = 32, Gauss-Newton steps of (5, 10, 10, 10) CG
iterations, then 5 on w2 alone. Update: w2 on 80 samples of 96 x 30 x 52, labels of 480 x 832, 10 CG iterations. One
thread, float32. The straightforward way is written as S1's code works: J'(J p) by differentiating J'r twice.

Losses are those of S1, equation (2) over all pixels. Where the folded way ends lower after the same number of CG
iterations, float32 is the reason: its normal equations are kept in float64, where both ways end at one place (tests).
The new samples of an update are those remembered since the last one; the paper updates every eight frames.
"""

import time
from dataclasses import replace

import torch
import torch.nn.functional as F

from vosnb.methods.gauss_newton import GaussNewton, Problem, dot
from vosnb.methods.target_model import Settings, TargetModel, fold, pixel_weights, target_residuals


class DoubleBackward(Problem):
    """Any residuals; J'J p = d/dv <J'v, p> pulled back once more, on a graph that is kept for a Gauss-Newton step."""

    def __init__(self, function):
        self.function = function

    @torch.enable_grad()
    def loss_and_gradient(self, w):
        self.w = [p.detach().requires_grad_() for p in w]
        self.r = self.function(self.w)
        self.v = [r.detach().requires_grad_() for r in self.r]
        self.pulled = torch.autograd.grad(self.r, self.w, self.v, create_graph=True)
        return dot(self.v, self.v).detach(), [g.detach() for g in self.pulled]

    def curvature(self, w, p):
        pushed = torch.autograd.grad(self.pulled, self.v, p, retain_graph=True)
        return list(torch.autograd.grad(self.r, self.w, pushed, retain_graph=True))


def scene(K: int, C: int, size: tuple[int, int], pixels: tuple[int, int]):
    """K samples: an ellipse somewhere, and features that are half noise, half what a cell is."""
    r = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, pixels[0]), torch.linspace(-1, 1, pixels[1]), indexing="ij")
    centres = torch.rand(K, 2, 1, 1, generator=r) - 0.5
    labels = (((rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2) < 0.1).float()[:, None]
    share, kinds = F.adaptive_avg_pool2d(labels, size), torch.randn(2, C, 1, 1, generator=r)
    x = share * kinds[0] + (1 - share) * kinds[1] + torch.randn(K, C, *size, generator=r)
    return x.relu(), labels


def plainly(x, labels, w, settings, gamma):
    """The first frame, the straightforward way."""
    v = pixel_weights(labels)
    problem = DoubleBackward(lambda w: target_residuals(w, x, labels, v, gamma, settings.lambdas))
    w = GaussNewton(settings.scales).run(problem, w, settings.iterations)
    w2 = update_plainly(F.conv2d(x, w[0]), labels, v, w[1], settings, gamma)
    return [w[0], w2]


def update_plainly(x1, labels, v, w2, settings, gamma):
    """w2 on features x1 that are through w1 already."""

    def residuals(w):
        scores = F.conv2d(x1, w[0], padding=1)
        scores = F.interpolate(scores, labels.shape[-2:], mode="bilinear", align_corners=False)
        return [gamma.sqrt().view(-1, 1, 1, 1) * v * (scores - labels), settings.lambdas[1] ** 0.5 * w[0]]

    return GaussNewton(settings.scales[1:]).run(DoubleBackward(residuals), [w2], (settings.update_iterations,))[0]


def loss(w, x, labels, gamma, lambdas) -> float:
    """S1, equation (2), over all pixels, in float64."""
    x, labels, gamma, w = x.double(), labels.double(), gamma.double(), [p.double() for p in w]
    return sum((r**2).sum().item() for r in target_residuals(w, x, labels, pixel_weights(labels), gamma, lambdas))


def timed(function, *inputs):
    began = time.perf_counter()
    return function(*inputs), time.perf_counter() - began


def median(values):
    return sorted(values)[len(values) // 2]


def line(name, plain, ours, loss_plain, loss_ours):
    print(f"{name:<34} {plain:>8.3f} {ours:>9.4f} {plain / ours:>6.1f} {loss_plain:>11.2f} {loss_ours:>12.2f}")


def first_frame(repeats: int):
    settings = Settings(hidden=32, iterations=(5, 10, 10, 10), update_iterations=5)
    x, labels = scene(5, 256, (30, 54), (480, 854))
    model = TargetModel(settings)
    w = [p.float() for p in model.initial(256)]
    model.memory.start(5)
    gamma = model.memory.weights[:5].float()
    plain, ours = [], []
    for _ in range(repeats):  # in turns, so that a busy neighbour slows both
        found, seconds = timed(plainly, x, labels, w, settings, gamma)
        plain.append(seconds)
        ours.append(timed(model.start, x, labels)[1])
    ends = [loss(end, x, labels, gamma, settings.lambdas) for end in (found, model.w)]
    line("first frame", median(plain), median(ours), *ends)


def updates(repeats: int):
    settings = Settings(hidden=96, update_iterations=10)
    x1, labels = scene(80, 96, (30, 52), (480, 832))
    v = pixel_weights(labels)
    model = TargetModel(replace(settings, iterations=()))
    eye = torch.eye(96)[:, :, None, None]  # the features are taken as through w1 already
    w2 = model.initial(96)[1].float()
    model.start(x1[:5], labels[:5], w=[eye, w2])
    for k in range(5, 80):
        model.add(x1[k : k + 1], labels[k : k + 1])
    gamma = model.memory.weights.float()

    def ours(samples: int, settings: Settings):
        """So many samples put anew into the slots that they have, then w2 from where the other way starts."""
        model.settings, model.w = settings, [eye, w2]
        model.optimiser.reset()
        for k in range(samples):
            model.equations.put(k, x1[k], fold(labels[k : k + 1], v[k : k + 1], x1.shape[-2:]))
        model.update()
        return model.w[1]

    ways = {"update, 10 CG, one new sample": (1, settings), "update, 10 CG, eight new samples": (8, settings)}
    ways["update, solved, one new sample"] = (1, replace(settings, update_iterations=None))
    ways["update, solved, none new"] = (0, replace(settings, update_iterations=None))
    plain, took, ends = [], {name: [] for name in ways}, {}
    for _ in range(repeats):
        found, seconds = timed(update_plainly, x1, labels, v, w2, settings, gamma)
        plain.append(seconds)
        for name, way in ways.items():
            ends[name], seconds = timed(ours, *way)
            took[name].append(seconds)

    def whole(end) -> float:  # ten samples at a time: all of them in float64 are large
        parts = [slice(k, k + 10) for k in range(0, 80, 10)]
        lambdas = (0.0, settings.lambdas[1] / len(parts))
        return sum(loss([eye, end], x1[p], labels[p], gamma[p], lambdas) for p in parts)

    for name, seconds in took.items():
        line(name, median(plain), median(seconds), whole(found), whole(ends[name]))


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    print(f"{'':<34} {'plain s':>8} {'folded s':>9} {'ratio':>6} {'plain loss':>11} {'folded loss':>12}")
    first_frame(repeats=3)
    updates(repeats=2)


if __name__ == "__main__":
    main()
