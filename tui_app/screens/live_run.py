"""Showing one run on the whole screen from the command line, and what is printed when the person leaves.

Exit codes: 0 for who leaves a run that goes on; else how the run ended, as `finetui attach` on a plain terminal.
Not here: the screen itself (`live`), and which terminals can show it (`tui_app/terminal`).
"""

from __future__ import annotations

import argparse
import sys
from typing import Protocol

from textual.driver import Driver

from engine.run_dir import RunDir
from tui_app.app import FinetuiApp
from tui_app.cli import tell
from tui_app.following import exit_code, program
from tui_app.glyphs import Glyphs
from tui_app.plain import ending, printable
from tui_app.run_watch import RunWatch
from tui_app.screens.live import LiveScreen


class Terminal(Protocol):
    """What has to be known of the terminal; `tui_app.looks.looks_of` makes one."""

    @property
    def glyphs(self) -> Glyphs: ...
    @property
    def is_light(self) -> bool: ...
    @property
    def is_colourless(self) -> bool: ...
    @property
    def is_remote(self) -> bool: ...
    @property
    def driver_class(self) -> type[Driver] | None: ...


def run_live(run: RunDir, terminal: Terminal, options: argparse.Namespace) -> int:
    """Show the run until the person leaves. A fault of the screen ends the view, never the run, and is raised."""
    is_readonly = bool(getattr(options, "readonly", False))
    app = FinetuiApp(
        lambda: LiveScreen(run, is_readonly=is_readonly),
        glyphs=terminal.glyphs,
        light=terminal.is_light,
        is_colourless=terminal.is_colourless,
        is_remote=terminal.is_remote,
        driver_class=terminal.driver_class,
    )
    code = app.run()
    if app.fault is not None:
        tell(f"The screen failed; run {run.name} is untouched. Watch it: finetui attach {run.reference}")
        raise app.fault
    for line in app.farewell or leaving(RunWatch(run))[1]:
        print(printable(line), file=sys.stdout, flush=True)  # noqa: T201
    return code or 0


def leaving(watch: RunWatch) -> tuple[int, tuple[str, ...]]:
    """(exit code, last lines) for somebody who leaves now: the way back, or how the run ended."""
    watch.read_all()
    run, state = watch.run, watch.state
    if not state.is_over and watch.alive != "dead":
        return 0, (f"detached; run {run.name} goes on. Watch it: {program()} attach {run.reference}",)
    return exit_code(state), tuple(ending(state, str(run.path), str(run.log), program()))
