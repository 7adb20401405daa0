"""Showing a page on the whole screen from the command line, and what is printed when the person leaves.

Not here: the pages, a single run's live view (`live_run`), and which terminals can show it (`tui_app/terminal`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from tui_app.app import FinetuiApp
from tui_app.plain import printable

if TYPE_CHECKING:
    from tui_app.screens.live_run import Terminal


def show(first: Callable[[], Screen[Any]], terminal: Terminal) -> int:
    """Show the page that `first` makes until the person leaves; the exit code. Raises what ended the screen."""
    app = FinetuiApp(
        first,
        glyphs=terminal.glyphs,
        light=terminal.is_light,
        is_colourless=terminal.is_colourless,
        is_remote=terminal.is_remote,
        driver_class=terminal.driver_class,
    )
    code = app.run()
    if app.fault is not None:
        raise app.fault
    for line in app.farewell:
        print(printable(line), flush=True)  # noqa: T201
    return code or 0
