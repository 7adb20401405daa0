"""The wizard's second page: which base model, and what it is: size, licence, whether it must be downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.worker import get_current_worker

from engine.errors import FinetuiError
from tui_app.drawing import Line, line, literal, wrap
from tui_app.keys import Key, bindings
from tui_app.screens.fault import FaultDialog
from tui_app.screens.wizard_page import StepPage
from tui_app.steps.paths import Wanted

if TYPE_CHECKING:
    from tui_app.steps.draft import Draft
    from tui_app.steps.model_facts import ModelFacts

KEYS = (Key("l", "look_up", "look up", "Ask the hub for the model's size, licence and gate.", footer=True),)


class ModelPage(StepPage):
    """Recent, bundled and near models to choose from, or a path or hub id to type."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    COMPLETES: ClassVar[Wanted] = "model"

    def below(self, width: int) -> Sequence[Line]:
        review = self.desk.review
        if review is None or not self.desk.is_current:
            return [line(""), line(("looking at the model…", "dim"))]
        facts = self.desk.hub_facts.get(review.model.name, review.model)
        told = [line(""), line((literal(facts.name), "strong"))]
        for place, sentence in enumerate(facts.sentences()):
            role = "bad" if facts.fault else "warn" if sentence.startswith("gated") else "" if place < FACTS else "dim"
            told += [(*line("  "), *each) for each in wrap(literal(sentence), width - 2, role, indent=2)]  # type: ignore[arg-type]
        if facts.kind == "hub" and facts.name not in self.desk.hub_facts:
            told.append(line(("  l", "key"), (" asks the hub for the exact figures", "dim")))
        return told

    def action_look_up(self) -> None:
        """Ask the hub; the only time that a page does so."""
        self.wizard.say("asking the hub…")
        self._look_up(self.desk.draft)

    @work(thread=True, exclusive=True, group="hub", exit_on_error=False)
    def _look_up(self, draft: Draft) -> None:
        from tui_app.steps.model_facts import look_up

        worker = get_current_worker()
        try:
            facts = look_up(draft)
        except FinetuiError as fault:
            if not worker.is_cancelled:
                self.app.call_from_thread(self._not_known, fault)
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self._known, facts)

    def _known(self, facts: ModelFacts) -> None:
        self.desk.hub_facts[facts.name] = facts
        if self.is_mounted:
            self.wizard.say("")
            self.wizard.look_soon()

    def _not_known(self, fault: FinetuiError) -> None:
        if self.is_mounted:
            self.wizard.say("the hub was not asked to the end", "bad")
            self.app.push_screen(FaultDialog.of(fault))


def missing_told(draft: Draft, width: int, here: str = "") -> list[Line]:
    """What has to be named before anything can be worked out, and where; nothing where it is all there.

    `here` is the key of the step that says so.
    """
    missing = [
        (key, what)
        for key, what, field in (("2", "model", "model.name_or_path"), ("3", "rows", "data.dataset"))
        if not draft.value(field)
    ]
    told: list[Line] = []
    for key, what in missing:
        if key == here:
            told.append(line((f"No {what} named yet.  ", "warn"), f"Choose {what} above."))
            continue
        told.append(line((f"No {what} named yet.  ", "warn"), (key, "key"), f" goes to the step that asks for {what}."))
    return [*told, *wrap("Memory and time are worked out once both are named.", width, "dim")] if told else []


FACTS = 3
"""Sentences that are always there; what follows are remarks."""


def fault_told(text: str, width: int) -> list[Line]:
    """One of our errors line by line: what happened, what it means, what to do."""
    told: list[Line] = []
    for place, part in enumerate(text.splitlines()):
        told += wrap(literal(part), width, "bad" if not place else "")
    return told
