"""The review page's small windows: a text to look at, and where to save the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.errors import FinetuiError
from tui_app.drawing import Line, line, literal, wrap
from tui_app.keys import Key, bindings
from tui_app.steps.draft import Draft
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.pages import Pages
from tui_app.widgets.plain_input import PlainInput

CLOSE = Key("escape,q,enter", "close", "back", "Back to where you were.", shown="Esc", footer=True)
SCROLL = Key("up,down", "nothing", "scroll", "Line by line; PgUp and PgDn page by page.", shown="↑↓", footer=True)
COPY = Key("y", "copy", "copy", "Copy the text.", footer=True)
SAVE = Key("enter", "nothing", "save", "Write the file.", shown="Enter", footer=True)
CANCEL = Key("escape", "cancel", "back", "Nothing is written.", shown="Esc", footer=True)


class TextPage(ModalScreen[None]):
    """A text as it stands, to be read and copied."""

    DEFAULT_CSS = """
    TextPage > Vertical { width: 100; max-width: 100%; height: 90%; background: $surface; padding: 0 1; }
    """
    BINDINGS: ClassVar = bindings([CLOSE, COPY])

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Pages(self._lines)
            yield KeyFooter([SCROLL, COPY, CLOSE])

    def _lines(self, width: int) -> list[Line]:
        told = [*wrap(literal(self._title), width, "title"), line("")]
        for each in self._text.splitlines():
            shown = literal(each)
            told += [line(shown[at : at + width]) for at in range(0, len(shown), width)] or [line("")]
        return told

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._text)
        self.app.notify("Copied, if this terminal lets programs copy (OSC 52).", markup=False)

    def action_close(self) -> None:
        self.dismiss()


class SaveDialog(ModalScreen[Path | None]):
    """Dismissed with the path that was written. A file that is there is never replaced."""

    DEFAULT_CSS = """
    SaveDialog > Vertical { width: 72; max-width: 100%; height: auto; padding: 1 2; background: $surface;
        border: round $primary; }
    SaveDialog #told { height: auto; margin-top: 1; color: $error; }
    SaveDialog KeyFooter { dock: none; margin-top: 1; }
    """
    BINDINGS: ClassVar = bindings([CANCEL])

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self._draft = draft

    def compose(self) -> ComposeResult:
        from tui_app.steps.starting import free_recipe_path

        name = free_recipe_path(self._draft, Path.cwd()).name
        with Vertical():
            yield Static("Save the recipe as", markup=False)
            yield PlainInput(name, compact=True, select_on_focus=False)
            yield Static("", id="told", markup=False)
            yield KeyFooter([SAVE, CANCEL])

    def on_input_changed(self) -> None:
        self.query_one("#told", Static).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        from tui_app.steps.starting import save_recipe

        event.stop()
        try:
            path = save_recipe(self._draft, Path(event.value.strip() or "."))
        except (FinetuiError, RuntimeError, ValueError) as fault:  # no such ~user, a NUL in the name
            self.query_one("#told", Static).update(literal(" ".join(str(fault).splitlines())))
        else:
            self.dismiss(path)

    def action_cancel(self) -> None:
        self.dismiss(None)
