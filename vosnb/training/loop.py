"""What every training does: steps with a progress bar, checkpoints, and going on from the last one."""

import pickle
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vosnb.features import Device, device_of
from vosnb.files import FileError, check_writable, written
from vosnb.paths import ROOT

CHECKPOINT_EVERY = 250  # steps


def begin(name: str, out: str | Path | None, resume: bool, *kept: str) -> Path:
    """Where the weights will be written: `out`, or build/weights/NAME.safetensors; looked at before the work begins.

    kept: what a stopped run may have left in build/training/, by default its checkpoint; {} is the file's stem.
    Raises FileNotFoundError when there is nothing to resume, FileError and OSError where nothing can be written.
    """
    out = ROOT / "build" / "weights" / f"{name}.safetensors" if out is None else Path(out)
    if out.suffix != ".safetensors":
        raise FileError(f"{out} is no name for weights: let it end in .safetensors.")
    left = [_training(part.format(out.stem)) for part in kept or ("{}.pt",)]
    if resume and not any(file.exists() for file in left):
        raise FileNotFoundError(f"nothing to resume at {left[-1]}: train without --resume.")
    check_writable(out)
    return out


def _training(name: str) -> Path:
    return ROOT / "build" / "training" / name


def fit(
    name: str,
    parts: dict,
    batches: Callable[[int], Iterable],
    learn: Callable[..., float],
    steps: int,
    resume: bool = False,
) -> float:
    """Take `steps` steps; returns the minutes that they took, those before a stop included.

    name: of the checkpoint, build/training/NAME.pt. parts: whatever has a state to be kept: networks, optimizers,
    schedules. batches(done): the batches from step `done` on, the same ones whether it was stopped there or not;
    learn(*batch): one step, returns its loss.
    Raises FileNotFoundError when there is nothing to resume, FileError when the checkpoint is of another training.
    """
    checkpoint, done, minutes = _training(f"{name}.pt"), 0, 0.0
    if resume:
        try:  # with weights_only, tensors and plain numbers are all that it can hold: no code in it runs
            saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
            for key, part in parts.items():
                part.load_state_dict(saved[key])
            done, minutes = int(saved["done"]), float(saved["minutes"])
        except (
            pickle.UnpicklingError,
            RuntimeError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            EOFError,
        ) as e:
            raise FileError(f"{checkpoint} is damaged, or of another training: train without --resume.") from e

    def save() -> None:
        state = {key: part.state_dict() for key, part in parts.items()}
        with written(checkpoint) as half:
            torch.save(state | {"done": done, "minutes": minutes + (time.time() - began) / 60}, half)

    began, losses = time.time(), []
    bar = tqdm(batches(done), f"training {name}", total=steps, initial=done, unit="step", mininterval=5)
    for batch in bar:
        losses.append(learn(*batch))
        done += 1
        if done % 50 == 0:
            bar.set_postfix(loss=f"{np.mean(losses[-200:]):.3f}", refresh=False)
        if done % CHECKPOINT_EVERY == 0 or done == steps:
            save()
    return minutes + (time.time() - began) / 60


def kept(name: str, draw: Callable[[], dict[str, np.ndarray]], key: str = "") -> dict[str, np.ndarray]:
    """The arrays that `draw` returns: build/training/NAME.npz if it is there and was made with the same key."""
    path = _training(f"{name}.npz")
    try:
        if (found := dict(np.load(path))).pop("key", "") == key:
            return found
    except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile):
        pass  # there is none yet, or a damaged one
    found = draw()
    with written(path) as half:
        np.savez(half, key=key, **found)
    return found


def prepare(seed: int, device: Device, threads: int | None = 1) -> torch.device:
    """Seed torch, and give it one thread on a CPU, where another process makes the samples; returns the device.

    threads: another number of them, None for as many as there are, where samples are soon made.
    """
    device = device_of(device)
    torch.manual_seed(seed)
    if device.type == "cpu" and threads:
        torch.set_num_threads(threads)
    return device


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is worth it: on a GPU, and on CPUs with matrix instructions (2.3 times faster; others lose)."""
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()


def descend(loss: torch.Tensor, net: torch.nn.Module, optimizer: torch.optim.Optimizer, schedule) -> float:
    """One step of gradient descent, the gradient no longer than 1; returns the loss."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    return loss.item()
