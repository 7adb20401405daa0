"""Where rows stand: from a row's number in a whole dataset to its file and the line in it.

Not here: counting rows on from file to file (`loading`), and the rows themselves.
"""

from __future__ import annotations

from bisect import bisect_right

from data.loading import ReadRow


class Places:
    """File and line of each row of one dataset, by its number (`ReadRow.line`). Grows with files, not with rows."""

    def __init__(self) -> None:
        self._before: list[int] = []
        self._files: list[str] = []

    def add(self, row: ReadRow) -> None:
        """The next row, in the order of reading."""
        before = row.line - row.file_line
        if not self._files or self._files[-1] != row.file or self._before[-1] != before:
            self._before.append(before)
            self._files.append(row.file)

    def of(self, number: int) -> tuple[str, int]:
        """File and line of a row that was added."""
        at = bisect_right(self._before, number - 1) - 1
        return self._files[at], number - self._before[at]

    def words(self, number: int) -> str:
        """The same as text."""
        file, line = self.of(number)
        return f"{file}, line {line}"
