"""An `Input` that shows control characters instead of sending them to the terminal: a path may hold an escape."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.actions import SkipAction
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
        if getattr(self.app, "is_remote", False):
            self.cursor_blink = False  # two small frames a second for nothing, on a line that may be slow

    async def _on_key(self, event: events.Key) -> None:
        """Editing keys at once, as letters are: by way of the app they would come after letters typed behind them."""
        own = self._bindings.key_to_bindings.get(event.key, ())
        action = next((each.action for each in own if not each.priority and "." not in each.action), "")
        if not event.is_printable and action and action != "copy":
            event.stop()
            event.prevent_default()
            self._restart_blink()
            await self.run_action(action)

    def action_copy(self) -> None:
        """Ctrl-C leaves, as everywhere in a terminal; copying is the terminal's own key."""
        raise SkipAction

    async def be_a_key(self, event: events.Key) -> None:
        """Obey a character as the page does, in place of typing it: the default that is prevented would type it."""
        event.stop()
        event.prevent_default()
        self.app.call_later(self.app._check_bindings, event.key)  # not here: a key may take this field away

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
