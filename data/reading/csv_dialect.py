"""How a CSV file is written, told by its beginning: the delimiter, and whether its first line names columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

DELIMITERS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
_NAMED = re.compile(r"sep=(.)\r?\n?$", re.IGNORECASE)
_LONGEST_NAME = 200


def named_delimiter(sample: str) -> str:
    """The delimiter that a first line "sep=;" names, as Excel writes it; "" where there is no such line."""
    match = _NAMED.match(io.StringIO(sample, newline="").readline().rstrip("\r\n"))
    return match[1] if match and match[1] in DELIMITERS else ""


def delimiter_of(sample: str, suffix: str = ".csv") -> str:
    """The delimiter that cuts the sample into records of one width, the widest such; of equals, the suffix's own."""
    own = "\t" if suffix == ".tsv" else ","
    return max(DELIMITERS, key=lambda delimiter: (*fit(sample, delimiter), delimiter == own))


def fit(sample: str, delimiter: str) -> tuple[float, int]:
    """How many of the first records are as wide as the header (0-1; 0 for a single column), and that width."""
    widths: list[int] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if record:
                widths.append(len(record))
            if len(widths) == 50:
                break
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] == 1:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


def without_header(names: Sequence[str]) -> list[str]:
    """What to say where the first line looks like a row rather than like names of columns."""
    doubtful = [name for name in names if len(name) > _LONGEST_NAME or "\n" in name or _is_number(name)]
    return ["the first line is taken for the names of the columns, and looks like a row"] if doubtful else []


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[\d.,]*\d\s*", text) is not None
