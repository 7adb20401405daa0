"""Two real ranks on this machine's CPU: they train as one process does, end together, and go on where they were."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from engine import checkpoints, control
from engine import events as ev
from engine.event_log import read_events
from engine.plan import Plan
from engine.ranks.beats import read_beats
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState, fold_all
from tests import planted
from tests.runs import one_long_row

TWO = ("distributed.nproc_per_node=2", "training.per_device_train_batch_size=2")
STEPS = ("training.max_steps=8", "training.save_steps=3")
SILENT = "given no sign of life"


def told(run: RunDir, kind: type[Any]) -> list[Any]:
    return [stamped.event for stamped in read_events(run.events) if isinstance(stamped.event, kind)]


def state_of(run: RunDir) -> RunState:
    return fold_all(read_events(run.events))


def alive(run: RunDir) -> list[int]:
    """Ranks of any attempt that still live."""
    folders = (run.path / "ranks").glob("attempt-*")
    return [beat.process.pid for folder in folders for beat in read_beats(folder).values() if beat.process.is_alive()]


@pytest.fixture(scope="module", autouse=True)
def ordeal(workshop: Any) -> Iterator[Future[RunDir]]:
    """Beside everything else: a run whose ranks are killed, hung and stopped, each time one step further."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(go_through, workshop)


def go_through(workshop: Any) -> RunDir:
    run: RunDir = workshop.begin("ordeal", *TWO, *STEPS)
    for attempt, signal_number in ((1, signal.SIGKILL), (2, signal.SIGSTOP)):
        hold(workshop, run, attempt)
        obeyed(workshop, run, "save")
        os.kill(read_beats(run.beats(attempt))[1].process.pid, signal_number)
    hold(workshop, run, 3)
    control.send(run, "stop")
    workshop.wait_for(run, lambda event: isinstance(event, ev.RunStopped))
    assert alive(run) == []
    done = workshop.finetui("resume", run.name)
    assert done.returncode == 0, done.stderr
    return run


def hold(workshop: Any, run: RunDir, attempt: int) -> None:
    """Pause an attempt after its first step."""
    workshop.wait_for(run, lambda event: isinstance(event, ev.AttemptStarted) and event.attempt == attempt)
    obeyed(workshop, run, "pause")


def obeyed(workshop: Any, run: RunDir, command: str) -> None:
    """Send a command and wait until it is done."""
    sent = control.send(run, command)

    def is_done(event: ev.Event) -> bool:
        return isinstance(event, ev.CommandAcknowledged) and (event.command_id, event.status) == (
            sent.command_id,
            "done",
        )

    workshop.wait_for(run, is_done)


@pytest.fixture(scope="module")
def both(workshop: Any) -> RunDir:
    """An uninterrupted run of two ranks."""
    done = workshop.finetui("replay", "tiny.toml", *sets("run.name=both", *TWO, *STEPS))
    assert done.returncode == 0, done.stdout + done.stderr
    run: RunDir = workshop.run("both-1")
    return run


def sets(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


@pytest.mark.slow(seconds=15)
def test_two_ranks_tell_one_story_and_each_of_its_own_memory(workshop: Any, both: RunDir) -> None:
    state = state_of(both)
    assert isinstance(state.final, ev.RunFinished)
    assert [each.rank for each in state.ranks] == [0, 1]
    assert all(each.rss_bytes > 0 and each.host == os.uname().nodename for each in state.ranks)
    assert len(told(both, ev.StepLogged)) == 8  # by rank 0 alone
    [started] = told(both, ev.TrainingStarted)
    assert started.effective_batch_size == 4
    assert told(both, ev.EvalLogged)[-1].num_rows == 8
    assert {path.name for path in (both.checkpoints / "checkpoint-8").glob("rng*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }
    assert alive(both) == []
    assert planted.open_to_others(both.path) == planted.leaks(both.path) == []
    status = workshop.finetui("status", both.name).stdout
    assert "rank 0" in status
    assert "rank 1" in status


@pytest.mark.slow(seconds=15)
def test_one_rank_with_twice_the_rows_goes_on_as_two_would(workshop: Any) -> None:
    done = workshop.finetui("replay", "tiny.toml", *sets("run.name=even", *TWO, *STEPS, "adapter.lora_dropout=0"))
    assert done.returncode == 0, done.stderr
    run, expected = workshop.run("even-1"), workshop.losses(workshop.run("even-1"))
    expected_eval = told(run, ev.EvalLogged)[-1].loss
    for folder in (run.adapter, run.checkpoints / "checkpoint-8"):
        shutil.rmtree(folder)
    supervisor = run.event_file("supervisor")
    whole = supervisor.read_text().splitlines(keepends=True)
    supervisor.write_text("".join(line for line in whole if '"RunFinished"' not in line))  # as if it had died at step 6
    plan = Plan.from_json(read_json(run.plan(1)))
    alone = replace(plan, nproc_per_node=1, strategy="none", per_device_train_batch_size=4, memory=None)
    run.plan(1).write_text(json.dumps(alone.to_json()))
    assert workshop.finetui("resume", run.name).returncode == 0
    assert told(run, ev.AttemptStarted)[-1].resumed_from_step == 6
    assert any("was reached by 2 ranks, it goes on with 1" in warning for warning in state_of(run).warnings)
    losses = workshop.losses(run)
    for step in (7, 8):  # bfloat16 sums in another order
        assert losses[step][0] == pytest.approx(expected[step][0], abs=4e-3)
    tokens = {event.step: event.num_tokens for event in told(run, ev.StepLogged)[:8]}
    assert [event.num_tokens for event in told(run, ev.StepLogged)[8:]] == [tokens[7], tokens[8]]
    assert told(run, ev.EvalLogged)[-1].loss == pytest.approx(expected_eval, abs=4e-3)


@pytest.mark.slow(seconds=25)
def test_when_one_rank_runs_out_of_memory_all_go_on_with_less_and_the_same_effective_batch(heavy: Any) -> None:
    limits = (
        *one_long_row.ONE_BY_ONE,
        one_long_row.LATE,
        "memory.limit=290MiB",
        "training.max_steps=4",
        "distributed.strategy=ddp",
    )
    done = heavy.finetui("replay", "heavy.toml", *sets("run.name=short", "distributed.nproc_per_node=2", *limits))
    run = heavy.run("short-1")
    assert done.returncode == 0, done.stderr
    state = state_of(run)
    assert state.ooms
    assert {event.effective_batch_size for event in told(run, ev.TrainingStarted)} == {4}
    assert [event.outcome for event in told(run, ev.AttemptEnded)][-1] == "completed"
    assert "out_of_memory" in [event.outcome for event in told(run, ev.AttemptEnded)]
    starts = [event.resumed_from_step for event in told(run, ev.AttemptStarted)]
    assert starts[-1] == state.ooms[-1].step  # no finished step was lost
    assert alive(run) == []


@pytest.mark.slow(seconds=120)
def test_killed_hung_and_stopped_ranks_end_within_a_minute_and_the_run_ends_as_an_uninterrupted_one(
    workshop: Any, both: RunDir, ordeal: Future[RunDir]
) -> None:
    run = ordeal.result(timeout=240)
    assert [event.outcome for event in told(run, ev.AttemptEnded)] == ["killed", "killed", "stopped", "completed"]
    warnings = [text for text in state_of(run).warnings if "Starting again" in text]
    assert "was killed by signal 9" in warnings[0]
    assert f"Rank 1 has {SILENT}" in warnings[1]
    paused = [stamped.time for stamped in read_events(run.events) if isinstance(stamped.event, ev.TrainingPaused)]
    ended = [stamped.time for stamped in read_events(run.events) if isinstance(stamped.event, ev.AttemptEnded)]
    assert ended[0] - paused[0] < 30
    assert ended[1] - paused[1] < 60
    assert alive(run) == []
    without = checkpoints.opened(run.checkpoints / "checkpoint-8").progress.without
    assert without == ()
    assert workshop.losses(run)[8] == workshop.losses(both)[8]
    assert workshop.adapter_bytes(run) == workshop.adapter_bytes(both)
