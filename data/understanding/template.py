"""Rows of any columns, put into words by a template such as "Task: {text}\\nSolution: {code}".

The last field starts the answer; everything before it is the request. Field names are looked up as column
names, letter by letter: nothing in a template or a row is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from data.conversation import Conversation, Example, single_turn
from data.errors import DataError
from data.nearest import listed, nearest
from data.rows import Row, RowProblem, encodable, kind_of
from data.understanding.pairs import parts_of

TEMPLATE = "template"
"""What stands for the format's name where rows are put into words."""
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_EXAMPLE = 'template = "Task: {text}\\nSolution: {code}"'


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: `texts[0] fields[0] texts[1] fields[1] … texts[-1]`, one text more than fields."""

    texts: tuple[str, ...]
    fields: tuple[str, ...]

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raises DataError when a field is no column, naming the columns that exist."""
        existing = list(columns)
        for field in self.fields:
            if field not in existing:
                raise unknown_column(field, existing, "data.template")

    def convert(self, row: Row, line: int) -> Conversation:
        """The filled template as request and answer: `request + answer` is the filled template, letter by letter."""
        values = [_filled(row, field) for field in self.fields]
        if not values[-1].strip():
            raise RowProblem(f"'{self.fields[-1]}' is empty")
        request = "".join(text + value for text, value in zip(self.texts[:-2], values[:-1], strict=True))
        return single_turn(request + self.texts[-2], values[-1] + self.texts[-1], line)

    def row_of(self, example: Example) -> dict[str, str]:
        """The opposite of convert, all values as text.

        Raises RowProblem where the example is no single turn in the template's words, or could be of several rows.
        """
        system, request, answer = parts_of(example, TEMPLATE)
        if system is not None:
            raise RowProblem("it has a system message, and a template has no place for one")
        asked, answered = _taken_apart(request, self.texts[:-1]), _taken_apart(answer, ("", self.texts[-1]))
        if not answered[0].strip():
            raise RowProblem(f"'{self.fields[-1]}' would be empty")
        row: dict[str, str] = {}
        for field, value in zip(self.fields, asked + answered, strict=True):
            if row.setdefault(field, value) != value:
                raise RowProblem(f"'{field}' stands for two texts")
        return row


def parse_template(template: str) -> Template:
    """`{name}` is a field, `{{` and `}}` are braces. Raises DataError when it cannot be understood."""
    texts, fields, position = [""], [], 0
    for piece in _PIECE.finditer(template):
        texts[-1] += template[position : piece.start()]
        position = piece.end()
        if piece[0] in ("{{", "}}"):
            texts[-1] += piece[0][0]
        elif piece[1] is None:
            raise _bad(f"has a '{piece[0]}' without its partner at character {piece.start() + 1}")
        elif not piece[1]:
            raise _bad(f"has a field without a name at character {piece.start() + 1}")
        else:
            fields.append(piece[1])
            texts.append("")
    texts[-1] += template[position:]
    if len(fields) < 2:
        raise _bad(f"has {len(fields)} field(s); it takes at least one for the request and one for the answer")
    return Template(tuple(texts), tuple(fields))


def renamed(row: Row, columns: Mapping[str, str]) -> dict[str, object]:
    """The row with `columns` applied (new name -> name in the file); a name given away hides a column of that name."""
    taken = set(columns.values())
    kept = {name: value for name, value in row.items() if name not in taken and name not in columns}
    return kept | {new: row[old] for new, old in columns.items() if old in row}


def unknown_column(name: str, existing: list[str], key: str) -> DataError:
    """The error for a column that a recipe names and no row has."""
    near = nearest(name, existing)
    return DataError(
        f"{key} names the column {name!r}, and no row has it.",
        means=f"The rows have the columns {listed(existing)}.",
        remedy=f"Change {key} in the recipe" + (f"; perhaps {near[0]!r} is meant." if near else "."),
    )


def _filled(row: Row, field: str) -> str:
    if field not in row:
        raise RowProblem(f"'{field}' is missing")
    value = row[field]
    if value is None:
        raise RowProblem(f"'{field}' is null")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Decimal | date):
        return encodable(str(value), f"'{field}'")
    raise RowProblem(f"'{field}' is {kind_of(value)}, not text or a number")


def _taken_apart(text: str, texts: tuple[str, ...]) -> list[str]:
    """What stands between `texts`, of which the first begins the text and the last ends it. Raises RowProblem.

    Each of those between is looked for from the left and from the right: where that finds two places, the values
    cannot be told.
    """
    first, *between, last = texts
    if not (text.startswith(first) and text.endswith(last) and len(text) >= len(first) + len(last)):
        raise RowProblem("it is not in the template's words")
    middle = text[len(first) : len(text) - len(last)]
    left, position = [0], 0
    for piece in between:
        position = middle.find(piece, position)
        if position < 0:
            raise RowProblem("it is not in the template's words")
        left.append(position)
        position += len(piece)
    right, position = [], len(middle)
    for piece in reversed(between):
        position = middle.rfind(piece, 0, position)
        right.append(position)
    if right != left[:0:-1]:
        raise RowProblem("it could be of several rows in the template's words")
    ends = [*left[1:], len(middle)]
    starts = [0, *(place + len(piece) for place, piece in zip(left[1:], between, strict=True))]
    return [middle[start:end] for start, end in zip(starts, ends, strict=True)]


def _bad(what: str) -> DataError:
    return DataError(
        f"data.template {what}.",
        means="Rows cannot be put into words with it.",
        remedy=f"Write fields as {{column}}, braces that belong to the text as {{{{ and }}}}: {_EXAMPLE}.",
    )
