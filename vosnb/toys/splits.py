"""One clip from a seed (`generate`), and the benchmark: which seeds, sizes and lengths make up each split."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from vosnb.clips import Clip
from vosnb.creatures.knobs import KnobError, did_you_mean
from vosnb.creatures.splits import check_benchmark, check_scene, checked_times, entries, lazy_clip, write_clips
from vosnb.paths import DATA
from vosnb.toys.kinds import MANNER
from vosnb.toys.knobs import DIFFICULTIES, knobs_for
from vosnb.toys.scenes import Scene

ATTEMPTS = 60
NAMES = list(DIFFICULTIES)  # a difficulty's number is part of its clips' seeds: new ones go to the end
ROOT = DATA / "toys"


def generate(seed, difficulty="easy", split="test", size=(240, 426), frames=24, times=None, **knobs) -> Clip:
    """A clip of toys, the same for the same arguments.

    seed: a non-negative integer. difficulty: a name of `DIFFICULTIES`.
    split: "test", the only one: nothing is trained on toys, and no setting is chosen on them.
    size: (H, W) in pixels. frames: length of the clip.
    times: render these frames alone (frame numbers, fractions allowed), e.g. `[3, 9, 15]`.
    knobs: fields of `Knobs` to turn, e.g. `species_difference=0.2`.

    The clip's `info` holds "difficulty", "split", "seed", "knobs" (a `Knobs`), "species" (a (kind, manner, group) for
    each object; objects of one group are of one kind) and "seen" ({object: False}, for training shows no toys).
    Raises KnobError, one clear sentence, for an unknown difficulty, split or knob and for values out of range.
    """
    scene = compose_scene(seed, difficulty, split, size, frames, **knobs)
    rendered = [scene.frame(t) for t in checked_times(times, frames)]
    pictures, masks = zip(*rendered, strict=True)
    return Clip.from_arrays(f"{difficulty}-{seed}", pictures, masks, **scene_info(scene, seed, difficulty))


def compose_scene(seed, difficulty="easy", split="test", size=(240, 426), frames=24, **knobs) -> Scene:
    """The scene behind `generate`: the first of a seed's attempts whose target can be seen as promised."""
    settings = knobs_for(difficulty, **knobs)
    if split in ("train", "val"):
        raise KnobError(f"Toys have no split {split!r}: nothing is trained or chosen on them; take 'test'.")
    if split != "test":
        raise KnobError(f"There is no split {split!r}{did_you_mean(split, ['test'])}.")
    check_scene(seed, size, frames)
    for attempt in range(ATTEMPTS):
        stream = [int(seed), NAMES.index(difficulty), attempt]
        geometry, looks = (np.random.default_rng([*stream, part]) for part in (0, 1))
        scene = Scene(geometry, looks, tuple(size), frames, settings)
        if _target_is_visible(scene):
            break
    return scene


def _target_is_visible(scene: Scene) -> bool:
    """At t = 0 at least 60 % unoccluded, 1.5 to 30 % of the frame, and something of all others; later mostly seen."""
    first = scene.labels(0.0)
    seen = np.bincount(first.ravel(), minlength=len(scene.toys) + 1)[1:] / first.size
    alone = np.count_nonzero(scene.labels(0.0, only=0)) / first.size
    if not (0.015 <= seen[0] <= 0.3 and seen[0] >= 0.6 * alone and seen.min() > 0.002):
        return False
    if scene.hidden_target:
        return True
    times = np.linspace(0, scene.frames - 1, 9).tolist()[1:]
    return sum(np.mean(scene.labels(t, 0.25) == 1) > 0.2 * alone for t in times) >= len(times) - 2


def scene_info(scene: Scene, seed: int, difficulty: str) -> dict:
    """What a clip's `info` says of it."""
    return {
        "difficulty": difficulty,
        "split": "test",
        "seed": int(seed),
        "knobs": scene.knobs,
        "species": [(kind, MANNER[kind], scene.kinds.index(kind)) for kind in scene.kinds],
        "seen": dict.fromkeys(range(1, len(scene.kinds) + 1), False),
        "fps": 12,
    }


# The benchmark ------------------------------------------------------------------------------------------------------

SIZE, FRAMES = (240, 426), 24
COUNTS = {  # clips of each difficulty
    "test": dict.fromkeys(DIFFICULTIES, 3),
    "test-large": {
        name: {"twins": 40, "easy": 20, "lookalike": 20, "occlusion": 20}.get(name, 12) for name in DIFFICULTIES
    },
    "moved": {"moved": 24},
    "generated": list(DIFFICULTIES),  # endless
}
FIRST_SEED = {"test": 0, "test-large": 10_000, "moved": 20_000, "generated": 1_000_000}
FIRST_LABEL = {"test-large": 100, "moved": 200}


def benchmark(split: str = "test", start: int | None = None, count: int | None = None) -> list[Clip]:
    """The clips of a split; each is rendered when it is first looked at.

    split: "test" (the shipped ones), "test-large" (160 clips, 40 of them twins), "moved" (24 clips in which the camera
        jumps) or "generated" (clips start .. start + count - 1 of an endless list, all difficulties in turn).
    Raises KnobError for another split, or a negative start or count.
    """
    if split in ("train", "val"):
        raise KnobError(f"Toys have no split {split!r}: nothing is trained or chosen on them; take 'test'.")
    check_benchmark(split, FIRST_SEED, start, count)
    return [_clip(split, *entry) for entry in entries(COUNTS[split], start or 0, count)]


def _clip(split: str, difficulty: str, number: int, label: int) -> Clip:
    """One lazily rendered clip of the benchmark."""
    seed = FIRST_SEED[split] + number
    what = (seed, difficulty, "test", SIZE, FRAMES)
    name = f"{difficulty}-{label + FIRST_LABEL.get(split, 0):03d}"
    return lazy_clip(name, _rendered, what, FRAMES, scene_info(_scene(what), seed, difficulty) | {"split": split})


@lru_cache(maxsize=8)
def _scene(what: tuple) -> Scene:
    return compose_scene(*what)


@lru_cache(maxsize=96)  # shared by all clips, so that a long list of them stays small in memory
def _rendered(what: tuple, t: int) -> tuple:
    return _scene(what).frame(t)


def write_benchmark(root: str | Path = ROOT, quality: int = 80) -> None:
    """Write the shipped clips in DAVIS layout, and `clips.json` as that of the creatures."""
    write_clips(root, {"test": benchmark("test")}, quality)
