"""What a figure is: a picture with, required, a text for readers who cannot see it; stored as PNG, JPEG, WebP or SVG.

Line drawings are PNG (`Picture`), frames of video JPEG (`Photo`), moving ones an animated WebP beside a JPEG that
stands still (`Film`), diagrams SVG (`Drawing`). Each displays with its text as alternative, and as the text alone where
pictures cannot be shown.
"""

import base64
import html
import io
import math

import numpy as np
from PIL import Image

from vosnb.audience import live
from vosnb.files import write_bytes

WIDTH = 820  # pixels: what a notebook's column shows without scaling
SIDES = {1: 600, 2: 450, 3: 304}  # pixels: width of a panel of a large picture, by the number of columns


def check_alt(alt) -> str:
    """The alternative text, or a ValueError that asks for one."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("alt= must say in a sentence what the picture shows, for readers who cannot see it.")
    return alt.strip()


class Picture:
    """A PNG with its alternative text, as the last line of a cell shows it.

    image: (H, W, 3 or 4) uint8. alt: what it shows, in a sentence. limit: bytes that the PNG may take (see
    `encode_png`). width: how many pixels wide it is shown, its own by default.
    """

    def __init__(self, image: np.ndarray, alt: str, limit: int = 80_000, width: int | None = None):
        self.alt, self.width = check_alt(alt), width
        self.png = encode_png(image, limit)

    @property
    def kinds(self) -> dict[str, bytes]:
        """{type of file: its bytes}, the best one first."""
        return {"image/png": self.png}

    def _repr_mimebundle_(self, include=None, exclude=None):
        look = {"alt": self.alt} | ({"width": self.width} if self.width else {})
        data, metadata = self.kinds | {"text/plain": self.alt}, {kind: dict(look) for kind in self.kinds}
        if "image/png" in data and not live():
            data["text/html"] = self.html()  # a program makes a page of it, and drops the text in the metadata
        return data, metadata

    def html(self) -> str:
        """The picture as an element of a page that needs no other file."""
        kind, data = next(iter(self.kinds.items()))
        width = f' width="{self.width}"' if self.width else ""
        return f'<img alt="{html.escape(self.alt)}"{width} src="{data_uri(kind, data)}">'

    def __repr__(self) -> str:
        return self.alt

    def save(self, path) -> None:
        """Write the file to `path`, whole or not at all."""
        write_bytes(path, next(iter(self.kinds.values())))


class Photo(Picture):
    """Frames of video as a JPEG of at most `limit` bytes, without loss of colour, so that thin contours stay clean."""

    def __init__(self, image: np.ndarray, alt: str, limit: int = 300_000):
        self.alt, self.width = check_alt(alt), None
        self.jpeg = encode_jpeg(image, limit)

    @property
    def kinds(self) -> dict[str, bytes]:
        return {"image/jpeg": self.jpeg}


class Film(Photo):
    """Pictures that move, as an animated WebP of at most `limit` bytes, and one of them as a JPEG that stands still.

    images: list of (H, W, 3) uint8 of one size; fps: how many a second; still: number of the one that stands still. The
    film goes round for ever and rests a second on its last picture. In the course's JupyterLab a click, space or p
    starts and stops it, and for readers who ask their system for less motion it stands still until they start it.
    """

    def __init__(self, images, alt: str, fps: float = 8.0, still: int = 0, limit: int = 500_000):
        super().__init__(images[still], alt, limit=100_000)
        self.webp = encode_webp(images, fps, limit)

    @property
    def kinds(self) -> dict[str, bytes]:
        return {"image/webp": self.webp} | super().kinds

    def html(self) -> str:
        still = f'<source media="(prefers-reduced-motion: reduce)" srcset="{data_uri("image/jpeg", self.jpeg)}">'
        return f"<picture>{still}{super().html()}</picture>"


class Drawing(Picture):
    """A diagram as SVG text with its alternative text.

    It displays as a page's element: a notebook that nobody has trusted yet shows pictures in HTML, but no SVG outputs.
    The text is the same on every machine, so it may be compared.
    """

    def __init__(self, svg: str, alt: str, width: int | None = None):
        self.svg, self.alt, self.width = svg, check_alt(alt), width

    @property
    def kinds(self) -> dict[str, bytes]:
        return {"image/svg+xml": self.svg.encode()}

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html(), "text/plain": self.alt}, {}


def figure(fig, *, alt: str) -> Picture:
    """A matplotlib `Figure` (made without pyplot, so that nothing global remembers it) as a Picture.

    Where its ground is transparent (see `style`) the picture's is too, and it is stored sharper than it is shown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    clear = fig.get_facecolor()[3] == 0
    width = round(100 * fig.get_figwidth()) if clear else None  # shown at 100 dots an inch, as the others
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())
    return Picture(image.copy() if clear else image[..., :3].copy(), alt, 200_000 if clear else 80_000, width)


# ---------------------------------------------------------------- files


def encode_png(image: np.ndarray, limit: int = 80_000) -> bytes:
    """(H, W, 3 or 4) uint8 -> PNG of at most `limit` bytes: with fewer colours if need be, then with fewer pixels.

    A notebook must stay small, and a photograph of 800 x 300 pixels as a true-colour PNG takes half a megabyte.
    """
    picture = Image.fromarray(image)
    data = _saved(picture, "png", compress_level=1)
    if len(data) <= 2 * limit and len(data := _saved(picture, "png")) <= limit:
        return data
    while True:
        for colors in (256, 128, 64):  # an octree is thirty times faster than Pillow's median cut, and packs better
            data = _saved(picture.quantize(colors, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE), "png")
            if len(data) <= limit:
                return data
        picture = _shrunk(picture, max(0.5, 0.97 * math.sqrt(limit / len(data))))


def encode_jpeg(image: np.ndarray, limit: int) -> bytes:
    """(H, W, 3) uint8 -> JPEG of at most `limit` bytes: of lower quality if need be, then with fewer pixels."""
    picture = Image.fromarray(image)
    while True:
        for quality in (90, 85, 78, 70):
            data = _saved(picture, "jpeg", quality=quality, subsampling=0)
            if len(data) <= limit:
                return data
        picture = _shrunk(picture, max(0.5, 0.97 * math.sqrt(limit / len(data))))


def encode_webp(images, fps: float, limit: int) -> bytes:
    """A list of (H, W, 3) uint8 -> animated WebP of at most `limit` bytes: of lower quality, then with fewer pixels."""
    pictures, wait = [Image.fromarray(image) for image in images], round(1000 / fps)
    options = {"save_all": True, "loop": 0, "duration": [wait] * (len(pictures) - 1) + [max(wait, 1000)]}
    while True:
        for quality in (80, 65, 50, 40):
            # The whole takes seconds, so a few pictures tell first whether it can fit: motion saves at most 40 %.
            few = sum(len(_saved(picture, "webp", quality=quality, method=0)) for picture in pictures[::6])
            if 0.6 * few * len(pictures) / len(pictures[::6]) > limit:
                continue
            data = _saved(pictures[0], "webp", append_images=pictures[1:], quality=quality, method=2, **options)
            if len(data) <= limit:
                return data
        pictures = [_shrunk(picture, 0.85) for picture in pictures]


def data_uri(kind: str, data: bytes) -> str:
    """A file's bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _shrunk(picture: Image.Image, by: float) -> Image.Image:
    return picture.resize([max(1, round(by * side)) for side in picture.size], Image.Resampling.LANCZOS)


# ---------------------------------------------------------------- arguments


def sized(sequence) -> int:
    """The length of a sequence, or a ValueError where it is none."""
    if not hasattr(sequence, "__len__") or not hasattr(sequence, "__getitem__") or isinstance(sequence, str):
        raise ValueError(f"frames and masks come as a clip, a list or an array, not as {sequence!r}.")
    return len(sequence)


def plain(text) -> str:
    """A name as matplotlib shows it as it is: to it, what stands between two $ is mathematics."""
    return str(text).replace("$", r"\$")
