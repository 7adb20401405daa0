"""One dataset string -> its examples, and an account of the rows that are not among them. Splitting lives elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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

Converter = Callable[[Row, int], Example]


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows are to be understood: a format's name or "auto", or a template; new column names; a system prompt."""

    format: str
    template: str | None
    columns: Mapping[str, str]
    system: str | None


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
    parts = open_source(dataset, settings)
    placed = read_rows(parts, max_rows)
    converter, detection = understand(dataset, placed, shape)
    examples: list[Example] = []
    rejected: list[Rejection] = []
    for one in placed:
        outcome = _converted(one, converter, shape)
        if isinstance(outcome, Rejection):
            rejected.append(outcome)
        else:
            examples.append(outcome)
    if not examples:
        raise nothing_left(dataset, rejected)
    if shape.system is not None and all(isinstance(example, PlainText) for example in examples):
        raise _system_unused(dataset)
    kept = without_duplicates(examples)
    return Loaded(
        examples=tuple(kept),
        places={one.line: (one.file, one.row.line) for one in placed},
        rejected=tuple(rejected),
        num_duplicates=len(examples) - len(kept),
        detection=detection,
        files=tuple(part.source_file() for part in parts),
        num_read=len(placed),
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
    placed: list[PlacedRow] = []
    for part in parts:
        before = placed[-1].line if placed else 0
        left = None if max_rows is None else max_rows - len(placed)
        placed += [PlacedRow(before + row.line, part.name, row) for row in islice(part.rows(), left)]
    return placed


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
