"""Seeded split into train, eval and test rows, such that no request stands in two of them.

Rows with the same request stay together; exact duplicates are dropped. Order and choice depend on the seed and on
the rows' text alone, by SHA-256, so they are the same on every Python version and for every hash seed. Rows are known
here by number (0, 1, … in file order) and by what `SeededIndex` keeps of them, so that any number of them is split.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.bounded_pattern import BoundedPattern
from data.conversation import Example, PlainText
from data.errors import DataError
from data.many_rows.key_index import RowNumbers
from data.many_rows.seeded_index import SeededIndex, shared

AnswerKey = Callable[[Example], str]
TRAIN, EVAL, TEST, DUPLICATE = range(4)
"""What a row is for, or why it is in no part."""
SPLITS = ("train", "eval", "test")
"""Their names, each at its number."""


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How to split. The fractions are of all rows (0 up to, not including, 1)."""

    eval_fraction: float
    test_fraction: float
    unseen_answers: int
    seed: int


class RowKeys:
    """What decides where each row of one dataset goes: its request, its answer, and what of the answer counts.

    `requests` groups rows by request and marks them by their answer; `answers` by what counts of the answer (the
    answer key), and marks them by its family, the first two words.
    """

    def __init__(self, folder: Path, name: str, seed: int, answer_key: AnswerKey) -> None:
        self.requests = SeededIndex(folder, f"{name}-requests", seed)
        self.answers = SeededIndex(folder, f"{name}-answers", seed)
        self.num_rows, self._answer_key = 0, answer_key

    def add(self, example: Example) -> None:
        """The next row."""
        self.requests.add(request_key(example), example.answer, self.num_rows)
        key = self._answer_key(example)
        self.answers.add(key, " ".join(key.split(None, 2)[:2]), self.num_rows)
        self.num_rows += 1


def request_key(example: Example) -> str:
    """What two rows share when they count as the same request: the text, case folded, white space collapsed.

    Plain text has no request and counts by the text itself.
    """
    text = example.text if isinstance(example, PlainText) else example.request
    return collapsed(text)


def collapsed(text: str) -> str:
    """`" ".join(text.casefold().split())`, four times as fast for ASCII text."""
    if not text.isascii():
        return " ".join(text.casefold().split())
    text = text.lower()
    for blank in "\n\t\r\v\f\x1c\x1d\x1e\x1f":
        if blank in text:
            text = text.replace(blank, " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text.strip(" ")


def answer_key_of(pattern: str | None) -> AnswerKey:
    """What makes two answers the same answer: the pattern's first group (or its whole match), or the whole answer.

    Raises DataError when the pattern is no regular expression.
    """
    if pattern is None:
        return lambda example: example.answer
    try:
        compiled = BoundedPattern(pattern, "evaluation.answer_pattern")
    except ValueError as error:
        raise DataError(
            f"evaluation.answer_pattern is no regular expression: {error}.",
            means="Answers cannot be told apart by it.",
            remedy=r"Correct it (for example '^COMMAND: (.+)$'), or leave it out to compare whole answers.",
        ) from error

    def key(example: Example) -> str:
        match = compiled.search(example.answer)
        if match is None:
            return example.answer
        return (match[1] if compiled.groups else match[0]) or ""

    return key


def split_rows(keys: RowKeys, settings: SplitSettings) -> bytearray:
    """What each row is for, by its number: TRAIN, EVAL, TEST or DUPLICATE. Raises DataError for impossible settings.

    Memory: 11 bytes a row at most.
    """
    _check(settings)
    parts = bytearray(keys.num_rows)
    members, sizes = array("I"), array("I")
    for group in keys.requests.groups():
        for number in group.others:
            parts[number] = DUPLICATE
        members.extend(group.firsts)
        sizes.append(len(group.firsts))
    num_test = _share(len(members), settings.test_fraction)
    num_eval = _share(len(members), settings.eval_fraction)
    group_parts = bytearray(len(sizes))
    held = _held_back(keys.answers, parts, settings, num_test)
    num_held = _take_held(group_parts, members, sizes, held) if len(held) else 0
    _take(TEST, group_parts, sizes, num_test - num_held)
    _take(EVAL, group_parts, sizes, num_eval)
    position = 0
    for part, size in zip(group_parts, sizes, strict=True):
        if part != TRAIN:
            for number in members[position : position + size]:
                parts[number] = part
        position += size
    return parts


def whole_split(keys: RowKeys, part: int) -> bytearray:
    """All rows for one part, less the duplicates."""
    parts = bytearray([part]) * keys.num_rows
    for group in keys.requests.groups():
        for number in group.others:
            parts[number] = DUPLICATE
    return parts


def unseen_rows(test: RowKeys, test_parts: bytearray, train: RowKeys, train_parts: bytearray) -> RowNumbers:
    """The test rows whose answer key no train row has; `test` and `train` may be the same rows."""
    seen, found = RowNumbers(), RowNumbers()
    if test is not train:
        for ours, theirs in shared(test.answers, train.answers):
            if any(train_parts[number] == TRAIN for number in theirs.rows()):
                for number in ours.rows():
                    seen.add(number)
    for group in test.answers.groups():
        if test is train and any(train_parts[number] == TRAIN for number in group.rows()):
            continue
        for number in group.rows():
            if test_parts[number] == TEST and number not in seen:
                found.add(number)
    return found


def _take_held(group_parts: bytearray, members: array[int], sizes: array[int], held: RowNumbers) -> int:
    """Give the test split every group with a row that is held back; how many rows it gets so."""
    position, num_rows = 0, 0
    for number, size in enumerate(sizes):
        if any(member in held for member in members[position : position + size]):
            group_parts[number] = TEST
            num_rows += size
        position += size
    return num_rows


def _take(part: int, group_parts: bytearray, sizes: array[int], num_rows: int) -> None:
    """Give a part whole groups, in order, that together make at most `num_rows` rows.

    When every group is larger than that, the smallest one is taken, so that a wanted split does not stay empty.
    """
    if num_rows > 0 and group_parts.count(TRAIN) > 1:
        left = (size for taken, size in zip(group_parts, sizes, strict=True) if taken == TRAIN)
        num_rows = max(num_rows, min(left))
    for number, size in enumerate(sizes):
        if num_rows <= 0:
            break
        if group_parts[number] == TRAIN and size <= num_rows:
            group_parts[number] = part
            num_rows -= size


def _held_back(answers: SeededIndex, parts: bytearray, settings: SplitSettings, num_test: int) -> RowNumbers:
    """The rows whose answers go to the test split only.

    A family is the answers with the same first two words ("venvy ls"). Answers are drawn from the families in turn,
    one each, so that they are spread; the last answer of a family is never drawn, so that every family keeps some
    that are seen. Within a family the draw is seeded, among the answers with few enough rows that all those held
    back fill at most half of the test split; only then among the others, fewest rows first. Takes some 100 bytes for
    each different answer.
    """
    held = RowNumbers()
    if settings.unseen_answers == 0:
        return held
    most_rows = max(1, num_test // (2 * settings.unseen_answers))
    families: dict[bytes, list[tuple[int, int]]] = {}
    num_answers = 0
    for place, group in enumerate(answers.groups()):
        num_rows = sum(parts[number] != DUPLICATE for number in group.rows())
        families.setdefault(group.mark, []).append((max(0, num_rows - most_rows), place))
        num_answers = place + 1
    queues = [sorted(family)[:-1] for family in families.values()]
    if sum(map(len, queues)) < settings.unseen_answers:
        raise DataError(
            f"data.unseen_answers is {settings.unseen_answers}; only {sum(map(len, queues))} answers can be held back.",
            means=f"There are {num_answers} different answers, and of those that share their first two words one must "
            "stay in training.",
            remedy="Lower data.unseen_answers, or set evaluation.answer_pattern to the part of an answer that counts.",
        )
    chosen = set(_in_turn(queues, settings.unseen_answers))
    for place, group in enumerate(answers.groups()):
        if place in chosen:
            for number in group.rows():
                held.add(number)
    return held


def _in_turn(queues: list[list[tuple[int, int]]], num_wanted: int) -> list[int]:
    """Of queues of (rows too many, place): all first ones, then all second ones …; those with too many rows last."""
    import heapq

    ranked = (
        (too_many, turn, number, place)
        for number, queue in enumerate(queues)
        for turn, (too_many, place) in enumerate(queue)
    )
    return [place for *_, place in heapq.nsmallest(num_wanted, ranked)]


def _share(num_rows: int, fraction: float) -> int:
    """Rows for a part: rounded to the nearest, at least one when any are wanted."""
    return 0 if fraction == 0 else max(1, round(num_rows * fraction))


def _check(settings: SplitSettings) -> None:
    eval_fraction, test_fraction = settings.eval_fraction, settings.test_fraction
    if not (0 <= eval_fraction < 1 and 0 <= test_fraction < 1 and eval_fraction + test_fraction < 1):
        raise DataError(
            f"data.eval_fraction {eval_fraction} and data.test_fraction {test_fraction} leave nothing to train on.",
            means="Each is a share of the rows, and together they must be less than 1.",
            remedy="Usual values are 0.1 and 0.1.",
        )
    if settings.unseen_answers < 0 or (settings.unseen_answers and test_fraction == 0):
        raise DataError(
            f"data.unseen_answers is {settings.unseen_answers}, and there is no test split to hold them.",
            means="Answers that are never trained on can only be kept in the test split.",
            remedy="Set data.test_fraction above 0 (0.1 is usual), or data.unseen_answers to 0.",
        )
