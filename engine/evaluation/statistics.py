"""How sure a number is: intervals of shares and means, paired differences, the sign test. Pure Python, no numpy.

Everything is deterministic: what is drawn at random is drawn from a fixed seed. Not here: what is measured (`metrics`),
and what a comparison means in words (`verdicts`).
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

Values = Sequence[float | None]
"""One value per row; None where the metric means nothing."""

Z_95 = 1.959963984540054
"""The normal distribution holds 95 % between minus and plus this many standard deviations."""
NUM_RESAMPLES = 2000
"""Efron and Tibshirani advise 1,000 or more for percentiles of 2.5 and 97.5 %."""
MOST_RESAMPLED = 1000
"""Rows drawn per resample at most: more would take seconds, and there the normal interval is as good."""
MOST_EXACT = 2000
"""Changed rows up to which the sign test adds whole numbers."""
SMALLEST_P = 1e-300
"""A p-value is never 0; below this a float cannot tell."""
SEED = 42


def wilson_interval(num_correct: int, num_rows: int) -> tuple[float, float]:
    """The 95 % score interval of a share, as (low, high) from 0 to 1; (0, 1) without rows.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212: with n rows, share p and z = 1.96,
    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). It stays inside 0 and 1 and holds for few rows.
    """
    if not 0 <= num_correct <= num_rows:
        raise ValueError(f"{num_correct} of {num_rows} rows cannot be correct")
    if num_rows == 0:
        return 0.0, 1.0
    share, z2n = num_correct / num_rows, Z_95**2 / num_rows
    middle = share + z2n / 2
    half = math.sqrt(z2n * (share * (1 - share) + z2n / 4))
    low = 0.0 if num_correct == 0 else (middle - half) / (1 + z2n)
    high = 1.0 if num_correct == num_rows else (middle + half) / (1 + z2n)
    return low, high


@dataclass(frozen=True, slots=True)
class Paired:
    """Two variants on the same rows, by one metric. `difference` is the mean of other - base, from `low` to `high`.

    Rows are better or worse by what the metric prefers; where it prefers neither, better means higher. `num_rows`
    counts the rows where both have a value. `p_value` is that of the two-sided sign test.
    """

    num_rows: int
    num_better: int
    num_worse: int
    num_same: int
    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, slots=True)
class RowsChanged:
    """Places of rows, counted from 0, those with the largest change first."""

    better: tuple[int, ...]
    worse: tuple[int, ...]


def mean_interval(values: Sequence[float], *, is_share: bool) -> tuple[float, float] | None:
    """The 95 % interval of a mean: Wilson's for a share of yes and no (1 and 0), else the bootstrap's.

    None without values, and for a single one that is no share: it says nothing about others.
    """
    if values and is_share and all(value in (0.0, 1.0) for value in values):
        return wilson_interval(sum(value == 1.0 for value in values), len(values))
    return bootstrap_interval(values) if len(values) > 1 else None


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % percentile interval of a mean, from 2,000 resamples of its rows drawn from a fixed seed.

    B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. Rows with the most common value
    are not drawn one by one: how many of a resample are others is binomial, and only those are drawn. With more than
    1,000 others the normal interval, mean ± 1.96 standard errors, takes its place. Raises ValueError for fewer than
    two values.
    """
    num_rows = len(values)
    if num_rows < 2:
        raise ValueError(f"{num_rows} values have no interval")
    common = Counter(values).most_common(1)[0][0]
    others = [value - common for value in values if value != common]
    if not others:
        return common, common
    if len(others) > MOST_RESAMPLED:
        return _normal_interval(values)
    chance = random.Random(SEED)
    shares = list(accumulate(_binomial(num_rows, len(others))))
    sums = sorted(
        math.fsum(chance.choices(others, k=min(bisect_left(shares, chance.random()), num_rows)))
        for _ in range(NUM_RESAMPLES)
    )
    outside = NUM_RESAMPLES // 40
    return common + sums[outside] / num_rows, common + sums[-1 - outside] / num_rows


def weighted_mean_interval(values: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """The 95 % interval of a mean over (value, weight), as of a loss over rows with so many tokens each.

    W. G. Cochran, "Sampling Techniques" (1977), section 6.3, for a ratio: with n rows and m = Σwv / Σw, the variance is
    n/(n - 1) Σ w²(v - m)² / (Σw)², and the interval m ± 1.96 of its roots. Raises ValueError for fewer than two rows.
    """
    num_rows, total = len(values), sum(weight for _, weight in values)
    if num_rows < 2 or total <= 0:
        raise ValueError(f"{num_rows} rows of {total} tokens have no interval")
    mean = math.fsum(value * weight for value, weight in values) / total
    spread = math.fsum((weight * (value - mean)) ** 2 for value, weight in values)
    half = Z_95 * math.sqrt(spread * num_rows / (num_rows - 1)) / total
    return mean - half, mean + half


def paired(base: Values, other: Values, *, higher_is_better: bool | None = True) -> Paired | None:
    """`other` against `base`, row by row; None where no row has a value of both.

    The interval is Bonett's and Price's where both are yes or no in every row, else the bootstrap's over rows; for a
    single row it is the difference itself. Raises ValueError when the two are not of the same rows.
    """
    if len(base) != len(other):
        raise ValueError(f"{len(base)} and {len(other)} rows are no pairs")
    pairs = [(old, new) for old, new in zip(base, other, strict=True) if old is not None and new is not None]
    if not pairs:
        return None
    changes = [new - old for old, new in pairs]
    num_up, num_down = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    difference = math.fsum(changes) / len(changes)
    if all(value in (0.0, 1.0) for pair in pairs for value in pair):
        low, high = paired_share_interval(num_up, num_down, len(pairs))
    elif len(changes) > 1:
        low, high = bootstrap_interval(changes)
    else:
        low = high = difference
    num_better, num_worse = (num_down, num_up) if higher_is_better is False else (num_up, num_down)
    return Paired(
        num_rows=len(pairs),
        num_better=num_better,
        num_worse=num_worse,
        num_same=len(pairs) - num_up - num_down,
        difference=difference,
        low=low,
        high=high,
        p_value=sign_test(num_better, num_worse),
    )


def paired_share_interval(num_up: int, num_down: int, num_rows: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares of the same rows, of which so many went up and down.

    D. G. Bonett, R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", Journal of Educational and Behavioral Statistics 37 (2012), 479-488: with u = (up + 1)/(n + 2) and
    d = (down + 1)/(n + 2), u - d ± z sqrt((u + d - (u - d)²)/(n + 2)). It keeps its width where no row changed.
    """
    up, down = (num_up + 1) / (num_rows + 2), (num_down + 1) / (num_rows + 2)
    half = Z_95 * math.sqrt((up + down - (up - down) ** 2) / (num_rows + 2))
    return max(up - down - half, -1.0), min(up - down + half, 1.0)


def sign_test(num_better: int, num_worse: int) -> float:
    """The p-value of the exact two-sided sign test; rows that did not change are left out, 1 without others.

    W. J. Dixon, A. M. Mood, "The statistical sign test", Journal of the American Statistical Association 41 (1946),
    557-566: how often a fair coin thrown once per changed row would part them as unevenly or more. For yes and no it
    is the exact McNemar test.
    """
    num_changed, fewer = num_better + num_worse, min(num_better, num_worse)
    if num_changed <= MOST_EXACT:
        tail = sum(math.comb(num_changed, k) for k in range(fewer + 1))
        return max(min(1.0, float(2 * tail / 2**num_changed)), SMALLEST_P)
    shares = _binomial(num_changed, num_changed / 2)[: fewer + 1]
    return max(min(1.0, 2 * math.fsum(shares)), SMALLEST_P)


def rows_changed(base: Values, other: Values, *, higher_is_better: bool | None = True) -> RowsChanged:
    """Which rows got better and which got worse. Raises ValueError when the two are not of the same rows."""
    changes = {
        row: (old - new if higher_is_better is False else new - old)
        for row, (old, new) in enumerate(zip(base, other, strict=True))
        if old is not None and new is not None
    }
    ordered = sorted(changes, key=lambda row: (-abs(changes[row]), row))
    return RowsChanged(
        better=tuple(row for row in ordered if changes[row] > 0),
        worse=tuple(row for row in ordered if changes[row] < 0),
    )


def _normal_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean ± 1.96 standard errors."""
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = Z_95 * math.sqrt(variance / len(values))
    return mean - half, mean + half


def _binomial(num_rows: int, expected: float) -> list[float]:
    """The chance of 0, 1, ... `num_rows` hits in so many throws, of which `expected` hit on average."""
    if expected >= num_rows:
        return [0.0] * num_rows + [1.0]
    hit, miss = math.log(expected / num_rows), math.log1p(-expected / num_rows)
    whole = math.lgamma(num_rows + 1)
    return [
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(num_rows - k + 1) + k * hit + (num_rows - k) * miss)
        for k in range(num_rows + 1)
    ]
