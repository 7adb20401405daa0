"""Confirming, by typing a model's name, that code which comes with it or which it writes may run here.

Not here: what asks for such code, and where the names lie (`engine/foreign_code`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.errors import FinetuiError
from engine.foreign_code import Kind, confirm, plain_name
from tui_app.drawing import literal
from tui_app.keys import Key, bindings
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.plain_input import PlainInput

ALLOW = Key("enter", "nothing", "allow", "Confirm the model by the name typed.", shown="Enter", footer=True)
BACK = Key("escape", "cancel", "back", "Nothing is confirmed, nothing is started.", shown="Esc", footer=True)


class TrustDialog(ModalScreen[bool]):
    """Dismissed with whether all that `asked` names (as `foreign_code.unconfirmed` does) was confirmed."""

    DEFAULT_CSS = """
    TrustDialog > Vertical { width: 74; max-width: 100%; height: auto; max-height: 100%; padding: 1 2;
        background: $surface; border: round $warning; }
    TrustDialog .title { text-style: bold; color: $warning; margin-bottom: 1; }
    TrustDialog #name { text-style: bold; margin-bottom: 1; }
    TrustDialog #told { height: auto; color: $error; }
    TrustDialog KeyFooter { dock: none; margin-top: 1; }
    """
    BINDINGS: ClassVar = bindings([BACK])

    def __init__(self, model: str, asked: Sequence[tuple[Kind, str, str]]) -> None:
        super().__init__()
        self._model, self._asked = model, tuple(asked)

    def compose(self) -> ComposeResult:
        runs = "\n".join(f"{literal(what)} ({field})" for _, field, what in self._asked)
        with Vertical():
            yield Static("This run would execute code that nobody has confirmed here", classes="title", markup=False)
            yield Static(f"{runs}\n", markup=False)
            yield Static("Read it first. If you trust it, type the model's name:", markup=False)
            yield Static(literal(self._model), id="name", markup=False)
            yield PlainInput(compact=True)
            yield Static("", id="told", markup=False)
            yield KeyFooter([ALLOW, BACK])

    def on_input_changed(self) -> None:
        self.query_one("#told", Static).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        if typed != self._model and plain_name(typed) != plain_name(self._model):
            self._tell("That is not its name, so nothing was confirmed.")
            return
        try:
            for kind, _, _ in self._asked:
                confirm(kind, self._model)
        except FinetuiError as fault:
            self._tell(" ".join(str(fault).splitlines()))
        else:
            self.dismiss(True)

    def _tell(self, text: str) -> None:
        self.query_one("#told", Static).update(literal(text))

    def action_cancel(self) -> None:
        self.dismiss(False)
