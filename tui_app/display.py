"""Which front end a command gets, and the terminal as the screens want it. Reads the terminal; draws nothing.

Not here: the rules (`tui_app/terminal/gate`), what follows for Textual (`tui_app/looks`).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING

from engine.own_defaults import effective
from tui_app.terminal.abilities import Terminal, read_terminal, textual_settings, with_background
from tui_app.terminal.gate import Choice, choose

if TYPE_CHECKING:
    from tui_app.looks import Looks

WEB_DRIVER = "TEXTUAL_DRIVER"
"""Set by what shows the screens in a browser: there is no terminal then, and none is needed."""


def front_for(options: argparse.Namespace, *, answers_complete: bool = False) -> tuple[Choice, Terminal]:
    """The front end for a command's options, and the terminal it was chosen for."""
    ascii_only = bool(getattr(options, "ascii", False) or effective("screen.ascii").value)
    terminal = read_terminal(os.environ, ascii_only=ascii_only)
    wants = {name: bool(getattr(options, name, False)) for name in ("line", "plain")}
    if WEB_DRIVER in os.environ and not answers_complete:
        return Choice("screens", "The screens are shown in a browser."), terminal
    return choose(terminal, **wants, answers_complete=answers_complete), terminal


def shaded(terminal: Terminal, options: argparse.Namespace) -> Terminal:
    """Dark or light as --dark and --light say, else as the terminal itself does when it is asked."""
    if getattr(options, "light", False) or getattr(options, "dark", False):
        return dataclasses.replace(terminal, dark=not options.light)
    if (theme := effective("screen.theme").value) != "auto":
        return dataclasses.replace(terminal, dark=theme == "dark")
    return with_background(terminal)


def looks_for(terminal: Terminal, options: argparse.Namespace) -> Looks:
    """What the screens are told. Call it before textual is imported: that reads the environment once."""
    terminal = shaded(terminal, options)
    for name, value in textual_settings(terminal, os.environ).environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    from tui_app.looks import looks_of

    sends_differences = not getattr(options, "no_diff", False) and bool(effective("screen.diff").value)
    return looks_of(terminal, sends_differences=sends_differences)


def live_looks(options: argparse.Namespace) -> Looks | None:
    """The looks for a run's live screen; None where lines of text are wanted or all that is possible."""
    if getattr(options, "json", False):
        return None
    choice, terminal = front_for(options)
    return looks_for(terminal, options) if choice.front == "screens" else None
