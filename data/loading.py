"""One dataset string -> its rows, understood, one at a time.

`Rows` holds one row at a time and can be gone through again, so it takes files of any size. Splitting lives elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from data.conversation import Conversation, Example, Message
from data.errors import DataError
from data.formats import format_named, known_columns
from data.nearest import listed
from data.rows import Rejection, Row, RowProblem, SourceRow
from data.sources import Part, SourceFile, SourceSettings, open_source
from data.understanding.detection import Detection, check_new_names, columns_of, detect
from data.understanding.template import parse_template, renamed, unknown_column
from data.understanding.undecided import SwappedColumnError

AUTO, TEMPLATE = "auto", "template"
SAMPLED_ROWS = 1000
"""The first rows, by which the format is told."""

Converter = Callable[[Row, int], Example]


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows are to be understood: a format's name or "auto", or a template; new column names; a system prompt."""

    format: str = AUTO
    template: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    system: str | None = None


class ReadRow(NamedTuple):
    """One row. It has either an example or a rejection; `values` is what its file holds, None where that is unreadable.

    `line` counts on from file to file, `file_line` from 1 inside its own file.
    """

    line: int
    file: str
    file_line: int
    values: Row | None
    example: Example | None
    rejection: Rejection | None


class Rows:
    """The rows of one dataset string, in file order. Every iteration reads its files anew and holds one row.

    `columns` are those of the first `SAMPLED_ROWS` rows, by the names in the file; `detection` is told by the same.
    Raises DataError where there is no such dataset, it cannot be read, or nobody can tell what its columns mean.
    """

    def __init__(
        self,
        dataset: str,
        settings: SourceSettings | None = None,
        shape: Shape | None = None,
        max_rows: int | None = None,
    ) -> None:
        self.dataset, self.shape, self.max_rows = dataset, shape or Shape(), max_rows
        self.parts = open_source(dataset, settings or SourceSettings())
        sample = read_rows(self.parts, SAMPLED_ROWS if max_rows is None else min(max_rows, SAMPLED_ROWS))
        self._convert, self.detection = understand(dataset, sample, self.shape)
        self.columns = columns_of(one.row.value for one in sample if one.row.value is not None)

    def __iter__(self) -> Iterator[ReadRow]:
        convert, columns, system = self._convert, self.shape.columns, self.shape.system
        for line, file, (file_line, values, problem) in _placed(self.parts, self.max_rows):
            if values is None:
                yield ReadRow(line, file, file_line, None, None, Rejection(file_line, problem or "", file))
                continue
            try:
                example = convert(renamed(values, columns) if columns else values, line)
            except RowProblem as found:
                yield ReadRow(line, file, file_line, values, None, Rejection(file_line, found.reason, file))
                continue
            if system is not None:
                example = _with_system(example, system)
            yield ReadRow(line, file, file_line, values, example, None)

    def files(self) -> tuple[SourceFile, ...]:
        """What the rows came from, hashed; each file is read once more for it."""
        return tuple(part.source_file() for part in self.parts)


class PlacedRow(NamedTuple):
    """A row with its line in the whole dataset (counting on from file to file) and its file."""

    line: int
    file: str
    row: SourceRow


def check_usable(rows: Rows) -> None:
    """Raises DataError when no row can be used. Reads up to the first that can."""
    if all(row.example is None for row in rows):
        raise nothing_left(rows.dataset, (row.rejection for row in rows if row.rejection is not None))


def nothing_left(dataset: str, rejected: Iterable[Rejection]) -> DataError:
    """The error for a dataset without a usable row, with the commonest reasons and where they were first met."""
    first: dict[str, Rejection] = {}
    counted: Counter[str] = Counter()
    for rejection in rejected:
        first.setdefault(rejection.reason, rejection)
        counted[rejection.reason] += 1
    reasons = [f"  {count} x {reason} (first: {_place(first[reason])})" for reason, count in counted.most_common(5)]
    return DataError(
        f"No usable row is left of {dataset}.",
        means="\n".join(["Every row was set aside:", *reasons]) if reasons else "It holds no row at all.",
        remedy="Correct the rows, or under [data] set format, columns or template to how they are meant.",
    )


def _place(rejection: Rejection) -> str:
    return f"{rejection.file}, line {rejection.line}"


def read_rows(parts: Sequence[Part], max_rows: int | None) -> list[PlacedRow]:
    """At most `max_rows` rows of all parts in turn, unreadable ones included."""
    return [PlacedRow(*placed) for placed in _placed(parts, max_rows)]


def _placed(parts: Sequence[Part], max_rows: int | None) -> Iterator[tuple[int, str, SourceRow]]:
    """The fields of a `PlacedRow`, for every row."""
    before, num_read = 0, 0
    for part in parts:
        last, name = before, part.name
        for row in islice(part.rows(), None if max_rows is None else max_rows - num_read):
            num_read += 1
            last = before + row.line
            yield last, name, row
        before = last


def understand(dataset: str, placed: Sequence[PlacedRow], shape: Shape) -> tuple[Converter, Detection]:
    """How to convert the rows, and why so. Raises DataError when the recipe and the columns do not go together."""
    readable = [one.row.value for one in placed if one.row.value is not None]
    if not readable:
        raise nothing_left(dataset, [Rejection(one.row.line, one.row.problem or "", one.file) for one in placed])
    columns = columns_of(readable)
    for new, old in shape.columns.items():
        if old not in columns and new in columns and (old in known_columns() or shape.template is not None):
            raise SwappedColumnError(new, old, means=f"The rows have the columns {listed(columns)}.")
        if old not in columns:
            raise unknown_column(old, columns, "data.columns")
    if shape.template is not None:
        if shape.format not in (AUTO, TEMPLATE):
            raise _both_set(shape.format)
        template = parse_template(shape.template)
        template.check_columns(columns_of(renamed(row, shape.columns) for row in readable))
        return template.convert, Detection(TEMPLATE, 1.0, "a template is given")
    if shape.format == TEMPLATE:
        raise DataError(
            'data.format is "template", and there is no data.template.',
            means="The rows cannot be put into words.",
            remedy='Set data.template, for example to "Task: {text}\\nSolution: {code}", or data.format to "auto".',
        )
    if shape.format == AUTO:
        lines = [one.row.line for one in placed if one.row.value is not None][:SAMPLED_ROWS]
        detection = detect([renamed(row, shape.columns) for row in readable[:SAMPLED_ROWS]], lines, shape.columns)
    else:
        check_new_names(shape.format, shape.columns)
        detection = Detection(shape.format, 1.0, "the format is named")
    return format_named(detection.format).convert, detection


def _with_system(example: Example, system: str) -> Example:
    """The example behind the system prompt, unless it is plain text or has a system message of its own."""
    if not isinstance(example, Conversation) or example.messages[0].role == "system":
        return example
    return replace(example, messages=(Message("system", system), *example.messages))


def system_unused(dataset: str) -> DataError:
    """The error for a system prompt where every row is plain text."""
    return DataError(
        f"data.system is set, and the rows of {dataset} are plain text.",
        means="Plain text is no conversation, so a system prompt has no place in it.",
        remedy="Leave data.system out, or under [data] set columns or a template for rows that ask and answer.",
    )


def _both_set(name: str) -> DataError:
    return DataError(
        f"data.template and data.format = {name!r} are both set.",
        means="A template puts any columns into words and takes no format.",
        remedy="Leave one of the two out.",
    )
