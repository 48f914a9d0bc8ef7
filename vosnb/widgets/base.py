"""What the widgets share: images as bytes, the static stand-in, and the export to one HTML file.

A widget is drawn twice: by its JavaScript module in the browser, and by `render(state)` in Python, which makes the
picture that stands in where no kernel runs (committed notebooks, static pages) and lets tests look at it.
"""

import base64
import html
import json
from pathlib import Path

import anywidget
import cv2
import numpy as np
import traitlets as T

from vosnb import show
from vosnb.audience import live
from vosnb.files import write_text

HERE = Path(__file__).parent


def module(name: str) -> str:
    """The JavaScript of a widget: one ES module, since a widget's module cannot import a neighbour."""
    return (HERE / "common.js").read_text() + (HERE / name).read_text()


class Widget(anywidget.AnyWidget):
    """An anywidget with a required alternative text and a picture that stands in for it."""

    STATE: tuple[str, ...] = ()  # names of the traits that the user moves, which `render` takes
    alt = T.Unicode().tag(sync=True)
    palette = T.List(T.Unicode(), list(show.PALETTE)).tag(sync=True)
    series = T.List(T.Unicode(), list(show.SERIES)).tag(sync=True)
    heat = T.List(T.Unicode(), list(show.HEAT)).tag(sync=True)
    dashes = T.List(T.List(T.Int()), [list(dash) for dash in show.DASHES]).tag(sync=True)
    _css = (HERE / "widgets.css").read_text()

    def __init__(self, *, alt: str, **traits):
        if unknown := set(traits) - set(self.trait_names()):
            raise ValueError(f"there is nothing called {min(unknown)!r} to set: there are {', '.join(self.STATE)}.")
        try:
            super().__init__(alt=show.check_alt(alt), **traits)
        except T.TraitError as error:
            raise ValueError(f"the widget cannot be set so: {str(error).rstrip('.')}.") from None

    def render(self, state: dict | None = None) -> np.ndarray:
        """What the widget looks like as (H, W, 3) uint8; entries of `state` stand in for the traits of these names."""
        raise NotImplementedError

    def with_state(self, state: dict | None) -> dict:
        """The traits of `STATE`, overridden by `state`."""
        if unknown := set(state or {}) - set(self.STATE):
            raise ValueError(f"the state has no {min(unknown)!r}; it has {', '.join(self.STATE)}.")
        return {name: getattr(self, name) for name in self.STATE} | (state or {})

    def export_state(self) -> dict:
        """The traits that the JavaScript module reads, for a page that has no kernel to ask."""
        inherited = set(anywidget.AnyWidget.class_trait_names())
        return {
            name: getattr(self, name)
            for name in self.trait_names(sync=True)
            if name not in inherited | {"_css", "_esm"}
        }

    def stand_in(self) -> show.Picture:
        """The picture that is shown where no kernel runs."""
        return show.Picture(self.render(), self.alt, limit=120_000)

    def _repr_mimebundle_(self, **kwargs):
        return with_picture(super()._repr_mimebundle_(**kwargs), self.stand_in())

    def __repr__(self) -> str:
        return self.alt


def with_picture(bundle: tuple[dict, dict], still: show.Picture) -> tuple[dict, dict]:
    """What a widget displays itself as, (data, metadata), with the picture that stands in where no kernel runs.

    Where nobody looks on (see `audience.live`) nobody will move it either: the picture is all.
    """
    data, metadata = still._repr_mimebundle_()
    return (bundle[0] | data, bundle[1] | metadata) if live() else (data, metadata)


# ---------------------------------------------------------------- images for the browser


def read_frames(frames, what: str = "frame") -> list[np.ndarray]:
    """Frames (H, W, 3) uint8 of one size as a list, or a ValueError that names the first that does not fit."""
    frames = [show.check_frame(frames[t]) for t in range(show.sized(frames))]
    if not frames:
        raise ValueError("there are no frames: give at least one.")
    for t, frame in enumerate(frames):
        if frame.shape != frames[0].shape:
            raise ValueError(f"{what} {t} is {show.size(frame)} but {what} 0 is {show.size(frames[0])}: resize them.")
    return frames


def jpeg(frame: np.ndarray, quality: int = 90) -> bytes:
    """(H, W, 3) uint8 RGB -> JPEG: a fifteenth of the raw frame, decoded by the browser itself."""
    return cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def label_png(mask: np.ndarray) -> bytes:
    """(H, W) uint8 index mask -> grey PNG, a few kilobytes, exact."""
    return cv2.imencode(".png", mask)[1].tobytes()


def drawing(mask: np.ndarray | None) -> dict:
    """What the browser needs to outline and number a mask: {"lines": [[id, x, y, x, y, ..]], "names": [[id, x, y]]}."""
    if mask is None:
        return {"lines": [], "names": []}
    lines = [[k, *points.ravel().tolist()] for k, points in show.outlines(mask)]
    return {"lines": lines, "names": [list(place) for place in show.anchors(mask)]}


# ---------------------------------------------------------------- one HTML file

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>:root {{ color-scheme: light dark }} body {{ margin: 1rem auto; max-width: 60rem; padding: 0 1rem }}
{css}</style></head>
<body><div id="widget"></div>
<noscript><img src="data:image/png;base64,{still}" alt="{title}"></noscript>
<script type="module">
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const revive = (key, value) => (value && value.$bytes !== undefined ? bytes(value.$bytes) : value);
const state = JSON.parse({state}, revive);
const handlers = {{}};
const model = {{
  get: (key) => state[key],
  set(key, value) {{
    if (state[key] === value) return;
    state[key] = value;
    for (const handler of handlers["change:" + key] ?? []) handler();
  }},
  on: (events, handler) => events.split(" ").forEach((event) => (handlers[event] ??= []).push(handler)),
  off() {{}},
  save_changes() {{}},
  send() {{}},
}};
const code = URL.createObjectURL(new Blob([{esm}], {{ type: "text/javascript" }}));
const widget = (await import(code)).default;
await widget.render({{ model, el: document.getElementById("widget") }});
</script></body></html>
"""


def to_html(widget: Widget, path) -> Path:
    """Write the widget to `path` as one HTML file that works from disk, without a kernel or a network.

    It holds the same JavaScript module and a small stand-in for the model that Jupyter would give it.
    """
    page = PAGE.format(
        title=html.escape(widget.alt),
        css=str(widget._css).replace("</", "<\\/"),
        still=base64.b64encode(show.Picture(widget.render(), widget.alt).png).decode(),
        state=_in_script(json.dumps(_encode(widget.export_state()), allow_nan=False)),
        esm=_in_script(str(widget._esm)),
    )
    return write_text(path, page)


def _encode(value):
    """Nested lists and dicts with bytes -> the same in JSON, bytes as {"$bytes": base64}."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: _encode(entry) for key, entry in value.items()}
    return [_encode(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _in_script(text: str) -> str:
    """A JavaScript string literal that can stand inside <script>, whatever the text holds."""
    return json.dumps(text).replace("<", "\\u003c")
