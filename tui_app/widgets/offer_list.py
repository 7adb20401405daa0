"""A list in which things are marked, longer than its place where it must be; and under it what the pointed one is.

Not here: what is offered, and what marks mean (`tui_app/runs/offers`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from textual import events
from textual.message import Message

from tui_app.drawing import line, wrap
from tui_app.glyphs import UNICODE
from tui_app.runs.offers import Offer, offer_lines, sentence_lines, turned
from tui_app.widgets.line_view import LineView

SENTENCE_LINES = 4


class OfferList(LineView, can_focus=True):
    """`offer` hands it the rows and marks; `Turned` is posted whenever a mark changes."""

    class Turned(Message):
        """The marks changed."""

    class Refused(Message):
        """Something that cannot be had was wanted."""

        def __init__(self, offer: Offer) -> None:
            super().__init__()
            self.offer = offer

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.offers: Sequence[Offer] = ()
        self.marked: set[str] = set()
        self.pointed = self.top = 0
        self.empty = "looking what can be had…"

    @property
    def pointed_offer(self) -> Offer | None:
        return self.offers[self.pointed] if self.offers else None

    def offer(self, offers: Sequence[Offer], marked: Collection[str]) -> None:
        self.offers, self.marked = tuple(offers), set(marked)
        self.pointed = min(self.pointed, max(len(self.offers) - 1, 0))
        self.redraw()

    def redraw(self) -> None:
        width, height = self.size
        if not width or not height:
            return
        glyphs = getattr(self.app, "glyphs", UNICODE)
        if not self.offers:
            words = self.empty if glyphs.is_unicode else self.empty.replace("…", "...")
            self.show([line("  ", *each) for each in wrap(words, max(width - 4, 8), "dim")])
            return
        rows, at = offer_lines(self.offers, self.marked, self.pointed, width, glyphs)
        told = sentence_lines(self.pointed_offer, width)[:SENTENCE_LINES]
        room = max(height - SENTENCE_LINES - 1, 3)
        first = 0 if self.pointed == 0 else min(self.top, at)
        self.top = max(min(first, at), at - room + 1, 0)
        seen = rows[self.top : self.top + room]
        below = len(rows) - self.top - len(seen)
        more = line((f"     {glyphs.down} {below} more", "dim")) if below > 0 else line("")
        self.show([*seen, more, *told])

    def move(self, by: int) -> None:
        self.pointed = min(max(self.pointed + by, 0), max(len(self.offers) - 1, 0))
        self.redraw()

    def turn(self) -> None:
        """Mark what is pointed at, or take its mark away."""
        offer = self.pointed_offer
        if offer is None:
            return
        if offer.impossible:
            self.post_message(self.Refused(offer))
            return
        self.marked = turned(self.offers, self.marked, offer.name)
        self.redraw()
        self.post_message(self.Turned())

    def on_resize(self, _event: events.Resize) -> None:
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Once points, twice marks."""
        rows = [place for place, offer in enumerate(self.offers) for _ in range(1 + bool(offer.heading))]
        at = self.top + event.y
        if at >= len(rows):
            return
        if rows[at] == self.pointed:
            self.turn()
        else:
            self.move(rows[at] - self.pointed)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move(-1)
