"""The discriminative target model as a tracker, and what S1 compares it with (section 4.1; lessons 04 to 06)."""

import copy
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from vosnb.efficientnet import load_photographs
from vosnb.features import Weights, load_weights, to_image
from vosnb.methods.augmentation import augment_first_frame
from vosnb.methods.gauss_newton import DIRECTIONS
from vosnb.methods.losses import soft_mask_loss
from vosnb.methods.matching import MatchingNet, soft_aggregate
from vosnb.methods.refinement import OFFLINE, BaseNet, UntrainedTargetNet, backbone_maps, offline_name
from vosnb.methods.target_model import Settings, TargetModel
from vosnb.settings import Count, Part, Positive, Seed, Share, Steps
from vosnb.trackers.base import SHORT_SIDES, Backbone, NetworkTracker, resize


def odds_aggregate(p: torch.Tensor) -> torch.Tensor:
    """How S1's code fuses objects: p (K, ...) in 0..1 -> (K + 1, ...) that sum to one, background first.

    The background gets min_k (1 - p_k) instead of the product, and the softmax is of the odds instead of their
    logarithms, so that nearly every pixel ends up at 0 or 1.
    """
    with_background = torch.cat([(1 - p).amin(0, keepdim=True), p]).clamp(1e-7, 1 - 1e-7)
    return torch.softmax(with_background / (1 - with_background), dim=0)


def load_offline(what: str, backbone: str, weights: Weights | None) -> nn.Module:
    """R or the base net, "refinement" or "base-net", on a backbone, by default with the shipped weights."""
    return load_weights(OFFLINE[what][backbone](), weights or offline_name(what, backbone))


SUITED = {  # what suits D on each backbone, where nothing is said: channels, images of frame 0, weight of a new sample
    "creatures": {"hidden": 32, "augmented": 5, "rate": 0.2},
    "photos": {"hidden": 64, "augmented": 10, "rate": 0.1},
}
FUSIONS = {"paper": soft_aggregate, "code": odds_aggregate}
Fusion = Literal[*FUSIONS]


class RefinedTracker(NetworkTracker):
    """What S1's trackers share: a frozen backbone, a network on top, first-frame samples, and fusion.

    backbone: "creatures", the matcher's, which looks at 128 pixels, or "photos", at 240.
    net: what was learned offline; or weights, the name or file of them. augmented: images that frame 0 is turned into,
        itself included. fusion: of several objects, "paper" (`soft_aggregate`) or "code" (`odds_aggregate`). seed: of
        what is drawn at random. The other settings: `NetworkTracker`.
    """

    def __init__(self, net: nn.Module, augmented: int, fusion: str, seed: int, backbone: str = "creatures", **network):
        super().__init__(**{"short_side": SHORT_SIDES[backbone]} | network)
        self.net, self.augmented, self.fusion, self.seed = net.eval().to(self.device), augmented, fusion, seed
        if backbone == "photos":
            self.encoder = load_photographs(self.device).maps
        else:
            self.encoder = load_weights(MatchingNet(), "matching").query_encoder.to(self.device)

    def _samples(self, frame: np.ndarray, mask: np.ndarray, size) -> tuple[torch.Tensor, torch.Tensor]:
        """Frame 0 and augmented ones as network input (n, 3, h, w), and one object's masks (n, 1, h, w)."""
        images, masks = augment_first_frame(frame, mask, self.augmented, self.seed)
        labels = torch.from_numpy(masks)[:, None].float().to(self.device)
        return resize(to_image(images, self.device), size), resize(labels, size)

    @torch.no_grad()
    def _add(self, frame, mask, ids):
        image = self._fit(frame)
        for k in ids:
            self._learn(*self._samples(frame, mask == k, image.shape[-2:]))

    def _learn(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """A new object, from its first frame's samples; frame 0 itself comes first."""
        raise NotImplementedError

    def _logits(self, maps: list[torch.Tensor], size) -> torch.Tensor:
        """Of all objects in one frame (K, 1, h, w)."""
        raise NotImplementedError

    def _step(self, frame):
        image = self._fit(frame)
        maps = backbone_maps(self.encoder, image)
        p = FUSIONS[self.fusion](torch.sigmoid(self._logits(maps, image.shape[-2:])[:, 0]))
        self._seen(maps, p)
        return resize(p[None], frame.shape[:2])[0]

    def _seen(self, maps: list[torch.Tensor], p: torch.Tensor) -> None:
        """Called with the answer (K + 1, h, w) to each frame: what there is to be learned from it."""


class TargetTracker(RefinedTracker):
    """`frtm`: D learned on frame 0, R to draw the mask, D updated every few frames (S1, Algorithm 1).

    refine: False reads the mask off D's scores. update_every: t_s; None never updates. remember: "soft" puts the fused
        probabilities into the memory, "argmax" (S1's code) sets them to zero wherever another label wins.
    gauss_newton, iterations, first_iterations: N_GN steps of N_CG iterations, the first one of N_CGi.
    regularisation: lambda of w1 and of w2, for a loss that sums over the pixels of the fitted frame.
    hidden .. first_minimum: see `vosnb.methods.target_model.Settings`; the others: `RefinedTracker`. hidden, augmented,
        rate: None takes what suits the backbone (32, 5, 0.2 on creatures; 64, 10, 0.1 on photographs).
    """

    def __init__(
        self,
        refine: bool = True,
        update_every: Count | None = 2,
        remember: Literal["soft", "argmax"] = "soft",
        gauss_newton: Count = 4,
        iterations: Steps = 10,
        first_iterations: Steps = 5,
        update_iterations: Steps | None = None,
        hidden: Count | None = None,
        regularisation: Positive = 30.0,
        kappa: Part = 0.1,
        share: Literal["max", "min"] = "max",
        root: bool = True,
        direction: Literal[*DIRECTIONS] = "polak-ribiere",
        forgetting: Share = 0.0,
        init: Literal["uniform", "normal"] = "uniform",
        capacity: Count = 80,
        rate: Part | None = None,
        first_minimum: Share = 0.0,
        net: nn.Module | None = None,
        weights: Weights | None = None,
        augmented: Count | None = None,
        fusion: Fusion = "paper",
        seed: Seed = 0,
        backbone: Backbone = "creatures",
        **network,
    ):
        if net is None:
            net = load_offline("refinement", backbone, weights)
        suited = SUITED[backbone]
        super().__init__(net, augmented or suited["augmented"], fusion, seed, backbone, **network)
        self.refine, self.update_every, self.remember = refine, update_every, remember
        self.settings = Settings(
            hidden=hidden or suited["hidden"],
            iterations=(first_iterations, *[iterations] * (gauss_newton - 1)),
            update_iterations=update_iterations,
            regularisation=(regularisation, regularisation),
            squared=False,
            direction=direction,
            forgetting=forgetting,
            kappa=kappa,
            share=share,
            root=root,
            capacity=capacity,
            rate=rate or suited["rate"],
            first_minimum=first_minimum,
            init=init,
            seed=seed,
        )

    def _reset(self):
        self.targets: list[TargetModel] = []
        self.seen = 0

    def _learn(self, images, labels):
        target = TargetModel(replace(self.settings, capacity=max(self.settings.capacity, len(images) + 1)))
        target.start(self._features(images), labels)
        self.targets.append(target)

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        """What D sees of a first frame's samples."""
        maps = backbone_maps(self.encoder, images)
        if not self.targets and isinstance(self.net, UntrainedTargetNet):
            self.net.begin(maps)
        return self.net.features(maps)

    def _logits(self, maps, size):
        self.x = self.net.features(maps)
        s = torch.cat([target.scores(self.x) for target in self.targets])
        return self.net(maps, s, size) if self.refine else self.net.coarse(s, size)

    def _seen(self, maps, p):
        self.seen += 1
        if self.update_every is None:
            return
        if self.remember == "argmax":
            p = p * (p == p.amax(0))
        for target, label in zip(self.targets, p[1:], strict=True):
            target.add(self.x, label[None, None])
            if self.seen % self.update_every == 0:
                target.update()


class FixedTargetTracker(TargetTracker):
    """`frtm-static`: `frtm` without updates ("Ours - no update")."""

    def __init__(self, update_every: Count | None = None, **target):
        super().__init__(update_every=update_every, **target)


class CoarseTracker(FixedTargetTracker):
    """`target-model`: D alone, learned on frame 0, its scores scaled to a mask ("D-only")."""

    def __init__(self, refine: bool = False, **target):
        super().__init__(refine=refine, **target)


class FastTargetTracker(TargetTracker):
    """`frtm-fast`: fewer channels, fewer images, fewer steps, rarer updates ("Ours (fast)")."""

    def __init__(
        self,
        hidden: Count = 16,
        augmented: Count = 3,
        gauss_newton: Count = 3,
        update_every: Count | None = 4,
        **target,
    ):
        super().__init__(
            hidden=hidden, augmented=augmented, gauss_newton=gauss_newton, update_every=update_every, **target
        )


class BaseNetTracker(RefinedTracker):
    """`base-net`: a target encoder trained offline in D's place (S1 section 4.1).

    finetune: steps of Adam on frame 0's samples, which tune all but the backbone, a copy for each object; 0: none.
    learning_rate, batch: of these steps. The other settings: `RefinedTracker`.
    """

    def __init__(
        self,
        finetune: Steps = 0,
        learning_rate: Positive = 1e-3,
        batch: Count = 4,
        net: nn.Module | None = None,
        weights: Weights | None = None,
        augmented: Count = 5,
        fusion: Fusion = "paper",
        seed: Seed = 0,
        backbone: Backbone = "creatures",
        **network,
    ):
        if net is None:
            net = load_offline("base-net", backbone, weights)
        super().__init__(net, augmented, fusion, seed, backbone, **network)
        self.finetune, self.learning_rate, self.batch = finetune, learning_rate, batch

    def _reset(self):
        self.known: list[tuple[BaseNet, torch.Tensor]] = []  # of each object: its network, and frame 0 encoded

    def _learn(self, images, labels):
        maps = backbone_maps(self.encoder, images)
        net = self._tuned(maps, labels) if self.finetune else self.net
        first = net.features([x[:1] for x in maps])
        self.known.append((net, net.remember(first, labels[:1])))

    @torch.enable_grad()
    def _tuned(self, maps: list[torch.Tensor], labels: torch.Tensor) -> BaseNet:
        net, draw = copy.deepcopy(self.net), torch.Generator().manual_seed(self.seed)
        optimizer = torch.optim.Adam(net.requires_grad_(True).parameters(), self.learning_rate)
        with torch.no_grad():
            first = net.features([x[:1] for x in maps])
        for _ in range(self.finetune):
            chosen = torch.randint(len(labels), (self.batch,), generator=draw).to(labels.device)
            logits = net([x[chosen] for x in maps], net.remember(first, labels[:1]), labels.shape[-2:])
            optimizer.zero_grad()
            soft_mask_loss(logits, labels[chosen]).backward()
            optimizer.step()
        return net.requires_grad_(False)

    def _logits(self, maps, size):
        return torch.cat([net(maps, target, size) for net, target in self.known])


class FinetunedBaseNetTracker(BaseNetTracker):
    """`base-net+finetune`: the baseline, tuned to 20 images of frame 0 by 100 steps of Adam ("Base net + F-T")."""

    def __init__(self, finetune: Steps = 100, augmented: Count = 20, **base):
        super().__init__(finetune=finetune, augmented=augmented, **base)
