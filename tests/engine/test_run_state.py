"""What events add up to. That every event type is folded is held in contracts/."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import (
    AttemptEnded,
    AttemptStarted,
    CommandAcknowledged,
    DeviceSampled,
    EvalLogged,
    Event,
    OomHit,
    RunFailed,
    RunFinished,
    RungTaken,
    RunStarted,
    RunStopped,
    StageStarted,
    Stamped,
    StepLogged,
    TrainingContinued,
    TrainingPaused,
    TrainingStarted,
    VariantScored,
    WarningRaised,
)
from engine.run_state import RunState, fold, fold_all


def state_after(*events: Event) -> RunState:
    return fold_all(Stamped(100.0 + n, "w", n, event) for n, event in enumerate(events))


def started(*, resumed: bool = False) -> RunStarted:
    return RunStarted(run="demo-1", recipe="demo", resumed=resumed, host="h", pid=1)


def step(number: int, loss: float = 2.0) -> StepLogged:
    return StepLogged(
        step=number,
        max_steps=10,
        epoch=number / 10,
        loss=loss,
        learning_rate=1e-3,
        grad_norm=None,
        num_tokens=50,
        step_seconds=2.0,
        rss_bytes=1 << 30,
    )


def scored(variant: str, num_correct: int) -> VariantScored:
    return VariantScored(
        variant=variant,
        title=variant,
        metric="exact_match",
        num_rows=10,
        num_correct=num_correct,
        low=0.0,
        high=1.0,
        seconds=1.0,
        answers_file="answers/x.jsonl",
    )


BEGIN = (started(), StageStarted(stage="prepare"), StageStarted(stage="train"))
TRAINING = TrainingStarted(max_steps=10, num_rows=80, effective_batch_size=8, resumed_from_step=0)
ENDS: tuple[tuple[Event, str], ...] = (
    (RunFinished(seconds=9.0), "finished"),
    (RunStopped(kept="the checkpoint of step 4", step=4), "stopped"),
    (RunFailed(error="DataError", exit_code=3, happened="h", means="m", remedy="r"), "failed"),
)


def test_before_any_event_a_run_waits() -> None:
    assert (RunState().phase, RunState().is_over, RunState().eta_seconds) == ("waiting", False, None)


def test_the_phase_follows_the_stages() -> None:
    phases = [state_after(*BEGIN[:n]).phase for n in range(1, 4)]
    assert phases == ["preparing", "preparing", "training"]
    assert state_after(*BEGIN, StageStarted(stage="evaluate")).phase == "evaluating"


def test_steps_add_up_to_tokens_seconds_and_an_estimate_of_what_is_left() -> None:
    state = state_after(*BEGIN, TRAINING, step(1, 3.5), step(2, 2.5))
    assert (state.step, state.max_steps, state.num_tokens, state.training_seconds) == (2, 10, 100, 2.0)
    assert (state.first_loss, state.last_step and state.last_step.loss) == (3.5, 2.5)
    assert state.eta_seconds == 16.0
    assert state_after(*BEGIN, TRAINING, step(1)).eta_seconds is None  # the first step also warms up


def test_a_paused_run_is_paused_until_it_goes_on() -> None:
    paused = (*BEGIN, TRAINING, step(1), TrainingPaused(step=1))
    assert state_after(*paused).phase == "paused"
    assert state_after(*paused, TrainingContinued(step=1)).phase == "training"


@pytest.mark.parametrize(("end", "phase"), ENDS)
def test_a_final_event_ends_the_run_and_a_resumed_run_runs_again(end: Event, phase: str) -> None:
    over = (*BEGIN, TRAINING, step(4), end)
    assert (state_after(*over).phase, state_after(*over).is_over) == (phase, True)
    again = (*over, started(resumed=True), StageStarted(stage="train"))
    assert (state_after(*again).phase, state_after(*again).is_over) == ("training", False)
    assert state_after(*again, TRAINING, step(5)).step == 5
    assert state_after(*again, RunFinished(seconds=1.0)).phase == "finished"


def test_an_attempt_that_goes_back_to_a_checkpoint_shows_that_step() -> None:
    attempt = AttemptStarted(attempt=2, plan_file="plan-2.json", resumed_from_step=4)
    state = state_after(*BEGIN, TRAINING, step(7), attempt)
    assert (state.attempt, state.step) == (2, 4)


def test_a_variant_scored_again_replaces_its_older_score() -> None:
    state = state_after(started(), scored("base", 1), scored("tuned", 8), scored("base", 2))
    assert [(score.variant, score.num_correct) for score in state.scores] == [("tuned", 8), ("base", 2)]


def test_what_comes_several_times_is_kept_in_order() -> None:
    def several(count: int) -> Iterable[Event]:
        for n in range(count):
            yield WarningRaised(text=f"w{n}")
            yield OomHit(attempt=n, phase="step", step=n, message="m")
            yield RungTaken(rung=f"r{n}", cost="c", changes_objective=False, plan_file="p", kept="k")
            yield CommandAcknowledged(command_id=str(n), command="save", status="done")

    state = state_after(*several(3))
    assert state.warnings == ("w0", "w1", "w2")
    assert [rung.rung for rung in state.rungs] == ["r0", "r1", "r2"]
    assert [oom.step for oom in state.ooms] == [0, 1, 2]
    assert [command.command_id for command in state.commands] == ["0", "1", "2"]


@given(st.lists(st.sampled_from(("step", "eval", "attempt", "sample", "pause")), max_size=30))
def test_many_events_at_once_fold_as_they_do_one_by_one(kinds: list[str]) -> None:
    sample = DeviceSampled(
        device="cpu", device_used_bytes=1, device_total_bytes=2, ram_used_bytes=1, ram_total_bytes=2, disk_free_bytes=3
    )
    made: dict[str, Event] = {
        "attempt": AttemptStarted(attempt=2, plan_file="plan-1.json", resumed_from_step=3),
        "sample": sample,
        "pause": TrainingPaused(step=1),
        "eval": EvalLogged(step=2, loss=1.5, num_rows=20, seconds=1.0),
    }
    events = [made.get(kind, step(number, loss=number / 7)) for number, kind in enumerate(kinds)]
    stamped = [Stamped(100.0 + number, "w", number, event) for number, event in enumerate(events)]
    one_by_one = RunState()
    for each in stamped:
        one_by_one = fold(one_by_one, each)
    assert fold_all(stamped) == one_by_one
    assert fold_all(stamped[5:], fold_all(stamped[:5])) == one_by_one


def test_host_attempts_and_the_newest_look_at_the_device_are_kept() -> None:
    ended = AttemptEnded(attempt=1, outcome="out_of_memory", exit_code=5)
    used = DeviceSampled(
        device="cuda:0",
        device_used_bytes=9,
        device_total_bytes=10,
        ram_used_bytes=1,
        ram_total_bytes=2,
        disk_free_bytes=3,
    )
    state = state_after(started(), used, ended)
    assert (state.host, state.attempts, state.device) == ("h", (ended,), used)
    assert state_after(started(), used, started(resumed=True)).device is None
