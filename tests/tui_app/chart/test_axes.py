"""Axes: round ticks, short labels, and a y axis that does not jump."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_app.chart.axes import LEAST_FILL, YAxis, data_range, rounded_up, settled, x_labels
from tui_app.chart.buckets import Buckets
from tui_app.chart.figures import LABEL_WIDTH, count_text, loss_text, rate_text, y_label
from tui_app.chart.window import Window, whole_span

sizes = st.floats(-1e100, 1e100)


def axis_for(low: float, high: float, *, is_log: bool = False, max_ticks: int = 5) -> YAxis:
    return settled(None, low, high, is_log=is_log, max_ticks=max_ticks)


def labels(axis: YAxis) -> list[str]:
    return [label for _, label in axis.ticks]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.6, 2.9, ["0", "1", "2", "3"]),
        (0.0, 1.9, ["0.0", "0.5", "1.0", "1.5", "2.0"]),
        (2.1, 2.3, ["2.10", "2.15", "2.20", "2.25", "2.30"]),
        (0.0, 9.0, ["0.0", "2.5", "5.0", "7.5", "10.0"]),
        (2502.0, 2504.0, ["2502", "2503", "2504"]),
        (-4.0, 4.0, ["-4", "-2", "0", "2", "4"]),
    ],
)
def test_linear_ticks_are_round(low: float, high: float, expected: list[str]) -> None:
    assert labels(axis_for(low, high)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.003, 3.5, ["0.01", "0.1", "1"]),
        (0.02, 3.5, ["0.03", "0.1", "0.3", "1", "3"]),
        (1.0, 1.2, ["1.00", "1.05", "1.10", "1.15", "1.20"]),
        (1e-20, 1e20, ["1e-20", "1e-10", "1", "1e10", "1e20"]),
    ],
)
def test_log_ticks_are_powers_of_ten_or_fractions_of_one(low: float, high: float, expected: list[str]) -> None:
    assert labels(axis_for(low, high, is_log=True)) == expected


@given(sizes, sizes, st.booleans(), st.integers(2, 8))
def test_an_axis_holds_its_data_and_they_fill_it_by_half(one: float, other: float, is_log: bool, ticks: int) -> None:
    low, high = min(one, other), max(one, other)
    axis = axis_for(low, high, is_log=is_log, max_ticks=ticks)
    assert axis.low < axis.high
    assert axis.high >= high * (1 - 1e-9 * (high > 0))
    assert axis.low <= low or (axis.is_log and low < 1e-30)
    assert 1 <= len(axis.ticks) <= ticks
    assert all(len(label) <= LABEL_WIDTH for label in labels(axis))
    assert len(set(labels(axis))) == len(axis.ticks)
    if high - low > 1e-5 * max(abs(low), abs(high)) and high - low > 1e-20 and not axis.is_log:
        assert axis.share(high) - axis.share(low) >= LEAST_FILL - 1e-9


@given(sizes, sizes, st.booleans())
def test_the_same_data_settle_on_the_same_axis(one: float, other: float, is_log: bool) -> None:
    low, high = min(one, other), max(one, other)
    first = axis_for(low, high, is_log=is_log)
    assert settled(first, low, high, is_log=is_log, max_ticks=5) == first


def test_the_axis_stays_while_data_stay_inside_and_fill_half_of_it() -> None:
    axis = axis_for(0.5, 4.0)
    assert settled(axis, 0.4, 3.5, is_log=False, max_ticks=5) is axis
    assert settled(axis, 0.4, 2.5, is_log=False, max_ticks=5) is axis


def test_the_axis_rescales_when_data_leave_it_or_fill_less_than_half() -> None:
    axis = axis_for(0.5, 4.0)
    assert settled(axis, 0.4, 4.6, is_log=False, max_ticks=5).high >= 4.6
    assert settled(axis, 0.4, 1.5, is_log=False, max_ticks=5).high < 2.0


def test_a_constant_loss_lies_in_the_middle_of_its_axis() -> None:
    assert axis_for(2.0, 2.0).share(2.0) == pytest.approx(0.5, abs=0.15)
    assert axis_for(0.0, 0.0).share(0.0) == 0.0


def test_losses_at_or_below_0_have_no_log_axis() -> None:
    assert axis_for(-2.0, 0.0, is_log=True).is_log is False
    assert axis_for(-2.0, 1.0, is_log=True).is_log is True
    assert axis_for(0.0, 1.0, is_log=True).low == pytest.approx(1e-4)


def test_one_spike_in_a_hundred_is_cut_off_and_the_average_is_not() -> None:
    band, line = Buckets(Window(0, 100), 100), Buckets(Window(0, 100), 100)
    for step in range(100):
        band.append(step, 900.0 if step == 50 else 1.0 + step / 100, math.nan)
        line.append(step, 1.0, 5.0 if step == 51 else 1.0)
    assert data_range([band], [], []) == pytest.approx((1.02, 1.98))
    assert data_range([band], [line], [7.0]) == pytest.approx((1.0, 7.0))


def test_an_average_after_a_spike_of_1e30_does_not_set_the_axis() -> None:
    band = Buckets(Window(0, 100), 100)
    for step in range(100):
        band.append(step, 1e30 if step == 50 else 1.0 + step / 100, 1e28 if step > 50 else 1.5)
    found = data_range([band], [band], [])
    assert found is not None
    assert found[1] < 10


def test_nothing_finite_has_no_range() -> None:
    assert data_range([Buckets(Window(0, 4), 4)], [], [math.nan, math.inf]) is None


@given(st.floats(0, 1e12), st.floats(1, 1e12), st.integers(4, 200))
def test_x_labels_never_overlap_and_never_leave_the_axis(start: float, span: float, width: int) -> None:
    end = -2
    for cell, label in x_labels(Window(start, start + span), width):
        assert cell >= end + 2 or end == -2
        end = cell + len(label)
        assert end <= width


def test_x_labels_are_round_between_the_ends() -> None:
    assert [label for _, label in x_labels(Window(0, 857), 60)] == ["0", "200", "400", "600", "857"]
    assert [label for _, label in x_labels(Window(0, 32768), 60)] == ["0", "5k", "10k", "15k", "20k", "25k", "32.8k"]
    assert x_labels(Window(0, 857), 4) == [(0, "0")]


@given(st.floats(-1e100, 1e100), st.one_of(st.none(), st.floats(1e-30, 1e100)))
def test_a_y_label_has_at_most_six_cells(value: float, step: float | None) -> None:
    value = 0.0 if abs(value) < 1e-30 else value
    assert len(y_label(value, step)) <= LABEL_WIDTH


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [(2500, 500, "2500"), (0.5, 0.25, "0.50"), (-0.0, 1, "0"), (1.5e6, 5e5, "1.5e6"), (12.5, 2.5, "12.5")],
)
def test_y_labels_have_the_decimals_of_their_step(value: float, step: float, expected: str) -> None:
    assert y_label(value, step) == expected


def test_figures_are_short_and_exact_enough() -> None:
    losses = (1.0314, 0.72814, 0.00763, 12.344, 2503.54, 2e30, math.nan, -math.inf, 0)
    assert [loss_text(loss) for loss in losses] == [
        "1.031", "0.7281", "0.00763", "12.34", "2504", "2e30", "nan", "-inf", "0",
    ]  # fmt: skip
    assert [rate_text(value) for value in (2e-4, 1.44e-4, 0.0)] == ["2e-4", "1.4e-4", "0"]
    assert [count_text(value) for value in (0, 857, 9999, 12_500, 999_600, 1_234_567, 3e9)] == [
        "0", "857", "9999", "12.5k", "1M", "1.23M", "3G",
    ]  # fmt: skip


@given(st.floats(1e-30, 1e100))
def test_rounding_up_gives_1_2_25_or_5_times_a_power_of_ten(value: float) -> None:
    step = rounded_up(value)
    assert step >= value * (1 - 1e-9)
    assert step <= value * 2.5 * (1 + 1e-9)
    assert f"{step:.1e}".split("e")[0] in {"1.0", "2.0", "2.5", "5.0"}


def test_an_axis_of_unknown_length_doubles_and_a_planned_one_does_not() -> None:
    assert [whole_span(newest, 0) for newest in (0, 63, 64, 1000)] == [64, 64, 128, 1024]
    assert whole_span(412, 857) == 857
    assert whole_span(900, 857) == 1024
