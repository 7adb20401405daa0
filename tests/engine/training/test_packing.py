"""The packing preview against TRL's own packing, and the padding of real batches against what is expected of them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.packing import batches, packed


def packs_of_trl(lengths: list[int], max_length: int, strategy: str) -> list[list[int]]:
    from datasets import Dataset
    from trl import pack_dataset

    rows: dict[str, Any] = {"input_ids": [list(range(length)) for length in lengths]}
    return list(pack_dataset(Dataset.from_dict(rows), max_length, strategy)["input_ids"])


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
@pytest.mark.parametrize("max_length", [7, 64, 100])
def test_packs_are_as_many_and_as_full_as_those_of_trl(strategy: str, max_length: int) -> None:
    numbers = random.Random(max_length)
    lengths = [max(1, int(numbers.lognormvariate(3, 0.8))) for _ in range(2300)]
    theirs = packs_of_trl(lengths, max_length, strategy)
    ours = packed(lengths, max_length, strategy)
    assert ours.num_packs == len(theirs)
    assert ours.num_tokens == sum(map(len, theirs))
    assert ours.num_tokens_lost == sum(lengths) - ours.num_tokens
    assert ours.share_filled == pytest.approx(sum(map(len, theirs)) / (len(theirs) * max_length))
    if strategy == "bfd":
        assert ours.num_rows_cut == sum(length > max_length for length in lengths)


def one_by_one(lengths: list[int], max_length: int) -> list[int]:
    """The room left in each pack when rows are placed singly, the longest first, where the least room is left."""
    rooms: list[int] = []
    for length in sorted((min(length, max_length) for length in lengths), reverse=True):
        best = min((room for room in rooms if room >= length), default=None)
        if best is None:
            rooms.append(max_length - length)
        else:
            rooms[rooms.index(best)] = best - length
    return rooms


@settings(max_examples=80)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 30))
def test_placing_rows_of_one_length_together_changes_nothing(lengths: list[int], max_length: int) -> None:
    ours = packed(lengths, max_length, rows_at_once=None)
    rooms = one_by_one(lengths, max_length)
    assert ours.num_packs == len(rooms)
    assert ours.num_tokens == len(rooms) * max_length - sum(rooms)


def test_a_row_over_the_border_of_a_pack_is_cut_and_none_is_lost_in_a_strip() -> None:
    ours = packed([3, 3, 3, 3], 4, "wrapped")
    assert (ours.num_packs, ours.num_rows_cut, ours.num_tokens_lost) == (3, 2, 0)


def test_the_padding_of_random_batches_is_as_expected() -> None:
    numbers = random.Random(0)
    lengths = [numbers.randint(1, 200) for _ in range(4000)]
    expected = batches(lengths, 150, 8)
    cut = [min(length, 150) for length in lengths]
    positions = tokens = 0
    for _ in range(20):
        numbers.shuffle(cut)
        for at in range(0, len(cut), 8):
            positions += 8 * max(cut[at : at + 8])
            tokens += sum(cut[at : at + 8])
    assert expected.share_padding == pytest.approx(1 - tokens / positions, abs=0.005)
    assert expected.num_tokens_largest == 8 * 150


def test_without_rows_there_are_no_packs_and_no_batches() -> None:
    assert packed([], 8).num_packs == 0
    with pytest.raises(ValueError, match="no rows"):
        batches([], 8, 8)
