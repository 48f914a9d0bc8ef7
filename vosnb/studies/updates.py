"""Does D gain by learning from its own masks, what would true ones be worth, and what cures drift?

    python -m vosnb.studies.updates

D and R on photographs follow object 1 of toys clips, of all difficulties in turn, which nothing was trained or chosen
on: without updates, with updates on the tracker's own masks (`frtm` as it is), and with updates that have one thing
changed. One of these no tracker can have: it is told the true mask of each frame after its answer. Frame 0 is learned
once a clip, so that nothing else differs. Writes data/results/updates.json: a row for each way with the gain in mean J
over no updates, its 95 % paired interval, clips won and lost; and a row for each clip, with its J in each way.
"""

import argparse
import copy

import numpy as np
import torch

from vosnb import toys
from vosnb.clips import Clip
from vosnb.course.cells import whole_cells
from vosnb.features import to_image
from vosnb.methods.matching import soft_aggregate
from vosnb.methods.refinement import backbone_maps
from vosnb.metrics import jaccard
from vosnb.studies.common import compared, rounded, write
from vosnb.trackers.target import TargetTracker

WAYS = {  # what differs from `frtm`: t_s, the rate, frame 0's least share, how sure a mask must be, whether it is told
    "no update": {"every": None},
    "own masks": {},
    "the truth": {"told": True},
    "frame 0 keeps a quarter": {"least": 0.25},
    "rate 0.05": {"rate": 0.05},
    "every 8th frame": {"every": 8},
    "sure masks alone": {"sure": 0.9},
}


def look(tracker: TargetTracker, frame: np.ndarray) -> tuple[list[torch.Tensor], torch.Tensor]:
    """A frame's maps, deepest first, and what D is given of them."""
    maps = backbone_maps(tracker.encoder, to_image(frame, tracker.device)[None])
    return maps, tracker.net.features(maps)


@torch.no_grad()
def follow(tracker, clip, seen, D, every=2, rate=None, least=0.0, sure=0.0, told=False) -> np.ndarray:
    """J of each frame after the first, by Algorithm 1 of S1 from a D that has learned frame 0, which stays as it is."""
    D, found = copy.deepcopy(D), []
    D.memory.rate, D.memory.first_minimum = rate or D.memory.rate, least
    for t, (maps, x) in enumerate(seen, start=1):
        true = clip.masks[t] == 1
        p = soft_aggregate(torch.sigmoid(tracker.net(maps, D.scores(x), clip.size)[:, 0]))[1]
        found.append(jaccard(true, (p > 0.5).cpu().numpy()))
        certain = p[p > 0.5].mean().item() if (p > 0.5).any() else 0.0
        if every and (told or certain >= sure):
            label = torch.from_numpy(true).to(p) if told else p
            D.add(x, label[None, None])
        if every and t % every == 0:
            D.update()
    return np.array(found)


def measure(tracker: TargetTracker, clip: Clip) -> dict[str, float]:
    """Mean J of a clip in each of the `WAYS`."""
    tracker.start(clip.frames[0], (clip.masks[0] == 1).astype(np.uint8))
    seen = [look(tracker, clip.frames[t]) for t in range(1, len(clip))]
    return {way: follow(tracker, clip, seen, tracker.targets[0], **how).mean() for way, how in WAYS.items()}


def rows_of(clips: list[Clip], tracker: TargetTracker) -> list[dict]:
    """A row for each way but the first, and one for each clip."""
    found = [measure(tracker, whole_cells(clip, tracker.short_side)) for clip in clips]
    J = {way: np.array([of[way] for of in found]) for way in WAYS}
    rows = []
    for way in list(WAYS)[1:]:
        row = {"way": way, "clips": len(clips), "J_without": J["no update"].mean(), "J": J[way].mean()}
        rows.append(rounded(row | compared(J[way], J["no update"])))
    named = zip(clips, found, strict=True)
    return rows + [rounded({"clip": c.name, "difficulty": c.info["difficulty"]} | of) for c, of in named]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=27, help="of the list test-large, all difficulties in turn")
    clips = parser.parse_args().clips
    torch.set_num_threads(1)
    with torch.no_grad():
        rows = rows_of(toys.benchmark("test-large", 0, clips), TargetTracker(backbone="photos"))
    write("updates", f"python -m vosnb.studies.updates --clips {clips}", rows)


if __name__ == "__main__":
    main()
