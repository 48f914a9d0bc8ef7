"""Folders of frames: the order of their names, what is missing between them, and what among them is no frame."""

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vosnb.clips import ClipError, open_clip
from vosnb.clips.masks import write_frame, write_mask
from vosnb.clips.names import consecutive, image_files, in_order, mask_files

DOT = np.zeros((4, 6, 3), np.uint8)
SPOT = np.uint8(np.eye(4, 6))


def put(folder: Path, *names: str) -> Path:
    for name in names:
        if Path(name).suffix.lower() in (".jpg", ".png", ".bmp", ".tif", ".webp"):
            write_frame(folder / name, DOT)
        else:
            (folder / name).write_bytes(b"\0\5\x16\7" + bytes(50))
    return folder


def paths(*stems: str) -> list[Path]:
    return [Path(f"{stem}.jpg") for stem in stems]


@pytest.mark.parametrize(
    "names",
    [
        ("frame_1", "frame_2", "frame_10", "frame_11"),
        ("1", "02", "003", "10"),
        ("frame_-10", "frame_-1", "frame_0", "frame_2"),
        ("-2", "-1", "0", "1"),
        ("f-1", "f-2", "f-10"),  # a hyphen, no sign
        ("t1.25s", "t1.5s", "t2s", "t10.75s"),
        ("1.1", "1.2", "1.10", "1.11"),  # a section and its number, no decimal
        ("v1.2.9", "v1.2.10", "v1.22.1"),
        ("9-59-59", "10-30-05", "10-30-06"),
        ("2024-01-01_10-30-59", "2024-01-01_10-31-00", "2024-01-02_00-00-00"),
        ("a2b10", "a10b2", "a10b10"),
        ("IMG_9", "img_10", "IMG_11"),
        ("1", "٢", "３", "10", "²"),  # digits of other scripts count, a superscript is none
        ("a", "b", "c1"),
    ],
)
def test_names_are_in_the_order_of_their_numbers(names):
    for given in (names[::-1], names):
        assert [file.stem for file in in_order(paths(*given))] == list(names)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("f_00000", "f_00001", "f_00003"), "f_00002"),
        (("1", "02", "003", "5"), "004"),
        (("00000", "00005", "00010", "00020"), "00015"),
        (("a_1_b", "a_2_b", "a_4_b"), "a_3_b"),
        (("scene2_7", "scene2_8", "scene2_10"), "scene2_9"),
        (("-2", "-1", "1"), "0"),
        (("img (1)", "img (2)", "img (4)"), "img (3)"),
        (("shot2.0001", "shot2.0002", "shot2.0004"), "shot2.0003"),
    ],
)
def test_a_number_that_is_missing_is_named(names, missing):
    with pytest.raises(ClipError, match=rf"^{missing.replace('(', '.').replace(')', '.')}\.jpg is missing between"):
        consecutive(paths(*names))


@pytest.mark.parametrize(
    "names",
    [
        ("0", "5", "10", "15"),
        ("00", "02", "05", "07", "10"),  # 25 frames a second made of 10
        ("10-30-05", "10-30-06", "10-30-09"),
        ("IMG_20240101_103059", "IMG_20240101_103100", "IMG_20240101_103103"),
        ("20240130", "20240131", "20240201", "20240203"),
        ("0", "33", "67", "133", "167"),  # milliseconds
        ("1305031102", "1305031103", "1305031106"),
        ("1305031102.175304", "1305031102.211214", "1305031102.275326"),
        ("f_1.5", "f_2.5", "f_5.5"),
        ("a", "b", "d"),
        ("1", "²", "4"),
        ("f_1", "f_9"),
    ],
)
def test_steps_that_are_no_gap(names):
    assert consecutive(paths(*names)) == paths(*names)


def test_a_folder_is_opened_in_order_and_its_gap_is_told(tmp_path):
    put(tmp_path, *(f"frame_{t}.jpg" for t in range(1, 13)))
    assert open_clip(tmp_path).info["names"] == [f"frame_{t}" for t in range(1, 13)]
    (tmp_path / "frame_5.jpg").unlink()
    with pytest.raises(ClipError, match=r"frame_5\.jpg is missing between its neighbours"):
        open_clip(tmp_path)


def test_what_is_no_frame_is_left_out(tmp_path):
    put(tmp_path, "00.jpg", "01.jpg", "02.JPG", ".00.jpg", "._01.jpg", "Thumbs.db", "desktop.ini", "01.jpg~", "x.txt")
    put(tmp_path / ".ipynb_checkpoints", "00-checkpoint.jpg")
    put(tmp_path / "masks", "00.png")
    (tmp_path / "folder.jpg").mkdir()
    assert [f.name for f in image_files(tmp_path)] == ["00.jpg", "01.jpg", "02.JPG"]
    assert len(open_clip(tmp_path)) == 3


@pytest.mark.parametrize("by", ["name", "link", "hard link", "roundabout"])
def test_the_mask_among_the_frames_is_no_frame(tmp_path, by):
    frames = put(tmp_path / "frames", "00.jpg", "01.jpg")
    inside = frames / "mask.png"
    write_mask(inside, SPOT)
    mask = {"name": inside, "roundabout": frames / ".." / "frames" / "mask.png"}.get(by, tmp_path / "other.png")
    if by == "link":
        mask.symlink_to(inside)
    if by == "hard link":
        os.link(inside, mask)
    clip = open_clip(frames, mask)
    assert clip.info["names"] == ["00", "01"] and (clip.first_mask == SPOT).all()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("00.jpg", "00.png", "01.jpg", "01.png"), r"masks beside its frames.*00\.jpg and 00\.png, 2 pairs.*own"),
        (("a.jpg", "a.png", "b.jpg"), r"two frames of one name, a\.jpg and a\.png"),
        (("a.JPG", "a.jpg", "b.jpg"), r"two frames of one name, a\.JPG and a\.jpg"),
        (("1.jpg", "01.jpg", "2.jpg"), r"two frames of one number, 01\.jpg and 1\.jpg"),
        (("00.jpg", "01.jpg", "02.jpg", "mask.png"), r"mask\.png is not named like .*00\.jpg.*Move"),
        (("cover.jpg", "f_1.jpg", "f_2.jpg"), r"cover\.jpg is not named like"),
        (("00.jpg", "00_mask.png", "01.jpg", "01_mask.png"), r"00_mask\.png is not named like .*mask or a copy"),
        (("00.jpg", "01.jpg", "01 (1).jpg"), r"01 \(1\)\.jpg is not named like"),
        (("00.jpg", "01.jpg", "01 copy.jpg"), r"01 copy\.jpg is not named like"),
    ],
)
def test_what_is_no_frame_by_its_name_is_told(tmp_path, names, says):
    with pytest.raises(ClipError, match=says):
        open_clip(put(tmp_path, *names))


@pytest.mark.parametrize(
    "names", [("a.jpg", "b.png", "c.bmp"), ("f_1.jpg", "f_1.5.jpg", "f_2.jpg"), ("a1.jpg", "a2.jpg", "b1.jpg")]
)
def test_names_of_several_kinds_are_no_fault(tmp_path, names):
    assert open_clip(put(tmp_path, *names)).info["names"] == [Path(name).stem for name in names]


def test_a_folder_without_frames_says_where_some_are(tmp_path):
    put(tmp_path / "JPEGImages" / "480p" / "bear", "00.jpg")
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(ClipError, match=r"no images itself, but .*JPEGImages/480p/bear does"):
        open_clip(tmp_path)
    with pytest.raises(ClipError, match="holds no images"):
        open_clip(tmp_path / "Annotations")
    with pytest.raises(ClipError, match="is a single picture; give the folder"):
        open_clip(tmp_path / "JPEGImages" / "480p" / "bear" / "00.jpg")


def test_frames_of_two_sizes_or_that_are_none_are_told_at_once(tmp_path):
    put(tmp_path, "00000.png", "00001.png")
    write_frame(tmp_path / "00002.png", DOT[:3])
    with pytest.raises(ClipError, match=r"00002\.png is 6 x 3 pixels but 00000\.png is 6 x 4"):
        open_clip(tmp_path)
    (tmp_path / "00002.png").write_bytes(b"")
    with pytest.raises(ClipError, match=r"00002\.png is empty \(0 bytes\)"):
        open_clip(tmp_path)
    (tmp_path / "00002.png").write_bytes(b"hello")
    with pytest.raises(ClipError, match=r"00002\.png is damaged, or no picture"):
        open_clip(tmp_path)
    (tmp_path / "00002.png").unlink()
    (tmp_path / "00002.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ClipError, match=r"00002\.png is a link to nothing"):
        open_clip(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders")
def test_pipes_sockets_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    end = socket.socket(socket.AF_UNIX)
    where = os.getcwd()
    os.chdir(tmp_path)  # a socket's path is short
    end.bind("socket.mp4")
    os.chdir(where)
    frames = put(tmp_path / "frames", "00.jpg")
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.mp4", tmp_path / "socket.mp4", Path("/dev/zero")):
        with pytest.raises(ClipError, match="is a pipe or a device"):
            open_clip(path)
    with pytest.raises(ClipError, match="is a pipe or a device"):
        open_clip(frames, tmp_path / "pipe.png")
    end.close()


# ------------------------------------------------------------------------------------------------ a folder of masks


@pytest.fixture
def frames(tmp_path):
    return put(tmp_path / "frames", "f_1.jpg", "f_2.jpg", "f_3.jpg")


def test_masks_are_found_by_the_names_of_frames(tmp_path, frames):
    folder = tmp_path / "masks"
    folder.mkdir()
    for name in ("f_1.png", "f_2.PNG", "f_3.tif"):
        Image.fromarray(SPOT * 255).save(folder / name)
    put(folder, "._f_1.png", "Thumbs.db", "overlay.mp4")
    clip = open_clip(frames, folder)
    assert all((mask == SPOT).all() for mask in clip.masks)
    assert list(mask_files(folder)) == ["f_1", "f_2", "f_3"] and mask_files(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("1.png", "2.png"), r"No mask in .* named like a frame \(f_1\.png \.\.\.\) \(but 1\.png"),
        (("f_1.png", "f_7.png"), r"1 of the masks in .* belong to no frame of .*\(f_7\.png\)"),
        (("f_1.png", "f_1.tif"), r"f_1\.png and f_1\.tif are masks of one frame"),
        (("f_1.jpg", "f_2.jpg"), r"f_1\.jpg may have blurred edges.*PNG"),
        ((), r"No mask in .* named like a frame"),
    ],
)
def test_masks_that_belong_to_no_frame_are_told(tmp_path, frames, names, says):
    (tmp_path / "masks").mkdir()
    with pytest.raises(ClipError, match=says):
        open_clip(frames, put(tmp_path / "masks", *names))


def test_one_folder_is_not_frames_and_masks(tmp_path, frames):
    with pytest.raises(ClipError, match="given for frames and for masks"):
        open_clip(frames, frames / ".." / "frames")
    with pytest.raises(ClipError, match=r"none\.png is missing"):
        open_clip(frames, tmp_path / "none.png")
