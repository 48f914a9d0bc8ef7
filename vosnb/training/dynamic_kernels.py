"""How the weights of S3's kernels are made: `vosnb train dynamic-kernels`, in stages as in S3 section 3.1.

All rows of its table 2 begin as the shipped matcher and take the same steps on the same samples. Stage 0: one frame
warped and recoloured to three; then four frames of a clip. The first is remembered with its true mask, every later one
is segmented and remembered with the mask that was predicted. Loss: that of the matcher, without the term on affinity:
the keys are trained already.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from vosnb.features import Device, Weights, load_weights, save_weights, to_image
from vosnb.methods.dynamic_kernels import KernelNet, ObjectFeatures
from vosnb.methods.losses import soft_mask_loss
from vosnb.methods.matching import MatchingNet, Query, affinity, read_memory
from vosnb.settings import Count, Seed, checked
from vosnb.training.loop import begin, descend, fast_bfloat16, fit, kept, prepare
from vosnb.training.refinement import draw_clips

CLIPS = 400  # drawn once for each seed
SAME_SPECIES = 0.5  # share of clips with look-alikes: what tells individuals apart is what kernels are for
STATIC_SHARE, STATIC = 0.2, 3  # of the steps; frames of a pseudo-video
TOGETHER = 4  # frames of a clip
TOGETHER_INFORMED = 0.4  # share of samples whose two objects are told where the other one is
LEARNING_RATE, MATCHER_RATE = 5e-3, 5e-4  # of what is new, and of what has been trained
KERNELS = {"none": (), "global": ("global",), "local": ("local",), "both": ("global", "local")}


def name_of(kernels: str, aspp: bool, shallow: bool = False) -> str:
    """The tracker, and the weights, of a row of table 2; shallow: the other backbone of table 3's ensemble."""
    row = "kernels" + (f"-{kernels}" if kernels != "both" else "") + ("+aspp" if aspp else "")
    return row + ("-shallow" if shallow else "")


def clips(seed: int, count: int, workers: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n, 8, H, W, 3) uint8 and masks (n, 8, 2, H, W) bool; kept in build/training/."""

    def draw() -> dict[str, np.ndarray]:
        frames, masks = draw_clips(seed, count, workers, same_species=SAME_SPECIES)
        return {"frames": frames, "masks": np.packbits(masks, -1)}

    found = kept(f"clips-{seed}-{count}-{SAME_SPECIES}", draw)
    return found["frames"], np.unpackbits(found["masks"], -1).astype(bool)


def pseudo_video(frame: np.ndarray, masks: np.ndarray, n: int, r: np.random.Generator):
    """One frame (H, W, 3) and masks (2, H, W), warped and recoloured n times: (n, H, W, 3) and (n, 2, H, W).

    An affine map about the centre, smooth displacements on top of it (5 x 5 of them, interpolated), and a gain and an
    offset for each channel. What lies outside is mirrored.
    """
    H, W = frame.shape[:2]
    frames, labels = [], []
    for _ in range(n):
        y, x = np.mgrid[:H, :W].astype(np.float32) - np.float32([[[H / 2]], [[W / 2]]])
        A = (np.eye(2) + r.uniform(-0.2, 0.2, (2, 2))) @ np.diag([r.choice([-1, 1]), 1])
        shift = np.stack(
            [cv2.resize(r.normal(0, 0.02 * W, (5, 5)), (W, H), interpolation=cv2.INTER_CUBIC) for _ in "xy"]
        )
        at = np.tensordot(A, [x, y], 1) + shift + r.uniform(-0.1, 0.1, (2, 1, 1)) * W
        at_x, at_y = (at + np.array([W / 2, H / 2])[:, None, None]).astype(np.float32)
        warped = cv2.remap(frame, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        colours = warped * r.uniform(0.8, 1.2, 3) + r.uniform(-25, 25, 3)
        frames.append(colours.clip(0, 255).astype(np.uint8))
        moved = cv2.remap(
            masks.transpose(1, 2, 0).astype(np.uint8), at_x, at_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
        )
        labels.append(moved.transpose(2, 0, 1) > 0)
    return np.stack(frames), np.stack(labels)


def batch_of(frames: np.ndarray, masks: np.ndarray, seed: int, step: int, batch: int, static: bool):
    """Frames (T, B, H, W, 3) uint8, masks (T, B, 2, H, W) bool, and whether the two objects know of each other (B,)."""
    r = np.random.default_rng([seed, 5, step])
    samples = []
    for n in r.integers(0, len(frames), batch):
        if static:
            t = r.integers(frames.shape[1])
            samples.append(pseudo_video(frames[n, t], masks[n, t], STATIC, r))
        else:
            times = np.sort(r.permutation(frames.shape[1])[:TOGETHER])
            flip = slice(None, None, r.choice([-1, 1]))
            samples.append((frames[n, times][:, :, flip], masks[n, times][..., flip]))
    images, truth = (np.stack(part, 1) for part in zip(*samples, strict=True))
    apart = ~(truth[:, :, 0] & truth[:, :, 1]).any((0, 2, 3))  # not one object twice
    return images, truth, apart & (r.random(batch) < TOGETHER_INFORMED)


def sample_loss(net: KernelNet, images: torch.Tensor, masks: torch.Tensor, together: torch.Tensor) -> torch.Tensor:
    """The mean loss of frames 1, 2, ...: images (T, B, 3, H, W), masks (T, B, 2, H, W) float, together (B,) bool."""
    T, B = images.shape[:2]
    twice = images.repeat_interleave(2, 1)  # two objects a sample, side by side in the batch
    truth = masks.flatten(1, 2)[:, :, None]
    informed = together.repeat_interleave(2)[:, None, None, None]
    maps = net.encode_query(images[1:].flatten(0, 1))
    queries = map(Query, *(x.unflatten(0, (T - 1, B)).repeat_interleave(2, 1) for x in maps))
    memory, features, mask, losses = [], ObjectFeatures(), truth[0], []
    for image, query, target in zip(twice[:-1], queries, truth[1:], strict=True):
        others = mask.unflatten(0, (B, 2)).flip(1).flatten(0, 1) * informed
        memory.append(net.remember(image, mask, others, features))
        keys, values = (torch.cat(parts, 2).float() for parts in zip(*memory, strict=True))
        with torch.autocast(images.device.type, enabled=False):  # a softmax over the memory deserves its digits
            read = read_memory(affinity(query.key.flatten(2).float(), keys), values)
        logits = net.decode(query, read.to(query.value.dtype), net.write(features.globally, features.locally)).float()
        losses.append(soft_mask_loss(logits, target))
        mask = torch.sigmoid(2 * logits.detach())  # what soft aggregation makes of one object's probability
    return torch.stack(losses).mean()


@checked
def train(
    kernels: str = "both",
    aspp: bool = False,
    shallow: bool = False,
    steps: Count = 280,
    batch: Count = 4,
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: Device = None,
    count: Count = CLIPS,
    start_from: Weights = "matching",
) -> Path:
    """Train a row of table 2 and write its weights, by default those of the tracker of that name.

    kernels: "none", "global", "local" or "both". shallow: as for `vosnb.features.Backbone`. count: of clips.
    start_from: name or file of the matcher's weights.
    Raises FileNotFoundError when there is nothing to resume, ValueError for unknown kernels.
    """
    if kernels not in KERNELS:
        raise ValueError(f"kernels={kernels!r} are unknown: choose from {', '.join(KERNELS)}.")
    out = begin(name_of(kernels, aspp, shallow), out, resume)
    device = prepare(seed, device)
    net = KernelNet(KERNELS[kernels], aspp, shallow=shallow).begin_as(load_weights(MatchingNet(), start_from))
    frames, masks = clips(seed, count)
    net.to(device, memory_format=torch.channels_last).eval()  # few frames, alike: normalised by what is known of many
    learned = dict(net.named_parameters())
    new = [learned.pop(name) for name in list(learned) if name.startswith(("generator.", "aspp."))]
    groups = [{"params": list(learned.values()), "lr": MATCHER_RATE}, {"params": new, "lr": LEARNING_RATE}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1.0, (i + 1) / 20) * (1 - i / (steps + 1)))

    def batches(done: int):
        static = int(steps * STATIC_SHARE)
        return (batch_of(frames, masks, seed, step, batch, step < static) for step in range(done, steps))

    def learn(images: np.ndarray, truth: np.ndarray, together: np.ndarray) -> float:
        targets, informed = torch.from_numpy(truth).float().to(device), torch.from_numpy(together).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device)):
            loss = sample_loss(net, to_image(images, device), targets, informed)
        return descend(loss, net, optimizer, schedule)

    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    minutes = fit(out.stem, parts, batches, learn, steps, resume)
    card = {"network": "KernelNet", "settings": json.dumps(net.settings), "seed": seed, "steps": steps, "batch": batch}
    save_weights(net, out, **card, minutes=f"{minutes:.0f}")
    return out
