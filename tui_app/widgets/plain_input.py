"""An `Input` that shows control characters instead of sending them to the terminal: a path may hold an escape."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Input

from tui_app.glyphs import UNICODE

CONTROL_PICTURES = 0x2400
"""Where Unicode keeps a picture of each control character, in their order."""
NUM_CONTROLS = 0x20
MAX_LENGTH = 8192
"""Characters a field takes; a page that is pasted by mistake would keep it drawing for seconds."""


class PlainInput(Input):
    """One cell for each character that is not printable, so that the cursor stays where it belongs."""

    def on_mount(self) -> None:
        self.max_length = self.max_length or MAX_LENGTH

    @property
    def _value(self) -> Text:
        is_unicode = getattr(self.app, "glyphs", UNICODE).is_unicode
        shown = "".join(each if each.isprintable() else picture(each, is_unicode=is_unicode) for each in self.value)
        return Text(shown, no_wrap=True, overflow="ignore", end="")


def picture(character: str, *, is_unicode: bool) -> str:
    """A sign for a character that would be obeyed or not be seen."""
    if not is_unicode:
        return "?"
    return chr(CONTROL_PICTURES + ord(character)) if ord(character) < NUM_CONTROLS else "\ufffd"
