"""Who looks on: a person or a program; and what is printed for either, bars that vanish and aligned tables."""

import html
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence


def live() -> bool:
    """Whether a person looks on: in JupyterLab or a terminal yes; under papermill, nbval, nbconvert or a pipe no.

    A notebook that a program executes is sent to the kernel with "nobody can answer questions" (allow_stdin false),
    which no interactive frontend does. `VOSNB_HEADLESS=1` or `0` overrules.
    """
    if (headless := os.environ.get("VOSNB_HEADLESS")) is not None:
        return headless == "0"
    if (kernel := _kernel()) is not None:
        return bool(getattr(kernel, "_allow_stdin", True))
    return sys.stderr is not None and sys.stderr.isatty()


def in_notebook() -> bool:
    """Whether this code runs in a notebook's kernel, whose outputs may be HTML."""
    return _kernel() is not None


def _kernel():
    """The notebook kernel that this code runs in, or None."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None)


def progress(iterable: Iterable, text: str, total: int | None = None):
    """Iterate with a bar that vanishes at the end, and without any output where nobody looks on (see `live`)."""
    if not live():
        return iter(iterable)
    if not in_notebook():
        from tqdm import tqdm

        return iter(tqdm(iterable, desc=text, total=total, leave=False))
    return _bar_in_notebook(iterable, text, total)


def _bar_in_notebook(iterable: Iterable, text: str, total: int | None) -> Iterator:
    """tqdm's line in one widget. (tqdm's own bar there is a box of three: when it vanishes before the browser has put
    all of them into the box, ipywidgets throws an error.)"""
    from IPython.display import display
    from tqdm import tqdm

    line = _Line()
    shown = display(line.widget, display_id=True)
    try:
        yield from tqdm(iterable, desc=text, total=total, leave=False, file=line, ncols=70, position=0)
    finally:
        line.widget.close()
        shown.update({}, raw=True)  # nothing is saved of it: a notebook opened again would show a dead widget


class _Line:
    """A file for tqdm: a widget shows what was written last."""

    encoding = "utf-8"  # so that the bar is of blocks, not of #

    def __init__(self):
        import ipywidgets

        self.widget = ipywidgets.HTML()

    def write(self, text: str) -> None:
        self.widget.value = f"<pre>{html.escape(text.strip())}</pre>"

    def flush(self) -> None:
        pass


def table(rows: Sequence[Mapping], digits: int = 2) -> None:
    """Print rows (mappings with the same keys) as an aligned table, floats with `digits` decimals."""
    print(aligned(rows, digits))


def aligned(rows: Sequence[Mapping], digits: int = 2) -> str:
    """Rows (mappings with the same keys) as the lines of a table; ValueError without a row."""
    if not rows:
        raise ValueError("table needs at least one row.")
    right = numeric(rows)
    columns = {name: [str(name)] + [cell(row[name], digits) for row in rows] for name in right}
    for cells in columns.values():
        cells.insert(1, "-" * max(map(len, cells)))
    padded = [[f"{c:{'>' if right[name] else '<'}{len(cells[1])}}" for c in cells] for name, cells in columns.items()]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))


def numeric(rows: Sequence[Mapping]) -> dict:
    """{column: whether it holds numbers alone}, in the order of the first row; numbers are aligned to the right."""
    return {name: all(isinstance(row[name], int | float) for row in rows) for name in rows[0]}


def cell(value, digits: int) -> str:
    """What a table shows of a value: a float has `digits` decimals."""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
