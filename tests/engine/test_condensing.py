"""A long history keeps its shape, its extremes and its sums in bounded room."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import AttemptStarted, Event, Stamped, StepLogged
from engine.run_trace import RunTrace

ROOM = 256


def a_step(number: int, loss: float = 1.0) -> StepLogged:
    return StepLogged(
        step=number, max_steps=10**6, epoch=0.1, loss=loss, learning_rate=1e-3, grad_norm=1.0, num_tokens=8,
        step_seconds=0.5, rss_bytes=number, data_seconds=0.25,
    )  # fmt: skip


def trace_of(events: list[Event], room: int = ROOM) -> RunTrace:
    trace = RunTrace(room)
    for number, event in enumerate(events):
        trace.add(Stamped(float(number), "attempt-1", number, event))
    return trace


def test_a_history_of_any_length_takes_the_same_room_and_keeps_sums_and_extremes() -> None:
    losses = [2.0 + math.sin(number) for number in range(1, 20_001)]
    losses[7_000] = 99.0
    trace = trace_of([a_step(number, loss) for number, loss in enumerate(losses, 1)])
    assert len(trace) < ROOM
    assert list(trace.steps) == sorted(set(trace.steps))
    assert (trace.steps[0], trace.losses[0], trace.steps[-1]) == (1, losses[0], 20_000)
    assert sum(trace.num_steps) == 20_000
    assert sum(trace.num_tokens) == 160_000
    assert sum(trace.step_seconds) == 10_000.0
    assert (min(trace.lows), max(trace.highs)) == (min(losses), 99.0)
    assert list(trace.losses)[-ROOM // 8 :] == losses[-ROOM // 8 :]
    assert max(trace.num_steps) <= 4 * 20_000 / (ROOM / 2)


def test_a_short_history_is_kept_step_by_step() -> None:
    trace = trace_of([a_step(number) for number in range(1, ROOM)])
    assert (len(trace), set(trace.num_steps), trace.num_rewrites) == (ROOM - 1, {1}, 0)


def test_a_loss_that_is_no_number_outlives_merging() -> None:
    trace = trace_of([a_step(number, math.nan if number == 500 else 1.0) for number in range(1, 2_000)])
    assert sum(math.isnan(loss) for loss in trace.losses) == 1


def test_another_attempt_goes_back_within_merged_steps() -> None:
    events: list[Event] = [a_step(number) for number in range(1, 2_001)]
    events += [AttemptStarted(attempt=2, plan_file="plan-1.json", resumed_from_step=1_000)]
    events += [a_step(number, 3.0) for number in range(1_001, 3_001)]
    trace = trace_of(events)
    assert list(trace.steps) == sorted(set(trace.steps))
    assert trace.num_repeated_steps == 1_000
    assert trace.steps[-1] == 3_000
    assert all(loss == (3.0 if step > 1_000 else 1.0) for step, loss in zip(trace.steps, trace.losses, strict=True))
    assert trace.eta_seconds(3_100) == 100 * 0.75


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_steps_rise_and_the_room_is_kept_whatever_attempts_do(lengths: list[int]) -> None:
    events, at = list[Event](), 0
    for attempt, length in enumerate(lengths, 1):
        at = max(at - length // 3, 0)
        events.append(AttemptStarted(attempt=attempt, plan_file="plan-1.json", resumed_from_step=at))
        events += [a_step(number) for number in range(at + 1, at + length + 1)]
        at += length
    trace = trace_of(events, room=64)
    assert len(trace) < 64
    assert list(trace.steps) == sorted(set(trace.steps))
    assert trace.steps[-1] == at
    assert trace.eta_seconds(at + 10) is None or trace.eta_seconds(at + 10) == 7.5
