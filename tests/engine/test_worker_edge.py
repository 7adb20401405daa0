"""The edge of a worker: real processes whose body escapes, or whose parent dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import DataError, RunDirError
from engine.event_log import MAX_LINE_BYTES, EventWriter, encode, read_events
from engine.events import RunFailed, Stamped, WorkerFailed
from engine.worker_edge import at_edge, at_run_edge, failure

WORKER = """
import os, sys
from pathlib import Path
from engine.errors import DataError, RunDirError
from engine.event_log import EventWriter
from engine.worker_edge import at_edge

def body():
    {body}

sys.exit(at_edge(body, EventWriter(Path(sys.argv[1]))))
"""
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-P", "-c", sys.argv[1], str(os.getpid())], stdin=subprocess.PIPE)
sys.stdin.read()
"""
CHILD = """
import os, signal, sys
from engine.worker_edge import die_with_parent
signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), os._exit(0)))
die_with_parent(int(sys.argv[1]))
print("up", os.getpid(), flush=True)
while True:
    signal.pause()
"""

LOADING = """
print("loading", flush=True)
import sys
sys.stdin.read()
def main(words):
    print("touched the run", flush=True)
    return 0
"""


LOADING_PARENT = """
import os, subprocess, sys
words = ["-P", "-m", "engine.worker_start", sys.argv[2], "/the/run", str(os.getpid())]
child = subprocess.Popen([sys.argv[1], *words], stdin=subprocess.PIPE)
sys.stdin.read()
"""
CHECKOUT = Path(__file__).parents[2]


def worker(path: Path, body: str) -> subprocess.CompletedProcess[str]:
    code = WORKER.format(body=body)
    return subprocess.run([sys.executable, "-P", "-c", code, str(path)], capture_output=True, text=True)


def last_words(folder: Path) -> WorkerFailed:
    (stamped,) = read_events(folder)
    assert isinstance(stamped.event, WorkerFailed)
    return stamped.event


def test_a_body_that_returns_gives_the_exit_code(tmp_path: Path) -> None:
    done = worker(tmp_path / "prepare.jsonl", "return 7")
    assert (done.returncode, done.stderr) == (7, "")
    assert read_events(tmp_path) == []


def test_an_error_of_ours_is_told_with_its_exit_code_and_the_traceback_goes_to_the_log(tmp_path: Path) -> None:
    done = worker(tmp_path / "prepare.jsonl", "raise DataError('no rows', means='m', remedy='r')")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    told = last_words(tmp_path)
    assert (told.error, told.exit_code, told.happened, told.means, told.remedy) == ("DataError", 3, "no rows", "m", "r")


@pytest.mark.parametrize("body", ["1 / 0", "raise MemoryError", "[].pop()", "open('/nowhere/at/all')"])
def test_what_is_not_ours_is_named_and_called_a_defect(tmp_path: Path, body: str) -> None:
    done = worker(tmp_path / "prepare.jsonl", body)
    assert done.returncode == 1
    told = last_words(tmp_path)
    assert told.happened.startswith(f"finetui hit an unexpected {told.error}: ")
    assert "traceback is in the run's log" in told.remedy


def test_a_last_word_that_finds_no_room_is_the_exit_code_of_a_full_disk(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise DataError("these rows are nonsense")

    assert at_edge(body, EventWriter(Path("/dev/full"))) == RunDirError.exit_code
    assert "these rows are nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("letter", ["x", "漢", "🦥", "\x00", '"', "\n", "\udcff"])
def test_last_words_fit_one_event_whatever_they_are_made_of(letter: str) -> None:
    long = letter * 10_000
    for fault in (DataError(long, means=long, remedy=long), ValueError(long)):
        assert len(encode(Stamped(0.0, "supervisor", 0, failure(fault)))) <= MAX_LINE_BYTES


def test_an_escape_of_the_supervisor_is_the_final_event_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> int:
        raise DataError("no rows")

    writer = EventWriter(tmp_path / "supervisor.jsonl")
    assert at_run_edge(body, writer) == 3
    (stamped,) = read_events(tmp_path)
    assert isinstance(stamped.event, RunFailed)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("escape", [KeyboardInterrupt, SystemExit])
def test_an_order_to_leave_is_not_a_failure(tmp_path: Path, escape: type[BaseException]) -> None:
    def body() -> int:
        raise escape

    with pytest.raises(escape):
        at_edge(body, EventWriter(tmp_path / "prepare.jsonl"))
    assert read_events(tmp_path) == []


def test_a_worker_is_told_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", PARENT, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline().startswith("up ")
    parent.kill()
    assert parent.stdout.read() == "told\n"
    parent.communicate()


def test_a_worker_whose_parent_is_gone_already_is_told_at_once() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHILD, str(gone.pid)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "told\n"
    assert os.getpid() != gone.pid


def test_a_worker_whose_parent_is_killed_while_it_loads_ends_before_it_touches_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_load.py").write_text(LOADING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{CHECKOUT}")
    command = [sys.executable, "-P", "-c", LOADING_PARENT, sys.executable, "slow_to_load"]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "loading\n"
    parent.kill()
    assert parent.stdout.read() == ""
    parent.communicate()
