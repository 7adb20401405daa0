"""Sampled rows and what each format makes of them: which shapes a row has, and the examples or the reasons against it.

What follows from it is decided in `detection`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data.conversation import Example
from data.formats import all_formats
from data.rows import Row, RowProblem


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Every column of the rows, in order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


class _Watched(Mapping[str, Any]):
    """A row that notes which of its columns were read."""

    def __init__(self, row: Row, read: set[str]) -> None:
        self._row, self._read = row, read

    def __getitem__(self, column: str) -> Any:
        value = self._row[column]
        self._read.add(column)
        return value

    def __contains__(self, column: object) -> bool:
        return column in self._row

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


class Sample:
    """The rows with what each format makes of them: an example, or why it cannot be used."""

    def __init__(self, rows: Sequence[Row], lines: Sequence[int]) -> None:
        self.rows = rows
        self.lines = lines or range(1, len(rows) + 1)
        self.columns = columns_of(rows)
        self.read: dict[str, set[str]] = {name: set() for name in all_formats()}
        self.made: dict[str, dict[int, Example | str]] = {name: {} for name in all_formats()}
        for place, row in enumerate(rows):
            for name in _fitting(row):
                self.made[name][place] = self._converted(name, row)
        alive = {name for name, made in self.made.items() if any(not isinstance(one, str) for one in made.values())}
        self.meant = [self._meant(place, alive) for place in range(len(rows))]

    def _converted(self, name: str, row: Row) -> Example | str:
        try:
            return all_formats()[name].convert(_Watched(row, self.read[name]), 1)
        except RowProblem as problem:
            return problem.reason

    def _meant(self, place: int, alive: set[str]) -> tuple[str, ...]:
        """The deepest of the formats that fit a row, of those that can make something of any row if there are some."""
        fitting = [name for name, made in self.made.items() if place in made]
        fitting = [name for name in fitting if name in alive] or fitting
        deepest = max((all_formats()[name].DEPTH for name in fitting), default=0)
        return tuple(name for name in fitting if deepest == all_formats()[name].DEPTH)

    def counts(self) -> Counter[str]:
        """How many rows mean each format."""
        return Counter(name for names in self.meant for name in names)

    def first(self, name: str) -> int:
        """The line of the first row that means it."""
        return next(line for names, line in zip(self.meant, self.lines, strict=True) if name in names)

    def num_without(self) -> int:
        """How many rows mean none."""
        return sum(not names for names in self.meant)

    def num_apart(self, name: str, other: str) -> int:
        """How many rows mean the one and not the other."""
        return sum(name in names and other not in names for names in self.meant)

    def agree(self, one: str, other: str) -> bool:
        """Whether both formats make the same of every row that has both shapes."""
        both = self.made[one].keys() & self.made[other].keys()
        return all(self.made[one][place] == self.made[other][place] for place in both)

    def usable(self, name: str) -> list[Example]:
        """What the format makes of the rows that mean it, as far as they can be used."""
        made = [self.made[name][place] for place, names in enumerate(self.meant) if name in names]
        return [one for one in made if not isinstance(one, str)]

    def failures(self, name: str) -> Counter[str]:
        """Why rows that mean it cannot be used."""
        made = [self.made[name][place] for place, names in enumerate(self.meant) if name in names]
        return Counter(one for one in made if isinstance(one, str))


def _fitting(row: Row) -> list[str]:
    """The formats whose columns the row has with something in them; with nothing in them only if there are no others.

    A file that holds rows of several shapes as one table has the columns of all of them in every row.
    """
    filled = {name: value for name, value in row.items() if value is not None and value not in ("", [])}
    found = [name for name, module in all_formats().items() if module.matches(filled)]
    return found or [name for name, module in all_formats().items() if module.matches(row)]
