"""Telling of a run's end without a viewer: what a program gets, and that nothing of it can harm the run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine import notification
from engine.event_log import EventWriter
from engine.events import RunFailed, RunFinished, RunStarted, RunStopped
from engine.first_look import glimpse
from engine.notification import end_of, filled, tells_desktop, told_end
from engine.own_defaults import config_file
from engine.run_dir import RunDir
from engine.run_state import RunState, fold_all

RECORDED = Path(__file__).parents[1] / "recorded" / "runs"
TELLS = "import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open('told.json', 'w'))"


def run_that(own_machine: Path, final: RunFinished | RunFailed | RunStopped) -> RunDir:
    run = RunDir.create(own_machine / "runs", "demo")
    writer = EventWriter(run.event_file("supervisor"))
    writer.write(RunStarted(run=run.name, recipe="r", resumed=False, host="h", pid=1))
    writer.write(final)
    writer.close()
    return run


def command_is(*words: str) -> None:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(f"[notify]\ncommand = {json.dumps(words)}\n")


def log_of(run: RunDir) -> str:
    return run.log_file("notify").read_text() if run.log_file("notify").exists() else ""


FAILED = RunFailed(error="OutOfMemoryError", exit_code=5, happened="Out; `of` $(memory)\x1b[31m", means="", remedy="")


def test_the_users_program_is_told_which_run_ended_how_and_no_shell_reads_it(own_machine: Path) -> None:
    run = run_that(own_machine, FAILED)
    command_is(sys.executable, "-c", TELLS, "{run}: {state}", "{result}; ls > /tmp/x", "{exit_code}")
    assert told_end(run, 5) == 5
    words, environ = json.loads((run.path / "told.json").read_text())
    result = "Out; `of` $(memory) [31m"
    assert words == ["demo-1: out_of_memory", f"{result}; ls > /tmp/x", "5"]
    told = {name: environ[name] for name in environ if name.startswith(("FINETUI_RUN_", "FINETUI_EXIT"))}
    assert told == {
        "FINETUI_RUN_NAME": "demo-1",
        "FINETUI_RUN_PATH": str(run.path),
        "FINETUI_RUN_STATE": "out_of_memory",
        "FINETUI_RUN_RESULT": result,
        "FINETUI_EXIT_CODE": "5",
    }
    assert log_of(run) == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("/nothing/there",), "/nothing/there cannot be started"),
        ((sys.executable, "-c", "print('hello'); raise SystemExit(3)"), f"hello\n{sys.executable} ended with 3"),
    ],
)
def test_a_program_that_fails_is_a_line_in_a_log_and_changes_no_exit_code(
    words: tuple[str, ...], told: str, own_machine: Path
) -> None:
    run = run_that(own_machine, RunStopped(kept="nothing", step=0))
    before = (run.event_file("supervisor")).read_bytes()
    command_is(*words)
    assert told_end(run, 7) == 7
    assert told in log_of(run)
    assert run.event_file("supervisor").read_bytes() == before


def test_a_program_that_hangs_is_ended_with_what_it_started(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "LIMIT_SECONDS", 0.2)
    monkeypatch.setattr(notification, "BEAT_SECONDS", 0.05)
    run, began = run_that(own_machine, RunStopped(kept="nothing", step=0)), time.monotonic()
    beats: list[float] = []

    def until_it_runs() -> None:
        beats.append(time.monotonic())
        while not (run.path / "pid").exists() and time.monotonic() < began + 60:
            os.sched_yield()

    command_is("sh", "-c", "sleep 600 & echo $! > new; mv new pid; wait")
    told_end(run, 7, until_it_runs)
    assert beats
    assert time.monotonic() - began < 60
    first = (run.path / "pid").read_text()
    assert log_of(run).endswith("was ended: it took more than 0 s\n")
    while is_there(int(first)) and time.monotonic() < began + 60:
        os.sched_yield()
    assert not is_there(int(first))


def is_there(pid: int) -> bool:
    """Whether a process still does anything; one that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_of_a_program_that_prints_without_end_the_first_of_it_is_kept(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification, "LIMIT_SECONDS", 0.6)
    run = run_that(own_machine, FAILED)
    command_is("yes", "x" * 1000)
    assert told_end(run, 5) == 5
    log = log_of(run)
    assert log.startswith("x" * 1000)
    assert log.endswith("yes was ended: it took more than 1 s\n")
    assert len(log) < notification.MAX_PRINTED + 100


def test_a_token_that_a_program_prints_is_not_kept(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_TOKEN", "ab12-cd34-ef56")
    run = run_that(own_machine, FAILED)
    command_is("sh", "-c", "echo curl: no $PUSH_TOKEN; exit 22")
    told_end(run, 5)
    assert log_of(run) == "curl: no ***\nsh ended with 22\n"


def test_what_a_program_leaves_running_is_not_waited_for(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "LIMIT_SECONDS", 60.0)
    run = run_that(own_machine, FAILED)
    command_is("sh", "-c", "echo first; setsid sleep 20 & echo $! > pid")
    start = time.monotonic()
    told_end(run, 5)
    assert time.monotonic() - start < 15
    assert log_of(run) == "first\n"
    psutil.Process(int((run.path / "pid").read_text())).kill()


def test_nothing_is_started_without_a_command_or_for_what_was_asked_later(own_machine: Path) -> None:
    run = run_that(own_machine, RunFinished(seconds=3.0, of_requests=True))
    assert told_end(run, 0) == 0
    command_is(sys.executable, "-c", TELLS)
    assert told_end(run, 0) == 0
    assert not (run.path / "told.json").exists()


def test_a_folder_that_is_gone_spoils_nothing(own_machine: Path) -> None:
    run = run_that(own_machine, RunStopped(kept="nothing", step=0))
    command_is(sys.executable, "-c", TELLS)
    shutil.rmtree(run.path)
    assert told_end(run, 7) == 7


def test_the_desktop_is_told_only_where_somebody_sits_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notify-send").write_text("#!/bin/sh\n")
    (tmp_path / "notify-send").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    here = {"DISPLAY": ":0"}
    assert tells_desktop(here)
    assert tells_desktop({"WAYLAND_DISPLAY": "wayland-0"})
    for other in ({}, here | {"SSH_CONNECTION": "x"}, here | {"CI": "true"}):
        assert not tells_desktop(other)
    config_file().parent.mkdir(parents=True)
    config_file().write_text("[notify]\ndesktop = false\n")
    assert not tells_desktop(here)
    config_file().unlink()
    monkeypatch.setenv("PATH", "/nowhere")
    assert not tells_desktop(here)


def test_what_stands_in_braces_is_filled_once_and_markup_is_none() -> None:
    end = notification.End("{state}", "failed", "a < b & {run}", 1)
    run = RunDir(Path("/r"))
    assert filled(["{run} {other} {", "{result_as_html}", "{title}"], run, end) == [
        "{state} {other} {",
        "a &lt; b &amp; {run}",
        "{state} failed",
    ]


@pytest.mark.parametrize(
    ("name", "state"), [("finished", "finished"), ("stopped", "stopped"), ("failed", "out_of_memory")]
)
def test_the_end_of_a_recorded_run_is_told_in_a_sentence(name: str, state: str) -> None:
    end = end_of(fold_all(glimpse(RECORDED / name / "events"), RunState(run=name)))
    assert end is not None
    assert end.state.startswith(state)
    assert 5 < len(end.result) < 300
    assert end_of(RunState(run="x")) is None
    died = end_of(RunState(run="x"), died=True)
    assert died is not None
    assert (died.state, died.exit_code) == ("died", 6)


def test_the_supervisor_tells_of_the_end_although_nobody_looks(own_machine: Path) -> None:
    """A real one, whose recipe cannot be read: the quickest end there is."""
    run = RunDir.create(own_machine / "runs", "demo")
    command_is(sys.executable, "-c", TELLS, "{state}")
    run.recipe.write_text("broken = = 1")
    done = subprocess.run([sys.executable, "-P", "-m", "engine.supervisor", str(run.path)], capture_output=True)
    assert done.returncode == 2, shlex.join(done.args)
    assert json.loads((run.path / "told.json").read_text())[0] == ["failed"]
