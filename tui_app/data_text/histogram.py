"""How often each length occurs, as columns of characters: for the command line and for pages of the wizard. Pure.

Not here: percentiles (`data.spread`), and curves over time (`chart/`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tui_app.glyphs import UNICODE, Glyphs

MIN_WIDTH, MIN_HEIGHT = 24, 4
LEAST_ROOM = 8
"""Cells for the columns, beside the numbers of the left axis."""
MOST_CELLS = 12
"""Cells that one column is wide at most."""
STEPS = (1, 2, 5)
"""Marks on an axis stand at these times a power of ten."""
MARK_APART = 9
"""Cells between two marks of the lower axis, at least."""
TAIL = 0.01
"""The longest rows, this share of them at most, are put into one last column where they would squeeze the others."""


def histogram_lines(counts: Mapping[int, int], width: int, height: int, glyphs: Glyphs = UNICODE) -> list[str]:
    """`counts` says how many rows have each length. At most `width` cells wide and exactly `height` lines high.

    Two of the lines are the lower axis and its numbers. Where a few rows are far longer than all others, the last
    column holds them and is marked with +. Nothing for no rows or for less room than `MIN_WIDTH` x `MIN_HEIGHT`.
    """
    total = sum(counts.values())
    if not total or width < MIN_WIDTH or height < MIN_HEIGHT:
        return []
    room = width - len(f"{total:,}") - 2  # no column is higher than all together
    if room < LEAST_ROOM:
        return []
    first, last, step = _range(counts, total, room)
    columns = [0] * ((last - first) // step + 1)
    tail = 0
    for length, count in counts.items():
        if length > last:
            tail += count
        else:
            columns[(length - first) // step] += count
    cells = max(1, min((room - 2 * bool(tail)) // len(columns), MOST_CELLS))
    drawn = [count for count in columns for _ in range(cells)] + ([0, tail] if tail else [])
    peak = max(*columns, tail)
    gutter = len(f"{peak:,}")
    bars = height - 2
    lines = []
    for line in range(bars):
        label = f"{peak:,}" if line == 0 else f"{peak // 2:,}" if line == bars // 2 and peak > 1 and bars > 2 else ""
        side = glyphs.tick if label else glyphs.vertical
        row = "".join(
            _cell(count / peak * bars - (bars - 1 - line), count, line == bars - 1, glyphs) for count in drawn
        )
        lines.append(f"{label:>{gutter}} {side}{row}".rstrip())
    lines.append(f"{'0':>{gutter}} {glyphs.corner}{glyphs.horizontal * len(drawn)}")
    lines.append(" " * (gutter + 2) + _marks(first, step, cells, len(columns), len(drawn), bool(tail)))
    return lines


def _range(counts: Mapping[int, int], total: int, room: int) -> tuple[int, int, int]:
    """(first length, last length, lengths a column) of what is drawn; what is longer goes into the last column."""
    ordered = sorted(counts)
    smallest, largest = ordered[0], ordered[-1]
    last, beyond = largest, 0
    for length in reversed(ordered):
        beyond += counts[length]
        if beyond > total * TAIL:
            last = length
            break
    if largest - smallest <= 2 * (last - smallest):
        last = largest
    elif last < largest:
        room -= 2
    first = 0 if smallest <= 0.3 * last else smallest - smallest % _nice(max(1, (last - smallest) // 4))
    return first, last, max(1, math.ceil((last - first + 1) / room))


def _nice(value: float) -> int:
    """The smallest of 1, 2, 5, 10, 20 ... that is not below the value."""
    power = 1
    while True:
        for step in STEPS:
            if step * power >= value:
                return step * power
        power *= 10


def _cell(filled: float, count: int, is_lowest: bool, glyphs: Glyphs) -> str:
    """One character of a column whose top lies `filled` cells above the cell's lower edge."""
    levels = glyphs.levels
    if filled >= 1:
        return levels[-1]
    level = round(filled * len(levels))
    if level < 1:
        return levels[0] if count and is_lowest else " "  # a single row among thousands is still there
    return levels[level - 1]


def _marks(first: int, step: int, cells: int, num_columns: int, width: int, has_tail: bool) -> str:
    """The numbers below the axis, each starting under the column that holds its length."""
    each = _nice(MARK_APART * step / cells)
    text = [" "] * width
    length = math.ceil(first / each) * each
    while (place := (length - first) // step * cells) < num_columns * cells:
        label = f"{length:,}"
        if place + len(label) + 2 * has_tail <= width and (not place or text[place - 1] == " "):
            text[place : place + len(label)] = label
        length += each
    if has_tail:
        text[-1] = "+"
    return "".join(text).rstrip()
