"""Rows by key in a seeded order: complete, in the order of SHA-256, and the same whatever way they are sorted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from data.many_rows import seeded_index
from data.many_rows.seeded_index import SeededIndex, shared

ROWS = [(f"key {number % 40}", f"mark {number % 7 % 3}", number) for number in range(500)]


def index(folder: Path, name: str, rows: list[tuple[str, str, int]], seed: int = 42) -> SeededIndex:
    made = SeededIndex(folder, name, seed)
    for row in rows:
        made.add(*row)
    return made


def test_every_row_is_in_the_group_of_its_key_and_groups_are_in_the_order_of_their_hash(tmp_path: Path) -> None:
    groups = list(index(tmp_path, "a", ROWS).groups())
    ordered = sorted({key for key, _, _ in ROWS}, key=lambda key: hashlib.sha256(f"42:{key}".encode()).digest())
    expected = [[number for key, _, number in ROWS if key == each] for each in ordered]
    assert [sorted(group.rows()) for group in groups] == expected


def test_the_first_row_of_every_mark_is_told_from_its_repetitions(tmp_path: Path) -> None:
    (group,) = index(tmp_path, "a", [("k", "x", 0), ("k", "y", 1), ("k", "x", 2), ("k", "x", 5)]).groups()
    assert (sorted(group.firsts), sorted(group.others)) == ([0, 1], [2, 5])


def test_large_files_are_sorted_to_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = index(tmp_path, "a", ROWS)
    before = list(made.groups())
    monkeypatch.setattr(seeded_index, "_MANY_BYTES", 1)
    assert list(made.groups()) == before


def test_keys_that_stand_in_both_are_found_with_the_rows_of_each(tmp_path: Path) -> None:
    ours = index(tmp_path, "a", ROWS)
    theirs = index(tmp_path, "b", [("key 3", "", 0), ("nowhere", "", 1), ("key 39", "", 2), ("key 3", "", 3)])
    found = {tuple(sorted(their.rows())): min(our.rows()) for our, their in shared(ours, theirs)}
    assert found == {(0, 3): 3, (2,): 39}
    assert not list(shared(index(tmp_path, "c", []), theirs))
