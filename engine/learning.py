"""What an attempt's events teach about memory and speed on this device, handed to `calibration` when it ended.

Not here: measuring (`training`), keeping the figures (`calibration`), and predicting from them.
"""

from __future__ import annotations

import contextlib

from engine.attempt_outcome import said_by
from engine.calibration import record_measured, record_speed
from engine.errors import ModelError
from engine.events import MemoryMeasured, StepLogged
from engine.model_shape import ModelShape, model_shape
from engine.plan import Plan
from engine.run_dir import RunDir, read_json
from engine.time_estimate import flops_per_token

NUM_SETTLING = 2
"""An attempt's first steps say nothing about speed: kernels are chosen in the first, the second is measured."""
MIN_STEPS = 3


def learn(run: RunDir, attempt: int, plan: Plan) -> list[str]:
    """Keep what the attempt measured under that plan. Returns what had to be said about it."""
    told = said_by(run, f"attempt-{attempt}")
    problems = [record_measured(plan, event) for event in told if isinstance(event, MemoryMeasured)]
    shape = shape_of(run)
    if shape is not None and (speed := tokens_per_second([event for event in told if isinstance(event, StepLogged)])):
        problems.append(record_speed(plan, speed * flops_per_token(plan, shape), num_parameters=shape.num_parameters))
    return list(dict.fromkeys(problem for problem in problems if problem))


def tokens_per_second(steps: list[StepLogged]) -> float | None:
    """Speed of an attempt once it runs; None where it has made too few steps to say."""
    settled = steps[NUM_SETTLING:]
    seconds = sum(step.step_seconds for step in settled)
    if len(settled) < MIN_STEPS or not seconds:
        return None
    return sum(step.num_tokens for step in settled) / seconds


def shape_of(run: RunDir) -> ModelShape | None:
    """The dimensions of the run's model; None for a family that nobody has worked out."""
    with contextlib.suppress(ModelError):
        return model_shape(read_json(run.model_config)) if run.model_config.exists() else None
    return None
