"""What a notebook needs to be a lesson of style 1: predictions, claims that hold, checked exercises, bars that vanish.

The first lessons import this as `vosnb.lesson`, and their stored outputs are its text. Lessons of style 2 import
`vosnb.course.classroom`; when the last lesson has moved there, what only this module holds can go.
Everything here prints short, stable text: no addresses, no timings, few digits, so that stored outputs can be compared.
"""

import html
import inspect
import textwrap
from collections.abc import Sequence

from vosnb.audience import live, progress, table
from vosnb.course.claims import band, busy, failure
from vosnb.course.classroom import device
from vosnb.course.exercises import Exercise
from vosnb.course.judging import judge

__all__ = ["card", "check", "claim", "device", "hint", "live", "predict", "progress", "solution", "table"]

WIDTH = 100


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
        if not isinstance(options, Sequence) or isinstance(options, str) or len(options) < 2:
            raise ValueError("predict needs at least two options to choose from, as a list of texts.")
        self.options = dict(zip("abcdefghijklmnopqrstuvwxyz", options, strict=False))
        self.default = self._letter(default)
        self._buttons = None
        text = "\n".join([_wrap(question), *(_wrap(self._line(letter), "  ") for letter in self.options)])
        if live():
            self._show_buttons(question, text)
        else:
            print(f"{text}\nGuess: {default}")

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

    def _show_buttons(self, question: str, text: str) -> None:
        import ipywidgets
        from IPython.display import display

        choices = [(self._line(letter), letter) for letter in self.options]
        self._buttons = ipywidgets.RadioButtons(options=choices, value=None, layout={"width": "max-content"})
        box = ipywidgets.VBox([ipywidgets.HTML(f"<b>{html.escape(question)}</b>"), self._buttons])
        display(box._repr_mimebundle_() | {"text/plain": text}, raw=True)  # the text stays when the kernel is gone


def claim(text: str, value, low: float | None = None, high: float | None = None, clock: bool = False) -> None:
    """Hold a statement of the lesson: raise AssertionError if it fails, else print it in a form that is stable.

    With bounds the value must lie in [low, high] and the *band* is printed ("mean J 0.71 ± 0.02: ok", "loss ≤ 0.1:
    ok"), not the value, whose last digits differ between machines; without bounds the value must be true. What the
    clock says (clock=True) depends on what else the machine does: where somebody looks on it is only remarked.
    """
    if not (failed := failure(text, value, low, high)):
        print(f"{text}{band(low, high)}: ok")
    elif clock and live():
        print(_wrap(busy(failed)))
    else:
        raise AssertionError(failed)


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
    NotImplementedError count as not solved yet. Of an error the student's own line is shown.
    """
    verdict = judge(exercise, answer)
    begin = f" hint({exercise.call}, 1) helps you to begin." if verdict.sign == "·" else ""
    print(_wrap(f"{verdict.sign} {exercise.title}: {verdict.text}{begin}"))
    if verdict.where:
        print(f"  in {verdict.where}")


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _stars(level: int) -> str:
    return "●" * level + "○" * (5 - level)
