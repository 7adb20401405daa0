"""Which commands in rows are made up: those that the declared program would not accept.

Works on datasets and on files of a model's answers alike; one row is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from data.bounded_pattern import BoundedPattern
from data.command_line.grammar import Grammar, GrammarError
from data.command_line.parsing import parse
from data.errors import DataError
from data.nearest import listed
from data.rows import SourceRow

MOST_COLUMNS = 100
"""So many columns are remembered for an error."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One row: its number from 1, its line in the file, the command found in it, and why it is none (None: it is)."""

    row: int
    line: int
    command: str | None
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {"row": self.row, "line": self.line, "command": self.command, "reason": self.reason}


def checked(grammar: Grammar, rows: Iterable[SourceRow], field: str, pattern: str | None = None) -> Iterator[Checked]:
    """Every row in turn. `field` may go into objects and lists by dots: "messages.-1.content".

    `pattern` finds the command in the text: its first group, or the whole match; without it the whole text is one.
    Raises DataError when the pattern is no regular expression.
    """
    try:
        compiled = None if pattern is None else BoundedPattern(pattern, "--pattern")
    except ValueError as error:
        raise DataError(
            f"--pattern is no regular expression: {error}.",
            means="The command cannot be found in the texts.",
            remedy="Correct it, for example '^COMMAND: (.+)$'.",
        ) from error
    for number, row in enumerate(rows, start=1):
        command, reason = _command_in(row, field, compiled)
        if command is not None:
            reason = fault_of(grammar, command)
        yield Checked(number, row.line, command, reason)


def check_column(rows: Iterable[SourceRow], field: str, dataset: str) -> None:
    """Raises DataError where the rows have columns, and none has the one that `field` names. Reads up to it."""
    first, columns = field.split(".")[0], dict[str, None]()
    for row in rows:
        if row.value is None:
            continue
        if field in row.value or first in row.value:
            return
        if len(columns) < MOST_COLUMNS:
            columns.update(dict.fromkeys(islice(row.value, MOST_COLUMNS)))
    if columns:
        raise DataError(
            f"No row of {dataset} has the column {field!r}.",
            means=f"No command was checked. The columns are {listed(list(columns))}.",
            remedy="Say which one holds the command with --field NAME.",
        )


def fault_of(grammar: Grammar, command: str) -> str | None:
    """Why the declared program would not accept the command; None where it would."""
    try:
        parse(grammar, command)
    except GrammarError as error:
        return str(error)
    return None


def _command_in(row: SourceRow, field: str, pattern: BoundedPattern | None) -> tuple[str | None, str | None]:
    if row.value is None:
        return None, row.problem or "cannot be read"
    value: Any = row.value
    for step in [field] if field in row.value else field.split("."):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return None, f"has no {field}"
    if not isinstance(value, str):
        return None, f"{field} is no text"
    if pattern is None:
        return value.strip(), None
    found = pattern.search(value)
    if found is None:
        return None, "the pattern finds no command in it"
    return (found[1] if pattern.groups else found[0]) or "", None
