"""Asking for dry runs: cached, shared between processes, and replaced by the closed form when there is no answer.

The workers here are real processes that speak the worker's protocol; the dry run itself has tests of its own.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import dry_runs
from engine.dry_run_process import DryRunProcess
from engine.dry_run_types import TERMS, DryRun
from engine.dry_runs import DryRunPredictor, key_of, prediction_of, stack
from engine.errors import DiedError, ModelError, StoppedError
from engine.hardware import emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import outside_bytes, predict
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.step_specs import spec_of
from engine.units import GIB, MIB

CONFIG = KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-Chat-v1.0"].config
SHAPE = ModelShape.from_config(CONFIG)
RESULT = DryRun(
    loaded_bytes=3 * GIB,
    resident_bytes=4 * GIB,
    phases=(("forward", 5 * GIB), ("backward", 8 * GIB), ("optimizer", 5 * GIB)),
    terms=tuple((name, GIB) for name in TERMS),
    peak_bytes=8 * GIB,
    reserved_bytes=10 * GIB,
    needed_bytes=9 * GIB,
    expandable_reserved_bytes=9 * GIB,
    expandable_needed_bytes=8 * GIB + 100 * MIB,
    num_trainable=1,
    num_parameters=2,
    seconds=0.1,
)
ANSWERS = f"""
    import json, sys
    print("a library says hello", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        with open(sys.argv[0] + ".asked", "a") as file:
            file.write(line)
        print(json.dumps({{"id": asked["id"], "result": {RESULT.to_json()!r}}}), flush=True)
"""
REFUSES = """
    import json, sys
    for line in sys.stdin:
        error = {"happened": "Nobody knows the model zx81.", "means": "It cannot be built.", "remedy": "Name another."}
        print(json.dumps({"id": json.loads(line)["id"], "error": error}), flush=True)
"""

LATE = """
    import pathlib, sys
    sys.stdin.read()
    pathlib.Path(__file__).with_suffix(".ended").touch()
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DryRunProcess]:
    """Makes a worker of a few lines of Python."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(source: str, **options: Any) -> DryRunProcess:
        (tmp_path / "small_worker.py").write_text(textwrap.dedent(source))
        return DryRunProcess("small_worker", **options)

    return make


@pytest.fixture
def chosen() -> Plan:
    recipe = Recipe.from_values({"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}})
    return plan(recipe, emulate(read_hardware(), "rtx4090"), SHAPE)


def asked(tmp_path: Path) -> list[dict[str, object]]:
    """The questions that reached a worker."""
    path = tmp_path / "small_worker.py.asked"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_plan_is_predicted_by_the_worker_and_the_next_time_from_disk(
    worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    told: list[int] = []
    for _ in range(2):
        with worker(ANSWERS) as process:
            predictor = DryRunPredictor(CONFIG, SHAPE, tmp_path / "cache", process, on_question=told.append)
            memory = predictor(chosen)
            assert (memory.method, memory.peak_bytes, memory.static_bytes) == ("dry run", 8 * GIB, 4 * GIB)
            assert memory.source == stack()
            assert memory.closed_form_peak_bytes == predict(chosen, SHAPE).peak_bytes
            assert predictor(chosen) == memory
    (question,) = asked(tmp_path)
    assert (question["spec"], question["full_depth"]) == (json.loads(json.dumps(spec_of(chosen).to_json())), False)
    assert told == [1]


def test_only_the_first_question_asks_for_full_depth_where_that_is_wanted(
    worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    with worker(ANSWERS) as process:
        predictor = DryRunPredictor(CONFIG, SHAPE, tmp_path / "cache", process, full_depth_for_first=True)
        predictor(chosen)
        predictor(dataclasses.replace(chosen, max_length=64))
    assert [question["full_depth"] for question in asked(tmp_path)] == [True, False]


def test_another_configuration_step_or_library_version_is_another_question(
    chosen: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(chosen)
    keys = {
        key_of(CONFIG, spec, full_depth=False),
        key_of(CONFIG, spec, full_depth=True),
        key_of({**CONFIG, "num_hidden_layers": 3}, spec, full_depth=False),
        key_of(CONFIG, dataclasses.replace(spec, r=3), full_depth=False),
    }
    assert key_of({**CONFIG, "_name_or_path": "/elsewhere"}, spec, full_depth=False) in keys
    monkeypatch.setattr(dry_runs, "step_versions", lambda: (("torch", "9.9"),))
    assert len(keys | {key_of(CONFIG, spec, full_depth=False)}) == 5


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"versions": [], "peak_bytes": 1}'])
def test_a_kept_answer_that_is_damaged_is_asked_for_again(
    content: str, worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    path = tmp_path / "cache" / f"{key_of(CONFIG, spec_of(chosen), full_depth=False)}.json"
    path.parent.mkdir()
    path.write_text(content)
    with worker(ANSWERS) as process:
        assert DryRunPredictor(CONFIG, SHAPE, tmp_path / "cache", process)(chosen).method == "dry run"
    assert json.loads(path.read_text())["peak_bytes"] == 8 * GIB


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ImportError('no torch here')", "ended with code 1: ImportError: no torch here"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
        ("import sys; sys.stdin.readline()", "ended with code 0"),
        (REFUSES, "Nobody knows the model zx81"),
    ],
    ids=["cannot import", "killed", "silent", "refuses"],
)
def test_the_closed_form_answers_where_the_worker_does_not_and_says_why(
    source: str, said: str, worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    with worker(source) as process:
        predictor = DryRunPredictor(CONFIG, SHAPE, tmp_path / "cache", process)
        memory = predictor(chosen)
        assert (memory.method, memory.peak_bytes) == ("closed form", predict(chosen, SHAPE).peak_bytes)
        assert said in memory.source
        assert said in predictor.reason
    assert not (tmp_path / "cache").exists()


def test_a_worker_that_hangs_is_given_up_and_not_started_again(
    worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    with worker("import signal; signal.pause()", quiet_seconds=0.5) as process:
        predictor = DryRunPredictor(CONFIG, SHAPE, tmp_path / "cache", process)
        for length in (64, 128):
            memory = predictor(dataclasses.replace(chosen, max_length=length))
            assert "did not answer in time" in memory.source
        assert process.process is None


def test_while_an_answer_is_awaited_somebody_else_can_be_served_or_end_it(
    worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    def stop() -> None:
        raise StoppedError("The run was stopped.")

    with pytest.raises(StoppedError), worker(LATE, on_wait=stop) as process:
        DryRunPredictor(CONFIG, SHAPE, tmp_path / "cache", process)(chosen)
    assert not (tmp_path / "small_worker.ended").exists(), "its answer is not waited for"


def test_a_closed_form_beside_dry_runs_is_put_on_their_footing(
    worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    once = ANSWERS.replace("for line in sys.stdin:", "for line in [sys.stdin.readline()]:")
    with worker(once) as process:
        predictor = DryRunPredictor(CONFIG, SHAPE, tmp_path / "cache", process)
        first = predictor(chosen)
        smaller = dataclasses.replace(chosen, max_length=chosen.max_length // 2)
        second, alone = predictor(smaller), predict(smaller, SHAPE)
    closed = predict(chosen, SHAPE)
    ratio = (first.peak_bytes - first.static_bytes) / (closed.peak_bytes - closed.static_bytes)
    assert second.method == "closed form"
    assert second.peak_bytes - second.static_bytes == pytest.approx(ratio * (alone.peak_bytes - alone.static_bytes))
    assert sum(size for _, size in second.terms) == second.peak_bytes


def test_a_model_that_neither_can_predict_is_an_error_of_ours(
    worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    with worker(REFUSES) as process, pytest.raises(ModelError, match="zx81"):
        DryRunPredictor(CONFIG, None, tmp_path / "cache", process)(chosen)
    with worker("") as process, pytest.raises(DiedError, match="not available"):
        DryRunPredictor(CONFIG, None, tmp_path / "cache", process)(chosen)


def test_a_cache_that_cannot_be_written_costs_only_the_cache(
    worker: Callable[..., DryRunProcess], chosen: Plan, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with worker(ANSWERS) as process:
        assert DryRunPredictor(CONFIG, SHAPE, tmp_path / "file" / "cache", process)(chosen).method == "dry run"


def test_the_verdict_is_about_the_pool_that_survives_and_what_lies_outside_it(chosen: Plan) -> None:
    outside = outside_bytes(chosen.device, chosen.compute_capability)
    memory = prediction_of(chosen, RESULT)
    assert memory.needed_bytes == 9 * GIB + outside
    assert (memory.reserved_low_bytes, memory.reserved_high_bytes) == (9 * GIB, 10 * GIB)
    for capacity, verdict in ((1.06, "fits"), (1.01, "tight"), (0.99, "will not fit")):
        there = dataclasses.replace(chosen, capacity_bytes=int((9 * GIB + outside) * capacity))
        assert prediction_of(there, RESULT).verdict == verdict


def test_expandable_segments_need_less(chosen: Plan) -> None:
    grown = dataclasses.replace(chosen, expandable_segments=True)
    assert prediction_of(grown, RESULT).needed_bytes < prediction_of(chosen, RESULT).needed_bytes
    assert prediction_of(grown, RESULT).peak_bytes == prediction_of(chosen, RESULT).peak_bytes
