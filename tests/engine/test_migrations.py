"""Recipes of other versions: brought to this one, or refused with the command that upgrades."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from engine.errors import RecipeError
from engine.migrations import MIGRATIONS, RECIPE_VERSION, Migration, migrated
from engine.recipe import Recipe, field_names

OLD: dict[str, Any] = {"version": 1, "model": {"name_or_path": "m"}, "adapter": {"lora_r": 8}}


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    adapter = values.get("adapter", {})
    if "lora_r" in adapter:
        adapter["r"] = adapter.pop("lora_r")
    return values


def doubled(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "adapter": {**values["adapter"], "lora_alpha": 2 * values["adapter"]["r"]}}


TWO = (
    Migration("adapter.lora_r is adapter.r now.", renamed, frozenset({"adapter.lora_r"})),
    Migration("adapter.lora_alpha is written down.", doubled),
)


def test_a_recipe_goes_through_every_version_after_its_own_and_each_change_is_told() -> None:
    before = copy.deepcopy(OLD)
    now, told = migrated(OLD, "my.toml", TWO)
    assert now == {"version": 3, "model": {"name_or_path": "m"}, "adapter": {"r": 8, "lora_alpha": 16}}
    assert told == ("adapter.lora_r is adapter.r now.", "adapter.lora_alpha is written down.")
    assert before == OLD


def test_a_recipe_of_the_second_version_takes_only_the_later_change() -> None:
    assert migrated({"version": 2, "adapter": {"r": 4}}, "my.toml", TWO)[1] == ("adapter.lora_alpha is written down.",)


@pytest.mark.parametrize("adapter", [{"lora_r": 8}, {"r": 8}])
def test_one_without_a_version_may_have_either_layout(adapter: dict[str, Any]) -> None:
    now, _ = migrated({"adapter": adapter}, "my.toml", TWO[:1])
    assert now == {"adapter": {"r": 8}}


def test_a_recipe_of_a_newer_finetui_is_refused_with_the_command_that_upgrades() -> None:
    text = f"version = {RECIPE_VERSION + 1}\n[somewhere]\nnew = true\n"
    with pytest.raises(RecipeError, match=f"version {RECIPE_VERSION + 1}") as refused:
        Recipe.parse(text, name="my.toml")
    assert "pip install --upgrade finetui" in refused.value.remedy


@pytest.mark.parametrize("version", ['"one"', "0", "true", "1.5"])
def test_a_version_that_is_none_is_a_fault_of_that_field(version: str) -> None:
    text = f'version = {version}\n[model]\nname_or_path = "m"\n[data]\ndataset = "rows.jsonl"\n'
    with pytest.raises(RecipeError, match="version: "):
        Recipe.parse(text)


def test_every_migration_of_ours_says_what_it_changes_and_takes_away_only_what_is_no_field_any_more() -> None:
    for migration in MIGRATIONS:
        assert migration.sentence.endswith(".")
        assert not migration.fields & set(field_names())
    assert Recipe.model_fields["version"].default == 1 + len(MIGRATIONS)
