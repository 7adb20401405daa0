"""One table of keys: what a key is called, what it does, and for whom. Bindings, footer, help and docs come from it.

A screen has a tuple of `Key`s and nothing else about keys. Not here: what an action does (its screen's `action_…`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """`keys` as Textual spells them, comma-separated; `shown` as people read it; `footer` for the six that matter."""

    keys: str
    action: str
    label: str
    help: str
    shown: str = ""
    footer: bool = False
    steers: bool = False
    """Changes the run: not offered in a read-only view."""

    @property
    def name(self) -> str:
        return self.shown or self.keys.split(",")[0]


def bindings(keys: Iterable[Key]) -> list[Binding]:
    """The table as Textual's bindings; footers and help are drawn from the table itself."""
    return [Binding(key.keys, key.action, key.label, show=False, tooltip=key.help) for key in keys]
