"""`vosnb data`, against a server on this machine that cuts, corrupts, redirects, and knows no ranges.

What ImageNet weights are good for, once they are there, stands in test_features.py.
"""

import hashlib
import io
import re
import tempfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from vosnb import clips
from vosnb.clips import ClipError, downloads


def archive(extra: dict | None = None, frames: int = 3) -> bytes:
    """A small DAVIS archive, with a file of noise to give it some length, and extra members {name or ZipInfo: data}."""
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w") as zipped:
        pictures = rng.integers(0, 255, (frames, 24, 32, 3), dtype=np.uint8)
        masks = np.zeros((frames, 24, 32), np.uint8)
        masks[:, 4:12, 5:15] = 1
        clips.write_davis(clips.Clip.from_arrays("bear", pictures, masks), folder, split="val")
        for file in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
            zipped.write(file, f"DAVIS/{file.relative_to(folder)}")
        zipped.writestr("DAVIS/noise.bin", rng.bytes(400_000))
        for name, data in (extra or {}).items():
            zipped.writestr(name, data)
    return buffer.getvalue()


class Server:
    """Serves `content` at /data.zip; `cuts` is after how many bytes each of the next replies breaks off."""

    def __init__(self, content: bytes, ranges: bool = True):
        self.content, self.ranges, self.cuts, self.requests = content, ranges, [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, self.headers.get("Range")))
                if self.path == "/moved.zip":
                    self.send_response(302)
                    self.send_header("Location", "/data.zip")
                    self.end_headers()
                elif self.path == "/broken.zip":
                    self.send_error(503)
                elif self.path == "/data.zip":
                    outer.reply(self)
                else:
                    self.send_error(404)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/data.zip"

    def reply(self, handler):
        size, wanted = len(self.content), re.match(r"bytes=(\d+)-", handler.headers.get("Range") or "")
        start = int(wanted[1]) if wanted and self.ranges else 0
        if start and start >= size:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{size}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        handler.send_header("Content-Length", str(size - start))
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else size
        handler.wfile.write(self.content[start : start + cut])
        handler.close_connection = True


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """serve(content): a server; the data set davis2017 is what it serves, and the cache is a temporary folder."""
    monkeypatch.setenv("VOSNB_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "PAUSE", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(content, **settings):
        servers.append(server := Server(content, **settings))
        known = downloads.Archive(server.url, f"sha256:{hashlib.sha256(content).hexdigest()}", 1)
        monkeypatch.setitem(downloads.DATASETS, "davis2017", known)
        return server

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def fetch(**settings):
    return downloads.fetch("davis2017", progress=False, **settings)


def leftovers(folder):
    return sorted(p.name for p in folder.parent.iterdir()) if folder.parent.exists() else []


def test_a_fetched_data_set_loads_by_its_name(serve, tmp_path, capsys):
    with pytest.raises(ClipError, match="vosnb data davis2017"):
        clips.load("davis2017")
    server = serve(archive())
    folder = fetch()
    assert folder == tmp_path / "cache" / "davis2017" and leftovers(folder) == ["davis2017"]
    assert "CC BY-NC" in capsys.readouterr().out  # the terms come first
    for split in ("val", "test"):
        (clip,) = clips.load("davis2017", split)
        assert clip.name == "bear" and len(clip) == 3 and clip.objects == [1]
    fetch()
    assert len(server.requests) == 1  # what is there is not fetched again


def test_the_terms_are_said_before_the_first_byte_comes(serve, capsys):
    server = serve(b"")
    with pytest.raises(ClipError):
        fetch(url=server.url.replace("data.zip", "nowhere.zip"))
    assert downloads.DAVIS_TERMS in capsys.readouterr().out


def test_a_cut_connection_is_taken_up_where_it_broke(serve):
    content = archive()
    server = serve(content)
    server.cuts = [100_000, 50_000]
    folder = fetch()
    assert [r for _, r in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert (folder / "noise.bin").stat().st_size == 400_000


def test_the_next_run_goes_on_after_one_that_gave_up(serve, tmp_path):
    server = serve(archive())
    server.cuts = [100_000] + [0] * downloads.ATTEMPTS
    with pytest.raises(ClipError, match=r"after 0\.1 MB.*run the same command again"):
        fetch()
    assert leftovers(tmp_path / "cache" / "davis2017") == ["davis2017.zip.part"]
    server.requests.clear()
    fetch()
    assert server.requests == [("/data.zip", "bytes=100000-")]


def test_a_complete_archive_is_not_fetched_again(serve, tmp_path):
    content = archive()
    serve(content)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "davis2017.zip.part").write_bytes(content)
    assert (fetch() / "JPEGImages").is_dir()


def test_what_is_longer_than_the_archive_starts_over(serve, tmp_path):
    content = archive()
    serve(content)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "davis2017.zip.part").write_bytes(content + b"more")
    assert (fetch() / "JPEGImages").is_dir()


def test_a_server_without_ranges_starts_over(serve):
    server = serve(archive(), ranges=False)
    server.cuts = [100_000]
    assert (fetch() / "noise.bin").stat().st_size == 400_000
    assert len(server.requests) == 2


def test_redirects_are_followed_also_when_going_on(serve):
    server = serve(archive())
    server.cuts = [100_000]
    fetch(url=server.url.replace("data.zip", "moved.zip"))
    assert server.requests[-1] == ("/data.zip", "bytes=100000-")


def test_corrupt_bytes_are_refused_and_removed(serve, tmp_path):
    content = archive()
    server = serve(content)
    server.content = content[:200_000] + bytes([content[200_000] ^ 1]) + content[200_001:]
    with pytest.raises(ClipError, match="sha256 checksum .* Download again"):
        fetch()
    assert leftovers(tmp_path / "cache" / "davis2017") == []
    server.content = content
    assert (fetch() / "JPEGImages").is_dir()


def test_another_archive_needs_its_checksum(serve):
    serve(archive())
    other = archive(frames=2)
    server = Server(other)
    with pytest.raises(ClipError, match=hashlib.sha256(other).hexdigest()):
        fetch(url=server.url)
    folder = fetch(url=server.url, sha256=hashlib.sha256(other).hexdigest().upper())
    assert len(list((folder / "JPEGImages/480p/bear").iterdir())) == 2
    server.http.shutdown()
    server.http.server_close()


def test_an_archive_that_moved_and_a_server_that_fails(serve):
    server = serve(archive())
    with pytest.raises(ClipError, match="404 Not Found.*davischallenge.org"):
        fetch(url=server.url.replace("data.zip", "gone.zip"))
    with pytest.raises(ClipError, match="failed 5 times .*503.*again"):
        fetch(url=server.url.replace("data.zip", "broken.zip"))
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(ClipError, match="failed 5 times .*refused"):
        fetch()


def link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("DAVIS/link")
    member.external_attr = 0o120777 << 16
    return member


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/tmp/evil.txt", "DAVIS/../../evil.txt", "..\\evil.txt", "C:\\e", link()]
)
def test_nothing_leaves_the_target_folder(serve, tmp_path, name):
    serve(archive({name: "evil"}))
    with pytest.raises(ClipError, match="outside the target|a link in the target"):
        fetch()
    assert not list(tmp_path.rglob("*evil*")) and not list(tmp_path.rglob("JPEGImages"))


def test_a_damaged_member_leaves_no_half_data_set(serve, tmp_path):
    content = bytearray(archive())
    content[200_000] ^= 1  # inside the noise, so that its CRC is wrong although the checksum of the whole is as told
    serve(bytes(content))
    with pytest.raises(ClipError, match="damaged .*CRC"):
        fetch()
    assert leftovers(tmp_path / "cache" / "davis2017") == []


def test_an_interrupted_unpacking_is_not_taken_for_a_data_set(serve, tmp_path, monkeypatch):
    serve(archive())
    extract = zipfile.ZipFile.extract

    def interrupted(self, member, *where):
        if "Annotations" not in member.filename:
            raise KeyboardInterrupt
        return extract(self, member, *where)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch()
    assert leftovers(tmp_path / "cache" / "davis2017") == ["davis2017.zip.part"]
    assert (fetch() / "JPEGImages").is_dir()


def packed(how: str) -> bytes:
    """A DAVIS archive of which something in the middle of it is as no archive should be."""
    content = bytearray(archive({"DAVIS/odd.txt": b"\x09\x04\x05\x00" + b"\xff" * 500}))
    here, there = content.rfind(b"PK\3\4"), content.rfind(b"PK\1\2")  # odd.txt, and its line in the directory
    if how == "encrypted":
        content[here + 6] |= 1
        content[there + 8] |= 1
    elif how == "unknown compression":
        content[here + 8] = content[there + 10] = 99
    elif how == "broken stream":
        content[here + 8] = content[there + 10] = zipfile.ZIP_DEFLATED
    elif how in ("broken lzma", "broken bzip2"):
        content[here + 8] = content[there + 10] = zipfile.ZIP_LZMA if how == "broken lzma" else zipfile.ZIP_BZIP2
    elif how == "bomb":
        content[there + 24 : there + 28] = (2_000_000_000).to_bytes(4, "little")
    elif how == "other name":
        content[there + 46] ^= 2
    elif how == "cut off":
        del content[-3000:]
    return bytes(content)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("encrypted", "encrypted"),
        ("unknown compression", "compression"),
        ("broken stream", "decompressing"),
        ("broken lzma", "[Ii]nvalid"),
        ("broken bzip2", "[Ii]nvalid data stream"),
        ("bomb", "would unpack to .* 2000 MB"),
        ("other name", "differ"),
        ("cut off", "not a zip file"),
    ],
)
def test_broken_members_are_told_as_such(serve, tmp_path, how, message):
    serve(packed(how))
    with pytest.raises(ClipError, match=f"The archive is damaged .*{message}.*download it again"):
        fetch()
    assert leftovers(tmp_path / "cache" / "davis2017") == []


@pytest.mark.parametrize("name", ["DAVIS/noise.bin/x", "DAVIS/JPEGImages", "DAVIS/" + 300 * "x"])
def test_names_that_conflict_or_cannot_be(serve, name):
    serve(archive({name: "here"}))
    with pytest.raises(ClipError, match="names in it conflict"):
        fetch()


def test_a_server_that_never_ends_is_stopped(serve, tmp_path):
    server = serve(archive())
    server.content = bytes(3_000_000)
    with pytest.raises(ClipError, match="sends more than 2 MB, where about 1 are expected"):
        fetch()
    assert leftovers(tmp_path / "cache" / "davis2017") == []


def test_what_came_from_another_address_is_not_gone_on_with(serve):
    server = serve(archive())
    server.cuts = [100_000] + [0] * downloads.ATTEMPTS
    with pytest.raises(ClipError, match="run the same command again"):
        fetch(url=server.url.replace("data.zip", "moved.zip"))
    server.requests.clear()
    assert (fetch() / "JPEGImages").is_dir() and server.requests == [("/data.zip", None)]


def test_a_copy_of_ones_own(serve, tmp_path):
    content = archive()
    serve(content)
    (tmp_path / "my copy é.zip").write_bytes(content)
    assert (fetch(url=f"file://{tmp_path}/my copy é.zip") / "JPEGImages").is_dir()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///nowhere/davis.zip", "There is no file /nowhere/davis.zip; check the url"),
        ("file:///", "There is no file /"),
        ("gopher://x/y.zip", "is no address"),
        ("davis.zip", "is no address"),
        ("http://", "is no address"),
        ("http://[::1", "is no address"),
        ("", "is no address"),
        ("javascript:alert(1)", "is no address"),
    ],
)
def test_what_is_no_address_is_told_at_once(serve, tmp_path, url, message):
    serve(archive())
    with pytest.raises(ClipError, match=message):
        fetch(url=url)
    assert leftovers(tmp_path / "cache" / "davis2017") == []


@pytest.mark.parametrize("sha256", ["", "e3", "x" * 64])
def test_what_is_no_checksum_accepts_nothing(serve, sha256):
    serve(archive())
    with pytest.raises(ClipError, match="is no sha256 checksum; give its 64 digits"):
        fetch(sha256=sha256)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_not_told_as_a_broken_network(serve, tmp_path):
    server = serve(archive())
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "davis2017.zip.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device: .*davis2017.zip.part"):
        fetch()
    assert len(server.requests) == 1


def test_a_folder_that_cannot_be_made(serve, tmp_path):
    serve(archive())
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        fetch(target=tmp_path / "file" / "davis")
    with pytest.raises(ClipError, match="is a file; move it away"):
        fetch(target=tmp_path / "file")


def test_an_archive_of_something_else(serve):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("page.html", "hello")
    serve(buffer.getvalue())
    with pytest.raises(ClipError, match="not DAVIS"):
        fetch()


def test_a_full_disk_is_seen_before(serve, monkeypatch):
    serve(archive())
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: type("", (), {"free": 1000}))
    with pytest.raises(ClipError, match="GB free.*VOSNB_DATA"):
        fetch()


def test_unknown_names_and_strange_targets(tmp_path):
    with pytest.raises(ClipError, match="perhaps you mean davis201"):
        downloads.fetch("davis2018")
    with pytest.raises(ClipError, match="choose one of davis2016, davis2017"):
        downloads.fetch("x")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ClipError, match="not a DAVIS data set"):
        downloads.fetch("davis2017", target=tmp_path)


def test_every_archive_has_a_checksum_of_its_kind():
    for archive in downloads.DATASETS.values():
        algorithm, _, digest = archive.checksum.partition(":")
        assert archive.url.startswith("https://") and len(digest) == 2 * hashlib.new(algorithm).digest_size
    for name, archive in downloads.WEIGHTS.items():  # torchvision's names end in how the checksum begins
        assert archive.url.endswith(f"/{name}-{archive.checksum.removeprefix('sha256:')}.pth")
        assert len(archive.checksum) == len("sha256:") + 8


def test_weights_are_one_file_and_taken_up_where_they_broke(serve, tmp_path, monkeypatch, capsys):
    content = np.random.default_rng(1).bytes(300_000)
    server = serve(content)
    begins = hashlib.sha256(content).hexdigest()[:8]
    known = downloads.Archive(server.url, f"sha256:{begins}", 1, downloads.RESNET_TERMS, "https://docs.pytorch.org")
    monkeypatch.setitem(downloads.WEIGHTS, "resnet18", known)
    server.cuts = [100_000]
    path = downloads.fetch("resnet18", progress=False)
    assert path == tmp_path / "cache" / "resnet18.pth" and path.read_bytes() == content
    assert leftovers(path) == ["resnet18.pth"] and [r for _, r in server.requests] == [None, "bytes=100000-"]
    assert downloads.RESNET_TERMS in capsys.readouterr().out
    assert downloads.fetch("resnet18", progress=False) == path and len(server.requests) == 2, "what is there stays"
    with pytest.raises(ClipError, match="404 Not Found.*docs.pytorch.org"):
        downloads.fetch("resnet18", tmp_path / "x.pth", server.url.replace("data", "gone"), progress=False)
    server.content = content[::-1]
    with pytest.raises(ClipError, match=f"not {begins}"):
        downloads.fetch("resnet18", tmp_path / "x.pth", progress=False)
    assert not (tmp_path / "x.pth").exists()
    with pytest.raises(ClipError, match="is a folder"):
        downloads.fetch("resnet18", tmp_path, progress=False)
