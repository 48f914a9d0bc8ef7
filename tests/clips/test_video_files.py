"""Videos: checked against what their container says, opened by any name, written whole or not at all."""

import errno
import os
import resource
import struct
import sys
import wave
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vosnb.clips import ClipError, open_clip, pictures
from vosnb.clips import video as video_file
from vosnb.clips.video import Video, write_video

FRAMES = [np.full((32, 48, 3), 20 * t, np.uint8) for t in range(12)]
for _t, _frame in enumerate(FRAMES):
    _frame[:, 3 * _t : 3 * _t + 9] = 240
NOISE = list(np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """whole(suffix, codec): the bytes of a video of FRAMES."""
    folder, made = tmp_path_factory.mktemp("videos"), {}

    def make(suffix, codec=None):
        if (suffix, codec) not in made:
            write_video(folder / f"v{suffix}", FRAMES, 12, codec)
            made[suffix, codec] = (folder / f"v{suffix}").read_bytes()
        return made[suffix, codec]

    return make


def put(path, data):
    path.write_bytes(data)
    return path


def chunks(avi: bytes) -> list[int]:
    """Where the frames of an avi begin, up to its index."""
    found, at = [], avi.find(b"00dc", avi.find(b"movi"))
    while 0 <= at < avi.rfind(b"idx1"):
        found.append(at)
        at = avi.find(b"00dc", at + 8 + struct.unpack_from("<I", avi, at + 4)[0])
    return found


# ------------------------------------------------------------------------------------------------ intact and damaged


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "mp4v"), (".mp4", "vp09"), (".mov", "mp4v"), (".avi", "MJPG"), (".avi", "XVID"), (".avi", "FFV1"),
        (".mkv", "mp4v"), (".mkv", "FFV1"), (".webm", "VP80"), (".webm", "VP90"), (".ts", "MPG2"),
        (".flv", "FLV1"), (".wmv", "WMV2"), (".MP4", None), (".AVI", None),
    ],
)  # fmt: skip
def test_an_intact_video_is_opened(tmp_path, whole, suffix, codec):
    clip = open_clip(put(tmp_path / f"v{suffix}", whole(suffix, codec)))
    assert len(clip) == 12 and clip.size == (32, 48) and clip.info["fps"] == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(("first", "last", "left"), [(9, 11, 9), (4, 5, 11), (11, 12, 11), (1, 3, 10)])
def test_zeros_in_a_video_are_told(tmp_path, whole, first, last, left):
    data = bytearray(whole(".avi", "MJPG"))
    places = [*chunks(data), data.rfind(b"idx1")]
    start = places[first] + 8
    data[start : places[last]] = bytes(places[last] - start)
    with pytest.raises(ClipError, match=r"v\.avi is damaged: 12 frames announced, (\d+) can be decoded") as told:
        Video(put(tmp_path / "v.avi", data))
    assert int(str(told.value).split(" can be")[0].split()[-1]) <= left


@pytest.mark.parametrize(
    ("suffix", "codec", "says"),
    [
        (".avi", "MJPG", "12 frames announced"),
        (".avi", "XVID", "12 frames announced|it is cut off"),
        (".webm", "VP90", "cut off: its end is missing"),
        (".mkv", "FFV1", "cut off: its end is missing"),
        (".mp4", "mp4v", "no video that can be decoded, or it is cut off.*H.264"),
    ],
)
def test_a_video_that_was_cut_off_is_told(tmp_path, whole, suffix, codec, says):
    data = whole(suffix, codec)
    with pytest.raises(ClipError, match=says):
        Video(put(tmp_path / f"v{suffix}", data[: len(data) * 3 // 4]))


def boxes_first(mp4: bytes) -> bytes:
    """The mp4 with its index before its frames, as for the web."""
    at, found = 0, {}
    while at < len(mp4):
        length = struct.unpack_from(">I", mp4, at)[0]
        found[mp4[at + 4 : at + 8]] = mp4[at : at + length]
        at += length
    moov = bytearray(found[b"moov"])
    table = moov.find(b"stco") + 8
    for i in range(struct.unpack_from(">I", moov, table)[0]):
        place = struct.unpack_from(">I", moov, table + 4 + 4 * i)[0]
        struct.pack_into(">I", moov, table + 4 + 4 * i, place + len(moov))
    return found.pop(b"ftyp") + bytes(moov) + b"".join(found[k] for k in found if k != b"moov")


def test_an_mp4_for_the_web_is_compared_with_its_index(tmp_path, whole):
    data = boxes_first(whole(".mp4", "mp4v"))
    assert Video(put(tmp_path / "v.mp4", data)).length == 12
    with pytest.raises(ClipError, match="12 frames announced, [1-9] can be decoded|cut off"):
        Video(put(tmp_path / "v.mp4", data[: -len(data) // 4]))


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path, whole):
    data = bytearray(whole(".mp4", "mp4v"))
    at = data.find(b"elst") + 12
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] // 2)
    assert 4 <= Video(put(tmp_path / "v.mp4", data)).length <= 12


def test_frames_that_an_avi_left_out_are_not_missed(tmp_path, whole):
    """Recorders that cannot keep up store a frame of no bytes: show the one before."""
    data = whole(".avi", "MJPG")
    places = chunks(data)
    start, end = places[5] + 8, places[6]
    emptied = bytearray(data[: start - 4] + bytes(4) + data[end:])
    for at in (4, data.find(b"movi") - 4):
        struct.pack_into("<I", emptied, at, struct.unpack_from("<I", data, at)[0] - (end - start))
    index = emptied.rfind(b"idx1") + 8
    for i in range(12):
        offset, size = struct.unpack_from("<II", emptied, index + 16 * i + 8)
        moved = offset - (end - start) * (i > 5)
        struct.pack_into("<II", emptied, index + 16 * i + 8, moved, 0 if i == 5 else size)
    assert Video(put(tmp_path / "v.avi", emptied)).length == 11


# --------------------------------------------------------------------------------------------------- what is no video


@pytest.mark.parametrize("codec", ["av01", "vvc1"])
def test_a_codec_that_is_not_known_is_named(tmp_path, whole, codec):
    data = whole(".mp4", "mp4v").replace(b"mp4v", codec.encode()).replace(b"esds", b"free")
    with pytest.raises(ClipError, match=rf"v\.mp4 cannot be decoded: .* codec '{codec}'.*H\.264"):
        Video(put(tmp_path / "v.mp4", data))


def test_sound_pictures_archives_lists_and_nothing_are_told(tmp_path, whole):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1000))
    sound = whole(".mp4", "mp4v").replace(b"vide", b"soun")
    with pytest.raises(ClipError, match="is sound without pictures"):
        Video(tmp_path / "sound.wav")
    for data, says in (
        (sound, "is sound without pictures"),
        (b"ID3\3" + bytes(100), "is sound without pictures"),
        (b"PK\3\4" + bytes(100), "is an archive; unpack it"),
        (b"\x89PNG\r\n" + bytes(100), "is a single picture"),
        (b"#EXTM3U\nhttp://localhost/v.ts", "is a list of videos"),
        (b"hello", "is no video that can be decoded"),
        (bytes(5000), "is no video that can be decoded"),
        (b"", r"is empty \(0 bytes\)"),
    ):
        with pytest.raises(ClipError, match=rf"v\.mp4 {says}"):
            Video(put(tmp_path / "v.mp4", data))
    with pytest.raises(ClipError, match="is a folder"):
        Video(tmp_path)


def test_a_video_of_huge_frames_is_not_decoded(tmp_path, whole, monkeypatch):
    file = put(tmp_path / "v.avi", whole(".avi", "MJPG"))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 32 * 48 - 1)
    with pytest.raises(ClipError, match=r"v\.avi is too large \(48 x 32 pixels"):
        Video(file)


def test_no_more_than_some_bytes_of_a_video_are_kept(tmp_path, whole, monkeypatch):
    file = put(tmp_path / "v.avi", whole(".avi", "MJPG"))
    for limit, kept in ((2**26, 12), (FRAMES[0].nbytes * 3 + 5, 3), (10, 1)):
        monkeypatch.setattr(Video, "KEPT_BYTES", limit)
        video = Video(file)
        for t in (*range(12), 3, 11):
            assert np.abs(video.frame(t).astype(int) - FRAMES[t]).mean() < 8
        assert len(video._kept) == kept


# -------------------------------------------------------------------------------------------------------- any name


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not take such names")
@pytest.mark.parametrize(
    "name",
    [
        "10:30:00.mp4", "v%05d.mp4", "-v.mp4", "file:v.mp4", "http:v.mp4", "pipe:.mp4", "concat:a|b.mp4", "a\nb.mp4",
        "é 漢 '\".mp4", "no suffix #1", os.fsdecode(b"caf\xe9.mp4"), os.fsdecode(b"aus\xe9/v.mp4"),
        os.fsdecode(b"v.\xe9"),
    ],
)  # fmt: skip
def test_a_video_may_have_any_name(tmp_path, monkeypatch, whole, name):
    monkeypatch.chdir(tmp_path)
    if "/" in name:
        os.mkdir(name.split("/")[0])
    with open(name, "wb") as file:
        file.write(whole(".mp4", "mp4v"))
    assert np.abs(open_clip(name).frames[7].astype(int) - FRAMES[7]).mean() < 8
    if name.endswith(".mp4"):
        write_video(name, FRAMES[:5])
        assert Video(name).length == 5
        assert [f for f in os.listdir(os.path.dirname(name) or ".")] == [os.path.basename(name)]


# ---------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_odd_sides_get_one_pixel_more(tmp_path, suffix):
    write_video(tmp_path / f"v{suffix}", [frame[:31, :45] for frame in FRAMES])
    video = Video(tmp_path / f"v{suffix}")
    assert video.length == 12 and video.frame(5).shape == (32, 46, 3)
    assert np.abs(video.frame(5)[:31, :45].astype(int) - FRAMES[5][:31, :45]).mean() < 8


@pytest.mark.parametrize(
    ("name", "frames", "how", "says"),
    [
        ("v.mp4", [], {}, "no frames to write"),
        ("v.mp4", [FRAMES[0], FRAMES[1][:30]], {}, r"Frame 1 .* is 48 x 30 pixels but the first is 48 x 32"),
        ("v.mp4", [np.zeros((4, 4))], {}, r"Frame 0 .* is not an \(H, W, 3\) uint8"),
        ("v.mp4", FRAMES, {"fps": 0}, "frames per second above 0"),
        ("v.mp4", FRAMES, {"fps": float("nan")}, "frames per second above 0"),
        ("v.mp4", FRAMES, {"codec": "x"}, "'x' is no codec"),
        ("v.mp4", FRAMES, {"codec": "zzzz"}, "cannot be written as zzzz video"),
        ("v.xyz", FRAMES, {}, r"cannot be written as mp4v video; use a name that ends in \.mp4"),
        ("v.mp4", [np.zeros((2, 20000, 3), np.uint8)], {}, "cannot be written as mp4v"),
    ],
)
def test_what_is_no_video_is_not_written(tmp_path, name, frames, how, says):
    put(tmp_path / name, b"as it was")
    with pytest.raises(ClipError, match=says):
        write_video(tmp_path / name, frames, **how)
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [(name, b"as it was")]


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
@pytest.mark.parametrize("limit", [0, 2000, 8000])
def test_a_disk_that_is_full_is_told(tmp_path, suffix, limit):
    """A limit on the size of files stands for the disk: OpenCV is as silent about one as about the other."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    put(tmp_path / f"v{suffix}", b"as it was")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(OSError, match="v") as told:
            write_video(tmp_path / f"v{suffix}", NOISE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told.value.errno == errno.EFBIG and told.value.filename == str(tmp_path / f"v{suffix}")
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [(f"v{suffix}", b"as it was")]


def test_frames_that_the_encoder_lost_are_missed(tmp_path, monkeypatch):
    class Forgetful:
        def __init__(self, *how):
            self.writer, self.isOpened = cv2.VideoWriter(*how), lambda: True
            self.release = self.writer.release

        def write(self, frame):
            if frame.mean() < 150:
                self.writer.write(frame)

    monkeypatch.setattr(video_file, "cv2", SimpleNamespace(**vars(cv2) | {"VideoWriter": Forgetful}))
    with pytest.raises(ClipError, match="could not be written whole"):
        write_video(tmp_path / "v.avi", FRAMES)
    assert not list(tmp_path.iterdir())
