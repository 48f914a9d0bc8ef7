"""A classifier of pixels in closed form (S2): from a first mask as a tracker, and from scribbles for a whole clip.

A pixel is described by a backbone's maps at stride 4, standardised over the clip, by what a recurrence adds to them
(`context`), and by a constant, since S2-E3 has no intercept. Interpolating features and classifying
them may change places, so that a scribble's pixel is learned from exactly what is classified there.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from vosnb.efficientnet import load_photographs
from vosnb.features import IMAGENET, double, load_imagenet, load_weights, moments
from vosnb.methods.matching import MatchingNet
from vosnb.methods.ridge import Ridge
from vosnb.methods.st_rnn import ContextNet, Recurrences
from vosnb.settings import Part, Positive
from vosnb.trackers.base import SHORT_SIDES, NetworkTracker, resize

BY_NAME = {"ridge": "none", "ridge+rnn": "rnn", "ridge+st-rnn": "st-rnn"}
BACKBONES = ("photos", "matching", "metric", *IMAGENET)
SHARPNESS = 6.0  # of the softmax that makes probabilities of scores, which are about 0 and 1
CHUNK = 16  # frames that go through the feature extractor at a time


class PixelFeatures(nn.Module):
    """From images to X (T, D, h, w) at stride 4: a whole clip in one call, or frame by frame, each call going on.

    The first call sets each channel's mean and spread, and the recurrence remembers the frames before, until `begin`.
    context: "none", "rnn" (spatial) or "st-rnn" (spatio-temporal). backbone: "photos", which learned from photographs,
    its maps at stride 2 (averaged), 4 and 8 (doubled); or of other backbones the maps at stride 4 and 8: "matching",
    the matcher's query encoder; "metric", which was trained with its recurrences; without recurrence "resnet18" and
    "resnet34", for which `vosnb data resnet18` fetches ImageNet weights. net: the recurrences, and the backbone
    "metric". alone: what the recurrence adds is all that describes a pixel, beside the constant, as in the paper.
    """

    def __init__(
        self,
        context: str = "none",
        backbone: str = "photos",
        net: Recurrences | None = None,
        alone: bool = False,
        device=None,
    ):
        if context not in BY_NAME.values() or backbone not in BACKBONES:
            known = f"choose from {', '.join(BY_NAME.values())} and from {', '.join(BACKBONES)}"
            raise ValueError(f"context={context!r} with backbone={backbone!r} is unknown: {known}.")
        if backbone in IMAGENET and context != "none":
            raise ValueError(f"context={context!r} was not trained on {backbone}: take context=none, as `ridge` does.")
        if alone and context == "none":
            raise ValueError("alone=True without a recurrence leaves nothing to see: take context=rnn or st-rnn.")
        super().__init__()
        if net is None and (context != "none" or backbone == "metric"):
            photos = backbone == "photos"
            net = load_weights(Recurrences(), "st-rnn-photos") if photos else load_weights(ContextNet(), "st-rnn")
        self.net = None if net is None else net.to(device)
        self.rnn = None if context == "none" else {"rnn": self.net.spatial, "st-rnn": self.net.temporal}[context]
        self.fine, self.alone = backbone == "photos", alone  # whether its map at stride 2 counts
        if backbone == "photos":
            self.encoder = load_photographs(device or "cpu").maps
        elif backbone == "matching":
            self.encoder = load_weights(MatchingNet(), "matching").query_encoder.to(device)
        elif backbone in IMAGENET:
            self.encoder = load_imagenet(backbone).to(device)
        else:
            self.encoder = self.net.encoder
        self.begin()

    def begin(self) -> None:
        """Forget the frames before: what comes next is a clip of its own."""
        self.scales, self.before = {}, None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.joined(self.look(images))

    @torch.no_grad()
    def look(self, images: torch.Tensor, bar: bool = False) -> dict[str, torch.Tensor]:
        """Images (T, 3, H, W) -> {"2", "4", "8", "rnn": map (T, C, h, w)} in half precision, as small as they come."""
        parts = tqdm(images.split(CHUNK), "features", disable=not bar)
        found = zip(*[[x.half() for x in self.encoder(part)] for part in parts], strict=True)
        maps = dict(zip("248", map(torch.cat, found), strict=True))
        for name, x in maps.items():
            self.scales.setdefault(name, moments((at4(x, maps["4"]) if name == "2" else x).float()))
        if self.rnn is not None:
            outputs, remembers = [], self.rnn.K is not None
            for x in maps["8"].split(1 if remembers else CHUNK):
                y, self.before = self.rnn.step(self._standard("8", x), self.before)
                outputs.append(y)
            maps["rnn"] = torch.cat(outputs)
            self.scales.setdefault("rnn", moments(maps["rnn"]))
        return maps

    def joined(self, maps: dict[str, torch.Tensor]) -> torch.Tensor:
        """Some frames of what `look` found -> X (T, D, h, w), standardised, all at stride 4."""
        names = [name for name in maps if name == "rnn" or not self.alone and (self.fine or name != "2")]
        parts = [self._standard(name, at4(maps[name].float(), maps["4"])) for name in names]
        return torch.cat([*parts, torch.ones_like(parts[0][:, :1])], 1)

    def _standard(self, name: str, x: torch.Tensor) -> torch.Tensor:
        mean, spread = self.scales[name]
        return (x.float() - mean) / spread


def at4(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A map at stride 2, 4 or 8, averaged or doubled to the size of that at stride 4."""
    if x.shape[-1] > like.shape[-1]:
        return F.avg_pool2d(x, 2)
    return x if x.shape[-1] == like.shape[-1] else double(x)


class RidgeTracker(NetworkTracker):
    """`ridge`: solved once, on the cells of the first mask.

    context, backbone, net, alone: of `PixelFeatures`. lam: lambda of S2-E3. share: of the loss that the objects' cells
    have, the background's have the rest: it is most of the frame. sharpness: of the softmax that makes probabilities
    of scores. The others: `NetworkTracker`.
    """

    def __init__(
        self,
        context: Literal[*BY_NAME.values()] = "none",
        backbone: Literal[*BACKBONES] = "metric",
        lam: Positive = 100.0,
        share: Part = 0.35,
        sharpness: Positive = SHARPNESS,
        net: nn.Module | None = None,
        alone: bool = False,
        **network,
    ):
        super().__init__(**{"short_side": SHORT_SIDES.get(backbone, SHORT_SIDES["creatures"])} | network)
        self.features = PixelFeatures(context, backbone, net, alone, self.device)
        self.lam, self.share, self.sharpness = lam, share, sharpness
        self._reset()

    def _reset(self):
        self.features.begin()
        self.ridge = self.seen = None

    def _add(self, frame, mask, ids):
        first = self.ridge is None
        if first:
            self.seen = self.features(self._fit(frame))[0]
            self.ridge = Ridge(len(self.seen), 1, self.device)
        there = self._fit_masks(mask, ids, self.seen.shape[1:])[:, 0].flatten(1)  # (new objects, cells)
        covered = there.sum(0)
        weight = self.share * covered / covered.mean().clamp_min(1e-6)
        if first:  # later masks do not say where the earlier objects are, so that they teach no background
            weight += (1 - self.share) * (1 - covered) / (1 - covered).mean().clamp_min(1e-6)
        Y = torch.cat([1 - covered[None], there.new_zeros(len(self.objects) - len(ids), len(covered)), there])
        self.ridge.add(self.seen.flatten(1) * weight.sqrt(), Y * weight.sqrt())
        self.W = self.ridge.solve(self.lam).float()

    def _step(self, frame):
        self.seen = self.features(self._fit(frame))[0]
        scores = torch.einsum("dc,dhw->chw", self.W, self.seen)
        return torch.softmax(self.sharpness * resize(scores[None], frame.shape[:2])[0], 0)


class ContextRidgeTracker(RidgeTracker):
    """`ridge+rnn`: pixels also hear from the rest of the frame; `RidgeTracker` tells the settings."""

    def __init__(self, context: Literal[*BY_NAME.values()] = "rnn", **ridge):
        super().__init__(context, **ridge)


class VideoRidgeTracker(RidgeTracker):
    """`ridge+st-rnn`: pixels also hear from the frames before; `RidgeTracker` tells the settings."""

    def __init__(self, context: Literal[*BY_NAME.values()] = "st-rnn", **ridge):
        super().__init__(context, **ridge)
