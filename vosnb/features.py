"""The networks' shared parts: a small residual backbone, a memory encoder, a decoder with skips, and their weights.

These are trained by us on generated clips (`vosnb train matching --backbone creatures`) and work at stride 8: a frame
of H x W pixels becomes a map of H/8 x W/8 cells. So does `ResNet`, for whoever has ImageNet weights.
"""

import json
import pickle
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from vosnb.files import FileError, written
from vosnb.paths import WEIGHTS, cache_dir

STRIDE = 8
WIDTHS = (24, 48, 96, 128)  # channels at stride 2, 4, and twice at stride 8
MEAN, SPREAD = 0.45, 0.25  # of our network input, about, for all three colours
IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of R, G, B in 0..1, as torchvision's


Device = Annotated[str | torch.device | None, Field(description="the name of a device, such as cpu or cuda")]
Weights = Annotated[str | Path, Field(description="the name of shipped weights, or a file of one's own")]


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(name: Device = None) -> torch.device:
    """The device of this name, by default `default_device`; raises ValueError where this machine has no such one."""
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, ValueError):  # as torch has it, of no such name or no such device
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ValueError(f"there is no device {str(name)!r} here: choose from {', '.join(known)}.") from None
    return device


def to_image(frame: np.ndarray, device=None) -> torch.Tensor:
    """Turn frames (..., H, W, 3) uint8 RGB into network input (..., 3, H, W) float32, about zero mean, unit spread."""
    image = torch.as_tensor(np.ascontiguousarray(frame)).to(device or default_device())
    return (image.movedim(-1, -3).float() / 255 - MEAN) / SPREAD


def conv_bn(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution and its batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(inputs, outputs, stride), nn.ReLU(inplace=True), conv_bn(outputs, outputs, dilation=dilation)
        )
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Backbone(nn.Module):
    """The query encoder Enc_Q: an image (B, 3, H, W) becomes maps at stride 2, 4 and 8.

    shallow: two blocks at stride 8 instead of three; it begins well with what the first two of three have learned.
    """

    def __init__(self, widths=WIDTHS, shallow: bool = False):
        super().__init__()
        self.stride2 = nn.Sequential(conv_bn(3, widths[0], 2), nn.ReLU(inplace=True))
        self.stride4 = Residual(widths[0], widths[1], 2)
        blocks = [Residual(widths[1], widths[2], 2), Residual(widths[2], widths[3], dilation=2)]
        self.stride8 = nn.Sequential(*blocks, *([] if shallow else [Residual(widths[3], widths[3])]))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        at2 = self.stride2(image)
        at4 = self.stride4(at2)
        return at2, at4, self.stride8(at4)


class ResNet(nn.Module):
    """ResNet-18 or -34 as far as stride 8 (He et al. 2016), in `Backbone`'s place: maps of 64, 64 and 128 channels.

    blocks: residual blocks at stride 4 and at stride 8. `load_imagenet` gives it its weights.
    """

    def __init__(self, blocks: tuple[int, int] = (2, 2)):
        super().__init__()
        self.stride2 = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stride4 = nn.Sequential(*[Residual(64, 64) for _ in range(blocks[0])])
        self.stride8 = nn.Sequential(Residual(64, 128, 2), *[Residual(128, 128) for _ in range(blocks[1] - 1)])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, spread = (image.new_tensor(x)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_SPREAD))
        at2 = self.stride2((image * SPREAD + MEAN - mean) / spread)
        at4 = self.stride4(self.pool(at2))
        return at2, at4, self.stride8(at4)


class MemoryEncoder(nn.Module):
    """The reference encoder Enc_R: image, the object's mask and the sum of the other objects' masks, to stride 8.

    STM feeds the two masks through convolutions of their own and adds; five input channels are the same thing.
    """

    def __init__(self, widths=WIDTHS):
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn(5, widths[0], 2),
            nn.ReLU(inplace=True),
            Residual(widths[0], widths[1], 2),
            Residual(widths[1], widths[3], 2),
        )

    def forward(self, image: torch.Tensor, mask: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """image (B, 3, H, W), mask and others (B, 1, H, W) in 0..1; returns (B, C, H/8, W/8)."""
        return self.layers(torch.cat([image, mask, others], 1))


class Decoder(nn.Module):
    """From the enriched values at stride 8 back to logits of image size, with skips from stride 4 and 2."""

    def __init__(self, inputs: int, widths=WIDTHS, width: int = 48):
        super().__init__()
        self.at8 = nn.Sequential(conv_bn(inputs, 64), nn.ReLU(inplace=True), Residual(64, width))
        self.skip4, self.at4 = nn.Conv2d(widths[1], width, 1), Residual(width, width)
        self.narrow = nn.Conv2d(width, 24, 1)
        self.skip2, self.at2 = nn.Conv2d(widths[0], 24, 1), Residual(24, 24)
        self.logit = nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, values: torch.Tensor, at4: torch.Tensor, at2: torch.Tensor) -> torch.Tensor:
        """values (B, 2v, H/8, W/8), skips at stride 4 and 2; returns logits (B, 1, H, W)."""
        return double(self.map_and_logit(values, at4, at2)[1])

    def map_and_logit(self, values, at4, at2) -> tuple[torch.Tensor, torch.Tensor]:
        """The last map (B, 24, H/2, W/2), and the logits (B, 1, H/2, W/2) that are read off it."""
        x = self.at4(double(self.at8(values)) + self.skip4(at4))
        x = self.at2(double(self.narrow(x)) + self.skip2(at2))
        return x, self.logit(x)


class Whitening(nn.Module):
    """Features (B, C, h, w) made uncorrelated and of unit variance, each as near to what it was as can be (ZCA).

    floor: of the variances, as a share of their mean, so that directions which hardly vary are not blown up.
    """

    def __init__(self, channels: int, floor: float = 0.03):
        super().__init__()
        self.floor = floor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("matrix", torch.eye(channels))

    def fit(self, samples: torch.Tensor) -> None:
        """Take mean and covariance from samples (n, C)."""
        samples = samples.double()
        values, vectors = torch.linalg.eigh(torch.cov(samples.T))
        self.mean.copy_(samples.mean(0))
        self.matrix.copy_(vectors / (values + self.floor * values.mean()).sqrt() @ vectors.T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x - self.mean[:, None, None], self.matrix[..., None, None])


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and spread of each channel of a clip's maps (T, ..., C, h, w), over frames and cells."""
    over = (0, -2, -1)
    return x.mean(over, keepdim=True), x.std(over, keepdim=True) + 1e-3


def standardise(x: torch.Tensor) -> torch.Tensor:
    """Maps of a clip (T, ..., C, h, w), each channel brought to zero mean and unit spread."""
    mean, spread = moments(x)
    return (x - mean) / spread


def double(x: torch.Tensor) -> torch.Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def save_weights(net: nn.Module, path: Path, **card: str) -> None:
    """Write a network as float16 safetensors (half the bytes, the same J), with a few words about how it was made."""
    from safetensors.torch import save_file

    state = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    with written(path) as half:
        save_file({k: v.contiguous().cpu() for k, v in state.items()}, half, {k: str(v) for k, v in card.items()})


def weights_file(name: str | Path) -> Path:
    """Where the weights of this name are; of a file, itself. Raises FileNotFoundError when there are none."""
    path = Path(name) if Path(name).suffix else WEIGHTS / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}: restore data/weights, or train them as its README.md says.")
    return path


def read_weights(name: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and the few words that `save_weights` wrote beside them.

    Raises FileNotFoundError when there is no such file and FileError when it holds no weights, or damaged ones.
    """
    from safetensors import SafetensorError, safe_open

    path = weights_file(name)
    if not path.is_file():
        raise FileError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}: give a file of weights.")
    try:
        with safe_open(path, "pt") as file:
            tensors, card = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, ValueError, RuntimeError, OverflowError, AttributeError, TypeError) as error:
        raise FileError(f"{path} is no safetensors file, or a damaged one: get it again, or train anew.") from error
    if bad := [key for key, x in tensors.items() if x.is_floating_point() and not torch.isfinite(x).all()]:
        raise FileError(f"{path} is damaged, {bad[0]} has values that are not finite: get it again, or train anew.")
    return tensors, card


def weights_card(name: str | Path) -> dict[str, str]:
    """The few words that `save_weights` wrote beside the weights; raises what `read_weights` does."""
    return read_weights(name)[1]


def network_of(kind: type[nn.Module], name: str | Path, command: str) -> nn.Module:
    """A network with the settings that the card of its weights tells, not filled yet.

    Raises FileError where the weights are of another network; command: that trains the right ones.
    """
    card = weights_card(name)
    if card.get("network") != kind.__name__:
        raise FileError(f"{name} are no weights of a {kind.__name__}: make some with `{command}`.")
    try:
        return kind(**json.loads(card["settings"]))
    except (KeyError, ValueError, TypeError, RuntimeError, RecursionError) as error:
        raise FileError(f"{name} has a damaged card, no {kind.__name__} is like it: get it again.") from error


def load_weights(net: nn.Module, name: str | Path) -> nn.Module:
    """Fill a network with shipped weights (`matching`) or those of a file, and put it into evaluation mode.

    Raises FileNotFoundError when there is no such file and FileError when it is damaged or of another network.
    """
    return fill(net, read_weights(name)[0], name)


def fill(net: nn.Module, tensors: dict[str, torch.Tensor], name: str | Path) -> nn.Module:
    """A network with these tensors, in evaluation mode; name: of the weights, for the FileError if they do not fit."""
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        path = weights_file(name)
        raise FileError(
            f"{path} does not fit this network: retrain it, or use the settings it was made with."
        ) from error
    return net.eval()


IMAGENET = {"resnet18": (2, 2), "resnet34": (3, 4)}  # residual blocks at stride 4 and 8
TORCHVISION = {  # how torchvision names the parts of a ResNet, and how they are named here
    "layer1": "stride4", "layer2": "stride8", "downsample": "shortcut",
    ".conv1": ".body.0.0", ".bn1": ".body.0.1", ".conv2": ".body.2.0", ".bn2": ".body.2.1",
    "conv1": "stride2.0", "bn1": "stride2.1",
}  # fmt: skip


def load_imagenet(name: str) -> ResNet:
    """A ResNet with torchvision's ImageNet weights, as `vosnb data resnet18` fetches them, in evaluation mode.

    Raises ValueError for a name not in IMAGENET or a file that holds something else, FileNotFoundError where there is
    no file.
    """
    if name not in IMAGENET:
        raise ValueError(f"there are no ImageNet weights of {name!r} here: choose from {', '.join(IMAGENET)}.")
    path = cache_dir() / f"{name}.pth"
    if not path.exists():
        raise FileNotFoundError(f"no ImageNet weights at {path}: `vosnb data {name}` downloads them.")
    net = ResNet(IMAGENET[name])
    try:
        # as torchvision publishes it, a .pth; with weights_only tensors are all that it can hold: no code of its runs
        given, state = torch.load(path, map_location="cpu", weights_only=True), {}
        for key, value in given.items():
            for theirs, ours in TORCHVISION.items():
                key = key.replace(theirs, ours)
            state[key] = value
        net.load_state_dict({key: state[key] for key in net.state_dict()})  # strides 16 and 32 are left out
    except (
        RuntimeError,
        OSError,
        EOFError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        pickle.PickleError,
    ) as error:
        raise ValueError(
            f"{path} is not torchvision's {name}: delete it, and `vosnb data {name}` fetches it."
        ) from error
    return net.eval()
