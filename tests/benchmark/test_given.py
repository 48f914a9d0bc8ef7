"""`vosnb score`: equal to vos-benchmark; and what cannot be scored, or is odd, is said.

tests/oracles/vos_benchmark.json holds what vos-benchmark 0.1.0 says of the folders that `write_folders` makes:
`python tests/benchmark/test_given.py`, where that package can be imported, makes it again.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vosnb.benchmark import score
from vosnb.cli import main
from vosnb.clips import load, write_frame, write_mask

ORACLE = Path(__file__).parents[1] / "oracles" / "vos_benchmark.json"
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
SEED, CLIPS, STEP = 5, 10, 2


def write_folders(root, seed=SEED):
    """Masks of ten embedded clips as truth, with late and vanishing objects and ids of their own; and distorted."""
    rng = np.random.default_rng(seed)
    for clip in load("embedded", "val", CLIPS):
        masks = [np.array(mask) for mask in clip.masks[::STEP]]
        table = np.zeros(256, np.uint8)
        table[1:10] = np.sort(rng.choice(np.arange(1, 40), 9, replace=False))
        late = rng.integers(0, len(masks) // 2)
        for t, mask in enumerate(masks):
            true = np.where((mask == 2) & (t < late), 0, mask)  # but predicted all the time
            write_mask(root / "truth" / clip.name / f"{t:05d}.png", table[true])
            found = np.roll(mask, rng.integers(-6, 7, 2), (0, 1))
            found = (cv2.erode, cv2.dilate)[t % 2](found, np.ones(rng.integers(1, 6, 2)))
            if t % 5 == 4:
                found[found == 1] = 0
            if t % 7 == 6:
                found[:9, :9] = 9  # an object that the truth has not
            write_mask(root / "masks" / clip.name / f"{t:05d}.png", table[found])
    return root / "truth", root / "masks"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("ten"))


def test_ten_clips_score_as_vos_benchmark_scores_them(folders):
    oracle = json.loads(ORACLE.read_text())
    results = score(*folders)
    assert len(results["clips"]) == len(oracle["clips"]) == CLIPS
    ours = [results[key] for key in ("JF", "J", "F")]
    assert ours == pytest.approx([oracle[key] / 100 for key in ("JF", "J", "F")], abs=1e-6)
    for clip in results["clips"]:
        theirs = oracle["clips"][clip["clip"]]
        assert clip["ids"] == [int(k) for k in theirs["J"]]
        for key in "JF":
            assert clip[f"{key}_objects"] == pytest.approx([v / 100 for v in theirs[key].values()], abs=1e-6)


# ---------------------------------------------------------------- what people have


def mask(t, k=1):
    index = np.zeros((24, 32), np.uint8)
    index[4:12, 2 + t : 10 + t] = k
    return index


@pytest.fixture
def some(tmp_path):
    """Truth and equal masks of two clips, one with an object of id 7 beside 1."""
    for folder in ("truth", "masks"):
        for t in range(6):
            write_mask(tmp_path / folder / "one" / f"{t:05d}.png", mask(t))
            write_mask(tmp_path / folder / "two" / f"{t:05d}.png", mask(t) + np.roll(mask(t, 7), 10, 0))
    return tmp_path / "truth", tmp_path / "masks"


def vosnb(*words):
    return CliRunner().invoke(main, ["score", *map(str, words)])


def test_equal_masks_score_1_and_the_table_has_a_line_for_each_object(some, tmp_path):
    said = vosnb(*some, "--json", tmp_path / "s.json")
    assert said.exit_code == 0
    lines = [line.split() for line in said.output.splitlines()]
    assert [line[:2] for line in lines[1:]] == [["one", "1"], ["two", "1"], ["two", "7"], ["all", "3"]]
    assert all(line[2:5] == ["1.000"] * 3 for line in lines[1:])
    assert json.loads((tmp_path / "s.json").read_text()) == score(*some)
    assert vosnb(*some, "--json", tmp_path / "s.json").exit_code == 0


def test_one_clip_of_two_folders_of_masks_or_of_a_data_set(some):
    truth, masks = some
    (clip,) = score(truth / "two", masks / "two")["clips"]
    assert (clip["clip"], clip["ids"], clip["J"]) == ("two", [1, 7], 1)
    (clip,) = score(truth, masks / "two")["clips"]
    assert (clip["clip"], clip["J"]) == ("two", 1)
    with pytest.raises(ValueError, match="none named 'three'"):
        score(truth, (masks / "two").rename(masks / "three"))


def test_a_data_set_is_scored_with_its_own_ids(some, tmp_path):
    for t in range(6):
        write_frame(tmp_path / "set/valid/JPEGImages/two" / f"{t:05d}.jpg", np.zeros((24, 32, 3), np.uint8))
    (some[0]).rename(tmp_path / "set/valid/Annotations")
    objects = {"objects": {"7": {"frames": ["00000"]}, "1": {"frames": ["00000"]}}}
    (tmp_path / "set/valid/meta.json").write_text(json.dumps({"videos": {"two": objects}}))
    results = score(tmp_path / "set", some[1], split="valid")
    assert (results["J"], results["objects"], results["unknown"]) == (1, 2, ["one"])
    with pytest.raises(ValueError, match="no split"):
        score(tmp_path / "set", some[1], split="vali")
    assert score("embedded", some[1])["objects"] == 0


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda two: shutil.rmtree(two), "two is missing .*vos-benchmark"),
        (lambda two: (two / "00002.png").unlink(), "00002.png is missing"),
        (lambda two: [(two / f"0000{t}.png").unlink() for t in (1, 3)], "00001.png and 1 more masks are missing"),
        (lambda two: write_mask(two / "00003.png", mask(3)[:20]), "00003.png is 32 x 20 pixels, the truth 32 x 24"),
        (
            lambda two: Image.fromarray(NOISE).save(two / "00003.png"),
            "00003.png",
        ),
        (lambda two: (two / "00003.png").write_bytes(b"PNG"), "00003.png is damaged"),
        (lambda two: [write_mask(two / f"0000{t}.png", mask(t, 3)) for t in range(6)], "ids 3, but .* are 1, 7"),
    ],
)
def test_masks_that_cannot_be_scored_are_a_row_that_says_so(some, harm, reason):
    harm(some[1] / "two")
    one, two = score(*some)["clips"]
    assert one["J"] == 1 and re.search(reason, two["left_out"])
    said = vosnb(*some)
    assert said.exit_code == 0 and "Left out of the scores: 1 of 2 clips." in said.output


def test_odd_objects_and_clips_are_told(some):
    truth, masks = some
    for t in range(6):
        write_mask(masks / "two" / f"{t:05d}.png", mask(t) + np.roll(mask(t, 9), 10, 0))
        write_mask(masks / "three" / f"{t:05d}.png", mask(t))
        Image.fromarray(mask(t, 255)).save(masks / "one" / f"{t:05d}.png")  # black and white holds object 1
    said = vosnb(truth, masks).output
    assert "two: no mask holds object 7: counted as lost; the masks hold object 9, which the truth has not" in said
    assert "no such clip: three" in said and score(truth, masks)["clips"][0]["J"] == 1


def test_a_folder_without_anything_to_score_fails_with_a_sentence(some, tmp_path):
    truth, masks = some
    for folder in (truth / "one", truth / "two"):
        for t in range(1, 6):
            (folder / f"{t:05d}.png").unlink()
    said = vosnb(truth, masks)
    assert said.exit_code == 1 and "nothing to score" in said.output
    (tmp_path / "bare").mkdir()
    for words in ((truth, tmp_path / "nowhere"), (tmp_path / "nowhere", masks), (tmp_path / "bare", masks)):
        said = vosnb(*words)
        assert said.exit_code == 1 and said.output.startswith("Error: ") and "Traceback" not in said.output
    assert vosnb(masks, tmp_path / "bare").exit_code == 1


@pytest.mark.parametrize("content", ["mine", "{}", '{"truth": 1}'])
def test_a_file_that_score_did_not_make_stays(some, tmp_path, content):
    (tmp_path / "j.json").write_text(content)
    said = vosnb(*some, "--json", tmp_path / "j.json")
    assert said.exit_code == 1 and "was not made by vosnb score" in said.output
    assert (tmp_path / "j.json").read_text() == content


if __name__ == "__main__":  # where vos-benchmark can be imported
    from vos_benchmark.benchmark import benchmark

    with tempfile.TemporaryDirectory() as folder:
        truth, masks = write_folders(Path(folder))
        jf, j, f, (each,) = benchmark([str(truth)], [str(masks)], num_processes=1, verbose=False)
    clips = {
        name: {key: {str(k): round(values[k], 9) for k in sorted(values)} for key, values in zip("JF", of, strict=True)}
        for name, of in sorted(each.items())
    }
    about = {"made with": "vos-benchmark 0.1.0, in percent", "seed": SEED}
    ORACLE.write_text(json.dumps(about | {"JF": jf[0], "J": j[0], "F": f[0], "clips": clips}, indent=1) + "\n")
