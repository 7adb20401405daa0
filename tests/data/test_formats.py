"""Each format's own rules: what goes to whom, and why a row is not used. What all formats share is in contracts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from data.conversation import Conversation, Example, Message, PlainText, example_from_json
from data.errors import DataError
from data.formats import RowProblem, format_named

USER_A = {"role": "user", "content": "a"}
SAID_B, SAID_C = ({"role": "assistant", "content": text} for text in "bc")


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


def test_completions_that_are_marked_as_unwanted_are_rejected() -> None:
    assert converted("prompt_completion", {"prompt": "a", "completion": "b", "label": True}).answer == "b"
    assert "unwanted" in reason("prompt_completion", {"prompt": "a", "completion": "b", "label": False})


def test_a_column_without_a_value_gives_way_to_its_other_name() -> None:
    row = {"prompt": "a", "completion": None, "response": "b", "system": "", "system_prompt": "s"}
    assert converted("prompt_completion", row).messages[0] == Message("system", "s")
    assert converted("prompt_completion", row).answer == "b"


def test_lists_in_a_text_column_are_read_from_their_json() -> None:
    turns = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'
    assert converted("messages", {"messages": turns}).answer == "b"
    assert converted("sharegpt", {"conversations": turns}).answer == "b"
    assert "is text, not a list" in reason("messages", {"messages": "[" * 100_000})
    tests = {"text": "a", "code": "b", "test_list": '["assert f()"]'}
    assert converted("mbpp", tests).request.endswith("assert f()")


def test_a_turn_whose_other_names_are_null_is_read_as_parquet_files_hold_it() -> None:
    turn = {"role": None, "content": None, "weight": 0}
    asked, said = {**turn, "from": "human", "value": "a"}, {**turn, "from": "gpt", "value": "b"}
    assert converted("sharegpt", {"conversations": [asked, said]}).answer == "b"
    call = {"role": "assistant", "content": None, "tool_calls": [{}]}
    assert "calls tools" in reason("messages", {"messages": [{"role": "user", "content": "a"}, call]})


def test_turns_of_input_and_output_are_two_turns_each() -> None:
    row = {"conversation": [{"input": "a", "output": "b", "system": "s"}, {"input": "c", "output": "d"}]}
    assert [message.content for message in converted("sharegpt", row).messages] == ["s", "a", "b", "c", "d"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"question": "a", "chosen_response": "b", "rejected_response": "c"},
        {"prompt": "a", "chosen": [USER_A, SAID_B], "rejected": [USER_A, SAID_C]},
        {"chosen": [USER_A, SAID_B], "rejected": [USER_A, SAID_C]},
        {"prompt": [USER_A], "chosen": [SAID_B], "rejected": [SAID_C]},
        {"prompt": "a", "chosen": [SAID_B], "rejected": [SAID_C]},
        {"prompt": [USER_A], "chosen": "b", "rejected": "c"},
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"},
        {"prompt": "\n\nHuman: a\n\nAssistant:", "chosen": "b", "rejected": "c"},
    ],
)
def test_preference_pairs_of_every_layout_train_the_chosen_answer_and_keep_the_refused_one(row: dict[str, Any]) -> None:
    assert converted("preference", row) == Conversation((Message("user", "a"), Message("assistant", "b")), 3, "c")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"chosen": "b", "rejected": "c"}, "there is no prompt, and 'chosen' is text without turns"),
        ({"prompt": None, "chosen": None, "rejected": None}, "there is no prompt, and 'chosen' is null"),
        ({"prompt": "a", "chosen": "b", "rejected": ""}, "'rejected' is empty"),
        ({"prompt": "a", "chosen": [SAID_B]}, "'rejected' is missing"),
        ({"prompt": "a", "chosen": [], "rejected": []}, "'chosen' holds no message"),
        (
            {"chosen": [USER_A, SAID_B], "rejected": [USER_A, SAID_B, USER_A, SAID_C]},
            "differ before their last message",
        ),
        ({"chosen": "Human: a\n\nAssistant:", "rejected": "Human: a"}, "a turn in 'chosen' is empty"),
    ],
)
def test_an_unusable_preference_pair_is_rejected_with_the_reason(row: dict[str, Any], expected: str) -> None:
    assert expected in reason("preference", row)


def test_an_mbpp_request_asks_in_the_words_of_the_paper_with_its_tests() -> None:
    row = {"prompt": "Write f.", "code": "def f(): pass", "test_list": ["assert f() is None", "assert f"]}
    assert converted("mbpp", row).request == (
        "You are an expert Python programmer, and here is your task: Write f. Your code should pass these tests:\n\n"
        "assert f() is None\nassert f"
    )
    assert format_named("mbpp").row_of(converted("mbpp", row))["test_list"] == row["test_list"]
    assert "holds no test" in reason("mbpp", {**row, "test_list": []})


THREE_TURNS = Conversation(tuple(Message(role, "x") for role in ("user", "assistant", "user", "assistant")), 1)


@pytest.mark.parametrize(
    ("name", "example", "expected"),
    [
        ("alpaca", THREE_TURNS, "it has 2 answers, and alpaca holds one"),
        ("plain_text", THREE_TURNS, "lose who says what"),
        ("messages", PlainText("x", 1), "it is plain text, and messages holds a request and an answer"),
        ("messages", replace(THREE_TURNS, refused="y"), "it holds a refused answer, and messages has no place for one"),
        ("preference", THREE_TURNS, "it holds no refused answer"),
        ("mbpp", converted("question_answer", {"question": "a", "answer": "b"}), "names no tests"),
    ],
)
def test_an_example_that_a_format_cannot_hold_is_refused_with_the_reason(
    name: str, example: Example, expected: str
) -> None:
    with pytest.raises(RowProblem, match=expected):
        format_named(name).row_of(example)


def test_several_turns_are_written_as_lists_with_the_last_answer_apart() -> None:
    row = format_named("prompt_completion").row_of(THREE_TURNS)
    assert [len(row["prompt"]), row["completion"]] == [3, [{"role": "assistant", "content": "x"}]]
    one = converted("alpaca", {"instruction": "a", "input": "b", "output": "c", "system": "s"})
    assert format_named("alpaca").row_of(one) == {"system": "s", "instruction": "a\n\nb", "input": "", "output": "c"}


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
