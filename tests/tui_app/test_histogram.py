"""Lengths as columns of characters: they fit their place, and their highest column is the commonest length's."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_app.data_text.histogram import MIN_HEIGHT, MIN_WIDTH, histogram_lines
from tui_app.glyphs import ASCII, UNICODE, Glyphs

LENGTHS = st.dictionaries(st.integers(0, 200_000), st.integers(1, 10**7), min_size=1, max_size=60)


@given(counts=LENGTHS, width=st.integers(MIN_WIDTH, 120), height=st.integers(MIN_HEIGHT, 20))
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_histogram_fits_its_place_whatever_the_lengths(
    glyphs: Glyphs, counts: dict[int, int], width: int, height: int
) -> None:
    lines = histogram_lines(counts, width, height, glyphs)
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    assert any(glyphs.levels[-1] in line for line in lines[:-2]), "the commonest reaches the top"
    assert lines[0].lstrip()[:1].isdigit()
    if not glyphs.is_unicode:
        assert "".join(lines).isascii()


def test_the_columns_stand_over_their_numbers() -> None:
    lines = histogram_lines({10: 4, 20: 8}, 40, 6)
    assert lines[0].startswith("8 ")
    axis = lines[-1]
    assert lines[0].rstrip().endswith("█"), "the longest is the commonest"
    assert "10" in axis


def test_a_few_rows_far_longer_than_all_others_do_not_squeeze_them() -> None:
    counts = Counter(dict.fromkeys(range(50, 100), 1000)) + Counter({90_000: 3})
    lines = histogram_lines(counts, 80, 8, ASCII)
    assert lines[-1].endswith("+")
    assert "50" in lines[-1]
    assert lines[-3].count("#") >= 50


def test_without_rows_or_room_nothing_is_drawn() -> None:
    assert histogram_lines({}, 80, 8) == []
    assert histogram_lines({1: 1}, MIN_WIDTH - 1, 8) == []
    assert histogram_lines({1: 1}, 80, MIN_HEIGHT - 1) == []
