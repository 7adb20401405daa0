"""What every dataset format promises. Grows by itself: a new file in data/formats is tested here unasked."""

from __future__ import annotations

import pytest

from data.conversation import Conversation, PlainText
from data.detection import detect
from data.formats import RowProblem, all_formats

FORMATS = sorted(all_formats())


@pytest.mark.parametrize("name", FORMATS)
def test_an_example_row_is_detected_as_its_own_format_and_as_no_other(name: str) -> None:
    example = all_formats()[name].EXAMPLE
    assert [other for other in FORMATS if all_formats()[other].matches(example)] == [name]
    detection = detect([example])
    assert (detection.format, detection.certainty) == (name, 1.0)
    assert detection.reason


@pytest.mark.parametrize("name", FORMATS)
def test_an_example_row_becomes_an_example_with_an_answer_and_legal_roles(name: str) -> None:
    example = all_formats()[name].convert(all_formats()[name].EXAMPLE, 7)
    assert example.line == 7
    assert example.answer.strip()
    if isinstance(example, PlainText):
        assert example.request == ""
        return
    assert isinstance(example, Conversation)
    assert example.request.strip()
    roles = [message.role for message in example.messages if message.role != "system"]
    assert roles == ["user", "assistant"] * (len(roles) // 2)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", [None, "", " \n", 5, 2.5, True, [], {}, "\ud800", [None], [{"role": "user"}]])
def test_a_row_with_any_column_spoiled_is_rejected_with_a_reason_or_still_has_its_answer(
    name: str, value: object
) -> None:
    module = all_formats()[name]
    for column in module.EXAMPLE:
        try:
            outcome = module.convert({**module.EXAMPLE, column: value}, 1).answer
        except RowProblem as problem:
            outcome = problem.reason
        assert outcome.strip(), f"{column} = {value!r} gave neither an answer nor a reason"


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_row_is_rejected_with_a_reason(name: str) -> None:
    assert not all_formats()[name].matches({})
    with pytest.raises(RowProblem):
        all_formats()[name].convert({}, 1)


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_line_of_the_docstring_is_short_enough_for_a_list_of_choices(name: str) -> None:
    assert 0 < len((all_formats()[name].__doc__ or "").splitlines()[0]) <= 100
