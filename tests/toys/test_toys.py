"""The second world: determinism, what is promised of each clip, exact masks, jumps, what is shipped, and that nothing
is trained on it."""

import ast
import json
import math
import subprocess
import sys
from dataclasses import fields

import cv2
import numpy as np
import pytest

from vosnb import creatures, toys
from vosnb.clips import ClipError
from vosnb.creatures.jumps import QUARTER
from vosnb.creatures.splits import compose_scene as compose_creatures
from vosnb.creatures.splits import files_checksum, masks_checksum
from vosnb.creatures.textures import PHOTOS, photo
from vosnb.datasets import load
from vosnb.metrics import jaccard
from vosnb.paths import DATA, ROOT
from vosnb.toys import DIFFICULTIES, KnobError, Knobs, benchmark, generate
from vosnb.toys.kinds import KINDS, LONGEST, MANNER, SPRITES, THINGS, sprite
from vosnb.toys.knobs import LIMITS
from vosnb.toys.splits import COUNTS, compose_scene

TOYS = DATA / "toys"
ABOUT = json.loads((TOYS / "clips.json").read_text())
SMALL = (120, 214)


# What a seed means ---------------------------------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_clip_in_another_process():
    code = (
        "import hashlib; from vosnb.toys import generate; c = generate(5, 'twins', frames=20, times=[0, 9]);"
        "print(hashlib.sha256(b''.join(f.tobytes() for f in [*c.frames, *c.masks])).hexdigest())"
    )
    first, second = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout


def test_a_frame_depends_on_its_time_alone():
    whole, few = generate(3, "light", size=SMALL), generate(3, "light", size=SMALL, times=[15, 3, 9])
    for frame, mask, t in zip(few.frames, few.masks, (15, 3, 9), strict=True):
        assert np.array_equal(frame, whole.frames[t]) and np.array_equal(mask, whole.masks[t])


def test_seeds_and_difficulties_give_different_clips():
    clips = [generate(seed, difficulty, times=[0], size=SMALL) for seed in (0, 1) for difficulty in DIFFICULTIES]
    assert len({clip.frames[0].tobytes() for clip in clips}) == len(clips)


def test_a_larger_clip_shows_the_same_scene():
    small, large = generate(2, size=SMALL, times=[0, 12]), generate(2, size=(240, 428), times=[0, 12])
    for t in (0, 1):
        assert jaccard(large.masks[t][::2, ::2] == 1, small.masks[t] == 1) > 0.85


# What is promised of every clip --------------------------------------------------------------------------------------


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_target_is_visible_as_promised(difficulty):
    for seed in range(4):
        scene = compose_scene(seed, difficulty)
        first, alone = scene.mask(0), scene.mask(0, only=0)
        area = np.count_nonzero(first == 1)
        assert 0.015 <= area / first.size <= 0.30
        assert area >= 0.6 * np.count_nonzero(alone == 1)
        assert set(np.unique(first)) == set(range(len(scene.toys) + 1)), "every toy can be seen at the start"
        areas = np.array([np.count_nonzero(scene.labels(t, 0.5) == 1) for t in range(24)])
        if scene.hidden_target:
            gone = np.flatnonzero(areas == 0)
            assert len(gone) >= 3 and areas[gone[-1] + 1 :].max(initial=0) > 0.3 * areas[0], "it comes back"
        else:
            assert np.mean(areas > 0) >= 0.7


def flat(picture, channel: int):
    """The picture of a toy in one colour, premultiplied."""
    colours = np.zeros_like(picture)
    colours[..., channel] = colours[..., 3] = picture[..., 3]
    return colours


def test_masks_are_where_a_toy_is_more_than_half_of_what_is_seen():
    """Three toys in red, green and blue on black: the frame itself says how much of each is seen in every pixel."""
    scene = compose_scene(7, "lookalike", toys=3, occluders=1, noise=0, blur=0, light_drift=0)
    scene.frame(0)
    scene.ground[:] = 0
    scene.light.strength, scene.light.gain, scene.defocus = 0.0, np.zeros(3), 0.0
    for channel, toy in enumerate(scene.toys):
        toy.picture = flat(toy.picture, channel)
    for thing in scene.occluders:
        thing.picture[..., :3] = 0
    doubtful = 0
    for t in (0, 6, 12, 18):
        frame, mask = scene.frame(t)
        for channel in range(3):
            assert np.all(mask[frame[..., channel] > 131] == channel + 1)
            doubtful += np.count_nonzero((mask == channel + 1) & (frame[..., channel] < 124))
    assert doubtful < 0.002 * 4 * mask.size, "only where two soft edges meet"


def test_masks_are_what_another_way_of_drawing_gives():
    """Undeformed cutouts laid over each other by OpenCV's affine warp of the whole pictures, in float."""
    scene = compose_scene(11, "occlusion", toys=3, deformation=0)
    for t in (0, 9, 20):
        expected = np.zeros(scene.size, np.uint8)
        for cutout, number, (x, y, size, angle, wide, tall) in scene.stances(t):
            alpha = sprite(cutout.kind)[..., 3].astype(np.float32) / 255
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            linear = turn @ np.diag([size * wide, size * tall])
            middle = (np.array(alpha.shape[::-1]) - 1) / 2
            matrix = np.column_stack([linear, [x, y] - linear @ middle])
            seen = cv2.warpAffine(alpha, matrix, scene.size[::-1])
            expected[seen > 0.5] = max(0, number + 1)
        mask = scene.mask(t)
        for k in range(4):
            assert jaccard(mask == k, expected == k) > 0.95


def test_frames_and_masks_go_together():
    scene = compose_scene(3, "deformation")
    for t in (0, 5.5, 13):
        frame, mask = scene.frame(t)
        assert frame.shape == (240, 426, 3) and frame.dtype == mask.dtype == np.uint8
        assert np.array_equal(mask, scene.mask(t))


def test_info_says_what_is_in_a_clip():
    clip = generate(1, "twins", times=[0], size=SMALL)
    assert clip.info["difficulty"] == "twins" and clip.info["seed"] == 1 and clip.info["split"] == "test"
    assert clip.info["knobs"] == DIFFICULTIES["twins"]
    assert clip.objects == sorted(clip.info["seen"]) == list(range(1, len(clip.info["species"]) + 1))
    assert not any(clip.info["seen"].values()), "training shows no toys"
    assert len({kind for kind, *_ in clip.info["species"]}) == 1


# What the difficulties do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", ["toys", "creatures"])
def test_the_camera_jumps(world):
    for seed in range(5):
        scene = compose_scene(seed, "moved") if world == "toys" else compose_creatures(seed, "moved", "val")
        assert 3 <= len(scene.jumps.times) <= 4 and np.all(np.diff(scene.jumps.times) > 1)
        for time in scene.jumps.times:
            before, after = math.ceil(time) - 1, math.ceil(time)
            leap = (scene.where(0, after) - scene.where(0, before)) / [scene.aspect, 1]
            assert 0.6 * QUARTER < np.hypot(*leap) < 1.5 * QUARTER, "about a quarter of the frame"
        steps = np.diff(scene.where(0, np.arange(24.0)), axis=0)
        assert np.sum(np.hypot(*steps.T) > 0.15) == len(scene.jumps.times), "and in between it glides"
        seen = scene.where(0, np.arange(24.0)) / [scene.aspect, 1]
        assert np.all((seen > 0) & (seen < 1)), "the target's middle stays in view"


def test_everything_jumps_together():
    scene = compose_scene(1, "moved", motion=0, camera=0, deformation=0, turning=0, noise=0, light_drift=0, blur=0)
    time = math.ceil(scene.jumps.times[0])
    x, y = np.rint((scene.jumps(time) - scene.jumps(time - 1)) * 240).astype(int)
    before, after = (scene.frame(t)[0].astype(float) for t in (time - 1, time))
    inner = slice(80, 160), slice(110, 310)
    moved = np.roll(before, (y, x), (0, 1))
    assert np.abs(after - moved)[inner].mean() < 0.4 * np.abs(after - before)[inner].mean()


def test_creatures_that_do_not_jump_draw_nothing_for_it():
    rng = np.random.default_rng(0)
    scene = compose_creatures(3, "easy")
    assert not scene.jumps and np.array_equal(scene.jumps(np.arange(3.0)), np.zeros((3, 2)))
    creatures.knobs.knobs_for("moved").turned(jumps=0)
    assert creatures.splits.Scene(rng, rng, "val", (128, 128), 24, creatures.DIFFICULTIES["easy"]).jumps.times.size == 0


def test_occluders_hide():
    def hidden(difficulty, **knobs):
        worst = []
        for seed in range(6):
            scene = compose_scene(seed, difficulty, size=SMALL, **knobs)
            shares = [np.count_nonzero(scene.mask(t) == 1) / max(1, np.count_nonzero(scene.mask(t, only=0)))
                      for t in range(0, 24, 3)]  # fmt: skip
            worst.append(min(shares))
        return np.mean(worst)

    assert hidden("occlusion") < 0.65
    assert hidden("easy", toys=1, occluders=0) == 1


def test_species_difference_goes_from_clones_to_strangers():
    def apart(difference):
        scene = compose_scene(0, "twins", species_difference=difference, size=SMALL)
        scene.frame(0)
        first, *others = [colouring.painted(scene.kinds[0]).astype(float) for colouring in scene.colourings]
        assert difference or len({toy.scale for toy in scene.toys}) == len({toy.stretch for toy in scene.toys}) == 1
        return np.mean([np.abs(first - other).mean() for other in others])

    assert apart(0) == 0 < apart(0.5) < apart(1.5)


def histogram(clip, bins=16):
    """Mean J of object 1 over later frames, by a Bayes classifier on the colours of frame 0."""
    codes = [np.ravel_multi_index((frame // (256 // bins)).transpose(2, 0, 1), (bins,) * 3) for frame in clip.frames]
    inside = np.bincount(codes[0][clip.masks[0] == 1], minlength=bins**3)
    outside = np.bincount(codes[0][clip.masks[0] != 1], minlength=bins**3)
    return np.mean(
        [jaccard(mask == 1, (inside > outside)[code]) for mask, code in zip(clip.masks, codes, strict=True)][1:]
    )


def test_colour_alone_fails_where_toys_look_alike():
    reached = {
        difficulty: np.mean(
            [histogram(generate(seed, difficulty, size=SMALL, times=(0, 8, 16))) for seed in range(500, 508)]
        )
        for difficulty in ("easy", "lookalike", "twins")
    }
    assert reached["easy"] > 0.5
    assert reached["lookalike"] < reached["easy"] - 0.1 and reached["twins"] < reached["easy"] - 0.2


# Splits, and what is shipped -----------------------------------------------------------------------------------------


def test_lists():
    assert set(COUNTS["test"]) == set(COUNTS["test-large"]) == set(DIFFICULTIES)
    assert sum(COUNTS["test"].values()) >= 24
    assert sum(COUNTS["test-large"].values()) == 160 and COUNTS["test-large"]["twins"] == 40
    few = benchmark("generated", 5, 4)
    assert [clip.info["difficulty"] for clip in few] == ["light", "camera", "reappear", "moved"]
    assert few[0].frames[3].tobytes() == benchmark("generated", 4, 2)[1].frames[3].tobytes()


def test_doors():
    assert [clip.info["difficulty"] for clip in load("toys", "test", 9)] == list(DIFFICULTIES)
    assert {clip.name for clip in load("toys", "generated:7:2")} == {"reappear-007", "moved-008"}
    assert COUNTS["moved"] == creatures.splits.MOVED == {"moved": 24}
    assert [clip.name for world in ("toys", "creatures") for clip in load(world, "moved", 1)] == ["moved-200"] * 2
    large, small = load("creatures", "test-large", 3), load("embedded", "test-large", 3)
    for one, other in zip(large, small, strict=True):
        assert one.name == other.name and len(one) == len(other) and one.size[0] == 240 and one.size[1] % 8 == 0
        assert jaccard(cv2.resize(one.masks[0], other.size[::-1], interpolation=0) == 1, other.masks[0] == 1) > 0.75
    for world, split in (("toys", "train"), ("toys", "val"), ("creatures", "train"), ("creatures", "generated:x")):
        with pytest.raises(ClipError) as error:
            load(world, split)
        assert "\n" not in str(error.value)


def test_shipped_masks_are_what_any_machine_generates():
    for name, about in ABOUT["clips"].items():
        scene = compose_scene(about["seed"], about["difficulty"], "test", tuple(about["size"]), about["frames"])
        assert masks_checksum(map(scene.mask, range(about["frames"]))) == ABOUT["sha256"][name]["masks"], name


def test_shipped_files_are_the_reference():
    clips, generated = load("toys", "test"), benchmark("test")
    assert [clip.name for clip in clips] == [clip.name for clip in generated] == list(ABOUT["clips"])
    for clip in clips:
        assert files_checksum(TOYS, clip.name) == ABOUT["sha256"][clip.name]["frames"]
    for t in (0, 11):
        assert np.array_equal(clips[1].masks[t], generated[1].masks[t])
        assert np.abs(clips[1].frames[t].astype(float) - generated[1].frames[t]).mean() < 6, "JPEG of a noisy frame"


def test_what_is_shipped_is_small_and_credited():
    assert sum(file.stat().st_size for file in TOYS.rglob("*") if file.is_file()) < 20e6
    assert {file.stem.replace("_", " ") for file in SPRITES.iterdir()} == {*KINDS, *THINGS}
    assert len(KINDS) >= 60 and not set(KINDS) & set(THINGS)
    for name in (*KINDS, *THINGS):
        assert max(sprite(name).shape[:2]) == LONGEST and not sprite(name)[[0, -1], :, 3].any()
    said = (TOYS / "CREDITS.md").read_text()
    assert "Microsoft" in said and "MIT" in said and "Permission is hereby granted" in said
    assert "Fluent Emoji" in (ROOT / "LICENSE-DATA").read_text()


def test_photographs_are_those_of_test(monkeypatch):
    looked_at = set()

    def watched(name):
        looked_at.add(name)
        return photo(name)

    monkeypatch.setattr("vosnb.toys.looks.photo", watched)
    monkeypatch.setattr("vosnb.creatures.textures.photo", watched)
    for seed in range(6):
        generate(seed, size=SMALL, times=[0], photos=1)
    assert looked_at == set(PHOTOS["test"])


# Nothing is trained on toys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["training", "methods", "creatures", "features.py", "efficientnet.py"])
def test_no_training_knows_of_toys(room):
    home = ROOT / "vosnb" / room
    for file in [home] if home.is_file() else sorted(home.rglob("*.py")):
        text = file.read_text()
        names = {word.lower() for node in ast.walk(ast.parse(text)) for word in names_in(node)}
        assert not any("toys" in name or "datasets" in name for name in names), file
        assert "sprite" not in text, file


def names_in(node):
    """What a node of a program's tree imports, names, or says in a text that is no docstring."""
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(alias.name for alias in node.names)]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Name | ast.Attribute):
        return [getattr(node, "id", ""), getattr(node, "attr", "")]
    return [str(node.value)] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_training_runs_without_toys():
    code = (
        "import importlib, pkgutil, sys, vosnb.training as t;"
        "[importlib.import_module(f'vosnb.training.{m.name}') for m in pkgutil.iter_modules(t.__path__)];"
        "assert not [m for m in sys.modules if m.startswith(('vosnb.toys', 'vosnb.datasets'))]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Knobs ---------------------------------------------------------------------------------------------------------------


def test_every_knob_has_limits_and_each_kind_a_manner():
    assert list(LIMITS) == [field.name for field in fields(Knobs)] and set(MANNER) == set(KINDS)
    for knobs in DIFFICULTIES.values():
        assert knobs.turned(**{field.name: getattr(knobs, field.name) for field in fields(Knobs)}) == knobs


@pytest.mark.parametrize(
    ("arguments", "knobs", "words"),
    [
        (("lookalikes",), {}, "did you mean 'lookalike'"),
        (("easy", "train"), {}, "nothing is trained or chosen on them"),
        (("easy", "tset"), {}, "did you mean 'test'"),
        (("easy",), {"ocluders": 1}, "did you mean 'occluders'"),
        (("easy",), {"blur": 9}, "goes from 0 to 4"),
        (("easy",), {"area": (9, 3)}, "reversed"),
        (("easy",), {"noise": "much"}, "takes a number"),
        (("easy",), {"toys": (1, 2, 3)}, "pair"),
        (("easy", "test", (32, 32)), {}, "64 x 64"),
        (("easy",), {"times": []}, "at least one frame"),
    ],
)
def test_wrong_arguments_get_one_clear_sentence(arguments, knobs, words):
    with pytest.raises(KnobError, match=words) as error:
        generate(0, *arguments, **knobs)
    assert "\n" not in str(error.value)


def test_wrong_seeds_and_splits():
    for seed in (-1, 1.5, "7", True):
        with pytest.raises(KnobError, match="seed"):
            generate(seed)
    with pytest.raises(KnobError, match="did you mean 'test-large'"):
        benchmark("test_large")
    with pytest.raises(KnobError, match="nothing is trained or chosen"):
        benchmark("val")
    with pytest.raises(KnobError, match="negative"):
        benchmark("generated", -1, 3)
    assert toys.KnobError is creatures.KnobError
