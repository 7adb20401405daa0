"""What time events of a run are stamped with where the machine's clock is wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from engine.event_log import EventWriter, read_events
from engine.events import AttemptStarted, RunStarted, RunStopped, StageStarted, WarningRaised
from engine.run_clock import RunClock
from engine.run_state import fold_all


def started(resumed: bool) -> RunStarted:
    return RunStarted(run="demo-1", recipe="demo", resumed=resumed, host="here", pid=1)


def test_a_run_resumed_after_the_clock_was_set_back_is_not_shown_as_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, behind = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() - behind[0])
    supervisor, first = EventWriter(tmp_path / "supervisor.jsonl"), EventWriter(tmp_path / "attempt-1.jsonl")
    supervisor.write(started(resumed=False))
    first.write(AttemptStarted(attempt=1, plan_file="plan-1.json", resumed_from_step=0))
    first.write(WarningRaised(text="the first one's last word"))
    supervisor.write(RunStopped(kept="the checkpoint of step 4", step=4))
    behind[0] = 3600.0
    supervisor = EventWriter(tmp_path / "supervisor.jsonl")
    supervisor.write(started(resumed=True))
    supervisor.write(StageStarted(stage="train"))
    EventWriter(tmp_path / "attempt-2.jsonl").write(
        AttemptStarted(attempt=2, plan_file="plan-1.json", resumed_from_step=4)
    )
    told = read_events(tmp_path)
    assert [each.writer for each in told] == [
        *("supervisor", "attempt-1", "attempt-1", "supervisor"),
        *("supervisor", "supervisor", "attempt-2"),
    ]
    state = fold_all(told)
    assert (state.phase, state.attempt, state.step) == ("training", 2, 4)


def test_a_clock_set_back_while_a_writer_works_lets_time_go_on_from_its_last_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 101.0, 41.0, 42.0, 300.0])
    monkeypatch.setattr(time, "time", lambda: next(moments))
    clock = RunClock.of(tmp_path)
    assert [clock.now() for _ in range(5)] == pytest.approx([100.0, 101.0, 101.001, 102.001, 360.001])


def test_only_whole_beginnings_of_lines_of_regular_files_tell_a_time(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'{"v":1,"seq":0,"time":7.5,"writer":"a","event":"X","text":"\\"time\\":99"}\n{"v":1'
    )
    (tmp_path / "b.jsonl").write_bytes(b'{"v":1,"seq":0,"time":"soon"}\n[]\n')
    (tmp_path / "c.txt").write_bytes(b'{"v":1,"seq":0,"time":50,"writer":"c"}\n')
    (tmp_path / "d.jsonl").mkdir()
    os.mkfifo(tmp_path / "e.jsonl")
    assert RunClock.of(tmp_path).newest == 7.5


def test_a_time_that_no_clock_shows_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"v":1,"seq":0,"time":99999999999.5,"writer":"a","event":"X"}\n')
    assert abs(RunClock.of(tmp_path).now() - time.time()) < 60
