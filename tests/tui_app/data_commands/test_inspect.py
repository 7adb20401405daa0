"""`finetui data inspect`: how rows were read, the first of them, and which of their tokens are trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.row_preview import PreviewedRow
from tui_app.cli import main
from tui_app.data_text.inspected import token_table, trained_lines

ROWS = [{"prompt": f"say {number}", "completion": "yes " * number} for number in range(1, 9)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    bad = {"prompt": "\x1b[31mred", "completion": None}
    path.write_text("".join(json.dumps(row) + "\n" for row in [bad, *ROWS]))
    return path


def test_format_columns_problems_and_first_rows_are_shown(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(rows), "--rows", "2"]) == 0
    told = capsys.readouterr().out
    assert "prompt_completion (100 % sure)" in told or "prompt_completion (89 % sure)" in told
    assert "completion  text, null" in told
    assert "89 %" in told
    assert "1 of the first 9 rows cannot be used" in told
    assert "rows.jsonl, line 1: not used" in told
    assert "  user:      say 1" in told
    assert "  assistant: yes" in told
    assert "\x1b" not in told


def test_a_row_is_found_by_its_line_and_a_line_behind_the_end_is_an_error(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "inspect", str(rows), "--row", "4"]) == 0
    told = capsys.readouterr().out
    assert "say 3" in told
    assert "say 4" not in told
    assert main(["data", "inspect", str(rows), "--row", "10"]) == 3
    assert "no row at line 10" in capsys.readouterr().err


def test_json_is_one_object_with_everything(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(rows), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [column["name"] for column in told["columns"]] == ["prompt", "completion"]
    assert [row["line"] for row in told["rows"]] == [1, 2, 3]
    assert told["rows"][1]["example"]["messages"][0]["content"] == "say 1"


def test_trained_text_is_marked_where_nothing_is_coloured(
    rows: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["data", "inspect", str(rows), "--row", "5", "--model", str(tiny_model_folder), "--max-length", "64"]
    assert main(asked) == 0
    told = capsys.readouterr().out.splitlines()
    answer = next(number for number, line in enumerate(told) if "yes yes yes yes" in line)
    assert set(told[answer + 1].strip()) == {"^"}
    assert any("trained text has ^ below it" in line for line in told)
    assert not any("\x1b" in line for line in told)


ROW = PreviewedRow(3, (("ask", False), ("answer<end>", True), ("more", True)), 2, 9, 6)


def test_a_cut_row_says_where_and_a_coloured_one_keeps_its_text() -> None:
    told = trained_lines(ROW, 5, coloured=True)
    assert told[0] == "line 3: 9 tokens, 6 trained before the cut at max_length 5"
    assert any("cut here: 4 tokens are left out" in line for line in told)
    assert "\x1b[1;4;32manswer<end>\x1b[0m" in told[1]


def test_tokens_stand_one_a_line_with_number_and_id() -> None:
    lines = token_table([(7, "ask", False), (8, "\n\x1b", True), (9, "x", True)], 2)
    assert [line.split() for line in lines[1:]] == [
        ["1", "7", "'ask'"],
        ["2", "8", "trained", "'\\n\\x1b'"],
        ["3", "9", "cut", "'x'"],
    ]
