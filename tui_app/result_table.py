"""The result table on a plain terminal: metrics as rows, variants as columns, what is better in words. No escapes.

Only formats. Not here: how scores come about (`engine/evaluation`), and the panels (`tui_app/panels`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from engine.events import VariantsCompared, VariantScored
from engine.run_state import RunState

WIDTH = 80
MIN_COLUMN = 14
PERCENT = frozenset({"exact_match", "stop_rate", "command_validity", "code_execution"})
"""Metrics that are shares of rows."""
COUNTS = frozenset({"answer_length", "tokens_per_second"})
NAMES = {
    "exact_match": "exact match",
    "stop_rate": "ended by itself",
    "answer_length": "tokens per answer",
    "tokens_per_second": "tokens per second",
    "token_f1": "token F1",
    "command_validity": "valid commands",
    "code_execution": "code that passes",
    "chrf": "chrF",
    "bleu": "BLEU",
}
UNSEEN = "never seen in training"
INTERVAL = "  95 % interval"


def result_table(state: RunState, dataset: str | None = None) -> list[str]:
    """Every row set that was scored, or one: exact match per group and in all, then every other metric."""
    names = list(dict.fromkeys(score.dataset for score in state.scores)) if dataset is None else [dataset]
    told: list[str] = []
    for name in names:
        scores = [score for score in state.scores if score.dataset == name]
        if not scores:
            continue
        if len(names) > 1:
            told += ["", f"rows: {one_line(name)}"]
        for some in _blocks(scores):
            told += ["", *_block(some, scores)]
    return told


def _blocks(scores: Sequence[VariantScored]) -> Iterator[Sequence[VariantScored]]:
    """As many variants beside each other as fit; one at least."""
    room = WIDTH - _first_width(scores) - 7
    some: list[VariantScored] = []
    for score in scores:
        if some and sum(_column(each) + 2 for each in (*some, score)) > room:
            yield some
            some = []
        some.append(score)
    yield some


def _first_width(scores: Sequence[VariantScored]) -> int:
    groups = {one_line(name) for score in scores for name, _, _ in score.groups}
    return max([len(UNSEEN), *map(len, groups)])


def _heading(score: VariantScored, *, is_even: bool) -> list[str]:
    """A variant's title in lines as narrow as its column, with its rows where not all were asked as many."""
    title = one_line(score.title) if is_even else f"{one_line(score.title)}, {score.num_rows} rows"
    return textwrap.wrap(title, MIN_COLUMN, break_on_hyphens=False) or [""]


def _column(score: VariantScored) -> int:
    texts = [f"{score.low:.1%}-{score.high:.1%}"]
    texts += [_interval_text(name, (low, high)) for name, low, high in score.intervals]
    return max(MIN_COLUMN, *map(len, texts))


def _block(scores: Sequence[VariantScored], every: Sequence[VariantScored]) -> list[str]:
    """Some variants, with the rows that all of them have."""
    width, columns = _first_width(every), [_column(score) for score in scores]
    groups = {name: total for score in every for name, total, _ in score.groups}
    is_even = len({score.num_rows for score in every}) == 1

    def row(name: str, cells: list[str], rows: str = "") -> str:
        body = "  ".join(cell.rjust(column) for cell, column in zip(cells, columns, strict=True))
        return f"{one_line(name):<{width}}  {rows:>5}  {body}"

    headings = [_heading(score, is_even=is_even) for score in scores]
    height = max(map(len, headings))
    above = [[*[""] * (height - len(each)), *each] for each in headings]
    table = [row("", [each[line] for each in above]) for line in range(height - 1)]
    table.append(row("exact match", [each[-1] for each in above], "rows"))
    for name in sorted(groups, key=lambda name: -groups[name]):
        per_variant = [{group: (hit, total) for group, total, hit in score.groups} for score in scores]
        table.append(row(name, [share(*found.get(name, (0, 0))) for found in per_variant], str(groups[name]) * is_even))
    first = scores[0]
    table.append(row("all", [share(s.num_correct, s.num_rows) for s in scores], str(first.num_rows) * is_even))
    table.append(row(INTERVAL, [f"{s.low:.1%}-{s.high:.1%}" for s in scores]))
    if 0 < first.unseen_rows < first.num_rows:
        unseen = [share(score.unseen_correct, score.unseen_rows) for score in scores]
        table.append(row(UNSEEN, unseen, str(first.unseen_rows) * is_even))
    for name in dict.fromkeys(name for score in every for name, _ in score.scores):
        table.append(row(metric_name(name), [value_text(name, dict(score.scores).get(name)) for score in scores]))
        intervals = [next(((low, high) for each, low, high in s.intervals if each == name), None) for s in scores]
        if any(intervals):
            table.append(row(INTERVAL, [_interval_text(name, interval) for interval in intervals]))
    return table


def comparison_lines(state: RunState, dataset: str) -> list[str]:
    """What is better and what is worse, in words: by exact match, and by the loss where that was measured."""
    titles = {score.variant: one_line(score.title) for score in state.scores if score.dataset == dataset}
    told: list[str] = []
    for pair in state.comparisons:
        is_wanted = pair.dataset == dataset and pair.metric in ("exact_match", "loss")
        if is_wanted and is_of_these_rows(pair, state.scores):
            told += textwrap.wrap(comparison_line(pair, titles), WIDTH, subsequent_indent="  ")
    return told


def is_of_these_rows(pair: VariantsCompared, scores: Iterable[VariantScored]) -> bool:
    """Whether both were compared on the rows that their scores are of: either may have been scored again since."""
    sizes = {score.variant: score.num_rows for score in scores if score.dataset == pair.dataset}
    return pair.num_rows <= min(sizes.get(pair.base, 0), sizes.get(pair.other, 0))


def comparison_line(pair: VariantsCompared, titles: dict[str, str]) -> str:
    """ "tuned is better than base, zero-shot: 126 of 150 rows better, 0 worse; exact match +84.0 points (...), ..." """
    from engine.evaluation.verdicts import verdict  # late: `finetui status` has no use for the metrics behind it

    named = {pair.other: one_line(pair.other), pair.base: one_line(pair.base)} | titles
    told = verdict(pair, named)
    return f"{told.text}; {told.figures}" if told.kind != "same" else told.text


def metric_name(name: str) -> str:
    """A metric as people call it; its own name where it is known by that."""
    return NAMES.get(name, name)


def value_text(name: str, value: float | None) -> str:
    """A value with as many digits as mean something; - where there is none."""
    if value is None:
        return "-"
    if name in PERCENT:
        return f"{value:.1%}"
    if name in COUNTS:
        return f"{value:.1f}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def share(hits: int, total: int) -> str:
    """In percent; - of nothing."""
    return f"{hits / total:.1%}" if total else "-"


def _interval_text(name: str, interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else "-".join(value_text(name, value) for value in interval)


def one_line(text: str) -> str:
    """Control characters made visible: a line break in a name would pass for a line of ours."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
