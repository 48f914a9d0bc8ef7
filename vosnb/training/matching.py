"""How `data/weights/matching.safetensors` is made: `vosnb train matching`.

Samples are three frames of a generated clip: remember the first with its true mask, segment the second, remember it
with the mask just predicted, segment the third (STM's recipe). Loss: cross-entropy, half a soft IoU, and half a
cross-entropy on the mask that affinity alone reads, h_i. Without that last term the keys learn next to nothing in the
minutes that we have.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from vosnb import creatures
from vosnb.features import STRIDE, load_weights, save_weights, to_image
from vosnb.methods.context import object_heatmap
from vosnb.methods.losses import soft_mask_loss
from vosnb.methods.matching import MatchingNet, affinity, read_memory
from vosnb.paths import WEIGHTS
from vosnb.training.loop import descend, fast_bfloat16, fit, prepare

SIZE = 128
SMALL, SMALL_SHARE = 96, 0.6  # the first steps see smaller pictures: nearly twice as many in the same time
FRAMES = 24  # of the clip from which a sample takes three
DRAWN = 8  # of these are drawn at all: a clip costs about as much to set up as eight frames do to draw
REUSE = 8  # samples that a clip serves, spread over the POOL newest clips
POOL = 400
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

    def __len__(self) -> int:
        return self.count

    def _clip(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, 0, n])
        times = sorted(rng.choice(FRAMES, DRAWN, replace=False).tolist())
        seed = int(rng.integers(2**31))
        clip = creatures.generate(seed, "train", "train", (SIZE, SIZE), FRAMES, times=times, **self.knobs)
        return np.stack(list(clip.frames)), np.stack(list(clip.masks))

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray, bool]:
        rng = np.random.default_rng([self.seed, 1, i])
        newest = i // REUSE
        frames, masks = self.clip(int(rng.integers(max(0, newest - POOL), newest + 1)))
        order = sorted(rng.choice(DRAWN, 3, replace=False), reverse=bool(rng.random() < 0.3))
        frames, masks = frames[order], masks[order]
        if i < self.small:
            frames = np.stack([cv2.resize(f, (SMALL, SMALL), interpolation=cv2.INTER_AREA) for f in frames])
            masks = np.stack([cv2.resize(m, (SMALL, SMALL), interpolation=cv2.INTER_NEAREST_EXACT) for m in masks])
        if rng.random() < 0.5:
            frames, masks = frames[:, :, ::-1], masks[:, :, ::-1]
        if rng.random() < 0.3:
            frames = frames[..., rng.permutation(3)]
        there = [k for k in np.unique(masks[0]) if k > 0 and (masks[0] == k).mean() > 0.005] or [1]
        chosen = rng.permutation(there)[:2]
        targets = np.stack([masks == k for k in (chosen[0], chosen[-1])], 1)
        together = len(there) > 1 and rng.random() < 0.4
        return np.ascontiguousarray(frames), targets, together


def worker_init(_: int) -> None:
    """One thread a worker: they share two cores with the training itself."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def heatmap_loss(A: torch.Tensor, memory_mask: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the mask that affinity alone reads, at the resolution of the cells; masks (B, 1, H, W)."""
    h = object_heatmap(A, F.avg_pool2d(memory_mask, STRIDE).flatten(1)).clamp(1e-4, 1 - 1e-4)
    return F.binary_cross_entropy(h, F.avg_pool2d(target, STRIDE).flatten(1))


def sample_loss(net: MatchingNet, images: torch.Tensor, masks: torch.Tensor, together: torch.Tensor) -> torch.Tensor:
    """The loss of a batch: images (3, B, 3, H, W), masks (3, B, 2, H, W) float, together (B,) bool."""
    B = images.shape[1]
    twice = images.repeat_interleave(2, 1)  # two objects a sample, side by side in the batch
    truth = masks.flatten(1, 2)[:, :, None]
    informed = together.repeat_interleave(2)[:, None, None, None]

    def others(mask: torch.Tensor) -> torch.Tensor:
        return mask.unflatten(0, (B, 2)).flip(1).flatten(0, 1) * informed

    at2, at4, at8 = net.query_encoder(images[1:].flatten(0, 1))
    maps = [
        x.unflatten(0, (2, B)).repeat_interleave(2, 1) for x in (net.query_key(at8), net.query_value(at8), at4, at2)
    ]

    def answer(step: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        key, value, at4, at2 = (x[step] for x in maps)
        with torch.autocast(key.device.type, enabled=False):  # a softmax over the memory deserves its digits
            A = affinity(key.flatten(2).float(), keys.float())
            read = read_memory(A, values.float()).view(value.shape)
        return net.decoder(torch.cat([value, read.to(value.dtype)], 1), at4, at2).float(), A

    keys, values = net.encode_memory(twice[0], truth[0], others(truth[0]))
    first, A = answer(0, keys, values)
    guess = torch.sigmoid(2 * first.detach())  # what soft aggregation makes of one object's probability
    more_keys, more_values = net.encode_memory(twice[1], guess, others(guess))
    second, _ = answer(1, torch.cat([keys, more_keys], 2), torch.cat([values, more_values], 2))
    masks_loss = soft_mask_loss(first, truth[1]) + soft_mask_loss(second, truth[2])
    with torch.autocast(images.device.type, enabled=False):
        return masks_loss + heatmap_loss(A, truth[0], truth[1])


def train(
    steps: int = 1700,
    batch: int = 6,
    seed: int = 0,
    out: str | Path = WEIGHTS / "matching.safetensors",
    resume: bool = False,
    workers: int = 1,
    device: str | torch.device | None = None,
    start_from: str | Path | None = None,
    learning_rate: float = LEARNING_RATE,
    **knobs,
) -> Path:
    """Train the matcher and write its weights; under half an hour on two cores for the default number of steps.

    The shipped weights had more of them: data/weights/README.md. A checkpoint is kept under build/training/ every
    250 steps; `resume=True` goes on from it and ends where the uninterrupted run would have ended.
    start_from: name or file of weights to begin with. knobs: turned in the training mixture, as for `Samples`.
    Raises FileNotFoundError when there is nothing to resume, KnobError for a knob that does not exist.
    """
    creatures.TRAINING.turned(**knobs)  # wrong ones are told now, not by a worker
    device = prepare(seed, device)
    net = MatchingNet().to(device, memory_format=torch.channels_last)
    if start_from:
        load_weights(net, start_from)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING), use_buffers=True)
    optimizer = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1.0, (i + 1) / 50) * (1 - i / (steps + 1)) ** 0.9 + 0.01
    )
    parts = {"net": net, "average": average, "optimizer": optimizer, "schedule": schedule}
    samples = Samples(seed, steps * batch, small=int(steps * SMALL_SHARE) * batch, **knobs)
    ahead = {"worker_init_fn": worker_init, "prefetch_factor": 8} if workers else {}

    def batches(done: int) -> DataLoader:
        rest = torch.utils.data.Subset(samples, range(done * batch, steps * batch))
        return DataLoader(rest, batch, num_workers=workers, **ahead)

    def learn(frames: torch.Tensor, masks: torch.Tensor, together: torch.Tensor) -> float:
        images = to_image(frames.numpy(), device).transpose(0, 1)
        with torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device)):
            loss = sample_loss(net, images, masks.float().transpose(0, 1).to(device), together.to(device))
        value = descend(loss, net, optimizer, schedule)
        average.update_parameters(net)
        return value

    net.train()
    minutes = fit(Path(out).stem, parts, batches, learn, steps, resume)
    card = {"network": "MatchingNet", "seed": seed, "steps": steps, "batch": batch, "minutes": f"{minutes:.0f}"}
    if start_from:
        card["start_from"] = Path(start_from).name
    card |= {name: str(value) for name, value in knobs.items()}
    save_weights(average.module, Path(out), **card)
    return Path(out)
