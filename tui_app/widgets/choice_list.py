"""A list of choices of which one is chosen: with what each costs, and for those that cannot be chosen the reason.

The pointer is where the keyboard is, the filled sign is what is chosen; they are two things, so looking changes
nothing. Not here: what choosing does; the page that holds the list hears of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget

from tui_app.drawing import Line, fit_line, line, literal, padded, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.steps.schema import Choice
from tui_app.widgets.drawn_view import DrawnView

LEAST_LABEL = 0.4
"""Share of the width that labels get however long the details are."""
TELLS_LINES = 3
"""Lines kept free for the sentence under the list, so that the page does not jump."""


class ChoiceList(DrawnView, can_focus=True):
    """Choices one under the other. `name` says which question they answer."""

    DEFAULT_CSS = "ChoiceList { height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("home,g", "move(-9999)", "first", show=False),
        Binding("end,G", "move(9999)", "last", show=False),
        Binding("space", "choose(False)", "choose", show=False),
        Binding("enter", "choose(True)", "choose and go on", show=False),
    ]

    class Looked(Message):
        """The pointer moved to a choice."""

        def __init__(self, sender: ChoiceList, choice: Choice) -> None:
            super().__init__()
            self.list, self.choice = sender, choice

    class Chosen(Message):
        """A choice was made; `goes_on`: with Enter, which also leaves the page."""

        def __init__(self, sender: ChoiceList, choice: Choice, *, goes_on: bool) -> None:
            super().__init__()
            self.list, self.choice, self.goes_on = sender, choice, goes_on

    class Passed(Message):
        """Enter was pressed before there was anything to choose from."""

    class Refused(Message):
        """A choice that cannot be made here was wanted."""

        def __init__(self, sender: ChoiceList, choice: Choice) -> None:
            super().__init__()
            self.list, self.choice = sender, choice

    def __init__(
        self,
        question: str,
        *,
        tells: bool = True,
        most: int = 0,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        """`tells`: the pointed-at choice's explanation stands below. `most` choices are shown at once (0: all)."""
        super().__init__(id=id)
        self.question = question
        self.choices: tuple[Choice, ...] = ()
        self.chosen = ""
        self.pointed = 0
        self._is_moved = False
        """Whether the person took the pointer off the chosen one."""
        self._tells, self._most = tells, most

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    @property
    def pointed_choice(self) -> Choice | None:
        return self.choices[self.pointed] if self.choices else None

    def offer(self, choices: Sequence[Choice], chosen: str) -> None:
        """Show these; the pointer stays where the person took it, and is on the chosen one else."""
        before = self.pointed_choice
        wanted = before.value if before and self.has_focus and self._is_moved else chosen
        self.choices, self.chosen = tuple(choices), chosen
        places = {choice.value: place for place, choice in enumerate(self.choices)}
        self.pointed = places.get(wanted, places.get(chosen, 0))
        self.redraw()

    def draw(self, width: int) -> Sequence[Line]:
        if not self.choices:
            return [line(("    working it out…", "dim"))]
        shown = range(len(self.choices))
        hidden_above = hidden_below = 0
        if self._most and len(self.choices) > self._most:
            first = min(max(self.pointed - self._most // 2, 0), len(self.choices) - self._most)
            shown = range(first, first + self._most)
            hidden_above, hidden_below = first, len(self.choices) - self._most - first
        label_width = self._label_width(width)
        told = [self._row(place, label_width, width) for place in shown]
        if hidden_above or hidden_below:
            glyphs = self.glyphs
            more = [(glyphs.up, hidden_above), (glyphs.down, hidden_below)]
            hidden = "  ".join(f"{sign} {count} more" for sign, count in more if count)
            told.append(line((f"    {hidden}", "dim")))
        return [*told, *self._sentence(width)] if self._tells else told

    def _label_width(self, width: int) -> int:
        """Cells for the labels: what they need, less where the details need it more."""
        room = max((cell_len(literal(each.label)) for each in self.choices), default=0)
        detail = max((cell_len(literal(each.detail)) + 2 for each in self.choices if not each.impossible), default=0)
        least = int(width * LEAST_LABEL)
        return min(room, max(width - 4 - detail, least))

    def _row(self, place: int, label_width: int, width: int) -> Line:
        glyphs, choice = self.glyphs, self.choices[place]
        is_pointed = place == self.pointed and self.has_focus
        is_chosen = choice.value == self.chosen and not choice.impossible
        sign = glyphs.impossible if choice.impossible else glyphs.selected if is_chosen else glyphs.unselected
        role = "dim" if choice.impossible else "strong" if is_pointed else ""
        told = line(
            (f"{glyphs.pointer if is_pointed else ' '} ", "key"),
            (f"{sign} ", "dim" if choice.impossible else "accent" if is_chosen else ""),
            (padded(literal(choice.label), label_width), role),  # type: ignore[arg-type]
            (f"  {literal(choice.impossible or choice.detail)}", "dim" if choice.impossible else ""),
        )
        return fit_line(told, width, ellipsis=glyphs.ellipsis)

    def _sentence(self, width: int) -> list[Line]:
        choice = self.pointed_choice
        if choice is None:
            return []
        told = [] if not choice.impossible else wrap(f"Not here: {literal(choice.impossible)}", width - 4, "warn")
        told += wrap(literal(choice.explanation), width - 4, "dim")
        told += [line("")] * (TELLS_LINES - len(told))
        return [line(""), *(line("    ", *each) if each else each for each in told)]

    def action_move(self, by: int) -> None:
        """One up or down; beyond the ends to the neighbouring field."""
        place = self.pointed + by
        if abs(by) == 1 and not 0 <= place < len(self.choices):
            self.screen.focus_next() if by > 0 else self.screen.focus_previous()
            return
        self._point(min(max(place, 0), len(self.choices) - 1))

    def action_choose(self, goes_on: bool) -> None:
        choice = self.pointed_choice
        if choice is None:
            if goes_on:
                self.post_message(self.Passed())
            return
        if choice.impossible:
            self.post_message(self.Refused(self, choice))
            return
        self.chosen, self._is_moved = choice.value, False
        self.redraw()
        self.post_message(self.Chosen(self, choice, goes_on=goes_on))

    def _point(self, place: int) -> None:
        if not self.choices or place == self.pointed:
            return
        self.pointed, self._is_moved = place, True
        self.redraw()
        self._follow()
        self.post_message(self.Looked(self, self.choices[place]))

    def _follow(self) -> None:
        """Keep the pointer in sight where the page around is lower than the list."""
        around = self.parent
        if isinstance(around, Widget):
            row = self.virtual_region.y + (min(self.pointed, self._most) if self._most else self.pointed)
            around.scroll_to_region(Region(0, row, 1, 1), animate=False, force=True)

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self._is_moved = False
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Once points, twice chooses."""
        first = 0
        if self._most and len(self.choices) > self._most:
            first = min(max(self.pointed - self._most // 2, 0), len(self.choices) - self._most)
        place = first + event.y
        if place < len(self.choices) and (not self._most or event.y < self._most):
            is_again = place == self.pointed
            self._point(place)
            if is_again:
                self.action_choose(goes_on=False)
