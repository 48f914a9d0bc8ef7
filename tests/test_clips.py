"""Clips: what is written is read again, in every layout, and bad input gets one clear sentence."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from vosnb import clips, layouts, masks
from vosnb.clips import Clip, ClipError, load, open_clip
from vosnb.masks import read_mask, write_mask
from vosnb.paths import ROOT
from vosnb.video import write_video

REAL = ROOT.parent / "shared" / "real"


def make_clip(name="pond", frames=12, size=(40, 60), late=5, **info) -> Clip:
    """Object 1 moves to the right from the start, object 2 appears at frame `late`, a strip at the bottom is void."""
    h, w = size
    pictures = np.zeros((frames, h, w, 3), np.uint8)
    ids = np.zeros((frames, h, w), np.uint8)
    for t in range(frames):
        pictures[t] = np.linspace(20, 200, w).astype(np.uint8)[None, :, None] // 2 + 8 * t
        ids[t, 5:15, 2 + t : 14 + t] = 1
        if t >= late:
            ids[t, 20:32, 30:45] = 2
        ids[t, -3:] = masks.VOID
    return Clip.from_arrays(name, pictures, ids, **info)


def assert_same(clip: Clip, other: Clip, void=True, loss=6):
    """Equal masks (void taken for background if a layout cannot hold it), and frames within what JPEG loses."""
    assert len(clip) == len(other) and clip.size == other.size
    for t in range(len(other)):
        mask = other.masks[t] if void else np.where(other.masks[t] == masks.VOID, 0, other.masks[t])
        np.testing.assert_array_equal(clip.masks[t], mask)
        assert clip.masks[t].dtype == np.uint8 and clip.frames[t].dtype == np.uint8
        assert np.abs(clip.frames[t].astype(int) - other.frames[t]).mean() < loss


# ---------------------------------------------------------------------------------------------------------- the clip


def test_a_clip_knows_its_objects():
    clip = make_clip()
    assert (len(clip), clip.size, clip.objects, clip.appearances) == (12, (40, 60), [1, 2], {1: 0, 2: 5})
    assert clip.first_mask.max() == masks.VOID and (clip.first_mask == 1).sum() == 120


def test_one_object_alone():
    clip = make_clip(ids=[7, 3], seen={1: True, 2: False}, categories={1: "duck", 2: "toad"})
    alone = clip.only(2)
    assert alone.appearances == {1: 5}
    assert alone.info == {"ids": [3], "seen": {1: False}, "categories": {1: "toad"}}
    np.testing.assert_array_equal(alone.masks[6] == 1, clip.masks[6] == 2)
    np.testing.assert_array_equal(alone.masks[6] == masks.VOID, clip.masks[6] == masks.VOID)


def test_views_are_lazy_and_can_be_chained():
    asked = []

    def get(t):
        asked.append(t)
        return np.full((20, 30, 3), t, np.uint8)

    clip = Clip("lazy", clips.Lazy(10, get), clips.Lazy(10, lambda t: np.full((20, 30), t == 4, np.uint8)))
    view = clip.subclip(4, 8).resized(height=40).only(1)
    assert asked == [4]  # one frame tells the size
    assert len(view) == 4 and view.size == (40, 60) and view.frames[-1][0, 0, 0] == 7
    assert view.first_mask.all() and not view.masks[1].any()
    assert set(asked) == {4, 7}
    with pytest.raises(IndexError):
        view.frames[4]


def test_resizing_keeps_the_aspect_ratio_and_the_ids():
    clip = make_clip()
    assert [clip.resized(**s).size for s in ({"height": 20}, {"width": 30}, {"height": 20, "width": 50})] == [
        (20, 30),
        (20, 30),
        (20, 50),
    ]
    small = clip.resized(height=20)
    assert set(np.unique(small.masks[6])) == {0, 1, 2, masks.VOID}
    assert abs(4 * (small.masks[6] == 1).sum() - (clip.masks[6] == 1).sum()) <= 24
    with pytest.raises(ClipError, match="height, a width or both"):
        clip.resized()


@pytest.mark.parametrize(
    ("frames", "ids", "message"),
    [
        (np.zeros((0, 4, 4, 3), np.uint8), None, "no frames"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((3, 4, 4), np.uint8), "2 frames but 3 masks"),
        (np.zeros((2, 4, 4, 3)), None, "not an .H, W, 3. uint8 RGB"),
        (np.zeros((2, 4, 4), np.uint8), None, "not an .H, W, 3. uint8 RGB"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], None, "Frame 1 .* resize"),
        (np.zeros((2, 4, 4, 3), np.uint8), [None, np.zeros((5, 4), np.uint8)], "Mask 1 .* resize"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4), 300), "Mask 0 .* ids in 0..255"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4), 0.5), "Mask 0 .* ids in 0..255"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4), 3), "the object ids 3; renumber the objects 1..1"),
    ],
)
def test_arrays_that_are_no_clip(frames, ids, message):
    with pytest.raises(ClipError, match=message):
        Clip.from_arrays("bad", frames, ids)


# ------------------------------------------------------------------------------------------------------------- masks


def test_masks_survive_the_disk_with_the_palette_of_davis(tmp_path):
    mask = make_clip().masks[6]
    write_mask(tmp_path / "new" / "a.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "new" / "a.png"), mask)
    image = Image.open(tmp_path / "new" / "a.png")
    assert image.mode == "P" and image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    np.testing.assert_array_equal(masks.mask_from_colours(np.array(image.convert("RGB"))), mask)


def save(path, array, mode=None):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def test_grey_and_black_and_white_masks_are_read(tmp_path):
    square = np.zeros((20, 20), np.uint8)
    square[5:12, 5:12] = 1
    for name, picture in {
        "ids": square,
        "white": 255 * square,
        "bits": square.astype(bool),
        "white in colour": 255 * np.dstack([square] * 3),
    }.items():
        np.testing.assert_array_equal(read_mask(save(tmp_path / f"{name}.png", picture)), square, err_msg=name)


def test_a_colour_mask_is_refused_and_can_be_mended(tmp_path):
    mask = make_clip().masks[6]
    file = save(tmp_path / "rgb.png", masks.palette()[mask])
    with pytest.raises(ClipError, match=r"rgb\.png is an RGB picture.*mask_from_colours.*write_mask"):
        read_mask(file)
    write_mask(file, masks.mask_from_colours(np.array(Image.open(file))))
    np.testing.assert_array_equal(read_mask(file), mask)
    with pytest.raises(ClipError, match="outside the DAVIS palette"):
        masks.mask_from_colours(np.full((4, 4, 3), 77, np.uint8))


@pytest.mark.parametrize("blur", [1, 3, 9])
def test_smoothed_edges_do_not_become_objects(tmp_path, blur):
    disk = cv2.circle(np.zeros((80, 80), np.uint8), (40, 40), 22, 255, -1)
    file = save(tmp_path / "soft.png", cv2.GaussianBlur(disk, (0, 0), blur))
    with pytest.raises(ClipError, match=r"soft\.png has \d+ grey levels.*without anti-aliasing"):
        read_mask(file)


def test_a_ramp_of_fifty_palette_ids_is_refused(tmp_path):
    write_mask(tmp_path / "ramp.png", np.tile(np.arange(51, dtype=np.uint8), (20, 1)))
    with pytest.raises(ClipError, match="50 grey levels"):
        read_mask(tmp_path / "ramp.png")


def test_masks_in_other_formats_and_broken_files(tmp_path):
    file = save(tmp_path / "deep.png", np.ones((5, 5), np.uint16))
    with pytest.raises(ClipError, match="stored as I;16.*8-bit"):
        read_mask(file)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ClipError, match=r"text\.png is damaged"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(ClipError, match=r"none\.png is missing"):
        read_mask(tmp_path / "none.png")


# ------------------------------------------------------------------------------------------- folders and video files


def test_a_folder_of_frames(tmp_path):
    clip = make_clip()
    clips.write_folder(clip, tmp_path / "pond")
    assert_same(open_clip(tmp_path / "pond", tmp_path / "pond" / "masks"), clip)
    first = open_clip(tmp_path / "pond", tmp_path / "pond" / "masks" / "00000.png")
    assert first.name == "pond" and first.masks[1] is None
    np.testing.assert_array_equal(first.first_mask, clip.first_mask)
    np.testing.assert_array_equal(open_clip(tmp_path / "pond", clip.first_mask).first_mask, clip.first_mask)
    with pytest.raises(ClipError, match="first mask of clip 'pond' is missing"):
        _ = open_clip(tmp_path / "pond").first_mask


def test_frames_are_ordered_by_number(tmp_path):
    for number in (2, 10, 1, 9, 8, 3, 4, 5, 6, 7):
        masks.write_frame(tmp_path / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    assert [frame[0, 0, 0] for frame in open_clip(tmp_path).frames] == list(range(1, 11))


@pytest.mark.parametrize(("suffix", "loss"), [(".mp4", 6), (".avi", 6)])
def test_a_video_is_exact_to_the_frame_in_any_order(tmp_path, suffix, loss):
    """Forty frames are more than the reader keeps and than one group of pictures has; each is told from the next."""
    frames = np.zeros((40, 48, 64, 3), np.uint8)
    for t in range(40):
        frames[t, :, :, t % 3] = 60
        frames[t, :, t : t + 20] = 220
    write_video(tmp_path / f"v{suffix}", frames, fps=12)
    clip = open_clip(tmp_path / f"v{suffix}")
    assert len(clip) == 40 and clip.size == (48, 64) and clip.info["fps"] == pytest.approx(12)
    for t in (39, 0, 38, 1, *np.random.default_rng(0).permutation(40), -1):
        differences = np.abs(clip.frames[int(t)].astype(int) - frames).mean((1, 2, 3))
        assert differences.argmin() == t % 40 and differences.min() < loss


def test_a_decoded_frame_is_the_callers_own(tmp_path):
    write_video(tmp_path / "v.avi", np.full((3, 32, 32, 3), 90, np.uint8))
    clip = open_clip(tmp_path / "v.avi")
    clip.frames[0][:] = 0
    assert clip.frames[0].mean() > 80


def test_what_is_no_clip(tmp_path):
    (tmp_path / "film.mp4").write_text("hello")
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "film.mp4", r"film\.mp4 is no video.*convert"),
        (tmp_path / "empty", "holds no images"),
        (tmp_path / "nowhere", "no folder or video"),
    ):
        with pytest.raises(ClipError, match=message):
            open_clip(path)
    with pytest.raises(ClipError, match=r"film\.xyz cannot be written.*\.mp4"):
        write_video(tmp_path / "film.xyz", make_clip().frames)


def test_a_mask_of_another_size(tmp_path):
    clips.write_folder(make_clip(), tmp_path / "pond")
    write_mask(tmp_path / "small.png", np.ones((20, 30), np.uint8))
    with pytest.raises(ClipError, match=r"small\.png is 30 x 20 .* 60 x 40"):
        _ = open_clip(tmp_path / "pond", tmp_path / "small.png").first_mask
    with pytest.raises(ClipError, match="mask of frame 0 is 30 x 20"):
        _ = open_clip(tmp_path / "pond", np.ones((20, 30), np.uint8)).first_mask
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ClipError, match=r"named like a frame \(00000\.png"):
        open_clip(tmp_path / "pond", tmp_path / "elsewhere")


# ------------------------------------------------------------------------------------------------------ DAVIS layout


@pytest.fixture
def davis(tmp_path):
    """A data set in DAVIS layout: clips pond and reed in split val."""
    for name in ("pond", "reed"):
        clips.write_davis(make_clip(name), tmp_path / "set", "val")
    return tmp_path / "set"


def test_davis_2017_round_trip(davis):
    pond, reed = load(davis, "val")
    assert (pond.name, reed.name) == ("pond", "reed")
    assert_same(pond, make_clip())
    assert [c.name for c in load(str(davis), "val", limit=1)] == ["pond"]


def test_davis_2016_has_one_object(tmp_path):
    clips.write_davis(make_clip(), tmp_path, "val", year="2016")
    assert set(np.unique(Image.open(tmp_path / "Annotations/480p/pond/00006.png"))) == {0, 255}
    (clip,) = load(tmp_path, "val")
    assert clip.objects == [1]
    np.testing.assert_array_equal(clip.masks[6] == 1, np.isin(make_clip().masks[6], (1, 2)))


def test_davis_2016_lists_pairs_of_paths_by_resolution(davis):
    (davis / "ImageSets/2017/val.txt").unlink()
    (davis / "ImageSets/480p").mkdir()
    lines = [f"/JPEGImages/480p/reed/{t:05d}.jpg /Annotations/480p/reed/{t:05d}.png " for t in range(12)]
    (davis / "ImageSets/480p/val.txt").write_text("\n".join(lines) + "\n")
    (clip,) = load(davis, "val")
    assert clip.name == "reed" and len(clip) == 12


def test_full_resolution(davis):
    clips.write_davis(make_clip(size=(80, 120)), davis, resolution="Full-Resolution")
    assert load(davis, "val", limit=1)[0].size == (40, 60)
    assert load(davis, "val", limit=1, resolution="Full-Resolution")[0].size == (80, 120)
    with pytest.raises(ClipError, match="resolution '1080p'.*480p, Full-Resolution"):
        load(davis, "val", resolution="1080p")


def test_unannotated_frames_and_lists(davis):
    for t in range(1, 12):
        (davis / f"Annotations/480p/pond/{t:05d}.png").unlink()
    assert [mask is None for mask in load(davis, "val")[0].masks] == [False] + [True] * 11
    (davis / "ImageSets/2017/val.txt").unlink()
    assert [c.name for c in load(davis, "anything")] == ["pond", "reed"]


def test_what_is_known_about_clips(davis):
    about = {"pond": {"difficulty": "twins", "seed": 7, "seen": {"1": False}}}
    (davis / "clips.json").write_text(json.dumps({"clips": about}))
    pond, reed = load(davis, "val")
    names = [f"{t:05d}" for t in range(12)]
    assert pond.info == {"difficulty": "twins", "seed": 7, "seen": {1: False}, "names": names}
    assert reed.info == {"names": names} and reed.subclip(3, 5).info == {"names": ["00003", "00004"]}


def test_a_missing_frame(davis):
    (davis / "JPEGImages/480p/reed/00003.jpg").unlink()
    with pytest.raises(ClipError, match=r"reed/00003\.jpg is missing.*Annotations/480p/reed/00003\.png"):
        load(davis, "val")
    (davis / "Annotations/480p/reed/00003.png").unlink()
    with pytest.raises(ClipError, match=r"reed/00003\.jpg is missing between"):
        load(davis, "val")


def test_a_missing_clip_and_an_unknown_split(davis):
    with pytest.raises(ClipError, match="no split 'vall' but val; perhaps you mean val"):
        load(davis, "vall")
    with (davis / "ImageSets/2017/val.txt").open("a") as file:
        file.write("reeds\n")
    with pytest.raises(ClipError, match="reeds; perhaps you mean reed"):
        load(davis, "val")


def test_frames_and_masks_of_another_size(davis):
    masks.write_frame(davis / "JPEGImages/480p/pond/00004.jpg", np.zeros((30, 60, 3), np.uint8))
    write_mask(davis / "Annotations/480p/pond/00005.png", np.zeros((40, 50), np.uint8))
    clip = load(davis, "val")[0]
    with pytest.raises(ClipError, match=r"00004\.jpg is 60 x 30 .* 60 x 40; bring all to one size"):
        _ = clip.frames[4]
    with pytest.raises(ClipError, match=r"00005\.png is 50 x 40 .* nearest"):
        _ = clip.masks[5]


@pytest.mark.parametrize("cut", [2, 20, 400])
def test_a_truncated_jpeg(davis, cut):
    file = davis / "JPEGImages/480p/pond/00000.jpg"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(ClipError, match=r"00000\.jpg is damaged or cut off"):
        _ = load(davis, "val")[0].frames[0]


def test_an_empty_first_mask(davis):
    file = davis / "Annotations/480p/pond/00000.png"
    write_mask(file, np.zeros((40, 60), np.uint8))
    clip = load(davis, "val")[0]
    with pytest.raises(ClipError, match=r"00000\.png\) is empty.*clip\.subclip\(1\)"):
        _ = clip.first_mask
    assert clip.subclip(1).first_mask.any()
    nothing = Clip.from_arrays("nothing", np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(ClipError, match="is empty: there is nothing to track; give one with an object"):
        _ = nothing.first_mask


def test_gaps_in_the_ids(davis):
    for t in range(12):
        file = davis / f"Annotations/480p/pond/{t:05d}.png"
        mask = read_mask(file)
        mask[mask == 2] = 1
        mask[0:3, 0:3] = 4
        write_mask(file, mask)
    clip = load(davis, "val")[0]
    for look in (lambda: clip.first_mask, lambda: clip.objects, lambda: clip.masks[3]):
        with pytest.raises(ClipError, match=r"0000[03]\.png and its clip have the object ids 1, 4; renumber .* 1\.\.2"):
            look()
    with pytest.raises(ClipError, match=r"00000\.png and its clip have the object ids 1, 4"):
        _ = open_clip(davis / "JPEGImages/480p/pond", davis / "Annotations/480p/pond/00000.png").first_mask
    write_mask(davis / "Annotations/480p/reed/00000.png", np.where(make_clip().masks[6] == 2, 2, 0))
    assert set(np.unique(load(davis, "val")[1].first_mask)) == {0, 2}  # object 1 comes later: no gap


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips for development are not here")
def test_real_clips_read_like_any_other():
    real = load(REAL, "dev")
    assert [len(c) for c in real] == [36] * 8 and {c.size for c in real} == {(480, 854)}
    assert all(c.first_mask.max() == 1 and c.frames[35].shape == (480, 854, 3) for c in real[:2])
    assert [c.first_mask.max() for c in load(REAL, "derived_dev")] == [3, 2]
    with pytest.raises(ClipError, match="no split 'val'.* derived_dev, dev|no split 'val'.* dev, derived_dev"):
        load(REAL, "val")


# ------------------------------------------------------------------------------------------------------- YouTube-VOS


@pytest.fixture
def youtube(tmp_path):
    """A clip whose objects have the ids 5 (from the start) and 2 (from frame 5), annotated in every fifth frame."""
    clip = make_clip(ids=[5, 2], categories={1: "duck", 2: "toad"})
    sparse = Clip(clip.name, clip.frames, [m if t % 5 == 0 else None for t, m in enumerate(clip.masks)], clip.info)
    layouts.write_youtube_vos(sparse, tmp_path / "yt", "valid")
    return tmp_path / "yt"


def test_youtube_vos_round_trip(youtube):
    stored = read_mask(youtube / "valid/Annotations/pond/00005.png")
    assert set(np.unique(stored)) == {0, 2, 5, masks.VOID}
    (clip,) = load(youtube, "valid")
    assert clip.info["ids"] == [5, 2] and clip.info["categories"] == {1: "duck", 2: "toad"}
    assert clip.appearances == {1: 0, 2: 5}  # renumbered in the order of their appearance
    assert [t for t, mask in enumerate(clip.masks) if mask is not None] == [0, 5, 10]
    for t in (0, 5, 10):
        np.testing.assert_array_equal(clip.masks[t], make_clip().masks[t])
    assert load(youtube / "valid")[0].name == "pond"  # the folder of one split


def test_youtube_vos_knows_seen_categories(youtube):
    layouts.write_youtube_vos(make_clip("lake", categories={1: "duck", 2: "goat"}), youtube, "train")
    layouts.write_youtube_vos(make_clip("moor", categories={1: "toad", 2: "goat"}), youtube, "valid")
    pond, moor = sorted(load(youtube, "valid"), key=lambda c: c.name, reverse=True)
    assert pond.info["seen"] == {1: True, 2: False} and moor.info["seen"] == {1: False, 2: True}
    assert "seen" not in load(youtube, "train")[0].info


def test_youtube_vos_faults(youtube):
    with pytest.raises(ClipError, match="no split 'valid_all_frames' but valid"):
        load(youtube, "valid_all_frames")
    file = youtube / "valid/Annotations/pond/00005.png"
    write_mask(file, np.where(read_mask(file) == 2, 9, 0))
    with pytest.raises(ClipError, match=r"00005\.png has object 9"):
        _ = load(youtube, "valid")[0].masks[5]
    (youtube / "valid/JPEGImages/pond/00010.jpg").unlink()
    with pytest.raises(ClipError, match=r"00010\.jpg is missing, though .*meta\.json"):
        load(youtube, "valid")
    (youtube / "valid/meta.json").write_text("{")
    with pytest.raises(ClipError, match=r"meta\.json is damaged"):
        load(youtube, "valid")


# -------------------------------------------------------------------------------------------------------------- OVIS


@pytest.fixture
def ovis(tmp_path):
    for name in ("pond", "moor"):
        layouts.write_ovis(make_clip(name, categories={1: "duck", 2: "toad"}), tmp_path / "ovis")
    return tmp_path / "ovis"


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_ovis_round_trip(ovis):
    pond, moor = load(ovis, "train")
    assert_same(pond, make_clip(), void=False)
    assert pond.appearances == {1: 0, 2: 5} and pond.info["categories"] == {1: "duck", 2: "toad"}
    assert (pond.info["ids"], moor.info["ids"]) == ([1, 2], [3, 4])


def test_ovis_run_lengths_as_numbers_are_down_the_columns(ovis):
    def change(content):
        content["annotations"][0]["segmentations"][0] = {"size": [40, 60], "counts": [40 * 2 + 3, 10, 2400 - 93]}

    edit(ovis / "annotations_train.json", change)
    expected = np.zeros((40, 60), np.uint8)
    expected[3:13, 2] = 1
    np.testing.assert_array_equal(load(ovis, "train")[0].masks[0], expected)


def test_ovis_numbers_objects_as_they_appear(ovis):
    edit(ovis / "annotations_train.json", lambda content: content["annotations"].reverse())
    pond = load(ovis, "train")[0]
    assert pond.appearances == {1: 0, 2: 5} and pond.info["ids"] == [1, 2]
    edit(ovis / "annotations_train.json", lambda content: content.update(annotations=None))
    assert load(ovis, "train")[0].masks[0] is None  # the public validation split


def test_ovis_faults(ovis):
    file = ovis / "annotations_train.json"
    with pytest.raises(ClipError, match="no split 'trian' but train; perhaps you mean train"):
        load(ovis, "trian")
    edit(file, lambda c: c["annotations"][0]["segmentations"][0].update(counts=[100, 20]))
    edit(file, lambda c: c["annotations"][0]["segmentations"][1].update(counts="~~~"))
    clip = load(ovis, "train")[0]
    for t in (0, 1):
        with pytest.raises(ClipError, match=r"annotation 1 of .*annotations_train\.json cannot be decoded"):
            _ = clip.masks[t]
    edit(file, lambda c: c["annotations"][0]["segmentations"].pop())
    with pytest.raises(ClipError, match="11 masks for annotation 1 but 12 frames"):
        load(ovis, "train")
    (ovis / "train/pond/img_0000003.jpg").unlink()
    with pytest.raises(ClipError, match=r"img_0000003\.jpg is missing, though"):
        load(ovis, "train")
    file.write_text('{"pictures": []}')
    with pytest.raises(ClipError, match='has no "videos"'):
        load(ovis, "train")


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_those_of_coco(ovis, seed):
    """The text form, which OVIS uses, against pycocotools; long runs and runs that shrink and grow are among them."""
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    ids = (cv2.GaussianBlur(rng.normal(size=(300, 400)), (0, 0), (0.5, 2, 8, 30)[seed]) > 0).astype(np.uint8)
    code = coco.encode(np.asfortranarray(ids))
    np.testing.assert_array_equal(layouts._decode({"counts": code["counts"].decode()}, ids.shape, ""), ids)
    clip = Clip.from_arrays("noise", np.zeros((1, 300, 400, 3), np.uint8), ids[None])
    layouts.write_ovis(clip, ovis)
    np.testing.assert_array_equal(load(ovis, "train")[-1].masks[0], ids)


# ------------------------------------------------------------------------------------------------ data sets by name


def test_names_that_are_no_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("VOSNB_DATA", str(tmp_path))
    with pytest.raises(ClipError, match="get it with `vosnb data davis2016`"):
        load("davis2016", "val")
    with pytest.raises(ClipError, match="no data set 'davis2018'; perhaps you mean davis201"):
        load("davis2018", "val")
    (tmp_path / "clips").mkdir()
    with pytest.raises(ClipError, match="clip; perhaps you mean clips"):
        load(tmp_path / "clip")
    with pytest.raises(ClipError, match="none of the layouts DAVIS.*YouTube-VOS.*OVIS"):
        load(tmp_path / "clips")
    with pytest.raises(ClipError, match="limit is 0"):
        load("embedded", "test", limit=0)


def test_generated_clips_come_by_seed():
    clip, *rest = load("embedded", "generated:7:3", limit=1)
    assert not rest and clip.info["difficulty"] and clip.first_mask.any() and 1 in clip.objects
    assert len(load("embedded", "generated:7:2")) == 2
    for split in ("generated:7", "generated:a:b", "generated"):
        with pytest.raises(ClipError, match="generated:START:COUNT"):
            load("embedded", split)


def test_the_embedded_data_is_missed_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(clips, "DATA", tmp_path)
    with pytest.raises(ClipError, match="no folder of clips .*JPEGImages"):
        load("embedded", "test")
