"""Dots to characters: braille with 2 x 4 dots a cell, or ASCII with one sign a cell. Not here: what is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tui_app.drawing import Line, Role, Span

BLANK_BRAILLE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_RUNS = tuple(tuple(tuple(sum(side[first : last + 1]) for last in range(4)) for first in range(4)) for side in _DOTS)
"""By left or right half of the cell, first and last dot row: the dots between them."""


@dataclass(frozen=True, slots=True)
class Pen:
    """How a curve is drawn. Of two curves in one cell the higher level wins it; at the same level their dots unite."""

    role: Role
    sign: str
    """In ASCII."""
    level: int


class Canvas:
    """`width` x `height` cells; dots are counted from the upper left corner."""

    def __init__(self, width: int, height: int, *, is_unicode: bool) -> None:
        self.width, self.height, self.is_unicode = width, height, is_unicode
        self._halves, self._shift = (2, 2) if is_unicode else (1, 0)
        self.num_columns = width * self._halves
        self.num_rows = height << self._shift
        self._masks = [[0] * width for _ in range(height)]
        self._pens: list[list[Pen | None]] = [[None] * width for _ in range(height)]
        self._signs: dict[tuple[int, int], Span] = {}

    def vertical(self, column: int, top: int, bottom: int, pen: Pen) -> None:
        """Dots in one column, from row `top` down to row `bottom`, both included."""
        cell, half = divmod(column, self._halves)
        shift, rest = self._shift, (1 << self._shift) - 1
        first_row, last_row = top >> shift, bottom >> shift
        for row in range(first_row, last_row + 1):
            first = top & rest if row == first_row else 0
            last = bottom & rest if row == last_row else rest
            dots = _RUNS[half][first][last]
            pens, there = self._pens[row], self._pens[row][cell]
            if there is None or there.level < pen.level:
                self._masks[row][cell], pens[cell] = dots, pen
            elif there.level == pen.level:
                self._masks[row][cell] |= dots
                pens[cell] = pen

    def trace(self, points: Iterable[tuple[int, int]], pen: Pen, *, is_dashed: bool = False) -> None:
        """A line through (column, row), columns rising."""
        before: tuple[int, int] | None = None
        for column, row in points:
            if before is None:
                self.vertical(column, row, row, pen)
            else:
                self._connect(before, (column, row), pen, is_dashed)
            before = column, row

    def _connect(self, start: tuple[int, int], end: tuple[int, int], pen: Pen, is_dashed: bool) -> None:
        """All dots after `start` up to `end`."""
        gap, rise = end[0] - start[0], end[1] - start[1]
        at = start[1]
        for offset in range(1, gap + 1):
            row = start[1] + round(rise * offset / gap)
            top, bottom = (at + 1, row) if row > at else (row, at - 1) if row < at else (row, row)
            column = start[0] + offset
            if not (is_dashed and column // 3 % 2):
                self.vertical(column, top, bottom, pen)
            at = row

    def put(self, cell: int, row: int, sign: str, role: Role) -> None:
        """One character, above all curves."""
        self._signs[row, cell] = Span(sign, role)

    def fill_blank(self, cell: int, sign: str, role: Role) -> None:
        """A character in every cell of a column in which nothing is drawn."""
        for row in range(self.height):
            if self._pens[row][cell] is None:
                self._signs.setdefault((row, cell), Span(sign, role))

    def line(self, row: int) -> Line:
        """One row of cells. Blank ones have no role: what is drawn beside them does not change them."""
        cells = [Span(" ")] * self.width
        for cell, pen in enumerate(self._pens[row]):
            if pen is not None:
                sign = chr(BLANK_BRAILLE + self._masks[row][cell]) if self.is_unicode else pen.sign
                cells[cell] = Span(sign, pen.role)
        for (at, cell), span in self._signs.items():
            if at == row:
                cells[cell] = span
        return merged(cells)


def merged(spans: Iterable[Span]) -> Line:
    """Neighbours of one role as one span, blanks at the end left out."""
    joined: list[Span] = []
    texts: list[str] = []
    role: Role = ""
    for span in spans:
        if span.role != role and texts:
            joined.append(Span("".join(texts), role))
            texts = []
        role = span.role
        texts.append(span.text)
    last = "".join(texts) if role else "".join(texts).rstrip()
    return (*joined, Span(last, role)) if last else tuple(joined)
