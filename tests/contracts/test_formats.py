"""What every dataset format promises. Grows by itself: a new file in data/formats is tested here unasked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conversation import Conversation, Example, Message, PlainText
from data.formats import RowProblem, all_formats
from data.understanding.detection import detect
from data.understanding.template import parse_template

FORMATS = sorted(all_formats())
MBPP = "You are an expert Python programmer, and here is your task:"
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip),
    st.sampled_from(
        [
            *(" padded ", "two\nlines", "a\r\nb\n", "\n\nHuman: a\n\nAssistant: b", "[1, 2]", "{x}", "null"),
            '[{"role": "user", "content": "a"}]',
            f"{MBPP} x Your code should pass these tests:\n\na\n\nb",
            f"{MBPP} x Your code should pass these tests:\n\na\nb",
            f"{MBPP}  Your code should pass these tests:\n\na",
        ]
    ),
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    system = [Message("system", draw(TEXTS))] if draw(st.booleans()) else []
    turns = draw(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3))
    spoken = [message for asked, said in turns for message in (Message("user", asked), Message("assistant", said))]
    return Conversation((*system, *spoken), 1, draw(st.none() | TEXTS))


EXAMPLES: st.SearchStrategy[Example] = st.one_of(conversations(), st.builds(PlainText, TEXTS, st.just(1)))


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


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, deadline=None)
@given(example=EXAMPLES)
def test_an_example_written_in_a_format_is_read_back_as_it_was_or_refused_with_a_reason(
    name: str, example: Example
) -> None:
    module = all_formats()[name]
    try:
        row = module.row_of(example)
    except RowProblem:
        return
    assert module.matches(row)
    assert module.convert(row, 1) == example
    in_text_columns = {
        column: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for column, value in row.items()
    }
    assert module.convert(in_text_columns, 1) == example, "a CSV file, which writes lists as JSON, reads differently"


@pytest.mark.parametrize("name", FORMATS)
def test_the_example_of_a_format_is_written_in_it_and_read_back(name: str) -> None:
    module = all_formats()[name]
    example = module.convert(module.EXAMPLE, 7)
    assert module.convert(module.row_of(example), 7) == example


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("messages", [(), ("assistant",), ("user",), ("user", "user", "assistant"), ("system",)])
def test_messages_that_could_not_be_read_back_are_not_written(name: str, messages: tuple[str, ...]) -> None:
    made = tuple(Message(role, "x") for role in messages)  # type: ignore[arg-type]
    blank = (Message("user", " "), Message("assistant", "b"))
    for example in (Conversation(made, 1), replace(Conversation(blank, 1), refused="c"), PlainText(" ", 1)):
        with pytest.raises(RowProblem):
            all_formats()[name].row_of(example)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_names_every_column_that_it_reads_and_how_much_it_holds(name: str) -> None:
    module = all_formats()[name]
    assert set(module.EXAMPLE) <= set(module.COLUMNS)
    assert len(set(module.COLUMNS)) == len(module.COLUMNS)
    assert module.DEPTH in range(4)


@settings(max_examples=80, deadline=None)
@given(
    template=st.sampled_from(["Task: {a}\nSolution: {b}", "{a} {b}", "{a}{b}", "{a}, {b}, {a}: {c}.", "x{a}xx{b}x{c}"]),
    values=st.lists(st.text(st.sampled_from("ax, {}\n"), max_size=6), min_size=3, max_size=3),
)
def test_a_filled_template_is_taken_apart_into_the_same_words_or_refused(template: str, values: list[str]) -> None:
    parsed = parse_template(template)
    try:
        example = parsed.convert(dict(zip("abc", values, strict=True)), 1)
        row = parsed.row_of(example)
    except RowProblem:
        return
    assert row == {name: value for name, value in zip("abc", values, strict=True) if name in parsed.fields}
    assert parsed.convert(row, 1) == example
