"""A question with two answers, asked before something that cannot be taken back. The safe answer has the focus.

Not here: what the answer leads to.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui_app.drawing import literal
from tui_app.keys import Key, bindings

KEYS = (
    Key("escape,n", "answer(False)", "no", "The safe answer.", shown="Esc"),
    Key("y", "answer(True)", "yes", "Do it."),
    Key("left,up", "app.focus_previous", "", ""),
    Key("right,down", "app.focus_next", "", ""),
)


class Confirm(ModalScreen[bool]):
    """Dismissed with whether the person said yes. `yes` and `no` are verbs: "Stop the run", "Let it go on"."""

    DEFAULT_CSS = """
    Confirm > Vertical { width: 66; max-width: 100%; height: auto; max-height: 100%; padding: 1 2;
        background: $surface; border: round $warning; }
    Confirm .title { text-style: bold; color: $warning; margin-bottom: 1; }
    Confirm Horizontal { height: auto; margin-top: 1; }
    Confirm Horizontal Button {
        margin-right: 2; min-width: 0; background: $surface; color: $foreground; text-style: none;
    }
    Confirm Horizontal #yes { color: $warning; }
    Confirm Horizontal Button:focus { background: $surface; text-style: bold reverse; }
    """
    BINDINGS: ClassVar = bindings(KEYS)

    def __init__(self, title: str, text: str, *, yes: str = "Yes", no: str = "No", is_harmless: bool = False) -> None:
        """`is_harmless`: yes loses nothing and is what most want, so it has the focus."""
        super().__init__()
        self._title, self._text, self._yes, self._no = title, text, yes, no
        self._first = "#yes" if is_harmless else "#no"

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(literal(self._title), classes="title", markup=False)
            yield Static("\n".join(literal(part) for part in self._text.splitlines()), markup=False)
            with Horizontal():
                yield Button(Content(f"[ {literal(self._no)} ]"), id="no", compact=True)
                yield Button(Content(f"[ {literal(self._yes)} (y) ]"), id="yes", compact=True)

    def on_mount(self) -> None:
        self.query_one(self._first, Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)
