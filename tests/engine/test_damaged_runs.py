"""Runs after a power cut: files cut short, zeroed, emptied or gone cost what was in them, and nothing else.

The faults are those of `benchmarks/chaos_faults/files.py`, each tried here a few times with chance of its own.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.chaos_faults.damage import DAMAGES
from benchmarks.chaos_faults.files import FAULTS, RECORDED, home_with
from engine import salvage
from engine.checkpoints import MANIFEST
from engine.errors import RunDirError
from engine.event_log import EventReader, EventWriter
from engine.events import RunFailed, WarningRaised
from engine.flushing import fsync_folder, fsync_tree
from engine.liveness import take_lock
from engine.run_dir import RunDir
from engine.worker_edge import failure, started
from tui_app import cli
from tui_app.runs.history import row_of

TIMES = {
    "power cut, any file, asked quickly": 10,
    "power cut, any file, asked at length": 2,
    "power cut, events": 6,
    "power cut, events, asked": 3,
    "power cut, checkpoints": 8,
    "power cut, result": 6,
    "power cut, draft, queue, calibration": 12,
}
FULL_EVENTS = """
import sys
from pathlib import Path
from engine.errors import RunDirError
from engine.event_log import EventWriter
from engine.events import RunFailed, WarningRaised
from engine.worker_edge import at_run_edge
writer = EventWriter(Path(sys.argv[1]))
def work():
    for number in range(10_000):
        writer.write(WarningRaised(text=f"{number} " * 20))
sys.exit(at_run_edge(work, writer))
"""
TRACED = """
import sys
from pathlib import Path
from engine.run_dir import write_atomic
write_atomic(Path(sys.argv[1]) / "plan-1.json", "{}")
"""


@pytest.mark.parametrize("name", TIMES)
def test_what_a_power_cut_leaves_is_read_or_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    for number in range(TIMES[name]):
        folder = tmp_path / str(number)
        folder.mkdir()
        trial = FAULTS[name](folder, random.Random(f"{name}/{number}"))
        assert trial.lost == "", trial


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(share=st.floats(0, 1), zeros=st.integers(0, 9000), run=st.sampled_from(["finished", "laddered", "failed"]))
def test_events_cut_anywhere_are_a_beginning_of_those_that_were_there(
    tmp_path: Path, share: float, zeros: int, run: str
) -> None:
    shutil.rmtree(tmp_path / "events", ignore_errors=True)
    shutil.copytree(RECORDED / run / "events", tmp_path / "events")
    before = [each for each in EventReader(tmp_path / "events").poll() if each.writer == "supervisor"]
    path = tmp_path / "events" / "supervisor.jsonl"
    content = path.read_bytes()
    kept = content[: int(share * len(content))]
    path.write_bytes(kept + bytes(zeros))
    writer = EventWriter(path)
    writer.write(WarningRaised(text="later"))
    writer.close()
    *after, last = [each for each in EventReader(tmp_path / "events").poll() if each.writer == "supervisor"]
    assert after == before[: len(after)]
    assert len(after) >= kept.count(b"\n")
    assert getattr(last.event, "text", "") == "later"


def test_a_checkpoint_that_the_disk_cannot_read_is_passed_over(tmp_path: Path, refusing: Any) -> None:
    _, run = home_with(tmp_path, "finished")
    code = "import sys; from pathlib import Path; from engine.checkpoints import newest\n"
    code += "found, passed = newest(Path(sys.argv[1]), {}); print(found.step, passed)"
    done = refusing(code, str(run.checkpoints), calls="read", part="checkpoint-12/optimizer.pt", number=errno.EIO)
    assert done.stdout.strip() == "8 ['checkpoint-12: optimizer.pt cannot be read: Input/output error']", done.stderr


def test_a_filesystem_without_locks_still_lets_one_supervisor_in_and_no_second(tmp_path: Path, refusing: Any) -> None:
    run = RunDir.create(tmp_path / "runs", "demo")
    code = "import sys; from pathlib import Path; from engine.liveness import take_lock; from engine.run_dir import "
    code += "RunDir\nrun = RunDir(Path(sys.argv[1])); print(take_lock(run) is not None, take_lock(run))"
    done = refusing(code, str(run.path), calls="lock", part="supervisor.lock", number=errno.ENOLCK)
    assert done.stdout.strip() == "True None", done.stderr
    lock = take_lock(run)
    assert lock is not None
    os.close(lock)


def test_a_damaged_result_is_dropped_where_a_checkpoint_can_replace_it(tmp_path: Path) -> None:
    _, run = home_with(tmp_path, "finished")
    writer = EventWriter(run.event_file("supervisor"))
    salvage.drop_damaged_result(run, writer)
    assert (run.adapter / MANIFEST).exists()
    DAMAGES["all zeros"](run.adapter / "adapter_model.safetensors", random.Random(0))
    salvage.drop_damaged_result(run, writer)
    assert not (run.adapter / MANIFEST).exists()
    told = [each.event.text for each in EventReader(run.events).poll() if isinstance(each.event, WarningRaised)]
    assert told[-1] == (
        "The trained result is damaged (adapter_model.safetensors is not as it was written): it is made again."
    )
    writer.close()


def test_a_damaged_result_without_a_checkpoint_is_an_error_that_says_so(tmp_path: Path) -> None:
    _, run = home_with(tmp_path, "finished")
    shutil.rmtree(run.checkpoints)
    (run.adapter / "adapter_config.json").write_bytes(bytes(12))
    with pytest.raises(RunDirError, match=r"adapter_config\.json is damaged") as told:
        salvage.drop_damaged_result(run, EventWriter(run.event_file("supervisor")))
    assert "finetui replay" in told.value.remedy


def test_a_readme_that_its_owner_changed_is_no_damage(tmp_path: Path) -> None:
    _, run = home_with(tmp_path, "finished")
    (run.adapter / "README.md").write_text("my own words")
    assert salvage.result_fault(run.adapter) == ""


def test_a_disk_that_fills_up_leaves_room_for_the_last_words(small_disk: Path) -> None:
    path = small_disk / "supervisor.jsonl"
    done = subprocess.run([sys.executable, "-P", "-c", FULL_EVENTS, str(path)], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    last = EventReader(small_disk).poll()[-1].event
    assert isinstance(last, RunFailed)
    assert last.exit_code == 9
    assert "No space left on device" in last.happened


def test_a_full_disk_that_a_library_met_is_told_as_that_and_not_as_a_defect() -> None:
    fault = ValueError("the writer gave up")
    fault.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/runs/r-1/dataset/rows")
    event = failure(fault)
    assert (event.error, event.exit_code) == ("RunDirError", 9)
    assert event.happened == "/runs/r-1/dataset/rows cannot be used: No space left on device."
    assert failure(ValueError("something else")).exit_code == 1


def test_a_process_that_cannot_even_open_its_event_file_ends_with_the_exit_code_of_the_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(arguments: list[str]) -> int:
        EventWriter(tmp_path / "gone" / arguments[0])
        return 0

    assert started(main, ["supervisor.jsonl"]) == RunDirError.exit_code
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_lock_file_that_cannot_be_opened_is_an_error_of_the_run_folder(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "demo")
    run.lock.mkdir()
    with pytest.raises(RunDirError, match=r"supervisor\.lock cannot be opened"):
        take_lock(run)


def test_a_supervisors_file_of_a_gigabyte_costs_the_history_little_memory(tmp_path: Path) -> None:
    _, run = home_with(tmp_path, "finished")
    with run.event_file("supervisor").open("r+b") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    row = row_of(run)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert row.phase == "finished"
    assert peak < 64 << 20


def test_a_folder_whose_making_was_cut_off_is_no_run_that_could_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINETUI_HOME", str(tmp_path))
    run = RunDir.create(tmp_path / "runs", "demo")
    assert cli.main(["status", run.name]) == 9
    assert "neither a recipe nor an event" in capsys.readouterr().err


def test_a_run_folder_that_cannot_be_filled_is_not_left_behind(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "demo")
    with pytest.raises(OSError, match="full"), run.gone_unless_made():
        raise OSError(errno.ENOSPC, "full")
    assert not run.path.exists()


def test_files_and_their_folder_are_flushed_before_and_after_a_rename(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = ["strace", "-f", "-e", "trace=fsync,rename,openat", sys.executable, "-P", "-c", TRACED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "rename(" not in done.stderr:
        pytest.skip(f"no process can be traced here: {done.stderr[-200:]}")
    calls = [line for line in done.stderr.splitlines() if "fsync(" in line or ("rename(" in line and "plan-1" in line)]
    assert ["rename" if "rename(" in line else "fsync" for line in calls] == ["fsync", "rename", "fsync"]


def test_a_tree_with_links_that_lead_nowhere_is_flushed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text("x")
    (tmp_path / "deep" / "link").symlink_to("nowhere")
    fsync_tree(tmp_path)
    with pytest.raises(FileNotFoundError):
        fsync_folder(tmp_path / "gone")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB. Skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def refusing_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes a disk fail, compiled. Skips without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    source = Path(__file__).parents[2] / "benchmarks" / "chaos_faults" / "refusing_disk.c"
    library = tmp_path_factory.mktemp("refusing") / "refusing_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture
def refusing(tmp_path: Path, refusing_library: Path) -> Any:
    """Runs Python code while some calls on files whose path holds `part` are answered with an errno."""

    def run(code: str, *arguments: str, calls: str, part: str, number: int) -> subprocess.CompletedProcess[str]:
        (tmp_path / "count").write_bytes(bytes(8))
        values = {"ROOT": tmp_path, "CALLS": calls, "PART": part, "ERRNO": number, "COUNT": tmp_path / "count"}
        variables = {f"CHAOS_DISK_{name}": str(value) for name, value in values.items()} | {"CHAOS_DISK_AFTER": "0"}
        environment = os.environ | variables | {"LD_PRELOAD": str(refusing_library)}
        command = [sys.executable, "-P", "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run
