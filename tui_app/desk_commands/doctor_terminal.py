"""What the terminal can do, as findings of `finetui doctor`. Not here: reading it (`tui_app.terminal.abilities`)."""

from __future__ import annotations

import locale
from collections.abc import Iterator, Mapping

from engine.doctor import Finding
from tui_app.terminal.abilities import Terminal, read_terminal

COLUMNS, ROWS = 80, 24


def terminal(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Kind, size, colours, characters, and what stands between the screen and the keyboard."""
    here = read_terminal(environ)
    yield kind(here, environ)
    if not here.is_tty or here.dumb:
        return
    yield size(here)
    yield colours(here, environ)
    yield characters(here, environ)
    yield mouse(environ)


def kind(here: Terminal, environ: Mapping[str, str]) -> Finding:
    """Whether there is one, and which."""
    if not here.is_tty:
        found = f"{', '.join(here.not_terminals)} no terminal: the screens are drawn line by line"
        return Finding("terminal", "ok", found)
    told = f"TERM={here.term or 'unset'}{', over SSH' if here.over_ssh else ''}{_inside(environ)}"
    if here.dumb:
        remedy = "It obeys no escape sequences, so finetui asks line by line. In an ordinary terminal:"
        return Finding("terminal", "warn", told, remedy, "export TERM=xterm-256color")
    return Finding("terminal", "ok", told)


def _inside(environ: Mapping[str, str]) -> str:
    if environ.get("TMUX"):
        return ", in tmux"
    return ", in screen" if environ.get("STY") else ""


def size(here: Terminal) -> Finding:
    found = f"{here.columns} x {here.rows}"
    if here.columns >= COLUMNS and here.rows >= ROWS:
        return Finding("size", "ok", found)
    return Finding("size", "warn", found, f"The pages are made for {COLUMNS} x {ROWS}: make the window larger.")


def colours(here: Terminal, environ: Mapping[str, str]) -> Finding:
    """How many colours; in tmux and screen the inner TERM decides."""
    found = {"none": "none (NO_COLOR)", "truecolor": "24 bits"}.get(here.colours, here.colours)
    if here.colours != "16" or here.term == "linux":
        return Finding("colours", "ok", found)
    remedy = "If the terminal has more, say so:"
    if environ.get("TMUX"):
        return Finding("colours", "warn", found, remedy, "tmux set -g default-terminal tmux-256color")
    return Finding("colours", "warn", found, remedy, "export TERM=xterm-256color")


def characters(here: Terminal, environ: Mapping[str, str]) -> Finding:
    """Whether braille and lines come out: the locale has to be UTF-8."""
    told = next(
        (f"{name}={environ[name]}" for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "no locale set"
    )
    if here.unicode:
        return Finding("characters", "ok", f"Unicode ({told})")
    if environ.get("FINETUI_ASCII") or here.term == "linux":
        return Finding(
            "characters", "ok", "ASCII, as asked" if environ.get("FINETUI_ASCII") else "ASCII: the Linux console"
        )
    found = f"ASCII only: {told}, {locale.getpreferredencoding(False)}"
    return Finding("characters", "warn", found, "Take a UTF-8 locale.", "export LC_ALL=C.UTF-8")


def mouse(environ: Mapping[str, str]) -> Finding:
    """Clicks arrive unless a multiplexer keeps them; every key works without."""
    if environ.get("TMUX"):
        return Finding("mouse", "ok", "tmux passes clicks on if told to: tmux set -g mouse on")
    if environ.get("STY"):
        return Finding("mouse", "ok", "screen passes clicks on; the wheel scrolls its own history")
    return Finding("mouse", "ok", "clicks are asked for; every key works without")
