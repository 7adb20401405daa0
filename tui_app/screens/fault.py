"""A failure, shown to the person who has to act on it: what happened, what it means here, what to do, where the log is.

Not here: the errors themselves (`engine/errors`).
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from engine.errors import FinetuiError
from tui_app.drawing import Line, line, literal, wrap
from tui_app.keys import Key, bindings
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.pages import Pages

KEYS = (
    Key("y", "copy", "copy", "Copy this text.", footer=True),
    Key("escape,enter,q", "close", "back", "Back to where you were.", shown="Esc", footer=True),
)


def fault_lines(happened: str, means: str, remedy: str, log: str, width: int) -> list[Line]:
    """The parts of an error under their names; empty parts are left out."""
    drawn: list[Line] = []
    for head, text in (("What happened", happened), ("What it means", means), ("What to do", remedy), ("Log", log)):
        if not text:
            continue
        drawn += [line("")] if drawn else []
        drawn.append(line((head, "bad" if head == "What happened" else "title")))
        for part in text.splitlines():
            drawn += wrap(literal(part), width)
    return drawn


class FaultDialog(ModalScreen[None]):
    """`FaultDialog.of(error)` for one of our errors. `y` copies the text."""

    DEFAULT_CSS = """
    FaultDialog > Vertical { width: 76; max-width: 100%; height: auto; max-height: 100%; padding: 1 2;
        background: $surface; border: round $error; }
    FaultDialog Pages { height: auto; max-height: 16; }
    FaultDialog KeyFooter { dock: none; margin-top: 1; }
    """
    BINDINGS: ClassVar = bindings(KEYS)

    def __init__(self, happened: str, *, means: str = "", remedy: str = "", log: str = "") -> None:
        super().__init__()
        self._parts = (happened, means, remedy, log)

    @classmethod
    def of(cls, fault: FinetuiError, *, log: str = "") -> FaultDialog:
        return cls(fault.happened, means=fault.means, remedy=fault.remedy, log=log)

    def compose(self) -> ComposeResult:
        with Vertical():
            pages = Pages(lambda width: fault_lines(*self._parts, width))
            pages.styles.height = min(len(fault_lines(*self._parts, 68)) + 1, 16)
            yield pages
            yield KeyFooter(KEYS)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard("\n".join(part for part in self._parts if part))
        self.app.notify("Copied, if this terminal lets programs copy (OSC 52).", markup=False)

    def action_close(self) -> None:
        self.dismiss()
