"""The average is the one in the formula, and starts where the losses start."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_app.chart.smoothing import SMOOTHINGS, Ema


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from(SMOOTHINGS))
def test_the_average_is_the_weighted_mean_of_all_losses_so_far(values: list[float], smoothing: float) -> None:
    ema = Ema(smoothing)
    average = [ema.add(value) for value in values][-1]
    newest = len(values) - 1
    weights = [smoothing ** (newest - index) for index in range(len(values))]
    expected = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
    assert average == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_the_first_average_is_the_first_loss(smoothing: float) -> None:
    assert Ema(smoothing).add(3.25) == pytest.approx(3.25)


def test_a_loss_that_is_no_number_is_left_out_of_the_average() -> None:
    ema, plain = Ema(0.9), Ema(0.9)
    with_gap = [ema.add(value) for value in (2.0, math.nan, math.inf, 1.0)]
    assert math.isnan(with_gap[1])
    assert math.isnan(with_gap[2])
    assert with_gap[3] == [plain.add(value) for value in (2.0, 1.0)][-1]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30), st.sampled_from(SMOOTHINGS))
def test_the_average_is_never_infinite(values: list[float], smoothing: float) -> None:
    ema = Ema(smoothing)
    assert not any(math.isinf(ema.add(value)) for value in values)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_a_smoothing_outside_0_to_1_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match="smoothing"):
        Ema(smoothing)
