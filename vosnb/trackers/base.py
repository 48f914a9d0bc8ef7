"""What every tracker is: start on a mask, step through the frames, let objects join."""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from vosnb.clips.masks import VOID
from vosnb.features import STRIDE, Device, device_of, to_image
from vosnb.settings import between, checked

ShortSide = between(2 * STRIDE, 10_000)  # pixels: a network needs some
SHORT_SIDES = {"photos": 240, "creatures": 128}  # at which trackers look by default, by what the backbone learned from
Backbone = Literal[*SHORT_SIDES]


class Tracker(ABC):
    """Follows the objects of a first mask; objects may join later (`add`). Subclasses fill in the three `_` methods.

    The settings of their constructors are checked by their types (`vosnb.settings`).
    """

    def __init__(self):
        self.objects: list[int] = []
        self.frame_size: tuple[int, int] | None = None  # (H, W) of the clip that was started

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = checked(cls.__init__)

    def about(self, clip) -> None:  # noqa: B027  only what replays files has a use for it
        """Hear which clip comes next; `segment` says so before `start`."""

    def start(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Begin a clip: frame (H, W, 3) uint8 RGB, index mask (H, W). Forgets whatever was before.

        Raises ValueError when the frame or the mask is malformed, when they differ in size, or when no object is there.
        """
        self.objects, self.frame_size = [], None
        self._reset()
        self._join(frame, mask)

    def add(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Bring in the objects of a mask that were not there before.

        Raises ValueError as `start` does, and for a frame of another size; RuntimeError before `start`.
        """
        self._check_started()
        self._join(frame, mask)

    def _join(self, frame: np.ndarray, mask: np.ndarray) -> None:
        check_frame(frame, self.frame_size)
        mask = check_mask(mask, frame)
        ids = [int(k) for k in np.unique(mask) if k not in (0, VOID)]
        if not ids:
            raise ValueError("the mask is empty: label at least one object with 1 (0 is background, 255 is void).")
        if known := sorted(set(ids) & set(self.objects)):
            raise ValueError(f"object {known[0]} is followed already: give new objects numbers of their own.")
        self.objects += ids
        self.frame_size = frame.shape[:2]
        self._add(frame, mask, ids)

    def _check_started(self) -> None:
        if not self.objects:
            raise RuntimeError("the tracker has not started: call start(frame, mask) with the first frame.")

    @torch.no_grad()
    def step(self, frame: np.ndarray) -> torch.Tensor:
        """Segment the next frame: (K + 1, H, W) float32 on the CPU; K is the largest object number so far.

        Raises RuntimeError before `start`, ValueError on a malformed frame, or one of another size than the first.
        """
        self._check_started()
        check_frame(frame, self.frame_size)
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


def check_frame(frame: np.ndarray, size: tuple[int, int] | None = None) -> None:
    """Raise ValueError unless the frame is an array (H, W, 3) uint8, and of this size (H, W) if one is given."""
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame is an array (H, W, 3) uint8 RGB; this one is {kind_of(frame)}: convert it first.")
    if not frame.size:
        raise ValueError(f"the frame is {frame.shape[:2]}: it has no pixels.")
    if size is not None and frame.shape[:2] != size:
        raise ValueError(f"the first frame was {size} and this one is {frame.shape[:2]}: resize it, or start anew.")


def check_mask(mask: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The mask as uint8; ValueError unless it is an array (H, W) of whole numbers in 0..255, of the frame's size."""
    if not isinstance(mask, np.ndarray) or mask.shape != frame.shape[:2]:
        found = "no mask" if mask is None else f"a mask that is {kind_of(mask)}"
        raise ValueError(f"the frame is {frame.shape[:2]} and comes with {found}: give one label for each pixel.")
    if mask.dtype.kind not in "biu":
        raise ValueError(f"the mask is of {mask.dtype}: labels are whole numbers, so round it, and give it as uint8.")
    if mask.min() < 0 or mask.max() > VOID:
        raise ValueError(f"the mask has labels {mask.min()} to {mask.max()}: number its objects from 1 to 254.")
    return mask.astype(np.uint8)


def kind_of(given) -> str:
    """What something is, for messages: "(48, 64) float32", or its type."""
    if isinstance(given, np.ndarray):
        return f"{given.shape} {given.dtype}"
    return "None" if given is None else f"a {type(given).__name__}, no array"


class NetworkTracker(Tracker):
    """What trackers with a network share: the size of frame that it sees, and the device that it runs on.

    short_side: frames whose shorter side is longer are shrunk to it (the answer comes back at full size); networks that
        learned from creatures know objects of 15 to 60 pixels, so that more pixels are not better for them.
    device: CUDA where there is one.
    """

    def __init__(self, short_side: ShortSide = 128, device: Device = None):
        super().__init__()
        self.short_side, self.device = short_side, device_of(device)

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
