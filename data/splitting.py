"""Seeded split into train, eval and test rows, such that no request stands in two of them.

Rows with the same request stay together; exact duplicates are dropped. Order and choice depend on the seed and on
the rows' text alone, by SHA-256, so they are the same on every Python version and for every hash seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from data.conversation import Example, PlainText
from data.errors import DataError

AnswerKey = Callable[[Example], str]


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of each part, in file order."""

    train: tuple[Example, ...]
    eval: tuple[Example, ...]
    test: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How to split. The fractions are of all rows (0 up to, not including, 1)."""

    eval_fraction: float
    test_fraction: float
    unseen_answers: int
    seed: int


def request_key(example: Example) -> str:
    """What two rows share when they count as the same request: the text, case folded, white space collapsed.

    Plain text has no request and counts by the text itself.
    """
    text = example.text if isinstance(example, PlainText) else example.request
    return " ".join(text.casefold().split())


def without_duplicates(examples: Iterable[Example]) -> list[Example]:
    """The rows less those whose request and answer stood in an earlier row already."""
    first: dict[tuple[str, str], Example] = {}
    for example in examples:
        first.setdefault((request_key(example), example.answer), example)
    return list(first.values())


def answer_key_of(pattern: str | None) -> AnswerKey:
    """What makes two answers the same answer: the pattern's first group (or its whole match), or the whole answer.

    Raises DataError when the pattern is no regular expression.
    """
    if pattern is None:
        return lambda example: example.answer
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
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


def unseen_in(test: Iterable[Example], train: Iterable[Example], answer_key: AnswerKey) -> frozenset[int]:
    """The lines of the test rows whose answer key no train row has."""
    seen = {answer_key(example) for example in train}
    return frozenset(example.line for example in test if answer_key(example) not in seen)


def split_examples(examples: Sequence[Example], settings: SplitSettings, answer_key: AnswerKey) -> Split:
    """Split rows that hold no exact duplicates. Raises DataError when the settings cannot be met."""
    _check(settings)
    num_test = _share(len(examples), settings.test_fraction)
    num_eval = _share(len(examples), settings.eval_fraction)
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(request_key(example), []).append(example)
    held_back = _held_back(groups, settings, num_test, answer_key)
    test = [
        example
        for group in groups.values()
        if any(answer_key(member) in held_back for member in group)
        for example in group
    ]
    taken = {request_key(example) for example in test}
    rest = _in_seeded_order((key for key in groups if key not in taken), settings.seed)
    test += _take(rest, groups, num_test - len(test))
    evaluation = _take(rest, groups, num_eval)
    train = [example for key in rest for example in groups[key]]
    return Split(_in_file_order(train), _in_file_order(evaluation), _in_file_order(test))


def _in_file_order(examples: list[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda example: example.line))


def _take(keys: list[str], groups: dict[str, list[Example]], num_rows: int) -> list[Example]:
    """Whole groups, in order, that together make at most `num_rows` rows. Removes their keys from `keys`.

    When every group is larger than that, the smallest one is taken, so that a wanted split does not stay empty.
    """
    if num_rows > 0 and len(keys) > 1:
        num_rows = max(num_rows, min(len(groups[key]) for key in keys))
    taken: list[Example] = []
    left: list[str] = []
    for key in keys:
        if len(taken) + len(groups[key]) <= num_rows:
            taken += groups[key]
        else:
            left.append(key)
    keys[:] = left
    return taken


def _held_back(
    groups: dict[str, list[Example]], settings: SplitSettings, num_test: int, answer_key: AnswerKey
) -> frozenset[str]:
    """The answers that go to the test split only.

    A family is the answers with the same first two words ("venvy ls"). Answers are drawn from the families in turn,
    one each, so that they are spread; the last answer of a family is never drawn, so that every family keeps some
    that are seen. Within a family the draw is seeded, among the answers with few enough rows that all those held
    back fill at most half of the test split; only then among the others, fewest rows first.
    """
    if settings.unseen_answers == 0:
        return frozenset()
    rows: dict[str, int] = {}
    for group in groups.values():
        for example in group:
            rows[answer_key(example)] = rows.get(answer_key(example), 0) + 1
    families: dict[str, list[str]] = {}
    for key in _in_seeded_order(rows, settings.seed):
        families.setdefault(" ".join(key.split()[:2]), []).append(key)
    most_rows = max(1, num_test // (2 * settings.unseen_answers))
    queues = [
        sorted(keys, key=lambda key: max(0, rows[key] - most_rows))[: len(keys) - 1] for keys in families.values()
    ]
    if sum(map(len, queues)) < settings.unseen_answers:
        raise DataError(
            f"data.unseen_answers is {settings.unseen_answers}; only {sum(map(len, queues))} answers can be held back.",
            means=f"There are {len(rows)} different answers, and of those that share their first two words one must "
            "stay in training.",
            remedy="Lower data.unseen_answers, or set evaluation.answer_pattern to the part of an answer that counts.",
        )
    return frozenset(_in_turn(queues, rows, most_rows)[: settings.unseen_answers])


def _in_turn(queues: list[list[str]], rows: dict[str, int], most_rows: int) -> list[str]:
    """The queues' keys, first all first ones, then all second ones …; those with too many rows after all others."""
    ranked = [
        (max(0, rows[key] - most_rows), turn, number, key)
        for number, queue in enumerate(queues)
        for turn, key in enumerate(queue)
    ]
    return [key for *_, key in sorted(ranked)]


def _in_seeded_order(keys: Iterable[str], seed: int) -> list[str]:
    import hashlib

    return sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())


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
