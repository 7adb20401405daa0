"""The one call that turns a dataset string into train, eval and test rows. Tokens are no concern here."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from data.conversation import Conversation, Example
from data.errors import DataError
from data.loading import AUTO, Rows, Shape, nothing_left, system_unused
from data.many_rows.key_index import RowNumbers
from data.many_rows.seeded_index import shared
from data.many_rows.stored_rows import RowWriter, Scratch, StoredRows, stored_examples, stored_rejections
from data.places import Places
from data.rows import Rejection
from data.sources import SourceFile, SourceSettings
from data.splitting import (
    DUPLICATE,
    EVAL,
    SPLITS,
    TEST,
    TRAIN,
    AnswerKey,
    RowKeys,
    SplitSettings,
    answer_key_of,
    split_rows,
    unseen_rows,
    whole_split,
)
from data.understanding.detection import Detection

__all__ = ["DataRequest", "Prepared", "Rejection", "SourceFile", "prepare"]

LEAKED = DUPLICATE + 1
"""A row that stands in part n as well has the number LEAKED + n."""
PART_NAMES = {TRAIN: "training", EVAL: "evaluation", TEST: "test"}
READING = "reading"
"""Folder of what is only there while rows are read."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What to prepare; the fields are those of the recipe's [data], less what only concerns tokens.

    `answer_pattern` is the recipe's evaluation.answer_pattern. `columns` maps the name that a format needs to the
    name in the file. `max_rows` reads only the first rows of `dataset`. A given eval or test dataset replaces the
    fraction; where it is a folder or a hub dataset, the files named after that split are taken.
    """

    dataset: str
    format: str = AUTO
    template: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    system: str | None = None
    eval_fraction: float = 0.1
    test_fraction: float = 0.1
    eval_dataset: str | None = None
    test_dataset: str | None = None
    unseen_answers: int = 0
    answer_pattern: str | None = None
    max_rows: int | None = None
    seed: int = 42
    subset: str | None = None
    split: str | None = None
    revision: str | None = None
    generator_rows: int | None = None
    offline: bool = False
    cache_dir: str | None = None


class Lines(Set[int]):
    """A set of line numbers, 8 bytes each. Takes them in ascending order."""

    def __init__(self, lines: array[int]) -> None:
        self._lines = lines

    @classmethod
    def _from_iterable(cls, lines: Iterable[Any]) -> Set[Any]:
        return frozenset(lines)

    def __contains__(self, line: object) -> bool:
        place = bisect_left(self._lines, line) if isinstance(line, int) else len(self._lines)
        return place < len(self._lines) and self._lines[place] == line

    def __iter__(self) -> Iterator[int]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of each split, in file order, and an account of everything that is not in them.

    Rows are in files: they can be gone through as often as wanted, one at a time. `unseen` holds the lines of the test
    rows whose answer key no train row has. `num_read` counts every row read, `num_pairs` the train rows with a refused
    answer. `detection` is that of the main dataset. `places` has those of each split's dataset, by the split's name:
    where a row stands in the files that were given. `notes` say how files were read, where somebody may be surprised.
    """

    train: Sequence[Example]
    eval: Sequence[Example]
    test: Sequence[Example]
    unseen: Set[int]
    rejected: Sequence[Rejection]
    duplicates: int
    detection: Detection
    files: tuple[SourceFile, ...]
    num_read: int
    num_pairs: int = 0
    places: Mapping[str, Places] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Read:
    """One dataset, read once: its examples in a file, numbered from 0, and what decides where each goes."""

    rows: Rows
    keys: RowKeys
    examples: StoredRows[Example]
    places: Places
    pairs: RowNumbers
    num_read: int
    parts: bytearray = field(default_factory=bytearray)


def prepare(request: DataRequest, folder: Path | None = None) -> Prepared:
    """Read, recognise, convert and split; the rows of each split are in `folder`, or in a temporary one that goes with
    them. Rows are read once and never held: memory is at most 30 bytes for each.

    `folder` then has train.jsonl, eval.jsonl, test.jsonl and rejected.jsonl, and in between needs room for the rows
    twice. Raises DataError when no row is left to train on or a demanded split stays empty. A row of a given eval or
    test dataset whose request stands in another split is rejected there ("also in the training rows"), never in
    training.
    """
    import shutil

    scratch = Scratch() if folder is None else None
    home = scratch.path if folder is None and scratch else folder
    assert home is not None
    reading = home / READING
    shutil.rmtree(reading, ignore_errors=True)  # of a preparation that was killed
    reading.mkdir(parents=True)
    for name in (*SPLITS, "rejected"):
        (home / f"{name}.jsonl").unlink(missing_ok=True)
    try:
        with RowWriter(home / "rejected.jsonl") as rejected:
            return _prepared(request, home, rejected, scratch)
    finally:
        shutil.rmtree(reading, ignore_errors=True)


def _prepared(request: DataRequest, home: Path, rejected: RowWriter, scratch: Scratch | None) -> Prepared:
    answer_key = answer_key_of(request.answer_pattern)
    settings = _split_settings(request)
    main = test = evaluation = _read(request, request.dataset, ("train",), home, rejected, answer_key)
    main.parts = split_rows(main.keys, settings)
    every = [main]
    if request.test_dataset is not None:
        test = _read(request, request.test_dataset, ("test", "validation"), home, rejected, answer_key)
        test.parts = whole_split(test.keys, TEST)
        _reject_leaks(test, main, (TRAIN, EVAL))
        every.append(test)
    if request.eval_dataset is not None:
        evaluation = _read(request, request.eval_dataset, ("validation", "test"), home, rejected, answer_key)
        evaluation.parts = whole_split(evaluation.keys, EVAL)
        _reject_leaks(evaluation, main, (TRAIN, TEST))
        if test is not main:
            _reject_leaks(evaluation, test, (TEST,))
        every.append(evaluation)
    sizes = {part: sum(one.parts.count(part) for one in every) for part in (TRAIN, EVAL, TEST)}
    _check_filled(request, sizes)
    unseen = unseen_rows(test.keys, test.parts, main.keys, main.parts) if sizes[TEST] else RowNumbers()
    lines, num_pairs = array("Q"), 0
    with ExitStack() as files:
        writers = [files.enter_context(RowWriter(home / f"{name}.jsonl")) for name in SPLITS]
        for one in every:
            num_pairs += _hand_out(one, writers, rejected, unseen if one is test else RowNumbers(), lines)
    rejected.flush()
    return Prepared(
        **{
            name: stored_examples(home / f"{name}.jsonl", writer.num_rows, scratch)
            for name, writer in zip(SPLITS, writers, strict=True)
        },
        unseen=Lines(lines),
        rejected=stored_rejections(home / "rejected.jsonl", rejected.num_rows, scratch),
        duplicates=sum(one.parts.count(DUPLICATE) for one in every),
        detection=main.rows.detection,
        files=tuple(file for one in every for file in one.rows.files()),
        num_read=sum(one.num_read for one in every),
        num_pairs=num_pairs,
        places={"train": main.places, "eval": evaluation.places, "test": test.places},
        notes=_notes(request, main, every),
    )


def _read(
    request: DataRequest,
    dataset: str,
    usual_splits: tuple[str, ...],
    home: Path,
    rejected: RowWriter,
    answer_key: AnswerKey,
) -> _Read:
    """Read the main dataset, or a given eval or test dataset; subset and the like belong to the main one.

    Raises DataError when it has no usable row.
    """
    is_main = usual_splits == ("train",)
    settings = replace(main_source(request), usual_splits=usual_splits)
    if dataset != request.dataset:
        settings = replace(settings, subset=None, revision=None, generator_rows=None)
    if not is_main:
        settings = replace(settings, split=None)
    rows = Rows(dataset, settings, shape_of(request), request.max_rows if is_main else None)
    name, before = usual_splits[0], rejected.num_rows
    keys, places, pairs = RowKeys(home / READING, name, request.seed, answer_key), Places(), RowNumbers()
    num_read, has_conversations = 0, False
    with RowWriter(home / READING / f"{name}.jsonl") as examples:
        for row in rows:
            num_read += 1
            places.add(row)
            if row.example is None:
                assert row.rejection is not None
                rejected.reject(row.rejection)
                continue
            if isinstance(row.example, Conversation):
                has_conversations = True
                if row.example.refused is not None:
                    pairs.add(examples.num_rows)
            keys.add(row.example)
            examples.write(row.example.to_json())
    rejected.flush()
    if not keys.num_rows:
        every = stored_rejections(rejected.path, rejected.num_rows)
        raise nothing_left(dataset, islice(every, before, None))
    if request.system is not None and not has_conversations:
        raise system_unused(dataset)
    return _Read(rows, keys, stored_examples(examples.path, examples.num_rows), places, pairs, num_read)


def _notes(request: DataRequest, main: _Read, every: Sequence[_Read]) -> tuple[str, ...]:
    """How files were read, each sentence once, and the splits beside the main one that nothing uses."""
    given = {"validation": request.eval_dataset, "test": request.test_dataset}
    files: dict[str, list[str]] = {}
    for part in (part for one in every for part in one.rows.parts):
        for note in part.notes():
            files.setdefault(note, []).append(part.name)
    notes = [
        f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {note}"
        for note, names in files.items()
    ]
    unused = [split for split in main.rows.parts[0].beside if given.get(split) is None]
    if unused:
        keys = [f"data.{'eval' if split == 'validation' else 'test'}_dataset" for split in unused if split in given]
        use = f" Set {' and '.join(keys)} to the same dataset to measure on them." if keys else ""
        notes.append(f"{request.dataset} holds {' and '.join(unused)} rows too, and they are not used.{use}")
    return tuple(notes)


def _reject_leaks(given: _Read, other: _Read, parts: tuple[int, ...]) -> None:
    """Take out of a dataset the rows whose request stands in one of those parts of another."""
    for ours, theirs in shared(given.keys.requests, other.keys.requests):
        leaked_from = next((part for number in theirs.firsts if (part := other.parts[number]) in parts), None)
        for number in ours.firsts if leaked_from is not None else ():
            given.parts[number] = LEAKED + (leaked_from or 0)


def _hand_out(
    one: _Read, writers: Sequence[RowWriter], rejected: RowWriter, unseen: RowNumbers, lines: array[int]
) -> int:
    """Write each row where it belongs, the lines of those that are unseen to `lines`; how many train rows are pairs."""
    num_pairs = 0
    for number, row in enumerate(one.examples.lines()):
        part = one.parts[number]
        if part < DUPLICATE:
            writers[part].write_line(row)
            num_pairs += part == TRAIN and number in one.pairs
            if number in unseen:
                lines.append(json.loads(row)["line"])
        elif part >= LEAKED:
            reason = f"also in the {PART_NAMES[part - LEAKED]} rows"
            file, line = one.places.of(json.loads(row)["line"])
            rejected.reject(Rejection(line, reason, file))
    return num_pairs


def main_source(request: DataRequest) -> SourceSettings:
    """Which rows of the main dataset are meant."""
    return SourceSettings(
        subset=request.subset,
        split=request.split,
        usual_splits=("train",),
        revision=request.revision,
        generator_rows=request.generator_rows,
        seed=request.seed,
        offline=request.offline,
        cache_dir=request.cache_dir,
    )


def shape_of(request: DataRequest) -> Shape:
    """How rows are to be understood."""
    return Shape(request.format, request.template, request.columns, request.system)


def _split_settings(request: DataRequest) -> SplitSettings:
    if request.max_rows is not None and request.max_rows < 1:
        raise DataError(
            f"data.max_rows is {request.max_rows}.",
            means="No row would be read.",
            remedy="Set it to 1 or more, or leave it out to read every row.",
        )
    if request.test_dataset is not None and request.unseen_answers:
        raise DataError(
            "data.unseen_answers and data.test_dataset are both set.",
            means="Answers are held back into the test split that is cut from data.dataset; a given test dataset is "
            "taken as it is.",
            remedy="Set data.unseen_answers to 0, or leave data.test_dataset out.",
        )
    return SplitSettings(
        eval_fraction=request.eval_fraction if request.eval_dataset is None else 0,
        test_fraction=request.test_fraction if request.test_dataset is None else 0,
        unseen_answers=request.unseen_answers,
        seed=request.seed,
    )


def _check_filled(request: DataRequest, sizes: Mapping[int, int]) -> None:
    wanted = {
        TRAIN: (True, "Give more rows, or lower data.eval_fraction and data.test_fraction."),
        EVAL: (
            request.eval_fraction > 0 or request.eval_dataset is not None,
            "Give more rows, raise data.eval_fraction, or set it to 0 to train without evaluation.",
        ),
        TEST: (
            request.test_fraction > 0 or request.test_dataset is not None,
            "Give more rows, raise data.test_fraction, or set it to 0 to end without a test.",
        ),
    }
    for part, (is_wanted, remedy) in wanted.items():
        if is_wanted and not sizes[part]:
            counted = f"train {sizes[TRAIN]}, eval {sizes[EVAL]}, test {sizes[TEST]} rows"
            raise DataError(
                f"The {SPLITS[part]} split is empty ({counted}).",
                means="Rows with the same request stay in one split, and a row that stands in training is never used "
                "to measure; what is left does not fill every split.",
                remedy=remedy,
            )
