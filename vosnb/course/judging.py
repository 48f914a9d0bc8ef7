"""What a check makes of an answer: right, wrong and why, or not solved yet; and the student's line that is to blame."""

import ast
import functools
import inspect
import sysconfig
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vosnb.course.exercises import Exercise, Misconception

PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Verdict:
    """What is to be said of an answer.

    sign: "✓" right, "✗" wrong, "·" not solved yet. text: the sentence that says so, and what is wrong. where: the
    student's line that is to blame, as "line 4 of its cell: return x", or "" where none is known.
    """

    sign: Literal["✓", "✗", "·"]
    text: str
    where: str = ""


def judge(exercise: Exercise, answer) -> Verdict:
    """Put an answer to the exercise's check. Never raises for a student's mistake.

    answer: what the exercise asks for (a function, a class or a value); `...`, None and code that raises
    NotImplementedError count as not solved yet. Of an error the student's own line is named.
    """
    try:
        if answer is None or answer is ...:
            raise NotImplementedError
        exercise.check(_returning(answer) if inspect.isroutine(answer) else answer)
    except NotImplementedError:
        return Verdict("·", "not solved yet.")
    except Misconception as wrong:
        return Verdict("✗", str(wrong))
    except Exception as error:  # whatever a student's code raises is news for the student, not for the notebook
        what = f"{type(error).__name__}: {error}"
        own = [step for step in traceback.extract_tb(error.__traceback__) if step.line and _is_student(step.filename)]
        if not own:  # the check itself stumbled
            return Verdict("✗", f"the check stopped ({what}). Does your answer have the form that is asked for?")
        return Verdict("✗", f"your answer stopped with {what}", _place(own[-1].lineno, own[-1].line))
    return Verdict("✓", "right.")


def returning_line(answer) -> str:
    """The line from which a student's function returns, as in `Verdict.where`; "" if there is not just one such line.

    That is where somebody begins to look whose function returns something wrong.
    """
    try:
        lines, first = inspect.getsourcelines(answer)
        function = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (TypeError, OSError, SyntaxError, IndexError):  # no function, or one that was not written in a cell
        return ""
    if not isinstance(function, ast.FunctionDef) or not _is_student(inspect.getsourcefile(answer) or ""):
        return ""
    returns = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Return)]
    return _place(max(first, 1) + returns[0] - 1, lines[returns[0] - 1].strip()) if len(returns) == 1 else ""


def _place(number: int, line: str) -> str:
    return f"line {number} of its cell: {line}"


def _returning(function: Callable) -> Callable:
    """The student's function, which raises `Misconception` when it returns None."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if (result := function(*args, **kwargs)) is None:
            raise Misconception("your function returned None: is a return missing?")
        return result

    return call


def _is_student(file: str) -> bool:
    """Whether code of this file is a notebook's own: neither the course's, nor Python's, nor a package's."""
    others = [str(PACKAGE), *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))]
    return not any(Path(file).is_relative_to(other) for other in others)
