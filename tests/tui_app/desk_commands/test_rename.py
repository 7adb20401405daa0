"""`finetui rename`: a run that is over under another name, and none that is in use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.liveness import ProcessIdentity
from engine.queue.entries import Entry, Queue
from engine.run_dir import RunDir
from tui_app.cli import main

RECORDED = Path(__file__).parents[2] / "recorded" / "runs" / "finished"


@pytest.fixture
def run(own_machine: Path) -> RunDir:
    shutil.copytree(RECORDED, own_machine / "runs" / "demo-1")
    return RunDir.open("demo-1")


def test_a_renamed_run_is_found_by_its_new_name_and_tells_the_same(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    before = capsys.readouterr().out
    assert main(["rename", "dem", "good-one"]) == 0
    assert capsys.readouterr().out == "demo-1 is good-one now\n"
    assert main(["status", "good-one"]) == 0
    after = capsys.readouterr().out
    assert after.replace("good-one", "demo-1").split() == before.split()
    assert not run.path.exists()


@pytest.mark.parametrize(
    ("name", "told", "code"),
    [("other", "There is a run other already.", 9), ("a/b", "A run cannot be called 'a/b'.", 2)],
)
def test_a_name_that_is_taken_or_none_is_refused(
    name: str, told: str, code: int, run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    RunDir.create(run.path.parent, "x", name="other")
    assert main(["rename", "demo-1", name]) == code
    assert told in capsys.readouterr().err
    assert run.path.is_dir()


def test_a_run_in_use_keeps_its_name(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        ProcessIdentity.of(process.pid).write(run.supervisor)
        assert main(["rename", "demo-1", "good"]) == 9
        process.kill()
    assert "in use" in capsys.readouterr().err
    assert run.path.is_dir()


def test_a_run_that_the_queue_knows_keeps_its_name(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    queue = Queue.here()
    (entry,) = queue.add([Entry(1, "demo", "demo-cpu", "", "/", 0.0)])
    assert queue.mark_run(entry, run) is not None
    assert main(["rename", "demo-1", "good"]) == 9
    assert f"finetui queue remove {entry.number}" in capsys.readouterr().err
    assert run.path.is_dir()
