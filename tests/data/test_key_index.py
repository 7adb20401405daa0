"""Rows with the same key are found among any number of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.many_rows.key_index import KeyIndex, RowNumbers, Seen


@given(keys=st.lists(st.text(max_size=2), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_groups_are_the_keys_that_more_than_one_row_has(
    keys: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = KeyIndex(tmp_path_factory.mktemp("keys"))
    for number, key in enumerate(keys):
        index.add(key, number, side=number % 2)
    wanted = [[Seen(n, n % 2) for n, one in enumerate(keys) if one == key] for key in dict.fromkeys(keys)]
    assert sorted(index.groups()) == sorted(group for group in wanted if len(group) > 1)


def test_more_rows_than_are_buffered_are_all_found(tmp_path: Path) -> None:
    index = KeyIndex(tmp_path)
    for number in range(200_000):
        index.add(f"key {number % 150_000}", number)
    assert sum(len(group) for group in index.groups()) == 100_000
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 28 * 200_000


@given(numbers=st.sets(st.integers(0, 5000)), asked=st.integers(0, 6000))
def test_row_numbers_are_a_set(numbers: set[int], asked: int) -> None:
    found = RowNumbers()
    for number in numbers:
        found.add(number)
        found.add(number)
    assert (len(found), asked in found) == (len(numbers), asked in numbers)
