"""Rows on their way in: the row as a source gives it, why one is unusable, and text taken out of it.

Which files there are lives in `sources`, what a row means in `formats`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

Row = Mapping[str, Any]

# What bytes that are no UTF-8 become when they are decoded with errors="surrogateescape".
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class RowProblem(Exception):  # noqa: N818 - one row is set aside and counted; nothing has failed
    """One row cannot be used. The reason names columns, never the row's own text, so that reasons can be counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SourceRow(NamedTuple):
    """One row of one file: its value, or the problem that kept it from being read.

    `line` counts from 1 and is another for each row: the physical line on which the row starts, or the row's number
    where a file has no lines (Parquet) or several rows on one of them (a JSON array without line breaks).
    """

    line: int
    value: dict[str, Any] | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not used: where it stands (line counted from 1 inside its own file) and why."""

    line: int
    reason: str
    file: str


def text_of(row: Row, column: str) -> str:
    """The text in a column that must hold some. Raises RowProblem when it is absent, null, blank or no text."""
    value = row.get(column)
    if is_usable_text(value):
        return value
    if column not in row:
        raise RowProblem(f"'{column}' is missing")
    return checked_text(value, f"'{column}'")


def optional_text(row: Row, column: str) -> str | None:
    """The text in a column that may be absent, null or blank (then None). Raises RowProblem when it is no text."""
    value = row.get(column)
    if value is None or (isinstance(value, str) and (not value or value.isspace())):
        return None
    return checked_text(value, f"'{column}'")


def is_usable_text(value: object) -> TypeGuard[str]:
    """Whether `checked_text` lets the value pass; this takes far less time, so it is asked first, once per text."""
    if not isinstance(value, str) or not value or value.isspace():
        return False
    return value.isascii() or _is_encodable(value)


def checked_text(value: object, what: str) -> str:
    """`value` itself, unchanged, when it is usable text. Raises RowProblem naming `what` otherwise."""
    if value is None:
        raise RowProblem(f"{what} is null")
    if not isinstance(value, str):
        raise RowProblem(f"{what} is {kind_of(value)}, not text")
    if not value or value.isspace():
        raise RowProblem(f"{what} is empty")
    return encodable(value, what)


def encodable(text: str, what: str) -> str:
    """`text` itself when it can be written as UTF-8; half a surrogate pair (`\\ud800` in JSON) cannot."""
    if not text.isascii() and not _is_encodable(text):
        raise RowProblem(f"{what} holds half a surrogate pair, which is no valid Unicode text")
    return text


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def kind_of(value: object) -> str:
    """What a value is, in a newcomer's words: "a number", "a list", …"""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return "text"
    return "null" if value is None else f"a {type(value).__name__}"


def has_undecodable_bytes(text: str) -> bool:
    """Whether text decoded with errors="surrogateescape" held bytes that are no UTF-8."""
    return _ESCAPED_BYTE.search(text) is not None
