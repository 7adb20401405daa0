"""The ladder's contract on a real card, held to 6 to 24 GB of it: real out-of-memory errors of CUDA's allocator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine import events as ev
from engine.event_log import read_events
from engine.hardware import read_hardware
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.units import GIB, parse_bytes

CARD = read_hardware().best_gpu
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(CARD is None, reason="this machine has no NVIDIA card"),
]
SIZES = {"6GB": 8, "8GB": 8, "12GB": 16, "16GB": 16, "24GB": 32}
"""The cap, and rows of 2,000 tokens a step: about half as much again as it holds without the ladder."""
LONG = " ".join(str(number % 100) for number in range(700))
RECIPE = """
title = "a card of another size"
[model]
name_or_path = "{model}"
[data]
dataset = "rows.jsonl"
eval_fraction = 0
test_fraction = 0
[adapter]
r = 16
[training]
max_steps = 2
per_device_train_batch_size = {rows}
max_length = 2048
gradient_checkpointing = false
[memory]
limit = "{limit}"
[evaluation]
enabled = false
"""


@pytest.fixture(scope="module")
def model(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.4 billion random parameters: 0.8 GB of weights, 0.7 MB of activations a token."""
    wide = {"hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 32, "num_key_value_heads": 8}
    folder = tmp_path_factory.mktemp("model")
    return Path(tiny_models.write_heavy_model(folder, "llama", layers=8, sizes=wide))


def finetui(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FINETUI_HOME": str(folder / "home")}
    command = [sys.executable, "-P", "-m", "tui_app", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def events_of(run: RunDir, kind: type[ev.Event]) -> list[Any]:
    return [stamped.event for stamped in read_events(run.events) if isinstance(stamped.event, kind)]


@pytest.fixture
def folder(tmp_path: Path, model: Path, request: pytest.FixtureRequest) -> Path:
    """A recipe for a card of the size that the test names, and its rows."""
    limit = request.getfixturevalue("limit")
    assert CARD is not None
    if CARD.free_bytes < parse_bytes(limit) + GIB:
        pytest.skip(f"{CARD.name} has less than {limit} free")
    (tmp_path / "wide.toml").write_text(RECIPE.format(model=model, rows=SIZES[limit], limit=limit))
    rows = [{"prompt": f"say {number}", "completion": LONG} for number in range(64)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("limit", SIZES)
def test_without_a_prediction_each_oom_takes_one_free_rung_and_loses_no_step(folder: Path, limit: str) -> None:
    sets = ("ladder.predict=false", "ladder.max_attempts=12", "run.name=climbed")
    done = finetui(folder, "replay", "wide.toml", *[part for each in sets for part in ("--set", each)])
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir.open("climbed-1", folder / "home" / "runs")
    ooms, rungs = events_of(run, ev.OomHit), events_of(run, ev.RungTaken)
    assert ooms
    assert {oom.cause for oom in ooms} <= {"cuda", "cublas"}
    assert len(rungs) == len(ooms)
    assert not any(rung.changes_objective for rung in rungs)
    assert [event.step for event in events_of(run, ev.StepLogged)] == [1, 2]
    last = Plan.from_json(read_json(run.newest_plan_file()))
    assert last.effective_batch_size == SIZES[limit]
    assert all(event.reserved_bytes <= parse_bytes(limit) for event in events_of(run, ev.StepLogged))
    again = finetui(folder, "replay", str(run.settled), "--set", "run.name=settled")
    assert again.returncode == 0, again.stdout + again.stderr
    settled = RunDir.open("settled-1", folder / "home" / "runs")
    assert events_of(settled, ev.OomHit) == []
    assert Recipe.load(settled.recipe).training.per_device_train_batch_size == last.per_device_train_batch_size


@pytest.mark.parametrize("limit", SIZES)
def test_with_a_prediction_the_first_attempt_fits(folder: Path, limit: str) -> None:
    done = finetui(folder, "replay", "wide.toml", "--set", "run.name=foreseen")
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir.open("foreseen-1", folder / "home" / "runs")
    assert events_of(run, ev.OomHit) == []
    assert {rung.why for rung in events_of(run, ev.RungTaken)} == {"predicted"}
    assert len(events_of(run, ev.AttemptStarted)) == 1
    assert {event.effective_batch_size for event in events_of(run, ev.TrainingStarted)} == {SIZES[limit]}


@pytest.mark.parametrize("limit", ["6GB"])
def test_a_cap_below_the_weights_is_refused_without_an_attempt(folder: Path, limit: str) -> None:
    done = finetui(folder, "replay", "wide.toml", "--set", "memory.limit=150MiB", "--set", "run.name=tiny")
    assert done.returncode == 5, f"{limit}: {done.stdout}"
    assert "needs at least" in done.stdout
    assert events_of(RunDir.open("tiny-1", folder / "home" / "runs"), ev.AttemptStarted) == []
