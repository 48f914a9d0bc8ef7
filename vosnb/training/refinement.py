"""How S1's offline networks are made: `vosnb train refinement`, `vosnb train base-net`, each for two backbones.

Generated clips are drawn once; the backbone is frozen: the matcher's on creatures, or the one that learned from
photographs, which sees larger frames. S1 section 3.3: a target model is learned on the reference frame alone, and then
R on other frames of the clip, with what it says there. Neither the backbone nor the target models depend on R, so
that maps and scores are computed once, and kept (build/training/refinement-BACKBONE.npz, 2 GB).

Both networks see the same clips, frames and steps, with the same loss (cross-entropy, as in the paper, and half a soft
IoU, as for the matcher), so that table 1 compares methods and not trainings.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from vosnb import creatures
from vosnb.efficientnet import load_photographs
from vosnb.features import Device, load_weights, save_weights, to_image
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.losses import soft_mask_loss
from vosnb.methods.matching import MatchingNet
from vosnb.methods.refinement import OFFLINE, BaseNet, RefinementNet, UntrainedTargetNet, backbone_maps, offline_name
from vosnb.methods.target_model import Settings, TargetModel
from vosnb.settings import Count, Seed, checked
from vosnb.training.loop import begin, descend, fit, kept, prepare

FRAMES, DRAWN = 24, 8  # a clip has 24 frames, of which eight are drawn; the first of these is the reference
OBJECTS = 2  # of each clip
CLEAR = 0.5  # overlap of what D says and the mask: R learns to draw outlines where D is right, not to guess
LEARNING_RATE, LATER = 1e-3, 1e-4  # the second for the last third of the steps (S1: 120 and 60 epochs)
WHITENED_ON = 100  # clips


class Recipe(NamedTuple):
    """What differs between the two backbones.

    side: of the square frames, in pixels. clips: how many. target, augmented: settings of the target models, and the
    images that each is learned on.
    """

    side: int
    clips: int
    target: Settings
    augmented: int


IN_CREATURES = Settings(hidden=32, iterations=(5, 10, 10, 10), regularisation=(100.0, 100.0), squared=False)
IN_PHOTOS = replace(IN_CREATURES, hidden=64, regularisation=(30.0, 30.0))
RECIPES = {
    "creatures": Recipe(128, 500, IN_CREATURES, 8),
    "photos": Recipe(208, 300, IN_PHOTOS, 10),
}


def load_backbone(name: str = "creatures") -> Callable[[torch.Tensor], tuple]:
    """A frozen backbone: the matcher's query encoder, or the one that learned from photographs."""
    if name == "photos":
        return load_photographs().maps
    return load_weights(MatchingNet(), "matching").query_encoder.requires_grad_(False)


def draw_clip(
    seed: int, n: int, side: int | None = None, in_a_row: bool = False, **knobs
) -> tuple[np.ndarray, np.ndarray]:
    """Clip n: square frames (8, H, W, 3) uint8 and the masks of two objects (8, 2, H, W) bool, forwards or backwards.

    side: of the frames, by default what a backbone sees that learned from creatures. in_a_row: frames that follow each
    other. knobs: fields of `creatures.Knobs` to turn in the training mixture.
    """
    side = side or RECIPES["creatures"].side
    r = np.random.default_rng([seed, 2, n])
    times = sorted(r.choice(FRAMES, DRAWN, replace=False).tolist())
    if in_a_row:
        start = int(r.integers(FRAMES - DRAWN + 1))
        times = list(range(start, start + DRAWN))
    clip = creatures.generate(int(r.integers(2**31)), "train", "train", (side, side), FRAMES, times=times, **knobs)
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


def score_clip(net: RefinementNet | UntrainedTargetNet, encoder, recipe: Recipe, frames, masks, seed: int):
    """What target models learned on frame 0 say of all frames, (8, 2, h, w), and the backbone's maps of them, deepest
    first, (8, C, h, w); float16. net: makes features for D."""
    maps, scores = backbone_maps(encoder, to_image(frames, "cpu")), []
    for k in range(masks.shape[1]):
        if not masks[0, k].any():
            scores.append(torch.zeros(len(frames), *maps[0].shape[-2:]))
            continue
        images, labels = augment_first_frame(frames[0], masks[0, k], recipe.augmented, seed)
        first = backbone_maps(encoder, to_image(images, "cpu"))
        if isinstance(net, UntrainedTargetNet):
            net.begin(first)
        D = TargetModel(recipe.target)
        D.start(net.features(first), torch.from_numpy(labels)[:, None].float())
        scores.append(D.scores(net.features(maps))[:, 0])
    return [part.half().numpy() for part in (torch.stack(scores, 1), *maps)]


def clips(seed: int, count: int, backbone: str = "creatures", workers: int = 2) -> dict[str, np.ndarray]:
    """Masks (n, 8, 2, H, W), scores (n, 8, 2, h, w), and the backbone's maps "map0" (deepest), "map1", "map2", each
    (n, 8, C, h, w); on creatures also the whitening's mean and matrix, which on photographs is each clip's own.

    Kept in build/training/, and made anew when anything that they depend on has changed.
    """
    recipe = RECIPES[backbone]

    def draw() -> dict[str, np.ndarray]:
        frames, masks = draw_clips(seed, count, workers, side=recipe.side)
        encoder, found = load_backbone(backbone), {"masks": masks}
        net = RefinementNet() if backbone == "creatures" else UntrainedTargetNet()
        if backbone == "creatures":
            see, whiten = net.features.together, net.features.whiten
            cells = [see(backbone_maps(encoder, to_image(f, "cpu"))) for f in frames[:WHITENED_ON, :2]]
            whiten.fit(torch.cat(cells).movedim(1, -1).flatten(0, -2))
            found |= {"mean": whiten.mean.numpy(), "matrix": whiten.matrix.numpy()}
        score = partial(score_clip, net, encoder, recipe)
        with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            scored = list(tqdm(pool.map(score, frames, masks, range(count)), "target models", total=count))
        names = "scores", *(f"map{d}" for d in range(len(scored[0]) - 1))
        return found | {name: np.stack(parts) for name, parts in zip(names, zip(*scored, strict=True), strict=True)}

    kind = (recipe.side, recipe.target, recipe.augmented)
    return kept(f"refinement-{backbone}", draw, key=repr((seed, count, *kind)))


def clear(found: dict[str, np.ndarray]) -> np.ndarray:
    """(m, 3): clip n, frame t > 0, object k wherever D's scores, cut at one half, and the mask overlap by more than
    CLEAR, in cells. Where D is lost, R could only learn to guess what training clips show."""
    masks, scores = found["masks"], found["scores"]
    h, w = scores.shape[-2:]
    cells = masks.reshape(*masks.shape[:3], h, masks.shape[-2] // h, w, -1).mean((4, 6)) > 0.5
    said = scores > 0.5
    overlap = (cells & said).sum((-2, -1)) / np.maximum((cells | said).sum((-2, -1)), 1)
    overlap[:, 0] = 0  # the first frame is what D learned
    return np.argwhere(overlap > CLEAR)


def batch_of(found: dict[str, np.ndarray], samples: np.ndarray, seed: int, step: int, batch: int):
    """Of `batch` samples (m, 3), clip, frame and object: maps and mask of the clip's first frame, maps, mask and D's
    scores of that frame, each (batch, ..); half of the batches mirrored."""
    r = np.random.default_rng([seed, 3, step])
    n, t, k = samples[r.integers(len(samples), size=batch)].T
    maps = [found[name] for name in sorted(found) if name.startswith("map")]
    parts = [x[n, 0] for x in maps], found["masks"][n, 0, k], [x[n, t] for x in maps], found["masks"][n, t, k]
    parts = *parts, found["scores"][n, t, k]
    return tuple(map(mirrored, parts)) if r.random() < 0.5 else parts


def mirrored(part: np.ndarray | list[np.ndarray]):
    """Left and right changed, of an array (.., W) or of each in a list."""
    return [mirrored(x) for x in part] if isinstance(part, list) else np.ascontiguousarray(part[..., ::-1])


def sample_loss(net: nn.Module, first, first_mask, maps, mask, scores, device):
    """The loss of a batch, as `batch_of` gives it. D only has two parameters, which are learned beside R's."""

    def given(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x).to(device).float()

    maps, truth, size = [given(x) for x in maps], given(mask)[:, None], mask.shape[-2:]
    if isinstance(net, BaseNet):
        target = net.remember(net.features([given(x) for x in first]), given(first_mask)[:, None])
        return soft_mask_loss(net(maps, target, size), truth)
    s = given(scores)[:, None]
    return soft_mask_loss(net(maps, s, size), truth) + soft_mask_loss(net.coarse(s, size), truth)


@checked
def train(
    what: Literal["refinement", "base-net"] = "refinement",
    steps: Count = 1200,
    batch: Count = 8,
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: Device = None,
    count: Count | None = None,
    backbone: Literal[*RECIPES] = "photos",
) -> Path:
    """Train "refinement" or "base-net" and write its weights; about half an hour on two cores by default.

    count: of clips. Raises FileNotFoundError when there is nothing to resume.
    """
    out = begin(offline_name(what, backbone), out, resume)
    device, recipe = prepare(seed, device), RECIPES[backbone]
    found = clips(seed, count or recipe.clips, backbone)
    net, samples = OFFLINE[what][backbone]().to(device), clear(found)
    if backbone == "creatures":
        net.features.whiten.mean.copy_(torch.from_numpy(found["mean"]))
        net.features.whiten.matrix.copy_(torch.from_numpy(found["matrix"]))
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, weight_decay=1e-5, amsgrad=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2 * steps // 3], LATER / LEARNING_RATE)

    def batches(done: int):
        return (batch_of(found, samples, seed, step, batch) for step in range(done, steps))

    def learn(*parts) -> float:
        return descend(sample_loss(net, *parts, device), net, optimizer, schedule)

    net.train()
    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    minutes = fit(out.stem, parts, batches, learn, steps, resume)
    card = {"network": type(net).__name__, "seed": seed, "steps": steps, "batch": batch, "minutes": f"{minutes:.0f}"}
    save_weights(net, out, **card)
    return out
