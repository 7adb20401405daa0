"""The line that changes while something is done after training."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from engine.events import EvaluationProgressed, ExportProgressed
from engine.run_state import RunState
from tui_app.runs.progress_line import ProgressLine, progress_text

STATE = RunState(progress=EvaluationProgressed(variant="tuned", num_done=3, num_rows=1500))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_tells_what_is_done_and_how_far_it_is_literally() -> None:
    assert progress_text(STATE) == "tuned: answered 3 of 1,500"
    exporting = ExportProgressed(artifact="gguf", doing="writing \x1b[31m", num_done=4, num_total=9)
    assert progress_text(replace(STATE, exporting=exporting)) == "gguf: writing \\x1b[31m, 4 of 9"
    assert progress_text(RunState()) == ""


def test_it_draws_over_itself_on_a_terminal_and_is_silent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = ProgressLine()
    line.draw(STATE)
    line.clear()
    shown = terminal.getvalue()
    assert shown.endswith(" " * 29 + "\r")
    assert "\x1b" not in shown
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    ProgressLine().draw(STATE)
    assert pipe.getvalue() == ""
