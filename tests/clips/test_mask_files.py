"""Masks and frames are read with what their files say of them: orientation, transparency, palette, depth, format."""

import zlib

import numpy as np
import pytest
from PIL import Image

from vosnb.clips import Clip, ClipError, numbering, open_clip, pictures
from vosnb.clips import masks as m
from vosnb.clips.masks import read_frame, read_mask, write_frame, write_mask

H, W = 24, 32
ONE = np.zeros((H, W), np.uint8)
ONE[4:12, 5:15] = 1
TWO = ONE.copy()
TWO[14:20, 18:28] = 2
VOIDED = TWO.copy()
VOIDED[-3:] = m.VOID
CELLS = np.kron(np.arange(1, 241).reshape(15, 16), np.pad(np.ones((2, 2), int), (0, 1))).astype(np.uint8)


def save(path, array, **how):
    Image.fromarray(np.ascontiguousarray(array)).save(path, **how)
    return path


def painted(mask, *colours):
    """An RGB picture of a mask: object k in the k-th colour."""
    return np.uint8([(0, 0, 0), *colours])[mask]


def indexed(mask, *colours):
    image = Image.fromarray(mask)
    image.putpalette([v for colour in colours for v in colour])
    return image


RED, GREEN, BLUE, WHITE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
RAMP = [(i, i, i) for i in range(256)]


# ---------------------------------------------------------------------------------------------- orientation, frames


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_are_turned_as_their_tag_says(tmp_path, suffix, tag):
    """As stored by a camera that was held so: turning it back by the tag gives what was seen."""
    seen = np.zeros((16, 32, 3), np.uint8)
    seen[:8, :16] = 250
    stored = {
        1: seen, 2: seen[:, ::-1], 3: seen[::-1, ::-1], 4: seen[::-1], 5: seen.transpose(1, 0, 2),
        6: np.rot90(seen), 7: seen[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(seen, -1),
    }[tag]  # fmt: skip
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = tag
    file = save(tmp_path / f"f{suffix}", stored, exif=exif)
    frame = read_frame(file)
    assert frame.shape == seen.shape and pictures.picture_size(file) == (16, 32)
    assert np.abs(frame.astype(int) - seen).mean() < 3
    if suffix in (".png", ".tif"):
        np.testing.assert_array_equal(read_mask(save(file, stored[..., 0], exif=exif)), seen[..., 0])


def test_a_tag_that_makes_no_sense_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 77
    assert read_frame(save(tmp_path / "f.png", painted(ONE, RED), exif=exif)).shape == (H, W, 3)


def test_depths_and_colour_spaces_of_frames(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for name in ("deep.png", "deep.tif"):
        frame = read_frame(save(tmp_path / name, ramp))
        assert (frame == np.round(ramp[..., None] / 257)).all() and frame.dtype == np.uint8
    (tmp_path / "deep.ppm").write_bytes(b"P5\n8 8\n65535\n" + ramp.astype(">u2").tobytes())
    assert (read_frame(tmp_path / "deep.ppm") == np.round(ramp[..., None] / 257)).all()
    colour = painted(ONE, (200, 90, 30))
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "print.jpg", quality=100)
    assert np.abs(read_frame(tmp_path / "print.jpg").astype(int) - colour).mean() < 4
    for mode in ("L", "LA", "1", "P"):
        Image.fromarray(ONE * 255).convert(mode).save(tmp_path / f"{mode}.png")
        np.testing.assert_array_equal(read_frame(tmp_path / f"{mode}.png"), np.repeat(ONE[..., None] * 255, 3, 2))
    with pytest.raises(ClipError, match="no 8-bit or 16-bit grey levels"):
        read_frame(save(tmp_path / "f.tif", np.float32(ONE)))


def test_what_is_transparent_in_a_frame_lies_over_black(tmp_path):
    picture = np.dstack([np.full((H, W, 3), 200, np.uint8), ONE * 255])
    assert (read_frame(save(tmp_path / "a.png", picture)) == ONE[..., None] * 200).all()
    indexed(ONE, (9, 9, 9), (200, 200, 200)).save(tmp_path / "p.png", transparency=0)
    assert (read_frame(tmp_path / "p.png") == ONE[..., None] * 200).all()


def test_pictures_of_several_pages_are_told(tmp_path):
    one = Image.fromarray(ONE * 255)
    for name in ("a.tif", "a.gif", "a.png", "a.webp"):
        one.save(tmp_path / name, save_all=True, append_images=[Image.fromarray(TWO * 100)])
        with pytest.raises(ClipError, match="holds 2 pictures"):
            pictures.open_picture(tmp_path / name)
    Image.fromarray(painted(ONE, RED)).save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[one])
    assert read_frame(tmp_path / "phone.jpg").shape == (H, W, 3)  # the other is a preview


# ------------------------------------------------------------------------------------------------------ ids or paint


@pytest.mark.parametrize(
    ("make", "mask"),
    {
        "palette": (lambda f: write_mask(f, VOIDED), VOIDED),
        "another palette that begins with black": (lambda f: indexed(TWO, (0, 0, 0), RED, GREEN).save(f), TWO),
        "a palette that is all black": (lambda f: indexed(TWO, *[(0, 0, 0)] * 3).save(f), TWO),
        "grey palette": (lambda f: indexed(VOIDED, *RAMP).save(f), VOIDED),
        "grey palette, 0 and 255": (lambda f: indexed(ONE * 255, *RAMP).save(f), ONE),
        "grey ids": (lambda f: save(f, VOIDED), VOIDED),
        "grey ids as colours": (lambda f: save(f, np.dstack([TWO] * 3)), TWO),
        "16 bits": (lambda f: save(f, VOIDED.astype(np.uint16)), VOIDED),
        "16 bits, stretched": (lambda f: save(f, TWO.astype(np.uint16) * 257), TWO),
        "16 bits, white": (lambda f: save(f, ONE.astype(np.uint16) * 65535), ONE),
        "1 bit": (lambda f: save(f, ONE > 0), ONE),
        "white": (lambda f: save(f, ONE * 255), ONE),
        "white in colour": (lambda f: save(f, painted(ONE, WHITE)), ONE),
        "red": (lambda f: save(f, painted(ONE, RED)), ONE),
        "colours": (lambda f: save(f, painted(TWO, BLUE, GREEN)), TWO),
        "colours of the palette": (lambda f: save(f, m.palette()[VOIDED]), VOIDED),
        "quantized white": (lambda f: Image.fromarray(painted(ONE, WHITE)).quantize(2).save(f), ONE),
        "white first": (lambda f: indexed(1 - ONE, WHITE, (0, 0, 0)).save(f), ONE),
        "quantized colours": (lambda f: Image.fromarray(painted(TWO, BLUE, GREEN)).quantize(8).save(f), TWO),
        "red first": (lambda f: indexed(np.uint8([1, 0, 2])[TWO], BLUE, (0, 0, 0), GREEN).save(f), TWO),
        "two greys and white of a palette": (
            lambda f: indexed(np.uint8([2, 0, 1])[TWO], GREY, WHITE, (0, 0, 0)).save(f),
            TWO,
        ),
        "full frame": (lambda f: save(f, np.full((H, W), 255, np.uint8)), np.ones((H, W))),
        "240 cells": (lambda f: write_mask(f, CELLS), CELLS),
        "240 grey cells": (lambda f: save(f, CELLS), CELLS),
        "no object": (lambda f: save(f, np.zeros((H, W, 3), np.uint8)), np.zeros((H, W))),
        "a thin object of the palette": (lambda f: save(f, m.palette()[np.uint8(np.eye(H, W) * 2)]), np.eye(H, W) * 2),
    }.values(),
)
def test_masks_of_all_kinds_are_read(tmp_path, make, mask):
    make(tmp_path / "m.png")
    found = read_mask(tmp_path / "m.png")
    np.testing.assert_array_equal(found, mask)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("ground", [255, 77])
def test_what_is_transparent_in_a_mask_is_background(tmp_path, ground):
    """Transparent pixels have any colour, white as a rule."""
    alpha, layer = ONE * 255, np.where(ONE, 255, ground).astype(np.uint8)
    for name, file in {
        "RGBA": save(tmp_path / "a.png", np.dstack([layer, layer, layer, alpha])),
        "half opaque": save(tmp_path / "b.png", np.dstack([layer, layer, layer, ONE * 128])),
        "LA": save(tmp_path / "c.png", np.dstack([layer, alpha])),
        "LA, opaque": save(tmp_path / "d.png", np.dstack([alpha, np.full_like(alpha, 255)])),
    }.items():
        np.testing.assert_array_equal(read_mask(file), ONE, err_msg=name)
    indexed(ONE, (ground,) * 3, WHITE).save(tmp_path / "e.png", transparency=0)
    indexed(ONE, WHITE, RED).save(tmp_path / "e.gif", transparency=0)
    Image.fromarray(layer).save(tmp_path / "f.png", transparency=ground)
    for name in ("e.png", "e.gif", *(["f.png"] if ground != 255 else [])):
        np.testing.assert_array_equal(read_mask(tmp_path / name), ONE, err_msg=name)
    save(tmp_path / "g.png", np.dstack([np.zeros((H, W, 3), np.uint8), alpha]))
    with pytest.raises(ClipError, match="nothing but black on a transparent ground; paint the object white"):
        read_mask(tmp_path / "g.png")


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".tif", ".png"])
def test_formats_that_keep_every_pixel(tmp_path, suffix):
    np.testing.assert_array_equal(read_mask(save(tmp_path / f"m{suffix}", ONE * 255)), ONE)
    indexed(TWO, (0, 0, 0), RED, GREEN).save(tmp_path / f"p{suffix}")
    np.testing.assert_array_equal(read_mask(tmp_path / f"p{suffix}"), TWO)


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "JPEG"), (".webp", "WEBP"), (".png", "JPEG"), (".tif", "TIFF")])
def test_formats_that_may_blur_are_refused(tmp_path, suffix, kind):
    how = {"compression": "jpeg"} if kind == "TIFF" else {}
    Image.fromarray(ONE * 255).save(tmp_path / f"m{suffix}", kind, **how)
    with pytest.raises(ClipError, match=f"stored as {kind}, which may blur its edges.*PNG"):
        read_mask(tmp_path / f"m{suffix}")


def soft(mask, factor=4):
    """The mask at a quarter of its size, its edges smoothed by averaging."""
    return mask.reshape(mask.shape[0] // factor, factor, -1, factor).mean((1, 3))


DISK = np.hypot(*(np.mgrid[:96, :96] - 47.6)) < 33


@pytest.mark.parametrize(
    ("make", "says"),
    {
        "grey": (lambda f: save(f, np.uint8(255 * soft(DISK))), "edges were smoothed"),
        "a few greys": (lambda f: save(f, np.uint8(255 * soft(DISK, 2))), "edges were smoothed"),
        "red": (lambda f: save(f, np.uint8(soft(DISK)[..., None] * RED)), "smoothed edges only"),
        "red of the palette": (lambda f: save(f, np.uint8(soft(DISK, 2)[..., None] * (128, 0, 0))), "smoothed edges"),
        "quantized": (
            lambda f: Image.fromarray(np.uint8(soft(DISK)[..., None] * RED)).quantize(64).save(f),
            "smoothed edges only",
        ),
        "ids that were averaged": (lambda f: write_mask(f, np.uint8(255 * soft(DISK))), "edges were smoothed"),
        "alpha": (
            lambda f: save(f, np.dstack([np.full((24, 24, 3), 255), 255 * soft(DISK)]).astype(np.uint8)),
            "soft edges",
        ),
        "two greys and white": (lambda f: save(f, np.uint8([0, 128, 255])[TWO]), "painted in greys"),
        "photograph": (
            lambda f: save(f, np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)),
            "photograph; paint each object in one flat colour",
        ),
        "no black": (lambda f: save(f, np.uint8([WHITE, RED, GREEN])[TWO]), "no black"),
        "large numbers": (lambda f: save(f, TWO.astype(np.uint16) * 1001), "values up to 2002"),
        "fractions": (lambda f: Image.fromarray(np.float32(ONE) / 3).save(f, "TIFF"), "numbers that are no ids"),
        "nan": (lambda f: Image.fromarray(np.full((H, W), np.nan, np.float32)).save(f, "TIFF"), "no ids"),
        "negative": (lambda f: Image.fromarray(-TWO.astype(np.int32)).save(f, "TIFF"), "no ids"),
    }.values(),
)
def test_what_is_no_mask_is_refused_with_its_cause(tmp_path, make, says):
    make(tmp_path / "m.png")
    with pytest.raises(ClipError, match=f"m\\.png .*{says}"):
        read_mask(tmp_path / "m.png")


# ----------------------------------------------------------------------------------------- one numbering in a clip


@pytest.fixture
def clip_of_masks(tmp_path):
    """clip_of_masks(save, save, ...): a clip whose frame t has the mask that the t-th function saves, None for none."""

    def make(*saves):
        for t, put in enumerate(saves):
            write_frame(tmp_path / "frames" / f"{t}.png", np.zeros((H, W, 3), np.uint8))
            (tmp_path / "masks").mkdir(exist_ok=True)
            if put is not None:
                put(tmp_path / "masks" / f"{t}.png")
        return open_clip(tmp_path / "frames", tmp_path / "masks")

    return make


SECOND = np.where(TWO == 2, 1, 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("write", "ids"),
    [
        (lambda f, mask: write_mask(f, np.uint8([0, 4, 6])[mask]), [4, 6]),
        (lambda f, mask: save(f, np.uint8([0, 4, 6])[mask]), [4, 6]),
        (lambda f, mask: save(f, np.uint8([0, 150, 200])[mask]), [150, 200]),
        (lambda f, mask: save(f, np.uint16([0, 4, 254])[mask]), [4, 254]),
        (lambda f, mask: save(f, painted(mask, GREEN, RED)), [1, 2]),
        (lambda f, mask: save(f, painted(mask, GREEN, WHITE)), [1, 2]),
        (lambda f, mask: save(f, painted(mask, GREY, WHITE)) if mask.max() < 1 else write_mask(f, mask), [1, 2]),
        (lambda f, mask: save(f, m.palette()[np.uint8([0, 4, 7])[mask]]), [4, 7]),
        (lambda f, mask: Image.fromarray(painted(mask, GREEN, RED)).quantize(3).save(f), [1, 2]),
    ],
)
def test_an_object_keeps_its_number_in_all_frames(clip_of_masks, write, ids):
    """The second object stands alone in one frame, where it would be number 1 by itself."""
    later = np.where(TWO == 2, 2, 0).astype(np.uint8)
    clip = clip_of_masks(lambda f: write(f, TWO), None, lambda f: write(f, later), lambda f: write(f, 0 * TWO))
    for t, mask in ((2, later), (0, TWO), (3, 0 * TWO)):
        np.testing.assert_array_equal(clip.masks[t], mask)
    assert clip.masks[1] is None
    assert clip.objects == [1, 2] and clip.ids == ids
    assert clip.only(2).ids == ids[1:] and clip.only(2).objects == [1]
    assert clip.resized(height=12).ids == ids and clip.subclip(1).ids == ids


def test_palettes_that_differ_are_read_by_their_colours(clip_of_masks):
    """A paint program sorts the palette of each picture anew."""
    both, alone = indexed(TWO, (0, 0, 0), GREEN, RED), indexed(SECOND, (0, 0, 0), RED)
    clip = clip_of_masks(both.save, alone.save)
    np.testing.assert_array_equal(clip.masks[1], SECOND * 2)
    same = clip_of_masks(both.save, indexed(SECOND * 2, (0, 0, 0), GREEN, RED).save)
    np.testing.assert_array_equal(same.masks[1], SECOND * 2)


def test_ids_and_paint_in_one_clip_are_refused(clip_of_masks):
    clip = clip_of_masks(lambda f: write_mask(f, TWO), lambda f: save(f, painted(TWO, GREEN, RED)))
    with pytest.raises(ClipError, match="ids in some files and colours in others"):
        _ = clip.masks[1]


def test_many_colours_over_a_clip_are_refused(clip_of_masks):
    put = [lambda f, t=t: save(f, painted(TWO, (t + 1, 200, 0), (0, 200, t + 1))) for t in range(17)]
    with pytest.raises(ClipError, match=r"The masks of this clip .* has 34 colours"):
        _ = clip_of_masks(*put).first_mask


def test_masks_without_gaps_are_opened_one_by_one(clip_of_masks, monkeypatch):
    clip = clip_of_masks(*[lambda f: write_mask(f, VOIDED)] * 3, lambda f: write_mask(f, VOIDED * (VOIDED == 2)))
    opened = []
    monkeypatch.setattr(numbering, "painting", lambda path: opened.append(path.stem) or m.painting(path))
    _ = clip.masks[1]
    assert opened == ["1"]
    np.testing.assert_array_equal(clip.masks[3], np.where(VOIDED == 2, 2, 0))
    assert len(set(opened)) == 4


def test_a_mask_as_an_array_is_checked_and_renumbered(tmp_path):
    write_frame(tmp_path / "0.png", np.zeros((H, W, 3), np.uint8))
    clip = open_clip(tmp_path, np.int64([0, 4, 6])[TWO])
    np.testing.assert_array_equal(clip.first_mask, TWO)
    assert clip.ids == [4, 6]
    for bad in (TWO.astype(int) - 1, TWO * 200.0, TWO / 2, np.zeros((H, W, 3)), np.array("mask")):
        with pytest.raises(ClipError, match=r"mask of frame 0 is not an"):
            open_clip(tmp_path, bad)
    assert open_clip(tmp_path).ids == []


# ---------------------------------------------------------------------------------------------------- too large, bad


def test_pictures_that_are_too_large_are_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("the pixels were read"))
    for side in (30000, 9000):  # Pillow itself refuses the first only
        chunk = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
        header = b"\x89PNG\r\n\x1a\n" + bytes([0, 0, 0, 13]) + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        (tmp_path / "bomb.png").write_bytes(header + bytes([0, 0, 0, 100]) + b"IDAT" + bytes(104))
        for read in (read_frame, read_mask):
            with pytest.raises(ClipError, match=r"bomb\.png is too large .*8192"):
                read(tmp_path / "bomb.png")
    with pytest.raises(ClipError, match="too large"):
        open_clip(tmp_path)


@pytest.mark.parametrize("mask", [0.7 * ONE, 300 * ONE.astype(int), -1 * ONE.astype(int), ONE[0], ONE * np.nan, "x"])
def test_write_mask_wraps_nothing(tmp_path, mask):
    with pytest.raises(ClipError, match=r"mask for .*m\.png is not an"):
        write_mask(tmp_path / "m.png", mask)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("frame", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_write_frame_changes_nothing(tmp_path, frame):
    with pytest.raises(ClipError, match=r"frame for .*f\.png is not an"):
        write_frame(tmp_path / "f.png", frame)
    assert not list(tmp_path.iterdir())


def test_names_that_keep_no_picture_are_refused(tmp_path):
    with pytest.raises(ClipError, match=r"m\.jpg names no format that keeps ids"):
        write_mask(tmp_path / "m.jpg", ONE)
    with pytest.raises(ClipError, match=r"f\.xyz names no format"):
        write_frame(tmp_path / "f.xyz", painted(ONE, RED))
    with pytest.raises(ClipError, match=r"w\.webp cannot be written"):
        write_frame(tmp_path / "w.webp", np.zeros((1, 20000, 3), np.uint8))
    write_mask(tmp_path / "float.PNG", ONE.astype(float))  # whole numbers, whatever their type
    np.testing.assert_array_equal(read_mask(tmp_path / "float.PNG"), ONE)


# --------------------------------------------------------------------------------------------------- calls on a clip

FRAMES = np.zeros((3, H, W, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: c.resized(0), "whole numbers of pixels from 1 on: 0"),
        (lambda c: c.resized(width=-1), "whole numbers of pixels from 1 on: -1"),
        (lambda c: c.resized(2.5), "whole numbers of pixels"),
        (lambda c: c.resized(True), "whole numbers of pixels"),
        (lambda c: c.resized(10**5), "too large"),
        (lambda c: c.subclip(3), "has 3 frames; from 3 to None there is none"),
        (lambda c: c.subclip(2, 1), "from 2 to 1 there is none"),
        (lambda c: c.subclip("a"), "whole numbers of frames"),
        (lambda c: c.only(3), r"no object 3; it has \[1, 2\]"),
        (lambda c: c.only("1"), "no object '1'"),
        (lambda c: c.only([1]), r"no object \[1\]"),
    ],
)
def test_calls_that_leave_no_clip(call, says):
    with pytest.raises(ClipError, match=says):
        call(Clip.from_arrays("c", FRAMES, [TWO] * 3))


@pytest.mark.parametrize(
    ("frames", "masks", "says"),
    [
        (FRAMES, [-1 * TWO.astype(int)] * 3, "Mask 0 .* ids in 0..255"),
        (FRAMES, [TWO, TWO * np.nan, TWO], "Mask 1 .* ids in 0..255"),
        (FRAMES * np.nan, None, "Frame 0 .* float64"),
        (FRAMES, TWO[0], "Mask 0 .* not an .H, W. array"),
        (5, None, "needs a list of frames"),
        (None, None, "needs a list of frames"),
        (FRAMES, 7, "needs a list of frames"),
        (["a"], None, "Frame 0 .* is not an"),
        (FRAMES, [None, "b", None], "Mask 1 .* is not an"),
    ],
)
def test_arrays_that_make_no_clip(frames, masks, says):
    with pytest.raises(ClipError, match=says):
        Clip.from_arrays("c", frames, masks)


def test_an_index_error_of_a_reader_is_no_end():
    from vosnb.clips import Lazy

    def get(i):
        return [0, 1][i]

    with pytest.raises(IndexError):
        list(Lazy(3, get))
    assert list(Lazy(2, get)) == [0, 1]


def test_a_single_mask_that_is_named_like_a_later_frame_is_not_taken_for_the_first_one(tmp_path):
    for t in range(3):
        write_frame(tmp_path / "frames" / f"{t:05d}.jpg", FRAMES[0])
    for name in ("00000", "first", "00002"):
        write_mask(tmp_path / "masks" / f"{name}.png", TWO)
    for name in ("00000", "first"):
        assert open_clip(tmp_path / "frames", tmp_path / "masks" / f"{name}.png").appearances[1] == 0
    with pytest.raises(ClipError, match="00002.png is named like a later frame, .*00000.*give the folder"):
        open_clip(tmp_path / "frames", tmp_path / "masks" / "00002.png")
