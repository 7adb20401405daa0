"""The history: every run, newest first, kept up to date while runs go on. From here runs are opened, compared, resumed.

Not here: what a row says and how it is drawn (`tui_app/runs/history`, `tui_app/runs/history_table`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from engine.errors import FinetuiError
from engine.launcher import launch
from engine.run_dir import RunDir
from tui_app.drawing import line, literal
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import Key, bindings
from tui_app.runs.history import SORTS, History, RunRow
from tui_app.runs.history_table import detail_lines, empty_lines, header_line, summary_line
from tui_app.screens.compare import ComparePage
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.page import Page
from tui_app.screens.showing import show
from tui_app.widgets.crumbs import Crumbs
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView
from tui_app.widgets.plain_input import PlainInput
from tui_app.widgets.run_list import RunList

if TYPE_CHECKING:
    from tui_app.looks import Looks

TICK_SECONDS = 1.0
TICKS_PER_LOOK = 5
"""Whether there are new runs is looked at less often than how the present ones stand."""
BLURRED_TICKS = 5
SLICE_SECONDS = 0.03
PAUSE_SECONDS = 0.01

KEYS = (
    Key("enter", "open", "open", "Open the run: its loss, memory, ladder and log, live while it goes on.",
        shown="Enter", footer=True),
    Key("slash", "filter", "filter", "Show runs with these words in name, recipe, state or host, for example: failed.",
        shown="/", footer=True, opens_field=True),
    Key("c", "mark", "compare", "Mark a run, then a second one: both side by side; or all that are marked.",
        footer=True),
    Key("space", "pick", "mark", "Mark the run for a comparison of several, or take the mark away.", shown="Space"),
    Key("d", "details", "details", "Show the folder and all that is known of the run.", footer=True),
    Key("R", "resume", "resume", "Go on with a stopped, failed or died run from its newest checkpoint.", steers=True,
        footer=True),
    Key("s", "sort", "order", f"Next order: {', '.join(SORTS)}.", footer=True),
    Key("y", "copy", "copy path", "Copy the path of the run's folder."),
    Key("n", "new", "new run", "Set up a new run.", steers=True),
    Key("Q", "queue", "queue", "What waits to be run, and what the queue ran."),
    Key("up,k", "move(-1)", "up", "To the run above.", shown="↑ k"),
    Key("down,j", "move(1)", "down", "To the run below.", shown="↓ j"),
    Key("pageup", "page(-1)", "page up", "A screenful up.", shown="PgUp"),
    Key("pagedown", "page(1)", "page down", "A screenful down.", shown="PgDn"),
    Key("home,g", "move(-999999)", "first", "To the first run.", shown="Home g"),
    Key("end,G", "move(999999)", "last", "To the last run.", shown="End G"),
    Key("escape", "back", "back", "Drop the filter, then the marks, then go back to the page before.", shown="Esc"),
    Key("q", "leave", "leave", "Leave finetui. Runs go on by themselves."),
)  # fmt: skip
RESUMABLE = ("stopped", "failed", "died")


class RunsPage(Page[None]):
    """`is_readonly`: nothing can be started or resumed from here."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    TOPIC: ClassVar = "Runs"
    GLOSSARY: ClassVar = (
        "base → tuned: rows of the test split answered exactly right, by the base model and by the tuned one.\n"
        "peak: most memory that tensors took at once (allocated), as measured.\n"
        "died: its processes are gone and left no last word; resuming goes on from the newest checkpoint.\n"
        "damaged: the folder cannot be read; the row says why."
    )
    DEFAULT_CSS = """
    RunsPage #summary, RunsPage #columns { height: 1; }
    RunsPage #detail { height: 1; background: $surface; }
    RunsPage #words { dock: bottom; height: 1; border: none; padding: 0 1; display: none; background: $panel; }
    RunsPage.-filtering #words { display: block; }
    RunsPage.-filtering KeyFooter { display: none; }
    """

    def __init__(self, history: History | None = None, *, is_readonly: bool = False) -> None:
        super().__init__()
        self.history = history or History()
        self.is_readonly = is_readonly
        self._is_long: bool | None = None
        self._ticks = 0
        self._is_reading = False

    def compose(self) -> ComposeResult:
        yield Crumbs("finetui", "runs")
        yield LineView(id="summary")
        yield LineView(id="columns")
        yield RunList(id="list")
        yield LineView(id="detail")
        yield KeyFooter()
        yield PlainInput(
            placeholder="words in name, recipe, state, host; Enter keeps, Esc drops", id="words", compact=True
        )

    def on_mount(self) -> None:
        self.listing.focus()
        self.set_interval(TICK_SECONDS, self._tick)
        self.call_after_refresh(self._look)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    @property
    def listing(self) -> RunList:
        return self.query_one(RunList)

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    @property
    def is_long(self) -> bool:
        """Whether everything is told of the run under the pointer; on a high screen until it is switched off."""
        return self.has_class("-tall") if self._is_long is None else self._is_long

    @property
    def pointed(self) -> RunRow | None:
        return self.listing.pointed_row

    # -- reading -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.history.look()
        self._show()
        self._read()

    def _read(self) -> None:
        """A slice of the rows, those on the screen first; the next slice follows once keys had their turn."""
        more = self.history.read(SLICE_SECONDS, first=self.listing.seen)
        self._show()
        self._is_reading = more
        if more:
            self.set_timer(PAUSE_SECONDS, self._read)

    def _tick(self) -> None:
        self._ticks += 1
        if getattr(self.app, "is_blurred", False) and self._ticks % BLURRED_TICKS:
            return
        if not self.is_current or self._is_reading:
            return
        if self._ticks % TICKS_PER_LOOK == 0:
            self.history.look()
        self.history.touch()
        self._read()

    def _show(self) -> None:
        history, width = self.history, self.size.width
        if not self.is_mounted or not width:
            return
        rows = history.shown()
        told = summary_line(history.num_runs, history.num_live, history.filter, len(rows), history.sort, width)
        self.query_one("#summary", LineView).show([told])
        columns = [header_line(width, self.glyphs)] if rows else [line("")]
        self.query_one("#columns", LineView).show(columns)
        self.listing.empty = empty_lines(history.filter, is_readonly=self.is_readonly)
        self.listing.offer(rows)
        self._show_detail()

    def _show_detail(self) -> None:
        view, row = self.query_one("#detail", LineView), self.pointed
        told = detail_lines(row, self.size.width, time.time(), is_long=self.is_long, glyphs=self.glyphs) if row else []
        view.styles.height = len(told)
        view.show(told)
        self.query_one(KeyFooter).offer(self.KEYS, self.refused())

    # -- what keys do ------------------------------------------------------------------------------------------------

    def refused(self) -> dict[str, str]:
        row = self.pointed
        why: dict[str, str] = {}
        if row is None:
            none = "no run matches the filter" if self.history.num_runs else "there is no run yet"
            why = dict.fromkeys(("open", "mark", "pick", "details", "sort", "resume", "copy"), f"{none}.")
        elif row.damage:
            why = dict.fromkeys(
                ("open", "mark", "pick", "resume"), f"{literal(row.run.name)} is damaged: {literal(row.damage)}."
            )
        elif row.phase not in RESUMABLE:
            why = {"resume": f"{literal(row.run.name)} is {row.phase}; only stopped, failed and died runs go on."}
        if self.is_readonly:
            why |= dict.fromkeys(("resume", "new"), "this view is read-only.")
        return why

    def action_move(self, by: int) -> None:
        self.listing.move(by)

    def action_page(self, direction: int) -> None:
        self.listing.move(direction * max(self.listing.size.height - 1, 1))

    def on_run_list_looked(self) -> None:
        self._show_detail()

    def on_run_list_opened(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        row = self.pointed
        if row is not None and self.may("open"):
            self.app.push_screen(live_page(row.run, is_readonly=self.is_readonly))

    def action_mark(self) -> None:
        """Mark or unmark; the second mark opens the comparison, the one marked first on its left.

        Where several are marked already they are compared, and the run under the pointer is not added.
        """
        marked = self.listing.marked
        if len(marked) < 2:
            self.action_pick()
        if len(marked) < 2:
            if marked:
                told = "Marked. c on a second run shows both side by side; Space marks more."
                self.app.notify(told, markup=False, timeout=4)
            return
        runs = [RunDir(path) for path in marked]
        marked.clear()
        self.listing.redraw()
        self.app.push_screen(ComparePage(runs))

    def action_pick(self) -> None:
        row, marked = self.pointed, self.listing.marked
        if row is None or not self.may("mark"):
            return
        if row.run.path in marked:
            marked.remove(row.run.path)
        else:
            marked.append(row.run.path)
        self.listing.redraw()

    def action_details(self) -> None:
        self._is_long = not self.is_long
        self._show_detail()
        self.call_after_refresh(self.listing.redraw)

    def action_sort(self) -> None:
        orders = list(SORTS)
        self.history.sort = orders[(orders.index(self.history.sort) + 1) % len(orders)]
        self._show()

    def action_copy(self) -> None:
        row = self.pointed
        if row is not None and self.may("copy"):
            self.app.copy_to_clipboard(str(row.run.path))
            self.app.notify("Copied, if this terminal lets programs copy (OSC 52).", markup=False, timeout=4)

    def action_new(self) -> None:
        if self.may("new"):
            from tui_app.screens.wizard import WizardScreen

            self.app.push_screen(WizardScreen())

    def action_queue(self) -> None:
        from tui_app.screens.queue import QueuePage

        self.app.push_screen(QueuePage(is_readonly=self.is_readonly))

    def action_back(self) -> None:
        if self.history.filter:
            self._use_filter("")
        elif self.listing.marked:
            self.listing.marked.clear()
            self.listing.redraw()
        else:
            super().action_back()

    def action_leave(self) -> None:
        self.app.exit(0)

    # -- the filter --------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        self.add_class("-filtering")
        words = self.query_one("#words", Input)
        words.value = self.history.filter
        self.set_focus(words)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """While the filter is typed its key is a letter of it."""
        return not (action == "filter" and self.has_class("-filtering"))

    def on_input_changed(self, event: Input.Changed) -> None:
        self.history.filter = event.value
        self._show()

    def on_input_submitted(self) -> None:
        self._leave_filter()

    def on_key(self, event: events.Key) -> None:
        """In the filter, Esc drops it and Down goes on to the runs; the page's own keys are letters there."""
        if not self.has_class("-filtering"):
            return
        if event.key == "escape":
            event.stop()
            self._use_filter("")
            self._leave_filter()
        elif event.key in ("down", "up"):
            event.stop()
            self._leave_filter()

    def _use_filter(self, words: str) -> None:
        self.history.filter = words
        self.query_one("#words", Input).value = words
        self._show()

    def _leave_filter(self) -> None:
        self.remove_class("-filtering")
        self.listing.focus()
        self.call_after_refresh(self._show)

    # -- resuming ----------------------------------------------------------------------------------------------------

    def action_resume(self) -> None:
        row = self.pointed
        if row is None or not self.may("resume"):
            return
        name = literal(row.run.name)
        text = f"{name} is {row.phase} at step {row.step} of {row.max_steps}. It goes on from its newest checkpoint."

        def answered(yes: bool | None) -> None:
            if yes:
                self._resume(row.run)

        self.app.push_screen(Confirm(f"Resume {name}?", text, yes="Resume", no="Leave it"), answered)

    @work(thread=True, exclusive=True, group="resume")
    def _resume(self, run: RunDir) -> None:
        try:
            launch(run, resumed=True)
        except FinetuiError as fault:
            self.app.call_from_thread(self.app.push_screen, FaultDialog.of(fault, log=str(run.log)))
        else:
            self.app.call_from_thread(self._resumed, run)

    def _resumed(self, run: RunDir) -> None:
        self.history.look()
        self._read()
        self.app.push_screen(live_page(run, is_readonly=False))


def live_page(run: RunDir, *, is_readonly: bool) -> Screen[None]:
    """The page that shows one run, live while it goes on."""
    from tui_app.screens.live import LiveScreen

    return LiveScreen(run, is_readonly=is_readonly)


def run_history(looks: Looks, *, is_readonly: bool = False) -> int:
    """Show the history until the person leaves. Read-only: nothing can be started from it."""
    return show(lambda: RunsPage(is_readonly=is_readonly), looks)
