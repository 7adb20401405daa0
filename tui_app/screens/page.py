"""What every page of the application has: its table of keys, a footer, help, and a way back.

Not here: what a page shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual.screen import Screen

from tui_app.keys import HELP, Key, bindings

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Command:
    """An entry of the command palette."""

    label: str
    help: str
    run: Callable[[], None]


class Page(Screen[Result]):
    """A page sets `KEYS` and `BINDINGS = bindings(KEYS)`; help is everybody's. `GLOSSARY` explains its words there."""

    BINDINGS: ClassVar = bindings([HELP])
    KEYS: ClassVar[tuple[Key, ...]] = ()
    TOPIC: ClassVar[str] = "Help"
    GLOSSARY: ClassVar[str] = ""

    def refused(self) -> dict[str, str]:
        """Actions that cannot be done at the moment, each with the reason."""
        return {}

    def may(self, action: str) -> bool:
        """Whether an action can be done now; where not, the reason is said."""
        reason = self.refused().get(action, "")
        if reason:
            self.app.notify(reason, markup=False, severity="warning", timeout=4)
        return not reason

    def commands(self) -> list[Command]:
        """Every key of the page, for the palette; those that cannot be used say why."""
        return list(self._commands())

    def _commands(self) -> Iterator[Command]:
        refused = self.refused()
        for key in self.KEYS:
            why = refused.get(key.action, "")
            label = f"{key.label.capitalize()}  ({key.name})"
            yield Command(label, f"not now: {why}" if why else key.help, self._runner(key.action))

    def _runner(self, action: str) -> Callable[[], None]:
        def run() -> None:
            self.call_later(self.run_action, action)

        return run

    def action_help(self) -> None:
        from tui_app.screens.help import HelpPage

        self.app.push_screen(HelpPage(self.TOPIC, (*self.KEYS, HELP), self.GLOSSARY))

    def action_nothing(self) -> None:
        """Of keys that a widget or the page's scrolling takes; they stand in the table for the footer and the help."""

    def action_back(self) -> None:
        """To the page before this one; from the first page nothing happens."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()
