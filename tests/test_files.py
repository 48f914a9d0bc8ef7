"""Files written whole or not at all, json checked as it is read, and system errors said in a sentence."""

import errno
import os

import pytest

from vosnb import files
from vosnb.files import FileError, explain, read_json, write_bytes, write_text, written


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_arrive_in_folders_that_are_made(tmp_path):
    assert write_text(tmp_path / "a" / "b.txt", "grün").read_bytes() == "grün".encode()
    assert write_bytes(tmp_path / "a" / "b.txt", b"new").read_bytes() == b"new"
    assert left_in(tmp_path / "a") == ["b.txt"]


def test_a_writer_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    file = write_text(tmp_path / "a.txt", "before")
    with pytest.raises(RuntimeError), written(file) as half:
        half.write_text("af")
        raise RuntimeError
    assert file.read_text() == "before" and left_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_file_as_it_was_and_names_it(tmp_path, monkeypatch, step):
    file = write_text(tmp_path / "a.txt", "before")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(OSError) as caught:
        write_text(file, "after")
    assert caught.value.filename == str(file) and "disk is full" in explain(caught.value)
    assert file.read_text() == "before" and left_in(tmp_path) == ["a.txt"]


def test_the_half_written_file_is_hidden_beside_its_target_and_has_its_suffix(tmp_path):
    with written(tmp_path / "film.mp4") as half:
        assert half.parent == tmp_path and half.name[0] == "." and half.suffix == ".mp4"
        half.touch()


def test_a_link_stays_a_link(tmp_path):
    write_text(tmp_path / "there.txt", "old")
    (tmp_path / "link.txt").symlink_to("there.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "there.txt").read_text() == "new"


def test_folders_and_devices_are_never_replaced(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        write_text(tmp_path, "text")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="no regular file"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()


def test_json_is_read_as_what_it_should_be(tmp_path):
    file = write_bytes(tmp_path / "a.json", b'\xef\xbb\xbf{"a": [1, 2]}')  # as Windows' editors begin it
    assert read_json(file, dict[str, list[int]]) == {"a": [1, 2]}


@pytest.mark.parametrize(
    "text, said",
    [
        (b'{"a": [1, "x"]}', "a.1: input should be a valid integer"),
        (b'{"a": 1}', "a: input should be a valid array"),
        (b'{"a": [1', "it is no json"),
        (b"", "it is no json"),
        (b"\xff\xfe{", "it is no json"),
        (b"[" * 100_000, "it is no json, from line 1"),
    ],
)
def test_json_of_another_shape_is_told_with_the_place(tmp_path, text, said):
    with pytest.raises(FileError) as caught:
        read_json(write_bytes(tmp_path / "a.json", text), dict[str, list[int]])
    message = str(caught.value)
    assert str(tmp_path / "a.json") in message and said.lower() in message.lower() and message.endswith(".")


def test_json_that_is_missing_stays_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", dict)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EIO])
def test_every_error_of_the_system_becomes_one_sentence_with_its_path(number):
    said = explain(OSError(number, os.strerror(number), "some/place"))
    assert said.startswith("some/place: ") and said.endswith(".") and "Errno" not in said
