"""Loss, perplexity, stop rate, length and speed: figures of the model, whatever the answers say."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from engine.evaluation.metrics import Reply, all_metrics, measure, needs
from engine.recipe_sections import EvaluationSection

Settings = Callable[..., EvaluationSection]


def losses(*pairs: tuple[float | None, int | None]) -> list[Reply]:
    return [Reply("", "", loss=loss, num_loss_tokens=tokens) for loss, tokens in pairs]


def test_loss_counts_every_token_once_and_perplexity_is_e_to_its_power(settings: Settings) -> None:
    replies = losses((1.0, 1), (2.0, 3))
    loss = measure(all_metrics()["loss"], replies, settings())
    perplexity = measure(all_metrics()["perplexity"], replies, settings())
    assert loss.value == pytest.approx(1.75)
    assert perplexity.value == pytest.approx(math.exp(1.75))
    assert perplexity.values == (pytest.approx(math.e), pytest.approx(math.e**2))
    assert loss.low is not None
    assert perplexity.low == pytest.approx(math.exp(loss.low))
    assert not all_metrics()["perplexity"].HIGHER_IS_BETTER


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(settings: Settings) -> None:
    found = measure(all_metrics()["perplexity"], losses(*[(math.log(50), 7)] * 5), settings())
    assert (found.value, found.low, found.high) == pytest.approx((50, 50, 50))


def test_no_interval_of_a_loss_goes_below_0_nor_one_of_a_perplexity_below_1(settings: Settings) -> None:
    replies = losses((0.0, 5), (0.0, 5), (0.4, 5))
    assert measure(all_metrics()["loss"], replies, settings()).low == 0
    assert measure(all_metrics()["perplexity"], replies, settings()).low == 1


def test_rows_without_a_trained_token_do_not_count_and_a_loss_that_is_no_number_leaves_none(settings: Settings) -> None:
    metric = all_metrics()["loss"]
    assert measure(metric, losses((1.0, 4), (None, None), (9.0, 0)), settings()).value == 1.0
    for broken in (math.nan, math.inf):
        found = measure(metric, losses((1.0, 4), (broken, 4), (1.0, 4)), settings())
        assert (found.values, found.value, found.low) == ((1.0, None, 1.0), None, None)
    assert measure(all_metrics()["perplexity"], losses((1.0, 4), (math.nan, 4)), settings()).value is None


def test_a_loss_beyond_all_reason_is_still_a_number(settings: Settings) -> None:
    found = measure(all_metrics()["perplexity"], losses((5e4, 3), (5e4, 3)), settings())
    assert found.value is not None
    assert math.isfinite(found.value)


def test_the_stop_rate_is_the_share_that_ended_by_itself(settings: Settings) -> None:
    replies = [Reply("", "", ended=ended) for ended in (True, True, False, None)]
    found = measure(all_metrics()["stop_rate"], replies, settings())
    assert (found.values, found.value, found.num_rows) == ((1.0, 1.0, 0.0, None), pytest.approx(2 / 3), 3)


def test_length_is_the_mean_number_of_tokens_and_no_side_is_better(settings: Settings) -> None:
    replies = [Reply("", "", num_tokens=tokens) for tokens in (4, 8, None)]
    metric = all_metrics()["answer_length"]
    found = measure(metric, replies, settings())
    assert (found.value, metric.HIGHER_IS_BETTER) == (6.0, None)


def test_speed_is_all_tokens_by_all_seconds(settings: Settings) -> None:
    metric = all_metrics()["tokens_per_second"]
    timed = [Reply("", "", num_tokens=10, seconds=1.0), Reply("", "", num_tokens=50, seconds=2.0)]
    found = measure(metric, timed, settings())
    assert (found.values, found.value, found.low) == ((None, None), 20.0, None)
    assert measure(metric, [Reply("", "", num_tokens=3), Reply("", "", seconds=0.0)], settings()).value is None


def test_what_must_be_known_of_a_reply_is_said() -> None:
    known = all_metrics()
    assert needs([known["exact_match"], known["token_f1"], known["command_validity"]]) == {"answer"}
    assert needs([known["loss"]]) == {"loss"}
    assert "whole_answer" in needs([known["exact_match"], known["stop_rate"]])
