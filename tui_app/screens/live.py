"""The live view of one run: its panels, painted by one timer, and the keys that steer it.

Any number of them may look at the same run. Not here: reading the run (`tui_app/runs/watch`), what panels draw
(`tui_app/panels`), where they stand (`live_places`), which keys there are (`live_keys`).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.timer import Timer
from textual.widgets import Input

from engine.events import Event, RunFailed
from engine.notification import end_of
from engine.run_dir import RunDir
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import Key, bindings
from tui_app.looks import Looks
from tui_app.panels import Panel, all_panels
from tui_app.panels.log import Log
from tui_app.panels.loss import LossPanel
from tui_app.panels.status import Status
from tui_app.runs.phases import LATE_PHASES, is_over
from tui_app.runs.view import RunView
from tui_app.runs.watch import RunWatch
from tui_app.screens.live_keys import GLOSSARY, KEYS, PANELS
from tui_app.screens.live_places import CSS, LOG_STRIP_FROM, mode_of, tabs_line
from tui_app.screens.results import ResultPage
from tui_app.screens.showing import show
from tui_app.scrolling import Scroll
from tui_app.terminal.notifying import message
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView
from tui_app.widgets.panel_view import PanelView
from tui_app.widgets.plain_input import PlainInput

LOCAL_SECONDS, REMOTE_SECONDS, BLURRED_SECONDS = 0.25, 0.5, 5.0
FIGURES_SECONDS = 1.0
"""Figures and log are painted once a second, the chart at every look: four a second, two over SSH."""
LOADING_SECONDS = 0.04
READ_AT_LENGTH = ("log", "events", "plan", "result")
"""Panels that the log's strip makes room for."""


class LiveScreen(ResultPage):
    """`is_readonly`: nothing can be changed from here. `viewer` may be given by who has read the run already."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    TOPIC: ClassVar = "A run, live"
    GLOSSARY: ClassVar = GLOSSARY
    DEFAULT_CSS = CSS
    AUTO_FOCUS = ""

    def __init__(self, run: RunDir, *, is_readonly: bool = False, viewer: RunWatch | None = None) -> None:
        super().__init__(viewer or RunWatch(run, is_readonly=is_readonly))
        self.panels: dict[str, Panel] = {name: made() for name, made in all_panels().items()}
        self.active, self.is_zoomed = "loss", False
        self._is_chosen = False
        """Whether somebody chose a panel; until then a failure brings up the one that explains it."""
        self.mode = "strip"
        self._timer: Timer | None = None
        self.seconds_to_next_look = 0.0
        self._figures_due = 0.0
        self._is_studying = self._was_over = self._was_going_on = False
        self._explained: Event | None = None
        """The failure that brought up its panel."""

    def compose(self) -> ComposeResult:
        yield PanelView(self.panels["header"], id="header", titled=False)
        yield LineView(id="tabs")
        with Container(id="middle"):
            yield PanelView(self.panels["loss"], id="main")
            with Vertical(id="side"):
                for name in ("memory", "throughput", "ladder"):
                    yield PanelView(self.panels[name], id=name, number=PANELS.index(name) + 1)
        with Container(id="below"):
            yield PanelView(self.panels["log"], id="first", number=PANELS.index("log") + 1)
            yield PanelView(self.panels["events"], id="second", number=PANELS.index("events") + 1)
        yield PanelView(self.panels["status"], id="status", titled=False)
        yield PlainInput(
            placeholder="only lines with this text; Enter keeps it, Esc ends it", id="filter", compact=True
        )
        yield KeyFooter(KEYS)

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    def on_mount(self) -> None:
        self.viewer.glyphs = self.glyphs
        self.viewer.glimpse()
        self._arrange()
        self.call_after_refresh(self._look)

    def on_resize(self, _event: events.Resize) -> None:
        self._arrange()
        self.call_after_refresh(self.paint)

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        self.call_after_refresh(self.paint)

    def _arrange(self) -> None:
        """Put the panels where they belong for this size and what is chosen."""
        width, height = self.app.size
        self.mode = mode_of(width, height)
        is_alone = self.is_zoomed or self.mode == "tiny"
        shown_elsewhere = ("memory", "throughput", "ladder", "log", "events")
        in_main = "loss" if self.mode == "all" and not is_alone and self.active in shown_elsewhere else self.active
        main = self.query_one("#main", PanelView)
        main.panel, main.number = self.panels[in_main], PANELS.index(in_main) + 1
        main.titled = self.mode != "strip" or is_alone
        for name in ("-all", "-strip", "-tiny"):
            self.set_class(name == f"-{self.mode}", name)
        self.set_class(is_alone, "-alone")
        below = self.query_one("#below")
        needs_log = self.mode == "all" or (height >= LOG_STRIP_FROM and self.active not in READ_AT_LENGTH)
        below.set_class(not needs_log, "-gone")
        for view in self.query("#side PanelView, #below PanelView").results(PanelView):
            view.titled = self.mode == "all"

    def look_now(self) -> None:
        """Not at the next turn of the timer but at once: somebody came back to this terminal."""
        if self._timer is not None:
            self._timer.stop()
            self._figures_due = 0.0
            self._look()

    def _look(self) -> None:
        """Read what is new, paint what is due, and come back when it is time again."""
        app = self.app
        is_behind = getattr(app, "is_blurred", False)
        self.viewer.gather()
        self.reap()
        is_hidden = app.screen is not self
        if not is_hidden:
            self._paint_due(is_behind=is_behind)
        if self.viewer.wants_study and not self._is_studying and self.viewer.loading is None:
            self._is_studying = True
            self._study()
        seconds = REMOTE_SECONDS if getattr(app, "is_remote", False) else LOCAL_SECONDS
        seconds = BLURRED_SECONDS if is_behind else seconds
        self.seconds_to_next_look = LOADING_SECONDS if self.viewer.loading is not None else seconds
        self._timer = self.set_timer(self.seconds_to_next_look, self._look)

    def _paint_due(self, *, is_behind: bool) -> None:
        self._view = self.viewer.view()
        now = self._view.now
        over, self._was_over = is_over(self._view), self._was_over
        if over and not self._was_over:
            self._figures_due = 0.0
            self._ring()
        self._was_going_on |= not over and self.viewer.loading is None
        self._was_over = over
        final = self._view.state.final
        is_new_failure = isinstance(final, RunFailed) and final != self._explained
        if is_new_failure and not self._is_chosen and self.viewer.loading is None:
            self._explained, self.active = final, "result"
            self._changed()
        if now >= self._figures_due or is_behind or now < self._figures_due - FIGURES_SECONDS:
            self._figures_due = now + FIGURES_SECONDS - 0.05
            self._paint(self._view)
        elif self.viewer.loading is None and (main := self.query_one("#main", PanelView)).panel is self.panels["loss"]:
            main.paint(self._view, is_active=self.active == "loss")

    def _ring(self) -> None:
        """Tell whoever looks elsewhere that the run they watched is over."""
        ring = getattr(self.app, "ring", None)
        end = end_of(self._view.state, died=True) if self._view is not None and self._was_going_on else None
        if end is not None and ring is not None:
            ring(message(end, os.environ))

    def paint(self) -> None:
        """Draw every panel that is seen, as things stand now."""
        self._view = self.viewer.view()
        self._paint(self._view)

    def _paint(self, view: RunView) -> None:
        status = self.panels["status"]
        assert isinstance(status, Status)
        status.opened = self.active
        for place in self.query(PanelView):
            place.paint(view, is_active=place.panel is self.panels[self.active])
        tabs = self.query_one("#tabs", LineView)
        if tabs.size.width:
            titles = [self.panels[name].TITLE for name in PANELS]
            titles = [title.removeprefix("OOM ").capitalize() for title in titles]
            note = getattr(self.panels[self.active], "note", "")
            tabs.show([tabs_line(titles, PANELS.index(self.active) + 1, note, tabs.size.width, view.glyphs)])
        self.query_one(KeyFooter).offer(self._footer(), self.refused())

    def _footer(self) -> list[Key]:
        """The six keys that matter now: with the run over, what can be made of it takes the place of what steers."""
        view = self.view
        if not is_over(view):
            labels = {"pause": "continue"} if self.viewer.is_pausing else {}
            shown = [replace(key, label=labels.get(key.action, key.label)) for key in KEYS]
            if view.state.phase in LATE_PHASES or view.state.finished is not None:
                late = ("detach", "stop", "examples", "zoom")
                return [replace(key, footer=key.action in late) for key in shown]
            return shown
        if view.state.finished is not None and view.state.phase == "finished":
            wanted = {"examples", "export", "evaluate", "report", "chat", "detach"}
        else:
            wanted = {"resume", "new", "history", "detach", "zoom"} - set(self.refused())
        labels = {"detach": "leave"}
        return [
            replace(key, footer=True, label=labels.get(key.action, key.label)) for key in KEYS if key.action in wanted
        ]

    @work(thread=True, exclusive=True, group="study")
    def _study(self) -> None:
        self.viewer.study()
        self.app.call_from_thread(self._studied)

    def _studied(self) -> None:
        self._is_studying = False
        self.paint()

    # Looking

    def show_result(self) -> None:
        self.active, self._is_chosen = "result", True
        self._changed()

    def action_panel(self, number: int) -> None:
        self.active, self._is_chosen = PANELS[number - 1], True
        self._changed()

    def action_next_panel(self, by: int) -> None:
        self.active, self._is_chosen = PANELS[(PANELS.index(self.active) + by) % len(PANELS)], True
        self._changed()

    def action_zoom(self) -> None:
        self.is_zoomed = not self.is_zoomed
        self._changed()

    def _changed(self) -> None:
        self._arrange()
        self.call_after_refresh(self.paint)

    def action_chart(self, action: str) -> None:
        chart = self.panels["loss"]
        assert isinstance(chart, LossPanel)
        chart.press(action, self.view)
        self.paint()

    @property
    def active_scroll(self) -> Scroll | None:
        return getattr(self.panels[self.active], "scroll", None)

    def action_scroll(self, rows: int) -> None:
        if scroll := self.active_scroll:
            scroll.by(rows)
            self.paint()

    def action_page(self, pages: int) -> None:
        if scroll := self.active_scroll:
            scroll.page(pages)
            self.paint()

    def action_to_start(self) -> None:
        if scroll := self.active_scroll:
            scroll.to_start()
            self.paint()

    def action_to_end(self) -> None:
        if scroll := self.active_scroll:
            scroll.to_end()
            self.paint()

    def on_panel_view_chosen(self, message: PanelView.Chosen) -> None:
        self.action_panel(message.number)

    def on_panel_view_scrolled(self, message: PanelView.Scrolled) -> None:
        if (scroll := getattr(message.panel, "scroll", None)) is not None:
            scroll.by(message.rows)
            self.paint()

    def action_filter(self) -> None:
        self.active = "log"
        self.add_class("-filtering")
        field = self.query_one("#filter", Input)
        field.value = self.log_panel.wanted
        self.set_focus(field)
        self._changed()

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """While the filter is typed its key is a letter of it."""
        return not (action == "filter" and self.has_class("-filtering"))

    @property
    def log_panel(self) -> Log:
        panel = self.panels["log"]
        assert isinstance(panel, Log)
        return panel

    def on_input_changed(self, event: Input.Changed) -> None:
        self.log_panel.wanted = event.value
        self.paint()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self._end_typing()

    def _end_typing(self) -> None:
        self.remove_class("-filtering")
        self.set_focus(None)
        self._changed()

    def action_copy(self) -> None:
        place = next((each for each in self.query(PanelView) if each.panel is self.panels[self.active]), None)
        failed = next((each for each in self.query(PanelView) if each.failure), None)
        chosen = failed or place
        if chosen is not None:
            self.app.copy_to_clipboard(chosen.text(self.view))
            name = chosen.panel.TITLE
            self.app.notify(f"{name} copied, if this terminal lets programs copy (OSC 52)", markup=False, timeout=4)

    # Leaving

    def action_back(self) -> None:
        if self.has_class("-filtering") or self.log_panel.wanted:
            self.log_panel.wanted = ""
            self._end_typing()
        elif self.is_zoomed:
            self.action_zoom()
        else:
            super().action_back()

    def action_detach(self) -> None:
        code, told = self.viewer.leave()
        setattr(self.app, "farewell", told)  # noqa: B010 - the app's own, unknown to Textual's
        self.app.exit(code)

    def action_new(self) -> None:
        from tui_app.screens.wizard import WizardScreen

        self.app.push_screen(WizardScreen())

    def action_history(self) -> None:
        from tui_app.screens.runs import RunsPage

        if any(isinstance(screen, RunsPage) for screen in self.app.screen_stack):
            super().action_back()
            return
        self.app.push_screen(RunsPage(is_readonly=self.viewer.is_readonly))


def run_live(run: RunDir, looks: Looks, *, is_readonly: bool = False) -> int:
    """Show the run until the person leaves: 0 for who leaves a run that goes on, else how the run ended."""
    return show(lambda: LiveScreen(run, is_readonly=is_readonly), looks, run=lambda: run)
