"""What a check tells about rows: one finding for each thing found, with how often and where first.

Not here: looking for it (`checks`), going through the rows (`checking`), and how it is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")
"""Worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found in `num_rows` rows of one dataset. Holds no text of a row.

    `what` is a sentence for this finding, `means` why it hurts training. `kinds` counts the rows of each kind where a
    check tells several apart. `first_rows` are places: "file, line n". `fix` is a command line; "" where there is none.
    """

    check: str
    level: Level
    what: str
    means: str
    num_rows: int
    first_rows: tuple[str, ...] = ()
    kinds: tuple[tuple[str, int], ...] = ()
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain dict; `kinds` as an object."""
        return asdict(self) | {"first_rows": list(self.first_rows), "kinds": dict(self.kinds)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Finding:
        """The opposite of to_json."""
        return replace(cls(**value), first_rows=tuple(value["first_rows"]), kinds=tuple(value["kinds"].items()))
