"""What every preset promises. Grows by itself: a new file in presets/catalog is held to it unasked."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from engine.hardware import Hardware, emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import closed_form
from engine.model_facts import shape_for
from engine.plan import plan
from engine.recipe import Recipe
from engine.units import GIB, parse_bytes
from presets.preset import Preset, all_presets
from tests.descent import next_plan

CATALOG = Path(__file__).parents[2] / "presets" / "catalog"
PRESETS = all_presets()
HERE = dataclasses.replace(read_hardware(), gpus=(), gpu_note="no NVIDIA card", ram_available_bytes=16 * GIB)


def machine_of(preset: Preset) -> Hardware:
    """The machine that the preset's own sentence names: its card, the card's size, or so much RAM."""
    sentence = preset.recipe().hardware
    if named := re.search(r"for example an? ([^.]+)\.", sentence):
        return emulate(HERE, named[1])
    if sized := re.search(r"NVIDIA card with (\d+ GB)", sentence):
        return emulate(HERE, sized[1])
    ram = re.search(r"(\d+ GiB) of free RAM", sentence)
    assert ram, 'name the machine: "NVIDIA card with 8 GB", "for example a T4.", or "6 GiB of free RAM"'
    return dataclasses.replace(HERE, ram_available_bytes=parse_bytes(ram[1]))


def test_every_file_of_the_catalog_is_a_preset() -> None:
    assert [preset.name for preset in PRESETS] == sorted(path.stem for path in CATALOG.glob("*.toml"))
    assert {path.suffix for path in CATALOG.iterdir()} == {".toml"}
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", preset.name) for preset in PRESETS)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_a_valid_recipe_that_round_trips_byte_for_byte(preset: Preset) -> None:
    recipe = preset.recipe()
    text = recipe.to_toml()
    again = Recipe.parse(text)
    assert again == recipe
    assert again.to_toml().encode() == text.encode()
    assert again.sha256() == recipe.sha256()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_says_what_it_is_for_and_for_which_machine(preset: Preset) -> None:
    recipe = preset.recipe()
    assert 10 <= len(recipe.title) <= 80
    assert "\n" not in recipe.title
    assert len(recipe.description) >= 60
    assert len(recipe.hardware) >= 20


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_plans_on_the_machine_it_names_without_network_or_download(preset: Preset) -> None:
    recipe = preset.recipe()
    assert recipe.model.name_or_path in KNOWN_MODELS
    shape, _ = shape_for(recipe, Path.cwd())
    chosen = plan(recipe, machine_of(preset), shape)
    assert chosen.memory is not None
    if chosen.memory.verdict == "will not fit":  # as its source knew: the rungs it names lead to a plan that fits
        found = next_plan(chosen, recipe.ladder, closed_form(shape) if shape else None)
        assert found is not None
        chosen = found[0]
    assert chosen.memory is not None
    assert chosen.memory.verdict in ("fits", "tight")
    assert chosen.effective_batch_size == (
        recipe.training.per_device_train_batch_size * recipe.training.gradient_accumulation_steps
    )


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
@pytest.mark.parametrize("card", [None, "t4", "6GiB", "h100-80gb"])
def test_a_preset_applies_every_option_it_names_on_every_common_machine(preset: Preset, card: str | None) -> None:
    recipe = preset.recipe()
    shape, _ = shape_for(recipe, Path.cwd())
    chosen = plan(recipe, emulate(HERE, card) if card else HERE, shape)
    assert (chosen.method, chosen.r, chosen.optim) == (recipe.adapter.method, recipe.adapter.r, recipe.training.optim)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_holds_no_path_or_secret_of_its_author(preset: Preset) -> None:
    assert not re.search(r"/home/|/Users/|hf_[A-Za-z0-9]{20}|api_key", preset.text)
    assert not preset.recipe().model.trust_remote_code
