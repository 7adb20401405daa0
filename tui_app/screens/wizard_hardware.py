"""The wizard's first page: the machine, and which preset to start from. Opens before anything is known of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from engine.units import format_bytes
from tui_app.drawing import Line, line, literal, spread
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
NARROW = 70
"""Cells below which titles need the room of the bars."""
BAR_CELLS = 6

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
        what = "needs, of the free memory" if width < WIDE else "needs, of the free memory; and takes about"
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
        bar = short_bar(match.needed_bytes, match.capacity_bytes, BAR_CELLS, self.glyphs)
        bar = f"{bar} " if self.size.width >= NARROW else ""
        told = f"{format_bytes(match.needed_bytes):>8} {bar}{match.verdict}"
        if match.time is None or self.size.width < WIDE:
            return told
        known = [each.verdict for each in self.desk.surroundings.matches or () if each.needed_bytes is not None]
        room = max((len(verdict) for verdict in known), default=0) - len(match.verdict)
        return f"{told}{' ' * room}  {match.time.short()}"

    def side(self, width: int) -> Sequence[Line]:
        """What the chosen starting point would do."""
        review = self.desk.review
        if review is None or review.found is None or review.outlook is None:
            return ()
        from tui_app.widgets.review_lines import summary_lines

        told = [line(("As it stands", "strong")), *summary_lines(review.found, review.outlook, width)]
        return told if self.desk.is_current else [line(("working it out…", "dim"))]

    def action_look_again(self) -> None:
        self.wizard.look_again()
