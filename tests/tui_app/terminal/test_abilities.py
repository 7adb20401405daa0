"""What is read of a terminal: by its environment, and in a real pty where the test plays the terminal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pty_session import Answers, PtySession
from tui_app.terminal.abilities import Terminal, colours_of, draws_unicode, read_terminal, textual_settings

ROOT = Path(__file__).parents[3]
OSC_11, ATTRIBUTES = b"\x1b]11;?\x07", b"\x1b[c"
# Reads the terminal, compares the tty's settings before and after, and prints both as one line of JSON.
READER = """
import dataclasses, json, os, sys, termios
from tui_app.terminal.abilities import read_terminal, with_background
before = termios.tcgetattr(0)
terminal = dataclasses.asdict(with_background(read_terminal(os.environ)))
restored = termios.tcgetattr(0) == before
assert not {"textual", "rich"} & set(sys.modules)
print("READ", json.dumps({**terminal, "restored": restored}), "END")
"""


def read_in_pty(answers: Answers, **environ: str | None) -> dict[str, Any]:
    """What the reader makes of a terminal that gives these answers."""
    changes = {"PYTHONPATH": str(ROOT), "COLORFGBG": None, "SSH_TTY": None, "SSH_CONNECTION": None, **environ}
    command = [sys.executable, "-c", READER]
    with PtySession(command, columns=300, rows=24, environ=changes, answers=answers) as session:
        assert session.wait_exit() == 0, session.output
        read = bytes(session.output).partition(b"READ ")[2].partition(b" END")[0]
        return dict(json.loads(read))


def test_a_terminal_with_a_light_background_says_so() -> None:
    answers = {OSC_11: b"\x1b]11;rgb:fdfd/f6f6/e3e3\x1b\\", ATTRIBUTES: b"\x1b[?62;22c"}
    read = read_in_pty(answers)
    assert (read["dark"], read["restored"]) == (False, True)
    assert (read["columns"], read["rows"], read["not_terminals"]) == (300, 24, [])


def test_a_terminal_with_a_dark_background_is_believed_over_colorfgbg() -> None:
    answers = {OSC_11: b"\x1b]11;rgb:1e/1e/1e\x07", ATTRIBUTES: b"\x1b[?1;2c"}
    assert read_in_pty(answers, COLORFGBG="0;15")["dark"] is True


def test_a_terminal_that_never_answers_is_given_up_and_put_back() -> None:
    read = read_in_pty({})
    assert (read["dark"], read["restored"]) == (True, True)
    assert read_in_pty({}, COLORFGBG="0;default;15")["dark"] is False


def test_a_terminal_that_does_not_know_the_question_is_not_waited_for() -> None:
    read = read_in_pty({ATTRIBUTES: b"\x1b[?1;2c"}, SSH_TTY="/dev/pts/7", COLORFGBG="0;15")
    assert (read["dark"], read["over_ssh"]) == (False, True)


@pytest.mark.parametrize("garbage", [b"\x1b]11;what?\x07", b"\x1b]11;rgb:12", b"\x1b]11;rgb:zz/zz/zz\x1b\\"])
def test_garbage_and_half_an_answer_are_no_answer(garbage: bytes) -> None:
    read = read_in_pty({ATTRIBUTES: garbage})
    assert (read["dark"], read["restored"]) == (True, True)


def test_keys_typed_during_the_question_do_not_hide_the_answer() -> None:
    answers = {OSC_11: b"q\x1b]11;rgb:ffff/ffff/ffff\x07w", ATTRIBUTES: b"\x1b[?62c"}
    read = read_in_pty(answers)
    assert (read["dark"], read["restored"]) == (False, True)


def test_a_dumb_terminal_is_asked_nothing() -> None:
    changes = {"PYTHONPATH": str(ROOT), "TERM": "dumb"}
    with PtySession([sys.executable, "-c", READER], columns=300, environ=changes) as session:
        session.wait_exit()
        assert b"\x1b" not in session.output


def test_pipes_are_not_terminals() -> None:
    reads, writes = os.pipe()
    try:
        terminal = read_terminal({"TERM": "xterm"}, stdin=reads, stdout=writes, stderr=writes)
    finally:
        os.close(reads)
        os.close(writes)
    assert terminal.not_terminals == ("stdin", "stdout", "stderr")
    assert (terminal.is_tty, terminal.columns, terminal.rows) == (False, 0, 0)


@pytest.mark.parametrize(
    ("environ", "colours"),
    [
        ({"TERM": "xterm"}, "16"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "screen-256color-bce"}, "256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm", "COLORTERM": "24bit"}, "truecolor"),
        ({"TERM": "xterm-direct"}, "truecolor"),
        ({"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "256"),
    ],
)
def test_the_colours_that_the_environment_promises(environ: dict[str, str], colours: str) -> None:
    assert colours_of(environ) == colours


@pytest.mark.parametrize(
    ("environ", "unicode"),
    [
        ({}, True),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "en_GB.utf8"}, True),
        ({"LANG": "C.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "POSIX"}, False),
        ({"LANG": "de_DE.UTF-8", "FINETUI_ASCII": "1"}, False),
        ({"LANG": "de_DE.UTF-8", "FINETUI_ASCII": "0"}, True),
        ({"LANG": "de_DE.UTF-8", "TERM": "linux"}, False),
    ],
)
def test_whether_braille_comes_out(environ: dict[str, str], unicode: bool) -> None:
    assert draws_unicode(environ) is unicode


def terminal_for(environ: dict[str, str], *, ascii_only: bool = False) -> Terminal:
    with Path(os.devnull).open("rb") as nothing:
        descriptor = nothing.fileno()
        return read_terminal(environ, ascii_only=ascii_only, stdin=descriptor, stdout=descriptor, stderr=descriptor)


def test_the_option_for_ascii_and_the_wish_for_accessible_text_are_read() -> None:
    terminal = terminal_for({"LANG": "C.UTF-8", "ACCESSIBLE": "1"}, ascii_only=True)
    assert (terminal.unicode, terminal.wants_accessible) == (False, True)
    assert terminal_for({"ACCESSIBLE": "0"}).wants_accessible is False


@pytest.mark.parametrize(
    ("environ", "changes", "ansi_color"),
    [
        ({"TERM": "xterm-256color", "ESCDELAY": "50"}, {"TEXTUAL_COLOR_SYSTEM": "256"}, False),
        (
            {"TERM": "xterm", "COLORFGBG": "0;15"},
            {"TEXTUAL_COLOR_SYSTEM": "standard", "ESCDELAY": "25"},
            True,
        ),
        (
            {"TERM": "xterm-256color", "SSH_TTY": "/dev/pts/1"},
            {"TEXTUAL_COLOR_SYSTEM": "256", "TEXTUAL_ANIMATIONS": "none"},
            False,
        ),
        (
            {"COLORTERM": "truecolor", "SSH_TTY": "/dev/pts/1", "TEXTUAL_ANIMATIONS": "full"},
            {"TEXTUAL_COLOR_SYSTEM": "truecolor"},
            False,
        ),
        (
            {"COLORTERM": "truecolor", "NO_COLOR": "1"},
            {"TEXTUAL_COLOR_SYSTEM": "standard", "ESCDELAY": "25"},
            True,
        ),
        (
            {"COLORTERM": "24bit", "NO_COLOR": ""},
            {"TEXTUAL_COLOR_SYSTEM": "truecolor", "ESCDELAY": "25", "NO_COLOR": None},
            False,
        ),
    ],
)
def test_what_textual_is_told(environ: dict[str, str], changes: dict[str, str | None], ansi_color: bool) -> None:
    settings = textual_settings(terminal_for(environ), environ)
    assert (settings.environ, settings.ansi_color) == (changes, ansi_color)
