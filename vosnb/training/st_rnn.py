"""How `st-rnn.safetensors` is made: `vosnb train st-rnn`, in the two steps of S2 section 2.4.1.

Step 1 trains the feature extractor (which begins as the matcher's query encoder) together with the spatial RNN; step 2
keeps it and trains the spatio-temporal RNN, which begins as the spatial one. A sample is four frames of a clip and one
object in them: one frame gives the anchors, the others the two pools. Loss: S2-E4, repaired (`losses.metric_loss`), on
features of length 3: free lengths let it fall without moving anything nearer to anything.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.features import STRIDE, Device, load_weights, save_weights, standardise, to_image
from vosnb.methods.losses import metric_loss
from vosnb.methods.matching import MatchingNet
from vosnb.methods.st_rnn import ContextNet
from vosnb.settings import Count, Seed, checked
from vosnb.training.loop import begin, descend, fit, prepare
from vosnb.training.refinement import draw_clips

CLIPS, TOGETHER = 500, 4  # clips drawn once; frames of a sample
SAME_SPECIES = 0.5  # share of clips with look-alikes, which only context can tell apart
ANCHORS = 40  # cells of a sample
LEARNING_RATE, ENCODER_RATE = 1e-3, 1e-4
LENGTH = 3.0


def clips(seed: int, count: int, workers: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n, 8, H, W, 3) uint8 in the order of time, or all backwards, and masks (n, 8, 2, H, W) of two objects."""
    return draw_clips(seed, count, workers, same_species=SAME_SPECIES)


def batch_of(frames: np.ndarray, masks: np.ndarray, seed: int, step: int, batch: int):
    """Four frames of each of `batch` clips (T, B, H, W, 3), one object's masks (T, B, H, W), and the anchors' frame."""
    r = np.random.default_rng([seed, 4, step])
    chosen = r.integers(0, len(frames), batch)
    times = np.sort(np.stack([r.permutation(frames.shape[1])[:TOGETHER] for _ in chosen]), 1)
    objects = r.integers(0, masks.shape[2], batch)
    images = np.stack([frames[n, t] for n, t in zip(chosen, times, strict=True)], 1)
    truth = np.stack([masks[n, t, k] for n, t, k in zip(chosen, times, objects, strict=True)], 1)
    if r.random() < 0.5:
        images, truth = images[..., ::-1, :], truth[..., ::-1]
    return np.ascontiguousarray(images), np.ascontiguousarray(truth), int(r.integers(TOGETHER))


def sample_loss(y: torch.Tensor, masks: np.ndarray, anchor: int, kind: str, seed: int) -> torch.Tensor | None:
    """The loss of features y (T, B, C, h, w) on masks (T, B, H, W) bool; anchor: the frame that gives the anchors.

    None where no clip shows its object both in that frame and in another.
    """
    y = F.normalize(y, dim=2) * LENGTH
    cover = F.avg_pool2d(torch.from_numpy(masks).float().to(y.device), STRIDE)
    others = [t for t in range(len(y)) if t != anchor]
    generator, losses = torch.Generator().manual_seed(seed), []
    for b in range(y.shape[1]):
        cells = y[:, b].movedim(1, -1)
        anchors = cells[anchor][cover[anchor, b] > 0.6]
        positives, negatives = (cells[others][there] for there in (cover[others, b] > 0.6, cover[others, b] < 0.2))
        if len(anchors) and len(positives) and len(negatives):
            some = torch.randperm(len(anchors), generator=generator)[:ANCHORS].to(y.device)
            losses.append(metric_loss(anchors[some], positives, negatives, kind))
    return torch.stack(losses).mean() if losses else None


@checked
def train(
    steps: Count = 2400,
    batch: Count = 5,
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: Device = None,
    count: Count = CLIPS,
    kind: str = "softplus",
) -> Path:
    """Train both steps, the first for a third of `steps`, and write the weights of a `ContextNet`.

    kind: of loss, see `losses.metric_loss`. Raises FileNotFoundError when there is nothing to resume.
    """
    out = begin("st-rnn", out, resume)
    device = prepare(seed, device)
    frames, masks = clips(seed, count)
    net, first = ContextNet(), steps // 3
    net.encoder.load_state_dict(load_weights(MatchingNet(), "matching").query_encoder.state_dict())
    net.to(device).eval()  # batch normalisation keeps the statistics that it came with: a sample's frames are alike
    recurrences = [*net.spatial.parameters(), *net.temporal.parameters()]
    groups = [{"params": net.encoder.parameters(), "lr": ENCODER_RATE}, {"params": recurrences, "lr": LEARNING_RATE}]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5 * steps // 6], 0.1)

    def learn(step: int, images, masks, anchor: int) -> float:
        net.encoder.requires_grad_(step < first)
        if step == first:
            net.temporal.load_state_dict(net.spatial.state_dict() | {"K": net.temporal.K})
        cells = net.encoder(to_image(images.reshape(-1, *images.shape[2:]), device))[2]
        x = standardise(cells.unflatten(0, images.shape[:2]))
        rnns = [net.spatial] if step < first else [net.spatial, net.temporal]
        losses = [loss for rnn in rnns if (loss := sample_loss(rnn(x), masks, anchor, kind, step)) is not None]
        return descend(sum(losses), net, optimizer, schedule) / len(losses) if losses else float("nan")

    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    batches = lambda done: ((step, *batch_of(frames, masks, seed, step, batch)) for step in range(done, steps))  # noqa: E731
    minutes = fit(out.stem, parts, batches, learn, steps, resume)
    card = {"network": "ContextNet", "seed": seed, "steps": steps, "batch": batch, "loss": kind}
    save_weights(net, out, **card, minutes=f"{minutes:.0f}")
    return out
