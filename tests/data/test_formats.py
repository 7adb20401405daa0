"""Each format's own rules: what goes to whom, and why a row is not used. What all formats share is in contracts."""

from __future__ import annotations

from typing import Any

import pytest

from data.conversation import Conversation, Message, PlainText, example_from_json
from data.errors import DataError
from data.formats import RowProblem, format_named


def converted(name: str, row: dict[str, Any]) -> Any:
    return format_named(name).convert(row, 3)


def reason(name: str, row: dict[str, Any]) -> str:
    with pytest.raises(RowProblem) as caught:
        converted(name, row)
    return caught.value.reason


def turns(*roles_and_texts: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in roles_and_texts]}


def test_an_alpaca_input_follows_its_instruction_after_an_empty_line() -> None:
    example = converted("alpaca", {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Be brief."})
    assert example.messages == (
        Message("system", "Be brief."),
        Message("user", "Add.\n\n1 2"),
        Message("assistant", "3"),
    )
    assert (example.request, example.answer, example.line) == ("Be brief.\nAdd.\n\n1 2", "3", 3)


@pytest.mark.parametrize("absent", ["", None, "  "])
def test_an_absent_alpaca_input_leaves_the_instruction_alone(absent: str | None) -> None:
    assert converted("alpaca", {"instruction": "Hi", "input": absent, "output": "Ho"}).request == "Hi"


def test_text_is_kept_letter_by_letter() -> None:
    example = converted("prompt_completion", {"prompt": "a \n", "completion": " b\t"})
    assert (example.request, example.answer) == ("a \n", " b\t")


def test_a_response_is_read_as_a_completion() -> None:
    assert format_named("prompt_completion").matches({"prompt": "a", "response": "b"})
    assert converted("prompt_completion", {"prompt": "a", "response": "b"}).answer == "b"


def test_prompt_and_completion_may_be_lists_of_messages() -> None:
    row = {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}
    assert converted("prompt_completion", row).messages == (Message("user", "a"), Message("assistant", "b"))
    assert "both" in reason("prompt_completion", {**row, "completion": "b"})


def test_the_last_assistant_message_is_the_answer_and_all_before_it_the_request() -> None:
    example = converted("messages", turns(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")))
    assert (example.request, example.answer) == ("a\nb\nc", "d")


def test_sharegpt_is_read_with_from_and_value_and_with_role_and_content() -> None:
    one = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"}
    two = {"conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "system": "s"}
    assert converted("sharegpt", one) == converted("sharegpt", two)
    assert converted("sharegpt", one).messages[0] == Message("system", "s")


def test_content_in_text_parts_is_joined_and_other_parts_are_refused() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert converted("messages", turns(("user", parts), ("assistant", "c"))).request == "ab"
    image = [{"type": "image_url", "image_url": "x"}]
    assert "not text" in reason("messages", turns(("user", image), ("assistant", "c")))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (turns(("assistant", "b"), ("user", "a"), ("assistant", "b")), "the first message is from the assistant"),
        (turns(("user", "a"), ("user", "a"), ("assistant", "b")), "two user messages in a row"),
        (turns(("user", "a"), ("assistant", "b"), ("assistant", "b")), "two assistant messages in a row"),
        (turns(("user", "a")), "no answer to train on"),
        (turns(("system", "s")), "no answer to train on"),
        (turns(("user", "a"), ("assistant", "b"), ("user", "c")), "the last message is not from the assistant"),
        (turns(("user", "a"), ("system", "s"), ("assistant", "b")), "a system message stands after"),
        (turns(("user", "a"), ("assistant", " ")), "an assistant message is empty"),
        (turns(("user", ""), ("assistant", "b")), "a user message is empty"),
        (turns(("user", "a"), ("assistant", None)), "an assistant message is null"),
        (turns(("user", 5), ("assistant", "b")), "a user message is a number, not text"),
        (turns(("tool", "a"), ("assistant", "b")), "unknown role 'tool'"),
        (turns(("\x1b[2Ja", "a")), r"unknown role '\x1b[2Ja'"),
        ({"messages": []}, "'messages' holds no message"),
        ({"messages": "hi"}, "'messages' is text, not a list"),
        ({"messages": ["hi"]}, "a message in 'messages' is text, not an object"),
        ({"messages": [{"content": "hi"}]}, "has no role"),
        ({"messages": None}, "'messages' is null, not a list"),
    ],
)
def test_messages_out_of_order_or_broken_are_rejected_with_the_reason(row: dict[str, Any], expected: str) -> None:
    assert expected in reason("messages", row)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "a"}, "'output' is missing"),
        ({"instruction": "a", "output": None}, "'output' is null"),
        ({"instruction": "a", "output": ""}, "'output' is empty"),
        ({"instruction": "a", "output": 42}, "'output' is a number, not text"),
        ({"instruction": "a", "output": ["b"]}, "'output' is a list, not text"),
        ({"instruction": "a", "output": True}, "'output' is true or false, not text"),
        ({"instruction": " ", "output": "b"}, "'instruction' is empty"),
        ({"instruction": "a", "input": 1, "output": "b"}, "'input' is a number, not text"),
        ({"instruction": "a", "output": "\udcff"}, "half a surrogate pair"),
    ],
)
def test_an_unusable_alpaca_row_is_rejected_with_the_reason(row: dict[str, Any], expected: str) -> None:
    assert expected in reason("alpaca", row)


def test_text_beside_a_column_that_could_be_its_answer_is_not_taken_for_plain_text() -> None:
    plain = format_named("plain_text")
    assert plain.matches({"text": "a", "url": "b", "id": 1})
    assert not plain.matches({"text": "Write a sum.", "code": "1 + 1"})
    assert not plain.matches({"text": "Nice!", "label": 1})


def test_examples_survive_the_round_through_plain_dicts() -> None:
    conversation = Conversation((Message("user", "a"), Message("assistant", "b")), 4)
    text = PlainText("c", 5)
    assert [example_from_json(example.to_json()) for example in (conversation, text)] == [conversation, text]
    assert (text.request, text.answer) == ("", "c")


def test_an_unknown_format_is_answered_with_the_near_one_and_all_names() -> None:
    with pytest.raises(DataError) as caught:
        format_named("alpacca")
    assert "perhaps alpaca" in caught.value.remedy
    assert "sharegpt" in caught.value.remedy
