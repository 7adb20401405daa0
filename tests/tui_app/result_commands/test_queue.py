"""`finetui queue` and `finetui sweep` as a person types them. Runs that train are in `tests/runs/test_queue`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.liveness import ProcessIdentity, announce
from engine.queue import worker
from engine.queue.entries import Queue
from engine.queue.worker import RunnerFiles
from engine.run_dir import RunDir, finetui_home, write_atomic
from tests.bare_model import write_bare_model
from tests.tui_app.live_runs import let_die, recorded_run, running_run
from tui_app.cli import main

RECIPE = """
title = "a recipe"
[model]
name_or_path = "model"
[data]
dataset = "rows.jsonl"
[training]
max_steps = 2
[evaluation]
enabled = false
"""


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """No process works on this test's queue afterwards."""
    yield
    identity = ProcessIdentity.read(RunnerFiles(Queue.here()).identity)
    if identity and identity.is_alive():
        os.kill(identity.pid, signal.SIGKILL)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe whose relative rows are there."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 40)
    write_bare_model(tmp_path / "model")
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return path


Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Carries out a command that must end with exit code `code`; what it printed, errors after the rest."""

    def carry_out(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        found = main([*words])
        told = capsys.readouterr()
        assert found == code, told
        return told.out + told.err

    return carry_out


def test_an_entry_keeps_its_whole_recipe_whatever_becomes_of_the_file(recipe: Path, said: Said) -> None:
    told = said("queue", "add", str(recipe), "--set", "adapter.r=4", "--name", "small", "--hold")
    assert "entry 1, small: it is next." in told
    assert "finetui queue start" in told
    recipe.unlink()
    (entry,) = Queue.here().entries()
    assert "r = 4" in entry.recipe
    assert str(recipe.parent / "rows.jsonl") in entry.recipe
    listed = said("queue", "list")
    assert "small" in listed
    assert "Nobody works on the queue; 1 waits: finetui queue start" in listed
    assert said("queue") == listed


def test_what_cannot_run_is_refused_when_it_is_added(recipe: Path, said: Said) -> None:
    assert "Did you mean adapter.r?" in said("queue", "add", str(recipe), "--set", "adapter.rr=4", code=2)
    assert "no preset" in said("queue", "add", "nothing.toml", code=2)
    (recipe.parent / "rows.jsonl").unlink()
    assert "rows.jsonl" in said("queue", "add", str(recipe), code=3)
    assert Queue.here().entries() == []


def test_entries_are_taken_out_by_number_or_all_that_wait(recipe: Path, said: Said) -> None:
    for _ in range(3):
        said("queue", "add", str(recipe), "--hold")
    assert "entry 2, mine, was taken out." in said("queue", "remove", "2")
    assert "has no entry 2" in said("queue", "remove", "2", code=9)
    assert "is no entry of the queue" in said("queue", "remove", "first", code=2)
    assert "2 waiting entries were taken out." in said("queue", "remove", "all")
    assert "The queue is empty" in said("queue", "list")
    assert "Nothing waits" in said("queue", "start")


def test_the_list_for_programs_is_one_object(recipe: Path, said: Said) -> None:
    said("queue", "add", str(recipe), "--hold")
    told = json.loads(said("queue", "list", "--json"))
    assert told["runner"] == "none"
    assert [(each["number"], each["state"], each["run"]) for each in told["entries"]] == [(1, "waiting", None)]


def set_run(number: int, run: RunDir) -> None:
    queue = Queue.here()
    queue.mark_run(queue.read(number), run)


def test_each_entry_tells_how_its_run_stands(recipe: Path, said: Said) -> None:
    for _ in range(4):
        said("queue", "add", str(recipe), "--hold")
    set_run(1, recorded_run("finished"))
    set_run(2, running_run())
    set_run(3, recorded_run("stopped"))
    told = said("queue", "list")
    assert [row.split()[2] for row in told.splitlines()[:4]] == ["finished", "training", "stopped", "waiting"]
    assert "is running" in said("queue", "remove", "2", code=9)
    assert "2 ended entries were taken out" in said("queue", "clear")
    shutil.rmtree(finetui_home() / "runs" / "going")
    assert "gone" in said("queue", "list")


def test_a_stop_ends_the_queue_after_the_run_and_now_ends_the_run_too(recipe: Path, said: Said) -> None:
    assert "nothing to stop" in said("queue", "stop")
    said("queue", "add", str(recipe), "--hold")
    said("queue", "add", str(recipe), "--hold")
    run = running_run()
    set_run(1, run)
    worker.start(Queue.here())
    assert "run going goes on" in said("queue", "stop")
    assert "stops after the present run" in said("queue", "list")
    assert "worked on already" in said("queue", "start")
    assert "stops after" not in said("queue", "list")
    assert "run going saves and ends" in said("queue", "stop", "--now")
    assert [json.loads(path.read_text())["command"] for path in run.control.glob("*.json")] == ["stop"]


def test_a_killed_queue_is_told_by_the_next_command(recipe: Path, said: Said) -> None:
    said("queue", "add", str(recipe), "--hold")
    said("queue", "add", str(recipe), "--hold")
    set_run(1, running_run())
    worker.start(Queue.here())
    identity = ProcessIdentity.read(RunnerFiles(Queue.here()).identity)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    while identity.is_alive():
        time.sleep(0.01)
    told = said("queue", "list")
    assert "was killed or the machine restarted; going is training, 1 waits: finetui queue start" in told
    assert "The queue is worked on." in said("queue", "start")


def test_a_dry_sweep_lists_its_points_and_starts_nothing(recipe: Path, said: Said) -> None:
    told = said("sweep", str(recipe), "--grid", "adapter.r=2,4", "--grid", "training.seed=1,2", "--dry-run")
    assert [row.split()[0] for row in told.splitlines()[:4]] == [
        "mine-r-2-seed-1",
        "mine-r-2-seed-2",
        "mine-r-4-seed-1",
        "mine-r-4-seed-2",
    ]
    assert "4 points are sound; nothing was started" in told
    assert Queue.here().entries() == []


def test_the_faults_of_all_points_are_told_at_once_and_nothing_is_started(recipe: Path, said: Said) -> None:
    told = said("sweep", str(recipe), "--grid", "adapter.r=2,x,-4", code=2)
    assert "2 of the 3 points cannot be run" in told
    assert "r=x: " in told
    assert "r=-4: " in told
    told = said("sweep", str(recipe), "--grid", "adapter.rr=2,4", code=2)
    assert told.count("Did you mean adapter.r?") == 1
    assert Queue.here().entries() == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--grid", "adapter.r=2,4", "--set", "adapter.r=8"), "stands in --set and in --grid"),
        (("--grid", "run.name=a,b"), "cannot be swept over"),
        (("--grid", "adapter.r"), "not of the form"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(words: tuple[str, ...], told: str, recipe: Path, said: Said) -> None:
    assert told in said("sweep", str(recipe), *words, code=2)


def swept(name: str, sweep: str, **point: str) -> RunDir:
    run = recorded_run("finished", called=name)
    write_atomic(run.sweep, json.dumps({"sweep": sweep, "point": point}))
    return run


def test_a_sweep_is_named_for_all_its_runs(said: Said) -> None:
    for rank in ("8", "16", "32"):
        swept(f"demo-r-{rank}-1", "ranks", **{"adapter.r": rank})
    told = json.loads(said("compare", "ranks", "--json"))
    assert [each["run"] for each in told["runs"]] == ["demo-r-8-1", "demo-r-16-1", "demo-r-32-1"]
    assert "Sweeps: ranks." in said("compare", "rank", code=9)
    assert said("compare", "ranks", "--csv").splitlines()[1].startswith("demo-r-8-1,")
    assert "Only one run is named" in said("compare", "demo-r-8-1", "demo-r-8-1", code=2)
    assert "What came of them" in said("compare", "ranks", "--plain")


def test_points_that_fail_are_passed_over_and_the_first_failure_is_the_exit_code(recipe: Path, said: Said) -> None:
    run = running_run()  # holds the queue until the model is gone
    said("queue", "add", str(recipe), "--hold")
    set_run(1, run)
    told = said("sweep", str(recipe), "--grid", "adapter.r=2,4", "--name", "ranks", "--detach")
    assert "finetui compare ranks" in told or "compare ranks" in told
    assert [entry.sweep for entry in Queue.here().entries()] == ["", "ranks", "ranks"]
    assert "There is a sweep 'ranks' already" in said(
        "sweep", str(recipe), "--grid", "adapter.r=2", "--name", "ranks", code=2
    )
    shutil.rmtree(recipe.parent / "model")
    let_die(run)
    from tui_app.result_commands import sweep

    sweep.follow(Queue.here(), [2, 3])
    assert sweep.ended(Queue.here(), "ranks", [2, 3], as_json=False) == 4


def test_the_whole_entry_of_another_machine_is_not_taken_for_running(recipe: Path, said: Said) -> None:
    said("queue", "add", str(recipe), "--hold")
    run = RunDir.create(finetui_home() / "runs", "elsewhere")
    announce(run)
    values: dict[str, Any] = json.loads(run.supervisor.read_text()) | {"host": "elsewhere"}
    run.supervisor.write_text(json.dumps(values))
    os.utime(run.heartbeat, (0, 0))
    set_run(1, run)
    assert not Queue.here().read(1).is_going_on
