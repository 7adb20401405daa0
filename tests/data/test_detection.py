"""Telling a format from rows: the reason given, how sure it is, and what happens in doubt."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError
from data.formats import RowProblem, format_named, known_columns
from data.understanding.detection import Detection, UndecidedError, check_new_names, detect

USER, SAID = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}


def undecided(rows: list[dict[str, Any]], **more: Any) -> UndecidedError:
    with pytest.raises(UndecidedError) as caught:
        detect(rows, **more)
    assert caught.value.exit_code == 3
    return caught.value


def test_rows_with_more_columns_than_the_format_takes_are_detected_and_the_others_are_named() -> None:
    detection = detect([{"question": "a", "answer": "b", "topic": "c"}])
    assert (detection.format, detection.sureness, detection.unused) == ("question_answer", "certain", ("topic",))
    assert "not used: 'topic'" in detection.reason


def test_a_few_rows_of_no_shape_lower_the_certainty_and_are_counted_with_their_line() -> None:
    rows: list[dict[str, object]] = [{"problem": "a", "solution": "b"}] * 9 + [{"note": "c"}]
    assert detect(rows) == Detection(
        "problem_solution",
        0.9,
        "9 of 10 sampled rows have the columns of problem_solution ('problem', 'solution'); 1 has those of no format "
        "(first in line 10); not used: 'note'",
        "likely",
        ("note",),
    )


def test_a_detection_survives_the_round_through_plain_dicts() -> None:
    detection = detect([{"question": "a", "answer": "b", "topic": "c"}])
    assert Detection(**detection.to_json()) == detection


@pytest.mark.parametrize(
    ("row", "expected", "request_and_answer"),
    [
        ({"instruction": "a", "context": "b", "response": "c", "category": "d"}, "alpaca", ("a\n\nb", "c")),
        ({"id": "1", "system_prompt": "s", "question": "q", "response": "r"}, "question_answer", ("s\nq", "r")),
        ({"query": "q", "response": "r", "type": "t", "original_question": "o"}, "question_answer", ("q", "r")),
        ({"prompt": "p", "messages": [USER, SAID], "category": "c"}, "messages", ("Hi", "Hello!")),
        ({"input": "q", "output": "a", "instruction": "i"}, "alpaca", ("i\n\nq", "a")),
        ({"input": "q", "output": "a"}, "prompt_completion", ("q", "a")),
        ({"inputs": "q", "targets": "a", "language": "de"}, "prompt_completion", ("q", "a")),
        ({"message_1": "q", "message_2": "a", "topic;": "t"}, "problem_solution", ("q", "a")),
        ({"conversation": [{"input": "q", "output": "a"}], "source": "s"}, "sharegpt", ("q", "a")),
        ({"question": "q", "chosen": "a", "rejected": "b", "system": ""}, "preference", ("q", "a")),
        ({"prompt": "q", "response": "x", "chosen": "a", "rejected": "b"}, "preference", ("q", "a")),
        ({"text": "Once.", "url": "u", "score": 1.5}, "plain_text", ("", "Once.")),
    ],
)
def test_the_columns_of_well_known_datasets_are_told(
    row: dict[str, Any], expected: str, request_and_answer: tuple[str, str]
) -> None:
    assert detect([row]).format == expected
    example = format_named(expected).convert(row, 1)
    assert (example.request, example.answer) == request_and_answer


def test_of_preference_pairs_it_is_said_that_the_refused_answers_are_not_trained_on() -> None:
    row = {"prompt": "Hi", "chosen": [USER, SAID], "rejected": [USER, SAID], "messages": [USER, SAID]}
    detection = detect([row])
    assert (detection.format, detection.sureness) == ("preference", "certain")
    assert "not trained on" in detection.reason
    assert "the columns of messages are there too and add nothing" in detection.reason


def test_conversations_that_say_something_else_than_the_columns_beside_them_are_only_likely() -> None:
    detection = detect([{"problem": "a", "solution": "short", "messages": [USER, SAID]}])
    assert (detection.format, detection.sureness) == ("messages", "likely")
    assert "the columns of problem_solution are there too and say something else" in detection.reason


def test_a_column_with_nothing_in_it_gives_way_to_the_ones_that_hold_something() -> None:
    assert detect([{"problem": "a", "solution": "b", "messages": []}]).format == "problem_solution"
    assert detect([{"problem": "a", "solution": "b", "messages": None}]).format == "problem_solution"
    assert detect([{"problem": "a", "solution": "b", "messages": ["x"]}]).format == "problem_solution"


def test_columns_that_match_while_no_row_can_be_used_are_not_called_certain() -> None:
    detection = detect([{"instruction": "a", "output": 1}] * 4)
    assert (detection.format, detection.certainty, detection.sureness) == ("alpaca", 1.0, "unsure")
    assert "none usable: 'output' is a number, not text (a template takes numbers)" in detection.reason


def test_answers_that_ask_while_the_questions_do_not_look_swapped() -> None:
    rows = [{"question": f"It is {number}.", "answer": f"What is {number}?"} for number in range(5)]
    detection = detect(rows)
    assert detection.sureness == "unsure"
    assert "perhaps they are swapped" in detection.reason


def test_answers_that_are_all_the_same_and_texts_that_hold_turns_are_mentioned() -> None:
    same = detect([{"question": str(number), "answer": "Yes."} for number in range(10)])
    assert (same.sureness, "every answer is the same" in same.reason) == ("likely", True)
    turns = detect([{"text": "### Human: Hi\n### Assistant: Hello!"}])
    assert (turns.sureness, "the texts hold turns (### Human:)" in turns.reason) == ("likely", True)


def test_rows_of_another_format_are_counted_with_the_first_line() -> None:
    rows: list[dict[str, Any]] = [{"instruction": str(number), "output": "b"} for number in range(9)]
    detection = detect([*rows, {"messages": [USER, SAID]}], [*range(2, 11), 20])
    assert "1 has those of messages (first in line 20)" in detection.reason
    assert detection.certainty == 0.9


@pytest.mark.parametrize(("num_other", "is_mixed"), [(5, True), (3, True), (2, False)])
def test_a_file_of_several_formats_is_not_read_as_one_of_them_in_silence(num_other: int, is_mixed: bool) -> None:
    rows: list[dict[str, Any]] = [{"instruction": "a", "output": "b"}] * (10 - num_other)
    rows += [{"messages": [USER, SAID], "instruction": None}] * num_other
    if not is_mixed:
        assert detect(rows).format == "alpaca"
        return
    fault = undecided(rows)
    assert f"{num_other} have the columns of messages (first in line {11 - num_other})" in fault.happened
    assert set(fault.choices) == {'format = "alpaca"', 'format = "messages"'}


def test_unknown_columns_are_answered_with_the_columns_the_formats_and_the_recipe_keys() -> None:
    text = str(undecided([{"rssi": 1, "label": "x"}]))
    assert "'rssi', 'label'" in text
    assert "alpaca: instruction, an optional input" in text
    assert 'format = "alpaca"' in text
    assert "columns = {" in text
    assert "template = " in text


@pytest.mark.parametrize(
    ("row", "choice"),
    [
        (
            {"id": "7", "Frage": "Wie viel?", "Antwort": "Drei."},
            "columns = { prompt = 'Frage', completion = 'Antwort' }",
        ),
        ({"reply": "Drei.", "asked": "Wie viel?"}, "columns = { prompt = 'asked', completion = 'reply' }"),
        ({"promt": "a", "completoin": "b"}, "columns = { prompt = 'promt', completion = 'completoin' }"),
        ({"Instruction": "a", "output ": "b"}, "columns = { instruction = 'Instruction', output = 'output ' }"),
        ({"text": "add", "code": "a+b"}, "columns = { prompt = 'text', completion = 'code' }"),
        ({"id": 1, "dialog": [USER, SAID]}, "columns = { messages = 'dialog' }"),
        ({"rssi": "-70", "class": "far"}, r'template = "rssi: {rssi}\nclass: {class}"'),
        ({"review": "Nice!", "stars": 5, "language": "en"}, r'template = "review: {review}\nstars: {stars}"'),
        ({"body": "Long.", "id": "x"}, "format = \"plain_text\" and columns = { text = 'body' }"),
    ],
)
def test_what_unknown_columns_may_mean_is_proposed_by_their_names_and_contents(
    row: dict[str, Any], choice: str
) -> None:
    fault = undecided([row] * 3)
    assert fault.choices[0] == choice
    assert f"Perhaps {choice} is meant." in fault.remedy
    assert fault.proposals[0].example


def test_proposals_for_the_command_line_are_options_quoted_for_a_shell() -> None:
    fault = undecided([{"Instruction": "a", "output ": "b"}]).in_options()
    assert "--column instruction=Instruction --column 'output=output '" in fault.remedy
    assert "data]" not in fault.remedy


def test_a_new_name_that_no_format_reads_is_answered_with_the_near_one_and_the_files_own_names() -> None:
    fault = undecided([{"promt": "a", "antwort": "b"}], given={"promt": "frage"})
    assert "No format reads the column 'promt' that data.columns names; perhaps 'prompt' is meant." in fault.remedy
    assert fault.choices[0] == "columns = { prompt = 'frage', completion = 'antwort' }"
    with pytest.raises(DataError, match="alpaca does not read it") as caught:
        check_new_names("alpaca", {"instuction": "frage"})
    assert "perhaps 'instruction'" in caught.value.remedy


def test_a_known_row_among_unknown_ones_does_not_hide_what_most_of_them_may_mean() -> None:
    fault = undecided([{"instruction": "a", "output": "b"}, *[{"frage": "a?", "antwort": "b"}] * 5])
    assert fault.happened.startswith("5 of 6 sampled rows have none of the known formats")
    assert fault.choices == ("columns = { prompt = 'frage', completion = 'antwort' }",)


def test_single_messages_of_a_tree_are_recognised_as_no_conversations() -> None:
    fault = undecided([{"message_id": "a", "parent_id": None, "text": "Hi", "role": "prompter"}])
    assert "join them" in fault.remedy
    assert fault.choices == ()


def test_rows_that_could_be_two_formats_are_not_guessed_at() -> None:
    fault = undecided([{"problem": "a", "solution": "b", "question": "c", "answer": "d"}])
    assert "as problem_solution and as question_answer" in fault.happened
    assert fault.choices == ('format = "problem_solution"', 'format = "question_answer"')
    assert [proposal.example for proposal in fault.proposals] == ["a -> b", "c -> d"]


def test_two_formats_that_make_the_same_of_every_row_are_no_doubt() -> None:
    assert detect([{"problem": "a", "solution": "b", "question": "a", "answer": "b"}]).sureness == "certain"


def test_a_column_name_with_control_characters_is_shown_escaped() -> None:
    fault = undecided([{"\x1b[2J": "x", "b\n": "y"}])
    assert "\x1b" not in str(fault)
    assert "\x1b" not in str(fault.in_options())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "input", "output", "text"]), inner)
    ),
    max_leaves=8,
)
COLUMNS = st.sampled_from([*known_columns(), "Frage", "{", "x\x1b", "", "parent_id", "dialog"])


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.dictionaries(COLUMNS, JSON_VALUES, max_size=5), min_size=1, max_size=6))
def test_rows_of_any_values_are_told_or_answered_with_an_error_of_ours(rows: list[dict[str, Any]]) -> None:
    try:
        detection = detect(rows)
    except UndecidedError as fault:
        told = f"{fault}{fault.in_options()}{fault.choices}"
    else:
        told = f"{detection.format}: {detection.reason}"
        convert = format_named(detection.format).convert
        for line, row in enumerate(rows, start=1):
            with suppress(RowProblem):
                assert convert(row, line).answer.strip()
    assert "\x1b" not in told


def test_no_rows_are_no_format() -> None:
    with pytest.raises(DataError, match="no readable row"):
        detect([])
