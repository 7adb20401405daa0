"""Sentences folded at words to the terminal's width, for the line-based front ends. Not here: tables."""

from __future__ import annotations

import textwrap

from tui_app.memory_table import columns
from tui_app.plain import one_line


def folded(text: str, start: str = "", *, indent: int = 2) -> list[str]:
    """The text behind `start`, over as many lines as it needs, each but the first indented.

    Control characters are shown. A path or another long word is never broken.
    """
    return textwrap.wrap(
        one_line(text),
        columns() - 1,
        initial_indent=start,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [start.rstrip()]
