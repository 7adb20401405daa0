"""What an attempt measured is kept when it ends, for the next plan of its kind. Real event files, real run folders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from engine import events as ev
from engine.calibration import calibrated, lookup
from engine.event_log import EventWriter
from engine.hardware import read_hardware
from engine.known_models import KNOWN_MODELS
from engine.learning import learn
from engine.memory import closed_form
from engine.model_shape import ModelShape
from engine.plan import Plan
from engine.run_dir import RunDir, read_json, write_atomic
from engine.starting import create_run, prospect
from engine.time_estimate import flops_per_token
from presets.preset import preset

MODEL = "bundled:smollm2-135m-instruct"
SHAPE = ModelShape.from_config(KNOWN_MODELS[MODEL].config)
CPU = dataclasses.replace(read_hardware(), gpus=(), cpu_name="a processor")


@pytest.fixture
def run() -> RunDir:
    made = create_run(prospect(preset("demo-cpu").recipe(), CPU, base_dir=Path.cwd()), name="demo")
    write_atomic(made.model_config, json.dumps(dict(KNOWN_MODELS[MODEL].config)))
    return made


def plan_of(run: RunDir) -> Plan:
    return Plan.from_json(read_json(run.plan(1)))


def step(number: int, seconds: float) -> ev.StepLogged:
    return ev.StepLogged(
        step=number,
        max_steps=9,
        epoch=0.1,
        loss=1.0,
        learning_rate=1e-4,
        grad_norm=1.0,
        num_tokens=1000,
        step_seconds=seconds,
        rss_bytes=1,
    )


def told(run: RunDir, *events: ev.Event) -> None:
    writer = EventWriter(run.event_file("attempt-1"))
    for event in events:
        writer.write(event)


def test_the_next_plan_is_calibrated_by_what_an_attempt_measured(run: RunDir) -> None:
    chosen = plan_of(run)
    assert chosen.memory is not None
    measured = ev.MemoryMeasured(attempt=1, step=2, peak_bytes=9, static_bytes=5, predicted_bytes=8, rho=1.1)
    told(run, step(1, 60.0), measured, step(2, 60.0), step(3, 4.0), step(4, 6.0), step(5, 5.0))
    assert learn(run, 1, chosen) == []
    after = calibrated(closed_form(SHAPE))(chosen)
    assert after.transient_scale == pytest.approx(1.1)
    assert "calibrated by 1 run on this device" in after.calibration
    found, _ = lookup(chosen, chosen.memory.method, num_parameters=SHAPE.num_parameters)
    assert found is not None
    assert found.flops == pytest.approx(200 * flops_per_token(chosen, SHAPE)), "without the first two steps"


def test_an_attempt_that_ended_in_its_first_steps_teaches_no_speed(run: RunDir) -> None:
    chosen = plan_of(run)
    told(run, step(1, 60.0), step(2, 60.0), step(3, 4.0))
    assert learn(run, 1, chosen) == []
    assert lookup(chosen, "closed form") == (None, "")


def test_a_measurement_that_cannot_be_kept_is_said_and_costs_the_run_nothing(run: RunDir, own_machine: Path) -> None:
    (own_machine / "calibration.json").write_text("not JSON")
    told(run, *(step(number, 5.0) for number in range(1, 7)))
    (problem,) = learn(run, 1, plan_of(run))
    assert "damaged" in problem
