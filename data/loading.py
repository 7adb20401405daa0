"""One dataset string -> its rows, understood, one at a time; and all its examples with an account of the others.

`Rows` holds one row at a time and can be gone through again, so it takes files of any size. Splitting lives elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from data.conversation import Conversation, Example, Message, PlainText
from data.detection import Detection, columns_of, detect
from data.errors import DataError
from data.formats import format_named
from data.rows import Rejection, Row, RowProblem, SourceRow
from data.sources import Part, SourceFile, SourceSettings, open_source
from data.splitting import without_duplicates
from data.template import parse_template, renamed, unknown_column

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


@dataclass(frozen=True, slots=True)
class ReadRow:
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
        for placed in _placed(self.parts, self.max_rows):
            yield self._read(placed)

    def files(self) -> tuple[SourceFile, ...]:
        """What the rows came from, hashed; each file is read once more for it."""
        return tuple(part.source_file() for part in self.parts)

    def _read(self, placed: PlacedRow) -> ReadRow:
        outcome = _converted(placed, self._convert, self.shape)
        where = (placed.line, placed.file, placed.row.line, placed.row.value)
        return ReadRow(*where, None, outcome) if isinstance(outcome, Rejection) else ReadRow(*where, outcome, None)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The examples of one dataset string without exact duplicates; `places` gives file and line by example line."""

    examples: tuple[Example, ...]
    places: Mapping[int, tuple[str, int]]
    rejected: tuple[Rejection, ...]
    num_duplicates: int
    detection: Detection
    files: tuple[SourceFile, ...]
    num_read: int


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row with its line in the whole dataset (counting on from file to file) and its file."""

    line: int
    file: str
    row: SourceRow


def load(dataset: str, settings: SourceSettings, shape: Shape, max_rows: int | None = None) -> Loaded:
    """Read, recognise and convert at most `max_rows` rows. Raises DataError when no usable row is left."""
    rows = Rows(dataset, settings, shape, max_rows)
    examples: list[Example] = []
    rejected: list[Rejection] = []
    places: dict[int, tuple[str, int]] = {}
    for row in rows:
        places[row.line] = (row.file, row.file_line)
        if row.example is not None:
            examples.append(row.example)
        elif row.rejection is not None:
            rejected.append(row.rejection)
    if not examples:
        raise nothing_left(dataset, rejected)
    if shape.system is not None and all(isinstance(example, PlainText) for example in examples):
        raise _system_unused(dataset)
    kept = without_duplicates(examples)
    return Loaded(
        examples=tuple(kept),
        places=places,
        rejected=tuple(rejected),
        num_duplicates=len(examples) - len(kept),
        detection=rows.detection,
        files=rows.files(),
        num_read=len(places),
    )


def nothing_left(dataset: str, rejected: Sequence[Rejection]) -> DataError:
    """The error for a dataset without a usable row, with the commonest reasons and where they were first met."""
    first: dict[str, Rejection] = {}
    for rejection in rejected:
        first.setdefault(rejection.reason, rejection)
    commonest = Counter(rejection.reason for rejection in rejected).most_common(5)
    reasons = [f"  {count} x {reason} (first: {_place(first[reason])})" for reason, count in commonest]
    return DataError(
        f"No usable row is left of {dataset}.",
        means="\n".join(["Every row was set aside:", *reasons]) if reasons else "It holds no row at all.",
        remedy="Correct the rows, or under [data] set format, columns or template to how they are meant.",
    )


def _place(rejection: Rejection) -> str:
    return f"{rejection.file}, line {rejection.line}"


def read_rows(parts: Sequence[Part], max_rows: int | None) -> list[PlacedRow]:
    """At most `max_rows` rows of all parts in turn, unreadable ones included."""
    return list(_placed(parts, max_rows))


def _placed(parts: Sequence[Part], max_rows: int | None) -> Iterator[PlacedRow]:
    before, num_read = 0, 0
    for part in parts:
        last = before
        for row in islice(part.rows(), None if max_rows is None else max_rows - num_read):
            num_read += 1
            last = before + row.line
            yield PlacedRow(last, part.name, row)
        before = last


def understand(dataset: str, placed: Sequence[PlacedRow], shape: Shape) -> tuple[Converter, Detection]:
    """How to convert the rows, and why so. Raises DataError when the recipe and the columns do not go together."""
    readable = [one.row.value for one in placed if one.row.value is not None]
    if not readable:
        raise nothing_left(dataset, [Rejection(one.row.line, one.row.problem or "", one.file) for one in placed])
    columns = columns_of(readable)
    for name in shape.columns.values():
        if name not in columns:
            raise unknown_column(name, columns, "data.columns")
    if shape.template is not None:
        if shape.format not in (AUTO, TEMPLATE):
            raise _both_set(shape.format)
        template = parse_template(shape.template)
        template.check_columns(columns_of(renamed(row, shape.columns) for row in readable))
        return template.convert, Detection(TEMPLATE, 1.0, "the recipe gives a template")
    if shape.format == TEMPLATE:
        raise DataError(
            'data.format is "template", and there is no data.template.',
            means="The rows cannot be put into words.",
            remedy='Set data.template, for example to "Task: {text}\\nSolution: {code}", or data.format to "auto".',
        )
    if shape.format == AUTO:
        detection = detect([renamed(row, shape.columns) for row in readable[:SAMPLED_ROWS]])
    else:
        detection = Detection(shape.format, 1.0, "the recipe names the format")
    return format_named(detection.format).convert, detection


def _converted(one: PlacedRow, converter: Converter, shape: Shape) -> Example | Rejection:
    if one.row.value is None:
        return Rejection(one.row.line, one.row.problem or "", one.file)
    try:
        example = converter(renamed(one.row.value, shape.columns), one.line)
    except RowProblem as problem:
        return Rejection(one.row.line, problem.reason, one.file)
    return _with_system(example, shape.system)


def _with_system(example: Example, system: str | None) -> Example:
    """The example behind the system prompt, unless it is plain text or has a system message of its own."""
    if system is None or not isinstance(example, Conversation) or example.messages[0].role == "system":
        return example
    return replace(example, messages=(Message("system", system), *example.messages))


def _system_unused(dataset: str) -> DataError:
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
