"""What a comparison of two variants means, in plain words: the same ones on screens, in plain tables and in reports.

Texts only: who shows them wraps, colours and escapes them (titles come from users). Not here: the figures behind them
(`statistics`), and tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.evaluation.metrics import all_metrics
from engine.events import VariantsCompared, VariantScored

SIGNIFICANT = 0.05
"""Chance alone gives a smaller p-value in one of twenty comparisons of equals."""
FEW_ROWS = 100
"""Below this an interval of 95 % is some twenty points wide."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` for colours and marks, `text` the sentence without a full stop, `figures` what it rests on."""

    kind: Literal["better", "worse", "same", "unclear"]
    text: str
    figures: str


def verdict(pair: VariantsCompared, titles: Mapping[str, str]) -> Verdict:
    """`other` against `base` on the same rows; `titles` by variant, whose name stands in where there is none.

    Better or worse is said only where the sign test parts them (p < 0.05). Where the rows say one thing and the mean
    the other, both are told: a few large changes outweigh many small ones.
    """
    other, base = titles.get(pair.other, pair.other), titles.get(pair.base, pair.base)
    rows = f"{pair.num_better} of {pair.num_rows} rows better, {pair.num_worse} worse"
    figures = f"{difference(pair)}, sign test {p_value(pair.p_value)}"
    if not pair.num_better and not pair.num_worse:
        return Verdict("same", f"{other} does as well as {base} on each of {pair.num_rows} rows", figures)
    if pair.p_value >= SIGNIFICANT or pair.num_better == pair.num_worse:
        return Verdict("unclear", f"no difference of {other} to {base} is shown: {rows}", figures)
    is_better = pair.num_better > pair.num_worse
    text = f"{other} is {'better' if is_better else 'worse'} than {base}: {rows}"
    if _mean_is_better(pair) is (not is_better):
        text += f", though the mean is {'worse' if is_better else 'better'}"
    return Verdict("better" if is_better else "worse", text, figures)


def verdict_of_intervals(other: VariantScored, base: VariantScored) -> Verdict:
    """Exact match of two variants where no comparison row by row was stored; a difference must part the intervals."""
    figures = ", ".join(f"{each.title} {each.low:.1%} to {each.high:.1%}" for each in (other, base))
    if other.low > base.high:
        return Verdict("better", f"{other.title} is better than {base.title}: the intervals do not touch", figures)
    if other.high < base.low:
        return Verdict("worse", f"{other.title} is worse than {base.title}: the intervals do not touch", figures)
    return Verdict(
        "unclear", f"no difference of {other.title} to {base.title} is shown: the intervals overlap", figures
    )


def few_rows(num_rows: int) -> str:
    """What an unclear verdict on so few rows means; empty where there are enough."""
    if num_rows >= FEW_ROWS:
        return ""
    return f"{num_rows} rows show only large differences; more test rows show smaller ones"


def difference(pair: VariantsCompared) -> str:
    """The mean difference with its interval, as "exact match +84.0 points (95 %: +77.1 to +89.2)"."""
    metric = all_metrics().get(pair.metric)
    title = metric.TITLE if metric else pair.metric
    scale, digits, unit = (100, 1, " points") if metric and metric.SHARE else (1, 3, "")
    value, low, high = (f"{scale * each:+.{digits}f}" for each in (pair.difference, pair.low, pair.high))
    return f"{title} {value}{unit} (95 %: {low} to {high})"


def p_value(value: float) -> str:
    """As papers write it; never as 0 or a rounded 1."""
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def _mean_is_better(pair: VariantsCompared) -> bool | None:
    """Which way the mean went, by what the metric prefers; None where it did not move."""
    if pair.difference == 0:
        return None
    metric = all_metrics().get(pair.metric)
    return (pair.difference > 0) is (metric is None or metric.HIGHER_IS_BETTER is not False)
