"""Clips: what is written is read again, and bad input gets one clear sentence."""

import cv2
import numpy as np
import pytest
from PIL import Image
from ponds import assert_same, make_clip

from vosnb import clips
from vosnb.clips import Clip, ClipError, masks, open_clip
from vosnb.clips.masks import read_mask, write_mask
from vosnb.clips.video import write_video

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


def test_colours_of_the_palette_become_its_ids(tmp_path):
    mask = make_clip().masks[6]
    file = save(tmp_path / "rgb.png", masks.palette()[mask])
    np.testing.assert_array_equal(read_mask(file), mask)
    np.testing.assert_array_equal(masks.mask_from_colours(np.array(Image.open(file))), mask)
    with pytest.raises(ClipError, match="outside the DAVIS palette"):
        masks.mask_from_colours(np.full((4, 4, 3), 77, np.uint8))


@pytest.mark.parametrize("blur", [1, 3, 9])
def test_smoothed_edges_do_not_become_objects(tmp_path, blur):
    disk = cv2.circle(np.zeros((80, 80), np.uint8), (40, 40), 22, 255, -1)
    file = save(tmp_path / "soft.png", cv2.GaussianBlur(disk, (0, 0), blur))
    with pytest.raises(ClipError, match=r"soft\.png has \d+ grey levels.*without anti-aliasing"):
        read_mask(file)


def test_as_many_objects_as_ids_are_read(tmp_path):
    ramp = np.tile(np.arange(255, dtype=np.uint8), (20, 1))
    write_mask(tmp_path / "ramp.png", ramp)
    np.testing.assert_array_equal(read_mask(tmp_path / "ramp.png"), ramp)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "grey.png", ramp)), ramp)


def test_broken_mask_files(tmp_path):
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
