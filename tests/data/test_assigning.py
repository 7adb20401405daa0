"""Who goes into which split: shares, strata, groups, and that added rows move nobody by hash."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conversation import single_turn
from data.errors import DataError
from data.loading import ReadRow
from data.writing.assigning import SPLITS, Assigned, Assignment, apportioned, assigned, check_shares, keys_of

VALUES = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("aaaaab")), min_size=1, max_size=60)
SHARES = st.floats(0, 0.49)


def row(line: int, request: str, **values: Any) -> ReadRow:
    return ReadRow(line, "rows.jsonl", line, {"request": request, **values}, single_turn(request, "yes", line), None)


def placed(rows: Sequence[ReadRow], how: Assignment, unused: Sequence[int] = ()) -> Assigned:
    pytest.importorskip("numpy")
    return assigned(keys_of(((one, number not in unused) for number, one in enumerate(rows)), how), how)


def numbered(num_rows: int, **values: Any) -> list[ReadRow]:
    return [row(number, f"question {number}", **values) for number in range(num_rows)]


def test_shares_are_exact_where_every_request_is_different() -> None:
    result = placed(numbered(1000), Assignment(0.1, 0.05, 42))
    assert result.num_rows == (850, 100, 50)
    assert (result.num_leaks, result.num_duplicates) == (0, 0)


def test_another_seed_places_others_and_the_same_seed_the_same() -> None:
    first, again, other = (placed(numbered(100), Assignment(0.2, 0.2, seed)).splits.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@settings(max_examples=60)
@given(VALUES, SHARES, SHARES, st.integers(0, 5), st.booleans())
def test_a_request_never_stands_in_two_splits(
    values: list[tuple[int, str]], eval_share: float, test_share: float, seed: int, by_hash: bool
) -> None:
    rows = [row(number, f"Q {key}", kind=kind) for number, (key, kind) in enumerate(values)]
    how = Assignment(eval_share, test_share, seed, stratify_by=None if by_hash else "kind", by_hash=by_hash)
    result = placed(rows, how)
    splits = defaultdict(set)
    for one, split in zip(rows, result.splits, strict=True):
        splits[one.example and one.example.request].add(int(split))
    assert all(len(found) == 1 for found in splits.values())
    assert result.num_leaks == 0
    assert sum(result.num_rows) == len(rows)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 1000), unique=True, min_size=2, max_size=60), st.data())
def test_by_hash_a_row_stays_where_it_is_when_rows_are_added(keys: list[int], data: st.DataObject) -> None:
    how = Assignment(0.3, 0.2, 7, by_hash=True)
    old = data.draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))

    def where(numbers: list[int]) -> dict[int, int]:
        splits = placed([row(place, f"Q {key}") for place, key in enumerate(numbers)], how).splits
        return {key: int(split) for key, split in zip(numbers, splits, strict=True)}

    before, after = where(old), where(keys)
    assert all(after[key] == split for key, split in before.items())


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), SHARES, SHARES)
def test_every_stratum_keeps_its_shares_to_within_a_row(sizes: list[int], eval_share: float, test_share: float) -> None:
    rows = [row(number, f"{kind} {number}", kind=kind) for kind, size in enumerate(sizes) for number in range(size)]
    result = placed(rows, Assignment(eval_share, test_share, 3, stratify_by="kind"))
    for kind, size in enumerate(sizes):
        counts = result.strata[str(kind)]
        assert abs(counts[SPLITS.index("test")] - size * test_share) <= 1
        assert abs(counts[SPLITS.index("validation")] - size * eval_share) <= 2
    assert result.num_rows[SPLITS.index("test")] == round(len(rows) * test_share)


def test_rare_values_share_what_is_left_over_by_largest_remainder() -> None:
    assert apportioned([100, 7, 2, 1], 0.1, [100, 7, 2, 1], 1, list("abcd")) == [10, 1, 0, 0]
    assert sum(apportioned([1] * 50, 0.1, [1] * 50, 1, [str(one) for one in range(50)])) == 5


def test_a_group_stays_together_and_a_request_in_two_groups_is_a_leak() -> None:
    rows = [row(number, f"Q {number % 40}", author=f"author {number % 25}") for number in range(200)]
    result = placed(rows, Assignment(0.2, 0.2, 1, group_by="author"))
    splits = defaultdict(set)
    for one, split in zip(rows, result.splits, strict=True):
        splits[one.values and one.values["author"]].add(int(split))
    assert all(len(found) == 1 for found in splits.values())
    assert result.num_leaks > 0
    assert len(result.leaking) == 5


def test_duplicates_are_counted_and_rows_that_are_not_written_count_nowhere() -> None:
    rows = [row(number, f"Q {number % 10}") for number in range(20)]
    assert placed(rows, Assignment(0.2, 0, 1)).num_duplicates == 10
    left = placed(rows, Assignment(0.2, 0, 1), unused=range(10))
    assert (left.num_rows, left.num_duplicates) == ((8, 2, 0), 0)


def test_rows_of_no_known_format_count_by_all_their_columns() -> None:
    rows = [ReadRow(number, "f", number, {"a": number % 5, "b": [1]}, None, None) for number in range(10)]
    result = placed(rows, Assignment(0.2, 0, 1))
    assert Counter(result.splits.tolist()) == {0: 8, 1: 2}
    assert result.num_duplicates == 5


def test_a_column_that_rows_lack_and_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="10 of 10 rows have no column 'kind'"):
        placed(numbered(10), Assignment(0.1, 0, 1, stratify_by="kind"))
    for shares in ((0.5, 0.5), (0.0, 0.0), (-0.1, 0.2), (1.0, 0.0)):
        with pytest.raises(DataError):
            check_shares(Assignment(*shares, seed=1))
