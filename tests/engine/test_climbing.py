"""The plans of a run: predicted, changed, refused and written back. Real run folders, no worker processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import events as ev
from engine.climbing import ERROR_BOUNDS, Climber
from engine.errors import OutOfMemoryError, StoppedError
from engine.event_log import EventWriter, read_events
from engine.hardware import emulate, read_hardware
from engine.ladder import FREE, bottom
from engine.memory import Predictor, closed_form
from engine.model_facts import shape_for
from engine.model_shape import ModelShape
from engine.model_source import fetch_config, locate
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.starting import create_run, prospect
from presets.preset import preset

CPU = dataclasses.replace(read_hardware(), gpus=(), cpu_name="a processor", cpu_flags=("avx2",))
MIB = 2**20
TRINITY = "trinity-gemma3-12b-16gb"


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe's rows, where it is written down."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    monkeypatch.chdir(tmp_path)


def climber_of(name: str, card: str | None, *overrides: str, capacity: int | None = None) -> Climber:
    """A run whose model is known, as after preparation; `capacity` replaces what the machine would allow."""
    recipe = preset(name).recipe(overrides)
    found = prospect(recipe, emulate(CPU, card) if card else CPU, base_dir=Path.cwd())
    run = create_run(found, name="demo")
    source = locate(recipe.model.name_or_path, base_dir=Path.cwd(), revision=None)
    run.model_config.write_text(json.dumps(fetch_config(source, offline=True)))
    if capacity is not None:
        rewrite(run, capacity_bytes=capacity)
    writer = EventWriter(run.event_file("supervisor"))
    return Climber(run, writer, found.recipe, alive=lambda: None, predicting=closed_form_only)


@contextmanager
def closed_form_only(
    _config: Any, shape: ModelShape | None, *, first: Plan, on_wait: Callable[[], None]
) -> Iterator[Predictor | None]:
    """The closed form, which needs no worker process; that of the dry run is tested with real runs."""
    assert first.capacity_bytes
    on_wait()
    yield closed_form(shape) if shape else None


def rewrite(run: RunDir, **changes: Any) -> None:
    first = dataclasses.replace(Plan.from_json(read_json(run.plan(1))), **changes)
    run.plan(1).write_text(json.dumps(first.to_json()))


def needs(climber: Climber, at: Callable[[Plan], Plan] = lambda plan: plan) -> int:
    """Bytes that the closed form wants for a plan of that run."""
    with climber.predictor() as predictor:
        assert predictor is not None
        return predictor(at(climber.newest_plan())).needed_bytes


def lowest(climber: Climber, plan: Plan) -> Plan:
    shape, _ = shape_for(climber.recipe, Path.cwd())
    assert shape is not None
    return bottom(plan, climber.recipe.ladder, closed_form(shape))


def told(climber: Climber, kind: type[ev.Event]) -> list[Any]:
    return [stamped.event for stamped in read_events(climber.run.events) if isinstance(stamped.event, kind)]


def oom(phase: str = "step", step: int = 3, cause: str = "cpu allocator") -> ev.OomHit:
    return ev.OomHit(attempt=1, phase=phase, step=step, message="tried to allocate 2 GiB", cause=cause)


def exhaust(climber: Climber) -> None:
    """Run out of memory again and again."""
    for _ in range(60):
        climber.climb_down(oom())


def test_a_plan_predicted_to_fit_is_told_and_left_alone() -> None:
    climber = climber_of("demo-cpu", None)
    climber.before_attempts()
    (predicted,) = told(climber, ev.MemoryPredicted)
    assert predicted.verdict == "fits"
    assert sum(size for _, size in predicted.terms) == predicted.peak_bytes
    assert predicted.plan_file == "plan-1.json"
    assert climber.run.latest_plan_number() == 1


def test_a_plan_predicted_not_to_fit_is_changed_before_any_attempt() -> None:
    climber = climber_of("demo-cpu", None)
    climber = climber_of("demo-cpu", None, capacity=int(needs(climber) * 0.8))
    climber.before_attempts()
    rungs = told(climber, ev.RungTaken)
    assert rungs
    assert {rung.why for rung in rungs} == {"predicted"}
    assert {rung.plan_file for rung in rungs} == {"plan-2.json"}
    assert rungs[-1].kept == "starts at step 0: no checkpoint yet"
    before, after = told(climber, ev.MemoryPredicted)
    assert (before.verdict, after.verdict) in (("will not fit", "fits"), ("will not fit", "tight"))
    assert rungs[0].before_bytes == before.peak_bytes
    assert rungs[-1].after_bytes == after.peak_bytes
    assert climber.newest_plan().rungs == tuple(rung.rung for rung in rungs)


def test_a_plan_that_an_attempt_has_followed_is_not_second_guessed() -> None:
    climber = climber_of("demo-cpu", None)
    climber = climber_of("demo-cpu", None, capacity=int(needs(climber) * 0.8))
    attempt = EventWriter(climber.run.event_file("attempt-1"))
    attempt.write(ev.AttemptStarted(attempt=1, plan_file="plan-1.json", resumed_from_step=0))
    climber.before_attempts()
    assert told(climber, ev.RungTaken) == []


def test_with_predict_off_nothing_is_changed_before_an_out_of_memory() -> None:
    climber = climber_of("demo-cpu", None)
    climber = climber_of("demo-cpu", None, "ladder.predict=false", capacity=int(needs(climber) * 0.8))
    climber.before_attempts()
    assert told(climber, ev.RungTaken) == []
    climber.climb_down(oom())
    assert [rung.rung for rung in told(climber, ev.RungTaken)] == ["eval_batch_1"]
    climber.climb_down(oom())
    assert [rung.rung for rung in told(climber, ev.RungTaken)] == ["eval_batch_1", "halve_micro_batch"]
    assert all(rung.before_bytes >= rung.after_bytes > 0 for rung in told(climber, ev.RungTaken))
    assert climber.run.latest_plan_number() == 3


def test_a_cap_below_the_weights_ends_the_run_at_once_even_before_preparation() -> None:
    climber = climber_of(TRINITY, "t4", capacity=4 * 2**30)
    with pytest.raises(OutOfMemoryError, match=r"This needs at least \d+\.\d GiB") as told_so:
        climber.refuse_hopeless()
    assert told_so.value.exit_code == 5
    assert "4.0 GiB may be used" in told_so.value.happened
    assert "No attempt was made" in told_so.value.means
    with pytest.raises(OutOfMemoryError, match="needs at least"):
        climber.before_attempts()
    unpredicted = climber_of(TRINITY, "t4", "ladder.predict=false", capacity=4 * 2**30)
    with pytest.raises(OutOfMemoryError, match="needs at least"):
        unpredicted.before_attempts()
    climber_of(TRINITY, "t4").refuse_hopeless()


def test_a_plan_that_fits_only_with_a_rung_without_consent_is_refused_with_its_name_and_effect() -> None:
    overrides = ("ladder.costly=[]",)
    climber = climber_of(TRINITY, "t4", *overrides)
    end = lowest(climber, climber.newest_plan())
    assert end.memory is not None
    wanting = int(end.memory.needed_bytes / (1 + ERROR_BOUNDS["closed form"]) * 0.98)
    climber = climber_of(TRINITY, "t4", *overrides, capacity=wanting)
    with pytest.raises(OutOfMemoryError, match="This fits only with ") as refused:
        climber.before_attempts()
    name = refused.value.happened.removeprefix("This fits only with ").split(",")[0].split(" and ")[0]
    assert refused.value.exit_code == 5
    assert f"{name} (" in refused.value.means
    assert "iB: peak" in refused.value.means
    assert "--set 'ladder.costly=[" in refused.value.remedy
    assert name in refused.value.remedy
    consenting = refused.value.remedy.partition("--set '")[2].partition("'")[0]
    allowed = climber_of(TRINITY, "t4", consenting, capacity=wanting)
    allowed.before_attempts()
    assert name in allowed.newest_plan().rungs


def test_within_the_error_of_the_prediction_the_attempt_is_made() -> None:
    climber = climber_of("demo-cpu", None)
    wanting = int(lowest(climber, climber.newest_plan()).memory.needed_bytes / 1.1)  # type: ignore[union-attr]
    climber = climber_of("demo-cpu", None, capacity=wanting)
    climber.before_attempts()
    assert climber.newest_plan().memory.verdict == "will not fit"  # type: ignore[union-attr]
    assert {rung.why for rung in told(climber, ev.RungTaken)} == {"predicted"}


def test_a_ladder_that_is_off_refuses_what_cannot_fit_and_says_what_would_help() -> None:
    climber = climber_of("demo-cpu", None)
    wanting = int(needs(climber) / 1.25)
    climber = climber_of("demo-cpu", None, "ladder.enabled=false", capacity=wanting)
    with pytest.raises(OutOfMemoryError, match="which the recipe does not allow") as refused:
        climber.before_attempts()
    assert "--set ladder.enabled=true" in refused.value.remedy


def test_each_out_of_memory_leads_to_a_smaller_plan_until_none_is_left() -> None:
    climber = climber_of("demo-cpu", None)
    with pytest.raises(
        OutOfMemoryError, match="no rung that the recipe allows is left: tried to allocate 2 GiB"
    ) as ended:
        exhaust(climber)
    plans = [Plan.from_json(read_json(climber.run.plan(n))) for n in range(2, climber.run.latest_plan_number() + 1)]
    peaks = [plan.memory.peak_bytes for plan in plans if plan.memory]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)
    assert {plan.effective_batch_size for plan in plans} == {8}
    assert {rung.rung for rung in told(climber, ev.RungTaken)} <= {rung.name for rung in FREE}
    assert ended.value.means.startswith("Rungs taken: ")
    assert "ladder.costly=" in ended.value.remedy


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("cuda", "nvidia-smi"),
        ("cublas", "workspace"),
        ("cpu allocator", "Raise memory.limit"),
        ("host", "container"),
        ("", "a smaller model"),
    ],
)
def test_every_cause_has_a_remedy_of_its_own(cause: str, words: str) -> None:
    climber = climber_of("demo-cpu", None, "ladder.enabled=false")
    with pytest.raises(OutOfMemoryError) as ended:
        climber.climb_down(oom(cause=cause))
    assert words in ended.value.remedy


def test_a_stop_is_honoured_between_predictions() -> None:
    climber = climber_of("demo-cpu", None)

    def stop() -> None:
        raise StoppedError("The run was stopped.")

    climber.alive = stop
    with pytest.raises(StoppedError):
        climber.before_attempts()


def test_the_rows_true_lengths_decide_once_they_are_known() -> None:
    climber = climber_of("demo-cpu", None)
    record = {"row_lengths": {"longest": [[40, 9], [38, 9]], "num_rows": 2, "num_tokens": 78}}
    before = climber.newest_plan()
    after = climber.complete_first_plan(CPU, record)
    assert after.rows is not None
    assert after.memory is not None
    assert before.memory is not None
    assert after.memory.peak_bytes < before.memory.peak_bytes
    assert climber.newest_plan() == after


def test_the_settled_recipe_is_written_where_training_ended() -> None:
    climber = climber_of("demo-cpu", None, "ladder.predict=false")
    climber.climb_down(oom())
    climber.climb_down(oom())
    climber.settle()
    (event,) = told(climber, ev.RecipeSettled)
    assert event.rungs == ("eval_batch_1", "halve_micro_batch")
    again = Recipe.load(climber.run.path / event.path)
    assert again.training.per_device_eval_batch_size == 1
    assert again.training.per_device_train_batch_size == 4
    assert again.training.gradient_accumulation_steps == 2
