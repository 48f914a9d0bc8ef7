"""How `e-osvos.safetensors` is made: `vosnb train e-osvos`, Mask R-CNN, first trained and then meta-trained (S4).

Parent: an ordinary training, in which every object of a generated clip is one to be found. Then tasks of one object
each: five steps of fine-tuning on one frame, after which two other frames are to be right (S4-E4); what changes
is where the steps begin and how long each neuron's are. The parent finds everything, the steps make it forget all but
one object.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.func import functional_call
from tqdm import tqdm

from vosnb import creatures
from vosnb.features import Device, Weights, save_weights, to_image
from vosnb.methods.mask_rcnn import MaskRCNN
from vosnb.methods.meta import PER, MetaLearner, Task, TaskSet, learning_rates, load_learner
from vosnb.paths import ROOT
from vosnb.settings import Count, Seed, checked
from vosnb.training.loop import begin, descend, fit, kept, prepare
from vosnb.training.meta import DECAY, JITTER, RATES_RATE, START_RATE, TESTS, T, tasks_of

SIZE, CLIPS = 128, 500
FRAMES, DRAWN = 24, 8  # a clip has 24 frames, of which eight are drawn
OBJECTS = 4  # at most, in a clip of the training mixture
PARENT_RATE = 2e-3
PARENT_LOSS = "cross-entropy"  # of masks: the Lovasz hinge refines what can be seen already
TASKS = 4
FIRST_RATE = 0.02  # what the rates begin with: of the parent, the best single one for ten steps


def draw_clip(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Clip n: frames (8, H, W, 3) uint8 and the index masks of all its objects (8, H, W) uint8."""
    r = np.random.default_rng([seed, 6, n])
    times = sorted(r.choice(FRAMES, DRAWN, replace=False).tolist())
    clip = creatures.generate(int(r.integers(2**31)), "train", "train", (SIZE, SIZE), FRAMES, times=times)
    return np.stack(list(clip.frames)), np.stack(list(clip.masks))


def clips(seed: int, count: int, workers: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n, 8, H, W, 3) uint8 and masks (n, 8, 4, H, W) bool, one for each object; kept in build/training/."""

    def draw() -> dict[str, np.ndarray]:
        with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            drawn = pool.map(partial(draw_clip, seed), range(count), chunksize=8)
            frames, masks = map(np.stack, zip(*tqdm(drawn, "drawing clips", total=count), strict=True))
        return {"frames": frames, "masks": masks}

    found = kept(f"e-osvos-clips-{seed}-{count}", draw)
    return found["frames"], found["masks"][:, :, None] == np.arange(1, OBJECTS + 1, dtype=np.uint8)[:, None, None]


def batch_of(frames: np.ndarray, masks: np.ndarray, shown: np.ndarray, seed: int, step: int, batch: int):
    """Frames (B, H, W, 3) uint8 and masks (B, K, H, W) bool, mirrored at random; shown (n, 2): those with an object."""
    r = np.random.default_rng([seed, 7, step])
    parts = []
    for n, t in r.choice(shown, batch, replace=False):
        flip = slice(None, None, r.choice([-1, 1]))
        parts.append((frames[n, t][:, flip], masks[n, t][..., flip]))
    return tuple(np.stack(part) for part in zip(*parts, strict=True))


def train_parent(net, frames, masks, name, steps, batch, seed, resume, device) -> float:
    """Train a Mask R-CNN to find every object; returns the minutes it took."""
    shown = np.argwhere((masks.sum((-2, -1)) > 100).any(-1))
    optimizer = torch.optim.AdamW(net.parameters(), PARENT_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1.0, (i + 1) / 100) * (1 - i / (steps + 1)))
    generator = torch.Generator()

    def batches(done: int):
        return ((step, *batch_of(frames, masks, shown, seed, step, batch)) for step in range(done, steps))

    def learn(step: int, images: np.ndarray, truth: np.ndarray) -> float:
        generator.manual_seed(step)
        loss = net(to_image(images, device), torch.from_numpy(truth).to(device), generator)
        return descend(loss, net, optimizer, schedule)

    net.train()
    return fit(name, {"net": net, "optimizer": optimizer, "schedule": schedule}, batches, learn, steps, resume)


def rcnn_loss(net: MaskRCNN, images, masks, seed: int, theta: dict, t: int = 0) -> torch.Tensor:
    """L_seg of the network with the parameters theta, as `meta.fine_tune` asks for it; the seed shakes true boxes."""
    return functional_call(net, theta, (images, masks, torch.Generator().manual_seed(1000 * seed + t)))


def meta_train(learner: MetaLearner, found: TaskSet, name, steps, seed, resume, device) -> float:
    """Learn where to start and how fast to learn, to first order; returns the minutes it took."""
    groups = learner.groups(START_RATE, RATES_RATE, DECAY)
    optimizer = torch.optim.RAdam(groups, decoupled_weight_decay=True)
    net = learner.net.eval()

    def batches(done: int):
        return ((step, tasks_of(found, seed, step, TASKS, TESTS)) for step in range(done, steps))

    def learn(step: int, tasks: list[Task]) -> float:
        optimizer.zero_grad()
        total = 0.0
        for task in tasks:
            task = Task(*(x.to(device) for x in task))
            inside = partial(rcnn_loss, net, task.train_images, task.train_masks, step)
            outside = partial(rcnn_loss, net, task.test_images, task.test_masks, step)
            loss = learner.test_loss(inside, outside, T) / len(tasks)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        learner.clamp()
        return total

    return fit(name, {"learner": learner, "optimizer": optimizer}, batches, learn, steps, resume)


@checked
def train(
    steps: Count = 400,
    parent_steps: Count = 2500,
    norm: str = "group",
    loss: str = "lovasz",
    learn: str = "neuron",
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: Device = None,
    count: Count = CLIPS,
    batch: Count = 4,
    start_from: Weights | None = None,
) -> Path:
    """Train the parent, meta-train from it, and write the weights; those of the parent are kept beside checkpoints.

    steps, parent_steps, batch: of meta-training, of the parent, and the parent's images in a step. norm, loss: of
    `MaskRCNN`. learn: rates, "one", "layer" or "neuron". count: of clips. start_from: the weights of a parent, which is
    then not trained.
    Raises FileNotFoundError when there is nothing to resume, ValueError for settings that do not exist.
    """
    if learn not in PER:
        raise ValueError(f"learn={learn!r} is unknown: choose from {', '.join(PER)}.")
    net = MaskRCNN(norm, loss)
    out = begin("e-osvos", out, resume, "{}-parent.safetensors", "{}.pt", "{}-parent.pt")
    if start_from is not None:
        load_learner(net, start_from)  # wrong ones are told now
    device = prepare(seed, device)
    folder = ROOT / "build" / "training"
    parent, checkpoint = folder / f"{out.stem}-parent.safetensors", folder / f"{out.stem}.pt"
    if not resume:
        checkpoint.unlink(missing_ok=True)
        parent.unlink(missing_ok=True)
    frames, masks = clips(seed, count)
    if start_from is None and not parent.exists():
        first = MaskRCNN(norm, PARENT_LOSS).to(device)
        minutes = train_parent(first, frames, masks, parent.stem, parent_steps, batch, seed, resume, device)
        write(first, parent, first, seed=seed, steps=parent_steps, minutes=f"{minutes:.1f}")
    net = load_learner(net, start_from or parent).net.to(device)
    rates = learning_rates(dict(net.named_parameters()), learn, FIRST_RATE, JITTER, np.random.default_rng([seed, 7]))
    learner = MetaLearner(net, rates)
    resume = resume and checkpoint.exists()
    minutes = meta_train(learner, TaskSet(frames, masks), out.stem, steps, seed, resume, device)
    write(learner, out, net, seed=seed, learn=learn, steps=steps, minutes=f"{minutes:.1f}")
    return out


def write(what, path: Path, net: MaskRCNN, **card) -> None:
    """A network, or a learner and its rates, as `load_mask_rcnn` reads them."""
    save_weights(what, path, network=type(net).__name__, settings=json.dumps(net.settings), **card)
