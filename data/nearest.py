"""Names the user may have meant, for error texts."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, choices: Iterable[str]) -> list[str]:
    """At most three of `choices` that are spelled like `word`, the best first."""
    import difflib

    by_folded = {choice.casefold(): choice for choice in sorted(choices)}
    return [by_folded[folded] for folded in difflib.get_close_matches(word.casefold(), list(by_folded), cutoff=0.5)]


def listed(names: Iterable[str], at_most: int = 12) -> str:
    """Names for one sentence, quoted so that control characters stay visible, the end cut: "'a', 'b' and 3 more"."""
    every = [repr(name) for name in names]
    shown = ", ".join(every[:at_most])
    return shown if len(every) <= at_most else f"{shown} and {len(every) - at_most} more"
