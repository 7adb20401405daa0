"""Regular expressions that people write into recipes, held to a length when compiled and to a time when searched.

A pattern like (a+)+$ takes longer than anybody lives on a row of forty characters; a recipe comes from strangers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from data.errors import DataError
from data.time_limit import TimeLimit, TookTooLong

MAX_CHARACTERS = 2000
"""Of a pattern; the longest in a preset has 60."""
SECONDS = 5.0
"""For one text. A pattern that fits its purpose takes microseconds."""


@dataclass(frozen=True, slots=True)
class BoundedPattern:
    """`pattern`, where ^ and $ are those of lines. `setting` is what errors call it: "evaluation.answer_pattern".

    Raises ValueError when it is no regular expression (re.error is one) or longer than `MAX_CHARACTERS`.
    """

    pattern: str
    setting: str
    _compiled: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", compiled(self.pattern))

    @property
    def groups(self) -> int:
        """How many groups the pattern has."""
        return self._compiled.groups

    def search(self, text: str) -> re.Match[str] | None:
        """The first match. Raises DataError where the search takes longer than `SECONDS`."""
        try:
            with TimeLimit(SECONDS):
                return self._compiled.search(text)
        except TookTooLong:
            raise DataError(
                f"{self.setting} takes more than {SECONDS:g} s on one text of {len(text):,} characters.",
                means="A repetition in a repetition, like (a+)+, tries more ways than there is time for.",
                remedy=r"Write it without one, for example '^COMMAND: (.+)$'.",
            ) from None


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as Python has it. Raises ValueError for what is none, or too long."""
    if len(pattern) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(pattern):,} characters, and {MAX_CHARACTERS:,} are taken")
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as fault:
        raise ValueError(str(fault)) from fault
    except (OverflowError, RecursionError) as fault:
        raise ValueError("its numbers are too large or its groups too deep") from fault
