"""One request and its answer in columns of a row: what the formats of that kind share, in both directions.

Lists of turns live in `turns`, which columns a format takes in `formats`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data.conversation import Conversation, Example, single_turn
from data.rows import Row, RowProblem, optional_text, text_of
from data.understanding.turns import writable

SYSTEM = ("system", "system_prompt")
"""Columns with a system prompt, in any format; the first that holds a text counts."""

Pair = tuple[str, str]


class Parts(NamedTuple):
    """The three texts of a conversation of one turn."""

    system: str | None
    request: str
    answer: str


def system_of(row: Row) -> str | None:
    """The row's system prompt, if it has one."""
    system = None
    for name in SYSTEM:
        if name in row:
            text = optional_text(row, name)
            system = text if system is None else system
    return system


def pair_in(row: Row, pairs: Sequence[Pair]) -> Pair | None:
    """The first of `pairs` whose two columns the row has, one with values before one without; None if it has none."""
    first = None
    for pair in pairs:
        asked, answered = pair
        if asked in row and answered in row:
            if row[asked] is not None and row[answered] is not None:
                return pair
            first = first or pair
    return first


def converted_pair(row: Row, line: int, pairs: Sequence[Pair], context: str | None = None) -> Conversation:
    """Request and answer in the columns of one of `pairs`; a text in `context` follows after an empty line."""
    asked, answered = pair_in(row, pairs) or pairs[0]
    request = text_of(row, asked)
    given = optional_text(row, context) if context else None
    if given is not None:
        request = f"{request}\n\n{given}"
    return single_turn(request, text_of(row, answered), line, system_of(row))


def row_of_pair(example: Example, names: Pair, format_name: str) -> dict[str, str]:
    """The example in these two columns, and in "system" what its system message says.

    Raises RowProblem where it is more than one request and one answer.
    """
    parts = parts_of(example, format_name)
    row = {names[0]: parts.request, names[1]: parts.answer}
    return row if parts.system is None else {"system": parts.system, **row}


def parts_of(example: Example, format_name: str, *, keeps_refused: bool = False) -> Parts:
    """The texts of one turn. Raises RowProblem where the example is anything else, naming what `format_name` lacks."""
    messages = writable(example, format_name, keeps_refused=keeps_refused).messages
    system = messages[0].content if messages[0].role == "system" else None
    spoken = messages if system is None else messages[1:]
    if len(spoken) > 2:
        raise RowProblem(f"it has {len(spoken) // 2} answers, and {format_name} holds one")
    return Parts(system, spoken[0].content, spoken[1].content)
