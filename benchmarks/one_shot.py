"""What S4 pays for an object: a step of fine-tuning, and a clip of 24 frames with ten steps on the first.

    python benchmarks/one_shot.py

float32, one thread. Steps are those of `meta.fine_tune`, with learned rates, on one frame; beside them the plain way, a
copy of the network and an optimizer with one rate. The clip is of 128 x 128 pixels, one object.
"""

import copy
import statistics
import time
from functools import partial

import torch

from vosnb import creatures
from vosnb.benchmark import score_tracker
from vosnb.methods.mask_rcnn import load_mask_rcnn
from vosnb.methods.meta import MetaLearner, fine_tune
from vosnb.methods.one_shot import load_one_shot
from vosnb.trackers import make_tracker
from vosnb.trackers.base import fit_frame, resize
from vosnb.training.e_osvos import rcnn_loss
from vosnb.training.meta import segmentation_loss

STEPS = 10


def copied(learner: MetaLearner, loss) -> None:
    net = copy.deepcopy(learner.net)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for t in range(STEPS):
        optimizer.zero_grad()
        loss(dict(net.named_parameters()), t).backward()
        optimizer.step()


def learned(learner: MetaLearner, loss) -> None:
    fine_tune(loss, learner.theta, learner.rates, STEPS)


def main(repeats: int = 15):
    torch.set_num_threads(1)
    clip = creatures.generate(0, "easy", "val").only(1)
    nets = {
        "one-shot": (load_one_shot("one-shot"), 96, segmentation_loss),
        "e-osvos-10": (load_mask_rcnn("e-osvos"), 128, lambda *given: rcnn_loss(*given[:3], 0, *given[3:])),
    }
    print(f"{'tracker':>12} {'copy and SGD, ms a step':>24} {'fine_tune':>10} {'start, s':>9} {'clip, s':>8}")
    for name, (learner, side, loss) in nets.items():
        image = fit_frame(clip.frames[0], side, "cpu")
        mask = resize(torch.from_numpy(clip.masks[0] == 1)[None, None].float(), image.shape[-2:])
        loss, taken = partial(loss, learner.net.eval(), image, mask), {copied: [], learned: []}
        for _ in range(repeats):  # in turns, so that a busy neighbour slows both
            for way, times in taken.items():
                began = time.perf_counter()
                way(learner, loss)
                times.append(1e3 * (time.perf_counter() - began) / STEPS)
        tracker = make_tracker(name)
        records = [score_tracker(tracker, clip) for _ in range(3)]
        start, rest = (statistics.median(record[key] for record in records) for key in ("start_s", "seconds"))
        plain, ours = map(statistics.median, taken.values())
        print(f"{name:>12} {plain:24.1f} {ours:10.1f} {start:9.2f} {start + rest:8.2f}")


if __name__ == "__main__":
    main()
