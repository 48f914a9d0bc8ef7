"""How `matching-photos` and `matching` are made: `vosnb train matching`, `--backbone creatures` for the second.

Samples are three frames of a generated clip: remember the first with its true mask, segment the second, remember it
with the mask just predicted, segment the third (STM's recipe). Loss: cross-entropy, half a soft IoU, and half a
cross-entropy on the mask that affinity alone reads, h_i. Without that last term the keys learn next to nothing in the
minutes that we have.

On the backbone that learned from photographs (`--backbone photos`, the default) keys begin as its own features, so that
they need no such help; and a place says nothing: each of the three frames is a window of its own, cut from a larger
frame. With one window for all three, as for the old network, the matcher learns that objects stay where they are.
"""

from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from vosnb import creatures
from vosnb.efficientnet import Maps, load_photographs
from vosnb.features import STRIDE, Device, Weights, load_weights, save_weights, to_image
from vosnb.methods.context import object_heatmap
from vosnb.methods.losses import soft_mask_loss
from vosnb.methods.matching import MatchingNet, PhotographMatchingNet, Query, affinity, read_memory
from vosnb.settings import Count, NotNegative, Positive, Seed, Steps, checked
from vosnb.training.loop import begin, descend, fast_bfloat16, fit, prepare

SIZE = 128
SMALL, SMALL_SHARE = (
    96,
    {"photos": 0.5, "creatures": 0.6},
)  # the first steps see smaller pictures: twice as many a minute
FRAMES = 24  # of the clip from which a sample takes three
DRAWN = 8  # of these are drawn at all: a clip costs about as much to set up as eight frames do to draw
REUSE = 8  # samples that a clip serves, spread over the POOL newest clips
POOL = 400
LARGE, WINDOW, SMALL_WINDOW = 288, 208, 128  # frames on photographs, what is cut from them, and in the first steps
ZOOM = (0.8, 1.25)  # of all three windows of a sample
STEPS, BATCH = {"photos": 800, "creatures": 1700}, {"photos": 4, "creatures": 6}  # by backbone
LEARNING_RATE = 1e-3
AVERAGING = 0.998  # of the weights over the last steps: what is saved is the running mean


class Samples(Dataset):
    """Sample i: three frames (3, H, W, 3) uint8, masks (3, 2, H, W) bool of two objects, and whether each of the two
    is told where the other one is. A pure function of seed and i, so that a resumed run sees what it would have seen.
    """

    def __init__(self, seed: int, count: int, small: int = 0, **knobs):
        """count: of all samples; small: how many of them, the first ones, are shrunk to SMALL pixels.

        knobs: fields of `creatures.Knobs` to turn in the training mixture, e.g. `same_species=0` for no look-alikes.
        """
        self.seed, self.count, self.small, self.knobs = seed, count, small, knobs
        self.clip = lru_cache(POOL + 1)(self._clip)

    size = property(lambda self: SIZE)  # of the frames that are drawn

    def __reduce__(self):  # to a worker, without the clips
        return partial(type(self), **self.knobs), (self.seed, self.count, self.small)

    def __len__(self) -> int:
        return self.count

    def _clip(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, 0, n])
        times = sorted(rng.choice(FRAMES, DRAWN, replace=False).tolist())
        seed = int(rng.integers(2**31))
        clip = creatures.generate(seed, "train", "train", (self.size, self.size), FRAMES, times=times, **self.knobs)
        return np.stack(list(clip.frames)), np.stack(list(clip.masks))

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray, bool]:
        rng = np.random.default_rng([self.seed, 1, i])
        newest = i // REUSE
        frames, masks = self.clip(int(rng.integers(max(0, newest - POOL), newest + 1)))
        order = sorted(rng.choice(DRAWN, 3, replace=False), reverse=bool(rng.random() < 0.3))
        frames, masks = self._cut(frames[order], masks[order], i < self.small, rng)
        if rng.random() < 0.5:
            frames, masks = frames[:, :, ::-1], masks[:, :, ::-1]
        if rng.random() < 0.3:
            frames = frames[..., rng.permutation(3)]
        there = [k for k in np.unique(masks[0]) if k > 0 and (masks[0] == k).mean() > 0.005] or [1]
        chosen = rng.permutation(there)[:2]
        targets = np.stack([masks == k for k in (chosen[0], chosen[-1])], 1)
        together = len(there) > 1 and rng.random() < 0.4
        return np.ascontiguousarray(frames), targets, together

    def _cut(self, frames, masks, small: bool, rng) -> tuple[np.ndarray, np.ndarray]:
        return shrink(frames, masks, SMALL) if small else (frames, masks)


class Windows(Samples):
    """Samples whose three frames are each a window of its own, so that nothing stays where it was."""

    size = property(lambda self: LARGE)

    def _cut(self, frames, masks, small, rng):
        side = min(round(WINDOW / rng.uniform(*ZOOM)), LARGE)
        target = rng.permutation([k for k in np.unique(masks[0]) if k > 0] or [1])[0]
        cut = [window(frame, mask, target, side, rng) for frame, mask in zip(frames, masks, strict=True)]
        return shrink(*zip(*cut, strict=True), SMALL_WINDOW if small else WINDOW)


def window(frame: np.ndarray, mask: np.ndarray, target: int, side: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """A square of this side from a frame and its mask: the first of four places that keeps most of the target, or the
    best of them."""
    whole, best = np.count_nonzero(mask == target), None
    for _ in range(4):
        y, x = (int(rng.integers(n - side + 1)) for n in mask.shape)
        cut = frame[y : y + side, x : x + side], mask[y : y + side, x : x + side]
        kept = np.count_nonzero(cut[1] == target)
        if best is None or kept > best[0]:
            best = kept, cut
        if kept > 0.8 * whole:
            break
    return best[1]


def shrink(frames, masks, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames and masks brought to squares of this side."""
    frames = np.stack([cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames])
    return frames, np.stack([cv2.resize(m, (side, side), interpolation=cv2.INTER_NEAREST_EXACT) for m in masks])


def worker_init(_: int) -> None:
    """One thread a worker: they share two cores with the training itself."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def heatmap_loss(A: torch.Tensor, memory_mask: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the mask that affinity alone reads, at the resolution of the cells; masks (B, 1, H, W)."""
    h = object_heatmap(A, F.avg_pool2d(memory_mask, STRIDE).flatten(1)).clamp(1e-4, 1 - 1e-4)
    return F.binary_cross_entropy(h, F.avg_pool2d(target, STRIDE).flatten(1))


def sample_loss(
    net: MatchingNet, images: torch.Tensor, masks: torch.Tensor, together: torch.Tensor, see=None, heatmap: float = 1.0
) -> torch.Tensor:
    """The loss of a batch: images (3, B, 3, H, W), masks (3, B, 2, H, W) float, together (B,) bool.

    see: makes of images (3 B, ..) what the network takes, by default they themselves. heatmap: weight of that loss.
    """
    B = images.shape[1]
    seen = images.flatten(0, 1) if see is None else see(images.flatten(0, 1))
    first, later = (of_all(seen, lambda x, part=part: x[part]) for part in (slice(0, 2 * B), slice(B, None)))
    twice = [  # two objects a sample, side by side in the batch
        of_all(first, lambda x, t=t: x.unflatten(0, (2, B))[t].repeat_interleave(2, 0)) for t in (0, 1)
    ]
    truth = masks.flatten(1, 2)[:, :, None]
    informed = together.repeat_interleave(2)[:, None, None, None]

    def others(mask: torch.Tensor) -> torch.Tensor:
        return mask.unflatten(0, (B, 2)).flip(1).flatten(0, 1) * informed

    at2, at4, at8 = net.query_encoder(later)
    maps = [
        x.unflatten(0, (2, B)).repeat_interleave(2, 1) for x in (net.query_key(at8), net.query_value(at8), at4, at2)
    ]

    def answer(step: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        query = Query(*(x[step] for x in maps))
        with torch.autocast(query.key.device.type, enabled=False):  # a softmax over the memory deserves its digits
            A = affinity(query.key.flatten(2).float(), keys.float())
            read = read_memory(A, values.float())
        return net.decode(query, read.to(query.value.dtype)).float(), A

    keys, values = net.encode_memory(twice[0], truth[0], others(truth[0]))
    first, A = answer(0, keys, values)
    guess = torch.sigmoid(2 * first.detach())  # what soft aggregation makes of one object's probability
    more_keys, more_values = net.encode_memory(twice[1], guess, others(guess))
    second, _ = answer(1, torch.cat([keys, more_keys], 2), torch.cat([values, more_values], 2))
    masks_loss = soft_mask_loss(first, truth[1]) + soft_mask_loss(second, truth[2])
    with torch.autocast(images.device.type, enabled=False):
        return masks_loss + heatmap * heatmap_loss(A, truth[0], truth[1]) if heatmap else masks_loss


def of_all(seen: torch.Tensor | Maps, change) -> torch.Tensor | Maps:
    """An image, or each of the maps of one, changed."""
    return change(seen) if isinstance(seen, torch.Tensor) else Maps(*map(change, seen))


BACKBONES = {"photos": (PhotographMatchingNet, Windows), "creatures": (MatchingNet, Samples)}


def running_mean(mean: torch.Tensor, new: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
    """A weight's mean over about the last 500 steps, or over the last tenth of the first few thousand."""
    return mean + (new - mean) * max(1 - AVERAGING, 10 / (float(taken) + 10))


@checked
def train(
    steps: Count | None = None,
    batch: Count | None = None,
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    workers: Steps = 1,
    device: Device = None,
    start_from: Weights | None = None,
    learning_rate: Positive = LEARNING_RATE,
    backbone: Literal[*BACKBONES] = "photos",
    heatmap: NotNegative | None = None,
    keys: Literal["features", "random"] = "features",
    keep_every: Count | None = None,
    **knobs,
) -> Path:
    """Train the matcher and write its weights; under half an hour on two cores for the default number of steps.

    The shipped weights had more of them: data/weights/README.md. A checkpoint is kept under build/training/ every
    250 steps; `resume=True` goes on from it and ends where the uninterrupted run would have ended.
    start_from: name or file of weights to begin with. backbone: frozen, from photographs, or learned here from
    creatures. heatmap: weight of the loss on the mask that affinity alone reads; by default 1 on creatures and 0 on
    photographs. keys: where they begin on photographs, as the backbone's own features or at random, so that the
    masks' loss has taught all that they know. keep_every: also write the weights of every n-th step,
    NAME-STEP.safetensors. knobs: turned in the training mixture, as for `Samples`.
    Raises FileNotFoundError when there is nothing to resume, KnobError for a knob that does not exist.
    """
    creatures.TRAINING.turned(**knobs)  # wrong ones are told now, not by a worker
    kind, mixture = BACKBONES[backbone]
    photos = backbone == "photos"
    steps, batch = steps or STEPS[backbone], batch or BATCH[backbone]
    heatmap = (0.0 if photos else 1.0) if heatmap is None else heatmap
    out = begin("matching-photos" if photos else "matching", out, resume)
    device = prepare(seed, device, threads=None if photos else 1)
    see = load_photographs(device).look if photos else None
    net = kind().to(device, memory_format=torch.channels_last)
    if start_from is not None:
        load_weights(net, start_from)
    average = AveragedModel(net, avg_fn=running_mean, use_buffers=True)
    optimizer = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1.0, (i + 1) / 50) * (1 - i / (steps + 1)) ** 0.9 + 0.01
    )
    parts = {"net": net, "average": average, "optimizer": optimizer, "schedule": schedule}
    samples = mixture(seed, steps * batch, small=int(steps * SMALL_SHARE[backbone]) * batch, **knobs)
    ahead = {"worker_init_fn": worker_init, "prefetch_factor": 8} if workers else {}
    card = {"network": kind.__name__, "seed": seed, "steps": steps, "batch": batch, "heatmap": heatmap, "keys": keys}
    if start_from:
        card["start_from"] = Path(start_from).name
    card |= {name: str(value) for name, value in knobs.items()}
    taken = 0

    def batches(done: int) -> DataLoader:
        nonlocal taken
        taken = done
        rest = torch.utils.data.Subset(samples, range(done * batch, steps * batch))
        return DataLoader(rest, batch, num_workers=workers, **ahead)

    def learn(frames: torch.Tensor, masks: torch.Tensor, together: torch.Tensor) -> float:
        nonlocal taken
        images = to_image(frames.numpy(), device).transpose(0, 1)
        masks, together = masks.float().transpose(0, 1).to(device), together.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device)):
            loss = sample_loss(net, images, masks, together, see, heatmap)
        value = descend(loss, net, optimizer, schedule)
        average.update_parameters(net)
        taken += 1
        if keep_every and taken % keep_every == 0 and taken < steps:
            save_weights(average.module, out.with_stem(f"{out.stem}-{taken}"), **card | {"steps": taken})
        return value

    if photos and keys == "features" and not start_from and not resume:
        frames, _, _ = next(iter(batches(0)))
        net.begin_keys(see(to_image(frames.flatten(0, 1).numpy(), device)))
        average.module.load_state_dict(net.state_dict())
    net.train()
    minutes = fit(out.stem, parts, batches, learn, steps, resume)
    save_weights(average.module, out, **card, minutes=f"{minutes:.0f}")
    return out
