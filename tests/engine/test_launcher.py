"""When no supervisor is started. That one is started and outlives its starter is shown in tests/runs/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from engine import launcher
from engine.errors import DiedError, RunDirError
from engine.event_log import read_events
from engine.events import RunFailed
from engine.launcher import kill_group, launch
from engine.liveness import ProcessIdentity, announce
from engine.run_dir import RunDir

HOLD = """
import sys
from pathlib import Path
from engine.liveness import take_lock
from engine.run_dir import RunDir
lock = take_lock(RunDir(Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""

SLOW_RIVAL = """
import sys
from pathlib import Path
from engine.liveness import announce, take_lock
from engine.run_dir import RunDir
run = RunDir(Path(sys.argv[1]))
lock = take_lock(run)
print("held", flush=True)
while "another supervisor holds this run" not in "".join(p.read_text() for p in run.log.glob("supervisor.txt")):
    pass
announce(run)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "demo")


def test_a_run_in_someones_charge_gets_no_second_supervisor(run: RunDir) -> None:
    announce(run)
    with pytest.raises(RunDirError, match=r"already has a supervisor \(alive\)") as told:
        launch(run)
    assert f"finetui attach {run.reference}" in told.value.remedy
    assert list(run.log.iterdir()) == []


def test_a_run_that_another_host_may_hold_is_left_alone(run: RunDir) -> None:
    elsewhere = asdict(ProcessIdentity.of(os.getpid())) | {"host": "elsewhere", "boot_id": "its own"}
    run.supervisor.write_text(json.dumps(elsewhere))
    with pytest.raises(RunDirError, match="unknown, on host elsewhere"):
        launch(run)


def test_a_job_of_a_scheduler_takes_the_run_over_from_a_host_that_is_silent(run: RunDir) -> None:
    elsewhere = asdict(ProcessIdentity.of(os.getpid())) | {"host": "elsewhere", "boot_id": "its own"}
    run.supervisor.write_text(json.dumps(elsewhere))
    started = launch(run, resumed=True, take_over=True).process
    assert ProcessIdentity.read(run.supervisor) != ProcessIdentity(**elsewhere)
    assert started.wait(60) == 2  # this run has no recipe


def test_a_rival_that_was_quicker_to_the_lock_is_waited_for_until_it_tells_of_itself(run: RunDir) -> None:
    code = SLOW_RIVAL
    rival = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert rival.stdout is not None
    rival.stdout.readline()
    try:
        with pytest.raises(RunDirError, match=r"already has a supervisor \(alive\)"):
            launch(run, resumed=True)
    finally:
        rival.communicate()


def test_a_supervisor_that_ends_before_it_takes_charge_is_told_with_its_log(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "RIVAL_SECONDS", 0.1)
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(DiedError, match="did not take charge") as told:
            launch(run)
    finally:
        holder.kill()
        holder.communicate()
    log = run.log_file("supervisor")
    assert str(log) in told.value.remedy
    assert "another supervisor holds this run" in log.read_text()


def test_a_supervisor_that_takes_too_long_is_not_said_to_be_none(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "START_SECONDS", 0.0)
    with pytest.raises(DiedError, match="has not taken charge within 0 s") as told:
        launch(run)
    assert "It may still begin" in told.value.means
    while not any(isinstance(each.event, RunFailed) for each in read_events(run.events)):  # it did: there is no recipe
        pass


def test_signalling_a_group_that_is_gone_is_fine() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    gone.wait()
    kill_group(gone.pid, 9)


def test_a_run_whose_folder_was_removed_is_not_started_and_the_missing_file_is_named(run: RunDir) -> None:
    shutil.rmtree(run.path)
    with pytest.raises(RunDirError, match=r"cannot be started: .*supervisor\.txt: No such file") as told:
        launch(run, resumed=True)
    assert told.value.means
    assert told.value.remedy
