"""Sliders over a picture: a lesson's knobs, and what happens when they are turned."""

import html
import math
from collections.abc import Callable

import ipywidgets

from vosnb.show import Picture
from vosnb.widgets.base import with_picture


class Sliders(ipywidgets.VBox):
    """Controls above the picture that `draw` makes of their values.

    draw(**values) returns a `show.Picture`; it takes everything it needs as arguments or from its enclosing function,
    never from names that later cells may change. knobs: NAME=(low, high, start) is a slider, of whole numbers if all
    three are whole, NAME=[choices] a menu that starts at the first. An error in `draw` is written in the picture's
    place. Where there is no kernel, the picture of the start values stands in.
    """

    def __init__(self, draw: Callable[..., Picture], **knobs):
        if not callable(draw):
            raise ValueError("Sliders takes a function that draws a picture of the knobs' values, and then the knobs.")
        if not knobs:
            raise ValueError("Sliders needs at least one knob, as in noise=(0.0, 1.0, 0.2) or difficulty=['easy'].")
        self.draw = draw
        self.controls = {name: _control(name, knob) for name, knob in knobs.items()}
        self._picture = ipywidgets.HTML()
        for control in self.controls.values():
            control.observe(lambda change: self._show(), "value")
        super().__init__([*self.controls.values(), self._picture])
        self._show(self.render())

    @property
    def state(self) -> dict:
        """The present value of each knob."""
        return {name: control.value for name, control in self.controls.items()}

    def render(self, state: dict | None = None) -> Picture:
        """The picture at the present values, overridden by those in `state`."""
        if unknown := set(state or {}) - set(self.controls):
            raise ValueError(f"there is no knob {min(unknown)!r}; there are {', '.join(self.controls)}.")
        return self.draw(**(self.state | (state or {})))

    def _show(self, picture: Picture | None = None) -> None:
        try:
            picture = picture or self.render()
        except Exception as error:  # nobody reads a callback's traceback
            self._picture.value = f"<b>{type(error).__name__}:</b> {html.escape(str(error))}"
            return
        self._picture.value = picture.html()

    def _repr_mimebundle_(self, **kwargs):
        return with_picture((super()._repr_mimebundle_(**kwargs), {}), self.render())

    def __repr__(self) -> str:
        return self.render().alt


def _control(name: str, knob):
    look = {"description": name, "style": {"description_width": "initial"}}
    if isinstance(knob, list) and knob:
        return ipywidgets.Dropdown(options=knob, **look)
    numbers = isinstance(knob, tuple) and all(isinstance(value, int | float) and math.isfinite(value) for value in knob)
    if not (numbers and len(knob) == 3 and knob[0] <= knob[2] <= knob[1]):
        raise ValueError(f"the knob {name} must be (low, high, start) with low <= start <= high, or a list of choices.")
    low, high, start = knob
    if all(isinstance(value, int) for value in knob):
        return ipywidgets.IntSlider(min=low, max=high, value=start, **look)
    return ipywidgets.FloatSlider(min=low, max=high, value=start, step=(high - low) / 100, **look)
