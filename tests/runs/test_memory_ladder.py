"""Running out of memory for real: a RAM cap makes the CPU allocator raise while the bundled model trains."""

from __future__ import annotations

from typing import Any

import pytest

from engine import events as ev
from engine.event_log import read_events
from engine.plan import Plan
from engine.run_dir import read_json
from engine.run_state import fold_all

pytestmark = pytest.mark.slow
SHORT = (
    "training.max_steps=2",
    "training.save_steps=1",
    "training.per_device_train_batch_size=16",
    "data.generator_rows=200",
    "evaluation.enabled=false",
)


def test_a_run_that_runs_out_of_memory_goes_on_with_a_smaller_plan(workshop: Any) -> None:
    run = workshop.begin("oom", *SHORT, "memory.limit=2200MiB", source="demo-cpu")
    watched = workshop.finetui("attach", run.name)
    assert watched.returncode == 0, watched.stdout
    state = fold_all(read_events(run.events))
    assert state.ooms
    assert "ladder: halve_micro_batch" in watched.stdout
    assert not any(rung.changes_objective for rung in state.rungs)
    last = Plan.from_json(read_json(run.plan(run.latest_plan_number())))
    assert last.per_device_train_batch_size < 16
    assert last.effective_batch_size == 16
    assert list(last.rungs) == [rung.rung for rung in state.rungs]
    again = workshop.finetui("replay", run.name, "--set", "run.name=afteroom")
    assert again.returncode == 0, again.stdout
    assert fold_all(read_events(workshop.run("afteroom-1").events)).ooms == ()


def test_without_a_rung_left_the_run_ends_with_exit_code_5(workshop: Any) -> None:
    run = workshop.begin("toosmall", *SHORT, "memory.limit=300MiB", source="demo-cpu")
    watched = workshop.finetui("attach", run.name)
    assert watched.returncode == 5, watched.stdout
    assert isinstance(fold_all(read_events(run.events)).final, ev.RunFailed)
    assert "Out of memory" in watched.stdout
