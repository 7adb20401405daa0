"""A screen that is asked to end by a signal gives the terminal back as it was, and keeps what was filled in."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from engine.run_dir import finetui_home
from tests.tmux import tmux
from tests.tui_app.live_runs import running_run

SHELL = ("sh", "-i")
MODES = ("alternate_on", "mouse_any_flag")


def child_of(pid: int) -> int:
    """The one process that a shell has started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_the_terminal_is_as_it_was_and_the_way_back_is_told(number: signal.Signals) -> None:
    run = running_run()
    with tmux(*SHELL, env={"FINETUI_HOME": str(finetui_home())}) as terminal:
        terminal.wait(r"^shell>")
        terminal.command(f"finetui attach {run.name}; echo left with $?")
        terminal.wait(r"RUNNING(.*\n)*.*detach")
        os.kill(child_of(terminal.pid()), number)
        terminal.wait(rf"^left with {128 + number}$")
        assert [terminal.value(mode) for mode in MODES] == ["0", "0"]
        assert f"detached; run {run.name} goes on" in terminal.lines()


def test_what_was_typed_is_kept_when_the_terminal_hangs_up() -> None:
    with tmux(*SHELL, env={"FINETUI_HOME": str(finetui_home())}) as terminal:
        terminal.wait(r"^shell>")
        terminal.command("finetui new --preset demo-cpu; echo left with $?")
        terminal.wait(r"Enter next|Enter choose")
        os.kill(child_of(terminal.pid()), signal.SIGHUP)
        terminal.wait(rf"^left with {128 + signal.SIGHUP}$")
    kept = json.loads((finetui_home() / "draft.json").read_text(encoding="utf-8"))
    assert kept["base"] == "demo-cpu"
