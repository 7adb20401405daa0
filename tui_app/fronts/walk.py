"""Going through the questions one by one: which comes next, which came before. For front ends that ask in a list.

The questions that apply change with the answers, so a place is a question's name. Keeps the draft on the way. Not
here: asking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from engine.errors import FinetuiError
from tui_app.plain import printable
from tui_app.steps import draft_file
from tui_app.steps.answering import answered
from tui_app.steps.draft import Draft
from tui_app.steps.schema import Choice, Question, Step
from tui_app.steps.sequence import STEPS, questions
from tui_app.steps.surroundings import Surroundings

Place = tuple[Step, Question]
ORDER = tuple(question.name for step in STEPS for question in step.questions)
OPEN = ("method", "preset")
"""Choices that may also be named: combinations of methods, recipe files and runs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a front end was left: with a draft to start, or to save at a path, or with nothing to do."""

    action: Literal["start", "save", "leave"]
    draft: Draft
    path: Path | None = None


@dataclass(slots=True)
class Walk:
    """A person's way through the steps. `opened` are the steps whose advanced questions are asked too."""

    draft: Draft
    surroundings: Surroundings
    opened: set[str] = field(default_factory=set)

    def places(self) -> list[Place]:
        """Every question to be asked as things stand, in order."""
        return [
            (step, question)
            for step in STEPS
            for question in questions(self.draft, step, with_advanced=step.name in self.opened)
        ]

    def place(self, name: str | None) -> Place | None:
        """The question of that name, or where it no longer applies the first of its step; the first of all for None."""
        places = self.places()
        if name is None:
            return places[0]
        return next((each for each in places if each[1].name == name), None)

    def after(self, name: str) -> Place | None:
        """The next question behind one, which need not apply any more; None behind the last."""
        at = ORDER.index(name)
        return next((each for each in self.places() if ORDER.index(each[1].name) > at), None)

    def before(self, name: str) -> Place:
        """The question before one; the first stays itself."""
        at = ORDER.index(name)
        places = self.places()
        return next((each for each in reversed(places) if ORDER.index(each[1].name) < at), places[0])

    def choices(self, question: Question) -> Sequence[Choice]:
        """What is offered for a question."""
        return question.choices(self.draft, self.surroundings)

    def give(self, question: Question, text: str) -> str:
        """Take an answer; what is wrong with it, empty where it was taken."""
        if text == self.draft.value(question.name):
            return self._lack(question)
        chosen = next((each for each in self.choices(question) if each.value == text), None)
        if chosen is not None and chosen.impossible:
            return chosen.impossible
        if question.kind == "choice" and chosen is None and question.name not in OPEN:
            offered = ", ".join(each.value for each in self.choices(question))
            return f"{text!r} is not among the choices: {offered}."
        if fault := self.draft.problem(question.name, text):
            return fault
        self.draft = answered(self.draft, question.name, text, self.surroundings)
        return ""

    def _lack(self, question: Question) -> str:
        """Why a question cannot be passed over: there is no recipe without it."""
        if self.draft.value(question.name):
            return ""
        lacks = any(each.field == question.name for each in self.draft.problems())
        return f"{question.label} is needed: {question.help}" if lacks else ""


def keep(draft: Draft, say: Callable[[str], None]) -> None:
    """Save the draft; a disk that refuses it is told and no reason to stop."""
    try:
        draft_file.save(draft)
    except FinetuiError as fault:
        say(printable(str(fault)))
