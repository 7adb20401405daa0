"""Runs of other hosts: a real supervisor in a host name of its own, shared folders, copies and read-only places."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import control, elsewhere
from engine.elsewhere import refuse_out_of_reach
from engine.errors import RunDirError
from engine.event_log import EventReader, EventWriter, read_events
from engine.events import AttemptStarted, RunStarted, RunStopped, StageStarted, StepLogged
from engine.liveness import HEARTBEAT_SECONDS, ProcessIdentity, announce, liveness
from engine.run_dir import RunDir

SUPERVISOR = """
import socket, sys
from pathlib import Path
socket.sethostname("gpu-box")
from engine import control
from engine.event_log import EventWriter
from engine.events import CommandAcknowledged, WarningRaised
from engine.liveness import announce, beat
from engine.run_dir import RunDir
run = RunDir(Path(sys.argv[1]))
writer = EventWriter(run.event_file("supervisor"))
announce(run)
print("in charge", flush=True)
for line in sys.stdin:
    beat(run)
    for each in control.claim(run):
        writer.write(CommandAcknowledged(command_id=each.command_id, command=each.command, status="accepted"))
    writer.write(WarningRaised(text=line.strip()))
    print("written", flush=True)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "demo")


@pytest.fixture(autouse=True)
def no_earlier_looks() -> None:
    elsewhere._looks.clear()
    elsewhere._clocks.clear()


@pytest.fixture
def beating(run: RunDir) -> Iterator[Callable[[str], None]]:
    """A supervisor of the run on the host gpu-box; called with a text, it beats, obeys, and writes a warning of it."""
    probed = subprocess.run(["unshare", "--uts", "true"], capture_output=True, check=False)
    if probed.returncode:
        pytest.skip(f"no host name of its own can be given to a process here: {probed.stderr.decode().strip()}")
    command = ["unshare", "--uts", sys.executable, "-P", "-c", SUPERVISOR, str(run.path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "in charge\n"

    def say(text: str) -> None:
        child.stdin.write(text + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "written\n"

    yield say
    child.communicate()


def copy_of(run: RunDir, folder: Path) -> RunDir:
    """What rsync -a makes of the folder: each file under a name of its own first, then renamed into place."""
    for path in sorted(run.path.rglob("*")):
        target = folder / path.relative_to(run.path)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            shutil.copy2(path, target.with_name(f".{path.name}.part"))
            target.with_name(f".{path.name}.part").replace(target)
    return RunDir(folder)


def pretend_elsewhere(run: RunDir, host: str = "gpu-box") -> None:
    """The record of a supervisor on another host that writes to this very folder."""
    values = dataclasses.asdict(ProcessIdentity.of(os.getpid())) | {"host": host, "boot_id": "its own"}
    place = {"folder": str(run.path), "folder_inode": run.path.stat().st_ino}
    run.supervisor.write_text(json.dumps(values | place))


def stamp(run: RunDir, moment: float) -> None:
    run.heartbeat.touch()
    os.utime(run.heartbeat, (moment, moment))


def a_step(number: int) -> StepLogged:
    return StepLogged(
        step=number, max_steps=9, epoch=0.1, loss=1.0, learning_rate=1e-3, grad_norm=None, num_tokens=8,
        step_seconds=0.1, rss_bytes=1,
    )  # fmt: skip


def test_a_supervisor_on_another_host_is_alive_obeys_and_leaves_no_trace_of_being_watched(
    run: RunDir, beating: Callable[[str], None]
) -> None:
    before = sorted(run.path.rglob("*"))
    assert liveness(run) == "alive"
    assert sorted(run.path.rglob("*")) == before
    refuse_out_of_reach(run, "stop")
    sent = control.send(run, "stop")
    beating("next")
    assert [each.event.command_id for each in read_events(run.events) if hasattr(each.event, "command_id")] == [
        sent.command_id
    ]


def test_a_copy_tells_which_moment_it_shows_and_takes_no_commands(
    run: RunDir, beating: Callable[[str], None], tmp_path: Path
) -> None:
    beating("one")
    there = copy_of(run, tmp_path / "synced")
    assert re.fullmatch(r"as of \d\d:\d\d:\d\d, \d+ s ago, on host gpu-box", liveness(there))
    with pytest.raises(RunDirError, match="copy") as told:
        refuse_out_of_reach(there, "stop")
    assert told.value.remedy == f"Give it on gpu-box: ssh gpu-box 'finetui stop {run.path}'"


def test_a_copy_on_the_same_host_is_a_copy_too(run: RunDir, tmp_path: Path) -> None:
    announce(run)
    assert liveness(run) == "alive"
    assert liveness(copy_of(run, tmp_path / "synced")).startswith("as of ")


def test_a_copy_of_a_run_that_ended_is_nobodys(run: RunDir, tmp_path: Path) -> None:
    pretend_elsewhere(run)
    stamp(run, time.time() - 1000)
    EventWriter(run.event_file("supervisor")).write(RunStopped(kept="nothing", step=0))
    assert liveness(copy_of(run, tmp_path / "taken-home")) == "dead"


def test_a_clock_that_is_ahead_on_the_filesystem_does_not_make_a_live_run_silent(run: RunDir) -> None:
    pretend_elsewhere(run)
    stamp(run, time.time() + 3600)
    elsewhere._clocks[run.path] = (time.monotonic(), 3600.0)  # as a server's clock is that is an hour ahead
    assert liveness(run) == "alive"
    elsewhere._clocks[run.path] = (time.monotonic(), 3600.0 + 10 * HEARTBEAT_SECONDS)
    assert liveness(run).startswith("unknown, on host gpu-box: silent since ")


def test_where_nothing_can_be_written_a_heartbeat_has_to_move(run: RunDir) -> None:
    pretend_elsewhere(run)
    run.control.rmdir()
    stamp(run, time.time() - 3600)
    assert liveness(run).startswith("unknown, on host gpu-box: silent")
    stamp(run, time.time() - 3598)
    assert liveness(run) == "alive"
    with pytest.raises(RunDirError, match="cannot be written"):
        refuse_out_of_reach(run, "pause")


def test_a_file_replaced_by_a_longer_copy_of_itself_gives_only_what_is_new(run: RunDir, tmp_path: Path) -> None:
    writer, there = EventWriter(run.event_file("attempt-1")), RunDir(tmp_path / "synced")
    copy_of(run, there.path)
    reader, seen = EventReader(there.events), list[int]()
    for number in range(40):
        writer.write(a_step(number))
        if number % 3 == 0:
            copy_of(run, there.path)
            seen += [each.seq for each in reader.poll()]
    assert seen == list(range(40))


def test_a_copy_that_is_written_again_in_place_gives_nothing_twice(run: RunDir, tmp_path: Path) -> None:
    writer, file = EventWriter(run.event_file("attempt-1")), tmp_path / "events" / "attempt-1.jsonl"
    file.parent.mkdir()
    reader, seen = EventReader(file.parent), list[int]()
    for number in range(10):
        writer.write(a_step(number))
    whole = run.event_file("attempt-1").read_bytes()
    for part in (len(whole) // 2, 0, 700, len(whole) // 2, len(whole)):
        file.write_bytes(whole[:part])
        seen += [each.seq for each in reader.poll()]
    assert seen == list(range(10))


def test_files_that_are_copied_in_the_wrong_order_are_put_right(run: RunDir, tmp_path: Path) -> None:
    from tui_app.runs.watch import RunWatch

    supervisor, attempt = EventWriter(run.event_file("supervisor")), EventWriter(run.event_file("attempt-1"))
    supervisor.write(RunStarted(run="demo", recipe="r", resumed=False, host="gpu-box", pid=1))
    supervisor.write(StageStarted(stage="train"))
    supervisor.write(AttemptStarted(attempt=1, plan_file="plan-1.json", resumed_from_step=0))
    long_ago = run.event_file("supervisor").read_text()
    long_ago = re.sub(r'"time":\d+', '"time":1700000000', long_ago)
    run.event_file("supervisor").write_text(long_ago)
    for number in range(1, 6):
        attempt.write(a_step(number))
    there = RunDir(tmp_path / "synced")
    there.events.mkdir(parents=True)
    shutil.copy2(run.supervisor if run.supervisor.exists() else run.event_file("attempt-1"), there.events)
    viewer = RunWatch(there)
    viewer.read_all()
    assert (viewer.state.step, len(viewer.trace)) == (5, 5)
    shutil.copy2(run.event_file("supervisor"), there.events)
    viewer.read_all()
    assert (viewer.state.step, len(viewer.trace), viewer.state.phase) == (5, 5, "training")
    viewer.study()
    assert "plan" in viewer.view().problem


def test_a_folder_without_events_yet_can_be_looked_at(
    run: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tui_app.cli import main

    pretend_elsewhere(run)
    stamp(run, time.time())
    (tmp_path / "partial").mkdir()
    shutil.copy2(run.supervisor, tmp_path / "partial")
    assert main(["status", str(tmp_path / "partial")]) == 0
    assert "as of an unknown time, on host gpu-box" in capsys.readouterr().out
    assert main(["stop", str(tmp_path / "partial")]) == RunDirError.exit_code
    assert "ssh gpu-box" in capsys.readouterr().err
