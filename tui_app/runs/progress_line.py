"""One line on stderr that changes while rows are answered or an artifact is made; only where a person sees it.

Not here: the lines that stay (`tui_app/plain`).
"""

from __future__ import annotations

import sys

from engine.run_state import RunState
from tui_app.result_table import one_line

WIDTH = 78


def progress_text(state: RunState) -> str:
    """What is being done and how far it is; empty where nothing tells."""
    if (doing := state.exporting) is not None:
        share = f", {doing.num_done:,} of {doing.num_total:,}" if doing.num_total else ""
        return one_line(f"{doing.artifact}: {doing.doing}{share}")
    if (answered := state.progress) is not None:
        return one_line(f"{answered.variant}: answered {answered.num_done:,} of {answered.num_rows:,}")
    return ""


class ProgressLine:
    """Draws over itself. On a stream that is no terminal it stays silent."""

    def __init__(self) -> None:
        self._is_on = sys.stderr.isatty()
        self._text = ""

    def draw(self, state: RunState) -> None:
        """Show how far it is now."""
        self._put(f"   {progress_text(state)}".rstrip()[:WIDTH])

    def clear(self) -> None:
        """Leave the line empty, for lines that stay."""
        self._put("")

    def _put(self, text: str) -> None:
        if self._is_on and text != self._text:
            sys.stderr.write(f"\r{text.ljust(len(self._text))}\r{text}")
            sys.stderr.flush()
            self._text = text
