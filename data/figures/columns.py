"""What the columns of some rows hold: kinds of values, how often there is one, and an example. Counts only.

Not here: what the columns mean (`detection`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from data.rows import Row, kind_of

EXAMPLE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `kinds` are counts of "text", "a number", ... ; `share_filled` is 0 to 1: neither null nor blank.

    `example` is the beginning of the first value that is filled, as text.
    """

    name: str
    kinds: tuple[tuple[str, int], ...]
    share_filled: float
    example: str

    def to_json(self) -> dict[str, Any]:
        """Plain dict; `kinds` as an object."""
        return asdict(self) | {"kinds": dict(self.kinds), "share_filled": round(self.share_filled, 4)}


@dataclass(slots=True)
class _Seen:
    kinds: Counter[str] = field(default_factory=Counter)
    num_filled: int = 0
    example: str = ""


class ColumnSurvey:
    """The columns of the rows given to `add`, in order of first appearance."""

    def __init__(self) -> None:
        self.num_rows = 0
        self._seen: dict[str, _Seen] = {}

    def add(self, row: Row) -> None:
        self.num_rows += 1
        for name, value in row.items():
            seen = self._seen.setdefault(name, _Seen())
            seen.kinds[kind_of(value)] += 1
            if value is None or (isinstance(value, str) and not value.strip()):
                continue
            seen.num_filled += 1
            seen.example = seen.example or str(value)[:EXAMPLE_CHARACTERS]

    def columns(self) -> tuple[Column, ...]:
        return tuple(
            Column(name, tuple(seen.kinds.most_common()), seen.num_filled / self.num_rows, seen.example)
            for name, seen in self._seen.items()
        )


def columns_in(rows: Iterable[Row]) -> tuple[Column, ...]:
    """The columns of all these rows."""
    survey = ColumnSurvey()
    for row in rows:
        survey.add(row)
    return survey.columns()
