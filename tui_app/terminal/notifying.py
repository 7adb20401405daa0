"""Telling the person at a terminal that a run is over: the bell, and a message where the terminal shows such.

OSC 9 (iTerm2), OSC 777 (urxvt, VTE) and OSC 99 (kitty) make a terminal tell its desktop. A terminal that knows none of
them drops it, but the Linux console and old ones print rubbish: so only known ones get a message unless the user names
a way. Not here: notifications without a viewer (`engine/notification`), and when a run counts as over.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.notification import End, is_automatic, tells_desktop
from engine.own_defaults import effective

BELL = "\a"
OFF = "off"
BY_PROGRAM = {"iTerm.app": "osc9", "WezTerm": "osc777", "ghostty": "osc777", "rio": "osc777", "contour": "osc777"}
"""TERM_PROGRAM -> the way its documentation names."""
BY_TERM = {
    "xterm-kitty": "osc99",
    "foot": "osc777",
    "foot-extra": "osc777",
    "xterm-ghostty": "osc777",
    "wezterm": "osc777",
}
BY_VARIABLE = {"KITTY_WINDOW_ID": "osc99", "ITERM_SESSION_ID": "osc9", "GHOSTTY_RESOURCES_DIR": "osc777"}
"""Left in the environment by the terminal, also inside tmux."""


def bell(environ: Mapping[str, str]) -> str:
    """What a line-based view may send: the bell alone, no escape sequence; empty where none is wanted."""
    return "" if way_for(environ) == OFF else BELL


def message(end: End, environ: Mapping[str, str]) -> str:
    """What the screens send at a run's end; empty where nothing is wanted."""
    way = way_for(environ)
    if way == OFF or environ.get("TERM") in ("dumb", "unknown"):
        return ""
    title, body = (_clean(text) for text in (f"finetui: {end.title}", end.result))
    if way == "osc9":
        told = f"\x1b]9;{title}: {body}\x1b\\"
    elif way == "osc777":
        told = f"\x1b]777;notify;{title.replace(';', ',')};{body}\x1b\\"
    elif way == "osc99":
        told = f"\x1b]99;i=finetui:d=0:p=title;{title}\x1b\\\x1b]99;i=finetui:d=1:p=body;{body}\x1b\\"
    else:
        return BELL
    return BELL + (_through_tmux(told) if environ.get("TMUX") else told)


def way_for(environ: Mapping[str, str]) -> str:
    """off, bell, osc9, osc777 or osc99: as the user says, else what the terminal is known to show."""
    wanted = str(effective("notify.terminal").value)
    if wanted != "auto":
        return wanted
    if is_automatic(environ):
        return OFF
    if tells_desktop(environ) or environ.get("STY"):  # told once is enough; GNU screen hands nothing through
        return "bell"
    by_variable = next((way for name, way in BY_VARIABLE.items() if environ.get(name)), "bell")
    return BY_PROGRAM.get(environ.get("TERM_PROGRAM", "")) or BY_TERM.get(environ.get("TERM", "")) or by_variable


def _through_tmux(text: str) -> str:
    """For the terminal around tmux, which lets it through where `allow-passthrough` is on, and drops it elsewhere."""
    doubled = text.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{doubled}\x1b\\"


def _clean(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())
