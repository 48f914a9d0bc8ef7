"""One clip from a seed (`generate`), and the benchmark: which seeds, sizes and lengths make up each split."""

import hashlib
import json
import shutil
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from vosnb.clips import Clip, Lazy, write_davis
from vosnb.creatures.knobs import DIFFICULTIES, KnobError, did_you_mean, knobs_for
from vosnb.creatures.scenes import Scene
from vosnb.creatures.textures import SPLITS
from vosnb.files import write_text
from vosnb.paths import DATA

ATTEMPTS = 60
NAMES = [*DIFFICULTIES, "train", "moved"]


def generate(seed, difficulty="easy", split="train", size=(128, 128), frames=24, times=None, **knobs) -> Clip:
    """A clip of creatures, the same for the same arguments.

    seed: a non-negative integer; the three splits draw from disjoint streams.
    difficulty: a name of `DIFFICULTIES`; "moved", where the camera jumps; or "train" for the mixture that the networks
        are trained on.
    split: "train", "val" or "test"; they share no photograph, body proportions or pattern frequency.
    size: (H, W) in pixels. frames: length of the clip.
    times: render these frames alone (frame numbers, fractions allowed), e.g. `[3, 9, 15]`.
    knobs: fields of `Knobs` to turn, e.g. `species_difference=0.2`.

    The clip's `info` holds "difficulty", "split", "seed", "knobs" (a `Knobs`), "species" (a (plan, texture, group) for
    each object; objects of one group are of one species) and "seen" ({object: training shows such a plan and texture}).
    Raises KnobError, one clear sentence, for an unknown difficulty, split or knob and for values out of range.
    """
    scene = compose_scene(seed, difficulty, split, size, frames, **knobs)
    times = checked_times(times, frames)
    scene.foresee(times)
    rendered = [scene.frame(t) for t in times]
    return Clip.from_arrays(
        f"{difficulty}-{seed}",
        [f for f, _ in rendered],
        [m for _, m in rendered],
        **scene_info(scene, seed, difficulty),
    )


def checked_times(times, frames: int):
    """The times to render: all frames where none are given. KnobError for what are no times."""
    times = range(frames) if times is None else list(times)
    if not times or not all(isinstance(t, int | float | np.number) and np.isfinite(t) for t in times):
        raise KnobError(f"times={times!r} takes the numbers of at least one frame, as in [3, 9, 15].")
    return times


def check_scene(seed, size, frames) -> None:
    """KnobError for a seed, a size or a length of which no clip can be made."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise KnobError(f"A seed is a whole number that is not negative, not {seed!r}.")
    whole = np.shape(size) == (2,) and all(isinstance(n, int | np.integer) for n in (*size, frames))
    if not whole or min(size) < 64 or frames < 1:
        raise KnobError(f"A clip needs at least 64 x 64 pixels and one frame, not {size} and {frames}.")


def compose_scene(seed, difficulty="easy", split="train", size=(128, 128), frames=24, **knobs) -> Scene:
    """The scene behind `generate`: the first of a seed's attempts whose target can be seen as promised."""
    settings = knobs_for(difficulty, **knobs)
    if split not in SPLITS:
        raise KnobError(f"There is no split {split!r}{did_you_mean(split, SPLITS)}.")
    check_scene(seed, size, frames)
    stream = [int(seed), SPLITS.index(split), NAMES.index(difficulty)]
    for attempt in range(ATTEMPTS):
        geometry, looks = (np.random.default_rng([*stream, attempt, part]) for part in (0, 1))
        scene = Scene(geometry, looks, split, tuple(size), frames, settings)
        if _target_is_visible(scene):
            break
    return scene


def _target_is_visible(scene: Scene) -> bool:
    """At t = 0 at least 60 % unoccluded and 1.5 to 30 % of the frame, with something of all others; later mostly seen.

    The counts ask for a little more than is promised, since they are made at a lower resolution than the masks.
    """
    total, times = scene.size[0] * scene.size[1], np.linspace(0, scene.frames - 1, 7).tolist()
    scene.foresee(times, 1)
    alone = np.count_nonzero(scene.labels(0, 1, only=0))
    seen = np.bincount(scene.labels(0, 1).ravel(), minlength=len(scene.actors) + 1)[1:]
    if not (0.016 * total < seen[0] < 0.3 * total and seen[0] > 0.62 * alone and seen.min() > 0.001 * total):
        return False
    if scene.hidden_target:
        return True
    later = [np.count_nonzero(scene.labels(t, 1) == 1) > 0.2 * alone for t in times[1:]]
    return sum(later) >= 5


def scene_info(scene: Scene, seed: int, difficulty: str) -> dict:
    """What a clip's `info` says of it."""
    groups = [next(i for i, other in enumerate(scene.species) if other is species) for species in scene.species]
    return {
        "difficulty": difficulty,
        "split": scene.split,
        "seed": int(seed),
        "knobs": scene.knobs,
        "species": [(s["plan"], s["texture"], group) for s, group in zip(scene.species, groups, strict=True)],
        "seen": {k + 1: species["seen"] for k, species in enumerate(scene.species)},
        "fps": 12,
    }


# The benchmark ------------------------------------------------------------------------------------------------------

SIZES = ((128, 128), (128, 160), (128, 192), (128, 224))
LARGE = ((240, 240), (240, 304), (240, 360), (240, 424))  # as wide in heights, but for multiples of 8
LENGTHS = (20, 24, 20, 28, 22, 24, 20, 36)  # frames; mean about 24
COUNTS = {  # clips of each difficulty
    "val": dict.fromkeys(DIFFICULTIES, 2),
    "test": {name: 5 if name in ("lookalike", "twins") else 3 for name in DIFFICULTIES},
    "test-large": {
        name: {"twins": 40, "easy": 24, "lookalike": 24, "occlusion": 24}.get(name, 12) for name in DIFFICULTIES
    },
}
MOVED = {"moved": 24}  # a split of its own, so that the lists above are what they were before there was such a thing
CYCLES = {"generated": list(DIFFICULTIES), "train": ["train"]}  # endless
FIRST_SEED = {"train": 0, "val": 0, "test": 0, "test-large": 10_000, "moved": 20_000, "generated": 1_000_000}
FIRST_LABEL = {"test-large": 100, "moved": 200}  # so that no two clips of the benchmark have one name


def benchmark(split: str = "test", start: int | None = None, count: int | None = None, sizes=SIZES) -> list[Clip]:
    """The clips of a split; each is rendered when it is first looked at.

    split: "val" and "test" (the shipped ones), "test-large" (160 clips of the test distribution, 40 of them twins),
        "moved" (24 clips in which the camera jumps),
        "generated" or "train" (clips start .. start + count - 1 of an endless list; "generated" cycles through the
        difficulties of the test distribution, "train" is the training mixture). All begin with one clip of each
        difficulty, so that the first few are a fair sample.
    sizes: (H, W) that the clips have in turn; `LARGE` shows the same scenes at 240 pixels.
    Raises KnobError for another split, or a negative start or count.
    """
    check_benchmark(split, FIRST_SEED, start, count)
    chosen = entries({**COUNTS, "moved": MOVED}.get(split) or CYCLES[split], start or 0, count)
    return [_clip(split, sizes, *entry) for entry in chosen]


def check_benchmark(split: str, known, start: int | None, count: int | None) -> None:
    """KnobError for a split that is not known, and for a negative start or count."""
    if split not in known:
        raise KnobError(f"There is no benchmark split {split!r}{did_you_mean(split, known)}.")
    if min(start or 0, count or 0) < 0:
        raise KnobError(f"start and count are not negative, unlike {start} and {count}.")


def entries(clips: dict | list, start: int, count: int | None) -> list[tuple[str, int, int]]:
    """(difficulty, number in the split, number in its difficulty) of the clips start .. start + count - 1.

    clips: {difficulty: clips of it}, one of each in every round until there are none left; or the difficulties of an
    endless list, in turn, of which 64 are given where no count is; there the last two numbers are the same.
    """
    if isinstance(clips, dict):
        rounds = [(name, i) for i in range(max(clips.values())) for name in clips if i < clips[name]]
        return [(name, number, i) for number, (name, i) in enumerate(rounds)][start:][:count]
    return [(clips[i % len(clips)], i, i) for i in range(start, start + (64 if count is None else count))]


def _clip(split: str, sizes, difficulty: str, number: int, label: int) -> Clip:
    """One lazily rendered clip of the benchmark; its size and length follow from its number."""
    size, frames = sizes[5 * number % 7 % len(sizes)], LENGTHS[(number + number // 8) % len(LENGTHS)]
    seed, stream = FIRST_SEED[split] + number, split if split in SPLITS else "test"
    what = (seed, difficulty, stream, size, frames)
    name = f"{'val-' if split == 'val' else ''}{difficulty}-{label + FIRST_LABEL.get(split, 0):03d}"
    return lazy_clip(name, _rendered, what, frames, scene_info(_scene(what), seed, difficulty) | {"split": split})


def lazy_clip(name: str, rendered, what: tuple, frames: int, info: dict) -> Clip:
    """A clip whose frames are rendered when they are looked at. rendered(what, t) gives a frame and its mask."""
    frame, mask = (Lazy(frames, lambda t, part=part: rendered(what, t)[part]) for part in (0, 1))
    return Clip(name, frame, mask, info)


@lru_cache(maxsize=8)
def _scene(what: tuple) -> Scene:
    scene = compose_scene(*what)
    scene.foresee(range(scene.frames))
    return scene


@lru_cache(maxsize=128)  # shared by all clips, so that a long list of them stays small in memory
def _rendered(what: tuple, t: int) -> tuple:
    return _scene(what).frame(t)


def write_benchmark(root: str | Path = DATA, splits=("val", "test"), quality: int = 90) -> None:
    """Write the shipped clips in DAVIS layout, and `clips.json`."""
    write_clips(root, {split: benchmark(split) for split in splits}, quality)


def write_clips(root: str | Path, splits: dict, quality: int) -> None:
    """Write splits of generated clips in DAVIS layout, and `clips.json`: what each is, checksums of masks and files.

    "masks": sha256 of the mask arrays, which any machine should generate again. "frames": sha256 of the JPEG files,
    which are the reference: the last bit of a generated frame may depend on versions and machine.
    """
    root, clips, checksums = Path(root), {}, {}
    for folder in ("JPEGImages", "Annotations", "ImageSets"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for split, chosen in splits.items():
        for clip in chosen:
            write_davis(clip, root, split, quality=quality)
            about = {key: clip.info[key] for key in ("difficulty", "seed", "split", "seen", "species", "fps")}
            clips[clip.name] = about | {"size": clip.size, "frames": len(clip), "objects": len(about["species"])}
            checksums[clip.name] = {"masks": masks_checksum(clip.masks), "frames": files_checksum(root, clip.name)}
    versions = {"numpy": np.__version__, "opencv": cv2.__version__}
    text = {"versions": versions, "clips": clips, "sha256": checksums}
    first = next(iter(clips))
    lines = json.dumps(text, separators=(", ", ": ")).replace('}, "', '},\n"')
    write_text(root / "clips.json", lines.replace(f'{{"{first}"', f'{{\n"{first}"') + "\n")


def masks_checksum(masks) -> str:
    """sha256 of a clip's masks, as uint8 arrays one after the other."""
    digest = hashlib.sha256()
    for mask in masks:
        digest.update(np.ascontiguousarray(mask, np.uint8).tobytes())
    return digest.hexdigest()


def files_checksum(root: Path, name: str) -> str:
    """sha256 of the JPEG files of a clip written under `root`, one after the other."""
    digest = hashlib.sha256()
    for file in sorted((Path(root) / "JPEGImages" / "480p" / name).glob("*.jpg")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
