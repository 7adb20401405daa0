"""The recorded runs are whole, small, say nothing of the machine they were made on, and ended as their names say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine import events as ev
from engine.event_log import EventReader
from engine.first_look import glimpse
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState, fold_all
from engine.run_trace import RunTrace

RUNS = Path(__file__).with_name("runs")
PHASES = {
    "finished": "finished",
    "laddered": "finished",
    "resumed": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "died": "training",
    "running": "training",
}
MAX_BYTES = 1_500_000
PLACES = re.compile(r"/(?:work|tmp|root|builds?|workspace)/")


def state_of(name: str) -> RunState:
    return fold_all(EventReader(RUNS / name / "events").poll())


def trace_of(name: str) -> RunTrace:
    trace = RunTrace()
    for stamped in EventReader(RUNS / name / "events").poll():
        trace.add(stamped)
    return trace


def test_every_run_is_here_and_together_they_are_small() -> None:
    assert {path.name for path in RUNS.iterdir()} == set(PHASES)
    assert sum(path.stat().st_size for path in RUNS.rglob("*") if path.is_file()) < MAX_BYTES


@pytest.mark.parametrize("name", PHASES)
def test_a_recorded_run_is_read_without_a_bad_line_and_ended_as_its_name_says(name: str) -> None:
    reader = EventReader(RUNS / name / "events")
    state = fold_all(reader.poll())
    assert (reader.num_bad_lines, reader.num_unknown_events) == (0, 0)
    assert state.phase == PHASES[name]
    assert (state.run, state.host) == (name, "gpu-box")
    assert state.device is not None
    assert fold_all(glimpse(RUNS / name / "events")) == state


@pytest.mark.parametrize("name", PHASES)
def test_its_recipe_and_plans_are_valid_today(name: str) -> None:
    run = RunDir(RUNS / name)
    assert Recipe.load(run.recipe).model.name_or_path == "bundled:smollm2-135m-instruct"
    for number in range(1, run.latest_plan_number() + 1):
        assert Plan.from_json(read_json(run.plan(number))).device == "cpu"
    assert read_json(run.receipt)["num_train"] > 0


@pytest.mark.parametrize("name", PHASES)
def test_nothing_names_the_machine_it_was_recorded_on(name: str) -> None:
    for path in (path for path in (RUNS / name).rglob("*") if path.is_file()):
        assert PLACES.findall(path.read_text(encoding="utf-8")) == [], path


def test_the_finished_one_scored_base_and_tuned_model_and_measured_its_eval_loss() -> None:
    state, trace = state_of("finished"), trace_of("finished")
    assert {score.variant for score in state.scores} == {"base_zero_shot", "base_examples", "tuned"}
    assert len(trace) == 40
    assert len(trace.evals) == 4
    assert trace.losses[-1] < trace.losses[0]
    assert trace.data_share() is not None
    assert trace.samples


def test_the_laddered_one_ran_out_of_memory_for_real_and_went_on_in_the_same_step() -> None:
    state, trace = state_of("laddered"), trace_of("laddered")
    assert {oom.cause for oom in state.ooms} == {"cpu allocator"}
    assert [rung.rung for rung in state.rungs] == ["eval_batch_1", "halve_micro_batch", "gradient_checkpointing"]
    assert [each.outcome for each in state.attempts] == [*["out_of_memory"] * 3, "completed"]
    assert [mark.kind for mark in trace.marks if mark.kind in ("oom", "rung")] == ["oom", "rung"] * 3
    assert list(trace.steps) == list(range(1, 17))


def test_the_resumed_one_trained_some_steps_twice_and_counts_them_once() -> None:
    trace = trace_of("resumed")
    assert trace.num_repeated_steps > 0
    assert list(trace.steps) == list(range(1, 25))
    assert [mark.kind for mark in trace.marks].count("resumed") == 2


def test_the_failed_one_says_what_to_do() -> None:
    final = state_of("failed").final
    assert isinstance(final, ev.RunFailed)
    assert final.exit_code == 5
    assert final.remedy


def test_the_one_that_died_is_dead_anywhere_and_the_running_one_stands_in_the_middle() -> None:
    assert not (RUNS / "died" / "supervisor.json").exists()
    running = state_of("running")
    assert 0 < running.step < running.max_steps
    assert running.evals
