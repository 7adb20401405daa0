"""The wizard as a list of questions that scroll by, with arrow keys: questionary. For `--line` and small terminals.

The present values are the defaults; the review comes last, and any setting can be changed from there. Not here: the
questions (`tui_app/steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui_app.drawing import literal
from tui_app.fronts.folding import folded
from tui_app.fronts.review_text import fault_lines, faults, review_lines
from tui_app.fronts.rows_text import question_help, rows_lines
from tui_app.fronts.walk import Outcome, Place, Walk, keep
from tui_app.plain import printable
from tui_app.steps.draft import Draft
from tui_app.steps.review import review, sharpen
from tui_app.steps.schema import Choice, Question
from tui_app.steps.sequence import STEPS
from tui_app.steps.starting import free_recipe_path
from tui_app.steps.surroundings import Surroundings

TYPED = "\0typed"
"""The choice that asks for a text; no answer can be it."""


def ask_in_lines(draft: Draft, surroundings: Surroundings, *, say: Callable[[str], None] = print) -> Outcome:
    """Ask everything and show the review, until it is started, saved or left."""
    walk = Walk(draft, surroundings)
    try:
        place: Place | None = walk.place(None)
        while place is not None:
            (step, question), before = place, walk.draft
            _ask(walk, question, say)
            for line in rows_lines(walk.draft, before, question.name):
                say(line)
            following = walk.after(question.name)
            if following is None or following[0] is not step:
                keep(walk.draft, say)
            place = following
        while (outcome := _review(walk, say)) is None:
            keep(walk.draft, say)
    except (EOFError, KeyboardInterrupt):
        say("Left: nothing was started and nothing changed. `finetui` offers the draft again.")
        return Outcome("leave", walk.draft)
    return outcome


def wants_line_draft(question: str) -> bool:
    """Whether somebody wants the draft of an earlier visit; Enter says yes."""
    import questionary

    try:
        return bool(questionary.confirm(question, default=True).unsafe_ask())
    except EOFError:
        return False


def _ask(walk: Walk, question: Question, say: Callable[[str], None]) -> None:
    """Ask one question until its answer is good."""
    while True:
        fault = walk.give(question, _answer(walk, question))
        if not fault:
            return
        for line in folded(f"! {fault}"):
            say(line)


def _answer(walk: Walk, question: Question) -> str:
    choices = [each for each in walk.choices(question) if each.value]
    present = walk.draft.value(question.name)
    if choices:
        picked = _pick(question, choices, present)
        if picked != TYPED:
            return picked
    return _typed(walk, question, present)


def _pick(question: Question, choices: list[Choice], present: str) -> str:
    """One of the choices; `TYPED` where the question takes other texts too and one is wanted."""
    import questionary

    offered: list[Any] = [
        questionary.Choice(
            _title(each),
            value=each.value,
            disabled=literal(each.impossible) or None,
            description=literal(each.explanation) or None,
        )
        for each in choices
    ]
    if question.kind not in ("choice", "yes_no") or question.name == "method":
        offered.append(questionary.Choice("something else: type it", value=TYPED))
    possible = [each.value for each in choices if not each.impossible]
    default = present if present in possible else None
    return str(questionary.select(question.label, choices=offered, default=default).unsafe_ask())


def _title(choice: Choice) -> str:
    return literal(f"{choice.label}  {choice.detail}".rstrip())


def _typed(walk: Walk, question: Question, present: str) -> str:
    """A text, judged before it is taken; paths are completed."""
    import questionary

    def judge(text: str) -> bool | str:
        if text == present:
            return True
        return printable(walk.draft.problem(question.name, text)) or True

    told = [*folded(question.help), *question_help(walk.draft, question.name)] if question.help else []
    instruction = "\n" + "\n".join(told) + "\n" if told else ""
    if question.kind == "path":
        asked = questionary.path(question.label, default=present, validate=judge)
    else:
        asked = questionary.text(question.label, default=present, validate=judge, instruction=instruction)
    return str(asked.unsafe_ask())


def _review(walk: Walk, say: Callable[[str], None]) -> Outcome | None:
    """Show the review and what can be done; None to look at it again."""
    import questionary

    assert walk.surroundings.hardware is not None
    seen = review(walk.draft, walk.surroundings.hardware)
    while True:
        wrong = faults(seen)
        for line in (*review_lines(seen), *fault_lines(wrong)):
            say(line)
        actions = [
            questionary.Choice("Start the run", "start", disabled="see the faults above" if wrong else None),
            questionary.Choice("Save the recipe to a file", "save"),
            questionary.Choice("Change a setting", "change"),
            questionary.Choice("Predict better, by a dry run", "sharpen"),
            questionary.Choice("Leave", "leave"),
        ]
        match questionary.select("What now?", choices=actions, default="change" if wrong else "start").unsafe_ask():
            case "start":
                return Outcome("start", walk.draft)
            case "save":
                return Outcome("save", walk.draft, _path(walk.draft))
            case "change":
                _change(walk, say)
                return None
            case "sharpen":
                say("Asking the dry run; this takes some seconds.")
                seen = sharpen(walk.draft, walk.surroundings.hardware)
            case _:
                raise KeyboardInterrupt


def _change(walk: Walk, say: Callable[[str], None]) -> None:
    """Any question, advanced ones too."""
    import questionary

    walk.opened.update(step.name for step in STEPS)
    places = walk.places()
    offered = [
        questionary.Choice(
            literal(f"{step.title}: {question.label}  {walk.draft.value(question.name)}"), value=question
        )
        for step, question in places
    ]
    _ask(walk, questionary.select("Which one?", choices=offered).unsafe_ask(), say)


def _path(draft: Draft) -> Path:
    import questionary

    proposed = free_recipe_path(draft, Path.cwd()).name
    return Path(str(questionary.text("File", default=proposed).unsafe_ask()))
