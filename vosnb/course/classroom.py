"""What a lesson of style 2 says to a student: cards, checks, solutions, predictions, tables, claims.

    from vosnb.course.classroom import card, check, chosen, estimate, hold, numbers, predict, solution, table

Everything is HTML in a notebook, with the same as text (see `page.py`). The first lessons import `vosnb.lesson`, which
prints text.
"""

import difflib
import inspect
import re
import textwrap

from vosnb.audience import live, progress
from vosnb.course import page
from vosnb.course.asking import estimate, predict
from vosnb.course.claims import hold, numbers
from vosnb.course.exercises import Exercise
from vosnb.course.judging import Verdict, judge, returning_line
from vosnb.course.page import table

__all__ = [
    "card",
    "check",
    "chosen",
    "device",
    "estimate",
    "hint",
    "hold",
    "live",
    "numbers",
    "predict",
    "progress",
    "solution",
    "table",
]

_judged: dict[str, tuple[object, Verdict]] = {}  # of each exercise, by name: what was handed in last, and its verdict


def device(name: str = "auto") -> str:
    """The torch device of a lesson: "auto" is CUDA where there is one, else the CPU; ValueError without this one."""
    from vosnb.features import device_of

    return str(device_of(None if name == "auto" else name))


def card(exercise: Exercise) -> None:
    """Show what an exercise asks for: kind, title, minutes, task, and a button for each hint."""
    kind = exercise.kind.capitalize()
    facts = (
        f"about {exercise.minutes} minutes, difficulty {exercise.difficulty} of 5, "
        f"importance {exercise.importance} of 5"
    )
    after = f"After a try of your own, solution({exercise.call}) shows ours."
    text = [f"{kind}: {exercise.title}", facts, *([page.wrap(exercise.task)] if exercise.task else [])]
    text.append(page.wrap(f"Stuck? hint({exercise.call}, 1) up to {len(exercise.hints)}. {after}"))
    hints = [page.unfold(f"Hint {n}", hint) for n, hint in enumerate(exercise.hints, start=1)]
    title = f"{page.signed('?', kind)} &nbsp;<b>{page.inline(exercise.title)}</b>"
    after = f"After a try of your own, `solution({exercise.call})` shows ours."
    parts = [title, facts, page.inline(exercise.task), *hints, page.inline(after)]
    page.show("\n".join(text), page.box("?", *parts))


def hint(exercise: Exercise, level: int = 1) -> None:
    """Show one hint, where there are no buttons; level 1 only nudges. Raises ValueError for a level there is not."""
    count = len(exercise.hints)
    if not 1 <= level <= count:
        raise ValueError(f"This exercise has hints 1 to {count}; after a try comes solution({exercise.call}).")
    said = exercise.hints[level - 1]
    head = f"Hint {level} of {count}"
    page.show(page.wrap(f"{head}: {said}"), page.box("?", f"<b>{head}:</b> {page.inline(said)}"))


def check(exercise: Exercise, answer) -> None:
    """Say whether an answer is right, and if not, which misconception it shows. Never raises for a student's mistake.

    answer: what the exercise asks for: a function, a class, a value, or the text that answers an open question; `...`,
    None, "" and code that raises NotImplementedError count as not solved yet. The student's own line is shown: the one
    that stopped, or the one that returned what is wrong. After an open question come rubric and model answer.
    """
    verdict = _judge(exercise, answer)
    head, said, where = {"✓": "Right", "✗": "Not yet", "·": "Not solved yet"}[verdict.sign], verdict.text, verdict.where
    begin = f"hint({exercise.call}, 1) helps you to begin." if verdict.sign == "·" else ""
    if exercise.kind == "open question" and verdict.sign == "✓":
        head, said = "Written down", "written down. Now compare: does your answer have what a good one has?"
    if verdict.sign == "✗" and not where and exercise.kind in ("warm-up", "build"):
        where = returning_line(answer)  # a planted fault is hardly ever in that line
    text = [page.wrap(" ".join(filter(None, (f"{verdict.sign} {exercise.title}: {said}", begin))))]
    parts = [f"{page.signed(verdict.sign, head)} &nbsp;<b>{page.inline(exercise.title)}</b>"]
    if verdict.sign == "✗" or head == "Written down":
        parts.append(page.inline(said[0].upper() + said[1:]))
    if begin:
        parts.append("The buttons on its card give you hints.")
    if where:
        place, _, line = where.partition(": ")
        text.append(f"  in {where}")
        parts.append(f"Look at {place}:{page.code(line)}")
    if head == "Written down":
        text += [*(page.wrap(f"- {point}", "  ") for point in exercise.rubric), "One good answer:"]
        text.append(page.wrap(exercise.reference, "  "))
        parts += [page.bullets(exercise.rubric), "<b>One good answer:</b>", page.inline(exercise.reference)]
    page.show("\n".join(text), page.box(verdict.sign, *parts))


def solution(exercise: Exercise, anyway: bool = False) -> None:
    """Show the reference answer, its source if it is a function or a class, after a try that a check has seen.

    Of a bug hunt the mended program is shown, and below it the lines that were changed. anyway: show it without a try
    too.
    """
    tried = exercise.name in _judged and _judged[exercise.name][1].sign != "·"
    if not (tried or anyway):
        first = f"First try it yourself, and run check({exercise.call}, ...): a wrong try teaches most."
        rest = f"To see our answer all the same: solution({exercise.call}, anyway=True)."
        page.show(page.wrap(f"{first} {rest}"), page.box("·", f"{page.signed('·', 'Not yet.')} {first}", rest))
        return
    ours = exercise.reference
    if exercise.kind == "bug hunt":
        faulty, mended = (_program(part, exercise.name) for part in (exercise.faulty, ours))
        lines = difflib.ndiff(faulty.splitlines(), mended.splitlines())
        changed = "\n".join(line for line in lines if line[:2] in ("- ", "+ "))
        page.show(
            f"{mended}\n\nWhat changed:\n{changed}",
            page.box("?", "<b>The mended program:</b>", page.code(mended), "<b>What changed:</b>", page.code(changed)),
        )
    elif callable(ours):
        source = textwrap.dedent(inspect.getsource(ours)).rstrip()
        page.show(source, page.box("?", "<b>One right answer:</b>", page.code(source)))
    else:
        page.show(page.wrap(str(ours)), page.box("?", f"<b>One right answer:</b> {page.inline(str(ours))}"))


def chosen(exercise: Exercise, mine):
    """What the rest of the lesson runs on: the student's version if its check passes, else the course's reference.

    Says in one line which. Returns `mine` or `exercise.reference`.
    """
    seen, verdict = _judged.get(exercise.name, (None, None))
    if verdict is None or seen is not mine or verdict.sign != "✓":  # what did not pass may use something mended since
        verdict = _judge(exercise, mine)
    passed = verdict.sign == "✓"
    said = {
        "✓": "From here on the lesson runs on your own version.",
        "✗": "Until yours passes its check, the lesson runs on ours.",
        "·": "Until yours is written, the lesson runs on ours.",
    }[verdict.sign]
    page.show(
        f"{'✓' if passed else '·'} {exercise.title}: {said}",
        page.box("✓" if passed else "·", f"<b>{page.inline(exercise.title)}:</b> {said}"),
    )
    return mine if passed else exercise.reference


def _program(function, name: str) -> str:
    """The source of a function, under the name that it has in the lesson."""
    source = textwrap.dedent(inspect.getsource(function)).rstrip()
    return re.sub(rf"\b{function.__name__}\b", name, source)


def _judge(exercise: Exercise, answer) -> Verdict:
    verdict = judge(exercise, answer)
    _judged[exercise.name] = answer, verdict
    return verdict
