"""The line that a message is typed into: what was sent before comes back with the arrows, pasted lines stay lines.

Not here: what becomes of a message.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events

from tui_app.widgets.plain_input import PlainInput


class MessageLine(PlainInput):
    """Keys in `PAGE_KEYS` are the page's, also those that an input line would take."""

    PAGE_KEYS: ClassVar[dict[str, str]] = {"ctrl+c": "halt", "up": "recall(-1)", "down": "recall(1)"}

    def __init__(self, *, id: str | None = None, placeholder: str = "") -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, placeholder=placeholder, compact=True)
        self.sent: list[str] = []
        self._place = 0
        self._draft = ""

    def remember(self, message: str) -> None:
        """Keep what was sent, once where it is sent twice in a row."""
        if self.sent[-1:] != [message]:
            self.sent.append(message)
        self._place, self._draft = len(self.sent), ""

    def recall(self, by: int) -> None:
        """The message before or after; beyond the last one stands what was being typed."""
        if self._place == len(self.sent):
            self._draft = self.value
        self._place = min(max(self._place + by, 0), len(self.sent))
        self.value = self.sent[self._place] if self._place < len(self.sent) else self._draft
        self.cursor_position = len(self.value)

    async def _on_key(self, event: events.Key) -> None:
        if action := self.PAGE_KEYS.get(event.key):
            event.stop()
            event.prevent_default()
            await self.screen.run_action(f"screen.{action}")
            return
        await super()._on_key(event)

    def _on_paste(self, event: events.Paste) -> None:
        """Whole, line breaks and all; they are shown as signs."""
        event.stop()
        event.prevent_default()
        self.insert_text_at_cursor(event.text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n"))
