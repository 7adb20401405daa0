"""The help page: every key of the page it was called from, and what its words mean.

Not here: the words themselves; a page hands over its table of keys and its glossary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen

from tui_app.drawing import Line, line, padded, wrap
from tui_app.glyphs import UNICODE
from tui_app.keys import Key, bindings, in_ascii
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.pages import Pages

CLOSE = Key("escape,q,question_mark,f1", "close", "back", "Back to where you were.", shown="Esc", footer=True)
SCROLL = Key("up,down", "nothing", "scroll", "Line by line; PgUp and PgDn page by page.", shown="↑↓", footer=True)


def help_lines(keys: Iterable[Key], glossary: str, width: int) -> list[Line]:
    """Keys first, each with its sentence; then the glossary, one paragraph a line, its head before ": " strong."""
    shown = [(key.name, key.help) for key in keys]
    column = min(max((len(name) for name, _ in shown), default=4), 12)
    drawn: list[Line] = [line(("Keys", "title"))]
    for name, text in shown:
        first, *rest = wrap(text, max(width - column - 3, 10)) or [line("")]
        drawn.append((*line(" ", (padded(name, column), "key"), "  "), *first))
        drawn += [(*line(" " * (column + 3)), *each) for each in rest]
    if not glossary:
        return drawn
    drawn += [line(""), line(("Words", "title"))]
    for paragraph in glossary.strip().splitlines():
        head, colon, body = paragraph.strip().partition(": ")
        if not colon:
            drawn += wrap(paragraph, width) or [line("")]
            continue
        drawn.append(line(" ", (head, "strong")))
        drawn += [(*line("   "), *each) for each in wrap(body, max(width - 3, 10))]
    return drawn


class HelpPage(Screen[None]):
    """A page of its own: one that lets the page below shine through takes twice as long to come."""

    DEFAULT_CSS = """
    HelpPage { align: center top; }
    HelpPage > Vertical { width: 84; max-width: 100%; height: 1fr; padding: 0 1; }
    """
    BINDINGS: ClassVar = bindings([CLOSE])

    def __init__(self, topic: str, keys: Iterable[Key], glossary: str = "") -> None:
        super().__init__()
        self._topic, self._keys, self._glossary = topic, tuple(keys), glossary

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Pages(self._lines)
            yield KeyFooter([SCROLL, CLOSE])

    def _lines(self, width: int) -> list[Line]:
        keys = self._keys if getattr(self.app, "glyphs", UNICODE).is_unicode else in_ascii(self._keys)
        return [line((self._topic, "title")), line(""), *help_lines(keys, self._glossary, width)]

    def action_close(self) -> None:
        self.dismiss()
