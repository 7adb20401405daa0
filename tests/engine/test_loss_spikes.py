"""What counts as a spike: not the noise of small runs, as they were recorded; and what does."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from engine.loss_spikes import is_spike, usual_loss

RUNS = Path(__file__).parents[1] / "recorded" / "runs"


def losses(name: str) -> list[float]:
    """Of every attempt, in order, each where it stands in its file."""
    told = [
        line for path in sorted((RUNS / name / "events").glob("attempt-*")) for line in path.read_text().splitlines()
    ]
    return [event["loss"] for event in map(json.loads, told) if event["event"] == "StepLogged"]


@pytest.mark.parametrize("name", sorted(path.name for path in RUNS.iterdir()))
def test_the_noise_of_a_real_run_is_no_spike(name: str) -> None:
    told = losses(name)
    assert [step for step in range(len(told)) if is_spike(told[step], told[:step])] == []


def test_a_real_runs_loss_that_jumps_is_one() -> None:
    told = losses("finished")
    assert is_spike(3.4, told)
    assert not is_spike(0.7, told)
    assert usual_loss(told) == pytest.approx(0.18, abs=0.05)


def test_a_diverged_loss_is_told_once_and_is_not_usual() -> None:
    assert is_spike(math.nan, [1.0])
    assert is_spike(math.inf, [])
    assert not is_spike(math.nan, [1.0, math.nan])
    assert usual_loss([1.0, math.nan, math.inf]) == 1.0
    assert usual_loss([]) is None


def test_too_few_steps_say_nothing() -> None:
    assert not is_spike(50.0, [1.0] * 7)
    assert is_spike(50.0, [1.0] * 8)


def test_tiny_losses_may_double() -> None:
    """Of the recorded demo, batch of 8: a step of 0.12 after a hundred of about 0.02."""
    assert not is_spike(0.12, [0.02, 0.018, 0.022, 0.017, 0.02, 0.019, 0.021, 0.02, 0.02])
