"""Judging answers: what is compared, how rows are grouped, and how sure a share is."""

from __future__ import annotations

import json

import pytest

from engine.evaluation.scoring import REST_OF_GROUPS, Judged, Scorer, grouped, tally

COMMAND = r"^COMMAND:[ \t]*(.*?)[ \t]*$"
SUBCOMMAND = r"^COMMAND:[ \t]*venvy[ \t]+(\S+)"


@pytest.fixture
def scorer() -> Scorer:
    return Scorer(COMMAND, SUBCOMMAND)


def test_only_the_first_match_of_the_pattern_is_compared(scorer: Scorer) -> None:
    judged = scorer.judge(
        "COMMAND: venvy ls\nCONFIDENCE: high", "Sure!\nCOMMAND: venvy ls\nCONFIDENCE: low\nCOMMAND: rm"
    )
    assert (judged.wanted, judged.found, judged.correct) == ("venvy ls", "venvy ls", True)


def test_an_answer_that_the_pattern_does_not_match_is_wrong(scorer: Scorer) -> None:
    judged = scorer.judge("COMMAND: venvy ls", "venvy ls")
    assert (judged.found, judged.correct) == (None, False)


def test_an_expected_answer_that_the_pattern_does_not_match_is_compared_whole(scorer: Scorer) -> None:
    assert scorer.judge("I cannot do that.", "COMMAND: I cannot do that.").correct
    assert not scorer.judge("I cannot do that.", "I cannot do that.").correct


def test_a_group_that_took_no_part_in_the_match_is_no_answer() -> None:
    judged = Scorer(r"yes|no (\w+)", None).judge("no thanks", "yes")
    assert (judged.wanted, judged.found, judged.correct) == ("thanks", None, False)


def test_without_a_pattern_whole_answers_are_compared() -> None:
    assert Scorer(None, None).judge("two  words\n", " two words").correct
    assert not Scorer(None, None).judge("two words", "two Words").correct


def test_a_row_belongs_to_the_group_that_its_expected_answer_names(scorer: Scorer) -> None:
    assert scorer.judge("COMMAND: venvy ls --sort size", "COMMAND: venvy scan").group == "ls"
    assert scorer.group_of("I cannot do that.") == "other"
    assert Scorer(None, None).group_of("COMMAND: venvy ls") == ""


@pytest.mark.parametrize(
    ("answer", "is_settled"),
    [
        ("COMMAND: venvy", False),
        ("COMMAND: venvy ls", False),
        ("COMMAND: venvy ls\n", True),
        ("COMMAND: venvy ls\nCONF", True),
        ("\nSure\n", False),
    ],
)
def test_an_answer_is_settled_once_a_line_break_follows_its_match(
    scorer: Scorer, answer: str, is_settled: bool
) -> None:
    assert scorer.is_settled(answer) is is_settled


def test_an_answer_whose_pattern_may_still_grow_over_line_breaks_is_not_settled() -> None:
    assert not Scorer(r"ANSWER:\s*([\s\S]*)", None).is_settled("ANSWER: one\ntwo\n")
    assert not Scorer(None, None).is_settled("anything\n")


def rows(group: str, num_rows: int, num_correct: int, *, unseen: bool = False) -> list[Judged]:
    return [Judged("a", "a", place < num_correct, group, unseen) for place in range(num_rows)]


def test_rows_are_counted_in_all_by_group_and_for_unseen_answers() -> None:
    counts = tally([*rows("ls", 3, 2), *rows("scan", 4, 4), *rows("stats", 2, 1, unseen=True)])
    assert (counts.num_rows, counts.num_correct) == (9, 7)
    assert (counts.unseen_rows, counts.unseen_correct) == (2, 1)
    assert counts.groups == (("scan", 4, 4), ("ls", 3, 2), ("stats", 2, 1))
    assert 0 < counts.low < 7 / 9 < counts.high < 1


def test_without_a_group_pattern_there_are_no_groups() -> None:
    assert tally(rows("", 5, 5)).groups == ()


def test_the_forty_largest_groups_are_named_and_the_rest_is_summed() -> None:
    groups = grouped([row for size in range(1, 51) for row in rows(f"group {size}", size, 1)])
    assert len(groups) == 41
    assert groups[0] == ("group 50", 50, 1)
    assert groups[-1] == (REST_OF_GROUPS, 55, 10)


def test_groups_with_long_names_leave_room_in_their_event() -> None:
    scorer = Scorer(None, r"(.*)")
    judged = [scorer.judge(f"{number} " + "語" * 300, "") for number in range(100)]
    groups = grouped(judged)
    assert len(json.dumps(groups)) < 2500
    assert sum(size for _, size, _ in groups) == 100
