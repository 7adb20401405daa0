"""`finetui data stats`: what it prints of rows, and of their tokens where a model is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tui_app.cli import main

ROWS = [
    {"prompt": f"is {number} odd?", "completion": ("yes " if number % 2 else "no ") * number} for number in range(1, 61)
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, {"prompt": "x"}]))
    return path


def test_lengths_and_beginnings_are_told_without_a_model(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", str(rows)]) == 0
    shown = capsys.readouterr()
    assert "61; 1 cannot be used" in shown.out
    assert "answers per row   1: 100.0 %" in shown.out
    assert "answers begin with" in shown.out
    assert max(map(len, shown.out.splitlines()[1:])) <= 80
    assert shown.err == ""


def test_tokens_are_counted_by_a_process_and_told_on_one_screen(
    rows: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUI_ASCII", "1")
    assert main(["data", "stats", str(rows), "--model", str(tiny_model_folder), "--max-length", "100"]) == 0
    told = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(told) if line.startswith("tokens of"))
    tokens = told[start:]
    assert len(tokens) <= 24
    assert max(map(len, tokens)) <= 80
    assert "".join(tokens).isascii()
    assert any(line.startswith(">        100") and "%" in line for line in tokens)
    assert any("packing = true" in line and "full" in line for line in tokens)


def test_json_is_one_object(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", str(rows), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["rows_used"]) == (61, 60)
    assert told["answers"]["words"]["largest"] == 60


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sample", "5"], "no effect without a model"),
        (["--sample", "0", "--model", "x"], "--sample is 0"),
        (["--model", "owner/absent"], "not on this machine"),
    ],
)
def test_what_cannot_be_counted_is_said(
    more: list[str], said: str, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "stats", str(rows), *more]) != 0
    assert said in capsys.readouterr().err


def test_rows_of_which_none_can_be_used_are_an_error_of_the_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "x", "completion": null}\n')
    assert main(["data", "stats", str(path)]) == 3
    assert "No usable row is left" in capsys.readouterr().err


def test_the_help_fits_a_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("stats", "inspect"):
        with pytest.raises(SystemExit):
            main(["data", command, "--help"])
        assert len(capsys.readouterr().out.splitlines()) < 25


def test_bars_are_of_a_hundred_per_cent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUI_ASCII", "1")
    answers = ["yes"] * 15 + ["no"] * 5
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n}?", "completion": one}) + "\n" for n, one in enumerate(answers)))
    assert main(["data", "stats", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    bars = {line.split()[-1]: line.count("#") for line in lines if "%" in line and line.split()[-1] in ("yes", "no")}
    assert bars == {"yes": 15, "no": 5}
