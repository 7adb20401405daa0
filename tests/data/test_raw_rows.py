"""Rows shown as they stand in the file, for people who say what the columns mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.errors import DataError
from data.preparation import DataRequest
from data.raw_rows import RawRow, raw_rows


def written(folder: Path, *rows: object) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def test_the_first_three_rows_all_columns_and_the_format_are_told(tmp_path: Path) -> None:
    rows = [{"instruction": f"say {n}", "output": "[x]\x1b[1m"} for n in range(4)]
    dataset = written(tmp_path, *rows, {"instruction": "say", "output": "it", "topic": 1})
    found = raw_rows(DataRequest(dataset))
    assert found.rows == tuple(RawRow(dataset, n + 1, rows[n]) for n in range(3))
    assert found.columns == ("instruction", "output", "topic")
    assert found.num_sampled == 5
    assert found.detection is not None
    assert found.detection.format == "alpaca"
    assert found.fault is None


def test_columns_that_nobody_knows_are_shown_with_the_reason_and_with_names_given_they_are_understood(
    tmp_path: Path,
) -> None:
    dataset = written(tmp_path, {"question_text": "1+1?", "reply": "2"}, {"question_text": "2+2?", "reply": "4"})
    found = raw_rows(DataRequest(dataset))
    assert found.detection is None
    assert "'question_text', 'reply'" in str(found.fault)
    assert found.rows[0].values == {"question_text": "1+1?", "reply": "2"}
    mapped = raw_rows(DataRequest(dataset, columns={"prompt": "question_text", "completion": "reply"}))
    assert mapped.fault is None
    assert mapped.detection is not None
    assert mapped.detection.format == "prompt_completion"


def test_a_line_that_cannot_be_read_is_shown_with_its_problem(tmp_path: Path) -> None:
    dataset = written(tmp_path, "{broken", {"text": "whole"})
    first, second = raw_rows(DataRequest(dataset)).rows
    assert (first.line, first.values) == (1, {})
    assert first.problem
    assert (second.line, second.values, second.problem) == (2, {"text": "whole"}, "")


def test_no_more_is_read_of_a_large_file_than_is_needed(tmp_path: Path) -> None:
    dataset = written(tmp_path, *({"text": str(n)} for n in range(1200)), "{broken")
    assert raw_rows(DataRequest(dataset), num_rows=2).num_sampled == 1000
    assert raw_rows(DataRequest(dataset, max_rows=7)).num_sampled == 7


def test_a_generators_rows_are_shown_too_and_a_missing_file_is_an_error() -> None:
    assert raw_rows(DataRequest("generator:venvy")).columns == ("instruction", "input", "output")
    with pytest.raises(DataError, match=r"no file or folder .*nowhere\.jsonl"):
        raw_rows(DataRequest("/nowhere.jsonl"))
