"""The process that works on the queue: real ones, on entries that cannot start and runs that seem to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import RunDirError
from engine.liveness import ProcessIdentity
from engine.queue import runner, worker
from engine.queue.entries import Entry, Queue
from engine.queue.worker import RunnerFiles
from engine.recipe import Recipe
from engine.run_dir import RunDir, finetui_home, list_runs
from tests.bare_model import write_bare_model
from tests.tui_app.live_runs import let_die


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def pid_of(queue: Queue) -> int:
    identity = ProcessIdentity.read(RunnerFiles(queue).identity)
    assert identity is not None
    return identity.pid


def in_this_process(queue: Queue) -> runner.Runner:
    queue.folder.mkdir(parents=True, exist_ok=True)
    lock = runner.lock_of(RunnerFiles(queue).lock)
    assert lock is not None
    return runner.Runner(queue, lock)


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 1 MiB that `FINETUI_HOME` lies on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk may be mounted here")
    monkeypatch.setenv("FINETUI_HOME", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_queue_goes_on_past_what_cannot_be_started_and_ends_when_it_is_empty(
    queue: Queue, hopeless: Callable[..., Entry]
) -> None:
    queue.add([hopeless("one"), hopeless("two")])
    assert worker.start(queue)
    until(lambda: worker.standing(queue) == "none")
    for entry in queue.entries():
        assert entry.fault["exit_code"] == 4
        assert "gone" in entry.fault["happened"]
        assert not entry.run
    assert "nothing waits any more" in RunnerFiles(queue).last_words()
    assert not RunnerFiles(queue).heartbeat.exists()


def test_it_waits_for_the_run_that_goes_on_and_a_killed_one_is_told_and_replaced(
    queue: Queue, hopeless: Callable[..., Entry], going: RunDir
) -> None:
    queue.add([hopeless(run=str(going.path)), hopeless("next")])
    assert worker.start(queue)
    assert not worker.start(queue)  # one is enough
    until(lambda: f"waiting for {going.name}" in RunnerFiles(queue).last_words())
    assert queue.read(2).is_waiting
    os.kill(pid_of(queue), signal.SIGKILL)
    until(lambda: worker.standing(queue) == "killed")
    assert worker.start(queue)
    let_die(going)  # the next one's turn
    until(lambda: worker.standing(queue) == "none")
    assert queue.read(2).fault


def test_of_two_who_start_it_at_once_one_process_is_left(
    queue: Queue, hopeless: Callable[..., Entry], going: RunDir
) -> None:
    queue.add([hopeless(run=str(going.path))])
    starting = [threading.Thread(target=worker.start, args=(queue,)) for _ in range(2)]
    for each in starting:
        each.start()
    for each in starting:
        each.join()
    assert worker.standing(queue) == "alive"
    assert runner.lock_of(RunnerFiles(queue).lock) is None


def test_sigterm_ends_it_and_the_run_goes_on(queue: Queue, hopeless: Callable[..., Entry], going: RunDir) -> None:
    queue.add([hopeless(run=str(going.path)), hopeless("next")])
    worker.start(queue)
    os.kill(pid_of(queue), signal.SIGTERM)
    until(lambda: worker.standing(queue) == "none")
    assert "not touched" in RunnerFiles(queue).last_words()
    assert queue.read(1).is_going_on
    assert queue.read(2).is_waiting


def test_a_stop_is_obeyed_after_the_present_run_and_what_waits_goes_on_waiting(
    queue: Queue, hopeless: Callable[..., Entry]
) -> None:
    queue.add([hopeless()])
    worker.ask_to_stop(queue)
    assert in_this_process(queue).work() == 0
    assert queue.read(1).is_waiting
    assert not RunnerFiles(queue).stop.exists()


def test_a_broken_entry_is_passed_over(queue: Queue, hopeless: Callable[..., Entry]) -> None:
    queue.add([hopeless(), hopeless()])
    (queue.folder / "1.json").write_text("{")
    assert in_this_process(queue).work() == 0
    assert queue.read(2).fault


def test_what_nobody_foresaw_is_written_down_and_the_queue_goes_on(
    queue: Queue, hopeless: Callable[..., Entry], capfd: pytest.CaptureFixture[str]
) -> None:
    queue.add([hopeless(earlier="\0"), hopeless("next")])
    assert in_this_process(queue).work() == 0
    assert queue.read(1).fault
    assert "gone" in queue.read(2).fault["happened"]
    capfd.readouterr()


def test_a_full_disk_ends_the_runner_and_no_entry_is_used_up(
    small_disk: Path, tmp_path: Path, hopeless: Callable[..., Entry]
) -> None:
    rows = small_disk / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 40)
    values = {
        "model": {"name_or_path": str(write_bare_model(tmp_path / "model"))},
        "data": {"dataset": str(rows)},
        "evaluation": {"enabled": False},
    }
    queue = Queue.here()
    queue.add([replace(hopeless(), recipe=Recipe.from_values(values).to_toml())])
    with pytest.raises(RunDirError, match="free; a run wants"):
        in_this_process(queue).work()
    assert queue.read(1).is_waiting
    assert list((small_disk / "runs").iterdir()) == []


@pytest.mark.parametrize("left", ["an empty folder", "all but its mark in the entry"])
def test_a_folder_left_by_a_runner_killed_over_it_is_made_anew_and_no_second_one(
    left: str, queue: Queue, hopeless: Callable[..., Entry], tmp_path: Path
) -> None:
    write_bare_model(tmp_path / "gone")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    at_work = in_this_process(queue)
    (entry,) = queue.add([hopeless("mine", making="mine-1")])
    if left == "an empty folder":
        RunDir.create(finetui_home() / "runs", "mine")
    else:
        at_work._made(entry)
        queue.write(entry)
    run = at_work._made(entry)
    assert run is not None
    assert [each.name for each in list_runs()] == [run.name] == ["mine-1"]
    assert run.manifest.exists()
    assert queue.read(entry.number).run == str(run.path)


def test_a_run_that_somebody_else_gave_that_name_is_left_alone(
    queue: Queue, hopeless: Callable[..., Entry], going: RunDir, tmp_path: Path
) -> None:
    write_bare_model(tmp_path / "gone")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (entry,) = queue.add([hopeless("going", making=going.name)])
    run = in_this_process(queue)._made(entry)
    assert run is not None
    assert run.name == "going-2"
    assert going.supervisor.exists()
