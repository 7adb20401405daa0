"""Rows of one dataset on their way into another format or kind of file, one at a time, with an account of each.

Not here: files (`shards`), which split a row belongs to (`assigning`), several datasets in one (`mixing`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple, Protocol

from data.card import ROWS_NAMED, Change
from data.conversation import Conversation, Example, PlainText
from data.errors import DataError
from data.formats import format_named
from data.loading import ReadRow
from data.many_rows.key_index import RowNumbers
from data.rows import Rejection, Row, RowProblem
from data.sources import Part, SourceFile
from data.understanding.detection import Detection
from data.writers import Columns, FileKind
from data.writing.shards import Output
from data.writing.survey import MISFIT, names_in, types_in

SAME = "same"
Repair = Callable[[str], str]


class Source(Protocol):
    """Rows that can be gone through again: `loading.Rows`, or `RowsAsTheyStand`."""

    detection: Detection
    parts: list[Part]

    def __iter__(self) -> Iterator[ReadRow]:
        """The rows, in order."""

    def files(self) -> tuple[SourceFile, ...]:
        """What they came from, hashed."""


class RowsAsTheyStand:
    """The rows of any columns, of the parts of one dataset string: nobody needs to know what they mean."""

    detection = Detection(SAME, 1.0, "the rows stay as they stand, whatever they mean")

    def __init__(self, parts: Sequence[Part], max_rows: int | None = None) -> None:
        self.parts, self.max_rows = list(parts), max_rows

    def __iter__(self) -> Iterator[ReadRow]:
        before = num_read = 0
        for part in self.parts:
            last = before
            for row in islice(part.rows(), None if self.max_rows is None else self.max_rows - num_read):
                num_read += 1
                last = before + row.line
                bad = None if row.value is not None else Rejection(row.line, row.problem or "", part.name)
                yield ReadRow(last, part.name, row.line, row.value, None, bad)
            before = last

    def files(self) -> tuple[SourceFile, ...]:
        """What the rows came from, hashed; each file is read once more for it."""
        return tuple(part.source_file() for part in self.parts)


class Outgoing(NamedTuple):
    """One row and what becomes of it. It has either values to be written, a problem, or the check that drops it."""

    row: ReadRow
    values: Row | None
    problem: str = ""
    dropped_by: str = ""
    repaired_by: tuple[str, ...] = ()


class Conversion:
    """Every row of a source as it will be written in the format `to` ("same" keeps its own columns).

    `drop` gives the numbers (ReadRow.line) of the rows that a check, by name, takes out; `repairs` change every text.
    `columns` (new name -> name in the file) are the new names of columns that are kept. Raises DataError for a format
    that there is not.
    """

    def __init__(
        self,
        source: Source,
        to: str,
        drop: Mapping[str, RowNumbers] | None = None,
        repairs: Mapping[str, Repair] | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.to = source, to
        self._drop, self._repairs = drop or {}, repairs or {}
        self.columns = columns or {}
        self._row_of = None if to == SAME else format_named(to).row_of

    def __iter__(self) -> Iterator[Outgoing]:
        return map(self.outgoing, self.source)

    def outgoing(self, row: ReadRow) -> Outgoing:
        """What becomes of one row."""
        for name, numbers in self._drop.items():
            if row.line in numbers:
                return Outgoing(row, None, dropped_by=name)
        try:
            if self._row_of is None:
                if row.values is None:
                    return _unusable(row)
                named = _renamed(row.values, self.columns) if self.columns else row.values
                values, repaired = self._repaired(named) if self._repairs else (named, ())
                return Outgoing(row, values, repaired_by=repaired)
            if row.example is None:
                return _unusable(row)
            if not self._repairs:
                return Outgoing(row, self._row_of(row.example))
            example, repaired = self._repaired_example(row.example)
            return Outgoing(row, self._row_of(example), repaired_by=repaired)
        except RowProblem as problem:
            return Outgoing(row, None, problem.reason)

    def _repaired_example(self, example: Example) -> tuple[Example, tuple[str, ...]]:
        if isinstance(example, PlainText):
            text, repaired = self._repaired(example.text)
            return replace(example, text=_not_empty(text)), repaired
        assert isinstance(example, Conversation)
        (contents, refused), repaired = self._repaired(
            [[message.content for message in example.messages], example.refused]
        )
        messages = tuple(
            replace(message, content=_not_empty(content))
            for message, content in zip(example.messages, contents, strict=True)
        )
        return replace(example, messages=messages, refused=refused), repaired

    def _repaired(self, value: Any) -> tuple[Any, tuple[str, ...]]:
        """The value with every text in it repaired, and the repairs that changed one."""
        changed = []
        for name, repair in self._repairs.items():
            better = _mapped(value, repair)
            if better != value:
                changed.append(name)
            value = better
        return value, tuple(changed)


@dataclass(slots=True)
class Counted:
    """How many rows, and the first of them."""

    num_rows: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, row: ReadRow) -> None:
        """One more."""
        self.num_rows += 1
        if len(self.first) < ROWS_NAMED:
            self.first.append(place_of(row))


@dataclass(slots=True)
class Tally:
    """What became of the rows: by reason, by check and by repair, with first places. `changes`: values, by what."""

    num_read: int = 0
    num_written: Counter[str] = field(default_factory=Counter)
    bad: dict[str, Counted] = field(default_factory=dict)
    dropped: dict[str, Counted] = field(default_factory=dict)
    repaired: dict[str, Counted] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)

    @property
    def num_bad(self) -> int:
        """Rows that could not be used or expressed."""
        return sum(one.num_rows for one in self.bad.values())

    def as_changes(self) -> tuple[Change, ...]:
        """The same for the dataset card."""
        rows = [("left out, and listed in rejected.jsonl", reason, one) for reason, one in self.bad.items()]
        rows += [("left out on request", f"check {name}", one) for name, one in self.dropped.items()]
        rows += [("changed on request", f"repair {name}", one) for name, one in self.repaired.items()]
        told = [Change(what, one.num_rows, why, tuple(one.first)) for what, why, one in rows]
        return (*told, *(Change("values written otherwise", number, what) for what, number in self.changes.items()))


Assign = Callable[[int], str]
"""The split (the word in the file's name) of the row at a position, counted from 0 over all rows read."""


def write_rows(rows: Iterable[Outgoing], output: Output, assign: Assign, skip_bad: bool = False) -> Tally:
    """Write every row to the split that `assign` names. The output has its columns already.

    Without `skip_bad`, a row that cannot be used ends the writing; the others are still looked at, so that the
    DataError can tell them all. Nothing is left of the output then.
    """
    tally = Tally()
    with output.rejected() as rejected:
        for position, one in enumerate(rows):
            tally.num_read += 1
            problem = one.problem
            if one.dropped_by:
                tally.dropped.setdefault(one.dropped_by, Counted()).add(one.row)
                continue
            if one.values is not None and (skip_bad or not tally.bad):
                try:
                    split = assign(position)
                    output.write(split, one.values)
                    tally.num_written[split] += 1
                except RowProblem as found:
                    problem = found.reason
            for name in one.repaired_by:
                tally.repaired.setdefault(name, Counted()).add(one.row)
            if problem:
                tally.bad.setdefault(problem, Counted()).add(one.row)
                told = {"file": one.row.file, "line": one.row.file_line, "reason": problem}
                rejected.write(json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    tally.changes = dict(sorted(output.changes.items()))
    if tally.bad and not skip_bad:
        output.abandon()
        raise unusable_rows(tally)
    if not tally.num_written.total():
        output.abandon()
        raise _nothing_written(tally)
    return tally


def check_fits(to: str, kind: FileKind) -> None:
    """Raises DataError where the format's rows hold lists, and the kind of file holds text only."""
    if to == SAME or kind.writer.HOLDS != "text":
        return
    nested = [name for name, value in format_named(to).EXAMPLE.items() if isinstance(value, list | dict)]
    if nested:
        raise DataError(
            f"Rows of the format {to} hold a list in {nested[0]!r}, and a {kind.ending} file holds text.",
            means="They could not be read as conversations again.",
            remedy="Write columns of text, as --to prompt_completion does, or lists, as jsonl does.",
        )


def columns_for(kind: FileKind, rows: Iterable[Outgoing]) -> tuple[Columns, RowNumbers]:
    """The columns that this kind of file must know before the first row, and the positions of rows that do not fit.

    Goes through all rows where it must: not for kinds that hold anything.
    """
    numbered = ((position, one.values) for position, one in enumerate(rows) if one.values is not None)
    holds = kind.writer.HOLDS
    if holds == "anything" or kind.ending == ".txt":
        return Columns(), RowNumbers()
    return types_in(numbered) if holds == "values" else (names_in(numbered), RowNumbers())


def without_misfits(rows: Iterable[Outgoing], misfits: RowNumbers) -> Iterable[Outgoing]:
    """The rows, with a problem for those that the columns cannot hold."""
    if not misfits:
        return rows
    return (
        one._replace(values=None, problem=MISFIT) if one.values is not None and position in misfits else one
        for position, one in enumerate(rows)
    )


def place_of(row: ReadRow) -> str:
    """ "rows.jsonl, line 7"."""
    return f"{row.file}, line {row.file_line}"


def listed_reasons(bad: Mapping[str, Counted], most: int = 8) -> list[str]:
    """The commonest reasons, one line each, with the first places."""
    ordered = sorted(bad.items(), key=lambda item: -item[1].num_rows)
    lines = [f"  {one.num_rows:,} x {reason} (first: {'; '.join(one.first[:3])})" for reason, one in ordered[:most]]
    return [*lines, f"  and {len(ordered) - most} more reasons"] if len(ordered) > most else lines


def unusable_rows(tally: Tally) -> DataError:
    """The error that lists the rows which cannot be written."""
    return DataError(
        f"{tally.num_bad:,} of {tally.num_read:,} rows cannot be written.",
        means="\n".join(["Nothing was written, so that no row is lost in silence:", *listed_reasons(tally.bad)]),
        remedy="Correct them, or leave them out with --skip-bad, which lists them in rejected.jsonl.",
    )


def _nothing_written(tally: Tally) -> DataError:
    return DataError(
        "No row is left to be written.",
        means="\n".join([f"{tally.num_read:,} rows were read:", *listed_reasons(tally.bad | tally.dropped)]),
        remedy="Look at the rows with finetui data check, and at the options --drop, --format and --column.",
    )


def _unusable(row: ReadRow) -> Outgoing:
    assert row.rejection is not None
    return Outgoing(row, None, row.rejection.reason)


def _renamed(row: Row, columns: Mapping[str, str]) -> Row:
    """The row with its new names, each in its old place. As in reading, a name that is given away hides its column."""
    values: dict[str, Any] = {}
    for name, value in row.items():
        new_names = [new for new, old in columns.items() if old == name]
        values.update(dict.fromkeys(new_names, value))
        if not new_names and name not in columns:
            values[name] = value
    return values


def _mapped(value: Any, repair: Repair) -> Any:
    if isinstance(value, str):
        return repair(value)
    if isinstance(value, Mapping):
        return {key: _mapped(one, repair) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(one, repair) for one in value]
    return value


def _not_empty(text: str) -> str:
    if not text.strip():
        raise RowProblem("a text is empty after cleaning")
    return text
