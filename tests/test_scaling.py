"""The benchmark of what grows: a small history at once, and one whole small measurement."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import scaling


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETUI_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def test_a_history_is_made_of_whole_runs_and_every_row_of_it_is_read(home: Path) -> None:
    told = dict(scaling.many_runs(home, 3))
    assert told["3 runs: history page, rows in 0.1 s"].startswith("3 after")
    assert "of CPU" in told["3 runs: finetui runs"]
    assert not any("ended with" in value for value in told.values())


def test_a_command_that_fails_is_told_with_its_complaint() -> None:
    told = scaling.measured([sys.executable, "-c", "raise SystemExit('no such run')"])
    assert told.endswith("; ended with 1: no such run")


@pytest.mark.slow(seconds=30)
@pytest.mark.usefixtures("home")
def test_steps_viewers_and_runs_are_measured_and_no_command_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaling, "WATCH_SECONDS", 0.5)
    monkeypatch.setattr(scaling, "TIMED_EVENTS", 200)
    monkeypatch.setattr(sys, "argv", ["scaling.py", "--steps", "500", "--viewers", "1", "--runs", "2"])
    assert scaling.main() == 0
    told = capsys.readouterr().out
    assert "bytes a step" in told
    assert "1 viewers (lines): memory of each" in told
    assert "ended with" not in told
