"""What is put before a model: the turns of a row, and examples from training in front of them."""

from __future__ import annotations

from data.conversation import Conversation, Message, PlainText, single_turn
from engine.evaluation.prompts import MAX_EXAMPLES, is_scorable, one_per_group, question
from engine.evaluation.scoring import Scorer

GROUPS = Scorer(None, r"^venvy (\S+)")


def test_rows_that_ask_nothing_cannot_be_scored() -> None:
    asked = single_turn("list them", "venvy ls", 1)
    rows = [PlainText("some text", 2), asked, single_turn(" ", "venvy ls", 3)]
    assert [row for row in rows if is_scorable(row)] == [asked]


def test_of_several_turns_only_the_last_answer_is_asked_for() -> None:
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    assert question(Conversation(turns, 1)) == turns[:3]


def test_examples_stand_as_earlier_turns_behind_the_system_message() -> None:
    row = single_turn("list them", "venvy ls", 1, system="Be brief.")
    shot = single_turn("look around", "venvy scan", 2, system="Be brief.")
    assert [(turn.role, turn.content) for turn in question(row, [shot])] == [
        ("system", "Be brief."),
        ("user", "look around"),
        ("assistant", "venvy scan"),
        ("user", "list them"),
    ]


def test_each_group_gives_its_shortest_request_and_of_equal_ones_the_first() -> None:
    train = [
        single_turn("list them all please", "venvy ls", 1),
        single_turn("list 2", "venvy ls --all", 7),
        single_turn("list 1", "venvy ls", 3),
        single_turn("scan everything", "venvy scan", 4),
        single_turn("who are you", "a program", 5),
        PlainText("venvy ls", 6),
    ]
    assert [row.line for row in one_per_group(train, GROUPS)] == [3, 5, 4]
    assert one_per_group(reversed(train), GROUPS) == one_per_group(train, GROUPS)


def test_of_very_many_groups_the_largest_take_part() -> None:
    train = [
        single_turn(f"do {group} {repeat}", f"venvy g{group:02}", group)
        for group in range(30)
        for repeat in range(1 + (group >= 10))
    ]
    chosen = one_per_group(train, GROUPS)
    assert [row.answer for row in chosen] == [f"venvy g{group}" for group in range(10, 10 + MAX_EXAMPLES)]
