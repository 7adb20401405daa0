"""A preset's whole ladder, walked for real: that of the 12B preset on a scaled-down Gemma 3, under one RAM cap.

Context, rank, DoRA, modules, in that order: one rung per out-of-memory, each in a fresh process. The run that predicts
comes first: what its one worker answers is kept, and the other needs no worker for each of its rungs.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine import events as ev
from engine.event_log import read_events
from engine.plan import Plan
from engine.run_dir import RunDir, read_json

pytestmark = [pytest.mark.slow(seconds=150), pytest.mark.long, pytest.mark.timeout(1200)]
PATIENCE = 900.0
"""Seconds for five attempts in a row, on a machine that is busy with other things too."""
PRESET = "trinity-gemma3-12b-16gb"
LIMIT = "memory.limit=216MiB"
"""Room for the last plan only: predicted are 210 MiB, for its loading; the one before takes 188 MiB of tensors alone,
and a process with a single thread some 50 MiB more than its tensors."""
PROTOCOL = ["halve_max_length", "halve_rank", "disable_dora", "only_q_and_v"]
WIDE = {"hidden_size": 512, "intermediate_size": 1024}


@pytest.fixture(scope="module")
def small_trinity(workshop: Any, tiny_models: Any) -> tuple[str, ...]:
    """What is overridden in the preset: the model, the rows, and sizes in proportion to the model's."""
    model = tiny_models.write_heavy_model(workshop.folder / "gemma", "gemma3", layers=8, sizes=WIDE)
    said = " ".join(str(number % 100) for number in range(700))
    rows = [{"prompt": f"say {number}", "completion": said if number % 4 else "four"} for number in range(8)]
    (workshop.folder / "gemma.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (
        f"model.name_or_path={model}",
        f"data.dataset={workshop.folder / 'gemma.jsonl'}",
        "data.eval_fraction=0",
        "data.test_fraction=0",
        "evaluation.enabled=false",
        "training.max_steps=2",
        "training.gradient_accumulation_steps=1",
        "training.max_length=1536",
        "ladder.min_max_length=768",
        "adapter.r=768",
        "ladder.min_rank=384",
    )


def events_of(run: RunDir, kind: type[ev.Event]) -> list[Any]:
    return [stamped.event for stamped in read_events(run.events) if isinstance(stamped.event, kind)]


def plans_of(run: RunDir) -> list[Plan]:
    return [Plan.from_json(read_json(run.plan(number))) for number in range(1, run.latest_plan_number() + 1)]


def test_a_prediction_goes_down_the_same_protocol_at_once(workshop: Any, small_trinity: tuple[str, ...]) -> None:
    run = workshop.begin("at-once", *small_trinity, LIMIT, source=PRESET)
    done = workshop.finetui("attach", run.name, seconds=PATIENCE)
    assert done.returncode == 0, done.stdout
    assert [rung.rung for rung in events_of(run, ev.RungTaken)] == PROTOCOL
    assert {rung.why for rung in events_of(run, ev.RungTaken)} == {"predicted"}
    assert events_of(run, ev.OomHit) == []
    assert len(events_of(run, ev.AttemptStarted)) == 1


def test_the_protocol_is_walked_in_its_order_where_only_its_last_plan_fits(
    workshop: Any, small_trinity: tuple[str, ...]
) -> None:
    run = workshop.begin("protocol", *small_trinity, "ladder.predict=false", LIMIT, source=PRESET)
    done = workshop.finetui("attach", run.name, seconds=PATIENCE)
    assert done.returncode == 0, done.stdout
    rungs = events_of(run, ev.RungTaken)
    assert [rung.rung for rung in rungs] == PROTOCOL
    assert all(rung.changes_objective for rung in rungs)
    values = [(p.max_length, p.r, p.use_dora, p.target_modules == ("q_proj", "v_proj")) for p in plans_of(run)]
    assert values == [
        (1536, 768, True, False),
        (768, 768, True, False),
        (768, 384, True, False),
        (768, 384, False, False),
        (768, 384, False, True),
    ]
    assert {plan.effective_batch_size for plan in plans_of(run)} == {1}
    assert [event.step for event in events_of(run, ev.StepLogged)] == [1, 2]
    assert len(events_of(run, ev.OomHit)) == len(PROTOCOL)
    peaks = [rung.after_bytes for rung in rungs]
    assert peaks == sorted(peaks, reverse=True)
