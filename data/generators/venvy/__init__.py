"""Requests in plain English and the `venvy` command line that each asks for, as Alpaca rows.

    {"instruction": "list my venvs sorted by size", "input": "",
     "output": "COMMAND: venvy ls --sort size\\nCONFIDENCE: 0.95"}

Every request stands once and asks for one command; every command is one that venvy has (`grammar`). The words live in
`wording`, the commands in `commands`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from data.chance import allotted, below, shuffled
from data.errors import DataError
from data.generators.venvy.commands import SHARES, Command, commands_by_name
from data.generators.venvy.wording import wordings

NAME = "venvy"
TITLE = "plain English -> venvy command line (seven commands of a real Python environment manager)"
DEFAULT_ROWS = 1500
# Above this, the rarest wordings would run out and requests would have to repeat.
MOST_ROWS = 6000


def rows(num_rows: int = DEFAULT_ROWS, seed: int = 42) -> Iterator[dict[str, Any]]:
    """`num_rows` rows in seeded order, the groups in their shares. Raises DataError for a number it cannot make."""
    if not 1 <= num_rows <= MOST_ROWS:
        raise DataError(
            f"data.generator_rows is {num_rows}.",
            means=f"The generator {NAME} makes from 1 to {MOST_ROWS} rows with no request twice.",
            remedy=f"Choose a number in between; {DEFAULT_ROWS} is usual.",
        )
    generator = random.Random(seed)
    groups = commands_by_name()
    made: list[dict[str, Any]] = []
    for name, num_of_group in zip(SHARES, allotted(num_rows, list(SHARES.values())), strict=True):
        commands = shuffled(groups[name], generator)
        for command, count in zip(commands, _counts(commands, num_of_group), strict=True):
            made += _requests(command, count, generator)
    yield from shuffled(made, generator)


def _counts(commands: Sequence[Command], total: int) -> list[int]:
    """Rows for each command of a group: one each where there are enough, the others by weight."""
    if total < len(commands):
        return [int(number < total) for number in range(len(commands))]
    return [1 + more for more in allotted(total - len(commands), [command.weight for command in commands])]


def _requests(command: Command, count: int, generator: random.Random) -> Iterator[dict[str, Any]]:
    every = wordings(command.name, command.options)
    seen: set[str] = set()
    while len(seen) < count:
        text = every.text(below(every.count, generator))
        if text in seen:
            continue
        seen.add(text)
        if generator.random() < 0.5:
            text = text[0].upper() + text[1:]
        yield {
            "instruction": text,
            "input": "",
            "output": f"COMMAND: {command.line}\nCONFIDENCE: {command.confidence}",
        }


FORMS = {"rows": rows}
