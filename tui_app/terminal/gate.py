"""Chooses the front end before anything is drawn: screens, questions line by line, plain text, or no questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_app.terminal.abilities import Terminal

Front = Literal["screens", "line", "plain", "none"]

# The smallest terminal in which the screens can be used.
SMALLEST_COLUMNS, SMALLEST_ROWS = 60, 18


@dataclass(frozen=True, slots=True)
class Choice:
    """A front end, and the sentence that says why it is this one."""

    front: Front
    reason: str


def choose(terminal: Terminal, *, line: bool, plain: bool, answers_complete: bool) -> Choice:
    """The front end for this terminal and these options; the first rule that holds decides.

    "none" without complete answers means that nobody can be asked: the caller names the missing option and exits.
    """
    if answers_complete:
        return Choice("none", "Every answer was given on the command line, so nothing is asked.")
    if not terminal.is_tty:
        names = " and ".join(terminal.not_terminals)
        verb = "is" if len(terminal.not_terminals) == 1 else "are"
        return Choice("none", f"{names} {verb} not a terminal, so nothing can be asked.")
    if plain:
        return Choice("plain", "--plain asks for text without escape sequences.")
    if terminal.wants_accessible:
        return Choice("plain", "ACCESSIBLE is set: text without escape sequences, for screen readers.")
    if terminal.dumb:
        named = f"TERM is {terminal.term}" if terminal.term else "TERM is not set"
        return Choice("plain", f"{named}, so the terminal may not obey escape sequences.")
    if line:
        return Choice("line", "--line asks for questions one below the other.")
    if terminal.columns < SMALLEST_COLUMNS or terminal.rows < SMALLEST_ROWS:
        return Choice(
            "line",
            f"The terminal has {terminal.columns}x{terminal.rows} cells and the screens need "
            f"{SMALLEST_COLUMNS}x{SMALLEST_ROWS}.",
        )
    return Choice("screens", f"The terminal has {terminal.columns}x{terminal.rows} cells and can be drawn on.")
