"""The columns that curves are drawn from: the steps that count, whatever was trained twice."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import events as ev
from engine.events import Event, Stamped
from engine.run_trace import MAX_RECENT, UNKNOWN_BYTES, Mark, RunTrace


def trace_of(*events: Event) -> RunTrace:
    trace = RunTrace()
    for number, event in enumerate(events):
        trace.add(Stamped(100.0 + number, "w", number, event))
    return trace


def step(number: int, loss: float = 2.0, *, seconds: float = 2.0, waited: float | None = None) -> ev.StepLogged:
    return ev.StepLogged(
        step=number,
        max_steps=100,
        epoch=0.0,
        loss=loss,
        learning_rate=1e-3,
        grad_norm=None,
        num_tokens=50,
        step_seconds=seconds,
        rss_bytes=1 << 30,
        data_seconds=waited,
    )


def attempt(number: int, resumed_from: int = 0) -> ev.AttemptStarted:
    return ev.AttemptStarted(attempt=number, plan_file="plan-1.json", resumed_from_step=resumed_from)


def saved(number: int, seconds: float = 0.0) -> ev.CheckpointSaved:
    return ev.CheckpointSaved(step=number, path=f"checkpoints/checkpoint-{number}", num_bytes=1, seconds=seconds)


def evaluated(number: int, loss: float, seconds: float = 0.0) -> ev.EvalLogged:
    return ev.EvalLogged(step=number, loss=loss, num_rows=4, seconds=seconds)


def columns(trace: RunTrace) -> list[int]:
    return [len(column) for name, column in vars(trace).items() if type(column).__name__ == "array"]


def test_every_logged_step_is_one_entry_in_each_column_and_what_is_unknown_is_marked() -> None:
    trace = trace_of(attempt(1), step(1), step(2, 1.5, waited=0.1))
    assert list(trace.steps) == [1, 2]
    assert list(trace.losses) == [2.0, 1.5]
    assert list(trace.times) == [101.0, 102.0]
    assert list(trace.allocated_bytes) == [UNKNOWN_BYTES] * 2
    assert math.isnan(trace.grad_norms[0])
    assert math.isnan(trace.data_seconds[0])
    assert trace.data_seconds[1] == 0.1
    assert set(columns(trace)) == {2}


def test_after_an_oom_the_steps_that_are_trained_again_replace_the_abandoned_ones() -> None:
    out_of_memory = ev.OomHit(attempt=1, phase="step", step=57, message="no room")
    rung = ev.RungTaken(rung="halve_micro_batch", cost="", changes_objective=False, plan_file="plan-2.json", kept="")
    trace = trace_of(
        attempt(1),
        *(step(number) for number in range(1, 58)),
        evaluated(40, 1.5),
        evaluated(55, 1.4),
        saved(50),
        out_of_memory,
        rung,
        attempt(2, resumed_from=50),
    )
    assert trace.steps[-1] == 50
    assert trace.num_repeated_steps == 7
    assert trace.evals == [(40, 1.5)]
    assert [(mark.step, mark.kind) for mark in trace.marks] == [
        (50, "checkpoint"),
        (57, "oom"),
        (57, "rung"),
        (50, "resumed"),
    ]
    trace.add(Stamped(900.0, "w", 900, step(51, 0.5)))
    assert (trace.steps[-1], trace.losses[-1], len(trace)) == (51, 0.5, 51)


def test_a_step_that_comes_again_without_a_word_replaces_the_earlier_one() -> None:
    trace = trace_of(step(1), step(2), step(3), step(2, 1.0))
    assert list(trace.steps) == [1, 2]
    assert trace.losses[-1] == 1.0
    assert trace.num_repeated_steps == 2


def test_a_run_that_diverges_is_marked_where_it_begins_and_once() -> None:
    trace = trace_of(step(1), step(2, math.nan), step(3, math.inf), step(4, 2.0), step(5, math.nan))
    assert [mark for mark in trace.marks if mark.kind == "nonfinite"] == [
        Mark(2, "nonfinite", "the loss is nan"),
        Mark(5, "nonfinite", "the loss is nan"),
    ]
    assert len(trace) == 5


def test_rates_are_of_the_present_attempts_newest_steps_less_its_first_which_warms_up() -> None:
    trace = trace_of(attempt(1), step(1, seconds=9), step(2), attempt(2, 2))
    assert trace.tokens_per_second() is None
    assert trace.step_seconds_mean() is None
    assert trace.data_share() is None
    assert trace.eta_seconds(100) is None
    for event in (step(3, seconds=60, waited=1.0), step(4, waited=0.5), step(5, waited=0.5)):
        trace.add(Stamped(1.0, "w", 1, event))
    assert trace.step_seconds_mean() == 2.0
    assert trace.tokens_per_second() == pytest.approx(50 / 2.5)
    assert trace.data_share() == pytest.approx(0.2)
    assert trace.eta_seconds(10) == pytest.approx(5 * 2.5)


def test_the_time_that_evaluations_and_checkpoints_take_counts_for_the_end() -> None:
    trace = trace_of(attempt(1), *(step(n) for n in range(1, 11)), evaluated(10, 1.0, seconds=6), saved(10, seconds=4))
    assert trace.eta_seconds(20) == pytest.approx(10 * (2.0 + 1.0))
    assert trace.eta_seconds(5) == 0.0


def test_the_newest_events_are_kept_with_and_without_steps_and_samples_apart() -> None:
    sample = ev.DeviceSampled(
        device="cpu", device_used_bytes=1, device_total_bytes=2, ram_used_bytes=1, ram_total_bytes=2, disk_free_bytes=3
    )
    trace = trace_of(attempt(1), sample, *(step(number) for number in range(1, MAX_RECENT + 100)))
    assert [type(stamped.event) for stamped in trace.recent] == [ev.AttemptStarted]
    assert len(trace.recent_steps) == MAX_RECENT
    assert list(trace.samples) == [(101.0, sample)]


@given(st.lists(st.one_of(st.tuples(st.just("back"), st.integers(0, 12)), st.tuples(st.just("step"), st.just(0)))))
def test_whatever_a_run_repeats_the_columns_stay_even_and_the_steps_rise(moves: list[tuple[str, int]]) -> None:
    trace, at, trained = RunTrace(), 0, 0
    for number, (move, where) in enumerate(moves):
        if move == "back":
            at = min(where, at)
            trace.add(Stamped(1.0, "w", number, attempt(number, at)))
        else:
            at, trained = at + 1, trained + 1
            trace.add(Stamped(1.0, "w", number, step(at, float(number))))
    assert list(trace.steps) == list(range(1, at + 1))
    assert trace.num_repeated_steps == trained - at
    assert set(columns(trace)) == {at}
