"""Which format a sample of rows has, how sure that is, and why. Reading and converting rows live elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.formats import all_formats, one_line_each
from data.nearest import listed
from data.rows import Row

# Below this share of matching rows the sample is called unknown: most rows would be thrown away.
LEAST_CERTAINTY = 0.5


@dataclass(frozen=True, slots=True)
class Detection:
    """The format by name ("template" for a template), the share of sampled rows that have it (0-1), and the reason."""

    format: str
    certainty: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {"format": self.format, "certainty": self.certainty, "reason": self.reason}


def detect(rows: Sequence[Row]) -> Detection:
    """The one format that at least half of the sampled rows have. Raises DataError when none or several are."""
    if not rows:
        raise DataError(
            "There is no readable row to tell the format from.",
            means="Nothing could be trained.",
            remedy="Check that data.dataset names the right file, and the rejected rows and their reasons.",
        )
    found = {name: sum(module.matches(row) for row in rows) for name, module in all_formats().items()}
    best = [name for name, count in found.items() if count >= LEAST_CERTAINTY * len(rows)]
    columns = columns_of(rows)
    if not best:
        raise _undecided(f"The rows have none of the known formats: their columns are {listed(columns)}.")
    if len(best) > 1:
        raise _undecided(
            f"The rows can be read as {' and as '.join(best)}: their columns are {listed(columns)}.",
            f'Say which one is meant with format = "{best[0]}" or another of these under [data].',
        )
    return Detection(best[0], found[best[0]] / len(rows), _reason(best[0], found[best[0]], rows, columns))


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Every column of the rows, in order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def _reason(name: str, matching: int, rows: Sequence[Row], columns: list[str]) -> str:
    used = set(all_formats()[name].EXAMPLE) | {"system"}
    share = "every sampled row has" if matching == len(rows) else f"{matching} of {len(rows)} sampled rows have"
    shape = ", ".join(repr(column) for column in all_formats()[name].EXAMPLE if column in columns)
    unused = [column for column in columns if column not in used and column != "response"]
    return f"{share} the columns of {name} ({shape})" + (f"; not used: {listed(unused, 6)}" if unused else "")


def _undecided(happened: str, first: str = "") -> DataError:
    choices = "\n".join(one_line_each())
    ways = (
        'Under [data] in the recipe, name the format (format = "alpaca"), give the columns the names it needs\n'
        '(columns = { prompt = "question_text", completion = "reply" }), or put the columns into words\n'
        '(template = "Task: {text}\\nSolution: {code}"; the last field is the answer).'
    )
    return DataError(
        happened,
        means=f"It cannot be told what is asked and what is answered. The formats and their columns:\n{choices}",
        remedy="\n".join(part for part in (first, ways) if part),
    )
