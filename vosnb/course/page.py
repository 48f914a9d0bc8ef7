"""How a lesson of style 2 puts things on the page: HTML in a notebook, and the same as text.

A notebook stores both. The text is what is shown in a terminal. Nothing here is random, so that stored outputs can be
compared. Colours are of middle brightness: they stand out from a light page and from a dark one, and whatever a colour
says is said by a sign and a word too. Text takes the colour that the page gives it.
"""

import html
import re
import textwrap
from collections.abc import Mapping, Sequence

from vosnb import audience

WIDTH = 88  # characters: a line of text that JupyterLab shows without breaking it
COLORS = {"✓": "#2e8b57", "✗": "#d1493f", "·": "#7d7d7d", "?": "#3b7dd8"}  # right, wrong, nothing yet, a question
EDGE = "1px solid #7d7d7d"


def show(text: str, page: str, widget=None) -> None:
    """Show HTML in a notebook, and print the text elsewhere; in a notebook the text is stored with it.

    widget: an ipywidget to show in the page's place as long as the kernel lives; the page stands in later.
    """
    if not audience.in_notebook():
        print(text)
        return
    from IPython.display import display

    view = {} if widget is None else widget._repr_mimebundle_()
    display(view | {"text/plain": text, "text/html": page}, raw=True)


def box(sign: str, *parts: str) -> str:
    """HTML parts, one below the other, with a bar in the sign's colour on the left."""
    style = (
        f"border-left: 4px solid {COLORS[sign]}; padding: 2px 12px; margin: 4px 0; max-width: 50em; line-height: 1.5"
    )
    return f'<div style="{style}">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>'


def signed(sign: str, word: str) -> str:
    """A bold word in the page's own colour, which is legible, after its sign; of a question the word alone."""
    return f'<b><span style="color: {COLORS[sign]}">{sign}</span> {word}</b>' if sign != "?" else f"<b>{word}</b>"


def inline(text: str) -> str:
    """A text as HTML, with `code` and *emphasis* as Markdown has them."""

    def mark(found: re.Match) -> str:
        return f"<code>{found[1]}</code>" if found[1] else f"<em>{found[2]}</em>"

    return re.sub(r"`([^`]+)`|(?<!\w)\*(\w[^*`]*)\*", mark, html.escape(text, quote=False))


def unfold(button: str, text: str) -> str:
    """A button that shows a text when it is clicked, or chosen by Tab and pressed by Enter; it needs no kernel."""
    look = f"display: inline-block; cursor: pointer; border: {EDGE}; border-radius: 4px; padding: 1px 10px"
    return (
        f'<details style="margin: 4px 0"><summary style="{look}">{html.escape(button)}</summary>'
        f'<div style="margin: 4px 0 4px 12px">{inline(text)}</div></details>'
    )


def code(source: str) -> str:
    """Lines of a program as HTML."""
    return f"<pre><code>{html.escape(source, quote=False)}</code></pre>"


def bullets(items: Sequence[str]) -> str:
    """Texts as an HTML list."""
    return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in items)}</ul>"


def wrap(text: str, indent: str = "") -> str:
    """A text in lines of at most `WIDTH` characters, each after the indent."""
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def table(rows: Sequence[Mapping], digits: int = 2) -> None:
    """Show rows (mappings with the same keys) as a table, floats with `digits` decimals.

    Raises ValueError without a row.
    """
    text = audience.aligned(rows, digits)
    columns, numeric = list(rows[0]), audience.numeric(rows)

    def line(tag: str, cells: Sequence[str], look: str = "") -> str:
        aligned = zip(cells, columns, strict=True)
        return "".join(
            f'<{tag} style="text-align: {"right" if numeric[column] else "left"}; padding: 2px 10px{look}">'
            f"{html.escape(cell, quote=False)}</{tag}>"
            for cell, column in aligned
        )

    head = line("th", list(map(str, columns)), f"; border-bottom: {EDGE}")
    body = "".join(f"<tr>{line('td', [audience.cell(row[c], digits) for c in columns])}</tr>" for row in rows)
    style = "border-collapse: collapse; font-variant-numeric: tabular-nums"
    show(text, f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')
