"""What a video file says about itself, read from its own structure: mp4 and mov, avi, mkv and webm.

OpenCV hides whether its count of frames is written in the file or guessed from the duration, and opens nothing whose
codec it does not know. This reads just enough to tell a damaged file from an intact one, and to name a codec.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INTRA = {"mjpg", "jpeg", "ffv1", "hfyu", "ffvh", "dib ", "raw ", "png "}  # every frame by itself: none is ever delayed
NO_VIDEO = {  # how files begin that are something else
    b"\x89PNG": "a single picture; give the folder that its clip's frames lie in",
    b"PK\x03\x04": "an archive; unpack it and give what is in it",
    b"7z\xbc\xaf": "an archive; unpack it and give what is in it",
    b"Rar!": "an archive; unpack it and give what is in it",
    b"\x1f\x8b": "an archive; unpack it and give what is in it",
    b"ID3": "sound without pictures; give a video",
    b"fLaC": "sound without pictures; give a video",
    b"#EXTM3U": "a list of videos; give one of them",
    b"ffconcat": "a list of videos; give one of them",
    b"%PDF": "a document; give a video or a folder of frames",
}
INDEX = 2**26  # bytes of an index that are read at most


@dataclass
class Container:
    """frames: how many the file lists, None where it only lets one guess. codec: its four letters or name, "" unknown.

    cut: whether the file ends before its structure does. pictures: False where it holds sound alone.
    """

    frames: int | None = None
    codec: str = ""
    cut: bool = False
    pictures: bool = True


def look(path: Path) -> Container:
    """What the file says; a `Container` without knowledge for other formats and for damaged ones."""
    with path.open("rb") as file:
        head = file.read(16)
        size = os.fstat(file.fileno()).st_size
        try:
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return _mp4(file, size)
            if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
                return _avi(file, size)
            if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
                return Container(pictures=False)
            if head[:4] == b"\x1a\x45\xdf\xa3":
                return _matroska(file, size)
        except (struct.error, IndexError):
            pass
    return Container()


def _boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the boxes of an mp4 between two places, without their headers."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if length == 1:
            length, body = struct.unpack_from(">Q", data, start + 8)[0], start + 16
        stop = end if length == 0 else start + length
        if stop < body:
            return
        yield kind, body, min(stop, end)
        start = stop


def _find(data: bytes, start: int, end: int, *kinds: bytes) -> tuple[int, int] | None:
    """Where the box lies that this path of kinds leads to, or None."""
    for kind, body, stop in _boxes(data, start, end):
        if kind == kinds[0]:
            return (body, stop) if len(kinds) == 1 else _find(data, body, stop, *kinds[1:])
    return None


def _mp4(file, size: int) -> Container:
    found, at, moov = Container(), 0, b""
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1:
            length = struct.unpack_from(">Q", head, 8)[0]
        length = length or size - at
        if length < 8:
            break
        if kind == b"moov" and length < INDEX:
            file.seek(at + 8)
            moov = file.read(length - 8)
        at += length
    found.cut = at > size
    tracks = [(a, b) for kind, a, b in _boxes(moov) if kind == b"trak"]
    handlers = [_find(moov, *track, b"mdia", b"hdlr") for track in tracks]
    videos = [t for t, h in zip(tracks, handlers, strict=True) if h and moov[h[0] + 8 : h[0] + 12] == b"vide"]
    found.pictures = bool(videos) or not tracks
    if len(videos) != 1:
        return found
    (track,) = videos
    if entry := _find(moov, *track, b"mdia", b"minf", b"stbl", b"stsd"):
        found.codec = moov[entry[0] + 12 : entry[0] + 16].decode("latin-1")
    samples = _find(moov, *track, b"mdia", b"minf", b"stbl", b"stsz")
    pieces = _find(moov, 0, len(moov), b"mvex")  # then the frames are listed elsewhere
    if samples and not pieces and not _trimmed(moov, track):
        found.frames = struct.unpack_from(">I", moov, samples[0] + 8)[0] or None
    return found


def _trimmed(moov: bytes, track: tuple[int, int]) -> bool:
    """Whether an edit list hides frames that are in the file, as those of videos that a phone cut shorter."""

    def clock(place):
        if place is None:
            return 1, 0
        long = moov[place[0]] == 1
        return struct.unpack_from(">IQ" if long else ">II", moov, place[0] + (20 if long else 12))

    edits = _find(moov, *track, b"edts", b"elst")
    if not edits:
        return False
    (ticks, whole), (movie_ticks, _) = (
        clock(_find(moov, *track, b"mdia", b"mdhd")),
        clock(_find(moov, 0, len(moov), b"mvhd")),
    )
    long, count = moov[edits[0]] == 1, struct.unpack_from(">I", moov, edits[0] + 4)[0]
    shown = 0
    for i in range(min(count, 10000)):
        length, begin = struct.unpack_from(">Qq" if long else ">Ii", moov, edits[0] + 8 + i * (20 if long else 12))
        if begin >= 0:
            shown += length
            if length == 0:  # the whole rest
                return begin > 0
    return shown * ticks < (whole * movie_ticks) * 0.999 - 2 * ticks


def _avi(file, size: int) -> Container:
    found, at, streams, empty, indexed = Container(), 12, [], 0, False
    file.seek(4)
    found.cut = struct.unpack("<I", file.read(4))[0] + 8 > size
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind == b"LIST" and file.read(4) == b"hdrl" and length < INDEX:
            head = file.read(length - 4)
            places = [m.start() + 8 for m in re.finditer(b"strh", head)]
            streams = [head[p : p + 48] for p in places]
        elif kind == b"idx1" and length < INDEX:
            number = [i for i, s in enumerate(streams) if s[:4] == b"vids"][:1]
            sizes = [
                struct.unpack_from("<I", entry, 12)[0]
                for entry in re.findall(b"(?s).{16}", file.read(length))
                if number and entry[:2] == b"%02d" % number[0]
            ]
            empty, indexed = sum(s < 8 for s in sizes), True  # a frame that repeats the one before is stored as nothing
        at += 8 + length + length % 2
    video = next((s for s in streams if s[:4] == b"vids"), None)
    found.pictures = video is not None or not streams
    if video is not None:
        found.codec = video[4:8].decode("latin-1")
        listed = struct.unpack_from("<I", video, 32)[0] - empty
        found.frames = listed if listed > 0 and (indexed or found.cut) else None
    return found


def _matroska(file, size: int) -> Container:
    file.seek(0)
    head = file.read(2**16)

    def length(at: int) -> tuple[int, int]:
        """(value, width) of a number of one to eight bytes, whose first bits say how many."""
        width = 9 - head[at].bit_length()
        return int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1), width

    found = Container()
    first, width = length(4)
    segment = 4 + width + first
    if head[segment : segment + 4] == b"\x18\x53\x80\x67":
        whole, width = length(segment + 4)
        unknown = whole == (1 << 7 * width) - 1
        found.cut = not unknown and segment + 4 + width + whole > size
    codecs = re.findall(rb"[VA]_[A-Z0-9]+", head)
    found.codec = next((c.decode() for c in codecs if c.startswith(b"V_")), "")
    found.pictures = bool(found.codec) or not codecs
    return found
