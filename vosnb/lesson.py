"""What a notebook needs to be a lesson: predictions, claims that hold, checked exercises, bars that vanish.

Everything here prints short, stable text: no addresses, no timings, few digits, so that stored outputs can be compared.
"""

import html
import inspect
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from vosnb.exercises import Exercise, Misconception

WIDTH = 100


def live() -> bool:
    """Whether a person looks on: in JupyterLab or a terminal yes; under papermill, nbval, nbconvert or a pipe no.

    A notebook that a program executes is sent to the kernel with "nobody can answer questions" (allow_stdin false),
    which no interactive frontend does. `VOSNB_HEADLESS=1` or `0` overrules.
    """
    if (headless := os.environ.get("VOSNB_HEADLESS")) is not None:
        return headless == "0"
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if (kernel := getattr(shell, "kernel", None)) is not None:
        return bool(getattr(kernel, "_allow_stdin", True))
    return sys.stderr is not None and sys.stderr.isatty()


def device(name: str = "auto") -> str:
    """The torch device of a lesson: "auto" is CUDA where there is one, else the CPU; other names stand as they are."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def progress(iterable: Iterable, text: str, total: int | None = None):
    """Iterate with a bar that vanishes at the end, and without any output where nobody looks on (see `live`)."""
    from tqdm.auto import tqdm

    return tqdm(iterable, desc=text, total=total, leave=False, disable=not live())


def predict(question: str, options: Sequence[str], default: str) -> "Prediction":
    """Ask for a guess before the result is seen; nothing waits for it.

    In JupyterLab the options are radio buttons; elsewhere they are printed and the default is taken.

    question: one sentence. options: two or more texts, lettered a, b, c... default: the letter taken when the student
    chooses none; best a tempting wrong one. Returns a `Prediction`, whose `reveal` belongs in the cell of the result.
    """
    return Prediction(question, options, default)


class Prediction:
    """A question with lettered options and the guess, which `reveal` sets beside the truth."""

    def __init__(self, question: str, options: Sequence[str], default: str):
        if isinstance(options, str) or len(options) < 2:
            raise ValueError("predict needs at least two options to choose from, as a list of texts.")
        self.options = dict(zip("abcdefghijklmnopqrstuvwxyz", options, strict=False))
        self.default = self._letter(default)
        self._buttons = None
        if live():
            self._show_buttons(question)
        else:
            print(_wrap(question), *(_wrap(self._line(letter), "  ") for letter in self.options), sep="\n")
            print(f"Guess: {default}")

    @property
    def guess(self) -> str:
        """The letter chosen, or the default as long as none is."""
        chosen = self._buttons.value if self._buttons is not None else None
        return chosen or self.default

    def reveal(self, truth: str, explanation: str = "") -> None:
        """Print guess and truth side by side, then why. truth: the right letter, best computed from the result."""
        truth = self._letter(truth)
        print(f"{'✓' if self.guess == truth else '✗'} You guessed  {self._line(self.guess)}")
        print(f"  It is        {self._line(truth)}")
        if explanation:
            print(_wrap(explanation))

    def __repr__(self) -> str:
        return f"Prediction({self.guess!r} of {', '.join(self.options)})"

    def _letter(self, letter: str) -> str:
        if letter not in self.options:
            raise ValueError(f"{letter!r} is none of the options; use one of {', '.join(self.options)}.")
        return letter

    def _line(self, letter: str) -> str:
        return f"{letter}) {self.options[letter]}"

    def _show_buttons(self, question: str) -> None:
        import ipywidgets
        from IPython.display import display

        choices = [(self._line(letter), letter) for letter in self.options]
        self._buttons = ipywidgets.RadioButtons(options=choices, value=None, layout={"width": "max-content"})
        display(ipywidgets.VBox([ipywidgets.HTML(f"<b>{html.escape(question)}</b>"), self._buttons]))


def claim(text: str, value, low: float | None = None, high: float | None = None) -> None:
    """Hold a statement of the lesson: raise AssertionError if it fails, else print it in a form that is stable.

    With bounds the value must lie in [low, high] and the *band* is printed ("mean J 0.71 ± 0.02: ok", "loss ≤ 0.1:
    ok"), not the value, whose last digits differ between machines; without bounds the value must be true.
    """
    if low is None and high is None:
        holds, band = bool(value), ""
    else:
        value = float(value)
        # Written so that NaN, for which every comparison is false, never holds.
        holds = (low is None or value >= low) and (high is None or value <= high) and value == value
        band = f" {_band(low, high)}"
    if not holds:
        raise AssertionError(f"{text}{band} does not hold: it is {value if not band else f'{value:.4g}'}.")
    print(f"{text}{band}: ok")


def table(rows: Sequence[Mapping], digits: int = 2) -> None:
    """Print rows (mappings with the same keys) as an aligned table, floats with `digits` decimals."""
    if not rows:
        raise ValueError("table needs at least one row.")
    columns = list(rows[0])
    cells = [columns] + [[_cell(row[column], digits) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [all(isinstance(row[column], int | float) for row in rows) for column in columns]
    for line in [cells[0], ["-" * width for width in widths], *cells[1:]]:
        aligned = (f"{c:>{w}}" if right else f"{c:<{w}}" for c, w, right in zip(line, widths, numeric, strict=True))
        print("  ".join(aligned).rstrip())


def card(exercise: Exercise) -> None:
    """Print what an exercise asks for: title, difficulty, importance, minutes, and where help is."""
    print(f"Exercise: {exercise.title}")
    print(
        f"difficulty {_stars(exercise.difficulty)}  importance {_stars(exercise.importance)}"
        f"  about {exercise.minutes} minutes"
    )
    print(f"Stuck? hint({exercise.call}, 1) up to {len(exercise.hints)}; then solution({exercise.call}).")


def hint(exercise: Exercise, level: int = 1) -> None:
    """Print one hint; level 1 only nudges, the last one nearly gives it away."""
    count = len(exercise.hints)
    if not 1 <= level <= count:
        raise ValueError(f"This exercise has hints 1 to {count}; after them comes solution({exercise.call}).")
    print(_wrap(f"Hint {level} of {count}: {exercise.hints[level - 1]}"))


def solution(exercise: Exercise) -> None:
    """Print the reference answer: its source if it is a function, else its value."""
    reference = exercise.reference
    print(textwrap.dedent(inspect.getsource(reference)).rstrip() if callable(reference) else reference)


def check(exercise: Exercise, answer) -> None:
    """Say whether an answer is right, and if not, which misconception it shows. Never raises for a student's mistake.

    answer: what the exercise asks for (a function or a value); `...`, None and a function that raises
    NotImplementedError count as not solved yet.
    """
    try:
        if answer is None or answer is ...:
            raise NotImplementedError
        exercise.check(answer)
    except NotImplementedError:
        print(_wrap(f"· {exercise.title}: not solved yet. hint({exercise.call}, 1) helps you to begin."))
    except Misconception as wrong:
        print(_wrap(f"✗ {exercise.title}: {wrong}"))
    except Exception as error:  # whatever a student's code raises is news for the student, not for the notebook
        print(_wrap(f"✗ {exercise.title}: your answer stopped with {type(error).__name__}: {error}"))
    else:
        print(f"✓ {exercise.title}: right.")


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _stars(level: int) -> str:
    return "●" * level + "○" * (5 - level)


def _cell(value, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _band(low: float | None, high: float | None) -> str:
    if low is None:
        return f"≤ {high:g}"
    if high is None:
        return f"≥ {low:g}"
    return f"{(low + high) / 2:.4g} ± {(high - low) / 2:.2g}"
