"""The wizard's first page: the machine, and which preset to start from. Opens before anything is known of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from engine.units import format_bytes
from tui_app.drawing import Line, line, literal, padded, spread, wrap
from tui_app.keys import Key, bindings
from tui_app.screens.wizard_page import StepPage
from tui_app.steps.draft import PRESET
from tui_app.steps.schema import Choice, Question
from tui_app.widgets.hardware_lines import hardware_lines
from tui_app.widgets.memory_bar import short_bar

if TYPE_CHECKING:
    from presets.matching import Match

WIDE = 90
"""Cells from which presets have a time beside them."""

KEYS = (Key("r", "look_again", "look again", "Read cards, memory and disk anew.", footer=True),)


class HardwarePage(StepPage):
    """Cards, abilities with reasons, RAM, disk; presets ranked for them."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)

    def above(self, width: int) -> Sequence[Line]:
        hardware = self.desk.surroundings.hardware
        head = spread(line(("Found", "title")), line(("r", "key"), (" look again", "dim")), width)
        if hardware is None:
            return [head, line(("  looking for cards…", "dim")), line("")]
        return [head, *hardware_lines(hardware, width, self.glyphs), line("")]

    def heading(self, question: Question, width: int) -> list[Line]:
        """Over the presets also what their columns are."""
        around = self.desk.surroundings
        if question.name != PRESET or not around.matches:
            return super().heading(question, width)
        what = "of the free memory" if width < WIDE else "needs, of the memory that is free, and takes about"
        return [spread(line((literal(question.label), "title")), line((what, "dim")), width)]

    def choices_of(self, question: Question) -> Sequence[Choice]:
        """Presets with their figures on this machine: need, bar, time."""
        found = super().choices_of(question)
        if question.name != PRESET:
            return found
        matches = {each.preset.name: each for each in self.desk.surroundings.matches or ()}
        return [replace(each, detail=self._figures(matches.get(each.value), each.detail)) for each in found]

    def _figures(self, match: Match | None, detail: str) -> str:
        if match is None or match.needed_bytes is None or match.capacity_bytes is None:
            return detail
        cells = 6 if self.size.width < WIDE else 8
        bar = short_bar(match.needed_bytes, match.capacity_bytes, cells, self.glyphs)
        time = match.time.short() if match.time and self.size.width >= WIDE else ""
        verdict = padded(match.verdict, 12) if self.size.width >= WIDE else match.verdict
        return f"{format_bytes(match.needed_bytes):>8} {bar} {verdict} {time}".rstrip()

    def side(self, width: int) -> Sequence[Line]:
        found = self.desk.review.found if self.desk.review else None
        if found is None:
            return ()
        told = [line(("Starting from", "strong")), *wrap(literal(found.recipe.title or self.desk.draft.base), width)]
        return [*told, line(""), *wrap(literal(" ".join(found.recipe.description.split())), width, "dim")]

    def action_look_again(self) -> None:
        self.wizard.look_again()
