"""The adapter as others load it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.errors import FinetuiError
from engine.exporters import Job, adapter
from engine.recipe import Recipe
from tests.engine.evaluation.conftest import Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def test_the_adapter_names_its_base_and_no_folder_of_this_machine(
    rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    job = job_of(rig(use_dora=True))
    job.run.model.write_text(json.dumps(json.loads(job.run.model.read_text()) | {"name": "me/base", "kind": "hub"}))
    (event,) = adapter.EXPORTER.export(job)
    folder = job.run.path / event.path
    weights = "adapter_model.safetensors"
    assert (folder / weights).read_bytes() == (job.run.adapter / weights).read_bytes()
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "me/base"
    card = (folder / "README.md").read_text()
    assert 'base_model: "me/base"' in card
    assert "PeftModel.from_pretrained" in card
    assert "DoRA" in card
    texts = [path.read_text() for path in folder.iterdir() if path.suffix in (".json", ".md")]
    assert not any(str(job.run.path.parent) in text or "/tmp/" in text for text in texts)
    assert any("changes the logits" in note for note in event.notes)
    assert adapter.EXPORTER.export(job) == [event]


def test_a_title_of_several_lines_stays_the_heading_of_its_card(
    rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    job = job_of(rig())
    job = replace(job, recipe=job.recipe.model_copy(update={"title": "mine\n---\nlicense: mit\n---"}))
    (event,) = adapter.EXPORTER.export(job)
    card = (job.run.path / event.path / "README.md").read_text().splitlines()
    assert "# mine --- license: mit --- (adapter)" in card
    assert card.count("---") == 2


def test_a_base_that_is_not_on_the_hub_is_said(rig: Callable[..., Rig], job_of: Callable[..., Job]) -> None:
    (event,) = adapter.EXPORTER.export(job_of(rig()))
    assert any("is not on the hub" in note for note in event.notes)


def test_an_adapter_that_changes_nothing_is_refused(rig: Callable[..., Rig], job_of: Callable[..., Job]) -> None:
    from safetensors.torch import load_file, save_file

    job = job_of(rig())
    weights = job.run.adapter / "adapter_model.safetensors"
    save_file({name: tensor * ("lora_A" in name) for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(FinetuiError, match="changes nothing"):
        adapter.EXPORTER.export(job)
    assert not (job.run.exports / "adapter").exists()


def test_full_training_leaves_no_adapter_which_is_known_before() -> None:
    values = {"model": {"name_or_path": "m"}, "data": {"dataset": "d"}, "adapter": {"method": "full"}}
    (problem,) = adapter.EXPORTER.problems(Recipe.from_values(values), None)
    assert "there is no adapter" in problem.happened
