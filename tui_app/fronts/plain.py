"""The wizard for TERM=dumb and screen readers: numbered choices, one question after the other, input() and print().

No escape and no redraw; sentences are folded at words to the terminal's width. Not here: the questions
(`tui_app/steps`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import FinetuiError
from tui_app.fronts.folding import folded
from tui_app.fronts.review_text import fault_lines, faults, review_lines
from tui_app.fronts.rows_text import question_at_fault, question_help, rows_lines
from tui_app.fronts.walk import Outcome, Walk, keep
from tui_app.plain import one_line, printable
from tui_app.steps.draft import Draft
from tui_app.steps.review import review, sharpen
from tui_app.steps.schema import Choice, Question, Step
from tui_app.steps.sequence import STEPS
from tui_app.steps.starting import free_recipe_path
from tui_app.steps.surroundings import Surroundings

HELP = (
    ("Enter", "keeps the value that is shown"),
    ("a number", "takes that choice; a text is taken as it is"),
    ("=", "alone takes a field back to its default"),
    ("?", "explains the question and its choices"),
    ("b", "goes back to the question before"),
    ("m", "asks the other settings of this step too"),
    ("q", "leaves; nothing is started, the draft is kept"),
)
"""What can be typed at each question."""
HELP_WIDTH = 13
LETTERS = "`?` explains, `b` goes back, `q` leaves; to answer with one of these letters type =b"


def help_lines() -> list[str]:
    """What can be typed, folded to the terminal's width."""
    told = ["At each question:"]
    for key, text in HELP:
        told += folded(text, f"  {key}".ljust(HELP_WIDTH), indent=HELP_WIDTH)
    return [*told, *folded(LETTERS, indent=0)]


ACTIONS = ("Start the run", "Save the recipe to a file", "Change a setting", "Predict better, by a dry run", "Leave")


class LeftError(Exception):
    """The person wants to leave."""


class BackError(Exception):
    """The person wants the question before."""


class MoreError(Exception):
    """The person wants the step's other settings too."""


def ask_plainly(
    draft: Draft,
    surroundings: Surroundings,
    *,
    ask: Callable[[str], str] = input,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Ask everything and show the review, until it is started, saved or left. `ask` raises EOFError at its end."""
    walk = Walk(draft, surroundings)
    for line in help_lines():
        say(line)
    place: str | None = None
    shown: Step | None = None
    try:
        while True:
            here = walk.place(place) or walk.places()[0]
            (step, question), before = here, walk.draft
            if step is not shown:
                say("")
                for line in folded(f"Step {STEPS.index(step) + 1} of {len(STEPS)}: {step.title}. {step.why}"):
                    say(line)
                shown = step
            try:
                _ask(walk, step, question, ask, say)
            except BackError:
                place = walk.before(question.name)[1].name
                continue
            except MoreError:
                walk.opened.add(step.name)
                place = question.name
                continue
            for line in rows_lines(walk.draft, before, question.name):
                say(line)
            following = walk.after(question.name)
            if following is None or following[0] is not step:
                keep(walk.draft, say)
            if following is not None:
                place = following[1].name
                continue
            outcome = _review(walk, ask, say)
            if outcome is not None:
                return outcome
            place, shown = question_at_fault(walk.draft.problems(), walk.draft) or None, None
    except (EOFError, KeyboardInterrupt, LeftError):
        for line in ("", *folded("Left: nothing was started and nothing changed. `finetui` offers the draft again.")):
            say(line)
        return Outcome("leave", walk.draft)


def wants_plain_draft(question: str, ask: Callable[[str], str] = input) -> bool:
    """Whether somebody wants the draft of an earlier visit; Enter says yes."""
    try:
        return ask(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _ask(walk: Walk, step: Step, question: Question, ask: Callable[[str], str], say: Callable[[str], None]) -> None:
    """Ask one question until its answer is good."""
    choices = walk.choices(question)
    present = walk.draft.value(question.name)
    say(f"\n{question.label}")
    for line in _numbered(choices, present):
        say(line)
    while True:
        text = ask(f"{question.label} [{one_line(present)}]: ")
        match text.strip():
            case "?":
                for line in _explained(walk, question, choices, step):
                    say(line)
                continue
            case "b":
                raise BackError
            case "m":
                raise MoreError
            case "q":
                raise LeftError
        answer = chosen_text(text, choices) if text.strip() else present
        fault = walk.give(question, answer) if answer is not None else f"There is no choice {text.strip()}."
        if not fault:
            return
        for line in folded(f"! {fault}"):
            say(line)


def chosen_text(typed: str, choices: Sequence[Choice]) -> str | None:
    """The answer that a typed line stands for: the text after =, a choice by its number, or the text itself.

    None for a number that no choice has.
    """
    if typed.lstrip().startswith("="):
        return typed.lstrip()[1:]
    text = typed.strip()
    if choices and text.isdecimal():
        return choices[int(text) - 1].value if 0 < int(text) <= len(choices) else None
    return text


def _numbered(choices: Sequence[Choice], present: str) -> list[str]:
    told = []
    for number, choice in enumerate(choices, start=1):
        detail = f", {choice.detail}" if choice.detail else ""
        state = " (present)" if choice.value == present else ""
        cannot = f" (not possible: {choice.impossible})" if choice.impossible else ""
        label = choice.label if choice.label == choice.value else f"{choice.label} [{choice.value}]"
        told += folded(f"{label}{detail}{state}{cannot}", f"  {number}. ", indent=5)
    return told


def _explained(walk: Walk, question: Question, choices: Sequence[Choice], step: Step) -> list[str]:
    told = [*folded(question.help or step.why), *question_help(walk.draft, question.name)]
    for each in choices:
        told += folded(f"{each.label}: {each.explanation}", "  ", indent=4) if each.explanation else []
    return [*told, *help_lines()]


def _review(walk: Walk, ask: Callable[[str], str], say: Callable[[str], None]) -> Outcome | None:
    """Show the review and what can be done; None to go through the questions again."""
    assert walk.surroundings.hardware is not None
    seen = review(walk.draft, walk.surroundings.hardware)
    while True:
        say(f"\nStep {len(STEPS)} of {len(STEPS)}: Review\n")
        for line in review_lines(seen):
            say(line)
        wrong = faults(seen)
        for line in fault_lines(wrong):
            say(line)
        default = "3" if wrong else "1"
        for number, action in enumerate(ACTIONS, start=1):
            say(f"  {number}. {action}")
        match ask(f"What now [{default}]: ").strip() or default:
            case "1" if not wrong:
                return Outcome("start", walk.draft)
            case "1":
                say("! It cannot be started yet; what is wrong stands above the menu.")
            case "2":
                if path := _path(walk.draft, ask, say):
                    return Outcome("save", walk.draft, path)
            case "3" | "b":
                return None
            case "4":
                say("Asking the dry run; this takes some seconds.")
                seen = sharpen(walk.draft, walk.surroundings.hardware)
            case "5" | "q":
                raise LeftError
            case _:
                say("! Type a number from 1 to 5.")


def _path(draft: Draft, ask: Callable[[str], str], say: Callable[[str], None]) -> Path | None:
    try:
        proposed = free_recipe_path(draft, Path.cwd())
    except FinetuiError as fault:
        say(printable(str(fault)))
        return None
    typed = ask(f"File [{one_line(proposed.name)}]: ").strip()
    return Path(typed) if typed else proposed
