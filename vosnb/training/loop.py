"""What every training does: steps with a progress bar, checkpoints, and going on from the last one."""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from tqdm import tqdm

from vosnb.features import default_device
from vosnb.paths import ROOT

CHECKPOINT_EVERY = 250  # steps


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
    Raises FileNotFoundError when there is nothing to resume.
    """
    checkpoint = ROOT / "build" / "training" / f"{name}.pt"
    done, minutes = 0, 0.0
    if resume:
        if not checkpoint.exists():
            raise FileNotFoundError(f"nothing to resume at {checkpoint}: train without --resume.")
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        for key, part in parts.items():
            part.load_state_dict(saved[key])
        done, minutes = saved["done"], saved["minutes"]

    def save() -> None:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {key: part.state_dict() for key, part in parts.items()}
        half_written = checkpoint.with_suffix(".tmp")
        torch.save(state | {"done": done, "minutes": minutes + (time.time() - began) / 60}, half_written)
        half_written.replace(checkpoint)

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
    path = ROOT / "build" / "training" / f"{name}.npz"
    if path.exists() and (found := dict(np.load(path))).pop("key", "") == key:
        return found
    found = draw()
    path.parent.mkdir(parents=True, exist_ok=True)
    half_written = path.with_suffix(".tmp.npz")
    np.savez(half_written, key=key, **found)
    half_written.replace(path)
    return found


def prepare(seed: int, device: str | torch.device | None) -> torch.device:
    """Seed torch, and give it one thread on a CPU, where another process makes the samples; returns the device."""
    device = torch.device(device) if device else default_device()
    torch.manual_seed(seed)
    torch.set_num_threads(1 if device.type == "cpu" else torch.get_num_threads())
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
