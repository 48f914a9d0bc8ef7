"""Questions that a lesson asks before it shows the answer: one of some options, or a number to estimate.

Nothing waits for an answer. In a notebook where somebody looks on, a question has buttons or a field; everywhere else
it is only read. `reveal`, in the cell of the result, sets the guess beside the truth.
"""

import hashlib
import html
import math
from collections.abc import Hashable, Mapping, Sequence

from vosnb import audience
from vosnb.course import page

NEAR = 0.1  # an estimate that is off by less than this share of its scale is called close


def predict(question: str, options: Mapping[str, str] | Sequence[str], seed: int = 0) -> "Choice":
    """Ask which of some options will come true, and let the student choose by a button.

    question: one sentence or two. options: {key: text}, two to six of them; `reveal` takes a key. A list of texts is
    its own keys. They are lettered a, b, c.. in an order that depends on question, keys and seed alone; another seed
    gives another order. Raises ValueError for options that cannot be chosen from.

        guess = predict("What does a longer memory do to J?", {"more": "It rises.", "same": "Nothing.", "less": "..."})
        guess.reveal("more" if gain > 0.02 else "less" if gain < -0.02 else "same", "It rises by 0.09.")
    """
    return Choice(question, options, seed)


def estimate(question: str, low: float, high: float, unit: str = "", digits: int = 2) -> "Estimate":
    """Ask for a number between low and high, and let the student write it into a field.

    unit: what stands behind the number, as "MB". digits: decimals of what is shown. `reveal(truth)` says how far off
    the guess was. Raises ValueError if low is not below high.

        guess = estimate("What is J of `nearest` on these clips?", 0, 1)
        guess.reveal(J, "Nothing was trained for it.")
    """
    return Estimate(question, low, high, unit, digits)


class Choice:
    """A question with lettered options; `guess` is the key of the chosen one, or None."""

    def __init__(self, question: str, options: Mapping[str, str] | Sequence[str], seed: int = 0):
        if isinstance(options, str) or not isinstance(options, Mapping | Sequence) or not 2 <= len(options) <= 6:
            raise ValueError("predict needs two to six options: {key: text}, or a list of texts.")
        texts = dict(options) if isinstance(options, Mapping) else {str(text): text for text in options}
        if not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("the options that a student reads must be texts: {key: text}, or a list of texts.")
        if len(set(texts.values())) < len(options):
            raise ValueError("two of the options are the same text; nobody could choose between them.")

        def drawn(key: str) -> bytes:
            """A number that nobody chose, the same on every machine and in every version."""
            return hashlib.sha256(f"{seed}\n{question}\n{key}".encode()).digest()

        self.options = {key: texts[key] for key in sorted(texts, key=drawn)}
        self.letters = dict(zip(self.options, "abcdef", strict=False))
        self.guess: str | None = None
        self._ask(question)

    def reveal(self, truth: str, explanation: str = "") -> None:
        """Show the answer beside the guess, if there is one, and then why.

        truth: the key of the right option, best computed from the result. Raises ValueError for a key there is not.
        """
        if not isinstance(truth, Hashable) or truth not in self.options:
            raise ValueError(f"{truth!r} is none of the options; use one of {', '.join(map(repr, self.options))}.")
        answer = f"The answer: {self._line(truth)}"
        if self.guess is None:
            _answer("?", "", answer, explanation)
        elif self.guess == truth:
            _answer("✓", self._line(truth), "That is right.", explanation)
        else:
            _answer("✗", self._line(self.guess), answer, explanation)

    def __repr__(self) -> str:
        return f"Choice({self.guess!r} of {', '.join(map(repr, self.options))})"

    def _line(self, key: str) -> str:
        return f"{self.letters[key]}) {self.options[key]}"

    def _ask(self, question: str) -> None:
        lines = [self._line(key) for key in self.options]
        text = "\n".join([page.wrap(question), *(page.wrap(line, "  ") for line in lines)])
        asked = page.box("?", _question(question), *map(page.inline, lines))
        buttons = self._buttons(asked) if _somebody() else None
        page.show(text, asked + _run_me("buttons to choose by"), buttons)

    def _buttons(self, asked: str):
        """Real buttons, one a letter: in JupyterLab the arrow keys, by which one moves among radio buttons, move from
        cell to cell."""
        import ipywidgets

        keys = {letter: key for key, letter in self.letters.items()}
        tips = [self.options[key] for key in keys.values()]
        buttons = ipywidgets.ToggleButtons(
            options=list(keys), value=None, tooltips=tips, style={"button_width": "4em"}, layout={"margin": "0 16px"}
        )
        said = ipywidgets.HTML(_small("Which one? You can change your mind until you look at the answer."))

        def choose(change) -> None:
            self.guess = keys.get(change["new"])
            said.value = _small(f"You chose {self._line(self.guess)}" if self.guess else "")

        buttons.observe(choose, "value")
        return ipywidgets.VBox([ipywidgets.HTMLMath(asked), buttons, said])


class Estimate:
    """A question whose answer is a number; `guess` is the number that the student wrote, or None."""

    def __init__(self, question: str, low: float, high: float, unit: str = "", digits: int = 2):
        if not (_is_number(low) and _is_number(high) and low < high):
            raise ValueError(f"estimate needs a scale of two numbers, low below high, and has {low!r} and {high!r}.")
        self.low, self.high, self.unit, self.digits = low, high, unit, digits
        self.guess: float | None = None
        self._ask(question)

    def reveal(self, truth: float, explanation: str = "") -> None:
        """Show the true number, beside the guess, if there is one, how far off that was, and why.

        truth: best computed from the result. Raises ValueError if it is no finite number.
        """
        if not _is_number(truth):
            raise ValueError(f"the truth of an estimate must be a finite number, and this is {truth!r}.")
        truth = float(truth)
        answer = f"The answer: {self._number(truth)}"
        if self.guess is None:
            _answer("?", "", answer, explanation, self._scale(truth))
            return
        off = self.guess - truth
        size = self._number(abs(off))
        close = abs(off) <= NEAR * (self.high - self.low)
        if size == self._number(0):
            guessed = f"{self._number(self.guess)}, and that is right."
        else:
            near, side = "close, " if close else "", "high" if off > 0 else "low"
            guessed = f"{self._number(self.guess)}: {near}{size} too {side}."
        _answer("✓" if close else "✗", guessed, answer, explanation, self._scale(truth))

    def __repr__(self) -> str:
        return f"Estimate({self.guess!r} of {self.low} to {self.high})"

    def take(self, text: str) -> str:
        """Take what stands in the field as the guess, and say in a sentence what was understood."""
        self.guess = None
        try:
            value = float(text.strip().replace(",", "."))
        except ValueError:
            value = math.nan
        if self.low <= value <= self.high:
            self.guess = value
            return f"Your guess is {self._number(value)}"
        return f"Please write a number from {self.low:g} to {self.high:g}." if text.strip() else ""

    def _number(self, value: float) -> str:
        return f"{value:.{self.digits}f} {self.unit}".rstrip()

    def _ask(self, question: str) -> None:
        scale = f"a number from {self.low:g} to {self.high:g} {self.unit}".rstrip()
        asked = page.box("?", _question(question), f"Your guess: {html.escape(scale)}.")
        field = self._field(asked, scale) if _somebody() else None
        page.show(page.wrap(f"{question} (Guess {scale}.)"), asked + _run_me("a field to write into"), field)

    def _field(self, asked: str, scale: str):
        """A field, not a slider: the place where a slider starts would be a hint."""
        import ipywidgets

        field = ipywidgets.Text(placeholder=scale, layout={"margin": "0 16px", "width": "20em"})
        said = ipywidgets.HTML()
        field.observe(lambda change: setattr(said, "value", _small(self.take(change["new"]))), "value")
        return ipywidgets.VBox([ipywidgets.HTMLMath(asked), field, said])

    def _scale(self, truth: float) -> str:
        """A line from low to high, the truth as a full disc above its number, the guess as a ring below its own."""
        low, high = min(self.low, truth), max(self.high, truth)

        def x(value: float) -> float:
            return round(60 + 360 * (value - low) / (high - low), 1)

        def label(value: float, y: int, text: str) -> str:
            return f'<text x="{x(value)}" y="{y}" text-anchor="middle">{text}</text>'

        marks = f'<circle cx="{x(truth)}" cy="32" r="6" fill="{page.COLORS["?"]}"/>' + label(truth, 18, "answer")
        if self.guess is not None:
            marks += f'<circle cx="{x(self.guess)}" cy="32" r="9" fill="none" stroke="currentColor" stroke-width="2"/>'
            marks += label(self.guess, 58, "your guess")
        ends = f'<text x="50" y="37" text-anchor="end">{low:g}</text><text x="430" y="37">{high:g}</text>'
        guess = "" if self.guess is None else f", your guess {self._number(self.guess)}"
        alt = html.escape(f"A line from {low:g} to {high:g}: the answer {self._number(truth)}{guess}.")
        return (
            f'<svg role="img" aria-label="{alt}" viewBox="0 0 480 64" width="480" height="64" fill="currentColor" '
            'style="font-size: 13px; max-width: 100%"><line x1="60" x2="420" y1="32" y2="32" stroke="currentColor"/>'
            f"{marks}{ends}</svg>"
        )


def _is_number(value) -> bool:
    """Whether this is a finite number, of Python, NumPy or torch."""
    try:
        return not isinstance(value, str) and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _somebody() -> bool:
    """Whether there is somebody to press a button."""
    return audience.live() and audience.in_notebook()


def _question(text: str) -> str:
    return f"{page.signed('?', 'Your guess')} &nbsp;<b>{page.inline(text)}</b>"


def _run_me(what: str) -> str:
    """What is said where the question is only read: before its cell was run, and when the kernel is gone."""
    return _small(f"Run this cell to get {what}.")


def _small(text: str) -> str:
    return f'<div style="margin: 0 16px; font-size: 90%">{page.inline(text)}</div>'


def _answer(sign: str, guessed: str, answer: str, explanation: str, drawing: str = "") -> None:
    """Show the guess, if there is one, then the answer, a drawing and the explanation."""
    text = [page.wrap(f"{sign} You guessed {guessed}"), page.wrap(answer, "  ")] if guessed else [page.wrap(answer)]
    parts = [f"{page.signed(sign, 'You guessed')} {page.inline(guessed)}"] if guessed else []
    parts += [f"<b>{page.inline(answer)}</b>", drawing, page.inline(explanation)]
    page.show("\n".join([*text, *([page.wrap(explanation)] if explanation else [])]), page.box(sign, *parts))
