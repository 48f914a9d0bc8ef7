"""What holds a lesson's words to its numbers: statements that must hold, and numbers that its prose quotes."""

from vosnb.audience import live


def hold(text: str, value, low: float | None = None, high: float | None = None, clock: bool = False) -> None:
    """Hold a statement of the lesson: raise AssertionError if it fails, and say nothing if it holds.

    For hidden cells; a value that teaches is printed as a value. With bounds the value must lie in [low, high]; without
    bounds it must be true. What the clock says (clock=True) depends on what else the machine does: where somebody looks
    on, a failure is only remarked. Raises ValueError if there are bounds and the value is no number.
    """
    if failed := failure(text, value, low, high):
        if not (clock and live()):
            raise AssertionError(failed)
        print(busy(failed))


def failure(text: str, value, low: float | None = None, high: float | None = None) -> str:
    """The sentence that says that a statement does not hold, and what the value is; "" if it holds (see `hold`)."""
    if low is None and high is None:
        return "" if value else f"{text} does not hold: it is {value}."
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{text}: a claim with bounds is about a number, and {value!r} is none.") from None
    # Written so that NaN, for which every comparison is false, never holds.
    holds = (low is None or value >= low) and (high is None or value <= high) and value == value
    return "" if holds else f"{text}{band(low, high)} does not hold: it is {value:.4g}."


def busy(failed: str) -> str:
    """What a person reads of a claim about the clock that failed."""
    return f"{failed} Is the machine busy with something else?"


def band(low: float | None, high: float | None) -> str:
    """Bounds as they follow the text of a claim: " ≤ 0.1", " ≥ 2", " 0.71 ± 0.02", or "" where there are none."""
    if low is None:
        return "" if high is None else f" ≤ {high:g}"
    if high is None:
        return f" ≥ {low:g}"
    return f" {(low + high) / 2:.4g} ± {(high - low) / 2:.2g}"


# ------------------------------------------------------------------------------------ numbers that prose quotes

NUMBERS = "application/vnd.vosnb.numbers+json"  # the kind of output in which a notebook's numbers stand


def numbers(**values: float) -> None:
    """Give numbers of this run to the prose, which quotes them as {{name:.2f}} (see `vosnb.course.prose`).

    It belongs in a cell tagged `hold`, whose code is folded and whose outputs are not kept. values: finite numbers,
    also of NumPy or torch. Raises ValueError for anything else.
    """
    from IPython.display import display

    plain = {}
    for name, value in values.items():
        try:
            value = value.item() if hasattr(value, "item") else value
            plain[name] = value if isinstance(value, int) and not isinstance(value, bool) else float(value)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"numbers: {name} must be one number, and {value!r} is none.") from None
        if not abs(plain[name]) < float("inf"):
            raise ValueError(f"numbers: {name} is {plain[name]}, which no prose can quote.")
    text = ", ".join(f"{name} {value:.6g}" for name, value in plain.items())
    display({NUMBERS: plain, "text/plain": text}, raw=True)
