"""What a replay compares: told by name, and refused where rows or model differ."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ChangedError, RunDirError
from engine.hardware import read_hardware
from engine.plan import Plan
from engine.recipe import Recipe
from engine.replaying import check, differences, expectations, recipe_of
from engine.run_dir import RunDir, read_json
from engine.starting import Prospect, create_run, prospect

HARDWARE = dataclasses.replace(read_hardware(), gpus=(), cpu_name="a processor", num_cores=4)
TEXT = '[model]\nname_or_path = "google/gemma-3-270m"\n[data]\ndataset = "rows.jsonl"\n'


def found_here(*overrides: str, **hardware: Any) -> Prospect:
    recipe = Recipe.parse(TEXT, overrides=overrides)
    return prospect(recipe, dataclasses.replace(HARDWARE, **hardware), base_dir=Path.cwd())


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe's rows, where it is written down."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(own_machine: Path) -> RunDir:
    """A run whose preparation is over: model and rows are hashed."""
    made = create_run(found_here(), name="first")
    assert own_machine in made.path.parents
    prepared(made)
    return made


def prepared(run: RunDir, *, rows: str = "aa", weights: str = "bb") -> None:
    files = [{"name": "config.json", "sha256": "cc"}, {"name": "model.safetensors", "sha256": weights}]
    run.model.write_text(json.dumps({"files": files}))
    splits = {"train": {"sha256": rows}, "eval": {"sha256": "dd"}}
    run.prepared.write_text(json.dumps({"splits": splits, "test": {"sha256": "ee"}}))


def replayed(run: RunDir, *, allow_changes: bool = False, overrides: tuple[str, ...] = ()) -> RunDir:
    """A new run that replays `run`, before its own preparation."""
    found = found_here(*overrides)
    new = create_run(found, name="first")
    expected = expectations(run, found.recipe, allow_changes=allow_changes)
    (new.path / "expected.json").write_text(json.dumps(expected))
    return new


def test_the_same_machine_and_recipe_differ_in_nothing(run: RunDir) -> None:
    assert differences(run, found_here()) == []


def test_what_differs_is_told_by_name(run: RunDir) -> None:
    manifest = json.loads(run.manifest.read_text())
    manifest["versions"]["torch"] = "1.0"
    del manifest["versions"]["peft"]
    run.manifest.write_text(json.dumps(manifest))
    told = differences(run, found_here("training.seed=7", cpu_name="another", num_cores=2))
    for words in ("torch", "was 1.0", "peft", "device another, was a processor", "the recipe", "2 cores, was 4"):
        assert any(words in line for line in told), words
    assert len(told) == 5


def test_a_replay_starts_where_the_ladder_of_the_first_run_ended(run: RunDir) -> None:
    first = Plan.from_json(read_json(run.plan(1)))
    last = dataclasses.replace(
        first, per_device_train_batch_size=2, gradient_accumulation_steps=4, rungs=("halve_micro_batch",) * 2
    )
    run.plan(2).write_text(json.dumps(last.to_json()))
    again = recipe_of(run)
    assert (again.training.per_device_train_batch_size, again.training.gradient_accumulation_steps) == (2, 4)
    assert recipe_of(run, ("training.per_device_train_batch_size=1",)).training.per_device_train_batch_size == 1
    new = prospect(again, HARDWARE, base_dir=Path.cwd())
    assert new.plan.per_device_train_batch_size == 2
    assert differences(run, new) == ["its ladder (halve_micro_batch) is gone down from the start"]


def test_a_damaged_plan_is_an_error_of_the_run_folder(run: RunDir) -> None:
    run.plan(1).write_text("{}")
    with pytest.raises(RunDirError, match="not a plan"):
        recipe_of(run)


def test_a_title_or_a_name_is_no_difference(run: RunDir) -> None:
    assert differences(run, found_here("title=other", "run.name=other")) == []


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null", '{"versions": []}'])
def test_a_damaged_manifest_is_an_error_of_the_run_folder(run: RunDir, content: str) -> None:
    run.manifest.write_text(content)
    with pytest.raises(RunDirError) as told:
        differences(run, found_here())
    assert "finetui replay" in told.value.remedy


def test_a_replay_from_the_same_rows_and_model_goes_on(run: RunDir) -> None:
    new = replayed(run)
    prepared(new)
    assert check(new) == []


@pytest.mark.parametrize(
    ("changed", "name"), [({"rows": "other"}, "the train rows"), ({"weights": "other"}, "model file model.safetensors")]
)
def test_a_replay_from_other_rows_or_weights_is_refused_by_name_or_told_where_allowed(
    run: RunDir, changed: dict[str, str], name: str
) -> None:
    new = replayed(run)
    prepared(new, **changed)
    with pytest.raises(ChangedError, match=f"{name} changed since") as told:
        check(new)
    assert told.value.exit_code == 8
    assert "--allow-changes" in told.value.remedy
    allowed = replayed(run, allow_changes=True)
    prepared(allowed, **changed)
    assert check(allowed) == [name]


def test_what_the_recipe_changes_on_purpose_is_not_expected(run: RunDir) -> None:
    new = replayed(run, overrides=("data.seed=7",))
    prepared(new, rows="other")
    assert check(new) == []


def test_a_run_that_never_prepared_expects_nothing(own_machine: Path) -> None:
    first = create_run(found_here(), name="first")
    assert own_machine in first.path.parents
    new = replayed(first)
    prepared(new)
    assert check(new) == []


def test_a_run_that_replays_nothing_is_compared_with_nothing(run: RunDir) -> None:
    assert check(run) == []
