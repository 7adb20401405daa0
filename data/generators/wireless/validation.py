"""Whether a table of links is true: every column there, in its range, and every derived value recomputed.

Values may differ from the recomputed ones by `TOLERANCE`, half a unit of the column's last decimal and a little.
Rows come as a reader gives them: numbers, or text that is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data.generators.wireless.columns import COLUMNS, DERIVED, GIVEN, Column, rounded
from data.generators.wireless.modulation import STANDARDS
from data.generators.wireless.regulation import RULES, channels_mhz
from data.nearest import nearest
from data.rows import SourceRow

TOLERANCE = 0.51
"""In units of a column's last decimal: 0.0051 dB where two decimals are written."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one row: its number from 1, its line in the file, the column ("" for the row as a whole)."""

    row: int
    line: int
    column: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {"row": self.row, "line": self.line, "column": self.column, "reason": self.reason}


def faults(rows: Iterable[SourceRow]) -> Iterator[Fault]:
    """Every fault of every row, in order. One row is held at a time."""
    for number, source in enumerate(rows, start=1):
        if source.value is None:
            yield Fault(number, source.line, "", source.problem or "cannot be read")
            continue
        for column, reason in row_faults(source.value):
            yield Fault(number, source.line, column, reason)


def row_faults(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Column and reason for everything wrong with one link; what cannot be computed for want of others is left out."""
    yield from (
        (name, "is no column of a link" + _perhaps(name)) for name in row if name not in COLUMNS and name is not None
    )
    link: dict[str, Any] = {}
    for column in COLUMNS.values():
        try:
            link[column.name] = _read(column, row)
        except ValueError as fault:
            yield column.name, str(fault)
    yield from _not_together(link)
    if not all(column.name in link for column in GIVEN):
        return
    # Each value is checked against the ones that the row itself gives, so that one changed number is one fault.
    for column in DERIVED:
        if column.name not in link:
            continue
        assert column.derive is not None
        try:
            wanted = rounded(column, column.derive(link))
        except KeyError:
            continue
        found = link[column.name]
        if found != wanted and (column.is_text or abs(found - wanted) > TOLERANCE * 10**-column.decimals):
            yield column.name, f"is {found}, and follows to be {wanted} from the row's other columns"


def _read(column: Column, row: Mapping[str, Any]) -> Any:
    """The column's value. Raises ValueError with what is wrong with it."""
    if column.name not in row:
        raise ValueError("is missing")
    value = row[column.name]
    if value is None or value == "":
        raise ValueError("is empty")
    if column.is_text:
        if value not in column.choices:
            raise ValueError(f"is {value!r}, none of {', '.join(map(str, column.choices))}")
        return value
    number = _number(value)
    if column.choices and number not in column.choices:
        raise ValueError(f"is {value}, none of {', '.join(map(str, column.choices))}")
    if not column.least <= number <= column.most:
        raise ValueError(f"is {value}, outside {column.least:g} to {column.most:g}")
    if not column.decimals and not column.choices and number != int(number):
        raise ValueError(f"is {value}, no whole number")
    is_whole = number == int(number) and not column.decimals and not isinstance((column.choices or (0,))[0], float)
    return int(number) if is_whole else number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is no number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"is {value!r}, no number") from None
    if number - number != 0:
        raise ValueError(f"is {value}, no finite number")
    return number


def _not_together(link: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Given values that are each in range and cannot stand together."""
    if "standard" in link and "guard_interval_us" in link:
        guards = STANDARDS[link["standard"]].guards_us
        if link["guard_interval_us"] not in guards:
            told = ", ".join(f"{guard:g}" for guard in guards)
            yield "guard_interval_us", f"is {link['guard_interval_us']:g}, and {link['standard']} has {told}"
    if {"rule", "channel_width_mhz", "frequency_mhz"} <= set(link):
        rule, width = RULES[link["rule"]], link["channel_width_mhz"]
        if link["frequency_mhz"] not in channels_mhz(rule, width):
            yield "frequency_mhz", f"is {link['frequency_mhz']}, no {width} MHz channel of {rule.name}"


def _perhaps(name: str) -> str:
    near = nearest(name, COLUMNS)
    return f"; perhaps {near[0]} is meant" if near else ""
