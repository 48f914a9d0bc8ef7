"""`vosnb data davis2017`, `vosnb data resnet18` and others: fetch from the owners, once, and never half of it.

A cut connection is taken up again where it broke, within a run or in the next one. The file must have the checksum
below before anything is unpacked, and what is fetched appears under its name only when it is complete.

Where the checksums come from: those of DAVIS 2017 from TensorFlow Datasets (tensorflow_datasets/video/davis/
checksums.tsv), which fetches the same addresses; that of DAVIS 2016 from its owners' script (fperazzi/davis-2017 at
49d9387, data/get_davis.sh); the first digits of the ImageNet weights' stand in the names of torchvision's files. If the
owners publish other files, `fetch` refuses them and says how to accept them.
"""

import errno
import hashlib
import http.client
import lzma
import re
import shutil
import stat
import struct
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from tqdm import tqdm

from vosnb.clips.folders import near
from vosnb.clips.pictures import ClipError
from vosnb.paths import cache_dir

DAVIS_TERMS = """\
DAVIS belongs to its authors, not to this project; see https://davischallenge.org for their terms. No licence file for
the frames and masks is known to us: treat them as CC BY-NC 4.0 (credit, no commercial use). In publications cite
F. Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016, and for
DAVIS 2017 also J. Pont-Tuset et al., "The 2017 DAVIS Challenge on Video Object Segmentation", arXiv 1704.00675."""
RESNET_TERMS = """\
These weights were trained by torchvision's authors on ImageNet, whose images are for research without profit; see
https://docs.pytorch.org/vision/stable/models.html. In publications cite K. He et al., "Deep Residual Learning for Image
Recognition", CVPR 2016, and O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015."""

ATTEMPTS = 5  # in a row that bring nothing new before we give up
PAUSE = 2.0  # seconds between attempts
CHUNK = 1 << 18  # bytes
SLACK = 2  # times as large as we know a file to be, it may become
MEMBERS = 200_000  # files in an archive
DAMAGED = (  # what zipfile and its friends raise for broken members, encrypted ones, and ways of packing that few know
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, struct.error),
)
STRANGE = (
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
)  # names that conflict, or cannot be


@dataclass(frozen=True)
class Archive:
    """A file of its owners: address, "algorithm:hex digest" or how that begins, about how many megabytes it has, the
    owners' terms, and where they would say that it has moved."""

    url: str
    checksum: str
    megabytes: int
    terms: str = DAVIS_TERMS
    home: str = "https://davischallenge.org"


_ETH = "https://data.vision.ee.ethz.ch/csergi/share/davis/"
DATASETS = {
    "davis2016": Archive(
        "https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip",
        "md5:464ebb594dcbc34e012487f4cd0f8213",
        1900,
    ),
    "davis2017": Archive(
        _ETH + "DAVIS-2017-trainval-480p.zip",
        "sha256:e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492",
        833,
    ),
    "davis2017-full": Archive(
        _ETH + "DAVIS-2017-trainval-Full-Resolution.zip",
        "sha256:519494b320e7a333b98188e0f44e028f379c3312a1fc1a3e8bddd64b2c9ecfaf",
        2957,
    ),
}
_MODELS = "https://download.pytorch.org/models/"
_TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html"
WEIGHTS = {
    "resnet18": Archive(_MODELS + "resnet18-f37072fd.pth", "sha256:f37072fd", 45, RESNET_TERMS, _TORCHVISION),
    "resnet34": Archive(_MODELS + "resnet34-b627a593.pth", "sha256:b627a593", 84, RESNET_TERMS, _TORCHVISION),
}


def fetch(
    name: str,
    target: str | Path | None = None,
    url: str | None = None,
    sha256: str | None = None,
    progress: bool = True,
) -> Path:
    """Download a data set, and unpack it, or ImageNet weights, unless they are there already; return where they are.

    name: a key of DATASETS or WEIGHTS. target: where to, default `cache_dir()/name` for a data set, where `load(name)`
    looks, and `cache_dir()/name.pth` for weights, where `load_imagenet(name)` does.
    url: another address of the same file (a mirror, "file:///..." for a copy that you have). sha256: accept the
    file with this checksum instead of the known one.

    Raises ClipError if the name is unknown, the server or the connection fails, the file is not the one expected or
    not safe to unpack, or there is no room for it; OSError where the folder cannot be written. What was downloaded
    before a failed connection is kept for the next call from the same address.
    """
    known = DATASETS | WEIGHTS
    if name not in known:
        choice = near(name, known, f"choose one of {', '.join(known)}")
        raise ClipError(f"There is no '{name}' to download; {choice}.")
    archive, zipped = known[name], name in DATASETS
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256.lower()):
        raise ClipError(f"'{sha256}' is no sha256 checksum; give its 64 digits, 0 to 9 and a to f.")
    target = Path(target) if target else cache_dir() / (name if zipped else f"{name}.pth")
    if (target / "JPEGImages").is_dir() if zipped else target.is_file():
        print(f"{name} is already in {target}.")
        return target
    if target.exists() and (not zipped or target.is_file() or any(target.iterdir())):
        what = "is a folder" if not zipped else "is a file" if target.is_file() else "is not a DAVIS data set"
        raise ClipError(f"{target} exists and {what}; move it away or choose another target.")
    own = url is None or url == archive.url
    url = archive.url if own else _address(url)
    target.parent.mkdir(parents=True, exist_ok=True)

    print(f"{name}: {url} -> {target}\n{archive.terms}")
    part = name if own else f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"  # what came from elsewhere
    part = target.parent / f"{part}.{'zip' if zipped else 'pth'}.part"
    _download(url, part, progress, archive)
    _verify(part, f"sha256:{sha256.lower()}" if sha256 else archive.checksum)
    if not zipped:
        return part.rename(target)
    _unpack(part, target, progress, archive)
    part.unlink()
    return target


# ------------------------------------------------------------------------------------------------------ downloading


class _Cut(Exception):
    """A connection that failed or ended too early; another attempt may bring more."""


def _address(url: str) -> str:
    """`url`, with what cannot stand in an address escaped; ClipError for one that nothing can be fetched from."""
    url = quote(url.strip(), safe="%/:=&?~#+!$,;'@()*[]", errors="surrogateescape")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "file":
        file = Path(url2pathname(parts.path))
        if not file.is_file():
            raise ClipError(f"There is no file {file}; check the url.")
    elif parts.scheme not in ("http", "https", "ftp") or not parts.hostname:
        raise ClipError(f"'{url}' is no address; it begins with https://, or file:/// for a file of your own.")
    return url


def _download(url: str, part: Path, progress: bool, archive: Archive) -> None:
    """Bring `part` to the length of the file at `url`, starting from what it holds."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(url, part, progress, archive):
                return
            reason = "it was cut off"
        except _Cut as error:
            reason = str(error)
        now = part.stat().st_size if part.exists() else 0
        failures = 0 if now > before else failures + 1
        if failures == ATTEMPTS:
            raise ClipError(
                f"The connection to {url} failed {ATTEMPTS} times ({reason}) after {now / 1e6:.1f} MB; check the "
                "network and run the same command again, it goes on from there."
            )
        time.sleep(PAUSE)


def _transfer(url: str, part: Path, progress: bool, archive: Archive) -> bool:
    """One connection: append to `part` what it lacks; whether it is complete. Raises _Cut, and OSError of the disk."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise _Cut(f"the server answers {error.code}") from None
        if error.code != 416:  # nothing beyond what we have
            raise ClipError(
                f"{url} answers {error.code} {error.reason}; see {archive.home} whether the file has moved, and give "
                "its new address as url."
            ) from None
        if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
            return True
        part.unlink()
        return False
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", error)
        raise _Cut(getattr(reason, "strerror", None) or reason) from None
    with response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not resumed:
            have = 0  # the server sends the file from its start
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        _require_space(part.parent, (total or 0) - have)
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc="download", disable=not progress)
        try:
            with open(part, "ab" if resumed else "wb") as file, bar:
                while chunk := _chunk(response):
                    have += len(chunk)
                    if have > SLACK * archive.megabytes * 1e6:
                        break
                    file.write(chunk)
                    bar.update(len(chunk))
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(part)) from error
    if have > SLACK * archive.megabytes * 1e6:
        part.unlink()
        raise ClipError(
            f"{url} sends more than {SLACK * archive.megabytes} MB, where about {archive.megabytes} are expected; "
            "check the url."
        )
    return total is None or have == total


def _chunk(response) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(getattr(error, "strerror", None) or error) from None


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ClipError(
            f"{folder} has {free / 1e9:.1f} GB free but {needed / 1e9:.1f} GB are needed; free some space, or point "
            "the environment variable VOSNB_DATA to a larger disk."
        )


def _verify(part: Path, checksum: str) -> None:
    """Raise ClipError, and drop the file, unless its checksum is this one, or begins so."""
    algorithm, _, expected = checksum.partition(":")
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found.startswith(expected):
        return
    with open(part, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    part.unlink()
    raise ClipError(
        f"The file has the {algorithm} checksum {found}, not {expected}: it was damaged on the way or replaced, and "
        f"has been removed. Download again; if its owners confirm a new file, pass its sha256 ({sha256})."
    )


# -------------------------------------------------------------------------------------------------------- unpacking


def _unpack(part: Path, target: Path, progress: bool, known: Archive) -> None:
    """Unpack next to `target` and rename, so that `target` is either complete or not there."""
    half = target.parent / f".{target.name}.unpacking"
    shutil.rmtree(half, ignore_errors=True)  # of a run that was interrupted
    try:
        with zipfile.ZipFile(part) as archive:
            members = archive.infolist()
            for member in members:
                _require_safe(member)
            size = sum(member.file_size for member in members)  # more than that is not unpacked
            if size > 10 * SLACK * known.megabytes * 1e6 or len(members) > MEMBERS:
                raise zipfile.BadZipFile(f"it would unpack to {len(members)} files of {size / 1e6:.0f} MB")
            _require_space(target.parent, size)
            for member in tqdm(members, desc="unpack", unit="file", disable=not progress):
                archive.extract(member, half)  # checks the CRC of each file
        root = next((folder for folder in (half, *half.glob("*/")) if (folder / "JPEGImages").is_dir()), None)
        if root is None:
            raise ClipError("The archive has no folder JPEGImages, so it is not DAVIS; check the url.")
        if target.is_dir():
            target.rmdir()  # it is empty
        root.rename(target)
    except ClipError:
        raise
    except (*DAMAGED, OSError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number not in (None, errno.EINVAL, *STRANGE):  # it is the disk's; zipfile's and bz2's are of these
            raise type(error)(number, error.strerror, error.filename or str(target)) from error
        part.unlink()
        what = "names in it conflict, or cannot be" if number in STRANGE else error
        raise ClipError(f"The archive is damaged ({what}) and has been removed; download it again.") from None
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _require_safe(member: zipfile.ZipInfo) -> None:
    """Raise ClipError for what would land outside the target, or is a link."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in member.filename
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise ClipError(
            f"The archive holds '{member.filename}', {'a path outside' if outside else 'a link in'} the target folder; "
            "nothing was unpacked. Get the archive from its owners."
        )
