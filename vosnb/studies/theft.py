"""Where does affinity go that should go to the object, and what do look-alikes and memory have to do with it?

    python -m vosnb.studies.theft

Every scene is made twice, with the same places, paths and light: once the object's companions are its twins, once they
are of other kinds. The matcher on photographs follows object 1 with a static memory (frame 0) and with an updated one,
on both. Of every frame after the first: J, and `stolen`, the share of the heat h (S0 section 3.2, by the masks that are
remembered) that lies on companions. Means over frames. Writes data/results/theft.json: of each world a row for each
memory and company, and for what is compared on the same scenes the difference with its 95 % paired interval.
"""

import argparse

import numpy as np
import torch

from vosnb import creatures, toys
from vosnb.benchmark import interval
from vosnb.clips import Clip
from vosnb.course.cells import coverage, whole_cells
from vosnb.methods.context import heat_shares
from vosnb.metrics import jaccard
from vosnb.studies.common import compared, rounded, write
from vosnb.trackers import segment
from vosnb.trackers.matching import MatchingTracker

WORLDS = {"toys": (toys, (240, 426)), "creatures": (creatures, (240, 240))}
COMPANY = {"twins": {}, "strangers": {"same_species": 0.0}}  # knobs, turned in scenes of `twins`
MEMORIES = {"static": "first", "updated": "every+last"}
COMPARED = (  # name, measure, before, after
    ("look-alikes in the place of strangers", "stolen", ("strangers", "updated"), ("twins", "updated")),
    ("look-alikes in the place of strangers", "J", ("strangers", "updated"), ("twins", "updated")),
    ("updated memory in the place of static", "stolen", ("twins", "static"), ("twins", "updated")),
    ("updated memory in the place of static", "J", ("twins", "static"), ("twins", "updated")),
)


class Metered(MatchingTracker):
    """The tracker that also keeps the heat h (N,) of the latest frame: on photographs it is a channel of the values."""

    def _decode(self, query, read):
        self.heat = read[0, -1]
        return super()._decode(query, read)


def scene(world: str, seed: int, company: str, frames: int = 10) -> Clip:
    """Every second frame of a clip of twins, or of the same scene with strangers in their place, in whole cells."""
    made, size = WORLDS[world]
    times = list(range(0, 2 * frames, 2))
    return whole_cells(made.generate(seed, "twins", "test", size, times=times, **COMPANY[company]), 240)


def measure(tracker: Metered, clip: Clip) -> dict[str, float]:
    """Means over the frames after the first that show object 1: {"stolen", "J"}."""
    found = []
    for t, answer, _ in segment(tracker, clip.only(1)):
        if t and (clip.masks[t] == 1).any():
            shares = heat_shares(tracker.heat.cpu(), coverage(clip, t))
            found.append([shares[1:3].sum().item(), jaccard(clip.masks[t] == 1, answer == 1)])
    return dict(zip(("stolen", "J"), np.mean(found, 0).tolist(), strict=True))


def rows_of(world: str, seeds, trackers: dict[str, Metered], frames: int = 10) -> list[dict]:
    """The rows of one world: means of each company and memory, then what is compared."""
    found = {(c, m): {"stolen": [], "J": []} for c in COMPANY for m in trackers}
    for seed in seeds:
        for company in COMPANY:
            clip = scene(world, seed, company, frames)
            for memory, tracker in trackers.items():
                for name, value in measure(tracker, clip).items():
                    found[company, memory][name].append(value)
    rows = []
    for (company, memory), values in found.items():
        row = {"world": world, "company": company, "memory": memory, "clips": len(seeds)}
        for name, of_clips in values.items():
            low, high = interval(np.array(of_clips))
            row |= {name: np.mean(of_clips), f"{name}_low": low, f"{name}_high": high}
        rows.append(rounded(row))
    for step, name, before, after in COMPARED:
        J0, J1 = (np.array(found[key][name]) for key in (before, after))
        row = {"world": world, "step": step, "measure": name, "clips": len(seeds), "before": J0.mean()}
        rows.append(rounded(row | {"after": J1.mean()} | compared(J1, J0)))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=8, help="scenes of each world")
    count = parser.parse_args().clips
    torch.set_num_threads(2)
    trackers = {name: Metered(schedule, backbone="photos") for name, schedule in MEMORIES.items()}
    rows = [row for world in WORLDS for row in rows_of(world, range(6_000_000, 6_000_000 + count), trackers)]
    write("theft", f"python -m vosnb.studies.theft --clips {count}", rows)


if __name__ == "__main__":
    main()
