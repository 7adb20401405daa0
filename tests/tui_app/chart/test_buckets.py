"""Buckets hold the lowest and highest loss per column, however they came to hold them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_app.chart.buckets import EMPTY_HIGH, EMPTY_LOW, Buckets, bucketed
from tui_app.chart.series import Series
from tui_app.chart.window import Window, whole_span

losses = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=80)
columns = st.integers(1, 50)


def contents(buckets: Buckets) -> tuple[list[float], list[float], str, list[bool]]:
    """Everything in it, comparable: NaN as text."""
    return list(buckets.lows), list(buckets.highs), str(list(buckets.lasts)), [bool(n) for n in buckets.nonfinite]


@given(losses, columns, st.integers(1, 100))
def test_a_bucket_holds_the_lowest_and_highest_finite_loss_of_its_column(
    values: list[float], num_columns: int, stop: int
) -> None:
    window = Window(0, stop)
    buckets = Buckets(window, num_columns)
    for step, value in enumerate(values, 1):
        buckets.append(step, value, value)
    for column in range(num_columns):
        inside = [
            value
            for step, value in enumerate(values, 1)
            if step <= stop and window.column_of(step, num_columns) == column and math.isfinite(value)
        ]
        assert buckets.lows[column] == min(inside, default=EMPTY_LOW)
        assert buckets.highs[column] == max(inside, default=EMPTY_HIGH)
        assert not inside or buckets.lasts[column] == inside[-1]


@given(losses, columns, st.integers(-3, 60), st.integers(1, 90))
def test_bucketing_by_slices_gives_what_appending_gives(
    values: list[float], num_columns: int, start: int, span: int
) -> None:
    series = Series(enumerate(values, 1))
    averages = series.averages(0.9)
    window = Window(start, start + span)
    appended = Buckets(window, num_columns)
    for step, value, average in zip(range(1, len(values) + 1), values, averages, strict=True):
        appended.append(step, value, average)
    lows = [value if math.isfinite(value) else math.inf for value in values]
    highs = [value if math.isfinite(value) else -math.inf for value in values]
    sliced = bucketed(window, num_columns, series.xs, lows, highs, averages)
    assert contents(sliced) == contents(appended)


@given(losses.filter(bool), columns, st.integers(0, 4))
def test_doubling_merges_pairs_into_what_the_wider_window_would_have_held(
    values: list[float], num_columns: int, doublings: int
) -> None:
    narrow, wide = Window(0, len(values) + 1), Window(0, (len(values) + 1) * 2**doublings)
    doubled, direct = Buckets(narrow, num_columns), Buckets(wide, num_columns)
    for step, value in enumerate(values, 1):
        doubled.append(step, value, value)
        direct.append(step, value, value)
    for _ in range(doublings):
        doubled.double()
    assert doubled.window == wide
    assert contents(doubled) == contents(direct)


@given(losses, st.integers(1, 30), st.sampled_from([0, 20, 80]), st.data())
def test_a_growing_series_has_the_same_buckets_as_one_that_is_read_at_once(
    values: list[float], num_columns: int, planned: int, data: st.DataObject
) -> None:
    growing = Series()
    for step, value in enumerate(values, 1):
        growing.append(step, value)
        window = Window(0, whole_span(step, planned))
        if data.draw(st.booleans()):
            kept = growing.buckets(window, num_columns, 0.9)
            at_once = Series(enumerate(values[:step], 1)).buckets(window, num_columns, 0.9)
            assert contents(kept) == contents(at_once)


def test_an_unchanged_window_keeps_its_buckets_and_takes_in_only_what_is_new() -> None:
    series = Series(enumerate([3.0, 2.0, 1.0], 1))
    first = series.buckets(Window(0, 10), 5, 0.9)
    series.append(4, 0.5)
    assert series.buckets(Window(0, 10), 5, 0.9) is first
    assert first.lows[2] == 0.5
    assert series.buckets(Window(0, 20), 5, 0.9) is first
    assert series.buckets(Window(0, 20), 6, 0.9) is not first


def test_a_loss_that_is_no_number_is_noted_and_hides_no_other() -> None:
    buckets = Buckets(Window(0, 4), 2)
    for step, value in enumerate([2.0, math.nan, math.inf, -math.inf], 1):
        buckets.append(step, value, value)
    assert list(buckets.lows) == [2.0, math.inf]
    assert list(buckets.nonfinite) == [0, 1]


def test_the_last_step_stands_in_the_last_column_and_later_ones_nowhere() -> None:
    buckets = Buckets(Window(0, 10), 5)
    buckets.append(10, 1.0, 1.0)
    buckets.append(11, 0.1, 0.1)
    assert buckets.lows[4] == 1.0
    assert min(buckets.lows) == 1.0


@pytest.mark.parametrize(("window", "num_columns"), [(Window(0, 10), 0), (Window(3, 3), 4), (Window(0, math.nan), 4)])
def test_buckets_without_a_column_or_a_span_are_refused(window: Window, num_columns: int) -> None:
    with pytest.raises(ValueError, match="no buckets"):
        Buckets(window, num_columns)
