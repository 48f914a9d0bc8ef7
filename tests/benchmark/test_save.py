"""`bench --save`: masks as servers take them; and the tracker that replays such folders."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from vosnb.benchmark import bench, describe
from vosnb.clips import Clip, load, write_frame, write_mask
from vosnb.files import safe_name
from vosnb.trackers import make_tracker, parse_tracker, segment

SIZE = (24, 32)
NAMES = ["00005", "00010", "00015", "00020", "00025"]
IDS = (7, 3)


def mask(t):
    index = np.zeros(SIZE, np.uint8)
    index[2:8, 2 + t : 10 + t], index[12:20, 4:12] = IDS
    return index


@pytest.fixture
def data(tmp_path):
    """Two clips in YouTube-VOS's layout, with ids and frame numbers of its own; `few` has its first mask only."""
    base = tmp_path / "valid"
    for clip, annotated in (("full", 5), ("few", 1)):
        for t, name in enumerate(NAMES):
            write_frame(base / "JPEGImages" / clip / f"{name}.jpg", np.full((*SIZE, 3), 40 * t, np.uint8))
            if t < annotated:
                write_mask(base / "Annotations" / clip / f"{name}.png", mask(t))
    objects = {"objects": {str(k): {"frames": NAMES[:1]} for k in IDS}}
    (base / "meta.json").write_text(json.dumps({"videos": {"full": objects, "few": objects}}))
    return tmp_path


def saved(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


# ---------------------------------------------------------------- saving


def test_masks_are_saved_with_the_names_and_ids_of_the_data_set(data, tmp_path):
    out = tmp_path / "out"
    bench("still,histogram:bins=8", data, "valid", save=out, progress=False)
    wanted = [f"{clip}/{name}.png" for clip in ("few", "full") for name in NAMES]
    assert sorted(p.name for p in out.iterdir()) == sorted(["still", safe_name("histogram:bins=8")])
    for folder in out.iterdir():
        assert saved(folder) == wanted
    image = Image.open(out / "still/few/00025.png")
    assert image.mode == "P" and image.getpalette()[3:6] == [128, 0, 0]
    np.testing.assert_array_equal(np.array(image), mask(0))


def test_ids_that_no_mask_file_can_hold_become_1_to_K(tmp_path):
    """OVIS counts its annotations over the whole data set."""
    masks = np.stack([np.select([mask(t) == 7, mask(t) == 3], [1, 2]).astype(np.uint8) for t in range(5)])
    clip = Clip.from_arrays("many", np.zeros((5, *SIZE, 3), np.uint8), masks, ids=[3000, 7])
    bench("still", [clip], save=tmp_path, progress=False)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "still/many/00000.png")), masks[0])


def test_object_1_alone_is_saved_under_its_own_id_and_objects_in_turn_are_refused(data, tmp_path):
    bench("still", data, "valid", "first", save=tmp_path / "out", progress=False)
    first = load(data, "valid")[0].info["ids"][0]
    found = np.array(Image.open(tmp_path / "out/still/full/00015.png"))
    np.testing.assert_array_equal(found, np.where(mask(0) == first, first, 0))
    with pytest.raises(ValueError, match="overlap"):
        bench("still", data, "valid", "each", save=tmp_path / "out", progress=False)


@pytest.mark.parametrize("harm", ["remove", "change", "empty"])
def test_a_clip_whose_masks_are_not_all_there_is_run_again(data, tmp_path, harm):
    how = {"json_path": tmp_path / "r.json", "save": tmp_path / "out", "progress": False}
    first = bench("still", data, "valid", **how)
    file = tmp_path / "out/still/full/00015.png"
    before = file.read_bytes()
    {"remove": file.unlink, "empty": lambda: file.write_bytes(b""), "change": lambda: write_mask(file, mask(1))}[harm]()
    again = bench("still", data, "valid", **how)
    assert file.read_bytes() == before
    kept = [a == b for a, b in zip(first["clips"], again["clips"], strict=True)]
    assert kept == [clip["clip"] == "few" for clip in first["clips"]]


def test_scores_without_masks_do_not_stand_for_them(data, tmp_path):
    bench("still", data, "valid", json_path=tmp_path / "r.json", progress=False)
    bench("still", data, "valid", json_path=tmp_path / "r.json", save=tmp_path / "out", progress=False)
    assert len(saved(tmp_path / "out")) == 10


def test_a_folder_with_something_else_is_refused_before_the_run(data, tmp_path):
    other = tmp_path / "out/still/full/frame_1.png"
    write_mask(other, mask(0))
    with pytest.raises(ValueError, match="frame_1.png is no mask of clip 'full'"):
        bench("still", data, "valid", save=tmp_path / "out", progress=False)
    assert saved(tmp_path / "out") == ["still/full/frame_1.png"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"):
        bench("still", data, "valid", save=tmp_path / "file", progress=False)


@pytest.mark.parametrize("name", ["a:b", "../up", "..", "a/b", "x" * 300, "q?*", "\n", "ends."])
def test_odd_names_make_one_folder_each_and_stay_inside(name, tmp_path):
    safe = safe_name(name)
    (tmp_path / safe).mkdir()
    assert [p.name for p in tmp_path.iterdir()] == [safe] and safe != safe_name(name + "_")
    assert safe_name("val-easy-000") == "val-easy-000" and safe_name("matching@x=1++still") == "matching@x=1++still"


# ---------------------------------------------------------------- replaying


@pytest.mark.parametrize("objects", ["all", "first", "each"])
def test_masks_that_were_saved_score_as_the_tracker_did(data, tmp_path, objects):
    bench("histogram", data, "valid", save=tmp_path / "out", progress=False)
    spec = f"masks:folder={tmp_path / 'out' / 'histogram'}"
    if objects == "all":
        old, new = (bench(what, data, "valid", progress=False)["clips"] for what in ("histogram", spec))
        assert [r.get("J_objects") for r in old] == [r.get("J_objects") for r in new]
        assert [r.get("F_objects") for r in old] == [r.get("F_objects") for r in new]
    else:
        record = {r["clip"]: r for r in bench(spec, data, "valid", objects, progress=False)["clips"]}["full"]
        assert record["objects"] == (1 if objects == "first" else 2)


@pytest.fixture
def truth(data, tmp_path):
    """A folder with the true masks of `full`, as any program would write them."""
    for t, name in enumerate(NAMES):
        write_mask(tmp_path / "theirs/full" / f"{name}.png", mask(t))
    return tmp_path / "theirs"


def full(data):
    return next(clip for clip in load(data, "valid") if clip.name == "full")


@pytest.mark.parametrize("objects", ["all", "first", "each"])
def test_true_masks_score_1_under_every_protocol(data, truth, objects):
    (record,) = bench({"t": lambda: make_tracker("masks", folder=str(truth))}, [full(data)], objects=objects)["clips"]
    assert record["J"] == record["F"] == 1


def test_clips_without_ids_of_their_own_replay_each_object(tmp_path):
    masks = [np.minimum(mask(t), 4) // 4 + (mask(t) > 0) for t in range(4)]
    clip = Clip.from_arrays("plain", [np.zeros((*SIZE, 3), np.uint8)] * 4, masks)
    for t, m in enumerate(masks):
        write_mask(tmp_path / "plain" / f"{t:05d}.png", m)
    for objects in ("all", "first", "each"):
        (record,) = bench(f"masks:folder={tmp_path}", [clip], objects=objects, progress=False)["clips"]
        assert set(record["J_objects"]) == {1.0}


def test_folders_as_zips_unpack_to_are_found(data, truth, tmp_path, monkeypatch):
    shutil.move(truth / "full", tmp_path / "unpacked/Annotations/480p/full")
    (tmp_path / "unpacked/__MACOSX").mkdir()
    monkeypatch.chdir(tmp_path)
    tracker = make_tracker("masks", folder="unpacked")
    assert [m.max() for _, m, _ in segment(tracker, full(data))] == [2] * 5
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make_tracker("masks", folder="~/unpacked").digest == tracker.digest


def test_probabilities_sum_to_one_and_an_ensemble_counts_votes(data, truth, tmp_path):
    for name in NAMES:
        write_mask(tmp_path / "wrong/full" / f"{name}.png", np.roll(mask(0), 5))
    together = make_tracker("++".join(f'masks@folder="{folder}"' for folder in (truth, tmp_path / "wrong", truth)))
    for t, answer, p in segment(together, full(data)):
        np.testing.assert_array_equal(answer, full(data).masks[t])
        assert p is None or float(p.sum(0).max()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="leave flip and scales out"):
        make_tracker(f'masks@folder="{truth}"', flip=True)


def test_what_is_missing_or_does_not_fit_is_one_sentence(data, truth):
    def reason():
        (record,) = bench(f'masks:folder="{truth}"', [full(data)], progress=False)["clips"]
        return record["left_out"]

    file = truth / "full" / f"{NAMES[2]}.png"
    file.unlink()
    assert "no mask of 00015" in reason()
    write_mask(file, mask(0)[:12])
    assert "is 32 x 12 pixels, its frame 32 x 24" in reason()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)).save(file)
    assert file.name in reason() and "colours" in reason()
    for name in NAMES:
        write_mask(truth / "full" / f"{name}.png", np.minimum(mask(0), 1))
    assert "hold the ids 1, but the clip's are 3, 7" in reason()
    shutil.move(truth / "full", truth / "other")
    assert "no folder of masks for clip 'full'" in reason()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("masks", "masks:folder=DIR"),
        ("masks:folder=nowhere", "no folder of masks nowhere"),
        ("masks:folder=.", "no masks"),
    ],
)
def test_a_folder_that_is_none_stops_at_once(spec, said, data, tmp_path, monkeypatch):
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    with pytest.raises(ValueError, match=said):
        bench(spec, data, "valid", progress=False)


def test_changed_masks_are_another_tracker(truth):
    def about(*more):
        spec = f'masks@folder="{truth}"'
        return describe(make_tracker("++".join([spec, *more])), {"folder": str(truth)})["weights"]

    before, together = about(), about("still")
    write_mask(truth / "full" / f"{NAMES[1]}.png", mask(4))
    assert about() != before and about("still") != together


def test_paths_with_colons_and_commas_stand_in_quotes(truth, data):
    odd = truth.rename(truth.with_name("10:30, a@b++c"))
    assert parse_tracker(r'masks:folder="C:\new":x=1') == ("masks", {"folder": r"C:\new", "x": 1})
    results = bench(f'still,masks:folder="{odd}"', [full(data)], progress=False)
    assert [record["J"] == 1 for record in results["clips"]] == [False, True]
