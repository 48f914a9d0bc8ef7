"""The generator and the embedded benchmark: determinism, what the knobs promise, splits, checksums, cheap cues."""

import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from vosnb.creatures import DIFFICULTIES, KnobError, Knobs, benchmark, generate
from vosnb.creatures.knobs import LIMITS, TRAINING
from vosnb.creatures.plans import PLANS, SPLIT_PLANS
from vosnb.creatures.splits import COUNTS, compose_scene, files_checksum, masks_checksum
from vosnb.creatures.textures import PHOTOS, SPLITS, TEXTURES, banded, photo
from vosnb.datasets import load
from vosnb.metrics import jaccard
from vosnb.paths import DATA

ABOUT = json.loads((DATA / "clips.json").read_text())


def scenes(difficulty, count=8, split="val", **knobs):
    return [compose_scene(seed, difficulty, split, **knobs) for seed in range(count)]


def target_areas(scene, times=range(24)):
    return np.array([np.count_nonzero(scene.labels(t, 1) == 1) for t in times])


# What a seed means ---------------------------------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_clip_in_another_process():
    code = (
        "import hashlib; from vosnb.creatures import generate; c = generate(5, 'twins', frames=20, times=[0, 9]);"
        "print(hashlib.sha256(b''.join(f.tobytes() for f in [*c.frames, *c.masks])).hexdigest())"
    )
    first, second = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout


def test_a_frame_depends_on_its_time_alone():
    whole, few = generate(3, "light"), generate(3, "light", times=[15, 3, 9])
    for frame, mask, t in zip(few.frames, few.masks, (15, 3, 9), strict=True):
        assert np.array_equal(frame, whole.frames[t]) and np.array_equal(mask, whole.masks[t])


def test_seeds_splits_and_difficulties_give_different_clips():
    clips = [generate(0, times=[0]), generate(1, times=[0]), generate(0, split="val", times=[0])]
    clips.append(generate(0, "light", times=[0]))
    assert len({clip.frames[0].tobytes() for clip in clips}) == len(clips)


def test_a_larger_clip_shows_the_same_scene():
    small, large = generate(2, "easy", times=[0, 12]), generate(2, "easy", size=(256, 256), times=[0, 12])
    for t in (0, 1):
        assert jaccard(large.masks[t][::2, ::2] == 1, small.masks[t] == 1) > 0.8


# What is promised of every clip --------------------------------------------------------------------------------------


@pytest.mark.parametrize("difficulty", [*DIFFICULTIES, "train"])
def test_the_target_is_visible_as_promised(difficulty):
    for scene in scenes(difficulty, 4, "train" if difficulty == "train" else "val"):
        first, alone = scene.mask(0), scene.mask(0, only=0)
        area = np.count_nonzero(first == 1)
        assert 0.015 <= area / first.size <= 0.30
        assert area >= 0.6 * np.count_nonzero(alone == 1)
        assert set(np.unique(first)) == set(range(len(scene.actors) + 1)), "every creature can be seen at the start"
        if not scene.hidden_target:
            assert np.mean(target_areas(scene) > 0) >= 0.7


def test_masks_are_exact():
    """A creature of one bright colour on a dark ground: its mask is where the frame is bright."""
    scene = compose_scene(4, "easy", creatures=1, occluders=0, noise=0, blur=0, light_drift=0, clutter=0)
    scene._paint_everything()
    scene.ground[:] = 10
    for patch, _ in scene.coats[0].patches:
        patch[:] = 210
    scene.shade, scene.gain, scene.actors[0].light = (0, 0, 0, 0), 0 * scene.gain, (0.0, 0.0, 0.0)
    for t in (0, 8, 16):
        frame, mask = scene.frame(t)
        assert jaccard(frame.mean(-1) > 110, mask == 1) > 0.97


def test_info_says_what_is_in_a_clip():
    clip = generate(1, "lookalike", "test", times=[0])
    assert clip.info["difficulty"] == "lookalike" and clip.info["split"] == "test" and clip.info["seed"] == 1
    assert clip.info["knobs"] == DIFFICULTIES["lookalike"]
    assert sorted(clip.info["seen"]) == clip.objects == list(range(1, len(clip.info["species"]) + 1))


# What the difficulties do --------------------------------------------------------------------------------------------


def test_occlusion_hides_and_easy_hides_less():
    """The share of the target that can be seen at the worst moment."""

    def seen(scene, t):
        return np.count_nonzero(scene.labels(t, 1) == 1) / max(1, np.count_nonzero(scene.labels(t, 1, only=0)))

    def worst(difficulty, **knobs):
        return np.mean([min(seen(scene, t) for t in range(0, 24, 2)) for scene in scenes(difficulty, 12, **knobs)])

    hidden = worst("occlusion")
    assert hidden < 0.6 and hidden < worst("easy") - 0.1
    assert worst("easy", creatures=1, occluders=0) == 1


def test_reappear_leaves_for_three_frames_and_returns():
    for scene in scenes("reappear"):
        areas = target_areas(scene)
        gone = np.flatnonzero(areas == 0)
        assert len(gone) >= 3
        assert areas[gone[-1] + 1 :].max(initial=0) > 0.3 * areas[0], "it comes back"


def test_light_drifts():
    def change(difficulty):
        clips = [generate(seed, difficulty, "val", times=range(0, 24, 6)) for seed in range(8)]
        return np.mean([np.ptp(np.log([np.mean(f) for f in clip.frames])) for clip in clips])

    assert change("light") > 1.4 * change("easy")


def test_camera_moves_more():
    def moved(difficulty):
        return np.mean([np.ptp([scene.camera(t)[3:] for t in range(24)], axis=0).sum() for scene in scenes(difficulty)])

    assert moved("camera") > 1.5 * moved("easy")


def test_deformation_changes_the_shape_in_place():
    def kept(**knobs):
        drawn = scenes("deformation", 8, creatures=1, occluders=0, camera=0, motion=0, scale_change=1, **knobs)
        outlines = [[scene.labels(t, 1) == 1 for t in (0, 6, 12)] for scene in drawn]
        return np.mean([jaccard(first, other) for first, *others in outlines for other in others])

    assert kept() < kept(deformation=0.5, turning=0) - 0.1 < kept(deformation=0, turning=0) - 0.15


def test_lookalikes_are_of_one_species_and_twins_differ_less():
    def differences(difficulty):
        result = []
        for scene in scenes(difficulty, 16):
            assert len(scene.actors) >= 3 and len({id(species) for species in scene.species}) == 1
            scene._paint_everything()
            tones = np.array([coat.tones[:3] for coat in scene.coats])
            result.append(np.abs(tones[0] - tones[1:]).mean())
        return np.mean(result)

    assert 0 < differences("twins") < 0.75 * differences("lookalike")


def test_no_difference_means_clones():
    scene = compose_scene(0, "twins", "val", species_difference=0)
    scene._paint_everything()
    assert all(np.array_equal(coat.tones, scene.coats[0].tones) for coat in scene.coats)
    outlines = [np.concatenate([part.outline for part in actor.body.parts]) for actor in scene.actors]
    assert all(np.array_equal(outline, outlines[0]) for outline in outlines)


def test_lookalikes_stay_rare_in_training():
    drawn = [scene for scene in scenes("train", 100, "train") if len(scene.actors) > 1]
    share = np.mean([scene.same for scene in drawn])
    assert TRAINING.same_species == 1 / 8 and 0.04 < share < 0.25


def test_scale_change_grows_and_shrinks():
    knobs = dict(creatures=1, camera=0, occluders=0, turning=0, deformation=0)
    ratios = [np.divide(*target_areas(scene, (23, 0))) for scene in scenes("easy", 12, scale_change=2.0, **knobs)]
    assert min(ratios) < 0.6 and max(ratios) > 1.7


# Cheap cues ----------------------------------------------------------------------------------------------------------


def histogram_and_still(clip, bins=16):
    """Mean J of object 1 over the inner frames: RGB-histogram Bayes classifier from frame 0, and frame 0's mask."""
    codes = [np.ravel_multi_index((frame // (256 // bins)).transpose(2, 0, 1), (bins,) * 3) for frame in clip.frames]
    truth = [mask == 1 for mask in clip.masks]
    inside = np.bincount(codes[0][truth[0]], minlength=bins**3)
    outside = np.bincount(codes[0][~truth[0]], minlength=bins**3)
    object_bins = inside > outside
    inner = range(1, len(clip) - 1)
    return [np.mean([jaccard(truth[t], guess[t]) for t in inner])
            for guess in ([object_bins[code] for code in codes], [truth[0]] * len(clip))]  # fmt: skip


@pytest.mark.parametrize("difficulty", ["lookalike", "twins"])
def test_cheap_cues_fail_where_creatures_look_alike(difficulty):
    clips = [generate(seed, difficulty, "val", times=range(0, 24, 3)) for seed in range(500, 512)]
    histogram, still = np.mean([histogram_and_still(clip) for clip in clips], axis=0)
    assert histogram < 0.45 and still < 0.35


# Splits --------------------------------------------------------------------------------------------------------------


def test_splits_share_nothing():
    used = [photo_name for split in SPLITS for photo_name in PHOTOS[split]]
    assert len(used) == len(set(used)) and {file.stem for file in (DATA / "photos").glob("*.jpg")} == set(used)
    assert not set(TEXTURES["train"]) & {*TEXTURES["val"], *TEXTURES["test"]}
    assert not set(SPLIT_PLANS["train"]) & {*SPLIT_PLANS["val"], *SPLIT_PLANS["test"]}
    assert {plan for plans in SPLIT_PLANS.values() for plan in plans} == set(PLANS)
    rng = np.random.default_rng(0)
    values = {split: np.array([banded(rng, split, 0, 1) for _ in range(500)]) for split in SPLITS}
    bands = {split: set(np.floor(values[split] * 24)) for split in SPLITS}
    assert sum(map(len, bands.values())) == len(set().union(*bands.values())) == 24


def test_unseen_is_marked():
    training = {
        name for scene in scenes("train", 40, "train") for s in scene.species for name in (s["plan"], s["texture"])
    }
    assert not training & {*SPLIT_PLANS["val"], *SPLIT_PLANS["test"], *TEXTURES["val"], *TEXTURES["test"]}
    for scene in scenes("easy", 20, "test"):
        for species in scene.species:
            known = species["plan"] in SPLIT_PLANS["train"] and species["texture"] in TEXTURES["train"]
            assert species["seen"] == known
    assert any(not seen for about in ABOUT["clips"].values() for seen in about["seen"].values())


def test_benchmark_lists():
    assert sum(COUNTS["val"].values()) >= 16 and sum(COUNTS["test"].values()) >= 24
    assert COUNTS["test"]["lookalike"] >= 4 and COUNTS["test"]["twins"] >= 4
    large = COUNTS["test-large"]
    assert sum(large.values()) >= 160 and large["twins"] >= 40 and min(large[d] for d in ("easy", "occlusion")) >= 24
    assert all(set(counts) == set(DIFFICULTIES) for counts in COUNTS.values())
    few = benchmark("generated", 5, 4)
    assert [clip.info["difficulty"] for clip in few[:3]] == ["light", "camera", "reappear"]
    assert few[0].frames[3].tobytes() == benchmark("generated", 4, 2)[1].frames[3].tobytes()
    assert {clip.info["difficulty"] for clip in benchmark("train", count=2)} == {"train"}
    for clip in few:
        height, width = clip.size
        assert height == 128 and 128 <= width <= 224 and 20 <= len(clip) <= 40


# What is shipped -----------------------------------------------------------------------------------------------------


def test_shipped_masks_are_what_any_machine_generates():
    for name, about in ABOUT["clips"].items():
        size, frames = tuple(about["size"]), about["frames"]
        scene = compose_scene(about["seed"], about["difficulty"], about["split"], size, frames)
        masks = [scene.mask(t) for t in range(frames)]
        assert masks_checksum(masks) == ABOUT["sha256"][name]["masks"], name


@pytest.mark.parametrize("split", ["val", "test"])
def test_shipped_files_are_the_reference(split):
    clips, generated = load("embedded", split), benchmark(split)
    assert [clip.name for clip in clips] == [clip.name for clip in generated]
    for clip in clips:
        assert files_checksum(DATA, clip.name) == ABOUT["sha256"][clip.name]["frames"]
        assert masks_checksum(clip.masks) == ABOUT["sha256"][clip.name]["masks"]
        assert clip.info["difficulty"] in DIFFICULTIES and clip.objects == sorted(clip.info["seen"])
        height, width = clip.size
        assert height == 128 and 128 <= width <= 224 and 20 <= len(clip) <= 40
    for t in (0, 11):
        difference = np.abs(clips[1].frames[t].astype(float) - generated[1].frames[t])
        assert difference.mean() < 6, "JPEG of a noisy frame"


def test_what_is_shipped_is_small():
    def size(*folders):
        return sum(file.stat().st_size for folder in folders for file in (DATA / folder).rglob("*") if file.is_file())

    assert size("JPEGImages", "Annotations", "ImageSets") < 12e6
    assert size("photos") < 400e3


def test_photographs_are_credited():
    credits = (DATA / "photos" / "CREDITS.md").read_text()
    for names in PHOTOS.values():
        for name in names:
            assert f"`{name}.jpg`" in credits and photo(name).ndim == 3


# Knobs ---------------------------------------------------------------------------------------------------------------


def test_every_knob_says_what_it_is_and_has_limits():
    assert list(LIMITS) == [field.name for field in fields(Knobs)]
    for knobs in (*DIFFICULTIES.values(), TRAINING):
        assert knobs.turned(**{field.name: getattr(knobs, field.name) for field in fields(Knobs)}) == knobs


@pytest.mark.parametrize(
    ("arguments", "knobs", "words"),
    [
        (("lookalikes",), {}, "did you mean 'lookalike'"),
        (("easy", "valid"), {}, "did you mean 'val'"),
        (("easy",), {"ocluders": 1}, "did you mean 'occluders'"),
        (("easy",), {"blur": 9}, "goes from 0 to 4"),
        (("easy",), {"area": (9, 3)}, "reversed"),
        (("easy",), {"noise": "much"}, "takes a number"),
        (("easy",), {"camera": (1, 2)}, "takes a number"),
        (("easy",), {"creatures": (1, 2, 3)}, "pair"),
        (("easy",), {"muted": True}, "takes a number"),
        (("easy", "val", (32, 32)), {}, "64 x 64"),
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
    with pytest.raises(KnobError, match="negative"):
        benchmark("generated", -1, 3)


def test_a_number_for_a_range_means_that_number():
    scene = compose_scene(0, "lookalike", creatures=2, species_difference=0.3)
    assert len(scene.actors) == 2 and scene.delta == 0.3
