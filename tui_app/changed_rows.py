"""Rows that got better or worse, or are wrong, one by one on a plain terminal: what was asked and expected, and said.

Read from a run's own files, every text drawn literally. Not here: which rows those are (`engine.evaluation.comparing`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.events import VariantsCompared
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState
from tui_app.result_table import is_of_these_rows, one_line

MAX_TEXT = 160
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """One row: `said` are the answers by variant."""

    line: int
    request: str
    expected: str
    said: tuple[tuple[str, str], ...]


def main_pair(state: RunState, dataset: str) -> VariantsCompared | None:
    """Whose rows are shown: the tuned model against the best base, else the first pair there is."""
    compared = [each for each in state.comparisons if each.dataset == dataset and each.metric == "exact_match"]
    pairs = [each for each in compared if is_of_these_rows(each, state.scores)]
    return next((each for each in pairs if each.other == "tuned"), pairs[0] if pairs else None)


def changed_rows(run: RunDir, state: RunState, dataset: str, kind: str) -> list[ChangedRow]:
    """Rows that got `better` or `worse`, or those that the tuned (else the last) variant has `wrong`."""
    if kind == "wrong":
        return list(_wrong(run, state, dataset))
    pair = main_pair(state, dataset)
    if pair is None or not (run.path / pair.rows_file).exists():
        return []
    return [
        ChangedRow(
            row["line"],
            row["request"],
            row["expected"],
            ((pair.base, row["base_answer"]), (pair.other, row["other_answer"])),
        )
        for row in read_json(run.path / pair.rows_file)[kind]
    ]


def _wrong(run: RunDir, state: RunState, dataset: str) -> Iterator[ChangedRow]:
    scores = [score for score in state.scores if score.dataset == dataset]
    score = next((each for each in scores if each.variant == "tuned"), scores[-1] if scores else None)
    path = run.path / score.answers_file if score else None
    if score is None or path is None or not path.exists():
        return
    answers: list[dict[str, Any]] = [json.loads(line) for line in path.read_bytes().splitlines()]
    for answer in sorted(answers, key=lambda answer: int(answer["row"]))[: score.num_rows]:
        if not answer["correct"]:
            said = ((score.variant, str(answer["answer"])),)
            yield ChangedRow(answer["line"], answer["request"], answer["expected"], said)


def row_lines(
    kind: str, rows: Sequence[ChangedRow], shown: Sequence[ChangedRow], titles: Mapping[str, str]
) -> list[str]:
    """A heading with how many there are, then the rows shown; nothing where there is none."""
    if not rows:
        return []
    more = f", the first {len(shown)} of them:" if len(shown) < len(rows) else ":"
    told = ["", f"{len(rows)} row{'' if len(rows) == 1 else 's'} {kind}{more}"]
    for row in shown:
        names = ["expected", *(one_line(titles.get(name, name)) for name, _ in row.said)]
        width = max(map(len, names))
        told.append(f"  line {row.line}: {_short(row.request)}")
        texts = [row.expected, *(answer for _, answer in row.said)]
        told += [f"    {name:<{width}}  {_short(text)}" for name, text in zip(names, texts, strict=True)]
    return told


def _short(text: str) -> str:
    text = one_line(text.strip())
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."
