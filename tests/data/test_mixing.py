"""Several datasets as one: shares, stopping, restarts, and the same rows each time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from data.errors import DataError
from data.loading import Rows
from data.writing.conversion import Conversion
from data.writing.mixing import Ingredient, Mixture, SharedRequests
from tests.data.conftest import Write


def ingredient(write: Write, name: str, num_rows: int, weight: float, start: int = 0) -> Ingredient:
    rows = [{"prompt": f"{number}?", "completion": name} for number in range(start, start + num_rows)]
    return Ingredient(name, weight, Conversion(Rows(str(write(f"{name}.jsonl", rows))), "messages"))


def test_the_shares_are_the_weights_and_the_order_is_the_seed_s(write: Write) -> None:
    both = [ingredient(write, "a", 2000, 7), ingredient(write, "b", 2000, 3)]
    mixture = Mixture(both, 1, 2000, source_column="from")
    rows = [one.values for one in mixture]
    shares = Counter(row["from"] for row in rows if row)
    assert shares["a"] == pytest.approx(1400, abs=60)
    assert rows == [one.values for one in mixture]
    assert rows != [one.values for one in Mixture(both, 2, 2000, source_column="from")]


def test_it_stops_with_the_first_exhausted_or_begins_it_anew(write: Write) -> None:
    both = [ingredient(write, "a", 5, 0.5), ingredient(write, "b", 50, 0.5)]
    first = Mixture(both, 1)
    assert sum(1 for _ in first) < 20
    assert first.poured[0].num_rows == 5
    everything = Mixture(both, 1, stopping_strategy="all_exhausted")
    assert sum(1 for _ in everything) >= 55
    assert everything.poured[1].num_rows == 50
    assert everything.poured[0].num_restarts > 1


def test_the_same_request_in_two_datasets_is_counted_once_and_restarts_are_not(write: Write, tmp_path: Path) -> None:
    mixture = Mixture(
        [ingredient(write, "a", 6, 0.5), ingredient(write, "b", 40, 0.5, start=4)], 1, stopping_strategy="all_exhausted"
    )
    (tmp_path / "keys").mkdir()
    mixture.shared = SharedRequests(tmp_path / "keys")
    assert sum(1 for _ in mixture) > 46
    assert mixture.shared.counted() == {"across": 2, "within": 0}


def test_a_dataset_without_a_usable_row_a_weight_of_nothing_and_a_taken_column_are_refused(write: Write) -> None:
    fine = ingredient(write, "a", 5, 0.5)
    empty = Ingredient("e", 1, Conversion(Rows(str(write("e.jsonl", [{"prompt": "", "completion": "x"}]))), "messages"))
    with pytest.raises(DataError, match="e has no usable row"):
        list(Mixture([fine, empty], 1))
    with pytest.raises(DataError, match="weight"):
        Mixture([Ingredient("a", 0, fine.rows)], 1)
    with pytest.raises(DataError, match="already"):
        list(Mixture([fine], 1, source_column="messages"))
