"""What stands around the wizard's pages: the row of steps, help beside or below, what is wrong, the keys.

Not here: the pages, and going from one to another (`wizard`).
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input

from tui_app.drawing import Line, fit, line, literal, spread, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import HELP, HELP_WHILE_TYPING, Key, bindings
from tui_app.screens.page import Page
from tui_app.screens.wizard_desk import Desk
from tui_app.screens.wizard_page import StepPage
from tui_app.steps.glossary import GLOSSARY, entries_for
from tui_app.steps.sequence import STEPS
from tui_app.widgets.drawn_view import DrawnView
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView
from tui_app.widgets.steps_line import steps_line

KEYS = (
    Key(
        "enter", "next", "next", "Accept what is shown and go on; on the last page, start.", shown="Enter", footer=True
    ),
    Key("escape", "back", "back", "One step back; nothing is lost.", shown="Esc", footer=True),
    Key("tab", "app.focus_next", "fields", "To the next field; Shift-Tab to the one before.", shown="Tab", footer=True),
    Key("e", "advanced", "all fields", "Show or hide the advanced fields of this step.", footer=True),
    Key("up,down", "nothing", "choose", "In a list: look at another choice. In a form: another field.", shown="↑↓"),
    Key("space", "nothing", "choose", "Choose what the pointer is on, and stay.", shown="Space"),
    Key("pagedown,ctrl+d", "scroll(1)", "scroll", "Scroll the page down; PgUp scrolls it up.", shown="PgDn"),
    Key("pageup,ctrl+u", "scroll(-1)", "scroll up", "Scroll the page up.", shown="PgUp"),
    *(
        Key(f"{place},ctrl+{place}", f"go({place - 1})", f"step {place}", f"Go to step {place}.", shown=str(place))
        for place in range(1, 6)
    ),
    Key("ctrl+g", "help", "help", "Help on the field, also while a text is typed; so does F1.", shown="^g"),
    Key("D", "forget", "forget the draft", "Leave, and forget what was filled in."),
    Key("q", "leave", "leave", "Leave; the draft is kept and offered again."),
)


class WizardFrame(Page[int]):
    """`desk` is the state, `place` the step one is at, `done` those that were gone through."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    TOPIC: ClassVar = "A new run, step by step"
    GLOSSARY: ClassVar = "\n".join(f"{word}: {meaning}" for word, (meaning, _) in GLOSSARY.items())
    DEFAULT_CSS = """
    WizardFrame #steps { dock: top; height: 1; background: $surface; }
    WizardFrame #foot { dock: bottom; height: 2; margin-bottom: 1; padding: 0 1; background: $surface; }
    WizardFrame #middle { height: 1fr; }
    WizardFrame.-short StepPage .heading { margin-top: 0; }
    WizardFrame.-tall #middle { margin-top: 1; }
    WizardFrame #side { display: none; width: 46; height: 1fr; padding: 0 1; border-left: solid $panel; }
    WizardFrame.-wide #side { display: block; }
    WizardFrame.-wide #foot { height: 1; background: $background; }
    WizardFrame Input { background: $panel; }
    WizardFrame Input:focus { background: $boost; text-style: bold; }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.place = 0
        self.done: set[int] = set()
        self.notice: tuple[str, str] = ("", "")
        """(what to say in the line above the footer, its role)."""

    def compose(self) -> ComposeResult:
        yield LineView(id="steps")
        with Horizontal(id="middle"):
            yield DrawnView(self._side_lines, id="side")
        yield DrawnView(self._foot_lines, id="foot")
        yield KeyFooter(KEYS)

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    @property
    def page(self) -> StepPage:
        return self.query_one(StepPage)

    @property
    def is_typing(self) -> bool:
        """Whether a letter becomes text where the keyboard is."""
        return isinstance(self.focused, Input) and getattr(self.focused, "takes_letters", True)

    def say(self, text: str, role: str = "") -> None:
        """One sentence in the line above the footer, until something else happens."""
        self.notice = (text, role)
        self.frame_changed()

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        self.frame_changed()

    def on_resize(self, _event: events.Resize) -> None:
        self.frame_changed()

    def foot_changed(self) -> None:
        self.query_one("#foot", DrawnView).redraw()

    def frame_changed(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        glyphs = self.glyphs
        titles = [step.title for step in STEPS]
        around = self.desk.surroundings
        right = "" if around.hardware is None else (platform.node() or "here")
        bar = steps_line(titles, self.place, self.done, literal(right), self.size.width, glyphs)
        self.query_one("#steps", LineView).show([bar])
        self.query_one("#side", DrawnView).redraw()
        self.foot_changed()
        first, *rest = KEYS
        renamed = Key(first.keys, first.action, self.page.NEXT, first.help, first.shown, first.footer)
        keys = (renamed, *rest[:1], *self.page.KEYS, *rest[1:])
        if self.is_typing:
            keys = tuple(key for key in keys if len(key.keys.split(",")[0]) > 1)
        self.query_one(KeyFooter).offer(keys, help_key=HELP_WHILE_TYPING if self.is_typing else HELP)

    def _foot_lines(self, width: int) -> Sequence[Line]:
        """The help of the focused field; what is wrong, or is being waited for, takes its second line."""
        if not self.query(StepPage):
            return ()
        page, question = self.page, self.page.focused_question()
        helps = question.help if question else page.ABOUT or page.step.why
        hidden = int(page.max_scroll_y - page.scroll_offset.y)
        glyphs = self.glyphs
        more = line((f"{glyphs.down} {hidden} more, PgDn", "key")) if hidden > 0 else ()
        if not more and page.scroll_offset.y > 0:
            more = line((f"{glyphs.up} PgUp", "key"))
        text, role = self.notice if self.notice[0] else self._waiting()
        if self.has_class("-wide"):  # the help stands beside the page
            return [spread(line((literal(text), role)), more, width, ellipsis=glyphs.ellipsis)]  # type: ignore[arg-type]
        first, *rest = wrap(literal(helps), width, "dim") or [line("")]
        if not text:
            left = " ".join(span.text for each in rest for span in each)
            return [first, spread(line((left, "dim")), more, width, ellipsis=glyphs.ellipsis)]
        if rest:
            first = line((fit(literal(helps), width, ellipsis=glyphs.ellipsis), "dim"))
        return [first, spread(line((literal(text), role)), more, width, ellipsis=glyphs.ellipsis)]  # type: ignore[arg-type]

    def _waiting(self) -> tuple[str, str]:
        if self.desk.surroundings.hardware is None:
            return "looking for cards…", "dim"
        if not self.desk.is_current:
            return "working out what it needs…", "dim"
        return "", ""

    def _side_lines(self, width: int) -> Sequence[Line]:
        """Help of the focused field with the words in it, and what the page adds."""
        if not self.query(StepPage):
            return ()
        question = self.page.focused_question()
        told: list[Line] = []
        if question is not None:
            told += [line((literal(question.label), "title")), *wrap(literal(question.help), width), line("")]
            for word, meaning in entries_for(question.name):
                told += [line((word, "strong")), *wrap(meaning, width, "dim"), line("")]
        return [*told, *self.page.side(width)]

    def action_help(self) -> None:
        from tui_app.screens.help import HelpPage

        question = self.page.focused_question()
        words = entries_for(question.name) if question else ()
        here = f"{question.label}: {question.help}\n" if question else ""
        told = "".join(f"{word}: {meaning}\n" for word, meaning in words)
        rest = "\n".join(each for each in self.GLOSSARY.splitlines() if each.partition(": ")[0] not in dict(words))
        topic = question.label if question else self.page.step.title
        keys = (*self.page.KEYS, *self.KEYS)
        self.app.push_screen(HelpPage(f"{self.TOPIC}: {topic}", keys, here + told + rest))
