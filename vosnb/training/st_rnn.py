"""How `st-rnn-photos.safetensors` is made: `vosnb train st-rnn`, in the two steps of S2 section 2.4.1.

The backbone is frozen: it learned from photographs. Step 1 trains the spatial RNN on its map at stride 8; step 2 trains
it further, and beside it the spatio-temporal RNN, which begins as the spatial one. A sample is one object in eight
frames of a clip, one after the other, as they come when a tracker runs: only where frames follow each other can be
learned what to remember of one in the next. Four of them count: one gives the anchors, the others the two pools.
Loss: S2-E4, repaired (`losses.metric_loss`), on features of length 3: free lengths let it fall without moving anything
nearer to anything.
"""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from vosnb.features import STRIDE, Device, save_weights, standardise, to_image
from vosnb.methods.losses import metric_loss
from vosnb.methods.st_rnn import Recurrences
from vosnb.settings import Count, Seed, checked
from vosnb.training.loop import begin, descend, fit, kept, prepare
from vosnb.training.refinement import draw_clips, load_backbone

CLIPS, SIDE = 300, 240  # clips drawn once; pixels of their square frames
COUNTED = 4  # frames of a sample that anchors and pools come from
SAME_SPECIES = 0.5  # share of clips with look-alikes, which only context can tell apart
ANCHORS = 40  # cells of a sample
LEARNING_RATE = 1e-3
LENGTH = 3.0


def see(frames: np.ndarray) -> np.ndarray:
    """The backbone's map at stride 8 of a clip's frames, (8, C, h, w) float16."""
    encoder = load_backbone("photos")
    return torch.cat([encoder(image)[-1] for image in to_image(frames, "cpu").split(1)]).half().numpy()


def clips(seed: int, count: int, workers: int = 2) -> dict[str, np.ndarray]:
    """Of clips, each eight frames in a row: "maps" (n, 8, C, h, w) at stride 8, and "cover" (n, 8, 2, h, w), how much
    of each cell either of two objects covers; float16, 1.1 GB. Kept in build/training/."""

    def draw() -> dict[str, np.ndarray]:
        frames, masks = draw_clips(seed, count, workers, side=SIDE, in_a_row=True, same_species=SAME_SPECIES)
        with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            maps = np.stack(list(tqdm(pool.map(see, frames), "looking at clips", total=count)))
        cells = masks.reshape(*masks.shape[:3], SIDE // STRIDE, STRIDE, SIDE // STRIDE, STRIDE)
        return {"maps": maps, "cover": cells.mean((4, 6)).astype(np.float16)}

    return kept("st-rnn-photos", draw, key=repr((seed, count, SIDE, SAME_SPECIES)))


def batch_of(found: dict[str, np.ndarray], seed: int, step: int, batch: int):
    """Eight frames of each of `batch` clips: maps (8, B, C, h, w), cover of one object in the frames that count
    (4, B, h, w), these frames, and which of them gives the anchors. Half of the batches are mirrored."""
    r = np.random.default_rng([seed, 4, step])
    maps, cover = found["maps"], found["cover"]
    chosen, objects = r.integers(len(maps), size=batch), r.integers(cover.shape[2], size=batch)
    times = np.sort(r.permutation(maps.shape[1])[:COUNTED])
    parts = maps[chosen].swapaxes(0, 1), cover[chosen, :, objects].swapaxes(0, 1)[times]
    if r.random() < 0.5:
        parts = [part[..., ::-1] for part in parts]
    return *(np.ascontiguousarray(part) for part in parts), times.tolist(), int(r.integers(COUNTED))


def sample_loss(y: torch.Tensor, cover: torch.Tensor, anchor: int, kind: str, seed: int) -> torch.Tensor | None:
    """The loss of features y (T, B, C, h, w) of cells that an object covers, (T, B, h, w); anchor: the frame that gives
    the anchors. None where no clip shows its object both in that frame and in another.
    """
    y = F.normalize(y, dim=2) * LENGTH
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
    steps: Count = 900,
    batch: Count = 4,
    seed: Seed = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: Device = None,
    count: Count = CLIPS,
    kind: str = "softplus",
) -> Path:
    """Train both steps, the first for a third of `steps`, and write the weights of `Recurrences`.

    count: of clips. kind: of loss, see `losses.metric_loss`. Raises FileNotFoundError when there is nothing to resume.
    """
    out = begin("st-rnn-photos", out, resume)
    device = prepare(seed, device)
    found, net, first = clips(seed, count), Recurrences().to(device), steps // 3
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5 * steps // 6], 0.1)

    def batches(done: int):
        return ((step, *batch_of(found, seed, step, batch)) for step in range(done, steps))

    def learn(step: int, maps, cover, times: list[int], anchor: int) -> float:
        x, cover = (torch.from_numpy(part).to(device).float() for part in (maps, cover))
        x = standardise(x)
        features = [net.spatial(x[times])]
        if step == first:
            net.temporal.load_state_dict(net.spatial.state_dict() | {"K": net.temporal.K})
        if step >= first:
            features.append(net.temporal(x)[times])
        losses = [loss for y in features if (loss := sample_loss(y, cover, anchor, kind, step)) is not None]
        return descend(sum(losses), net, optimizer, schedule) / len(losses) if losses else float("nan")

    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    minutes = fit(out.stem, parts, batches, learn, steps, resume)
    card = {"network": "Recurrences", "seed": seed, "steps": steps, "batch": batch, "loss": kind}
    save_weights(net, out, **card, minutes=f"{minutes:.0f}")
    return out
