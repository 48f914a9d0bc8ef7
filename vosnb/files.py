"""Files, written whole or not at all, and json from outside, checked as it is read.

Every file that the package writes goes through `written` (or `write_bytes`, `write_text`): into a temporary file in the
same folder, to the disk, and then under its name in one step. A killed run or a full disk leaves the file as it was.
`explain` is the one place that turns an OSError into a sentence with the path and the cure.
"""

import errno
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError


class FileError(ValueError):
    """A file that cannot be used; the message says what is wrong with it and how to mend it."""


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Inside, write to the path that is yielded; at the end it becomes `path`, in one step.

    The temporary file lies in the same folder, hidden, and has the same suffix. Folders are made as needed. After an
    error it is removed, and `path` is as it was. Raises OSError that names `path`, and FileError where `path` is a
    folder or a device.
    """
    target = _target(path)
    half = target.with_name(f".{secrets.token_hex(6)}.half{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield half
        descriptor = os.open(half, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(half, target)
    except OSError as error:
        if error.errno is None:  # not the system's
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # what was wrong is told above
            half.unlink(missing_ok=True)


def _target(path: str | Path) -> Path:
    """What a path leads to (a link stays a link), or FileError where no file can be put in its place."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileError(f"{path} is {'a folder' if target.is_dir() else 'no regular file'}; give another name.")
    return target


def check_writable(path: str | Path) -> None:
    """Raise what `written` would, before the work begins whose result goes there; folders are made as needed."""
    target = _target(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error


def safe_name(name: str) -> str:
    """`name` as that of one file or folder on any system: what some system does not take becomes "_"."""
    safe = "".join("_" if letter in '<>:"/\\|?*' or ord(letter) < 32 else letter for letter in name).rstrip(". ")
    while len(os.fsencode(safe)) > 200:  # file systems take 255 bytes
        safe = safe[:-1]
    return safe if safe == name else f"{safe or '_'}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:6]}"


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file whole or not at all; returns its path. Raises what `written` does."""
    with written(path) as half:
        half.write_bytes(data)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write text in UTF-8, whole or not at all; returns its path. Raises what `written` does."""
    return write_bytes(path, text.encode())


def read_json(path: str | Path, schema, error: type[ValueError] = FileError):
    """What a json file holds, checked against `schema`: whatever pydantic knows, as `dict[str, list[int]]`.

    Raises `error` that names the file, the place in it and what is wrong there; OSError where it cannot be opened.
    """
    data = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        return TypeAdapter(schema).validate_json(data)
    except ValidationError as problems:
        raise error(f"{path} is damaged: {first_fault(problems)}; mend it, or get the file again.") from None


def first_fault(problems: ValidationError) -> str:
    """The place of the first thing that does not fit a schema, and what is wrong there."""
    first = problems.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        line, letter = re.findall(r"\d+", first["msg"])[-2:]
        return f"it is no json, from line {line}, character {letter} on"
    where = ".".join(map(str, first["loc"]))
    what = first["msg"][0].lower() + first["msg"][1:]
    return f"{where and where + ': '}{what}"


CURES = {
    errno.ENOSPC: "the disk is full; free some space, or write somewhere else",
    errno.EDQUOT: "your quota is used up; free some space, or write somewhere else",
    errno.EACCES: "this is not allowed to you; change its permissions, or take another place",
    errno.EPERM: "this is not allowed to you; change its permissions, or take another place",
    errno.EROFS: "this disk can only be read; write somewhere else",
    errno.ENOENT: "it does not exist; check the path",
    errno.ENOTDIR: "a part of this path is a file, not a folder; check the path",
    errno.EISDIR: "it is a folder, and a file is wanted; check the path",
    errno.EEXIST: "it exists already; give another name, or move it away",
    errno.ENOTEMPTY: "this folder is not empty; give another name, or move it away",
    errno.ENAMETOOLONG: "this name is too long for the system; shorten it",
    errno.ELOOP: "links lead in a circle here; check the path",
    errno.EMFILE: "too many files are open; close some programs and try again",
    errno.EINVAL: "the system does not take this name; give another one",
}


def explain(error: OSError) -> str:
    """What an OSError means: its path, what is wrong and the cure, in one sentence; our own say so themselves."""
    if error.errno is None:
        return str(error)
    what = CURES.get(error.errno, f"the system says: {error.strerror or error}")
    return f"{os.fsdecode(error.filename)}: {what}." if error.filename is not None else f"{what[0].upper()}{what[1:]}."
