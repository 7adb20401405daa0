"""A screen that is asked to end by a signal gives the terminal back as it was, and keeps what was filled in."""

from __future__ import annotations

import json
import os
import signal

import pytest

from engine.run_dir import finetui_home
from tests.tmux import finetui
from tests.tui_app.live_runs import running_run

MODES = ("alternate_on", "mouse_any_flag")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_the_terminal_is_as_it_was_and_the_way_back_is_told(number: signal.Signals) -> None:
    run = running_run()
    with finetui("attach", run.name, env={"FINETUI_HOME": str(finetui_home())}) as terminal:
        terminal.wait(r"RUNNING(.*\n)*.*detach")
        os.kill(terminal.pid(), number)
        assert terminal.exit_code() == 128 + number
        assert [terminal.value(mode) for mode in MODES] == ["0", "0"]
        assert f"detached; run {run.name} goes on" in terminal.lines()


def test_what_was_typed_is_kept_when_the_terminal_hangs_up() -> None:
    with finetui("new", "--preset", "demo-cpu", env={"FINETUI_HOME": str(finetui_home())}) as terminal:
        terminal.wait(r"Enter next|Enter choose")
        os.kill(terminal.pid(), signal.SIGHUP)
        assert terminal.exit_code() == 128 + signal.SIGHUP
    kept = json.loads((finetui_home() / "draft.json").read_text(encoding="utf-8"))
    assert kept["base"] == "demo-cpu"
