"""TOML text to plain values, with bounds: a recipe is a page that a stranger may have written.

Not here: what the values mean, and the words of the errors about them (`recipe`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

MAX_PARTS = 16
"""Of a dotted key; tomllib takes a time that grows with the square of their number. A recipe has two."""
MAX_INTEGER = 2**63 - 1
"""As TOML has it. Larger ones cannot even be shown: Python refuses to write out more than 4,300 digits."""
MAX_VALUES = 5000
"""In a whole recipe, elements of lists counted singly; one with every field written has about 120."""

# Possessive, so that a megabyte of one letter is passed over once.
_PART = r"(?:\"[^\"\n]*+\"|'[^'\n]*+'|(?<![\w-])[\w-]++)[ \t]*+"
_MANY_PARTS = re.compile(rf"(?:{_PART}\.[ \t]*+){{{MAX_PARTS}}}{_PART}(?=[.=\]])")


def plain_values(text: str) -> dict[str, Any]:
    """What the text says. Raises ValueError saying why it is no TOML, or none that is believed."""
    if found := _MANY_PARTS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"a key of more than {MAX_PARTS} parts (at line {line})")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as fault:
        raise ValueError("it is nested too deeply") from fault
    except ValueError as fault:
        raise ValueError("a number in it is longer than any number of a recipe") from fault
    for number, (name, value) in enumerate(_leaves("", values)):
        if number == MAX_VALUES:
            raise ValueError(f"it holds more than {MAX_VALUES:,} values")
        if isinstance(value, int) and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            raise ValueError(f"the number at {name[:200]} is larger than {MAX_INTEGER:,}")
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"the text at {name[:200]} holds a NUL character, which no path and no word can")
    return values


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no table and no list, with the dotted name of where it stands."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(name, each)
    else:
        yield name, value
