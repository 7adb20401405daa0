"""Intervals, paired differences and the sign test, against textbook values and their own laws."""

from __future__ import annotations

import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.evaluation.statistics import (
    SMALLEST_P,
    bootstrap_interval,
    mean_interval,
    paired,
    paired_share_interval,
    rows_changed,
    sign_test,
    weighted_mean_interval,
    wilson_interval,
)

SHARES = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)
NUMBERS = st.lists(st.floats(-100, 100), min_size=2, max_size=40)


@pytest.mark.parametrize(
    ("num_correct", "num_rows", "low", "high"),
    # By hand: 0 of 10 ends at z²/(10 + z²); the others from R's prop.test(correct = FALSE).
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (8, 150, 0.02729, 0.10168), (81, 263, 0.25526, 0.36618)],
)
def test_the_interval_of_a_share_is_wilsons(num_correct: int, num_rows: int, low: float, high: float) -> None:
    assert wilson_interval(num_correct, num_rows) == pytest.approx((low, high), abs=5e-5)


def test_no_rows_say_nothing_about_a_share() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson_interval(3, 2)


@pytest.mark.parametrize(
    ("num_better", "num_worse", "p_value"),
    # R's binom.test(8, 10), (10, 10), (7, 8), (5, 10) and (1, 1).
    [(8, 2, 0.109375), (10, 0, 0.001953125), (7, 1, 0.0703125), (5, 5, 1.0), (1, 0, 1.0), (0, 0, 1.0)],
)
def test_the_sign_test_is_the_exact_binomial_one(num_better: int, num_worse: int, p_value: float) -> None:
    assert sign_test(num_better, num_worse) == pytest.approx(p_value)


def test_the_sign_test_of_many_rows_adds_the_same_terms_in_floats() -> None:
    exact = 2 * sum(math.comb(2101, k) for k in range(1001)) / 2**2101
    assert sign_test(1000, 1101) == pytest.approx(exact, rel=1e-9)
    assert sign_test(100_000, 0) == SMALLEST_P
    assert sign_test(50_000, 50_000) == 1.0


@settings(max_examples=30)
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_a_p_value_is_the_same_both_ways_and_above_0_up_to_1(num_better: int, num_worse: int) -> None:
    p_value = sign_test(num_better, num_worse)
    assert p_value == sign_test(num_worse, num_better)
    assert 0 < p_value <= 1


def test_the_bootstrap_draws_whole_resamples_of_rows() -> None:
    # The sum of 100 draws from 10 ones and 90 zeros is binomial(100, 0.1): its quantiles are 5 and 16.
    assert bootstrap_interval([1.0] * 10 + [0.0] * 90) == pytest.approx((0.05, 0.16), abs=0.0101)


def test_the_bootstrap_of_many_values_meets_the_normal_interval() -> None:
    chance = random.Random(7)
    values = [chance.gauss(10, 2) for _ in range(400)]
    mean = sum(values) / 400
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 399)
    half = 1.96 * deviation / 20
    assert bootstrap_interval(values) == pytest.approx((mean - half, mean + half), abs=0.02)


def test_an_interval_of_ten_thousand_rows_takes_less_than_a_second() -> None:
    chance = random.Random(1)
    begun = time.process_time()
    few = bootstrap_interval([chance.random() if row < 1000 else 0.5 for row in range(10_000)])
    many = bootstrap_interval([chance.random() for _ in range(10_000)])
    assert time.process_time() - begun < 2
    assert few[0] < 0.5 < few[1]
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * math.sqrt(1 / 12) / 100, rel=0.05)


@settings(max_examples=15)
@given(NUMBERS)
def test_an_interval_lies_among_its_values_and_never_changes(values: list[float]) -> None:
    low, high = bootstrap_interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert bootstrap_interval(values) == (low, high)


def test_shares_have_wilsons_interval_and_one_value_alone_has_none() -> None:
    assert mean_interval([1.0, 0.0, 1.0], is_share=True) == wilson_interval(2, 3)
    assert mean_interval([1.0, 0.0, 1.0], is_share=False) == bootstrap_interval([1.0, 0.0, 1.0])
    assert mean_interval([], is_share=True) is None
    assert mean_interval([0.3], is_share=True) is None
    with pytest.raises(ValueError, match="no interval"):
        bootstrap_interval([1.0])


def test_a_weighted_mean_of_equal_weights_has_the_normal_interval() -> None:
    # 1 to 5: standard error sqrt(2.5 / 5).
    half = 1.959964 * math.sqrt(0.5)
    assert weighted_mean_interval([(float(v), 3) for v in range(1, 6)]) == pytest.approx((3 - half, 3 + half))
    with pytest.raises(ValueError, match="no interval"):
        weighted_mean_interval([(1.0, 4)])


def test_a_row_of_many_tokens_pulls_the_weighted_mean_to_itself() -> None:
    low, high = weighted_mean_interval([(1.0, 100), (2.0, 1), (3.0, 1)])
    assert (low + high) / 2 == pytest.approx(105 / 102)


def test_the_paired_interval_of_shares_is_bonetts_and_prices() -> None:
    # 21 rows, 1 up and 7 down: (2 - 8)/23 -+ 1.96 sqrt((10/23 - (6/23)²)/23).
    assert paired_share_interval(1, 7, 21) == pytest.approx((-0.5084, -0.0134), abs=5e-5)
    assert paired_share_interval(0, 0, 150) == pytest.approx((-0.01823, 0.01823), abs=5e-5)
    assert paired_share_interval(100, 0, 100)[1] == 1.0


def test_pairs_tell_what_got_better_and_what_got_worse() -> None:
    base = [0.0, 0.0, 0.0, 1.0, 1.0, None, 1.0]
    other = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, None]
    found = paired(base, other)
    assert found is not None
    assert (found.num_rows, found.num_better, found.num_worse, found.num_same) == (5, 2, 1, 2)
    assert found.difference == pytest.approx(0.2)
    assert (found.low, found.high) == paired_share_interval(2, 1, 5)
    assert found.p_value == 1.0


def test_a_lower_loss_is_better_and_the_difference_keeps_its_sign() -> None:
    found = paired([2.0, 2.0, 1.0], [1.0, 1.5, 1.25], higher_is_better=False)
    assert found is not None
    assert (found.num_better, found.num_worse, found.difference) == (2, 1, pytest.approx(-1.25 / 3))
    assert found.low <= found.difference <= found.high
    assert rows_changed([2.0, 2.0, 1.0], [1.0, 1.5, 1.25], higher_is_better=False).better == (0, 1)


def test_a_single_pair_and_none_at_all() -> None:
    found = paired([0.25], [0.5])
    assert found is not None
    assert (found.low, found.difference, found.high) == (0.25, 0.25, 0.25)
    assert paired([None], [1.0]) is None
    assert paired([], []) is None
    with pytest.raises(ValueError, match="no pairs"):
        paired([1.0], [1.0, 0.0])


@given(SHARES)
def test_identical_answers_differ_in_nothing(values: list[float]) -> None:
    found = paired(values, values)
    assert found is not None
    assert (found.num_same, found.difference, found.p_value) == (len(values), 0.0, 1.0)
    assert found.low == pytest.approx(-found.high)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_turning_a_pair_around_turns_every_figure_around(pairs: list[tuple[float, float]]) -> None:
    base, other = [old for old, _ in pairs], [new for _, new in pairs]
    there, back = paired(base, other), paired(other, base)
    assert there is not None
    assert back is not None
    assert (there.num_better, there.num_worse, there.p_value) == (back.num_worse, back.num_better, back.p_value)
    assert there.difference == -back.difference
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.num_better + there.num_worse + there.num_same == there.num_rows


def test_the_rows_that_changed_most_come_first() -> None:
    changed = rows_changed([0.5, 0.0, 0.9, None, 0.2, 0.5], [0.6, 1.0, 0.0, 1.0, 0.2, 0.4])
    assert changed.better == (1, 0)
    assert changed.worse == (2, 5)
