"""The line that says of a run that a newer finetui made it. Not here: how that is known (`engine/run_format`)."""

from __future__ import annotations

import sys

from engine.run_dir import RunDir
from engine.run_format import note_of
from tui_app.plain import printable


def tell_of_newer(*runs: RunDir) -> None:
    """Say it on standard error, of each run that it is true of."""
    for note in filter(None, map(note_of, runs)):
        print(printable(note), file=sys.stderr)  # noqa: T201
