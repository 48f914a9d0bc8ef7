"""Settings, checked once and by their types: `every: Count = 5` in a signature says all that there is to say.

    @checked
    def solve(lam: Positive = 10.0, seed: Seed = 0): ...

`solve(lam="x")` and `solve(lam=math.nan)` then raise a SettingError, one sentence that says what lam takes.
"""

import functools
import inspect
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

MANY = 1_000_000
Count = Annotated[int, Field(ge=1, le=MANY, description=f"a whole number of at least 1, at most {MANY}")]
Steps = Annotated[int, Field(ge=0, le=MANY, description=f"a whole number that is not negative, at most {MANY}")]
Seed = Annotated[int, Field(ge=0, lt=2**32, description=f"a whole number that is not negative, below {2**32}")]
Positive = Annotated[float, Field(gt=0, description="a number above 0")]
NotNegative = Annotated[float, Field(ge=0, description="a number that is not negative")]
Share = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
Part = Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1, neither of the two")]


def between(low: int, high: int = MANY):
    """The type of a whole number from low to high."""
    return Annotated[int, Field(ge=low, le=high, description=f"a whole number between {low} and {high}")]


STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class SettingError(ValueError):
    """A setting of the wrong type, or outside its range; the message says what it takes."""


def checked(function: Callable) -> Callable:
    """The function, its settings checked before it begins: arguments that have a type and a default.

    Raises SettingError. What has no default is what the function works on, and that it looks at itself.
    """

    signature = inspect.signature(function)

    @functools.wraps(function)
    def inner(*args, **kwargs):
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in (adapters := _adapters(function)):
                check(name, value, *adapters[name])
        return function(*args, **kwargs)

    return inner


def check(name: str, value, adapter: TypeAdapter, words: str) -> None:
    """Raise SettingError unless the adapter takes the value; words: what it takes."""
    try:
        adapter.validate_python(value.item() if getattr(value, "shape", None) == () else value)  # of numpy, torch
    except ValidationError:
        raise SettingError(f"{name}={_short(value)} does not fit: take {words}.") from None


@functools.cache
def _adapters(function: Callable) -> dict[str, tuple[TypeAdapter, str]]:
    hints, settings = get_type_hints(function, include_extras=True), inspect.signature(function).parameters.values()
    typed = [p.name for p in settings if p.name in hints and p.default is not p.empty]
    return {name: (TypeAdapter(hints[name], config=STRICT), words_of(hints[name])) for name in typed}


def words_of(hint) -> str:
    """What a type takes, in words: "a whole number of at least 1, or null"."""
    parts, origin = get_args(hint), get_origin(hint)
    if origin is Annotated:
        return parts[1].description
    if origin is Literal:
        return "one of " + ", ".join(map(str, parts))
    if origin in (Union, UnionType):
        return " or ".join(words_of(part) for part in parts)
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
    if hint in plain:
        return plain[hint]
    return f"an object made in Python ({getattr(hint, '__name__', hint)}), which no text can name"


def _short(value) -> str:
    """The value as one writes it, shortened; of an object, what it is."""
    plain = isinstance(value, bool | int | float | str | NoneType | list | tuple)
    text = repr(value) if plain else f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."
