"""Errors about rows in the words of the command line, and in those of a recipe where one was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.loading import Rows, Shape
from tui_app.cli import main
from tui_app.data_text.in_options import OPTIONS, in_options


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    row = {"Kundenfrage": "Wo ist mein Paket?", "Antwort": "Auf dem Weg.", "prompt": "x"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    (tmp_path / "swapped.jsonl").write_text(json.dumps({"Kundenfrage": "Wo?", "completion": "Da."}))
    return "rows.jsonl"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["data", "inspect", *words]) == 3
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--column", "prompt=Frage"], "--column names the column 'Frage'"),
        (["--template", "{a}"], "--template has 1 field(s)"),
        (["--template", "{Kundenfrage} {wert}"], "--template names the column 'wert'"),
        (["--format", "template"], "there is no --template."),
        (["--format", "alpca"], "Set --format to perhaps alpaca"),
        (["--format", "alpaca", "--template", "{a} {b}"], "--template and --format 'alpaca' are both set."),
        (["--format", "alpaca", "--column", "frage=prompt"], "--column names the column 'frage'"),
        (["--split", "train"], "--split"),
    ],
)
def test_what_the_options_say_wrongly_is_told_in_options(
    words: list[str], told: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    err = refused([rows, *words], capsys)
    assert told in err
    assert not [name for name in OPTIONS if name in err]
    assert "recipe" not in err


@pytest.mark.usefixtures("rows")
def test_a_missing_file_is_to_be_corrected_where_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(["row.jsonl"], capsys)
    assert "Correct ROWS (paths count from" in err
    assert "close to it: 'rows.jsonl'" in err


@pytest.mark.usefixtures("rows")
def test_new_column_names_the_wrong_way_round_are_turned(capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(["swapped.jsonl", "--column", "Kundenfrage=prompt"], capsys)
    assert "--column is NEW=OLD: perhaps --column prompt=Kundenfrage is meant." in err
    with pytest.raises(DataError) as caught:
        Rows("swapped.jsonl", shape=Shape(columns={"Kundenfrage": "prompt"}))
    assert "perhaps columns = { prompt = 'Kundenfrage' } is meant." in caught.value.remedy


def test_only_a_field_of_a_recipe_is_changed_and_never_a_name_in_quotes_or_a_path() -> None:
    texts = {
        "Correct data.dataset, then data.split.": "Correct ROWS, then --split.",
        "the column 'data.split' and x/data.split/y": "the column 'data.split' and x/data.split/y",
        "data.format.gz, mydata.split, data.splitting": "data.format.gz, mydata.split, data.splitting",
        "Change data.columns in the recipe.": "Change --column.",
        "What stands in the recipe stays.": "What stands in the recipe stays.",
    }
    for before, after in texts.items():
        assert in_options(DataError(before)).happened == after


def test_proposals_come_before_the_list_of_formats_and_hold_no_dates_or_numbers_of_things(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "request_date": f"2024-01-{day:02}",
            "vorgang": f"KD-{day:05}",
            "anliegen": f"Mein Paket {day} fehlt.",
            "erledigt": f"Wir suchen Paket {day}.",
        }
        for day in range(1, 9)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    err = refused([str(path)], capsys)
    assert 0 < err.index("--column prompt=anliegen --column completion=erledigt") < err.index("alpaca: instruction")
    assert "=request_date" not in err
    assert "=vorgang" not in err
