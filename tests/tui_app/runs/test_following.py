"""Watching a run: what is printed, when it ends, and with which exit code. Recorded events, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.event_log import EventWriter
from engine.events import (
    Event,
    RequestFinished,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StageStarted,
    WarningRaised,
)
from engine.liveness import announce
from engine.run_dir import RunDir
from tui_app.runs.following import Follower, watch, watch_request

FAILED = RunFailed(error="OutOfMemoryError", exit_code=5, happened="no memory", means="m", remedy="r")


@pytest.fixture
def run(own_machine: Path) -> RunDir:
    return RunDir.create(own_machine / "runs", "demo")


def told(run: RunDir, *events: Event) -> None:
    writer = EventWriter(run.event_file("supervisor"))
    for event in events:
        writer.write(event)
    writer.close()


def started(*, resumed: bool = False) -> RunStarted:
    return RunStarted(run="demo-1", recipe="a demo", resumed=resumed, host="h", pid=1)


@pytest.mark.parametrize(
    ("final", "code", "words"),
    [
        ((RunFinished(seconds=1.0),), 0, "finished"),
        ((RunStopped(kept="nothing", step=0),), 7, "is stopped"),
        ((FAILED,), 5, "no memory"),
        ((), 6, "died"),
    ],
)
def test_the_exit_code_and_the_last_lines_tell_how_the_run_ended(
    run: RunDir, capsys: pytest.CaptureFixture[str], final: tuple[Event, ...], code: int, words: str
) -> None:
    told(run, started(), *final)
    assert watch(run, as_json=False) == code
    assert words in capsys.readouterr().out


def test_programs_get_one_json_line_per_event_and_people_the_rest_on_stderr(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    told(run, started(), WarningRaised(text="\x1b[31m \udcff"), FAILED)
    assert watch(run, as_json=True) == 5
    shown = capsys.readouterr()
    assert [json.loads(line)["event"] for line in shown.out.splitlines()] == [
        "RunStarted",
        "WarningRaised",
        "RunFailed",
    ]
    assert shown.out.isascii()
    assert "no memory" in shown.err


def test_a_resumed_run_is_shown_from_where_it_was_resumed(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    told(run, started(), StageStarted(stage="prepare"), RunStopped(kept="k", step=1))
    told(run, started(resumed=True), RunFinished(seconds=1.0))
    assert watch(run, as_json=False, skip_starts=1) == 0
    shown = capsys.readouterr().out
    assert "preparing" not in shown
    assert "resumed run demo-1" in shown


def test_what_a_dead_process_wrote_last_is_still_read(run: RunDir) -> None:
    told(run, started())
    follower = Follower.of(run)
    assert [type(stamped.event).__name__ for stamped, _ in follower.follow()] == ["RunStarted"]
    told(run, FAILED)
    assert [type(stamped.event).__name__ for stamped, _ in follower.follow()] == ["RunFailed"]
    assert follower.state.phase == "failed"


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_come_back(run: RunDir) -> None:
    announce(run)  # this test is in charge, and lives on
    told(run, started())
    watcher = subprocess.Popen(
        [sys.executable, "-P", "-m", "tui_app", "attach", run.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "started run demo-1: a demo\n"
    watcher.send_signal(signal.SIGINT)
    _, errors = watcher.communicate(timeout=60)
    assert watcher.returncode == 130
    told_way_back = errors.rpartition("Watch it: ")[2]
    assert "\ndetached; run demo-1 goes on." in errors
    assert told_way_back in ("finetui attach demo-1\n", f"{sys.executable} -m tui_app attach demo-1\n")
    assert os.listdir(run.control) == []  # noqa: PTH208 - a list, empty


def test_a_request_that_was_carried_out_is_a_success_whatever_became_of_the_run_after_it(run: RunDir) -> None:
    told(run, started(resumed=True), RequestFinished(number=2, seconds=1.0), FAILED)
    assert watch_request(run, 2, as_json=False, skip_starts=0)[0] == 0


def test_a_run_that_fails_before_a_request_had_its_turn_says_why(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    told(run, started(resumed=True), FAILED)
    assert watch_request(run, 2, as_json=False, skip_starts=0)[0] == FAILED.exit_code
    assert FAILED.happened in capsys.readouterr().err
