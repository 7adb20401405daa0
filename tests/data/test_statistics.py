"""Counts of rows against counting the long way, with memory that does not grow with the rows."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from data.figures.columns import columns_in
from data.figures.spread import Commonest, interval, mean_error, share_error, spread
from data.figures.statistics import RowStatistics
from data.loading import Rows


@given(st.lists(st.integers(0, 50), min_size=1, max_size=300))
def test_percentiles_from_counts_are_those_of_the_sorted_values(values: list[int]) -> None:
    found, ordered = spread(Counter(values)), sorted(values)
    assert (found.p50, found.p95, found.p99) == tuple(
        ordered[math.ceil(percent * len(ordered) / 100) - 1] for percent in (50, 95, 99)
    )
    assert (found.num, found.total, found.smallest, found.largest) == (
        len(values),
        sum(values),
        ordered[0],
        ordered[-1],
    )


def test_intervals_of_a_sample_hold_the_truth_about_as_often_as_they_say() -> None:
    numbers = random.Random(5)
    whole = [int(numbers.lognormvariate(4, 1)) for _ in range(20_000)]
    truth = spread(Counter(whole))
    share = sum(value > 200 for value in whole) / len(whole)
    held: Counter[str] = Counter()
    for _ in range(200):
        drawn = Counter(numbers.sample(whole, 400))
        low, high = interval(drawn, 0.95)
        held["p95"] += low <= truth.p95 <= high
        found = spread(drawn)
        held["mean"] += abs(found.mean - truth.mean) <= mean_error(drawn, len(whole))
        over = sum(count for value, count in drawn.items() if value > 200) / 400
        held["share"] += abs(over - share) <= share_error(over, 400, len(whole))
    assert all(hits >= 0.88 * 200 for hits in held.values()), held


def test_nothing_drawn_over_a_limit_is_no_proof_that_there_is_nothing() -> None:
    assert share_error(0.0, 100, 10_000) > 0
    assert math.isclose(share_error(0.0, 100, 100), 0.0)


def test_the_commonest_texts_are_found_though_the_rare_are_forgotten() -> None:
    found = Commonest(most=50)
    for number in range(2000):
        found.add("often" if number % 3 == 0 else f"rare {number}")
    assert found.first(1) == [("often", 667)]
    assert not found.is_whole
    assert found.num_different <= 50


def written(path: Path, rows: list[object]) -> Rows:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Rows(str(path))


def counted(rows: Rows) -> RowStatistics:
    found = RowStatistics()
    for row in rows:
        found.add(row)
    return found


def test_turns_roles_words_and_labels_are_counted(tmp_path: Path) -> None:
    rows = [{"prompt": f"is {number} odd?", "completion": "yes" if number % 2 else "no way"} for number in range(9)]
    found = counted(written(tmp_path / "rows.jsonl", [*rows, {"prompt": "", "completion": ""}]))
    assert (found.num_rows, found.num_used) == (10, 9)
    assert found.turns == {1: 9}
    assert found.roles == {"user": 9, "assistant": 9}
    assert found.are_labels
    assert found.commonest() == [("no way", 5), ("yes", 4)]
    assert found.requests.words == {3: 9}
    assert found.answers.words == {1: 4, 2: 5}
    assert json.loads(json.dumps(found.to_json()))["rows"] == 10


def test_where_all_answers_begin_alike_the_words_behind_that_are_counted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "completion": f"COMMAND: venvy {'ls' if number % 3 else 'scan'} {'long ' * number}"}
        for number in range(1, 31)
    ]
    found = counted(written(tmp_path / "rows.jsonl", rows))
    assert not found.are_labels
    assert found.commonest(2) == [("COMMAND: venvy ls", 20), ("COMMAND: venvy scan", 10)]


def test_columns_say_what_they_hold() -> None:
    first, second = columns_in([{"a": "x", "b": None}, {"a": " ", "b": 3}, {"a": "z"}])
    assert (first.name, first.kinds, first.share_filled, first.example) == ("a", (("text", 3),), 2 / 3, "x")
    assert dict(second.kinds) == {"null": 1, "a number": 1}
    assert (second.share_filled, second.example) == (1 / 3, "3")
