"""What every field of a recipe promises. Grows by itself: a new field is held to it unasked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from engine.errors import RecipeError
from engine.recipe import FOREIGN_KEYS, Recipe, field_names, schema

SMALLEST: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}}
FIELDS = field_names()
SCHEMA = schema()


def with_value(name: str, value: object) -> dict[str, Any]:
    """The smallest recipe with one field given."""
    values = {section: dict(fields) for section, fields in SMALLEST.items()}
    section, _, field = name.rpartition(".")
    (values.setdefault(section, {}) if section else values)[field] = value
    return values


def described(name: str) -> dict[str, Any]:
    """The field's entry of the JSON Schema."""
    section, _, field = name.rpartition(".")
    if not section:
        return dict(SCHEMA["properties"][field])
    table = SCHEMA["properties"][section]["$ref"].rpartition("/")[2]
    return dict(SCHEMA["$defs"][table]["properties"][field])


SENTENCES = [described(name)["description"] for name in FIELDS]


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_in_the_schema_with_a_sentence_of_its_own(name: str) -> None:
    sentence = described(name)["description"]
    assert len(sentence) >= 20
    assert sentence.endswith(".")
    assert SENTENCES.count(sentence) == 1


@pytest.mark.parametrize("name", FIELDS)
def test_a_misspelled_field_is_answered_with_the_field(name: str) -> None:
    with pytest.raises(RecipeError, match="is no field of a recipe") as told:
        Recipe.from_values(with_value(name + "e", 1))
    assert name in told.value.happened.partition("Did you mean ")[2]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [object(), [[]], float("nan"), -(10**400)])
def test_a_value_of_no_use_is_a_fault_that_names_the_field(name: str, value: object) -> None:
    with pytest.raises(RecipeError, match=rf"(?m)^  {name}: "):
        Recipe.from_values(with_value(name, value))


@pytest.mark.parametrize("name", FIELDS)
def test_a_truth_value_is_taken_only_where_one_is_asked_for(name: str) -> None:
    kinds = json.dumps(described(name))
    if '"boolean"' in kinds:
        Recipe.from_values(with_value(name, True))
    else:
        with pytest.raises(RecipeError, match=rf"(?m)^  {name}: "):
            Recipe.from_values(with_value(name, True))


def test_the_schema_is_one_of_draft_2020_12() -> None:
    """Held to the parts of the draft that editors read; the draft's own validator is no dependency of ours."""
    whole = SCHEMA
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(whole)) == whole
    assert sorted(whole["required"]) == ["data", "model"]
    known = {"string", "integer", "number", "boolean", "array", "object", "null"}
    pending: list[Any] = [whole]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("type"), str):
                assert node["type"] in known
            if isinstance(node.get("$ref"), str):
                assert node["$ref"].removeprefix("#/$defs/") in whole["$defs"]
            assert not {"definitions", "id", "dependencies"} & set(node) - set(whole.get("properties", {}))
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def test_every_table_of_the_schema_refuses_keys_it_does_not_know() -> None:
    assert all(part["additionalProperties"] is False for part in (SCHEMA, *SCHEMA["$defs"].values()))


def test_where_the_keys_of_other_tools_went_are_fields_that_exist() -> None:
    for target in FOREIGN_KEYS.values():
        assert target.split(" ")[0] in FIELDS


def test_a_field_without_a_default_is_named_when_it_lacks() -> None:
    for section, info in Recipe.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for field, details in info.annotation.model_fields.items():
                if details.is_required():
                    values = {name: dict(fields) for name, fields in SMALLEST.items()}
                    del values[section][field]
                    with pytest.raises(RecipeError, match=rf"{section}\.{field}: is missing"):
                        Recipe.from_values(values)
