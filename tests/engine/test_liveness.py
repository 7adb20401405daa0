"""Whether the process in charge still lives: real processes, and records of ones that are elsewhere or gone."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import RunDirError
from engine.liveness import HEARTBEAT_SECONDS, ProcessIdentity, announce, beat, liveness, supervisor_of, take_lock
from engine.run_dir import RunDir

WAIT = "import sys; print('up', flush=True); sys.stdin.read()"
HOLD = """
import subprocess, sys
from pathlib import Path
from engine.liveness import take_lock
from engine.run_dir import RunDir
assert take_lock(RunDir(Path(sys.argv[1]))) is not None
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "demo")


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts real processes, up when handed out, that wait until they are killed or the test is over."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str = WAIT, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        child.stdout.readline()
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def record(run: RunDir, **changes: object) -> None:
    """This process as the run's supervisor, with some of its marks changed."""
    values = dataclasses.asdict(ProcessIdentity.of(os.getpid())) | changes
    run.supervisor.write_text(json.dumps(values))


def age_heartbeat(run: RunDir, seconds: float) -> None:
    run.heartbeat.touch()
    then = time.time() - seconds
    os.utime(run.heartbeat, (then, then))


def test_a_run_that_nobody_took_charge_of_is_dead(run: RunDir) -> None:
    assert (supervisor_of(run), liveness(run)) == (None, "dead")


def test_a_run_lives_as_long_as_its_process(run: RunDir, process: Callable[..., subprocess.Popen[str]]) -> None:
    announce(run)
    assert supervisor_of(run) == ProcessIdentity.of(os.getpid())
    assert liveness(run) == "alive"
    child = process()
    record(run, **dataclasses.asdict(ProcessIdentity.of(child.pid)))
    assert liveness(run) == "alive"
    child.kill()
    child.wait()
    assert liveness(run) == "dead"


def test_a_zombie_is_dead(run: RunDir, process: Callable[..., subprocess.Popen[str]]) -> None:
    child = process()
    record(run, **dataclasses.asdict(ProcessIdentity.of(child.pid)))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and left unburied
    assert Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    assert liveness(run) == "dead"


def test_a_process_with_the_same_number_and_another_start_is_someone_else(run: RunDir) -> None:
    record(run, start_time=ProcessIdentity.of(os.getpid()).start_time - 1)
    assert liveness(run) == "dead"


def test_a_fresh_heartbeat_does_not_bring_a_dead_process_of_this_machine_back(run: RunDir) -> None:
    record(run, start_time=1)
    beat(run)
    assert liveness(run) == "dead"


def test_a_machine_that_was_restarted_has_no_supervisor(run: RunDir) -> None:
    record(run, boot_id="another boot")
    beat(run)
    assert liveness(run) == "dead"


def test_a_supervisor_on_another_host_is_judged_by_its_heartbeat(run: RunDir) -> None:
    record(run, host="elsewhere", boot_id="its own")
    assert liveness(run) == "unknown, on host elsewhere"
    age_heartbeat(run, HEARTBEAT_SECONDS)
    assert liveness(run) == "alive"
    age_heartbeat(run, 10 * HEARTBEAT_SECONDS)
    assert re.fullmatch(r"unknown, on host elsewhere: silent since \d\d:\d\d:\d\d, (19|20|21) s ago", liveness(run))


def test_a_process_with_any_name_is_read(run: RunDir, process: Callable[..., subprocess.Popen[str]]) -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b') Z 1 \\xff (', 0, 0, 0)\n" + WAIT
    child = process(code)
    record(run, **dataclasses.asdict(ProcessIdentity.of(child.pid)))
    assert ProcessIdentity.of(child.pid).start_time > 0
    assert liveness(run) == "alive"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"host": "h", "boot_id": "b", "pid": "x", "start_time": 1}'])
def test_a_broken_record_is_an_error_of_the_run_folder(run: RunDir, text: str) -> None:
    run.supervisor.write_text(text)
    with pytest.raises(RunDirError) as told:
        liveness(run)
    assert str(run.supervisor) in told.value.happened
    assert told.value.remedy


def test_a_run_is_held_by_one_process_and_freed_when_that_is_killed_though_its_child_lives_on(
    run: RunDir, process: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = process(HOLD, str(run.path))
    assert take_lock(run) is None
    holder.kill()
    holder.wait()
    lock = take_lock(run)
    assert lock is not None
    refused = process(HOLD.replace("is not None", "is None"), str(run.path))
    assert refused.poll() is None
    fcntl.lockf(lock, fcntl.LOCK_UN)
    os.close(lock)
