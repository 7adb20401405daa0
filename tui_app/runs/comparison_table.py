"""The comparison of runs as lines: a column for each run while they fit, else a row for each run.

Pure. Not here: what is compared (`tui_app/runs/comparison`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from tui_app.chart.compare import role_of
from tui_app.drawing import Line, Role, Span, fit, line, literal, padded, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.runs.comparison import Side, facts, recipe_differences
from tui_app.runs.paired_answers import Pairing

LEAST_COLUMN = 20
"""Cells of a run's column that hold a score with its interval; narrower, each run gets a row."""
MOST_LINES = 4
"""Of one value in a table."""
WIDEST_CELL = 30
"""Of a value where each run has a row."""
MIN_NAME = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A name, then each run's text with its role."""

    name: str
    cells: tuple[tuple[str, Role], ...]


def facts_lines(sides: Sequence[Side], width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """What came of the runs as a table, the better values marked."""
    rows = [
        Row(
            fact.name,
            tuple(
                (f"{text} {glyphs.done}" if is_best else text, "good" if is_best else "")
                for text, is_best in zip(fact.values, fact.is_best, strict=True)
            ),
        )
        for fact in facts(sides)
    ]
    return table_lines(sides, rows, width, glyphs)


def difference_lines(sides: Sequence[Side], width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """The fields in which the recipes differ."""
    faults = [
        each
        for side in sides
        if side.fault
        for each in wrap(f"{side.name}: {literal(side.fault.replace(f'{side.run.path}/', ''))}", width, "warn")
    ]
    if not all(side.recipe for side in sides):
        return faults or [line(("reading the recipes", "dim"))]
    found = recipe_differences([side.recipe for side in sides])
    if not found:
        return [*faults, line(("The recipes are the same.", "dim"))]
    rows = [Row(each.field, tuple((text, role_of(place)) for place, text in enumerate(each.values))) for each in found]
    return [*faults, *table_lines(sides, rows, width, glyphs)]


def pairing_lines(pairings: Sequence[Pairing], width: int) -> list[Line]:
    """Row by row against the first run, where both answered the same test rows: a sentence each."""
    told = [each for pairing in pairings for each in wrap(literal(pairing.sentence), width, indent=2)]
    if len(pairings) > 1:
        many = f"Of {len(pairings)} such comparisons, one in twenty falls below 0.05 by chance alone."
        told += wrap(many, width, "dim")
    return told


def table_lines(sides: Sequence[Side], rows: Sequence[Row], width: int, glyphs: Glyphs) -> list[Line]:
    """Runs as columns where each has `LEAST_COLUMN` cells, as two always have; else a row for each run."""
    names = max((cell_len(row.name) for row in rows), default=0)
    gaps = 2 * len(sides)
    beside = width - len(sides) * LEAST_COLUMN - gaps
    column = min(names, max(beside, width // 3, 10) if len(sides) == 2 else max(beside, 10))
    each = (width - column - gaps) // len(sides)
    if len(sides) > 2 and each < LEAST_COLUMN:
        return _as_rows(sides, rows, width, glyphs)
    return _as_columns(sides, rows, column, max(each, 6), glyphs)


def _as_columns(sides: Sequence[Side], rows: Sequence[Row], column: int, each: int, glyphs: Glyphs) -> list[Line]:
    spans = [Span(" " * column)]
    for place, side in enumerate(sides):
        name = fit(side.name, each, ellipsis=glyphs.ellipsis)
        spans += [Span("  "), Span(padded(name, each), role_of(place))]
    drawn: list[Line] = [tuple(spans)]
    for row in rows:
        drawn += _wrapped(row, column, each, glyphs)
    return drawn


def _wrapped(row: Row, column: int, each: int, glyphs: Glyphs) -> list[Line]:
    """Name and values side by side; a long value goes on below itself, at most over `MOST_LINES` lines."""
    names = wrap(row.name, column, "dim", indent=1)
    wrapped = [wrap(text, each, role) for text, role in row.cells]
    drawn = []
    for number in range(min(max(map(len, [names, *wrapped])), MOST_LINES)):
        spans = [Span(padded(names[number][0].text if number < len(names) else "", column), "dim")]
        for lines in wrapped:
            text, role = lines[number][0] if number < len(lines) else Span("")
            if number == MOST_LINES - 1 and len(lines) > MOST_LINES:
                text = fit(f"{text}{glyphs.ellipsis}", each - 1, ellipsis=glyphs.ellipsis)
            spans += [Span("  "), Span(padded(text, each), role)]
        drawn.append(tuple(spans))
    return drawn


def _as_rows(sides: Sequence[Side], rows: Sequence[Row], width: int, glyphs: Glyphs) -> list[Line]:
    """Tables below each other, each with as many of the values as fit and a row for each run."""
    names = max(min(max(cell_len(side.name) for side in sides), width // 3), MIN_NAME)
    room = width - names
    drawn: list[Line] = []
    for group in _groups(rows, room):
        widths = [min(_width(row), WIDEST_CELL, room - 2) for row in group]
        titles = "".join(
            "  " + padded(fit(row.name, size, ellipsis=glyphs.ellipsis), size)
            for row, size in zip(group, widths, strict=True)
        )
        drawn += [line("")] if drawn else []
        drawn.append(line((" " * names + titles, "dim")))
        for place, side in enumerate(sides):
            name = fit(side.name, names, ellipsis=glyphs.ellipsis)
            spans = [Span(padded(name, names), role_of(place))]
            for row, size in zip(group, widths, strict=True):
                text, role = row.cells[place]
                cell = padded(fit(text, size, ellipsis=glyphs.ellipsis), size)
                spans += [Span("  "), Span(cell, role if role == "good" else "")]
            drawn.append(tuple(spans))
    return drawn


def _groups(rows: Sequence[Row], room: int) -> list[list[Row]]:
    """As many neighbours as fit into `room` cells together."""
    groups: list[list[Row]] = []
    used = 0
    for row in rows:
        size = 2 + min(_width(row), WIDEST_CELL, room - 2)
        if not groups or used + size > room:
            groups.append([])
            used = 0
        groups[-1].append(row)
        used += size
    return groups


def _width(row: Row) -> int:
    return max(cell_len(row.name), *(cell_len(text) for text, _ in row.cells))
