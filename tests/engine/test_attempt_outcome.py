"""How a worker ended: judged by its own last words and its exit code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine import errors
from engine.attempt_outcome import as_error, last_seen, outcome_of, silent_oom
from engine.event_log import EventWriter
from engine.events import (
    AttemptStarted,
    Event,
    ModelLoaded,
    OomHit,
    StepLogged,
    TrainingEnded,
    TrainingStarted,
    WorkerFailed,
)
from engine.hardware import read_hardware
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.run_dir import RunDir

OOM = OomHit(attempt=1, phase="step", step=3, message="tried to allocate 2 GiB")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "demo")


def said(run: RunDir, worker: str, *events: Event) -> None:
    writer = EventWriter(run.event_file(worker))
    for event in events:
        writer.write(event)
    writer.close()


def failed(error: str = "DataError", exit_code: int = 3) -> WorkerFailed:
    return WorkerFailed(error=error, exit_code=exit_code, happened="no rows", means="nothing done", remedy="add rows")


@pytest.mark.parametrize("kind", ["completed", "stopped"])
def test_an_attempt_that_said_how_it_ended_ended_so(run: RunDir, kind: str) -> None:
    said(run, "attempt-1", TrainingEnded(outcome=kind, step=9, reason="because"))
    outcome = outcome_of(run, 1, 0)
    assert (outcome.kind, outcome.reason) == (kind, "because")


def test_an_attempt_out_of_memory_gives_the_words_of_the_allocator(run: RunDir) -> None:
    said(run, "attempt-2", OOM, TrainingEnded(outcome="out_of_memory", step=3))
    assert outcome_of(run, 2, 5).kind == "out_of_memory"
    assert outcome_of(run, 2, 5).reason == "tried to allocate 2 GiB"


def test_a_worker_that_told_its_failure_failed_with_that_error(run: RunDir) -> None:
    said(run, "prepare", failed())
    outcome = outcome_of(run, "prepare", 3)
    assert (outcome.kind, outcome.reason) == ("failed", "no rows")
    assert isinstance(outcome.error, errors.DataError)
    assert (outcome.error.means, outcome.error.remedy) == ("nothing done", "add rows")


@pytest.mark.parametrize(("exit_code", "words"), [(-9, "signal 9"), (-11, "signal 11"), (1, "It ended with 1")])
def test_a_worker_without_a_last_word_was_killed(run: RunDir, exit_code: int, words: str) -> None:
    step = StepLogged(
        step=1,
        max_steps=2,
        epoch=0.5,
        loss=1.0,
        learning_rate=1e-3,
        grad_norm=None,
        num_tokens=1,
        step_seconds=1.0,
        rss_bytes=1,
    )
    said(run, "attempt-1", step)
    outcome = outcome_of(run, 1, exit_code)
    assert outcome.kind == "killed"
    assert words in outcome.reason
    assert outcome.error.exit_code == 6
    assert str(run.log_file("attempt-1")) in outcome.error.remedy
    assert ("Nothing shows that the kernel killed it" in outcome.error.means) == (exit_code == -9)


def test_a_failure_told_before_does_not_explain_a_kill(run: RunDir) -> None:
    said(run, "prepare", failed())
    assert outcome_of(run, "prepare", -9).kind == "killed"


@pytest.mark.parametrize("worker", [1, "evaluate"])
def test_a_worker_that_found_no_room_for_its_last_word_failed_for_the_disk(run: RunDir, worker: int | str) -> None:
    outcome = outcome_of(run, worker, errors.RunDirError.exit_code)
    assert outcome.kind == "failed"
    assert isinstance(outcome.error, errors.RunDirError)
    assert "the disk is full" in outcome.error.happened


def test_words_of_another_attempt_do_not_count(run: RunDir) -> None:
    said(run, "attempt-1", TrainingEnded(outcome="completed", step=9))
    said(run, "attempt-11", TrainingEnded(outcome="stopped", step=3))
    assert outcome_of(run, 1, 0).kind == "completed"
    assert outcome_of(run, 2, -9).kind == "killed"


@pytest.mark.parametrize("name", errors.EXIT_CODES)
def test_an_error_of_ours_comes_back_in_its_own_class(name: str) -> None:
    assert type(as_error(failed(name))).__name__ == name


@pytest.mark.parametrize("name", ["RuntimeError", "annotations", "EXIT_CODES", "", "no such"])
def test_an_error_that_is_not_ours_is_one_without_a_better_class(name: str) -> None:
    assert type(as_error(failed(name))) is errors.FinetuiError


def capped(device: str = "cpu", *, enforce_limit: bool = True) -> Plan:
    hardware = dataclasses.replace(read_hardware(), gpus=())
    recipe = Recipe.parse('[model]\nname_or_path = "m"\n[data]\ndataset = "rows.jsonl"\n')
    return dataclasses.replace(plan(recipe, hardware, None), device=device, enforce_limit=enforce_limit)


def test_a_silent_sigkill_is_an_oom_only_with_evidence(run: RunDir) -> None:
    said(run, "attempt-1", AttemptStarted(attempt=1, plan_file="plan-1.json", resumed_from_step=4))
    assert silent_oom(run, 1, capped(), -9, testimony="") is None
    oom = silent_oom(run, 1, capped(), -9, testimony="The kernel killed it.")
    assert oom == OomHit(attempt=1, phase="load", step=4, message="The kernel killed it.", cause="host")


@pytest.mark.parametrize("exit_code", [-11, -6, -7])
def test_a_crash_is_an_oom_only_under_a_cap_on_a_cpu(run: RunDir, exit_code: int) -> None:
    oom = silent_oom(run, 1, capped(), exit_code, testimony="")
    assert oom is not None
    assert oom.cause == "cpu allocator"
    assert "under the run's memory cap" in oom.message
    assert silent_oom(run, 1, capped(enforce_limit=False), exit_code, testimony="") is None
    assert silent_oom(run, 1, capped(device="cuda:0"), exit_code, testimony="") is None


def test_where_an_attempt_was_last_heard_of_is_where_it_died(run: RunDir) -> None:
    loaded = ModelLoaded(num_parameters=1, num_trainable_parameters=1, seconds=1.0, allocated_bytes=None)
    begun = TrainingStarted(max_steps=9, num_rows=9, effective_batch_size=1, resumed_from_step=2)
    writer = EventWriter(run.event_file("attempt-1"))
    for event, place in (
        (AttemptStarted(attempt=1, plan_file="plan-1.json", resumed_from_step=2), ("load", 2)),
        (loaded, ("probe", 2)),
        (begun, ("first step", 2)),
    ):
        writer.write(event)
        assert last_seen(run, 1) == place


def test_what_ran_out_comes_with_the_outcome(run: RunDir) -> None:
    said(run, "attempt-1", OOM, TrainingEnded(outcome="out_of_memory", step=3, reason="long"))
    assert outcome_of(run, 1, 5).oom == OOM
