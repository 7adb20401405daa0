"""The dataset formats. Each file here is one format, found by being here; there is no list to add it to.

A format is a module with a docstring whose first line says which columns it takes, and with
  EXAMPLE            one row
  COLUMNS            the name of every column that it reads
  DEPTH              how much it holds: 0 text, 1 a request and its answer, 2 conversations, 3 answers set against
                     each other. Where rows have several shapes, the deepest is meant.
  matches(row)       whether a row has this shape, judged by its columns, not by whether their content is usable
  convert(row, line) the Example in the row; raises RowProblem with a reason for a row that cannot be used
  row_of(example)    the opposite: the example as a row that convert makes the same example of; raises RowProblem
                     where the format cannot hold it
and, where there is something to know before training on it, NOTE: half a sentence for the reason of a detection.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any, Protocol, cast

from data.conversation import Example
from data.errors import DataError
from data.nearest import nearest
from data.rows import Row, RowProblem

__all__ = ["Format", "RowProblem", "all_formats", "format_named", "known_columns", "one_line_each"]


class Format(Protocol):
    """What every module in this folder offers."""

    __doc__: str | None
    EXAMPLE: dict[str, Any]
    COLUMNS: tuple[str, ...]
    DEPTH: int

    def matches(self, row: Row) -> bool:
        """Whether the row has this shape."""

    def convert(self, row: Row, line: int) -> Example:
        """The Example in the row."""

    def row_of(self, example: Example) -> dict[str, Any]:
        """The example as a row. Raises RowProblem where the format cannot hold it."""


@cache
def all_formats() -> dict[str, Format]:
    """Every format by name (the name of its file), in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: cast(Format, importlib.import_module(f"{__name__}.{name}")) for name in names}


def format_named(name: str) -> Format:
    """The format of that name. Raises DataError naming the formats there are."""
    found = all_formats().get(name)
    if found is None:
        near = nearest(name, all_formats())
        raise DataError(
            f"There is no dataset format named {name!r}.",
            means="The rows cannot be read without knowing what their columns mean.",
            remedy=f"Set data.format to {'perhaps ' + near[0] + ', or to ' if near else ''}one of: auto, "
            + ", ".join(all_formats())
            + ".",
        )
    return found


def known_columns() -> list[str]:
    """Every column name that some format reads."""
    return list(dict.fromkeys(name for module in all_formats().values() for name in module.COLUMNS))


def one_line_each() -> list[str]:
    """Each format with the columns it takes, one line each: "  alpaca: instruction, …"."""
    return [f"  {name}: {(module.__doc__ or '').splitlines()[0]}" for name, module in all_formats().items()]
