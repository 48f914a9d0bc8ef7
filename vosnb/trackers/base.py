"""What every tracker is: start on a mask, step through the frames, let objects join."""

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.features import STRIDE, default_device, to_image

VOID = 255


class Tracker(ABC):
    """Follows the objects of a first mask; objects may join later (`add`). Subclasses fill in the three `_` methods."""

    def __init__(self):
        self.objects: list[int] = []

    def start(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Begin a clip: frame (H, W, 3) uint8 RGB, index mask (H, W). Forgets whatever was before.

        Raises ValueError when the frame or the mask is malformed, when they differ in size, or when no object is there.
        """
        self.objects = []
        self._reset()
        self.add(frame, mask)

    def add(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Bring in the objects of a mask that were not there before; raises ValueError as `start` does."""
        check_frame(frame)
        if mask is None or mask.shape != frame.shape[:2]:
            found = "no mask" if mask is None else f"a mask of {mask.shape}"
            raise ValueError(f"the frame is {frame.shape[:2]} and comes with {found}: give one label for each pixel.")
        ids = [int(k) for k in np.unique(mask) if k not in (0, VOID)]
        if not ids:
            raise ValueError("the mask is empty: label at least one object with 1 (0 is background, 255 is void).")
        if known := sorted(set(ids) & set(self.objects)):
            raise ValueError(f"object {known[0]} is followed already: give new objects numbers of their own.")
        self.objects += ids
        self._add(frame, mask, ids)

    @torch.no_grad()
    def step(self, frame: np.ndarray) -> torch.Tensor:
        """Segment the next frame: (K + 1, H, W) float32 on the CPU; K is the largest object number so far.

        Raises RuntimeError before `start`, ValueError on a malformed frame.
        """
        if not self.objects:
            raise RuntimeError("the tracker has not started: call start(frame, mask) with the first frame.")
        check_frame(frame)
        found = self._step(frame).float().cpu()  # background, then the objects in the order in which they came
        if self.objects == list(range(1, len(found))):
            return found
        probabilities = found.new_zeros(max(self.objects) + 1, *found.shape[1:])
        probabilities[[0, *self.objects]] = found
        return probabilities

    @abstractmethod
    def _reset(self) -> None: ...

    @abstractmethod
    def _add(self, frame: np.ndarray, mask: np.ndarray, ids: list[int]) -> None: ...

    @abstractmethod
    def _step(self, frame: np.ndarray) -> torch.Tensor: ...


def check_frame(frame: np.ndarray) -> None:
    """Raise ValueError unless the frame is (H, W, 3) uint8."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame is (H, W, 3) uint8 RGB; this one is {frame.shape} {frame.dtype}: convert it first.")


class NetworkTracker(Tracker):
    """What trackers with a network share: the size of frame that it sees, and the device that it runs on.

    short_side: frames whose shorter side is longer are shrunk to it (the answer comes back at full size); the networks
        are trained on objects of 15 to 60 pixels, so that more pixels are not better.
    device: CUDA where there is one.
    """

    def __init__(self, short_side: int = 128, device: str | torch.device | None = None):
        super().__init__()
        if short_side < 2 * STRIDE:
            raise ValueError(f"short_side={short_side}: the network needs at least {2 * STRIDE} pixels.")
        self.short_side = short_side
        self.device = torch.device(device) if device else default_device()

    def _fit(self, frame: np.ndarray) -> torch.Tensor:
        return fit_frame(frame, self.short_side, self.device)

    def _fit_masks(self, mask: np.ndarray, ids: list[int], size) -> torch.Tensor:
        """The objects of an index mask, each its own, as (K, 1, h, w) in 0..1."""
        masks = torch.stack([torch.from_numpy(mask == k) for k in ids])[:, None].float()
        return resize(masks.to(self.device), size)


def fit_frame(frame: np.ndarray, short_side: int, device) -> torch.Tensor:
    """The frame as network input (1, 3, h, w): shrunk to the short side and to multiples of the stride."""
    scale = min(1.0, short_side / min(frame.shape[:2]))
    size = [max(2, round(n * scale / STRIDE)) * STRIDE for n in frame.shape[:2]]
    return resize(to_image(frame, device)[None], size)


def resize(x: torch.Tensor, size) -> torch.Tensor:
    """Bring maps (B, C, h, w) to another size; averaged when shrinking, so that thin things do not vanish."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False, antialias=True)
