"""How `frtm.safetensors` and `base-net.safetensors` are made: `vosnb train refinement`, `vosnb train base-net`.

Generated clips are drawn once; the backbone is that of the matcher, frozen. S1 section 3.3: a target model is learned
on the reference frame alone, and then R on other frames of the clip, with what it says there. The target models do not
depend on R, so that they are learned once, and their scores kept (build/training/refinement-clips.npz).

Both networks see the same clips, frames and steps, with the same loss (cross-entropy, as in the paper, and half a soft
IoU, as for the matcher), so that table 1 compares methods and not trainings.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from vosnb import creatures
from vosnb.features import Backbone, Device, load_weights, save_weights, to_image
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.losses import soft_mask_loss
from vosnb.methods.matching import MatchingNet
from vosnb.methods.refinement import BaseNet, RefinementNet, TargetFeatures, backbone_maps
from vosnb.methods.target_model import Settings, TargetModel
from vosnb.settings import Count, Seed, checked
from vosnb.training.loop import begin, descend, fit, kept, prepare

SIZE = 128
CLIPS = 500
FRAMES, DRAWN = 24, 8  # a clip has 24 frames, of which eight are drawn; the first of these is the reference
OBJECTS = 2  # of each clip
TARGET = Settings(hidden=32, iterations=(5, 10, 10, 10), regularisation=(100.0, 100.0), squared=False)
AUGMENTED = 8  # images that a target model is learned on
LEARNING_RATE, LATER = 1e-3, 1e-4  # the second for the last third of the steps (S1: 120 and 60 epochs)
WHITENED_ON = 100  # clips


def backbone(device="cpu") -> Backbone:
    """The matcher's query encoder, frozen."""
    return load_weights(MatchingNet(), "matching").query_encoder.requires_grad_(False).to(device)


def draw_clip(seed: int, n: int, **knobs) -> tuple[np.ndarray, np.ndarray]:
    """Clip n: frames (8, H, W, 3) uint8 and the masks of two objects (8, 2, H, W) bool, forwards or backwards.

    knobs: fields of `creatures.Knobs` to turn in the training mixture.
    """
    r = np.random.default_rng([seed, 2, n])
    times = sorted(r.choice(FRAMES, DRAWN, replace=False).tolist())
    clip = creatures.generate(int(r.integers(2**31)), "train", "train", (SIZE, SIZE), FRAMES, times=times, **knobs)
    frames, masks = np.stack(list(clip.frames)), np.stack(list(clip.masks))
    if r.random() < 0.3:
        frames, masks = frames[::-1], masks[::-1]
    there = [k for k in np.unique(masks[0]) if k > 0 and (masks[0] == k).mean() > 0.005] or [1]
    chosen = r.permutation(there)
    targets = np.stack([masks == chosen[k % len(chosen)] for k in range(OBJECTS)], 1)
    return np.ascontiguousarray(frames), np.ascontiguousarray(targets)


def draw_clips(seed: int, count: int, workers: int = 2, **knobs) -> tuple[np.ndarray, np.ndarray]:
    """Clips 0 .. count - 1 of `draw_clip`: frames (n, 8, H, W, 3) uint8 and masks (n, 8, 2, H, W) bool."""
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        drawn = pool.map(partial(draw_clip, seed, **knobs), range(count), chunksize=8)
        frames, masks = map(np.stack, zip(*tqdm(drawn, "drawing clips", total=count), strict=True))
    return frames, masks


def score_clip(features: TargetFeatures, encoder: Backbone, frames, masks, seed: int):
    """What target models learned on frame 0 say of all frames: (8, 2, h, w) float16."""
    x, scores = features(backbone_maps(encoder, to_image(frames, "cpu"))), []
    for k in range(masks.shape[1]):
        if masks[0, k].any():
            images, labels = augment_first_frame(frames[0], masks[0, k], AUGMENTED, seed)
            D = TargetModel(TARGET)
            seen = features(backbone_maps(encoder, to_image(images, "cpu")))
            D.start(seen, torch.from_numpy(labels)[:, None].float())
            scores.append(D.scores(x)[:, 0])
        else:
            scores.append(torch.zeros(x.shape[0], *x.shape[-2:]))
    return torch.stack(scores, 1).half().numpy()


def clips(seed: int, count: int, workers: int = 2) -> dict[str, np.ndarray]:
    """Frames (n, 8, H, W, 3), masks (n, 8, 2, H, W), scores (n, 8, 2, h, w), and the whitening's mean and matrix.

    Kept in build/training/, and made anew when anything that they depend on has changed.
    """

    def draw() -> dict[str, np.ndarray]:
        frames, masks = draw_clips(seed, count, workers)
        encoder, features = backbone(), TargetFeatures()
        cells = [features.together(backbone_maps(encoder, to_image(f, "cpu"))) for f in frames[:WHITENED_ON, :2]]
        features.whiten.fit(torch.cat(cells).movedim(1, -1).flatten(0, -2))
        score = partial(score_clip, features, encoder)
        with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            scores = np.stack(list(tqdm(pool.map(score, frames, masks, range(count)), "target models", total=count)))
        found = {"frames": frames, "masks": masks, "scores": scores}
        return found | {"mean": features.whiten.mean.numpy(), "matrix": features.whiten.matrix.numpy()}

    return kept("refinement-clips", draw, key=repr((seed, count, SIZE, TARGET, AUGMENTED)))


def batch_of(found: dict[str, np.ndarray], seed: int, step: int, batch: int):
    """Of `batch` objects: reference image and mask, another frame of the clip, its mask, and D's scores there."""
    r = np.random.default_rng([seed, 3, step])
    n, t, k = (r.integers(low, high, batch) for low, high in ((0, len(found["frames"])), (1, DRAWN), (0, OBJECTS)))
    flip = r.random() < 0.5
    parts = [
        found["frames"][n, 0],
        found["masks"][n, 0, k],
        found["frames"][n, t],
        found["masks"][n, t, k],
        found["scores"][n, t, k],
    ]
    if flip:
        parts = [np.ascontiguousarray(part[:, :, ::-1]) for part in parts]
    return parts


def sample_loss(net: RefinementNet | BaseNet, encoder: Backbone, first, first_mask, frame, mask, scores, device):
    """The loss of a batch, as `batch_of` gives it. D only has two parameters, which are learned beside R's."""
    maps = backbone_maps(encoder, to_image(frame, device))
    truth, size = torch.from_numpy(mask)[:, None].float().to(device), mask.shape[-2:]
    if isinstance(net, BaseNet):
        x = net.features(backbone_maps(encoder, to_image(first, device)))
        target = net.remember(x, torch.from_numpy(first_mask)[:, None].float().to(device))
        return soft_mask_loss(net(maps, target, size), truth)
    s = torch.from_numpy(scores)[:, None].float().to(device)
    return soft_mask_loss(net(maps, s, size), truth) + soft_mask_loss(net.coarse(s, size), truth)


NETWORKS = {"refinement": RefinementNet, "base-net": BaseNet}


@checked
def train(
    what: Literal["refinement", "base-net"] = "refinement",
    steps: Count = 1500,
    batch: Count = 8,
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: Device = None,
    count: Count = CLIPS,
) -> Path:
    """Train "refinement" or "base-net" and write its weights; under half an hour on two cores by default.

    count: of clips. Raises FileNotFoundError when there is nothing to resume.
    """
    out = begin(what, out, resume)
    device = prepare(seed, device)
    found = clips(seed, count)
    net, encoder = NETWORKS[what]().to(device), backbone(device)
    net.features.whiten.mean.copy_(torch.from_numpy(found["mean"]))
    net.features.whiten.matrix.copy_(torch.from_numpy(found["matrix"]))
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, weight_decay=1e-5, amsgrad=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2 * steps // 3], LATER / LEARNING_RATE)

    def batches(done: int):
        return (batch_of(found, seed, step, batch) for step in range(done, steps))

    def learn(*parts) -> float:
        return descend(sample_loss(net, encoder, *parts, device), net, optimizer, schedule)

    net.train()
    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    minutes = fit(out.stem, parts, batches, learn, steps, resume)
    card = {"network": type(net).__name__, "seed": seed, "steps": steps, "batch": batch, "minutes": f"{minutes:.0f}"}
    save_weights(net, out, **card)
    return out
