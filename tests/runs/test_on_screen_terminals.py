"""Terminals of many kinds, and how they are left: dumb, tiny, absent, without colours or letters; suspended, quit."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import pytest

from engine.control import claim
from tests.tmux import PATIENCE_SECONDS, Tmux, finetui, tmux
from tests.tui_app.live_runs import running_run

SHELL = ("sh", "-i")
COLOUR = re.compile(r"\x1b\[[0-9;]*(?<![0-9])(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


def test_a_dumb_terminal_gets_plain_questions_without_one_escape(tmp_path: Path) -> None:
    with tmux(*SHELL, env={"TERM": "dumb"}) as terminal:
        terminal.wait(r"^shell>")
        terminal.record(tmp_path / "bytes")
        terminal.command("finetui new --preset demo-cpu; echo left with $?")
        terminal.wait(r"^Start from .*:$")
        terminal.keys("Enter")
        terminal.wait(r"^Base model .*:$")
        terminal.keys("C-c")
        terminal.wait(r"^left with 130")
    written = (tmp_path / "bytes").read_bytes()
    assert b"Start from" in written
    assert b"\x1b" not in written


def test_a_tiny_window_is_asked_line_by_line() -> None:
    with finetui("new", "--preset", "demo-cpu", columns=40, rows=10) as terminal:
        terminal.wait(r"Start from")
        assert terminal.value("alternate_on") == "0"
        terminal.keys("Enter")
        terminal.wait(r"Base model")
        terminal.keys("C-c")
        assert terminal.exit_code() == 130
        assert "nothing was started" in " ".join(terminal.lines().split())


def test_a_run_is_watched_line_by_line_in_a_tiny_window() -> None:
    run = running_run()
    with finetui("attach", run.reference, columns=40, rows=10) as terminal:
        terminal.wait(r"step 16")
        assert terminal.value("alternate_on") == "0"


def test_without_a_terminal_it_ends_with_2_and_names_the_options() -> None:
    with tmux(*SHELL) as terminal:
        terminal.wait(r"^shell>")
        terminal.command("finetui </dev/null; echo left with $?")
        terminal.wait(r"^left with 2")
        told = terminal.lines()
        for words in ("stdin is not a terminal", "--model", "--dataset", "--preset", "--start", "--yes"):
            assert words in told


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
def test_with_no_color_there_is_no_colour(size: tuple[int, int]) -> None:
    run = running_run()
    columns, rows = size
    with finetui("attach", run.reference, columns=columns, rows=rows, env={"NO_COLOR": "1"}) as terminal:
        terminal.wait(r"RUNNING(.*\n)*.*tok/s")
        assert COLOUR.findall(terminal.colours()) == []
        terminal.keys("S")
        terminal.wait(r"Stop going\?")
        assert COLOUR.findall(terminal.colours()) == []
    with finetui("attach", run.reference, columns=columns, rows=rows) as terminal:
        terminal.wait(r"RUNNING(.*\n)*.*tok/s")
        assert COLOUR.findall(terminal.colours()), "with colours there are some"


def test_with_ascii_every_letter_is_ascii() -> None:
    run = running_run()
    with finetui("attach", "--ascii", run.reference) as terminal:
        terminal.wait(r"RUNNING(.*\n)*.*tok/s")
        for panel in "12345678":
            terminal.keys(panel)
            terminal.wait(rf"\[{panel} ")
            assert terminal.screen().isascii()
        terminal.keys("?")
        terminal.wait(r"Esc")
        assert terminal.screen().isascii()
    with finetui("new", "--ascii", "--preset", "demo-cpu") as terminal:
        for step in ("1 Hardware", "2 Model", "3 Data", "4 Method", "5 Review"):
            shown = terminal.wait(rf"> {step}")
            assert shown.isascii(), shown
            terminal.keys("Enter") if not step.startswith("5") else None


def is_sane(terminal: Tmux) -> None:
    """A shell that can be worked in: echo, a cursor, no second screen, no mouse reports."""
    names = ("alternate_on", "cursor_flag", "mouse_any_flag", "mouse_sgr_flag", "keypad_cursor_flag")
    assert {name: terminal.value(name) for name in names} == {
        "alternate_on": "0",
        "cursor_flag": "1",
        "mouse_any_flag": "0",
        "mouse_sgr_flag": "0",
        "keypad_cursor_flag": "0",
    }
    terminal.run("clear-history")
    end = f"end-{uuid4().hex[:6]}"  # not that of an earlier call, which is still to be seen
    terminal.command(f"clear; stty -a; echo {end}")
    terminal.wait(rf"^{end}")
    told = set(terminal.lines().replace(";", " ").split())
    assert {"echo", "icanon", "isig", "icrnl", "opost"} <= told


def test_after_q_the_terminal_is_as_it_was(tmp_path: Path) -> None:
    run = running_run()
    with tmux(*SHELL, cwd=tmp_path) as terminal:
        terminal.wait(r"^shell>")
        terminal.command("stty -g >before; echo before")
        terminal.wait(r"^before\nshell>$")
        terminal.command(f"finetui attach {run.reference}; echo left with $?")
        terminal.wait(r"RUNNING")
        assert terminal.value("alternate_on") == "1"
        terminal.keys("q")
        shown = terminal.wait(r"^left with 0\nshell>$")
        assert shown.startswith("shell> stty -g >before; echo before\nbefore\n")
        assert "detached; run going goes on" in terminal.lines()
        is_sane(terminal)
        terminal.command("stty -g | cmp - before && echo the same")
        terminal.wait(r"^the same")


def test_ctrl_z_gives_the_shell_back_and_fg_the_screen() -> None:
    run = running_run()
    with tmux(*SHELL) as terminal:
        terminal.wait(r"^shell>")
        terminal.command(f"finetui attach {run.reference}")
        before = terminal.wait(r"RUNNING(.*\n)*.*tok/s")
        terminal.keys("C-z")
        terminal.wait(r"shell>$")
        is_sane(terminal)
        assert claim(run) == [], "the keys went to the shell"
        terminal.command("fg")
        after = terminal.wait(r"RUNNING(.*\n)*.*tok/s", PATIENCE_SECONDS)
        assert after.splitlines()[:2] == before.splitlines()[:2]
        assert after.splitlines()[-1] == before.splitlines()[-1]
        terminal.keys("4")
        terminal.wait(r"\[4 Ladder\]")
        terminal.keys("q")
        terminal.wait(r"goes on[^$]*shell>$")
        is_sane(terminal)


def test_letters_typed_in_one_burst_with_the_filter_key_go_into_the_filter() -> None:
    """Over a slow line they arrive together: none of them may pause or stop the run."""
    run = running_run()
    with finetui("attach", run.name, columns=80, rows=24) as terminal:
        terminal.wait(r"q detach")
        terminal.text("/pkS/q")
        terminal.wait(r"pkS/q")
        assert list(run.control.iterdir()) == []
