"""How the weights of S4's fully convolutional trackers are made: `vosnb train meta`, one row of its table 1 a run.

Each run begins by training the net in the ordinary way, to find what is labelled in training clips, every object: the
parent. S4's network came from such a training too, of days; ours takes minutes. All rows but "parent" then learn a
start, and rates, for five steps on one frame (S4 section 4.2: first order, four tasks at a time, RAdam).
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.func import functional_call

from vosnb.features import Device, Weights, save_weights
from vosnb.methods.meta import ORDERS, PER, MetaLearner, Task, TaskSet, learning_rates, load_learner
from vosnb.methods.one_shot import OneShotNet, spatial_transforms
from vosnb.settings import Count, Seed, checked
from vosnb.training.dynamic_kernels import clips
from vosnb.training.loop import begin, fit, prepare

SIZE = 96  # pixels; clips are drawn larger and shrunk
CLIPS = 400
T, TASKS, TESTS = 5, 4, 2  # steps inside; tasks of a step outside; test frames of a task
FIRST_RATE, JITTER = {"group": 0.1, "batch": 0.02}, 0.5  # what the rates begin with: the best single one of a parent
START_RATE, RATES_RATE, DECAY = 3e-3, 5e-3, 1e-3  # of RAdam
TURN, SCALE = 10, 0.1  # of the transforms; those of the tracker turn further than a clip does
ORDINARY_RATE, FRAMES = 2e-3, 8  # of Adam; frames of a step
ORDINARY, META = 3600, 600  # steps: of the parent, and then outside
SPLITS = ("single", "all")


def name_of(learn: str, norm: str, loss: str, order: str, tasks: str) -> str:
    """The weights of a row: "one-shot", and what is not as in the default."""
    default = {"neuron", "group", "cross-entropy", "first", "single"}
    return "-".join(["one-shot", *(part for part in (learn, norm, loss, order, tasks) if part not in default)])


def shrunk(frames: np.ndarray, masks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips (N, T, H, W, 3) uint8 and their masks (N, T, K, H, W) bool at size x size; half a pixel counts."""

    def resize(x: np.ndarray) -> np.ndarray:
        flat = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in x.reshape(-1, *x.shape[-3:])]
        return np.stack(flat).reshape(*x.shape[:-3], size, size, -1)

    return resize(frames), resize(255 * masks[..., None].astype(np.uint8))[..., 0] > 127


def recoloured(images: torch.Tensor, r: np.random.Generator) -> torch.Tensor:
    """Each image (B, 3, H, W) of network input with another contrast and another brightness of each channel."""
    gain, offset = r.uniform(0.8, 1.2, (len(images), 1, 1, 1)), r.normal(0, 0.15, (len(images), 3, 1, 1))
    return images * images.new_tensor(gain) + images.new_tensor(offset)


def augment(images: torch.Tensor, masks: torch.Tensor, r: np.random.Generator):
    """Each frame (B, 3, H, W) and mask (B, 1, H, W) in its own way: moved, and recoloured."""
    images, masks = spatial_transforms(images, masks, r, TURN, SCALE)
    return recoloured(images, r), masks


def tasks_of(found: TaskSet, seed: int, step: int, count: int, tests: int) -> list[Task]:
    """A step's tasks. In two of five, the colour channels of all frames are swapped: other creatures."""
    r = np.random.default_rng([seed, 6, step])
    tasks = []
    for i in r.integers(len(found), size=count):
        task = found.draw(i, r, augment, tests)
        swap = r.permutation(3) if r.random() < 0.4 else np.arange(3)
        tasks.append(task._replace(train_images=task.train_images[:, swap], test_images=task.test_images[:, swap]))
    return tasks


def segmentation_loss(net: OneShotNet, images: torch.Tensor, masks: torch.Tensor, theta: dict, t: int = 0):
    """L_seg of the network with the parameters theta, as `meta.fine_tune` asks for it."""
    return net.loss(functional_call(net, theta, (images,)), masks)


def learn_tasks(learner: MetaLearner, tasks: list[Task], order: str) -> float:
    """The gradients of start and rates over some tasks, whose mean loss is returned (S4-E4)."""
    total = 0.0
    for task in tasks:  # one after the other, so that one at a time is kept
        inside = partial(segmentation_loss, learner.net, task.train_images, task.train_masks)
        outside = partial(segmentation_loss, learner.net, task.test_images, task.test_masks)
        value = learner.test_loss(inside, outside, T, order) / len(tasks)
        if torch.isfinite(value):  # rates too high for a task: it teaches nothing
            value.backward()
            total += value.item()
    return total


def learn_frames(learner: MetaLearner, tasks: list[Task]) -> float:
    """The gradient of the network as it is, over all frames of some tasks; their mean loss is returned."""
    images = torch.cat([x for task in tasks for x in (task.train_images, task.test_images)])
    masks = torch.cat([x for task in tasks for x in (task.train_masks, task.test_masks)])
    value = learner.net.loss(learner.net(images), masks)
    value.backward()
    return value.item()


def first_rates(net: OneShotNet, learn: str, seed: int) -> dict[str, torch.Tensor]:
    """What the rates begin with; neurons not all alike, as in S4's code."""
    jitter = JITTER if learn == "neuron" else 0.0
    return learning_rates(
        dict(net.named_parameters()), learn, FIRST_RATE[net.settings["norm"]], jitter, np.random.default_rng([seed, 7])
    )


@checked
def train(
    learn: str = "neuron",
    norm: str = "group",
    loss: str = "cross-entropy",
    order: str = "first",
    tasks: str = "single",
    steps: Count | None = None,
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: Device = None,
    count: Count = CLIPS,
    start_from: Weights | None = None,
) -> Path:
    """Train a row of table 1 and write its weights, by default those that are called like the row.

    learn: "parent", the net alone and in the ordinary way; else a start and rates: "one", "layer" or "neuron".
    norm, loss: of `OneShotNet`; batch normalisation keeps, frozen, the averages of the ordinary training. order: of the
    gradient through the steps. tasks: "single" objects, or "all" of a clip as one: the split broken, so that memorising
    pays. steps: of the parent, or of learning a start, after the parent's. count: of clips. start_from: weights of a
    parent, which is then not trained.
    Raises FileNotFoundError when there is nothing to resume, ValueError for settings that do not exist.
    """
    for value, known in ((learn, ("parent", *PER)), (order, ORDERS[1:]), (tasks, SPLITS)):
        if value not in known:
            raise ValueError(f"{value!r} is unknown: choose from {', '.join(known)}.")
    out = begin(name_of(learn, norm, loss, order, tasks), out, resume)
    device = prepare(seed, device)
    if learn == "parent":
        steps = ordinary = steps or ORDINARY
    else:
        ordinary = ORDINARY if start_from is None else 0
        steps = ordinary + (steps or META)
    net = OneShotNet(norm, loss)
    if start_from is not None:
        load_learner(net, start_from)
    net.to(device)
    frames, masks = shrunk(*clips(seed, count), SIZE)
    every, found = TaskSet(frames, masks, together=True), TaskSet(frames, masks, together=tasks == "all")
    learner = MetaLearner(net, {} if learn == "parent" else first_rates(net, learn, seed))
    adam = torch.optim.Adam(net.parameters(), ORDINARY_RATE)
    radam = torch.optim.RAdam(learner.groups(START_RATE, RATES_RATE, DECAY), decoupled_weight_decay=True)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i, n=n: 1 - i / (n + 1))
        for optimizer, n in ((adam, ordinary), (radam, steps - ordinary))
    ]

    def batches(done: int) -> Iterator[tuple[bool, list[Task]]]:
        for step in range(done, steps):
            first = step < ordinary
            yield (
                first,
                tasks_of(every if first else found, seed, step, *((FRAMES // 2, 1) if first else (TASKS, TESTS))),
            )

    def step(first: bool, batch: list[Task]) -> float:
        optimizer, schedule = (adam, schedules[0]) if first else (radam, schedules[1])
        optimizer.zero_grad()
        net.train(first)
        batch = [Task(*(x.to(device) for x in task)) for task in batch]
        value = learn_frames(learner, batch) if first else learn_tasks(learner, batch, order)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        learner.clamp()
        schedule.step()
        return value

    parts = {"learner": learner, "adam": adam, "radam": radam}
    parts |= {"adam's schedule": schedules[0], "radam's schedule": schedules[1]}
    minutes = fit(out.stem, parts, batches, step, steps, resume)
    card = {"network": "OneShotNet", "settings": json.dumps(net.settings), "learn": learn, "order": order}
    save_weights(learner, out, **card, tasks=tasks, seed=seed, steps=steps, minutes=f"{minutes:.1f}")
    return out
