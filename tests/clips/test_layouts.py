"""Data sets as their owners publish them, in layouts that differ by a folder or a key; and what lies among them."""

import json
import time

import numpy as np
import pytest
from PIL import Image
from ponds import make_clip

from vosnb import clips
from vosnb.clips import ClipError, load
from vosnb.clips.masks import write_frame, write_mask

POND = make_clip(frames=6, late=3)
NAMES = [f"{t:05d}" for t in range(6)]


def put(frames, masks=None, which=range(6), suffix=".jpg"):
    """The frames of a pond in a folder, and its masks in another."""
    for name, frame in zip(NAMES, POND.frames, strict=True):
        write_frame(frames / f"{name}{suffix}", frame)
    for t in which if masks else ():
        write_mask(masks / f"{NAMES[t]}.png", POND.masks[t])


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def same(found, name="bear", which=range(6)):
    (clip,) = found
    assert (clip.name, len(clip)) == (name, 6)
    for t in range(6):
        if t in which:
            np.testing.assert_array_equal(clip.masks[t], POND.masks[t])
        else:
            assert clip.masks[t] is None


@pytest.mark.parametrize(
    ("frames", "masks", "root", "split"),
    [
        ("JPEGImages/bear", "Annotations/bear", ".", "val"),  # MOSE and LVOS, one split
        ("train/JPEGImages/bear", "train/Annotations/bear", ".", "train"),
        ("train/JPEGImages/bear", "train/Annotations/bear", "train", "train"),
        ("images/bear", "masks/bear", ".", "val"),
        ("frames/bear", "Masks/bear", ".", "val"),
        ("JPEGImages/bear", "Annotations/480p/bear", ".", "val"),
        ("JPEGImages/480p/bear", "Annotations/bear", ".", "val"),
        ("JPEGImages/Full-Resolution/bear", "Annotations/Full-Resolution/bear", ".", "val"),
        ("JPEGImages/480p/bear", "Annotations/480p/bear", ".", "val"),
        ("JPEGImages/valid/bear", "Annotations/valid/bear", ".", "valid"),
        ("val/JPEGImages/480p/bear", "val/Annotations/480p/bear", ".", "val"),
    ],
)
def test_a_level_more_or_less(tmp_path, frames, masks, root, split):
    put(tmp_path / frames, tmp_path / masks)
    same(load(tmp_path / root, split))


@pytest.mark.parametrize("names", [("JPEGImages", "Annotations"), ("images", "masks"), ("frames", "labels")])
def test_two_folders_are_one_clip(tmp_path, names):
    put(*(tmp_path / "bear" / name for name in names), suffix=".png")
    same(load(tmp_path / "bear", "val"))


def test_the_first_masks_alone(tmp_path):
    """DAVIS test-dev, MOSE valid."""
    put(tmp_path / "JPEGImages/480p/bear", tmp_path / "Annotations/480p/bear", [0])
    write(tmp_path / "ImageSets/2017/x", None)
    (tmp_path / "ImageSets/2017/test-dev.txt").write_text("bear\n")
    same(load(tmp_path, "test-dev"), which=[0])


@pytest.mark.parametrize(
    "text",
    [b"bear\r\n\r\n", b"\xef\xbb\xbfbear\n", b"\n# the only one\n  bear  \n", "bear\r\n".encode("utf-16"), b"bear"],
)
def test_lists_from_any_editor(tmp_path, text):
    put(tmp_path / "JPEGImages/480p/bear", tmp_path / "Annotations/480p/bear")
    put(tmp_path / "JPEGImages/480p/reed", tmp_path / "Annotations/480p/reed")
    (tmp_path / "ImageSets/2017").mkdir(parents=True)
    (tmp_path / "ImageSets/2017/val.txt").write_bytes(text)
    same(load(tmp_path, "val"))


def test_names_with_blanks_accents_and_other_bytes(tmp_path):
    for name in ("a bear", "été", "#1"):
        clips.write_davis(clips.Clip(name, POND.frames, POND.masks), tmp_path, "val")
    (tmp_path / "JPEGImages/480p/été").rename(
        tmp_path / "JPEGImages/480p" / b"\xe9t\xe9".decode(errors="surrogateescape")
    )
    file = tmp_path / "ImageSets/2017/val.txt"
    file.write_bytes(file.read_bytes().replace("été".encode(), b"\xe9t\xe9"))
    assert [clip.frames[0].shape for clip in load(tmp_path, "val")] == [(40, 60, 3)] * 3


def test_hidden_files_and_empty_folders_are_no_data(tmp_path):
    put(tmp_path / "JPEGImages/480p/bear", tmp_path / "Annotations/480p/bear")
    for stray in (
        "JPEGImages/480p/bear/._00000.jpg",
        "Annotations/480p/bear/._00000.png",
        "Annotations/480p/bear/Thumbs.db",
        "JPEGImages/._480p",
        "JPEGImages/480p/.ipynb_checkpoints/00000.jpg",
        "JPEGImages/480p/empty/.DS_Store",
        "JPEGImages/__MACOSX/480p/bear/00000.jpg",
        "ImageSets/2017/._val.txt",
        ".trash/meta.json",
    ):
        (tmp_path / stray).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stray).write_bytes(b"\0\5\x16\7")
    same(load(tmp_path, "val"))


def test_lvos_has_ranges_for_lists_of_frames(tmp_path):
    put(tmp_path / "valid/JPEGImages/bear", tmp_path / "valid/Annotations/bear")
    table = np.arange(256, dtype=np.uint8)
    table[[1, 2]] = 7, 4
    for t, name in enumerate(NAMES):
        write_mask(tmp_path / f"valid/Annotations/bear/{name}.png", table[POND.masks[t]])
    ranges = {"4": {"frame_range": {"start": "3", "end": "5"}}, "7": {"frame_range": {"start": 0, "frame_nums": "6"}}}
    write(tmp_path / "valid/meta.json", {"videos": {"bear": {"objects": ranges}}})
    found = load(tmp_path, "valid")
    same(found)
    assert found[0].info["ids"] == [7, 4]


@pytest.mark.parametrize("about", [{"expressions": {"0": {"exp": "a bear"}}}, {}, {"objects": {}}, {"objects": None}])
def test_objects_that_meta_json_does_not_list_are_found_in_the_masks(tmp_path, about):
    put(tmp_path / "valid/JPEGImages/bear", tmp_path / "valid/Annotations/bear")
    put(tmp_path / "valid/JPEGImages/reed")
    write(tmp_path / "valid/meta.json", {"videos": {"bear": about}})
    same(load(tmp_path, "valid"))
    write(tmp_path / "valid/meta.json", {"videos": {"reed": about}})
    with pytest.raises(ClipError, match=r"meta\.json lists no objects for reed, and there are no masks in .*/reed"):
        _ = load(tmp_path, "valid")[0].frames[0]


def test_all_frames_have_the_masks_of_their_split(tmp_path):
    put(tmp_path / "valid/JPEGImages/bear", tmp_path / "valid/Annotations/bear", [0, 5])
    put(tmp_path / "valid_all_frames/JPEGImages/bear")
    objects = {"1": {"frames": ["00000"]}, "2": {"frames": ["00005"]}}
    write(tmp_path / "valid/meta.json", {"videos": {"bear": {"objects": objects}}})
    same(load(tmp_path, "valid_all_frames"), which=[0, 5])


def test_an_object_that_no_mask_shows_keeps_its_number_and_is_none_of_the_clip(tmp_path):
    put(tmp_path / "valid/JPEGImages/bear", tmp_path / "valid/Annotations/bear")
    objects = {"1": {"frames": ["00000"]}, "2": {"frames": ["00003"]}, "9": {"frames": ["00001"]}}
    write(tmp_path / "valid/meta.json", {"videos": {"bear": {"objects": objects}}})
    (clip,) = load(tmp_path, "valid")
    assert clip.info["ids"] == [1, 9, 2] and clip.objects == [1, 3]


# ------------------------------------------------------------------------------------------------------- YouTube-VIS


def runs(mask):
    flat = (mask == 1).T.ravel().astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [40, 60], "counts": np.diff([0, *ends, flat.size]).tolist()}


def vis(masks, names=None, **video):
    video = {"id": 1, "width": 60, "height": 40, "file_names": names or [f"bear/{n}.jpg" for n in NAMES]} | video
    annotation = {"id": 5, "video_id": 1, "category_id": 1, "segmentations": masks}
    return {"videos": [video], "categories": [{"id": 1, "name": "bear"}], "annotations": [annotation]}


@pytest.mark.parametrize(
    ("file", "frames", "root"),
    [
        ("train.json", "train/JPEGImages", "."),  # YouTube-VIS 2019
        ("train/instances.json", "train/JPEGImages", "."),  # 2021
        ("train/instances.json", "train/JPEGImages", "train"),
        ("annotations_train.json", "train", "."),  # OVIS
        ("annotations/instances_train.json", "JPEGImages", "."),
        ("train_instances.json", "JPEGImages/train", "."),  # LV-VIS
    ],
)
def test_youtube_vis_under_its_own_names(tmp_path, file, frames, root):
    put(tmp_path / frames / "bear")
    write(tmp_path / file, vis([runs(mask) for mask in POND.masks]))
    (clip,) = load(tmp_path / root, "train")
    assert clip.name == "bear" and clip.info["categories"] == {1: "bear"}
    for t in range(6):
        np.testing.assert_array_equal(clip.masks[t], POND.masks[t] == 1)
    if root == ".":
        with pytest.raises(ClipError, match="no split 'trian' but train; perhaps you mean train"):
            load(tmp_path, "trian")


def test_file_names_without_a_folder(tmp_path):
    put(tmp_path / "train")
    write(tmp_path / "train.json", vis([runs(mask) for mask in POND.masks], [f"{n}.jpg" for n in NAMES]))
    (clip,) = load(tmp_path, "train")
    assert clip.name == "1" and clip.frames[5].any() and clip.objects == [1]


def test_nobody_ever_sees_a_null(tmp_path):
    put(tmp_path / "train/bear")
    write(tmp_path / "annotations_train.json", vis(None))
    (clip,) = load(tmp_path, "train")
    assert clip.objects == [] and not clip.masks[0].any()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"counts": [10_000_000_000, 1]}, "fill 10000000001 pixels of 2400"),
        ({"counts": [2400, -5, 5]}, "no whole numbers"),
        ({"counts": [2000.5, 399.5]}, "no whole numbers"),
        ({"counts": [[2400]]}, "no whole numbers"),
        ({"counts": "o" * 100_000 + "0"}, "cut off or damaged"),
        ({"counts": "été"}, "cut off or damaged"),
        ({"counts": "ooooooO"}, "no whole numbers|pixels of 2400"),
        ({"counts": 7}, "no run lengths"),
        ({"size": [40, 60]}, "no run lengths"),
        ({"size": [60, 40], "counts": [2400]}, "of another size than its video"),
        ([[1, 1, 30, 1]], "three pairs"),
        ([[1, 1, 30, 1, 1e9, 1e9]], "far outside the frame"),
        ([[1, 1, 30, 1, float("nan"), 1]], "far outside the frame"),
        ([[1, 1, 30, "x", 2, 1]], "cannot be decoded"),
        ([7], "three pairs"),
        ("bear", "no run lengths"),
    ],
)
def test_what_is_no_mask_is_told_before_it_fills_the_memory(tmp_path, mask, message):
    put(tmp_path / "train/bear")
    write(tmp_path / "annotations_train.json", vis([mask, *[None] * 5]))
    (clip,) = load(tmp_path, "train")
    assert not clip.masks[1].any()
    begin = time.perf_counter()
    with pytest.raises(ClipError, match=f"annotation 5 of .*annotations_train.json.*{message}"):
        _ = clip.masks[0]
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("seed", range(3))
def test_polygons_are_filled_as_pycocotools_fills_them(seed):
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    for _ in range(40):
        h, w = rng.integers(3, 60, 2).tolist()
        corners = [rng.random((rng.integers(3, 12), 2)) * 1.6 * (w, h) - 0.3 * np.array([w, h]) for _ in range(2)]
        polygons = [(np.round(xy) if seed == 1 else xy).ravel().tolist() for xy in corners]
        expected = coco.decode(coco.frPyObjects(polygons, h, w)).any(2)
        np.testing.assert_array_equal(clips.coco.decode(polygons, (h, w), ""), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 10**6, "height": 10**6}, "1000000 x 1000000 pixels"),
        ({"width": -60, "height": -40}, "-60 x -40 pixels"),
        ({"file_names": []}, "lists no frames for video 1"),
        ({"file_names": [f"bear/{n}.jpg" for n in (*NAMES[:5], "00009")]}, r"00009\.jpg is missing"),
    ],
)
def test_a_damaged_video_stops_no_other(tmp_path, change, message):
    put(tmp_path / "train/bear")
    content = vis([runs(mask) for mask in POND.masks], **change)
    content["videos"].append(vis(None)["videos"][0] | {"id": 2})
    write(tmp_path / "annotations_train.json", content)
    bear, other = load(tmp_path, "train")
    assert other.frames[5].any()
    with pytest.raises(ClipError, match=message):
        _ = bear.size


# --------------------------------------------------------------------------------------------------- what leads astray


@pytest.mark.parametrize("name", ["../up", "/tmp/up", "..", ".", "", "a/b", "a\\b", "C:\\up", "a\0b", "a\nb", " "])
def test_names_lead_nowhere_else(tmp_path, name):
    root = tmp_path / "in" / "set"
    put(root / "ovis/train/bear")
    put(tmp_path / "in" / "up")
    write(root / "ovis/annotations_train.json", vis(None, [f"{name}/{n}.jpg" for n in NAMES]))
    with pytest.raises(ClipError, match=r"annotations_train\.json has the name|no folder of frames .*train/a/b"):
        load(root / "ovis", "train")
    write(root / "yt/train/meta.json", {"videos": {name: {}}})
    with pytest.raises(ClipError, match=r"meta\.json has the name"):
        load(root / "yt", "train")
    put(root / "dv/JPEGImages/480p/bear")
    write(root / "dv/ImageSets/2017/val.txt", None)
    (root / "dv/ImageSets/2017/val.txt").write_text(f"bear\n{name}\n")
    if name.strip() and "\n" not in name and "/" not in name:  # those are lines, or pairs of paths
        with pytest.raises(ClipError, match=r"val\.txt has the name"):
            load(root / "dv", "val")
    before = sorted(tmp_path.rglob("*"))
    for write_layout in (clips.write_davis, clips.write_youtube_vos, clips.write_ovis):
        for clip, split in ((clips.Clip(name, POND.frames, POND.masks), "val"), (POND, name)):
            with pytest.raises(ClipError, match="What is to be written has the name"):
                write_layout(clip, root / "new", split)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pair_of_paths_names_a_folder_of_this_data_set(tmp_path):
    put(tmp_path / "set/JPEGImages/480p/bear")
    put(tmp_path / "up")
    write(tmp_path / "set/ImageSets/480p/val.txt", None)
    for line in ("../../../up/00000.jpg x", "/JPEGImages/../00000.jpg x", "../00000.jpg"):
        (tmp_path / "set/ImageSets/480p/val.txt").write_text(line)
        with pytest.raises(ClipError, match="has the name|no folder of frames .*480p/up"):
            load(tmp_path / "set", "val")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("valid/meta.json", content)
        for content in (
            "{", "[]", "null", "7", '{"videos": []}', '{"videos": {"bear": 3}}',
            '{"videos": {"bear": {"objects": [1]}}}',
            '{"videos": {"bear": {"objects": {"1": {"frames": 7}}}}}', "[" * 100_000, '{"videos": {}}', "\xff",
            '{"videos": {"bear": {"objects": {"1": {"frame_range": {"start": "x"}}}}}}',
        )
    ]
    + [
        ("annotations_valid.json", content)
        for content in (
            "{", "[]", '{"videos": {}}', '{"videos": [{}]}', '{"videos": []}',
            '{"videos": [{"id": 1, "file_names": 3}]}',
            '{"videos": [], "annotations": [3]}', '{"videos": [], "categories": {"id": 1}}',
            json.dumps({"videos": 2 * vis(None)["videos"]}),
        )
    ]
    + [("clips.json", content) for content in ("{", "[]", "{}", '{"clips": []}', '{"clips": {"bear": 3}}')]
    + [("clips.json", json.dumps({"clips": {"bear": x}})) for x in ({"seen": {"a": True}}, {"fps": -1}, {"seen": 1})],
)  # fmt: skip
def test_json_of_another_shape_is_one_sentence(tmp_path, path, content):
    put(
        tmp_path
        / ("train/bear" if "annotations" in path else "valid/JPEGImages/bear" if "valid" in path else "images/bear")
    )
    (tmp_path / path).write_text(content, encoding="latin-1")
    with pytest.raises(ClipError, match=f"{path} (is damaged|lists no|has 2 videos)"):
        load(tmp_path, "valid")


@pytest.mark.parametrize("number", ["300", "255", "0", "-1", "x", "", "1.5", "²", "9" * 5000])
def test_an_id_that_no_index_mask_can_hold(tmp_path, number):
    for name in ("bear", "reed"):
        put(tmp_path / f"valid/JPEGImages/{name}", tmp_path / f"valid/Annotations/{name}")
    about = {"1": {"frames": []}, "2": {"frames": []}, number: {"frames": []}}
    write(tmp_path / "valid/meta.json", {"videos": {"bear": {"objects": about}, "reed": {}}})
    bear, reed = load(tmp_path, "valid")
    assert reed.objects == [1, 2]
    with pytest.raises(ClipError, match=r"meta\.json has an object with the id '.*ids 1 to 254"):
        _ = bear.first_mask


def test_clips_json_cannot_rename_frames_or_objects(tmp_path):
    put(tmp_path / "images/bear", tmp_path / "masks/bear")
    write(tmp_path / "clips.json", {"clips": {"bear": {"names": ["../up"], "ids": [9], "fps": 12, "species": [1]}}})
    assert load(tmp_path, "val")[0].info == {"names": NAMES, "fps": 12, "species": [1]}


# ------------------------------------------------------------------------------------------- what is missing is named


def test_no_clips_is_never_an_empty_list(tmp_path):
    (tmp_path / "images/bear").mkdir(parents=True)
    with pytest.raises(ClipError, match=r"images holds no folder with frames; a clip lies in .*images/NAME/00000\.jpg"):
        load(tmp_path, "val")
    put(tmp_path / "images/bear", tmp_path / "masks/reed")
    with pytest.raises(ClipError, match=r"masks has no masks of the clips in .*images; .* belong in .*masks/bear"):
        load(tmp_path, "val")
    write(tmp_path / "ImageSets/val.txt", None)
    (tmp_path / "ImageSets/val.txt").write_text("\n# none yet\n")
    with pytest.raises(ClipError, match=r"val\.txt names no clip"):
        load(tmp_path, "val")


def test_folders_of_folders_that_are_no_resolutions(tmp_path):
    for split in ("easy", "hard"):
        put(tmp_path / f"images/{split}/bear", tmp_path / f"masks/{split}/bear")
    same(load(tmp_path, "hard"))
    with pytest.raises(
        ClipError, match="holds easy, hard, each with folders of its own; give one of these as the split"
    ):
        load(tmp_path, "val")


def test_an_unknown_split_lists_those_there_are(tmp_path):
    for split in ("train", "valid"):
        put(tmp_path / f"{split}/JPEGImages/bear")
    with pytest.raises(ClipError, match="no split 'val' but train, valid; perhaps you mean valid"):
        load(tmp_path, "val")


def test_two_masks_of_one_frame(tmp_path):
    put(tmp_path / "images/bear", tmp_path / "masks/bear")
    Image.fromarray(POND.masks[0]).save(tmp_path / "masks/bear/00000.bmp")
    with pytest.raises(ClipError, match=r"00000\.bmp and 00000\.png are masks of one frame"):
        _ = load(tmp_path, "val")[0].first_mask


def test_a_clip_that_lost_its_frames_is_no_stray_folder(tmp_path):
    put(tmp_path / "images/bear", tmp_path / "masks/bear")
    put(tmp_path / "images/reed", tmp_path / "masks/reed")
    for file in (tmp_path / "images/reed").iterdir():
        file.unlink()
    bear, reed = load(tmp_path, "val")
    with pytest.raises(ClipError, match="images/reed holds no images"):
        _ = reed.frames[0]


def test_listing_a_data_set_decodes_nothing(tmp_path, monkeypatch):
    put(tmp_path / "valid/JPEGImages/bear", tmp_path / "valid/Annotations/bear")
    for i in range(300):
        (tmp_path / f"valid/JPEGImages/{i}").symlink_to("bear")
        (tmp_path / f"valid/Annotations/{i}").symlink_to("bear")

    def refuse(*_):
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", refuse)
    begin = time.perf_counter()
    assert len(load(tmp_path, "valid")) == 301
    objects = {"1": {"frames": NAMES}, "2": {"frames": NAMES[3:]}}
    write(tmp_path / "valid/meta.json", {"videos": {str(i): {"objects": objects} for i in range(300)}})
    assert len(load(tmp_path, "valid")) == 300
    assert time.perf_counter() - begin < 5
