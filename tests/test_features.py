"""ResNets for whoever has ImageNet weights: torchvision's networks, as far as stride 8, by torchvision's names.

The oracle was computed by torchvision 0.29's resnet18 and resnet34 on weights that `weights` makes again. The other
parts of vosnb.features are tested with the networks that they are parts of.
"""

import json

import numpy as np
import pytest
import torch

from vosnb import creatures
from vosnb.features import IMAGENET, MEAN, SPREAD, load_imagenet
from vosnb.paths import ROOT
from vosnb.trackers import make_tracker, segment

ORACLE = dict(np.load(ROOT / "tests" / "oracles" / "imagenet_resnet.npz"))


def weights(name):
    """A state of torchvision's network of this name, all layers, drawn at random."""
    r, state = np.random.default_rng(0), {}
    for key, shape in zip(ORACLE[f"{name}_keys"].tolist(), map(json.loads, ORACLE[f"{name}_shapes"]), strict=True):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        values = r.standard_normal(shape).astype(np.float32)
        if len(shape) == 4:
            values *= (2 / np.prod(shape[1:])) ** 0.5
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            values = 1 + 0.1 * np.abs(values)
        elif len(shape) == 1:
            values *= 0.1
        state[key] = torch.from_numpy(values)
    return state


@pytest.fixture
def have(tmp_path, monkeypatch):
    """have(name): as if `vosnb data name` had been called; returns the file."""
    monkeypatch.setenv("VOSNB_DATA", str(tmp_path))

    def save(name):
        torch.save(weights(name), tmp_path / f"{name}.pth")
        return tmp_path / f"{name}.pth"

    return save


@pytest.mark.parametrize("name", IMAGENET)
def test_the_maps_are_torchvisions(have, name):
    have(name)
    image = (torch.from_numpy(ORACLE["image"]) - MEAN) / SPREAD
    with torch.no_grad():
        at2, at4, at8 = load_imagenet(name)(image)
    for found, right in (
        (at2[:, ::4, ::3, ::3], ORACLE[f"{name}_at2"]),
        (at4[:, ::4], ORACLE[f"{name}_at4"]),
        (at8, ORACLE[f"{name}_at8"]),
    ):
        torch.testing.assert_close(found, torch.from_numpy(right), rtol=1e-4, atol=1e-4)


def test_ridge_follows_on_their_features(have):
    have("resnet18")
    clip = creatures.generate(3, "easy", "val", (64, 80), 4).only(1)
    tracker = make_tracker("ridge", backbone="resnet18", device="cpu")
    masks = [mask for _, mask, _ in segment(tracker, clip)]
    assert tracker.W.shape == (64 + 128 + 1, 2) and masks[-1].any() and not masks[-1].all()


def test_what_is_missing_or_wrong_is_said(have, tmp_path):
    with pytest.raises(ValueError, match="choose from resnet18, resnet34"):
        load_imagenet("resnet101")
    with pytest.raises(FileNotFoundError, match="`vosnb data resnet18` downloads them"):
        make_tracker("ridge", backbone="resnet18")
    with pytest.raises(ValueError, match="take context=none"):
        make_tracker("ridge+rnn", backbone="resnet18")
    path = have("resnet18")
    torch.save(weights("resnet18"), tmp_path / "resnet34.pth")
    path.write_bytes(path.read_bytes()[:10_000])
    for name in IMAGENET:
        with pytest.raises(ValueError, match=f"is not torchvision's {name}: delete it"):
            load_imagenet(name)
