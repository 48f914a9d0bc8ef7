"""What becomes of damaged files: a thousand of them, of every kind that vosnb reads, each read by its own entry point.

    python benchmarks/mutated_files.py [--count 1000] [--seed 0]

A file of each kind is made, and damaged in one of two ways: its bytes (flipped bits, cut off, chunks swapped,
overwritten or put in between), or, for json, what it says (values of other types, huge numbers, keys that are gone,
deep nesting). Right are two outcomes: it is read, or refused in one sentence (ValueError, FileNotFoundError). Anything
else is a fault: another exception, a message of a library, more than 1 GB of memory, more than 20 seconds, a crash.
"""

import argparse
import contextlib
import copy
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from vosnb import benchmark
from vosnb.clips import Clip, open_clip, write_davis, write_ovis, write_youtube_vos
from vosnb.clips.downloads import fetch
from vosnb.clips.masks import read_mask, write_mask
from vosnb.clips.scribbles import from_davis
from vosnb.clips.video import write_video
from vosnb.datasets import load
from vosnb.features import IMAGENET, ResNet, load_imagenet, load_weights, save_weights
from vosnb.run import run

MEMORY = 1024  # MB of a process, at most
SECONDS = 20


class Outcome(NamedTuple):
    """What became of one damaged file. fault: None where it was read or refused as it should be."""

    kind: str
    how: str
    fault: str | None
    refused: str | None = None


# ------------------------------------------------------------------------------------------------- the kinds of files


def sample() -> Clip:
    """Two squares that move over a ramp."""
    frames, masks = np.zeros((6, 40, 60, 3), np.uint8), np.zeros((6, 40, 60), np.uint8)
    for t in range(6):
        frames[t] = np.linspace(20, 200, 60).astype(np.uint8)[None, :, None] // 2 + 8 * t
        masks[t, 5:15, 2 + t : 14 + t] = 1
        masks[t, 20:32, 30:45] = 2
    return Clip.from_arrays("pond", frames, masks, categories={1: "duck", 2: "toad"})


def look(*clips: Clip) -> None:
    for clip in clips:
        for t in range(len(clip)):
            clip.frames[t], clip.masks[t]


def of_davis(name: str) -> Callable:
    def make(folder: Path):
        write_davis(sample(), folder, "val")
        (folder / "clips.json").write_text(
            json.dumps(
                {"clips": {"pond": {"difficulty": "twins", "seed": 7, "seen": {"1": True, "2": False}, "fps": 12}}}
            )
        )
        return folder / name, lambda: look(*load(folder, "val"))

    return make


def picture(suffix: str) -> Callable:
    def make(folder: Path):
        write_davis(sample(), folder)
        frames, mask = folder / "JPEGImages/480p/pond", folder / "Annotations/480p/pond/00000.png"
        return (frames / "00000.jpg" if suffix == ".jpg" else mask), lambda: look(open_clip(frames, mask))

    return make


def grey_mask(folder: Path):
    write_mask(folder / "mask.png", sample().masks[0], binary=True)
    return folder / "mask.png", lambda: read_mask(folder / "mask.png")


def scribbles(folder: Path):
    path = np.linspace(0.2, 0.4, 10).reshape(5, 2).tolist()
    strokes = [[{"path": path, "object_id": 1}, {"path": path, "object_id": 2}], *[[] for _ in range(5)]]
    (folder / "strokes.json").write_text(json.dumps({"sequence": "pond", "scribbles": strokes}))
    return folder / "strokes.json", lambda: from_davis(folder / "strokes.json", 6)


def youtube_vos(folder: Path):
    write_youtube_vos(sample(), folder, "train")
    write_youtube_vos(sample(), folder, "valid")
    return folder / "valid/meta.json", lambda: look(*load(folder, "valid"))


def ovis(folder: Path):
    write_ovis(sample(), folder, "train")
    return folder / "annotations_train.json", lambda: look(*load(folder, "train"))


def youtube_vis(folder: Path):
    """Polygons and the text form of run lengths."""
    write_ovis(sample(), folder, "train")
    content = json.loads((folder / "annotations_train.json").read_text())
    (folder / "annotations_train.json").rename(folder / "train/instances.json")
    content["annotations"][0]["segmentations"][:3] = [[[2, 5, 14, 5, 14, 15, 2, 15]]] * 3
    content["annotations"][1]["segmentations"] = [
        {"size": [40, 60], "counts": "e<:n00000000000000000000000000000000000000[U1"}
    ] * 6
    (folder / "train/instances.json").write_text(json.dumps(content))
    return folder / "train/instances.json", lambda: look(*load(folder, "train"))


def results(lines: bool) -> Callable:
    def make(folder: Path):
        file = kept = folder / "mine.json"

        def score():
            benchmark.table(benchmark.bench("still", [sample()], json_path=kept, objects="all", progress=False))

        score()
        if lines:  # as a run leaves them that was stopped
            whole = json.loads(file.read_text())
            file.unlink()
            file = folder / "mine.partial.jsonl"
            head = {key: whole[key] for key in ("dataset", "split", "objects")}
            file.write_text("\n".join(json.dumps(item) for item in (head, *whole["clips"])) + "\n")
        return file, score

    return make


def run_json(folder: Path):
    clip, out = sample().subclip(0, 1), folder / "out"
    run(clip, out, "still")
    return out / "run.json", lambda: run(clip, out, "still")


def weights(folder: Path):
    save_weights(torch.nn.Conv2d(3, 4, 3), folder / "net.safetensors", network="Conv2d", seed="0")
    return folder / "net.safetensors", lambda: load_weights(torch.nn.Conv2d(3, 4, 3), folder / "net.safetensors")


def imagenet(folder: Path):
    """A file of the right keys and sizes in torchvision's format, its values all zero so that it is soon written."""
    os.environ["VOSNB_DATA"] = str(folder)
    names = {
        "stride2.0": "conv1",
        "stride2.1": "bn1",
        "stride4": "layer1",
        "stride8": "layer2",
        "shortcut": "downsample",
    }
    inner = {".body.0.0": ".conv1", ".body.0.1": ".bn1", ".body.2.0": ".conv2", ".body.2.1": ".bn2"}
    state = {}
    for key, value in ResNet(IMAGENET["resnet18"]).state_dict().items():
        for ours, theirs in (inner | names).items():
            key = key.replace(ours, theirs)
        state[key] = torch.zeros_like(value)
    torch.save(state, folder / "resnet18.pth")
    return folder / "resnet18.pth", lambda: load_imagenet("resnet18")


def video(suffix: str) -> Callable:
    def make(folder: Path):
        write_video(folder / f"v{suffix}", sample().frames)
        return folder / f"v{suffix}", lambda: look(open_clip(folder / f"v{suffix}"))

    return make


def archive(folder: Path):
    write_davis(sample(), folder / "made", "val")
    with zipfile.ZipFile(folder / "davis.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(p for p in (folder / "made").rglob("*") if p.is_file()):
            packed.write(file, f"DAVIS/{file.relative_to(folder / 'made')}")

    def get():
        shutil.rmtree(folder / "got", ignore_errors=True)
        digest = hashlib.sha256((folder / "davis.zip").read_bytes()).hexdigest()
        fetch("davis2017", folder / "got", (folder / "davis.zip").as_uri(), digest, progress=False)
        look(*load(folder / "got", "val"))

    return folder / "davis.zip", get


KINDS: dict[str, Callable[[Path], tuple[Path, Callable]]] = {
    "palette mask (png)": picture(".png"),
    "black-and-white mask (png)": grey_mask,
    "frame (jpg)": picture(".jpg"),
    "video (mp4)": video(".mp4"),
    "video (avi)": video(".avi"),
    "scribbles (json)": scribbles,
    "DAVIS list (txt)": of_davis("ImageSets/2017/val.txt"),
    "clips.json": of_davis("clips.json"),
    "YouTube-VOS (json)": youtube_vos,
    "OVIS (json)": ovis,
    "YouTube-VIS, COCO (json)": youtube_vis,
    "DAVIS archive (zip)": archive,
    "results (json)": results(lines=False),
    "results, partial (jsonl)": results(lines=True),
    "run.json": run_json,
    "weights (safetensors)": weights,
    "ImageNet weights (pth)": imagenet,
}


# ------------------------------------------------------------------------------------------------------------- damage


def damaged_bytes(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """The name of a damage, and what it makes of a file."""
    size = max(len(data), 1)
    a, b = sorted(rng.integers(0, size, 2).tolist())
    b = min(b, a + 4096)
    here, length = int(rng.integers(0, size)), int(rng.integers(1, 40))
    noise = rng.bytes(length)
    flipped = bytearray(data)
    for at in rng.integers(
        0, min(size, 200) if rng.random() < 0.5 else size, int(rng.integers(1, 9))
    ):  # half of them early
        flipped[at] ^= 1 << int(rng.integers(8))
    ways = {
        "flipped bits": bytes(flipped),
        "cut off": data[:here],
        "bytes in between": data[:here] + noise + data[here:],
        "overwritten": data[:here] + noise + data[here + length :],
        "zeros": data[:a] + bytes(b - a) + data[b:],
        "a chunk gone": data[:a] + data[b:],
        "a chunk twice": data[:b] + data[a:],
        "chunks swapped": data[b:] + data[:b],
        "empty": b"",
    }
    name = list(ways)[int(rng.choice(len(ways), p=[0.2, *[0.11] * 7, 0.03]))]
    return name, ways[name]


def odd_value(rng: np.random.Generator):
    nested: list = []
    for _ in range(int(rng.choice([50, 3000]))):
        nested = [nested]
    values = [
        *(
            None,
            True,
            -1,
            0,
            300,
            2**31,
            10**12,
            10**400,
            1.5,
            1e308,
            float("nan"),
            float("inf"),
            "",
            "x",
            "1",
            "../up",
        ),
        *("/tmp", "a\0b", "é\u202e", "x" * 100_000, [], {}, [None], [[]], {"a": 1}, [1] * 1000, nested),
    ]
    return values[int(rng.integers(len(values)))]


def places(value, at=()) -> Iterator[tuple]:
    yield at
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*at, key))


def damaged_json(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """As `damaged_bytes`, for one line of json, or several lines of which one is chosen."""
    lines = data.decode().splitlines() if data.count(b"\n{") else [data.decode()]
    line = int(rng.integers(len(lines)))
    content = copy.deepcopy(json.loads(lines[line]))
    all_places = list(places(content))
    depth = int(
        rng.choice(sorted({len(at) for at in all_places}))
    )  # what lies high is as likely as what there is most of
    at = [p for p in all_places if len(p) == depth]
    at, odd = at[int(rng.integers(len(at)))], odd_value(rng)
    how = "value"
    if not at:
        content = odd
    else:
        parent = content
        for key in at[:-1]:
            parent = parent[key]
        how = str(rng.choice(["value", "value", "gone", "twice"]))
        if how == "gone":
            del parent[at[-1]]
        elif how == "twice" and isinstance(parent, list):
            parent.append(parent[at[-1]])
        elif how == "twice":
            parent[f"{at[-1]}x"] = parent.pop(at[-1])
        else:
            parent[at[-1]] = odd
    lines[line] = _dumped(content)
    return f"json: {how} at {'.'.join(map(str, at)) or 'the top'}", "\n".join(lines).encode(errors="replace")


def _dumped(content) -> str:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return json.dumps(content)
    finally:
        sys.setrecursionlimit(limit)


# ------------------------------------------------------------------------------------------------------------ reading


def attempt(kind: str, seed: int, number: int) -> Outcome:
    """Damage a file of a kind, read it, and say what came of it."""
    rng = np.random.default_rng([seed, number])
    with tempfile.TemporaryDirectory() as folder:
        file, read = KINDS[kind](Path(folder))
        data = file.read_bytes()
        is_json = file.suffix in (".json", ".jsonl")
        how, data = (damaged_json if is_json and rng.random() < 0.6 else damaged_bytes)(data, rng)
        file.write_bytes(data)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                with contextlib.redirect_stdout(io.StringIO()):
                    read()
        except Exception as error:
            return Outcome(kind, how, _fault(error), str(error))
    return Outcome(kind, how, None)


def _fault(error: Exception) -> str | None:
    """What is wrong with an error as an answer to a user; None if nothing is."""
    told = isinstance(error, ValueError | FileNotFoundError) and type(error).__module__.split(".")[0] in (
        "builtins",
        "vosnb",
    )
    if told and not isinstance(error, UnicodeError) and "\n" not in str(error) and len(str(error).split()) > 4:
        return None
    return f"{type(error).__name__}: {str(error)[:150]}"


def mutations(count: int, seed: int = 0) -> Iterator[tuple[str, int, int]]:
    """The arguments of `attempt` for `count` damaged files, all kinds in turn."""
    kinds = list(KINDS)
    return ((kinds[number % len(kinds)], seed, number) for number in range(count))


def _answer(pipe) -> None:
    """A process of its own that attempts what it is sent; with each outcome goes its largest size in MB."""
    torch.set_num_threads(1)
    while (arguments := pipe.recv()) is not None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        outcome = attempt(*arguments)
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        pipe.send((outcome, peak))


def watched(tasks) -> Iterator[Outcome]:
    """`attempt` for each of the tasks, in a process that is watched: crashes, memory and seconds are faults, too."""
    context, worker, pipe = multiprocessing.get_context("spawn"), None, None
    for arguments in tasks:
        if worker is None:
            pipe, end = context.Pipe()
            worker = context.Process(target=_answer, args=(end,), daemon=True)
            worker.start()
            end.close()
            pipe.send(next(mutations(1)))  # what is imported on the way is not counted
            pipe.recv()
        begin = time.perf_counter()
        pipe.send(arguments)
        fault = None
        try:
            if not pipe.poll(SECONDS):
                fault = f"more than {SECONDS} s"
            else:
                outcome, peak = pipe.recv()
                if peak > MEMORY:
                    fault = f"{peak:.0f} MB after {time.perf_counter() - begin:.1f} s ({outcome.fault or 'else well'})"
        except EOFError:
            worker.join()
            fault = f"crashed, exit {worker.exitcode}"
        if fault:
            worker.kill()
            worker = None
            outcome = Outcome(arguments[0], f"number {arguments[2]}", fault)
        yield outcome
    if worker is not None:
        pipe.send(None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    table, faults = defaultdict(Counter), []
    for arguments, outcome in zip(
        mutations(chosen.count, chosen.seed), watched(mutations(chosen.count, chosen.seed)), strict=True
    ):
        what = "fault" if outcome.fault else "refused" if outcome.refused else "read"
        table[outcome.kind][what] += 1
        if outcome.fault:
            faults.append((arguments[2], outcome))
    print("| kind | read | refused | faults |\n|---|---|---|---|")
    total = sum(table.values(), Counter())
    for kind, counts in [*table.items(), ("**all**", total)]:
        print(f"| {kind} | {counts['read']} | {counts['refused']} | {counts['fault']} |")
    for number, outcome in faults:
        print(f"{number}: {outcome.kind}, {outcome.how}: {outcome.fault}")


if __name__ == "__main__":
    main()
