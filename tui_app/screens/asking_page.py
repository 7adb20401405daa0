"""What the pages share on which something is marked and then asked of a finished run: list, command line, keys.

Left with an `Asking`, or with None for nothing. Not here: what is offered (the pages), and asking it (`results`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult

from engine.errors import FinetuiError
from tui_app.drawing import Line, line, literal, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import Key, bindings
from tui_app.runs.offers import Asking, Offer
from tui_app.runs.watch import RunWatch
from tui_app.screens.page import Page
from tui_app.widgets.crumbs import Crumbs
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView
from tui_app.widgets.offer_list import OfferList

COMMAND_LINES = 3
KEYS = (
    Key("space,x", "turn", "mark", "Mark what the pointer is on, or take the mark away.", shown="Space", footer=True),
    Key("enter", "start", "start", "Start it; it goes on when you leave.", shown="Enter", footer=True),
    Key("y", "copy", "copy command", "Copy the command that does the same to the terminal's clipboard.", footer=True),
    Key("up,k", "move(-1)", "up", "To the row above.", shown="↑ k"),
    Key("down,j", "move(1)", "down", "To the row below.", shown="↓ j"),
    Key("home,g", "move(-999)", "first", "To the first row.", shown="Home g"),
    Key("end,G", "move(999)", "last", "To the last row.", shown="End G"),
    Key("escape,q", "back", "back", "Back to the run; nothing is started.", shown="Esc", footer=True),
)


class AskingPage(Page[Asking | None]):
    """A page says where one is, what it is for, what is offered, and what marks ask for."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    PLACE: ClassVar[str] = ""
    ABOUT: ClassVar[str] = ""
    DEFAULT_CSS = f"""
    AskingPage #about {{ height: 2; }}
    AskingPage #offers {{ height: 1fr; }}
    AskingPage #command {{ height: {COMMAND_LINES}; background: $surface; }}
    """

    def __init__(self, viewer: RunWatch) -> None:
        super().__init__()
        self.viewer = viewer

    def offers(self) -> Sequence[Offer]:
        """What there is to mark. Called in a thread; raises FinetuiError."""
        raise NotImplementedError

    def marks(self, offers: Sequence[Offer]) -> Collection[str]:
        """Those marked at the beginning."""
        raise NotImplementedError

    def asking(self, offers: Sequence[Offer], marked: Collection[str]) -> Asking:
        """What these marks ask for."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield Crumbs("finetui", self.viewer.run.name, self.PLACE)
        yield LineView(id="about")
        yield OfferList(id="offers")
        yield LineView(id="command")
        yield KeyFooter(self.KEYS)

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    @property
    def listing(self) -> OfferList:
        return self.query_one(OfferList)

    def on_mount(self) -> None:
        self.listing.focus()
        self.call_after_refresh(self.show_all)
        self._find()

    def on_resize(self) -> None:
        self.call_after_refresh(self.show_all)

    @work(thread=True, exclusive=True, group="offers")
    def _find(self) -> None:
        try:
            found = self.offers()
        except FinetuiError as fault:
            self.app.call_from_thread(self._failed, fault)
        else:
            self.app.call_from_thread(self._found, found)

    def _failed(self, fault: FinetuiError) -> None:
        if self.is_mounted:
            self.listing.empty = literal(f"{fault.happened} {fault.remedy}".strip())
            self.listing.redraw()

    def _found(self, found: Sequence[Offer]) -> None:
        if self.is_mounted:
            self.listing.offer(found, self.marks(found))
            self.show_all()

    def current(self) -> Asking | None:
        """What the present marks ask for; None until it is known what is offered."""
        listing = self.listing
        return self.asking(listing.offers, listing.marked) if listing.offers else None

    def refused(self) -> dict[str, str]:
        asking = self.current()
        if asking is None:
            return dict.fromkeys(("start", "copy", "turn"), "it is being looked what can be had")
        return dict.fromkeys(("start", "copy"), asking.problem) if asking.problem else {}

    def show_all(self) -> None:
        """Draw everything as it is now."""
        if not self.is_mounted or not self.size.width:
            return
        width = self.size.width
        self.query_one("#about", LineView).show([(*line(" "), *each) for each in wrap(self.ABOUT, width - 2, "dim")])
        self.listing.redraw()
        self.query_one("#command", LineView).show(self._command_lines(width))
        self.query_one(KeyFooter).offer(self.KEYS, self.refused())

    def _command_lines(self, width: int) -> list[Line]:
        asking = self.current()
        if asking is None:
            return []
        if asking.problem:
            return [line(" ", (asking.problem, "warn"))]
        told = [(*line("   "), *each) for each in wrap(asking.command, width - 4, "key", indent=2)]
        return [line((" the same on the command line:", "dim")), *told][:COMMAND_LINES]

    def on_offer_list_turned(self) -> None:
        self.show_all()

    def on_offer_list_refused(self, message: OfferList.Refused) -> None:
        text = f"{message.offer.label}: {message.offer.impossible}"
        self.app.notify(literal(text), markup=False, severity="warning", timeout=6)

    def action_move(self, by: int) -> None:
        self.listing.move(by)

    def action_turn(self) -> None:
        if self.may("turn"):
            self.listing.turn()

    def action_copy(self) -> None:
        if self.may("copy") and (asking := self.current()) is not None:
            self.app.copy_to_clipboard(asking.command)
            self.app.notify("Copied, if this terminal lets programs copy (OSC 52).", markup=False, timeout=4)

    def action_start(self) -> None:
        if self.may("start"):
            self.dismiss(self.current())

    def action_back(self) -> None:
        self.dismiss(None)
