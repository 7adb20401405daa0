"""How a worker ended: judged by its own last words and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import errors
from engine.attempt_outcome import as_error, outcome_of
from engine.event_log import EventWriter
from engine.events import Event, OomHit, StepLogged, TrainingEnded, WorkerFailed
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
    assert ("kernel out of RAM" in outcome.error.means) == (exit_code == -9)


def test_a_failure_told_before_does_not_explain_a_kill(run: RunDir) -> None:
    said(run, "prepare", failed())
    assert outcome_of(run, "prepare", -9).kind == "killed"


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
