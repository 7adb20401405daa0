"""Talking to the tuned model and to its base beside it: one conversation in two columns, streamed.

A process of its own answers (`engine.chat`); it ends with the page. Not here: what is drawn in a column
(`tui_app/chat_text`), the line that is typed into (`tui_app/widgets/message_line`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from engine.chat.client import ChatWorker
from engine.chat.settings import Settings
from engine.chat.sides import Side, sides_of
from engine.errors import FinetuiError
from engine.run_dir import RunDir
from engine.units import format_seconds
from tui_app.chat_text import Dialogue, column_lines
from tui_app.drawing import Line, fit_line, line, literal
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import HELP_WHILE_TYPING, Key, bindings
from tui_app.screens.fault import FaultDialog
from tui_app.screens.page import Page
from tui_app.screens.showing import show
from tui_app.widgets.crumbs import Crumbs
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView
from tui_app.widgets.message_line import MessageLine
from tui_app.widgets.pages import Pages

if TYPE_CHECKING:
    from tui_app.looks import Looks

PAINT_SECONDS = 0.1
SIDE_BY_SIDE_FROM = 70
"""Columns; on a narrower screen one side stands above the other."""

KEYS = (
    Key("enter", "nothing", "send", "Send what is typed; all sides answer it.", shown="Enter", footer=True),
    Key("escape", "halt", "stop", "Stop the answer; with none going on, back to the page before.", shown="Esc",
        footer=True),
    Key("ctrl+n", "new", "new", "Begin a new conversation.", shown="^n", footer=True),
    Key("ctrl+t", "sides", "who", "Who answers: both, or one of them.", shown="^t", footer=True),
    Key("f2", "system", "system", "Edit the system message, which stands before every question.", shown="F2",
        footer=True),
    Key("ctrl+y", "copy", "copy", "Copy the last answer.", shown="^y", footer=True),
    Key("ctrl+c", "halt", "stop, too", "As Esc.", shown="^c"),
    Key("up,down", "nothing", "sent before", "What was sent before.", shown="↑↓"),
    Key("pageup", "page(-1)", "scroll up", "A page up.", shown="PgUp"),
    Key("pagedown", "page(1)", "scroll down", "A page down; at the end new text is followed.", shown="PgDn"),
)  # fmt: skip


class Column(Vertical):
    """One side: its title, and what was said."""

    def __init__(self, page: ChatPage, side: Side) -> None:
        super().__init__(classes="column")
        self.chat, self.side = page, side
        self.is_following = True
        self.title_line = LineView(classes="title")
        self.pages = Pages(self._lines)
        self.pages.can_focus = False

    def compose(self) -> ComposeResult:
        yield self.title_line
        yield self.pages

    def draw(self) -> None:
        """As things stand now; at the end of the text new text is followed."""
        is_asked = self.side.name in self.chat.asked
        title = line((literal(self.side.title), "title" if is_asked else "faint"), "" if is_asked else " (not asked)")
        self.title_line.show([fit_line(title, max(self.title_line.size.width, 1))])
        if self.is_following:
            self.pages.first = 1_000_000
        self.pages.make_anew()

    def scroll_by_page(self, pages: int) -> None:
        self.pages.action_scroll_page(pages)
        self.is_following = self.pages.first >= self.pages.num_lines - self.pages.size.height

    def _lines(self, width: int) -> list[Line]:
        return column_lines(self.chat.dialogue, self.side.name, max(width - 1, 1), self.chat.glyphs.pointer)


class ChatPage(Page[None]):
    """`against` is a word of `engine.chat.sides`; `sides` may be given by who has chosen them already."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(key for key in KEYS if key.action != "nothing")
    TOPIC: ClassVar = "Talking to the model"
    GLOSSARY: ClassVar = (
        "tuned, base: the base model with and without what was trained; beside each other they share one copy of the "
        "weights, so that both are there for the memory of one.\n"
        "system message: stands before every question. It is the one of the training rows until you edit it.\n"
        "tok/s: tokens a second that this side wrote; first after: how long it read before its first token.\n"
        "Answers are greedy unless --temperature was given: the same question, the same answer."
    )
    DEFAULT_CSS = """
    ChatPage #system { height: 1; background: $surface; }
    ChatPage #columns { height: 1fr; layout: horizontal; }
    ChatPage.-narrow #columns { layout: vertical; }
    ChatPage .column { width: 1fr; height: 1fr; padding: 0 1; }
    ChatPage .column .title { height: 1; }
    ChatPage #state { height: 1; }
    ChatPage #message { height: 1; border: none; padding: 0 1; background: $panel; }
    """

    def __init__(
        self,
        run: RunDir,
        against: str | None = "base",
        *,
        sides: Sequence[Side] = (),
        settings: Settings = Settings(),  # noqa: B008 - frozen
        system: str | None = None,
    ) -> None:
        super().__init__()
        self.run = run
        self.sides = tuple(sides) or sides_of(run, None, against)
        self.asked = [side.name for side in self.sides]
        self.dialogue = Dialogue(system or "")
        self._wants_system = system is None
        self._settings = settings
        self.worker: ChatWorker | None = None
        self.is_ready = self.is_answering = self.is_editing = False
        self._doing, self._since = "", time.monotonic()
        self._is_stale = True
        self._draft = ""
        self._waiting_message = ""
        self._columns = [Column(self, side) for side in self.sides]

    def compose(self) -> ComposeResult:
        yield Crumbs("finetui", self.run.name, "chat")
        yield LineView(id="system")
        with Container(id="columns"):
            yield from self._columns
        yield LineView(id="state")
        yield MessageLine(id="message", placeholder="a message; Enter sends it")
        yield KeyFooter()

    def on_mount(self) -> None:
        self.query_one(KeyFooter).offer(KEYS, help_key=HELP_WHILE_TYPING)
        self.field.focus()
        self._start()
        self.set_interval(PAINT_SECONDS, self._tick)

    def on_unmount(self) -> None:
        if self.worker is not None:
            self.worker.close()

    def on_resize(self) -> None:
        self.set_class(self.app.size.width < SIDE_BY_SIDE_FROM, "-narrow")
        self.call_after_refresh(self._draw)

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    @property
    def field(self) -> MessageLine:
        return self.query_one(MessageLine)

    # The process that answers

    def _start(self) -> None:
        self.is_ready = self.is_answering = False
        self._doing, self._since = "starting", time.monotonic()
        self.worker = ChatWorker(self.sides)
        self._listen(self.worker)

    @work(thread=True, group="chat")
    def _listen(self, worker: ChatWorker) -> None:
        try:
            for told in worker.messages():
                self.app.call_from_thread(self._hear, told)
        except FinetuiError as fault:
            if not worker.is_closed:
                self.app.call_from_thread(self._lose, fault)

    def _hear(self, told: dict[str, Any]) -> None:
        self._is_stale = True
        if "loading" in told:
            self._doing = f"loading {told['loading']}"
        elif "ready" in told:
            self.is_ready, ready = True, told["ready"]
            if self._wants_system:
                self.dialogue.system, self._wants_system = ready["system"] or "", False
            for text in ready["notes"]:
                self.app.notify(literal(text), markup=False, timeout=8)
            self._doing = f"ready after {format_seconds(time.monotonic() - self._since)}"
            message, self._waiting_message = self._waiting_message, ""
            if message:
                self._send(message)
        elif self.dialogue.hear(told):
            self.is_answering, self._doing = False, ""

    def _lose(self, fault: FinetuiError) -> None:
        self.is_ready = self.is_answering = False
        self._doing, self._is_stale = "nobody is there to answer; Enter loads the model again", True
        self.dialogue.break_off(fault.happened)
        self.worker = None
        self.app.push_screen(FaultDialog.of(fault, log=""))

    # Drawing

    def _tick(self) -> None:
        if self._is_stale or not self.is_ready:
            self._is_stale = False
            self._draw()

    def _draw(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        width = self.size.width - 2
        system = literal(self.dialogue.system) if not self._wants_system else "(that of the rows)"
        told = line(" ", ("system  ", "dim"), (system or "(none)", "" if system else "faint"))
        self.query_one("#system", LineView).show([fit_line(told, width, ellipsis=self.glyphs.ellipsis)])
        doing = self._doing
        if self.worker is not None and not self.is_ready:
            doing += f", {time.monotonic() - self._since:.0f} s" + ("; then your message" * bool(self._waiting_message))
        elif self.is_answering:
            doing = "answering; Esc stops"
        state = line(" ", (literal(doing), "warn" if not self.is_ready else "dim"))
        self.query_one("#state", LineView).show([fit_line(state, width, ellipsis=self.glyphs.ellipsis)])
        for column in self._columns:
            column.draw()

    # Keys

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self.is_editing:
            self.dialogue.system, self._wants_system = event.value, False
            self._end_editing()
            return
        message = event.value
        if not message.strip() or self.is_answering or self._waiting_message:
            return
        self.field.remember(message)
        self.field.value = ""
        if self.worker is None:
            self._start()
        if self.is_ready:
            self._send(message)
        else:
            self._waiting_message = message
        self._is_stale = True

    def _send(self, message: str) -> None:
        assert self.worker is not None
        for column in self._columns:
            column.is_following = True
        self.is_answering = True
        self.worker.ask(self.dialogue.ask(message, self.asked), self._settings)

    def action_halt(self) -> None:
        if self.is_editing:
            self._end_editing()
        elif self.is_answering and self.worker is not None:
            self.worker.stop()
        elif self._waiting_message:
            self.field.value, self._waiting_message = self._waiting_message, ""
        elif len(self.app.screen_stack) > 2:
            self.action_back()
        else:
            self.app.exit(0)

    def action_new(self) -> None:
        if self.is_answering:
            self.app.notify("an answer is being given; Esc stops it", markup=False)
            return
        self.dialogue.turns.clear()
        self._is_stale = True

    def action_sides(self) -> None:
        """All of them, then each alone."""
        names = [side.name for side in self.sides]
        choices = [names, *([name] for name in names)] if len(names) > 1 else [names]
        self.asked = choices[(choices.index(self.asked) + 1) % len(choices)]
        self._is_stale = True

    def action_system(self) -> None:
        if not self.is_editing:
            self.is_editing, self._draft = True, self.field.value
            self.field.value = self.dialogue.system
            self.field.placeholder = "the system message; Enter keeps it, Esc leaves it as it was"
            self.field.cursor_position = len(self.field.value)

    def _end_editing(self) -> None:
        self.is_editing, self._is_stale = False, True
        self.field.placeholder = "a message; Enter sends it"
        self.field.value = self._draft

    def action_copy(self) -> None:
        texts = self.dialogue.last_answers()
        if not texts:
            self.app.notify("nothing was answered yet", markup=False)
            return
        titles = {side.name: side.title for side in self.sides}
        several = len(texts) > 1
        parts = [f"[{titles[name]}]\n{text}" if several else text for name, text in texts.items()]
        self.app.copy_to_clipboard("\n\n".join(parts))
        self.app.notify("Copied, if this terminal lets programs copy (OSC 52).", markup=False)

    def action_recall(self, by: int) -> None:
        if not self.is_editing:
            self.field.recall(by)

    def action_page(self, pages: int) -> None:
        for column in self._columns:
            column.scroll_by_page(pages)


def run_chat(run: RunDir, sides: Sequence[Side], looks: Looks, *, settings: Settings, system: str | None = None) -> int:
    """Talk on the whole screen until the person leaves."""
    return show(lambda: ChatPage(run, sides=sides, settings=settings, system=system), looks)
