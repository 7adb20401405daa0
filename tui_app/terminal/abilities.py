"""What the terminal can do, read once before anything is drawn and before Textual is imported.

Which front end follows from it is `gate`'s to say; what Textual has to be told is at the end of this page.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tui_app.terminal.background import ask_whether_dark

Colours = Literal["none", "16", "256", "truecolor"]

# How long the terminal may take to name its background. Longer over SSH: an answer that comes after the limit would
# reach the wizard as typed keys. Terminals answer at once, so a limit costs time only where the line is that slow.
ANSWER_LIMIT_S = 0.1
ANSWER_LIMIT_OVER_SSH_S = 0.5
# TERM values whose terminals obey no escape sequence; "" is an unset TERM.
_DUMB = ("", "dumb", "unknown")
# Entries of the 16-colour table that are light backgrounds, as COLORFGBG counts them.
_LIGHT_ENTRIES = ("7", "9", "10", "11", "12", "13", "14", "15")


ESCAPE_DELAY_MS = 25
"""How long Textual waits after an Escape for the rest of a sequence; its own 100 ms are for lines that are slow."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """The terminal as it was at the start. `columns` and `rows` are cells, 0 without a terminal."""

    columns: int
    rows: int
    not_terminals: tuple[str, ...]
    term: str
    colours: Colours
    unicode: bool
    dark: bool
    over_ssh: bool
    wants_accessible: bool

    @property
    def is_tty(self) -> bool:
        """Whether keys can be read and screens drawn: all three standard streams are a terminal."""
        return not self.not_terminals

    @property
    def dumb(self) -> bool:
        """Whether the terminal says that it obeys no escape sequence, or nothing at all."""
        return self.term in _DUMB


def read_terminal(
    environ: Mapping[str, str],
    *,
    ascii_only: bool = False,
    stdin: int = 0,
    stdout: int = 1,
    stderr: int = 2,
) -> Terminal:
    """Read the terminal behind the three file descriptors; `ascii_only` is the command line's --ascii.

    Textual reads stdin and draws on stderr; what is printed afterwards goes to stdout.
    """
    streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    not_terminals = tuple(name for name, descriptor in streams.items() if not _is_tty(descriptor))
    term = environ.get("TERM", "")
    over_ssh = bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))
    columns, rows = _size(stderr)
    return Terminal(
        columns=columns,
        rows=rows,
        not_terminals=not_terminals,
        term=term,
        colours=colours_of(environ),
        unicode=not ascii_only and draws_unicode(environ),
        dark=_dark_by_colorfgbg(environ),
        over_ssh=over_ssh,
        wants_accessible=environ.get("ACCESSIBLE", "") not in ("", "0"),
    )


def with_background(terminal: Terminal, *, stdin: int = 0, stderr: int = 2) -> Terminal:
    """The terminal with the brightness that it names itself; that may take it `ANSWER_LIMIT_S`."""
    if not terminal.is_tty or terminal.dumb:
        return terminal
    limit = ANSWER_LIMIT_OVER_SSH_S if terminal.over_ssh else ANSWER_LIMIT_S
    dark = ask_whether_dark(stdin, stderr, limit_s=limit)
    return terminal if dark is None else replace(terminal, dark=dark)


def colours_of(environ: Mapping[str, str]) -> Colours:
    """How many colours the environment promises. SSH does not pass COLORTERM on, so 256 is the common answer there."""
    if environ.get("NO_COLOR"):
        return "none"
    term = environ.get("TERM", "")
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or term.endswith("-direct"):
        return "truecolor"
    return "256" if "256color" in term else "16"


def draws_unicode(environ: Mapping[str, str]) -> bool:
    """Whether braille, blocks and lines come out: the locale is UTF-8, nobody wants ASCII, and there is a font.

    The Linux console's font has 512 characters at most, none of them braille.
    """
    if environ.get("FINETUI_ASCII", "") not in ("", "0") or environ.get("TERM") == "linux":
        return False
    # The first of them that is set decides, as in the C library. With none set, Python itself takes UTF-8.
    locale = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := environ.get(name))), "UTF-8")
    return "utf8" in locale.lower().replace("-", "")


def _is_tty(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _size(descriptor: int) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return size.columns, size.lines


def _dark_by_colorfgbg(environ: Mapping[str, str]) -> bool:
    """COLORFGBG is "foreground;background", entries of the 16-colour table. Dark if it does not say."""
    return environ.get("COLORFGBG", "").rpartition(";")[2] not in _LIGHT_ENTRIES


# What Textual has to be told


@dataclass(frozen=True, slots=True)
class TextualSettings:
    """What Textual needs to know of the terminal.

    `environ` must be laid over os.environ before textual is imported, which reads it once; None removes a name.
    `ansi_color` goes to `App(ansi_color=...)`: the terminal's own colours, or with NO_COLOR none at all. Without it
    NO_COLOR would mean shades of grey in 24 bits.
    """

    environ: Mapping[str, str | None]
    ansi_color: bool


def textual_settings(terminal: Terminal, environ: Mapping[str, str]) -> TextualSettings:
    """Colours, animation and brightness for this terminal; what the user set for Textual himself stays."""
    systems = {"none": "standard", "16": "standard", "256": "256", "truecolor": "truecolor"}
    wanted: dict[str, str | None] = {"TEXTUAL_COLOR_SYSTEM": systems[terminal.colours]}
    if terminal.over_ssh:
        wanted["TEXTUAL_ANIMATIONS"] = "none"
    else:
        wanted["ESCDELAY"] = str(ESCAPE_DELAY_MS)
    changes = {name: value for name, value in wanted.items() if name not in environ}
    if "NO_COLOR" in environ and terminal.colours != "none":
        changes["NO_COLOR"] = None  # set but empty does not count, by the convention; Textual would obey it
    if terminal.is_tty:  # as exported by some other program, they would hold the screen at that size for ever
        changes |= {name: None for name in ("COLUMNS", "LINES") if name in environ}
    return TextualSettings(changes, ansi_color=terminal.colours in ("none", "16"))
