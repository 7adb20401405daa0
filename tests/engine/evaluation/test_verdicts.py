"""What comparisons mean in words, and that nothing is claimed which the rows do not show."""

from __future__ import annotations

from dataclasses import replace

from engine.evaluation.statistics import paired
from engine.evaluation.verdicts import few_rows, verdict, verdict_of_intervals
from engine.events import VariantsCompared, VariantScored

TITLES = {"tuned": "tuned", "base_zero_shot": "base, zero-shot"}


def compared(base: list[float], other: list[float], metric: str = "exact_match") -> VariantsCompared:
    found = paired(base, other, higher_is_better=metric not in ("loss", "perplexity"))
    assert found is not None
    return VariantsCompared(
        dataset="test",
        metric=metric,
        base="base_zero_shot",
        other="tuned",
        num_rows=found.num_rows,
        num_better=found.num_better,
        num_worse=found.num_worse,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        rows_file="rows.json",
    )


def test_a_clear_gain_is_called_better_with_its_figures() -> None:
    told = verdict(compared([0.0] * 20, [1.0] * 15 + [0.0] * 5), TITLES)
    assert told.kind == "better"
    assert told.text == "tuned is better than base, zero-shot: 15 of 20 rows better, 0 worse"
    assert told.figures.startswith("exact match +75.0 points (95 %: +")
    assert told.figures.endswith("sign test p < 0.001")


def test_a_clear_loss_is_called_worse_and_a_lower_loss_better() -> None:
    assert verdict(compared([1.0] * 20, [0.0] * 20), TITLES).kind == "worse"
    told = verdict(compared([2.0] * 10, [1.5] * 10, "loss"), TITLES)
    assert (told.kind, told.figures) == ("better", "loss -0.500 (95 %: -0.500 to -0.500), sign test p = 0.002")


def test_what_chance_explains_is_no_difference_and_equal_answers_are_said_to_be() -> None:
    told = verdict(compared([0.0] * 10, [1.0] * 3 + [0.0] * 7), TITLES)
    assert (told.kind, told.text) == (
        "unclear",
        "no difference of tuned to base, zero-shot is shown: 3 of 10 rows better, 0 worse",
    )
    same = verdict(compared([1.0] * 4, [1.0] * 4), {})
    assert (same.kind, same.text) == ("same", "tuned does as well as base_zero_shot on each of 4 rows")


def test_a_mean_that_goes_the_other_way_is_told() -> None:
    told = verdict(compared([0.5] * 12, [0.51] * 11 + [0.0], "rougeL"), TITLES)
    assert told.kind == "better"
    assert told.text.endswith("11 of 12 rows better, 1 worse, though the mean is worse")


def test_a_metric_that_is_gone_is_still_told_by_its_name() -> None:
    told = verdict(replace(compared([0.0] * 8, [1.0] * 8), metric="meteor"), TITLES)
    assert told.figures.startswith("meteor +1.000 (")


def test_without_pairs_only_intervals_that_part_are_a_difference() -> None:
    def scored(title: str, low: float, high: float) -> VariantScored:
        return VariantScored(
            variant=title,
            title=title,
            metric="exact_match",
            num_rows=50,
            num_correct=25,
            low=low,
            high=high,
            seconds=1.0,
            answers_file="answers.jsonl",
        )

    base = scored("base", 0.1, 0.3)
    assert verdict_of_intervals(scored("tuned", 0.4, 0.6), base).kind == "better"
    assert verdict_of_intervals(scored("tuned", 0.0, 0.05), base).kind == "worse"
    unclear = verdict_of_intervals(scored("tuned", 0.2, 0.4), base)
    assert (unclear.kind, unclear.figures) == ("unclear", "tuned 20.0% to 40.0%, base 10.0% to 30.0%")


def test_few_rows_are_said_to_be_few() -> None:
    assert few_rows(100) == ""
    assert few_rows(40) == "40 rows show only large differences; more test rows show smaller ones"
