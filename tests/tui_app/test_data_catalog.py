"""`finetui data catalog`: the tables within 80 columns, one entry in full, JSON, and saving out of the hub's cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.catalog import entries, use_cases
from data.errors import DataError
from data.loading import Rows, Shape
from engine.errors import RecipeError
from engine.recipe import Recipe
from tui_app.cli import main as program
from tui_app.data_cli import main

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with Abirate/english_quotes in it, which huggingface_hub is told to use."""
    from huggingface_hub import constants

    snapshot = tmp_path / "hub" / "datasets--Abirate--english_quotes" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    rows = [{"quote": f"“Number {n}”", "author": "A. B.", "tags": ["n"]} for n in range(4)]
    (snapshot / "quotes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_catalog_lists_every_dataset_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert program(["data", "catalog"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert all(entry.id in said for entry in entries())
    assert all(f"{case.name}: " in said for case in use_cases())


@pytest.mark.parametrize("name", [*(case.name for case in use_cases()), *(entry.id for entry in entries())])
def test_what_is_told_of_one_use_case_or_dataset_fits_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if " " in line.strip() and "= " not in line) <= 80
    assert any("gets worse" in line for line in lines)


def test_json_holds_every_field_and_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [case["name"] for case in told] == [case.name for case in use_cases()]
    assert main(["catalog", "openai/gsm8k", "--json"]) == 0
    (entry,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (entry["id"], entry["rows"], entry["licence"]) == ("openai/gsm8k", 7473, "MIT")


@pytest.mark.usefixtures("cache")
def test_an_entry_is_saved_and_the_printed_lines_load_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my quotes"
    assert main(["catalog", "Abirate/english_quotes", "--save", str(folder), "--offline"]) == 0
    said = capsys.readouterr().out
    assert COMMIT in said
    assert "Licence: CC-BY-4.0" in said
    data = Recipe.parse('[model]\nname_or_path = "a/b"\n' + said[said.index("[data]") :]).data
    assert data.dataset == str(folder)
    rows = list(Rows(data.dataset, shape=Shape(data.format, data.template)))
    assert [row.example is not None for row in rows] == [True] * 4


@pytest.mark.usefixtures("cache")
def test_saving_again_says_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["catalog", "Abirate/english_quotes", "--save", str(tmp_path / "q"), "--offline"]
    assert main(words) == main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["revision"], told["files_kept"], len(told["files"])) == (COMMIT, 1, 1)


def test_wrong_words_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="one dataset"):
        main(["catalog", "code", "--save", str(tmp_path / "x")])
    with pytest.raises(RecipeError, match="goes with --save"):
        main(["catalog", "openai/gsm8k", "--force"])
    with pytest.raises(DataError, match="openai/gsm8k"):
        main(["catalog", "gsm-8k"])
    assert not (tmp_path / "x").exists()
