"""The queue: what waits to be run, what runs, and what became of the others, kept up to date.

Not here: the entries and the process that works on them (`engine/queue`), how each stands (`tui_app/runs/queueing`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult

from engine.errors import FinetuiError
from engine.queue import worker
from engine.queue.entries import Queue
from tui_app.drawing import Line, Span, fit, fit_line, line, literal, padded, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import Key, bindings
from tui_app.runs.history_table import ROLES, age, number, state_text
from tui_app.runs.queueing import Standing, about_runner, standing_of
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.page import Page
from tui_app.screens.showing import show
from tui_app.widgets.crumbs import Crumbs
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView

if TYPE_CHECKING:
    from tui_app.looks import Looks

TICK_SECONDS = 1.0
KEYS = (
    Key("enter", "open", "open", "Open the entry's run: its loss, memory, ladder and log.", shown="Enter", footer=True),
    Key("delete,x", "remove", "take out", "Take the entry out of the queue; a run that it made is kept.", shown="x",
        steers=True, footer=True),
    Key("S", "start", "start", "Have the queue worked on, after a stop, a restart or a kill.", steers=True,
        footer=True),
    Key("P", "stop", "stop after", "End the queue once the present run is over; what waits goes on waiting.",
        steers=True, footer=True),
    Key("C", "clear", "clear ended", "Take out every entry that is over; the runs are kept.", steers=True),
    Key("up,k", "move(-1)", "up", "To the entry above.", shown="↑ k"),
    Key("down,j", "move(1)", "down", "To the entry below.", shown="↓ j"),
    Key("pageup", "page(-1)", "page up", "A screenful up.", shown="PgUp"),
    Key("pagedown", "page(1)", "page down", "A screenful down.", shown="PgDn"),
    Key("home,g", "move(-999999)", "first", "To the first entry.", shown="Home g"),
    Key("end,G", "move(999999)", "last", "To the last entry.", shown="End G"),
    Key("escape", "back", "back", "Back to the page before.", shown="Esc", footer=True),
    Key("q", "leave", "leave", "Leave finetui. The queue and its runs go on by themselves."),
)  # fmt: skip


class QueuePage(Page[None]):
    """`is_readonly`: nothing can be started, stopped or taken out from here."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    TOPIC: ClassVar = "Queue"
    GLOSSARY: ClassVar = (
        "waiting: its recipe is kept as it was when it was added; later edits of the file change nothing.\n"
        "failed: its run failed, or could not be started; the queue went on with the next one.\n"
        "died: the processes of its run are gone and left no last word; resuming goes on from the newest checkpoint."
    )
    DEFAULT_CSS = """
    QueuePage #summary, QueuePage #columns { height: 1; }
    QueuePage #detail { height: 3; background: $surface; }
    """

    def __init__(self, queue: Queue | None = None, *, is_readonly: bool = False) -> None:
        super().__init__()
        self.queue = queue or Queue.here()
        self.is_readonly = is_readonly
        self.rows: list[Standing] = []
        self.pointed_at = self.top = 0

    def compose(self) -> ComposeResult:
        yield Crumbs("finetui", "queue")
        yield LineView(id="summary")
        yield LineView(id="columns")
        yield LineView(id="list")
        yield LineView(id="detail")
        yield KeyFooter()

    def on_mount(self) -> None:
        self.set_interval(TICK_SECONDS, self._tick)
        self.call_after_refresh(self._look)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    @property
    def pointed(self) -> Standing | None:
        return self.rows[self.pointed_at] if self.rows else None

    def _tick(self) -> None:
        if self.is_current:
            self._look()

    def _look(self) -> None:
        """Read the entries anew; the pointer stays on its entry."""
        before = self.pointed
        self.rows = [standing_of(entry) for entry in self.queue.entries()]
        places = {row.entry.number: place for place, row in enumerate(self.rows)}
        self._go(places.get(before.entry.number, self.pointed_at) if before else 0)

    def _go(self, place: int) -> None:
        last = max(len(self.rows) - 1, 0)
        height = max(self.query_one("#list", LineView).size.height, 1)
        self.pointed_at = min(max(place, 0), last)
        self.top = min(max(self.top, self.pointed_at - height + 1), self.pointed_at, max(last - height + 1, 0))
        self._show()

    def _show(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        width, listing = self.size.width, self.query_one("#list", LineView)
        told = about_runner(self.queue, self.rows) if self.rows else "The queue is empty."
        ellipsis = self.glyphs.ellipsis
        self.query_one("#summary", LineView).show(
            [line(" ", (fit(literal(told), width - 1, ellipsis=ellipsis), "strong"))]
        )
        self.query_one("#columns", LineView).show([self._titles(width)] if self.rows else [line("")])
        shown = self.rows[self.top : self.top + max(listing.size.height, 1)]
        drawn = [self._row(row, width, self.top + place == self.pointed_at) for place, row in enumerate(shown)]
        listing.show(drawn or self._empty())
        self.query_one("#detail", LineView).show(self._detail(width))
        self.query_one(KeyFooter).offer(self.KEYS, self.refused())

    def _titles(self, width: int) -> Line:
        name = _name_width(width)
        titles = f"   {'no':>4}  {'run':<{name}}  {'state':<12}  {'step':>9}  {'loss':>7}  {'added':>8}  sweep"
        return line((fit(titles, width, ellipsis=self.glyphs.ellipsis), "dim"))

    def _row(self, standing: Standing, width: int, is_pointed: bool) -> Line:
        entry, row, size = standing.entry, standing.row, _name_width(width)
        name = Path(entry.run).name if entry.run else entry.name
        steps = f"{row.step}/{row.max_steps}" if row and row.max_steps else "-"
        spans = (
            Span(f"{self.glyphs.pointer if is_pointed else ' '}  ", "key"),
            Span(f"{entry.number:>4}  ", "dim"),
            Span(padded(fit(literal(name), size, ellipsis=self.glyphs.ellipsis), size), "strong" if is_pointed else ""),
            Span(f"  {padded(self._state(standing), 12)}", ROLES.get(standing.phase, "accent" if row else "dim")),
            Span(f"  {steps:>9}  {number(row.loss if row else None):>7}"),
            Span(f"  {age(time.time() - entry.added if entry.added else None):>8}", "dim"),
            Span(f"  {literal(entry.sweep)}", "dim"),
        )
        return fit_line(spans, width, ellipsis=self.glyphs.ellipsis)

    def _state(self, standing: Standing) -> str:
        if standing.row is not None:
            return state_text(standing.row, self.glyphs)
        sign = self.glyphs.upcoming if standing.phase == "waiting" else self.glyphs.impossible
        return f"{sign} {standing.phase}"

    def _detail(self, width: int) -> list[Line]:
        row = self.pointed
        if row is None:
            return []
        entry = row.entry
        point = ", ".join(f"{name}={value}" for name, value in entry.point)
        told = [row.told, f"from {entry.source}" if entry.source else "", point]
        return [each for text in told if text for each in wrap(literal(text), width - 2, "dim")][:3]

    def _empty(self) -> list[Line]:
        return [
            line(""),
            line("  Nothing is in the queue. Add to it:"),
            line("    finetui queue add demo-cpu --set adapter.r=8"),
            line("    finetui sweep demo-cpu --grid adapter.r=8,16,32"),
        ]

    # -- what keys do ------------------------------------------------------------------------------------------------

    def refused(self) -> dict[str, str]:
        row, why = self.pointed, {}
        if row is None:
            why = dict.fromkeys(("open", "remove", "clear", "start"), "the queue is empty.")
        else:
            if row.row is None:
                why["open"] = f"entry {row.entry.number} has no run to open: {row.phase}."
            if row.row is not None and row.row.is_live:
                why["remove"] = f"entry {row.entry.number} is running; open it to stop it."
            if not any(each.phase == "waiting" for each in self.rows):
                why["start"] = "nothing waits."
        if worker.standing(self.queue) == "alive":
            why["start"] = "the queue is worked on already." if not self._is_stopping else why.get("start", "")
        else:
            why["stop"] = "nobody works on the queue."
        if self.is_readonly:
            why |= {key.action: "this view is read-only." for key in self.KEYS if key.steers}
        return {action: reason for action, reason in why.items() if reason}

    @property
    def _is_stopping(self) -> bool:
        return worker.RunnerFiles(self.queue).stop.exists()

    def action_move(self, by: int) -> None:
        self._go(self.pointed_at + by)

    def action_page(self, direction: int) -> None:
        self._go(self.pointed_at + direction * max(self.query_one("#list", LineView).size.height - 1, 1))

    def action_open(self) -> None:
        row = self.pointed
        if row is not None and row.row is not None and self.may("open"):
            from tui_app.screens.runs import live_page

            self.app.push_screen(live_page(row.row.run, is_readonly=self.is_readonly))

    def action_remove(self) -> None:
        row = self.pointed
        if row is None or not self.may("remove"):
            return
        entry = row.entry
        if row.phase != "waiting":
            self._do(lambda: self.queue.remove(entry.number))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._do(lambda: self.queue.remove(entry.number))

        text = f"{literal(entry.name)} waits; its recipe is kept nowhere else."
        self.app.push_screen(Confirm(f"Take entry {entry.number} out?", text, yes="Take it out", no="Keep"), answered)

    def action_start(self) -> None:
        if self.may("start"):
            self._start()

    @work(thread=True, exclusive=True, group="queue")
    def _start(self) -> None:
        try:
            worker.start(self.queue)
        except FinetuiError as fault:
            self.app.call_from_thread(self.app.push_screen, FaultDialog.of(fault))
        else:
            self.app.call_from_thread(self._look)

    def action_stop(self) -> None:
        if self.may("stop"):
            self._do(lambda: worker.ask_to_stop(self.queue))

    def action_clear(self) -> None:
        if self.may("clear"):
            self._do(lambda: self.queue.clear(waiting=False))

    def _do(self, change: Callable[[], object]) -> None:
        try:
            change()
        except FinetuiError as fault:
            self.app.push_screen(FaultDialog.of(fault))
        self._look()

    def action_leave(self) -> None:
        self.app.exit(0)


def _name_width(width: int) -> int:
    return min(max(width - 64, 16), 40)


def run_queue(looks: Looks) -> int:
    """Show the queue until the person leaves."""
    return show(QueuePage, looks)
