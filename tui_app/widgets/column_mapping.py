"""Which column of a file is which part of a row: the first real rows, and one field for each part to turn through.

Not here: reading rows (`data/raw_rows`), and what the answer becomes (the page that holds this).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.message import Message

from data.formats import all_formats
from tui_app.drawing import Line, fit, fit_line, line, literal, padded
from tui_app.steps.schema import Choice, Question
from tui_app.widgets.drawn_view import DrawnView
from tui_app.widgets.field_row import FieldRow

if TYPE_CHECKING:
    from data.raw_rows import RawRow, RawRows

USUAL_FORMAT = "prompt_completion"
"""What the parts are taken from while the format is not known: something asked, something answered."""
MOST_COLUMNS = 8
NAME_WIDTH = 18
NOT_THERE = ""


def parts_of(format_name: str) -> tuple[str, ...]:
    """The columns that a format wants, by its own example."""
    formats = all_formats()
    return tuple(formats[format_name if format_name in formats else USUAL_FORMAT].EXAMPLE)


def value_text(row: RawRow, column: str) -> str:
    """A value on one line, as it stands in the file."""
    if row.problem:
        return f"({row.problem})"
    value = row.values.get(column)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def table_lines(raw: RawRows, width: int) -> list[Line]:
    """The columns one under the other, each with its value in the first rows."""
    rows = raw.rows[:3]
    cell = max((width - NAME_WIDTH - 2) // max(len(rows), 1) - 2, 4)
    heads = "  ".join(padded(f"line {row.line}", cell) for row in rows)
    told = [line((padded("  column", NAME_WIDTH), "title"), ("  " + heads, "dim"))]
    for column in raw.columns[:MOST_COLUMNS]:
        values = "  ".join(padded(fit(literal(value_text(row, column)[:400]), cell), cell) for row in rows)
        told.append(line((padded(f"  {literal(column)}", NAME_WIDTH), "strong"), "  " + values))
    if len(raw.columns) > MOST_COLUMNS:
        told.append(line((f"  {len(raw.columns) - MOST_COLUMNS} more columns", "dim")))
    return [fit_line(each, width) for each in told]


class ColumnMapping(Vertical):
    """Says `Mapped` when a part is given another column, and `Passed` when Enter goes on from it."""

    DEFAULT_CSS = "ColumnMapping { height: auto; }"

    class Mapped(Message):
        """`columns`: the format's name -> the file's column, as the recipe's data.columns has it."""

        def __init__(self, columns: dict[str, str]) -> None:
            super().__init__()
            self.columns = columns

    class Passed(Message):
        """Enter on a part: on to what comes next."""

    def __init__(self) -> None:
        super().__init__(id="mapping")
        self._raw: RawRows | None = None
        self._parts: tuple[str, ...] = ()
        self._columns: dict[str, str] = {}
        self.display = False

    @property
    def lacking(self) -> tuple[str, ...]:
        """Parts that no column is given to while others are; none where nothing was mapped yet."""
        columns = self._raw.columns if self._raw else ()
        left = tuple(part for part in self._parts if part not in self._columns and part not in columns)
        return left if self._columns else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's own columns."""
        return tuple(self._raw.columns) if self._raw else ()

    async def offer(self, raw: RawRows, format_name: str, columns: Mapping[str, str]) -> None:
        """Show these rows and the parts of this format. Made anew only where any of it was changed elsewhere."""
        parts, before = parts_of(format_name), self._raw
        is_same = before is not None and (before.rows, before.columns) == (raw.rows, raw.columns)
        if is_same and (parts, dict(columns)) == (self._parts, self._columns):
            return
        self._columns = dict(columns)
        self._raw, self._parts = raw, parts
        await self.remove_children()
        await self.mount(DrawnView(lambda width: table_lines(raw, width)))
        choices = (Choice(NOT_THERE, "(none)"), *(Choice(name, name) for name in raw.columns))
        for part in parts:
            present = self._columns.get(part, part if part in raw.columns else NOT_THERE)
            question = Question(name=f"column {part}", label=f"{part} is", kind="choice", own_help=HELP)
            await self.mount(FieldRow(question, present, choices))

    def on_field_row_given(self, event: FieldRow.Given) -> None:
        """One part was turned; Enter goes on as anywhere else."""
        event.stop()
        if event.goes_on:
            self.post_message(self.Passed())
            return
        part = event.row.question.name.removeprefix("column ")
        self._columns.pop(part, None)
        if event.text not in (NOT_THERE, part):
            self._columns[part] = event.text
        self.post_message(self.Mapped(dict(self._columns)))


HELP = "The column of the file that holds this part of a row. The preview below follows at once."
