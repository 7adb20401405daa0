"""A line to type a path into, with what it could become below; Tab completes as a shell does.

Lists one folder, never walks a tree. Not here: whether the path is any good; its page judges it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from engine.units import format_bytes
from tui_app.drawing import Line, fit_line, line, literal, padded
from tui_app.glyphs import UNICODE
from tui_app.steps.paths import Wanted, completions
from tui_app.widgets.drawn_view import DrawnView
from tui_app.widgets.plain_input import PlainInput

MAX_SHOWN = 6
INDENT = " " * 14
"""As wide as the label: what could be meant stands under what is typed."""


def completed(typed: str, found: Sequence[str]) -> str:
    """As much more of `typed` as all completions share."""
    shared = os.path.commonprefix(list(found))  # noqa: RUF071 - by character is what a shell does
    return shared if len(shared) > len(typed) else typed


def size_of(path: str) -> str:
    """The size of a file for the list; empty for folders and what cannot be looked at."""
    try:
        return "" if path.endswith("/") else format_bytes(Path(path).expanduser().stat().st_size)
    except OSError:
        return ""


class PathInput(PlainInput):
    """An `Input` whose Tab completes while there is something to complete."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "complete", show=False),
        Binding("down", "app.focus_next", "next field", show=False, priority=True),
        Binding("up", "app.focus_previous", "previous field", show=False, priority=True),
    ]

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Textual offers no binding whose key a field says that it takes."""
        return super().check_consume_key(key, character) and bool(character != "?" or self.value)

    async def _on_key(self, event: events.Key) -> None:
        if event.character == "?" and not self.value:  # nothing is typed yet: it asks for help
            await self.be_a_key(event)

    def action_complete(self) -> None:
        field = next(each for each in self.ancestors if isinstance(each, PathField))
        if not field.complete():
            self.screen.focus_next()


class PathField(Vertical):
    """A path (or a hub id) as text, with completions below while the keyboard is in it."""

    DEFAULT_CSS = """
    PathField { height: auto; }
    PathField > Horizontal { height: 1; }
    PathField .label { width: 14; height: 1; }
    PathField PathInput { width: 1fr; }
    """

    class Changed(Message):
        """The text became another one."""

        def __init__(self, sender: PathField, text: str) -> None:
            super().__init__()
            self.field, self.text = sender, text

    class Entered(Message):
        """Enter was pressed, or the field was left (`goes_on` False)."""

        def __init__(self, sender: PathField, text: str, *, goes_on: bool) -> None:
            super().__init__()
            self.field, self.text, self.goes_on = sender, text, goes_on

    def __init__(self, question: str, wanted: Wanted = "any", *, placeholder: str = "", id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.question = question
        self._wanted = wanted
        self.input = PathInput(placeholder=placeholder, compact=True, select_on_focus=False)
        self.label = DrawnView(self._label_lines, classes="label")
        self.below = DrawnView(self._completions)
        self._found: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self.label
            yield self.input
        yield self.below

    @property
    def text(self) -> str:
        return self.input.value

    def put(self, text: str) -> None:
        """Show another text without saying that it changed."""
        if text != self.input.value:
            with self.input.prevent(Input.Changed):
                self.input.value = text
            self.input.cursor_position = len(text)

    def complete(self) -> bool:
        """Fill in what all completions share, False where there is nothing to add."""
        self._found = completions(self.text, Path.cwd(), self._wanted)
        longer = completed(self.text, self._found)
        if longer == self.text:
            return False
        self.input.value = longer
        self.input.cursor_position = len(longer)
        return True

    def _label_lines(self, width: int) -> list[Line]:
        is_here = self.input.has_focus
        pointer = getattr(self.app, "glyphs", UNICODE).pointer if is_here else " "
        return [fit_line(line((f"{pointer} ", "key"), ("or type it", "strong" if is_here else "dim")), width)]

    def _completions(self, width: int) -> list[Line]:
        told = [
            line((f"{INDENT}{padded(literal(path), width - len(INDENT) - 11)} {size_of(path):>10}", "dim"))
            for path in self._found[:MAX_SHOWN]
        ]
        more = len(self._found) - MAX_SHOWN
        hint = f"{more} more; type on to narrow them" if more > 0 else "Tab completes" if self._found else ""
        return [*told, fit_line(line((f"{INDENT}{hint}", "dim")), width)] if hint else told

    def look(self) -> None:
        """List anew what the text could become."""
        self._found = completions(self.text, Path.cwd(), self._wanted)
        self.below.redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.input.has_focus:
            self.look()
        self.post_message(self.Changed(self, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Entered(self, event.value, goes_on=True))

    def on_input_blurred(self, event: Input.Blurred) -> None:
        event.stop()
        self._found = ()
        self.below.redraw()
        self.label.redraw()
        self.post_message(self.Entered(self, event.value, goes_on=False))

    def on_descendant_focus(self) -> None:
        self.label.redraw()
        self.look()
