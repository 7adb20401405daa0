"""What the application is told of the terminal it draws in: signs, colours, and how to send few bytes.

Not here: finding that out (`tui_app/terminal`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from textual.driver import Driver

from tui_app.glyphs import ASCII, UNICODE, Glyphs
from tui_app.terminal.abilities import Terminal, textual_settings
from tui_app.terminal.diff_driver import driver_class


@dataclass(frozen=True, slots=True)
class Looks:
    """`is_colourless`: bold and reverse are all there is. `driver_class` None stands for Textual's own."""

    glyphs: Glyphs = UNICODE
    is_light: bool = False
    is_colourless: bool = False
    is_remote: bool = False
    driver_class: type[Driver] | None = None


def looks_of(terminal: Terminal, environ: Mapping[str, str] = os.environ, *, sends_differences: bool = True) -> Looks:
    """What follows from a terminal's abilities; with 16 colours its own are used, so ours are left out."""
    return Looks(
        glyphs=UNICODE if terminal.unicode else ASCII,
        is_light=not terminal.dark,
        is_colourless=textual_settings(terminal, environ).ansi_color,
        is_remote=terminal.over_ssh,
        driver_class=driver_class(environ, wanted=sends_differences),
    )
