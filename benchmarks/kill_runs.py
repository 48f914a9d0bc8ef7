"""Runs killed without warning (SIGKILL), and how many of them a rerun completes to the same bytes.

    python benchmarks/kill_runs.py [--last N] [--random N] [--seed S]

Each run follows one object through 20 frames in a process of its own. It is killed either while its last mask is being
written (each time a little later after the mask before that came into the folder), or at a random instant from its
start to its end. The same run then goes on in the same folder, and every file in it is compared with those of a run
that nobody stopped. Where processes cannot be forked (Windows) there is nothing to see.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from vosnb.clips import Clip
from vosnb.run import following, overlay, run

FRAMES, SIZE = 20, (60, 80)
SAVE_EVERY = 0.02  # seconds: so that kills also meet the tracker's state half written


def noisy_clip() -> Clip:
    """A clip whose masks are large files, so that a kill can meet one half written."""
    r = np.random.default_rng(0)
    frames = [r.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(FRAMES)]
    return Clip.from_arrays("noise", frames, [r.integers(0, 2, SIZE, np.uint8)] + [None] * (FRAMES - 1))


def start(clip: Clip, out: Path) -> int:
    """A run in a process of its own; returns that."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            run(clip, out, "histogram")
        os._exit(0)
    return child


def kill_at_the_last_mask(clip: Clip, out: Path, share: float, takes: float) -> None:
    """share: of the time `takes` that a mask takes, after which it is killed."""
    child = start(clip, out)
    before = out / f"{FRAMES - 2:05d}.png"
    while not before.exists():
        time.sleep(0.0002)
    time.sleep(share * takes)
    kill(child)


def kill_after(clip: Clip, out: Path, seconds: float) -> None:
    child = start(clip, out)
    time.sleep(seconds)
    kill(child)


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def main(last: int, random: int, seed: int) -> int:
    following.SAVE_EVERY = SAVE_EVERY
    overlay.CODECS = overlay.CODECS[1:]  # VP9 takes most of the time, for noise above all
    clip, r = noisy_clip(), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        began = time.monotonic()
        os.waitpid(start(clip, whole), 0)
        seconds = time.monotonic() - began
        masks = sorted(whole.glob("*.png"), key=lambda file: file.stat().st_mtime)
        takes = np.ptp([file.stat().st_mtime for file in masks]) / (FRAMES - 1)
        wanted = contents(whole)
        print(f"A run takes {seconds:.1f} s, a mask {1000 * takes:.0f} ms; {len(wanted)} files in its folder.")
        failed = 0
        for what, count in (("last mask", last), ("random instant", random)):
            same, found = 0, {"no folder": 0, "half a file": 0, "some masks": 0, "all masks": 0}
            for n in range(count):
                out = Path(folder) / f"{what} {n}"
                if what == "last mask":
                    kill_at_the_last_mask(clip, out, 1.2 * n / max(1, count - 1), takes)
                else:
                    kill_after(clip, out, r.uniform(0, seconds))
                left = contents(out)
                found["no folder"] += not left
                found["half a file"] += any(".half" in name for name in left)
                done = sum(name.endswith(".png") and ".half" not in name for name in left)
                found["some masks"] += 0 < done < FRAMES
                found["all masks"] += done == FRAMES
                with open(os.devnull, "w") as quiet, suppress(Exception):
                    sys.stderr, shown = quiet, sys.stderr
                    try:
                        run(clip, out, "histogram")
                    finally:
                        sys.stderr = shown
                same += contents(out) == wanted
            failed += count - same
            state = ", ".join(f"{key} {value}" for key, value in found.items())
            print(f"killed at {what:<15} {same} of {count} byte-identical after a rerun   (left: {state})")
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--last", type=int, default=20, help="kills while the last mask is being written")
    parser.add_argument("--random", type=int, default=20, help="kills at random instants")
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(bool(main(**vars(parser.parse_args()))))
