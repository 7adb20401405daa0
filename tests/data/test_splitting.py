"""The split: no request in two parts, nothing that depends on luck, and answers held back on purpose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from data.conversation import Example, PlainText, single_turn
from data.errors import DataError
from data.splitting import (
    DUPLICATE,
    EVAL,
    TEST,
    TRAIN,
    AnswerKey,
    RowKeys,
    SplitSettings,
    answer_key_of,
    request_key,
    split_rows,
    unseen_rows,
)

SETTINGS = SplitSettings(eval_fraction=0.1, test_fraction=0.1, unseen_answers=0, seed=42)
WHOLE = answer_key_of(None)


class Split(NamedTuple):
    train: list[Example]
    eval: list[Example]
    test: list[Example]
    duplicates: list[Example]
    unseen: set[int]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> Iterator[None]:
    """Each split has an empty folder of its own."""
    FOLDERS[:] = [tmp_path / str(number) for number in range(20)]
    yield
    FOLDERS.clear()


FOLDERS: list[Path] = []


def split_examples(examples: Sequence[Example], settings: SplitSettings, answer_key: AnswerKey) -> Split:
    folder = FOLDERS.pop()
    folder.mkdir()
    keys = RowKeys(folder, "rows", settings.seed, answer_key)
    for example in examples:
        keys.add(example)
    parts = split_rows(keys, settings)
    unseen = unseen_rows(keys, parts, keys, parts)

    def of(part: int) -> list[Example]:
        found = (example for example, its in zip(examples, parts, strict=True) if its == part)
        return sorted(found, key=lambda example: example.line)

    lines = {example.line for number, example in enumerate(examples) if number in unseen}
    return Split(of(TRAIN), of(EVAL), of(TEST), of(DUPLICATE), lines)


def made(number: int, answers: int = 10) -> list[Example]:
    return [
        single_turn(f"request {n}", f"tool group{n % answers % 3} answer{n % answers}", n) for n in range(1, number + 1)
    ]


def test_every_row_lands_in_exactly_one_part_and_the_fractions_hold() -> None:
    split = split_examples(made(200), SETTINGS, WHOLE)
    assert [len(split.train), len(split.eval), len(split.test)] == [160, 20, 20]
    lines = [example.line for part in (split.train, split.eval, split.test) for example in part]
    assert sorted(lines) == list(range(1, 201))
    assert [example.line for example in split.train] == sorted(example.line for example in split.train)


def test_rows_whose_requests_differ_only_in_case_and_space_stay_together() -> None:
    examples = [single_turn(f"{' ' * (n % 2)}Request  {n // 3}\n".upper(), f"answer {n}", n) for n in range(90)]
    split = split_examples(examples, SETTINGS, WHOLE)
    keys = [{request_key(example) for example in part} for part in (split.train, split.eval, split.test)]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert len(split.train) + len(split.eval) + len(split.test) == 90


def test_exact_duplicates_are_dropped_and_other_answers_to_the_same_request_are_kept() -> None:
    rows = [
        single_turn("A", "x", 1),
        single_turn(" a ", "x", 2),
        single_turn("A", "y", 3),
        PlainText("t", 4),
        PlainText("t", 5),
    ]
    split = split_examples(rows, replace(SETTINGS, eval_fraction=0, test_fraction=0), WHOLE)
    assert [example.line for example in split.train] == [1, 3, 4]
    assert [example.line for example in split.duplicates] == [2, 5]


def test_the_seed_alone_decides_and_file_order_does_not() -> None:
    first = split_examples(made(100), SETTINGS, WHOLE)
    assert split_examples(made(100)[::-1], SETTINGS, WHOLE) == first
    assert split_examples(made(100), replace(SETTINGS, seed=43), WHOLE) != first


def test_the_hash_seed_and_the_process_change_nothing() -> None:
    program = (
        "from data.preparation import DataRequest, prepare\n"
        "import hashlib\n"
        "p = prepare(DataRequest('generator:venvy', generator_rows=300, unseen_answers=4))\n"
        "rows = tuple(p.train), tuple(p.eval), tuple(p.test), sorted(p.unseen), p.files\n"
        "print(hashlib.sha256(repr(rows).encode()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-P", "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def test_plain_texts_are_split_by_the_text_itself() -> None:
    split = split_examples([PlainText(f"text {n}", n) for n in range(20)], SETTINGS, WHOLE)
    assert [len(split.train), len(split.eval), len(split.test)] == [16, 2, 2]


def test_a_few_rows_still_fill_every_part() -> None:
    split = split_examples(made(3), SETTINGS, WHOLE)
    assert [len(split.train), len(split.eval), len(split.test)] == [1, 1, 1]


def test_held_back_answers_are_in_the_test_split_only_and_every_family_keeps_seen_ones() -> None:
    examples = made(300, answers=30)
    split = split_examples(examples, replace(SETTINGS, unseen_answers=3, test_fraction=0.2), WHOLE)
    trained = {example.answer for example in (*split.train, *split.eval)}
    unseen = {example.answer for example in split.test} - trained
    assert len(unseen) == 3
    assert {answer.split()[1] for answer in unseen} == {"group0", "group1", "group2"}
    assert {answer.split()[1] for answer in trained} == {"group0", "group1", "group2"}
    assert split.unseen == {example.line for example in split.test if example.answer in unseen}
    assert 0 < len(split.unseen) < len(split.test)


def test_answers_with_few_rows_are_held_back_before_answers_with_many() -> None:
    examples = [single_turn(f"r{n}", "tool a common" if n < 150 else f"tool a rare{n % 10}", n) for n in range(200)]
    for seed in range(5):
        split = split_examples(examples, replace(SETTINGS, unseen_answers=2, seed=seed), WHOLE)
        assert "tool a common" in {example.answer for example in split.train}


def test_the_answer_pattern_says_which_part_of_an_answer_counts() -> None:
    key = answer_key_of(r"^COMMAND: (.+)$")
    assert key(single_turn("r", "COMMAND: venvy ls\nCONFIDENCE: 0.9", 1)) == "venvy ls"
    assert key(single_turn("r", "something else", 1)) == "something else"
    assert answer_key_of(r"\w+")(single_turn("r", "one two", 1)) == "one"
    with pytest.raises(DataError, match="no regular expression"):
        answer_key_of("(")


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, eval_fraction=0.5, test_fraction=0.5),
        replace(SETTINGS, eval_fraction=-0.1),
        replace(SETTINGS, test_fraction=1.0),
        replace(SETTINGS, unseen_answers=1, test_fraction=0.0),
        replace(SETTINGS, unseen_answers=8),
    ],
)
def test_settings_that_cannot_be_met_are_refused_by_name(settings: SplitSettings) -> None:
    with pytest.raises(DataError, match=r"data\.(eval_fraction|unseen_answers)"):
        split_examples(made(100), settings, WHOLE)
