"""Showing a page on the whole screen from the command line, and what is printed when the person leaves.

Not here: the pages, and which terminals can show them (`tui_app/display`).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from textual.screen import Screen

from engine.run_dir import RunDir
from tui_app.app import FinetuiApp
from tui_app.cli import tell
from tui_app.looks import Looks
from tui_app.plain import printable
from tui_app.terminal.ending import asked_to_end


def show(first: Callable[[], Screen[Any]], looks: Looks, *, run: Callable[[], RunDir | None] = lambda: None) -> int:
    """Show the page that `first` makes until the person leaves; the exit code. Raises what ended the screen.

    `run` is the run that the person leaves: unless the page left last words of its own, they tell how that run
    stands. A fault of the screen ends the view, never the run.
    """
    app = FinetuiApp(first, looks)
    with asked_to_end(app.end):
        code = app.run()
    left = run()
    if app.fault is not None:
        if left is not None:
            tell(f"The screen failed; run {left.name} is untouched. Watch it: finetui attach {left.typed}")
        raise getattr(app.fault, "error", app.fault)  # of a worker, what went wrong in it
    if app.ended_by == signal.SIGHUP:  # nobody is there any more to be told anything
        return code or 0
    words = app.farewell
    if left is not None and not words:
        from tui_app.runs.watch import RunWatch

        _, words = RunWatch(left).leave()
    for line in words:
        print(printable(line), flush=True)  # noqa: T201 - the last words on a terminal
    return code or 0
