"""Measurements of earlier runs: kept, looked up by what must be equal, bounded, and never a reason to fail."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine import calibration
from engine.calibration import (
    MAX_SAMPLES,
    RHO_MAX,
    RHO_MIN,
    calibrated,
    key_of,
    lookup,
    record,
    record_measured,
    record_speed,
)
from engine.events import MemoryMeasured
from engine.hardware import emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import closed_form
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe

SHAPE = ModelShape.from_config(KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-Chat-v1.0"].config)
CLOSED = "closed form"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def chosen() -> Plan:
    recipe = Recipe.from_values({"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}})
    return plan(recipe, emulate(read_hardware(), "rtx3090"), SHAPE)


def measured(rho: float | None) -> MemoryMeasured:
    return MemoryMeasured(attempt=1, step=2, peak_bytes=10, static_bytes=5, predicted_bytes=9, rho=rho)


def test_nothing_measured_changes_nothing(chosen: Plan) -> None:
    assert lookup(chosen, CLOSED) == (None, "")
    assert calibrated(closed_form(SHAPE))(chosen) == closed_form(SHAPE)(chosen)


def test_the_median_of_what_was_measured_scales_the_transient_part_only(chosen: Plan) -> None:
    for rho in (1.02, 1.10, 1.04):
        assert record_measured(chosen, measured(rho)) == ""
    before, after = closed_form(SHAPE)(chosen), calibrated(closed_form(SHAPE))(chosen)
    transient = before.peak_bytes - before.static_bytes
    assert after.static_bytes == before.static_bytes
    assert after.peak_bytes - after.static_bytes == pytest.approx(1.04 * transient, abs=2)
    assert after.needed_bytes - before.needed_bytes == after.peak_bytes - before.peak_bytes
    assert sum(size for _, size in after.terms) == after.peak_bytes
    assert dict(after.terms)["weights"] == dict(before.terms)["weights"]


def test_a_prediction_says_by_how_many_runs_and_when_it_was_calibrated(chosen: Plan) -> None:
    for rho in (1.03, 1.04, 1.05):
        record_measured(chosen, measured(rho))
    found, _ = lookup(chosen, CLOSED)
    assert found is not None
    two_days = found.newest + 2 * 86400
    assert found.sentence(two_days) == "calibrated by 3 runs on this device, the last 2 d 00 h ago: x1.04"
    assert "calibrated by 3 runs" in calibrated(closed_form(SHAPE))(chosen).calibration


def test_a_factor_measured_on_a_calibrated_prediction_counts_on_top_of_it(chosen: Plan) -> None:
    record_measured(chosen, measured(1.10))
    scaled = dataclasses.replace(chosen, memory=calibrated(closed_form(SHAPE))(chosen))
    record_measured(scaled, measured(1.0))
    found, _ = lookup(chosen, CLOSED)
    assert found is not None
    assert found.rho == pytest.approx(1.10)


@pytest.mark.parametrize(("rho", "used"), [(0.5, RHO_MIN), (3.0, RHO_MAX), (1.1, 1.1)])
def test_a_factor_is_used_only_within_its_bounds(chosen: Plan, rho: float, used: float) -> None:
    record_measured(chosen, measured(rho))
    found, _ = lookup(chosen, CLOSED)
    assert found is not None
    assert found.rho == used


@pytest.mark.parametrize(
    "change",
    [
        {"device_name": "another card"},
        {"method": "qlora"},
        {"use_dora": True},
        {"attn_implementation": "eager"},
        {"gradient_checkpointing": True},
    ],
)
def test_what_was_measured_says_nothing_about_another_card_method_or_attention(
    chosen: Plan, change: dict[str, object]
) -> None:
    record_measured(dataclasses.replace(chosen, gradient_checkpointing=False), measured(1.1))
    assert lookup(dataclasses.replace(chosen, **change), CLOSED) == (None, "")  # type: ignore[arg-type]


def test_lean_and_plain_dora_are_kept_apart_and_so_are_both_ways_of_predicting(chosen: Plan) -> None:
    dora = dataclasses.replace(chosen, use_dora=True)
    keys = {key_of(each, CLOSED) for each in (chosen, dora, dataclasses.replace(dora, lean_dora=True))}
    assert len(keys | {key_of(chosen, "dry run")}) == 4


def test_a_card_that_is_only_planned_for_takes_what_a_real_one_measured_but_not_the_other_way(chosen: Plan) -> None:
    real = dataclasses.replace(chosen, device_name=chosen.device_name.removesuffix(" (emulated)"))
    record_measured(chosen, measured(1.2))
    assert lookup(real, CLOSED) == (None, "")
    record_measured(real, measured(1.1))
    planned_only = dataclasses.replace(chosen, device_name="NVIDIA L4 (emulated)")
    record_measured(dataclasses.replace(chosen, device_name="NVIDIA L4"), measured(1.05))
    found, _ = lookup(planned_only, CLOSED)
    assert found is not None
    assert found.rho == 1.05


def test_only_the_newest_samples_are_kept(chosen: Plan, home: Path) -> None:
    key = key_of(chosen, CLOSED)
    for number in range(MAX_SAMPLES + 5):
        record(key, rho=1 + number / 1000)
    (entry,) = json.loads((home / calibration.FILE).read_text())["entries"]
    assert [sample["rho"] for sample in entry["samples"]][-1] == 1 + (MAX_SAMPLES + 4) / 1000
    assert len(entry["samples"]) == MAX_SAMPLES


def test_speed_and_memory_of_a_run_are_kept_side_by_side(chosen: Plan) -> None:
    record_speed(chosen, 2e12, num_parameters=10**9)
    found, _ = lookup(chosen, CLOSED, num_parameters=SHAPE.num_parameters)
    assert found is not None
    assert (found.rho, found.flops) == (1.0, 2e12)


def test_the_speed_of_a_model_of_another_size_says_nothing(chosen: Plan) -> None:
    record_speed(chosen, 2e9, num_parameters=10**6)
    found, _ = lookup(chosen, CLOSED, num_parameters=SHAPE.num_parameters)
    assert found is not None
    assert found.flops is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 1, "entries": [{}]}', "\0\0"])
def test_a_damaged_file_is_said_and_put_aside_by_the_next_measurement(content: str, chosen: Plan, home: Path) -> None:
    home.mkdir()
    (home / calibration.FILE).write_text(content)
    found, problem = lookup(chosen, CLOSED)
    assert found is None
    assert "damaged and not used" in problem
    assert "damaged" in calibrated(closed_form(SHAPE))(chosen).calibration
    assert "damaged" in record(key_of(chosen, CLOSED), rho=1.1)
    assert lookup(chosen, CLOSED)[0] is not None
    assert (home / "calibration.damaged.json").read_text() == content


def test_a_file_of_a_newer_version_is_not_used(chosen: Plan, home: Path) -> None:
    home.mkdir()
    (home / calibration.FILE).write_text('{"version": 2, "entries": []}')
    assert "another version" in lookup(chosen, CLOSED)[1]


def test_a_home_that_cannot_be_written_costs_the_measurement_and_nothing_else(
    chosen: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FINETUI_HOME", str(tmp_path / "file" / "home"))
    assert "is not kept" in record(key_of(chosen, CLOSED), rho=1.1)


def test_processes_that_record_at_once_lose_no_measurement(home: Path) -> None:
    code = (
        "from engine.calibration import CalibrationKey, record\n"
        "for n in range(8): record(CalibrationKey('card', (), 'lora', 'sdpa', 'closed form'), rho=1.0)"
    )
    running = [subprocess.Popen([sys.executable, "-P", "-c", code]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    (entry,) = json.loads((home / calibration.FILE).read_text())["entries"]
    assert len(entry["samples"]) == 16
