"""Telling a format from rows: the reason given, and what happens in doubt."""

from __future__ import annotations

import pytest

from data.detection import Detection, detect
from data.errors import DataError


def test_rows_with_more_columns_than_the_format_takes_are_detected_and_the_others_are_named() -> None:
    detection = detect([{"question": "a", "answer": "b", "context": "c"}])
    assert detection.format == "question_answer"
    assert "not used: 'context'" in detection.reason


def test_a_few_rows_of_another_shape_lower_the_certainty() -> None:
    rows: list[dict[str, object]] = [{"problem": "a", "solution": "b"}] * 9 + [{"note": "c"}]
    assert detect(rows) == Detection(
        "problem_solution",
        0.9,
        "9 of 10 sampled rows have the columns of problem_solution ('problem', 'solution'); not used: 'note'",
    )


def test_unknown_columns_are_answered_with_the_columns_the_formats_and_the_recipe_keys() -> None:
    with pytest.raises(DataError) as caught:
        detect([{"rssi": 1, "label": "x"}])
    text = str(caught.value)
    assert "'rssi', 'label'" in text
    assert "alpaca: instruction, an optional input" in text
    assert 'format = "alpaca"' in text
    assert "columns = {" in text
    assert "template = " in text


def test_rows_that_could_be_two_formats_are_not_guessed_at() -> None:
    with pytest.raises(DataError, match="as messages and as problem_solution") as caught:
        detect([{"problem": "a", "solution": "b", "messages": []}])
    assert 'format = "messages"' in caught.value.remedy


def test_a_column_name_with_control_characters_is_shown_escaped() -> None:
    with pytest.raises(DataError) as caught:
        detect([{"\x1b[2J": "x"}])
    assert "\x1b" not in str(caught.value)


def test_no_rows_are_no_format() -> None:
    with pytest.raises(DataError, match="no readable row"):
        detect([])
