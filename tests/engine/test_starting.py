"""From a recipe to a run folder: paths, plan, manifest, and the reasons for which no run is made."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest

from engine import requests
from engine.errors import ModelError, RecipeError
from engine.hardware import emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import list_runs, read_json
from engine.starting import (
    Prospect,
    create_run,
    export_problems,
    git_state,
    prospect,
    require_recipe_file,
    versions,
    with_absolute_paths,
)

HARDWARE = dataclasses.replace(read_hardware(), gpus=(), gpu_note="no NVIDIA card")
TEXT = '[model]\nname_or_path = "google/gemma-3-270m"\n[data]\ndataset = "rows.jsonl"\n'


def recipe(*overrides: str) -> Recipe:
    return Recipe.parse(TEXT, overrides=overrides)


def prospect_in(folder: Path, *overrides: str) -> Prospect:
    return prospect(recipe(*overrides), HARDWARE, base_dir=folder)


def with_rows(folder: Path) -> Path:
    """The folder, with the rows that the recipe names: without them no run is made."""
    (folder / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    return folder


def test_paths_beside_the_recipe_become_absolute_and_those_from_here_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "recipes", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
        (folder / "both.jsonl").touch()
    (beside / "rows.jsonl").touch()
    (here / "a:b.jsonl").touch()
    monkeypatch.chdir(here)
    asked = recipe("data.eval_dataset=both.jsonl", "data.test_dataset=a:b.jsonl")
    settled = with_absolute_paths(asked, beside)
    assert settled.data.dataset == str(beside / "rows.jsonl")
    assert settled.data.eval_dataset == str(beside / "both.jsonl")
    assert settled.data.test_dataset == str(here / "a:b.jsonl")
    assert with_absolute_paths(settled, tmp_path) == settled


def test_the_models_configuration_is_read_with_its_shape_and_kept_where_nobody_knows_its_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert prospect_in(tmp_path).config == dict(KNOWN_MODELS["google/gemma-3-270m"].config)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text('{"model_type": "strange"}')
    strange = prospect_in(tmp_path, "model.name_or_path=./strange")
    assert (strange.config, strange.shape) == ({"model_type": "strange"}, None)


def test_a_path_in_the_home_is_found(tmp_path: Path) -> None:
    (Path.home() / "rows.jsonl").touch()
    settled = with_absolute_paths(recipe("data.dataset=~/rows.jsonl"), tmp_path)
    assert settled.data.dataset == str(Path.home() / "rows.jsonl")


@pytest.mark.parametrize(
    "name", ["owner/rows", "generator:venvy", "~nobody-of-that-name/rows.jsonl", "missing.jsonl", "x" * 5000]
)
def test_what_is_no_path_here_stays_as_it_was_written(tmp_path: Path, name: str) -> None:
    assert with_absolute_paths(recipe(f"data.dataset={name}"), tmp_path).data.dataset == name


def test_a_prospect_changes_nothing_on_disk(own_machine: Path) -> None:
    found = prospect_in(own_machine)
    assert found.plan.memory is not None
    assert list(own_machine.iterdir()) == []


def test_a_hub_model_that_is_not_here_has_a_plan_without_memory_and_a_note(own_machine: Path) -> None:
    found = prospect_in(own_machine, "model.name_or_path=nobody/nothing", "model.offline=true")
    assert (found.shape, found.plan.memory) == (None, None)
    assert found.notes


def test_a_local_model_that_cannot_be_used_is_an_error_before_anything_starts(own_machine: Path) -> None:
    (own_machine / "model").mkdir()
    with pytest.raises(ModelError):
        prospect_in(own_machine, "model.name_or_path=./model")


def test_a_run_folder_holds_recipe_plan_and_manifest(own_machine: Path) -> None:
    found = prospect_in(with_rows(own_machine), "run.name=My Run")
    run = create_run(found, name="ignored")
    assert run.name == "my-run-1"
    assert Recipe.load(run.recipe) == found.recipe
    assert Plan.from_json(read_json(run.plan(1))) == found.plan
    manifest = read_json(run.manifest)
    assert manifest["recipe_sha256"] == found.recipe.sha256()
    assert set(manifest["versions"]) >= {"python", "torch", "transformers", "trl", "peft", "finetui"}
    assert (manifest["device"], manifest["seed"]) == ("cpu", 42)
    assert {path.stat().st_mode & 0o077 for path in run.path.iterdir()} == {0}


def test_no_secret_of_the_environment_reaches_a_run_folder(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "s3cret-value")
    run = create_run(prospect_in(with_rows(own_machine)), name="demo")
    assert not any("s3cret-value" in path.read_text() for path in run.path.rglob("*") if path.is_file())


def test_an_export_that_cannot_be_made_is_noted_in_the_plan_and_refused_before_training(own_machine: Path) -> None:
    found = prospect_in(with_rows(own_machine), 'export.to=["adapter"]', "adapter.method=full")
    assert any("there is no adapter" in note for note in found.notes)
    with pytest.raises(RecipeError, match=r"export\.to: .*there is no adapter"):
        create_run(found, name="demo")
    assert list_runs() == []


def test_a_grammar_that_is_not_there_is_refused_before_training_and_not_when_its_answers_are_scored(
    own_machine: Path,
) -> None:
    asked = ('evaluation.metrics=["command_validity"]', "evaluation.grammar=absent.toml")
    found = prospect_in(with_rows(own_machine), "evaluation.enabled=true", *asked)
    assert any("absent.toml" in note for note in found.notes)
    with pytest.raises(RecipeError, match=r"evaluation\.grammar: .*absent\.toml"):
        create_run(found, name="demo")
    assert list_runs() == []
    create_run(prospect_in(own_machine, "evaluation.enabled=false", *asked), name="demo")


def test_an_export_that_a_recipe_asks_for_is_a_request_of_its_run(own_machine: Path) -> None:
    run = create_run(prospect_in(with_rows(own_machine), 'export.to=["merged", "adapter"]'), name="demo")
    (request,) = requests.pending(run)
    assert (request.stage, request.of_recipe) == ("export", True)
    assert request.arguments["to"] == ["merged", "adapter"]


def test_each_quantization_that_is_asked_for_is_looked_at(own_machine: Path) -> None:
    found = prospect_in(own_machine)
    settings = {"to": ["merged"], "quantizations": ["Q8_0", "F16"]}
    assert export_problems(found.recipe, {"quantization_config": {}}, settings)[0].field == "export.to"
    assert export_problems(found.recipe, found.config, settings) == []


def test_a_machine_that_cannot_do_what_is_asked_is_told_so_at_once(own_machine: Path) -> None:
    with pytest.raises(RecipeError, match=r"model\.dtype"):
        prospect(recipe("model.dtype=bfloat16"), emulate(HARDWARE, "t4"), base_dir=own_machine)


def test_the_state_of_the_users_checkout_is_recorded_where_there_is_one(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull}
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True, env=environment)
    state = git_state(tmp_path)
    assert state is not None
    assert (len(state["commit"]), state["clean"]) == (40, True)
    (tmp_path / "new").touch()
    dirty = git_state(tmp_path)
    assert dirty is not None
    assert not dirty["clean"]


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["torch"].startswith("2.")
    assert json.loads(json.dumps(found)) == found


def test_a_word_that_names_no_file_is_refused_with_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "r.toml").touch()
    assert require_recipe_file(tmp_path / "r.toml") == tmp_path / "r.toml"
    for path in (tmp_path, tmp_path / "no.toml"):
        with pytest.raises(RecipeError, match="is no preset, recipe file or run"):
            require_recipe_file(path)
