"""Which part of a long text is seen: follows its end until somebody scrolls up, or stands still.

Not here: the text and the keys.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Scroll:
    """`first` is the first row seen, None while the end is followed. `seen` is how much there was when it stopped."""

    follows_end: bool = False
    first: int | None = None
    seen: int = 0
    _height: int = 1
    _num_rows: int = 0

    def __post_init__(self) -> None:
        self.first = None if self.follows_end else 0

    def window(self, num_rows: int, height: int) -> slice:
        """The rows that are seen of so many."""
        self._height, self._num_rows = max(height, 1), num_rows
        last_first = max(num_rows - self._height, 0)
        if self.first is None:
            self.seen = num_rows
            return slice(last_first, num_rows)
        self.first = min(self.first, last_first)
        return slice(self.first, self.first + self._height)

    @property
    def num_new(self) -> int:
        """Rows that came after the end was left."""
        return 0 if self.first is None else max(self._num_rows - self.seen, 0)

    @property
    def num_below(self) -> int:
        """Rows that lie under the ones seen."""
        return 0 if self.first is None else max(self._num_rows - self.first - self._height, 0)

    def by(self, rows: int) -> None:
        """Scroll; the last row reached from above follows the end again."""
        last_first = max(self._num_rows - self._height, 0)
        here = last_first if self.first is None else self.first
        there = min(max(here + rows, 0), last_first)
        self.first = None if self.follows_end and there == last_first else there

    def page(self, pages: int) -> None:
        self.by(pages * max(self._height - 1, 1))

    def to_end(self) -> None:
        self.first = None if self.follows_end else max(self._num_rows - self._height, 0)

    def to_start(self) -> None:
        self.first = 0
        if self.follows_end and self._num_rows <= self._height:
            self.first = None
