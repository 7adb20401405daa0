"""What a terminal is sent at the end of a run: only what it shows, and nothing where nobody looks."""

from __future__ import annotations

import pytest

from engine.notification import End
from tui_app.terminal.cell_grid import CellGrid
from tui_app.terminal.notifying import bell, message
from tui_app.terminal.screen_stream import ScreenStream, Setting

END = End("demo-1", "finished", "exact; match 97 %\x1b]0;owned\x07", 0)
XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "sent"),
    [
        (XTERM, "\a"),
        ({"TERM": "xterm-kitty"}, "\a\x1b]99;i=finetui:d=0:p=title;finetui: demo-1 finished\x1b\\"),
        (XTERM | {"TERM_PROGRAM": "iTerm.app"}, "\a\x1b]9;finetui: demo-1 finished: exact; match 97 %]0;owned\x1b\\"),
        (XTERM | {"TERM_PROGRAM": "WezTerm"}, "\a\x1b]777;notify;finetui: demo-1 finished;exact; match"),
        ({"TERM": "foot"}, "\a\x1b]777;notify;"),
        ({"TERM": "tmux-256color", "TMUX": "x", "KITTY_WINDOW_ID": "1"}, "\a\x1bPtmux;\x1b\x1b]99;"),
        ({"TERM": "screen", "STY": "x", "KITTY_WINDOW_ID": "1"}, "\a"),
        (XTERM | {"CI": "true"}, ""),
        ({"TERM": "dumb"}, ""),
        (XTERM | {"CI": "false"}, "\a"),
    ],
)
def test_a_terminal_gets_the_bell_and_a_message_if_it_is_known_to_show_one(environ: dict[str, str], sent: str) -> None:
    told = message(END, environ)
    assert told.startswith(sent)
    assert len(sent) > 1 or told == sent
    assert "\x1b]0;" not in told


@pytest.mark.parametrize(
    ("wanted", "environ", "sent"),
    [
        ("off", {"TERM": "xterm-kitty"}, ""),
        ("bell", {"TERM": "xterm-kitty"}, "\a"),
        ("osc9", XTERM, "\a\x1b]9;"),
        ("osc777", XTERM | {"TMUX": "x"}, "\a\x1bPtmux;\x1b\x1b]777;"),
        ("osc99", XTERM | {"CI": "true"}, "\a\x1b]99;"),
    ],
)
def test_what_somebody_asks_for_is_sent(
    wanted: str, environ: dict[str, str], sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUI_NOTIFY", wanted)
    assert message(END, environ).startswith(sent)
    assert bool(message(END, environ)) == bool(sent)


def test_lines_get_the_bell_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bell({"TERM": "xterm-kitty"}) == "\a"
    assert bell({"TERM": "dumb"}) == "\a"
    assert bell({"CI": "1"}) == ""
    monkeypatch.setenv("FINETUI_NOTIFY", "off")
    assert bell(XTERM) == ""


@pytest.mark.parametrize("environ", [{"TERM": "xterm-kitty"}, XTERM | {"TMUX": "x", "TERM_PROGRAM": "WezTerm"}])
def test_a_message_passes_the_screen_without_touching_a_cell(environ: dict[str, str]) -> None:
    told = message(END, environ)
    stream = ScreenStream(CellGrid(20, 2))
    passages = stream.feed(f"\x1b[1;1Hbefore{told}")
    assert all(isinstance(each, Setting) for each in passages)
    assert "".join(each.text for each in passages if isinstance(each, Setting)) == told
    assert "before" in stream.frame().text
