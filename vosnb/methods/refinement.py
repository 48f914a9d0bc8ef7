"""From coarse scores to a mask: the refinement network R, and what else S1 learns offline (S1 sections 3.2, 3.3, 4.1).

D says where the object is, to a cell; R, which never saw this object, knows what outlines look like, and draws it.
Lesson 06 builds this file step by step.

Shapes: K objects; features x^d of one frame, deepest first, (1 or K, C_d, h_d, w_d); scores s (K, 1, h, w); n channels.
"""

import torch
import torch.nn.functional as F
from torch import nn

from vosnb.efficientnet import WIDTHS as PHOTOGRAPHS
from vosnb.efficientnet import of_one_length
from vosnb.features import WIDTHS, Backbone, Whitening


def bilinear(x: torch.Tensor, size) -> torch.Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def pool(x: torch.Tensor) -> torch.Tensor:
    """The mean of each channel, (B, C, 1, 1)."""
    return x.mean((-2, -1), keepdim=True)


def conv3(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def for_relu(net: nn.Module) -> None:
    """Initialise convolutions such that a score still counts after a dozen of them (He et al. 2015)."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class TargetSegmentationEncoder(nn.Module):
    """T^d: features, projected to n channels, meet the scores in three convolutions (S1 section 3.2, figure 2)."""

    def __init__(self, inputs: int, n: int):
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(inputs, n, 1), nn.ReLU(), nn.Conv2d(n, n, 1))
        self.encode = nn.Sequential(
            conv3(n + 1, n + 1), nn.ReLU(), conv3(n + 1, n + 1), nn.ReLU(), conv3(n + 1, n), nn.ReLU()
        )

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (1 or K, C, h, w), s (K, 1, h, w) -> encoding (K, n, h, w) and projection (1 or K, n, h, w)."""
        projected = self.project(x)
        return self.encode(torch.cat([projected.expand(len(s), -1, -1, -1), s], 1)), projected


class ResidualBlock(nn.Module):
    """A 1x1 convolution, and around it a shortcut past two of 3x3 (Yu et al. 2018)."""

    def __init__(self, n: int):
        super().__init__()
        self.mix = nn.Conv2d(n, n, 1)
        self.body = nn.Sequential(conv3(n, n), nn.BatchNorm2d(n), nn.ReLU(), conv3(n, n, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mix(x)
        return F.relu(x + self.body(x))


class ChannelAttention(nn.Module):
    """What is seen at this depth, each channel by how much both depths want it, plus what comes from below."""

    def __init__(self, n: int):
        super().__init__()
        self.attend = nn.Sequential(nn.Conv2d(2 * n, n, 1), nn.ReLU(), nn.Conv2d(n, n, 1), nn.Sigmoid())

    def forward(self, here: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """here (K, n, h, w), below (K, n, h', w') of any size -> (K, n, h, w)."""
        attention = self.attend(torch.cat([pool(here), pool(below)], 1))
        return attention * here + bilinear(below, here.shape[-2:])


class RefinementBlock(nn.Module):
    """R^d (S1-E5): z^d = R^d(T^d(x^d, s), z^{d+1}), with T^d beside it, because at the deepest d z^{d+1} is T^d's
    projection of the features, averaged (S1's code; the paper: "an intermediate projection")."""

    def __init__(self, inputs: int, n: int):
        super().__init__()
        self.encoder = TargetSegmentationEncoder(inputs, n)
        self.before, self.attention, self.after = ResidualBlock(n), ChannelAttention(n), ResidualBlock(n)

    def forward(self, x: torch.Tensor, s: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        encoding, projected = self.encoder(x, bilinear(s, x.shape[-2:]))
        if below is None:
            below = pool(projected).expand(len(s), -1, -1, -1)
        return self.after(self.attention(self.before(encoding), below))


class Refiner(nn.Module):
    """The U of S1 section 3.2: S1-E5 from the deepest map to the shallowest, then a mask of the image's size.

    widths: channels of the maps, deepest first. n: of everything in between (S1: 64 for a ResNet-101).
    """

    def __init__(self, widths: tuple[int, ...] = (WIDTHS[-1], WIDTHS[1], WIDTHS[0]), n: int = 24):
        super().__init__()
        self.blocks = nn.ModuleList(RefinementBlock(inputs, n) for inputs in widths)
        self.narrow, self.logit = conv3(n, n // 2), conv3(n // 2, 1)
        for_relu(self)

    def forward(self, maps: list[torch.Tensor], s: torch.Tensor, size) -> torch.Tensor:
        """maps: one frame's features, deepest first; s (K, 1, h, w) scores -> logits (K, 1, H, W) for size (H, W)."""
        z = self.refined(maps, s)
        z = F.relu(self.narrow(F.interpolate(z, scale_factor=2, mode="bicubic", align_corners=False)))
        if z.shape[-2:] != tuple(size):
            z = F.interpolate(z, tuple(size), mode="bicubic", align_corners=False)
        return self.logit(z)

    def refined(self, maps: list[torch.Tensor], s: torch.Tensor) -> torch.Tensor:
        """S1-E5 down to the last of the maps: (K, n, h_d, w_d)."""
        z = None
        for block, x in zip(self.blocks, maps, strict=True):
            z = block(x, s, z)
        return z


class PhotographRefiner(Refiner):
    """R on a backbone that learned from photographs: S1-E5 at stride 8, 4, and with half the channels at 2.

    It sees no features at stride 8, the scores alone: from those features it learns what our few hundred training clips
    show, and spoils real video (data/weights/README.md). It says what to change about the mask that the scores give by
    themselves, sigmoid(scale s + offset), and begins as changing nothing.
    """

    def __init__(self, n: int = 32):
        super().__init__((1, PHOTOGRAPHS[1]), n)
        self.scale, self.offset = nn.Parameter(torch.tensor(12.0)), nn.Parameter(torch.tensor(-6.0))
        self.halve, self.finest = nn.Conv2d(n, n // 2, 1), RefinementBlock(PHOTOGRAPHS[0], n // 2)
        self.narrow = conv3(n // 2, n // 2)
        for_relu(self)
        nn.init.zeros_(self.logit.weight)

    def forward(self, maps: list[torch.Tensor], s: torch.Tensor, size) -> torch.Tensor:
        _, at4, at2 = maps
        z = self.refined([torch.zeros_like(s[:1]), at4], s)
        change = self.logit(F.relu(self.narrow(self.finest(at2, s, self.halve(z)))))
        return self.scale * bilinear(s, size) + self.offset + bilinear(change, size)


def backbone_maps(encoder: Backbone, image: torch.Tensor) -> list[torch.Tensor]:
    """The backbone's maps of images (B, 3, H, W), deepest first, without gradient: S1 leaves the backbone frozen."""
    with torch.no_grad():
        return list(encoder(image))[::-1]


FEATURES = WIDTHS[-1] + WIDTHS[1]  # of D: the backbone's map at stride 8, and that at stride 4, averaged


class TargetFeatures(nn.Module):
    """What D sees of a frame: stride 8 and averaged stride 4 together, whitened with the statistics of training clips.

    D is linear and a few CG steps are all it gets; on features as they come, with variances that differ by thousands,
    they would go into the loudest channels alone.
    """

    def __init__(self):
        super().__init__()
        self.whiten = Whitening(FEATURES)

    @staticmethod
    def together(maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([maps[0], F.avg_pool2d(maps[1], 2)], 1)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """maps of stride 8, 4, .. -> (B, C, h, w)."""
        return self.whiten(self.together(maps))


class RefinementNet(nn.Module):
    """All that S1 learns offline: features for D, R, and how to read a mask off D's scores alone.

    D only: p = sigmoid(scale s + offset), "the scale and offset parameters prior to the output sigmoid" (section 4.1).
    """

    def __init__(self):
        super().__init__()
        self.features, self.refiner = TargetFeatures(), Refiner()
        self.scale, self.offset = nn.Parameter(torch.tensor(10.0)), nn.Parameter(torch.tensor(-5.0))

    def coarse(self, s: torch.Tensor, size) -> torch.Tensor:
        """Logits (K, 1, H, W) of D only."""
        return self.scale * bilinear(s, size) + self.offset

    def forward(self, maps: list[torch.Tensor], s: torch.Tensor, size) -> torch.Tensor:
        return self.refiner(maps, s, size)


class UntrainedTargetNet(nn.Module):
    """What D alone needs where nothing was learned for it offline: all maps of the backbone, averaged to the cells of
    the deepest one, whitened with the statistics of the first frame's samples, and a mask wherever the score is above
    one half."""

    SCALE, THRESHOLD, FLOOR = 12.0, 0.5, 0.03

    def __init__(self):
        super().__init__()
        self.whiten = None

    @staticmethod
    def together(maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([F.adaptive_avg_pool2d(x, maps[0].shape[-2:]) for x in maps], 1)

    def begin(self, maps: list[torch.Tensor]) -> None:
        """A new clip: whiten with the samples of its first frame, maps deepest first, (n, C, h, w)."""
        x = self.together(maps)
        self.whiten = Whitening(x.shape[1], self.FLOOR).to(x.device)
        self.whiten.fit(x.movedim(1, -1).flatten(0, -2))

    def features(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """maps of stride 8, 4, .. -> (B, C, h, w)."""
        return self.whiten(self.together(maps))

    def coarse(self, s: torch.Tensor, size) -> torch.Tensor:
        """Logits (K, 1, H, W) of D only."""
        return self.SCALE * (bilinear(s, size) - self.THRESHOLD)


class PhotographRefinementNet(UntrainedTargetNet):
    """`RefinementNet` on a backbone that learned from photographs: D's features as there, R and the mask's two
    parameters learned."""

    def __init__(self):
        super().__init__()
        self.refiner = PhotographRefiner()
        self.scale, self.offset = nn.Parameter(torch.tensor(12.0)), nn.Parameter(torch.tensor(-6.0))

    coarse, forward = RefinementNet.coarse, RefinementNet.forward


class BaseNet(nn.Module):
    """The baseline of S1 section 4.1: D replaced by a target encoder that is trained offline, R trained for it.

    Two convolutions encode frame 0 and its mask; two more read that beside a frame's own features. Cell meets cell at
    the same place: what it knows of frame 0 does not move with the object.
    """

    sees, C, refines = TargetFeatures, FEATURES, Refiner

    def __init__(self, n: int = 64):
        super().__init__()
        self.features, self.refiner = self.sees(), self.refines()
        self.encode_target = nn.Sequential(conv3(self.C + 1, n), nn.ReLU(), conv3(n, n), nn.ReLU())
        self.compare = nn.Sequential(conv3(self.C + n, n), nn.ReLU(), conv3(n, 1))
        for_relu(self.encode_target)
        for_relu(self.compare)

    def remember(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Frame 0: features x (1 or K, C, h, w), masks (K, 1, H, W) -> target (K, n, h, w)."""
        cells = F.adaptive_avg_pool2d(mask, x.shape[-2:])
        return self.encode_target(torch.cat([x.expand(len(mask), -1, -1, -1), cells], 1))

    def scores(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Takes D's place: x and target, (1 or K, ., h, w) -> (K, 1, h, w)."""
        n = max(len(x), len(target))
        return self.compare(torch.cat([part.expand(n, -1, -1, -1) for part in (x, target)], 1))

    def forward(self, maps: list[torch.Tensor], target: torch.Tensor, size) -> torch.Tensor:
        return self.refiner(maps, self.scores(self.features(maps), target), size)


class PhotographFeatures(nn.Module):
    """What a base net on photographs sees of a frame: the maps that D sees, of one length in every cell. Convolutions
    that are trained offline need no whitening."""

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return of_one_length(UntrainedTargetNet.together(maps))


class PhotographBaseNet(BaseNet):
    """The same on a backbone that learned from photographs."""

    sees, C, refines = PhotographFeatures, sum(PHOTOGRAPHS), PhotographRefiner

    def __init__(self, n: int = 64):
        super().__init__(n)
        nn.init.zeros_(self.compare[-1].weight)  # every score begins at one half: neither object nor background
        nn.init.constant_(self.compare[-1].bias, 0.5)


OFFLINE = {  # {what `vosnb train` calls it: {backbone: network}}
    "refinement": {"photos": PhotographRefinementNet, "creatures": RefinementNet},
    "base-net": {"photos": PhotographBaseNet, "creatures": BaseNet},
}


def offline_name(what: str, backbone: str) -> str:
    """Of their weights: those on creatures came first, and say no more than what they are."""
    return what if backbone == "creatures" else f"{what}-{backbone}"
