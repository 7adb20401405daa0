"""The first rows of a dataset as they stand in its file: columns, values, and what the rows are taken for.

For people who say which column means what, so a format that cannot be told is an answer here. Files are found, read
and understood by `sources`, `readers` and `loading`, as a run does it. Not here: what becomes of rows (`preparation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.loading import SAMPLED_ROWS, read_rows, understand
from data.preparation import DataRequest, main_source, shape_of
from data.sources import open_source
from data.understanding.detection import Detection, columns_of

NUM_ROWS = 3


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row of a file. `line` counts from 1 inside it; `values` is empty where the row cannot be read (`problem`)."""

    file: str
    line: int
    values: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RawRows:
    """The first rows, the columns of the first `num_sampled`, and what they are taken for, or why nobody can tell."""

    rows: tuple[RawRow, ...]
    columns: tuple[str, ...]
    num_sampled: int
    detection: Detection | None
    fault: DataError | None


def raw_rows(request: DataRequest, num_rows: int = NUM_ROWS) -> RawRows:
    """Look at the main dataset's first rows. Raises DataError where there is no such dataset or it cannot be read."""
    most = SAMPLED_ROWS if request.max_rows is None else min(request.max_rows, SAMPLED_ROWS)
    placed = read_rows(open_source(request.dataset, main_source(request)), max(most, num_rows))
    detection, fault = None, None
    try:
        _, detection = understand(request.dataset, placed, shape_of(request))
    except DataError as undecided:
        fault = undecided
    first = (
        RawRow(one.file, one.row.line, one.row.value or {}, one.row.problem or "") for one in placed[: max(num_rows, 0)]
    )
    columns = columns_of([one.row.value for one in placed if one.row.value is not None])
    return RawRows(tuple(first), tuple(columns), len(placed), detection, fault)
