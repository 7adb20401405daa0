"""Templates: fields, braces, errors, and that nothing in them is evaluated."""

from __future__ import annotations

from datetime import date

import pytest

from data.conversation import PlainText, single_turn
from data.errors import DataError
from data.formats import RowProblem
from data.understanding.template import parse_template, renamed


def test_the_last_field_is_the_answer_and_request_and_answer_are_the_filled_template() -> None:
    example = parse_template("Task: {text}\nSolution: {code}\nEnd").convert({"text": "add", "code": "a+b"}, 1)
    assert example.request == "Task: add\nSolution: "
    assert example.answer == "a+b\nEnd"


def test_numbers_are_filled_in_and_doubled_braces_are_braces() -> None:
    row = {"rssi dBm": -71, "ok": True, "day": date(2025, 1, 2), "class": 3}
    example = parse_template("{{{rssi dBm}}} {ok} {day} -> {class}").convert(row, 1)
    assert example.request + example.answer == "{-71} true 2025-01-02 -> 3"


def test_braces_in_a_row_are_text() -> None:
    assert parse_template("{a} {b}").convert({"a": "{b} {0.x}", "b": "{a!r}"}, 1).request == "{b} {0.x} "


@pytest.mark.parametrize("template", ["{a.__class__} {b}", "{a[0]} {b}", "{a!r} {b}", "{a:>10} {b}", "{0} {b}"])
def test_a_field_is_a_column_name_and_is_never_evaluated(template: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_template(template).check_columns(["a", "b"])
    assert "'a', 'b'" in caught.value.means


def test_an_unknown_field_is_answered_with_the_columns_and_the_near_one() -> None:
    with pytest.raises(DataError) as caught:
        parse_template("{txt} {code}").check_columns(["text", "code", "id"])
    assert "'text', 'code', 'id'" in str(caught.value)
    assert "perhaps 'text'" in caught.value.remedy


@pytest.mark.parametrize("template", ["{a", "a}", "{} {b}", "no field", "{only}", "", "{a {b}}"])
def test_a_template_that_cannot_be_understood_is_refused_with_an_example(template: str) -> None:
    with pytest.raises(DataError, match=r"data\.template") as caught:
        parse_template(template)
    assert "{text}" in caught.value.remedy


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"a": "x"}, "'b' is missing"),
        ({"a": "x", "b": None}, "'b' is null"),
        ({"a": "x", "b": " "}, "'b' is empty"),
        ({"a": ["x"], "b": "y"}, "'a' is a list, not text or a number"),
        ({"a": b"x", "b": "y"}, "'a' is a bytes, not text or a number"),
        ({"a": "\udc80", "b": "y"}, "half a surrogate pair"),
    ],
)
def test_a_row_that_does_not_fill_the_template_is_rejected_with_the_reason(row: dict[str, object], reason: str) -> None:
    with pytest.raises(RowProblem, match=reason):
        parse_template("{a} {b}").convert(row, 1)


def test_a_filled_template_is_taken_apart_again() -> None:
    template = parse_template("Task: {text}\nSolution: {code}\nEnd")
    row = {"text": "add\nup", "code": "a+b"}
    assert template.row_of(template.convert(row, 1)) == row


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"a": "x, y", "b": "z", "c": "w"}, "could be of several rows"),
        ({"a": "x", "b": "x, z", "c": "w"}, "could be of several rows"),
    ],
)
def test_a_filled_template_that_could_be_of_several_rows_is_not_taken_apart(row: dict[str, str], reason: str) -> None:
    template = parse_template("{a}, {b}: {c}")
    with pytest.raises(RowProblem, match=reason):
        template.row_of(template.convert(row, 1))


def test_what_is_not_in_the_templates_words_is_not_written_with_it() -> None:
    template = parse_template("Task: {text}\nSolution: {code}")
    with pytest.raises(RowProblem, match="not in the template's words"):
        template.row_of(single_turn("Write a sum.", "a+b", 1))
    with pytest.raises(RowProblem, match="system message"):
        template.row_of(single_turn("Task: a\nSolution: ", "b", 1, "Be brief."))
    with pytest.raises(RowProblem, match="'a' stands for two texts"):
        parse_template("{a} and {a}: {b}").row_of(single_turn("x and y: ", "z", 1))
    with pytest.raises(RowProblem, match="plain text"):
        template.row_of(PlainText("a", 1))


def test_renamed_columns_take_the_place_of_columns_that_had_the_name() -> None:
    row = {"question_text": "a", "reply": "b", "prompt": "other", "id": 1}
    assert renamed(row, {"prompt": "question_text", "completion": "reply"}) == {
        "id": 1,
        "prompt": "a",
        "completion": "b",
    }
