"""The kinds of toys, and the things that stand about: which picture each is and how it moves.

The pictures are Microsoft's Fluent Emoji (`data/toys/CREDITS.md`), cut to what can be seen of them and stored at
`LONGEST` pixels. `make_sprites` makes them again from the npm package `PACKAGE`.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from vosnb.files import write_bytes
from vosnb.paths import DATA

PACKAGE = "@lobehub/fluent-emoji-3d 1.1.0"
SPRITES = DATA / "toys" / "sprites"
LONGEST = 160  # pixels of the longer side of a stored picture
BORDER = 2  # transparent pixels around it

# How a kind moves: {manner: {kind: code point of its picture}}. Those that look to a side look to the left.
MANNERS = {
    "walks": {
        "ox": "1f402", "cow": "1f404", "tiger": "1f405", "leopard": "1f406", "rabbit": "1f407", "cat": "1f408",
        "horse": "1f40e", "ram": "1f40f", "goat": "1f410", "sheep": "1f411", "rooster": "1f413", "dog": "1f415",
        "pig": "1f416", "elephant": "1f418", "tortoise": "1f422", "chick": "1f424", "penguin": "1f427",
        "poodle": "1f429", "camel": "1f42b", "deer": "1f98c", "gorilla": "1f98d", "rhinoceros": "1f98f",
        "giraffe": "1f992", "zebra": "1f993", "hedgehog": "1f994", "sauropod": "1f995", "tyrannosaur": "1f996",
        "kangaroo": "1f998", "llama": "1f999", "peacock": "1f99a", "hippopotamus": "1f99b", "badger": "1f9a1",
        "mammoth": "1f9a3", "dodo": "1f9a4", "orangutan": "1f9a7", "skunk": "1f9a8", "flamingo": "1f9a9",
        "bison": "1f9ac", "goose": "1fabf", "pinata": "1fa85", "bear": "1f9f8", "mouse": "1f401", "crab": "1f980",
    },
    "swims": {
        "whale": "1f40b", "fish": "1f41f", "angelfish": "1f420", "pufferfish": "1f421", "dolphin": "1f42c",
        "shark": "1f988", "octopus": "1f419", "jellyfish": "1fabc", "squid": "1f991", "duck": "1f986",
        "swan": "1f9a2", "seal": "1f9ad", "dragon": "1f409", "caterpillar": "1f41b", "snail": "1f40c",
    },
    "flies": {
        "butterfly": "1f98b", "bee": "1f41d", "bat": "1f987", "eagle": "1f985", "parrot": "1f99c", "owl": "1f989",
        "helicopter": "1f681",
    },
    "crawls": {
        "ladybird": "1f41e", "beetle": "1fab2", "lizard": "1f98e", "lobster": "1f99e", "crocodile": "1f40a",
    },
    "rolls": {
        "locomotive": "1f682", "bus": "1f68c", "trolleybus": "1f68e", "van": "1f690", "ambulance": "1f691",
        "fire engine": "1f692", "police car": "1f693", "taxi": "1f695", "car": "1f697", "jeep": "1f699",
        "truck": "1f69a", "lorry": "1f69b", "tractor": "1f69c", "scooter": "1f6f5", "rickshaw": "1f6fa",
        "pickup": "1f6fb",
    },
}  # fmt: skip
THINGS = {
    "fir": "1f332", "tree": "1f333", "palm": "1f334", "cactus": "1f335", "tulip": "1f337", "sunflower": "1f33b",
    "toadstool": "1f344", "plant": "1fab4", "stump": "1fab5", "rock": "1faa8", "barrier": "1f6a7", "basket": "1f9fa",
    "drum": "1fa98", "present": "1f381",
}  # fmt: skip
MANNER = {kind: manner for manner, kinds in MANNERS.items() for kind in kinds}
KINDS = tuple(MANNER)


@cache
def sprite(name: str) -> np.ndarray:
    """The picture of a kind or thing, (h, w, 4) uint8 RGBA, not premultiplied."""
    file = SPRITES / f"{name.replace(' ', '_')}.webp"
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise FileNotFoundError(
            f"The picture data/toys/sprites/{file.name} is missing; restore it from the repository."
        )
    image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    image.setflags(write=False)
    return image


def make_sprites(package: str | Path) -> None:
    """Write all sprites. package: the unpacked npm package, with `assets/1f402.webp` and so on."""
    for name, code in {**{k: c for kinds in MANNERS.values() for k, c in kinds.items()}, **THINGS}.items():
        image = cv2.imread(str(Path(package) / "assets" / f"{code}.webp"), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise FileNotFoundError(f"{package} has no assets/{code}.webp; unpack {PACKAGE} and give its folder.")
        image = image.astype(np.float32)
        image[..., :3] *= image[..., 3:] / 255  # premultiplied, or the colour of nothing bleeds into the edge
        x, y, width, height = cv2.boundingRect((image[..., 3] > 8).astype(np.uint8))
        scale = (LONGEST - 2 * BORDER) / max(width, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image[y : y + height, x : x + width], size, interpolation=cv2.INTER_AREA)
        image = cv2.copyMakeBorder(image, *[BORDER] * 4, cv2.BORDER_CONSTANT, value=0)
        image[..., :3] *= 255 / np.maximum(image[..., 3:], 1)
        _, data = cv2.imencode(".webp", np.rint(image.clip(0, 255)).astype(np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 90])
        write_bytes(SPRITES / f"{name.replace(' ', '_')}.webp", data.tobytes())
