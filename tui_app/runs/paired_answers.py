"""Two runs on the same test rows, row by row: how far apart they are, and whether chance could do that.

Rows are the same by their content: what is asked and what is expected. Not here: the statistics
(`engine/evaluation/statistics`), and how the table is drawn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.evaluation.statistics import Paired, paired
from engine.run_dir import RunDir

MOST_BYTES = 256 * 1024**2
"""Of answers that are read to compare them."""

Answers = dict[tuple[str, str, int], float]
"""(asked, expected, how many of this content came before) -> 1 for a correct answer, else 0."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """`other` against `base`, both tuned. `found` is None where they have no rows in common."""

    base: str
    other: str
    num_base: int
    num_other: int
    found: Paired | None

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        if self.found is None:
            return f"{self.other} against {self.base}: they answered no test row in common."
        found = self.found
        most = max(self.num_base, self.num_other)
        rows = f"{found.num_rows}" if found.num_rows == most else f"{found.num_rows} shared of {most}"
        told = (
            f"{self.other} against {self.base}, the same {rows} test rows: {found.difference * 100:+.1f} points "
            f"({found.low * 100:+.1f} to {found.high * 100:+.1f}); {found.num_better} better, {found.num_worse} worse, "
            f"sign test p {_p_text(found.p_value)}"
        )
        return f"{told}: {'more than chance explains' if found.p_value < 0.05 else 'chance explains it too'}."


def _p_text(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


@dataclass(slots=True)
class AnswerBook:
    """The answers of tuned models, each file read once while it stays the same."""

    _known: dict[Path, tuple[tuple[int, int], Answers]] = field(default_factory=dict)

    def pairings(self, runs: Sequence[RunDir]) -> list[Pairing]:
        """Every later run against the first, where both have answers."""
        books = [(run.name, self._of(run)) for run in runs]
        first, base = books[0]
        told = []
        for name, other in books[1:]:
            if base and other:
                shared = [row for row in base if row in other]
                found = paired([base[row] for row in shared], [other[row] for row in shared])
                told.append(Pairing(first, name, len(base), len(other), found))
        return told

    def _of(self, run: RunDir) -> Answers:
        path = run.answers / "tuned.jsonl"
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if path not in self._known or self._known[path][0] != stamp:
                self._known[path] = (stamp, _read(path) if status.st_size < MOST_BYTES else {})
        except OSError:
            return {}
        return self._known[path][1]


def _read(path: Path) -> Answers:
    """Answers by their rows' content; a torn or foreign line is left out."""
    answers: Answers = {}
    seen: Counter[tuple[str, str]] = Counter()
    for written in path.read_bytes().splitlines():
        try:
            values: Any = json.loads(written)
            content = (str(values["request"]), str(values["expected"]))
            is_correct = bool(values["correct"])
        except (ValueError, KeyError, TypeError):
            continue
        answers[(*content, seen[content])] = float(is_correct)
        seen[content] += 1
    return answers
