"""Rows that are looked at, or scored, for a recipe: its words and columns count where no option says otherwise."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from engine.recipe_sections import DataSection
from presets.preset import all_presets
from tui_app.data_cli import data_parser
from tui_app.data_options.rows import rows_of
from tui_app.data_options.tokens import recipe_for

LINKS = "distance_km,frequency_mhz,tx_power_dbm,throughput_mbps\n2.1,5755,20.1,216.0\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("links.csv").write_text(LINKS)
    Path("rows.jsonl").write_text(json.dumps({"prompt": "Say four.", "completion": "four"}) + "\n")


def asked(*words: str) -> Namespace:
    return data_parser().parse_args(["inspect", *words])


def request_of(options: Namespace, like: DataSection | None = None) -> str:
    (row,) = rows_of(options, like=like)
    assert row.example is not None
    return row.example.request


def test_rows_are_read_in_the_words_of_the_recipe_that_is_named() -> None:
    request = request_of(asked("links.csv", "--recipe", "gemma-270m-csv"))
    assert request == "Distance: 2.1 km\nFrequency: 5755 MHz\nTransmit power: 20.1 dBm\nThroughput: "


def test_an_option_on_how_rows_are_read_counts_before_the_recipe() -> None:
    template = "Distance: {distance_km} km, throughput: {throughput_mbps}"
    options = asked("links.csv", "--recipe", "gemma-270m-csv", "--template", template)
    assert request_of(options) == "Distance: 2.1 km, throughput: "


def test_rows_that_lack_the_recipes_columns_are_read_as_they_are() -> None:
    assert request_of(asked("rows.jsonl", "--recipe", "gemma-270m-csv")) == "Say four."


def test_other_rows_for_a_run_are_read_as_its_own_were() -> None:
    own = DataSection(dataset="old.csv", template="Power: {tx_power_dbm} dBm, throughput: {throughput_mbps}")
    assert request_of(asked("links.csv"), own) == "Power: 20.1 dBm, throughput: "
    renaming = DataSection(dataset="old.csv", columns={"prompt": "frequency_mhz", "completion": "throughput_mbps"})
    assert request_of(asked("links.csv"), renaming) == "5755"


@pytest.mark.parametrize("name", [preset.name for preset in all_presets()])
def test_every_preset_can_say_whose_tokens_are_meant(name: str) -> None:
    options = asked("rows.jsonl", "--recipe", name)
    recipe, _ = recipe_for(options, rows_of(options), "rows.jsonl")
    assert recipe.model.name_or_path
    assert recipe.data.dataset.endswith("rows.jsonl")
