"""Bars, curves and figures in characters."""

from __future__ import annotations

import math

import pytest

from tui_app.drawing import plain_text, width_of
from tui_app.glyphs import ASCII, UNICODE
from tui_app.meters import bar, labelled, short_bytes, short_seconds, sparkline, stacked


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("share", [-1.0, 0.0, 0.004, 0.33, 0.999, 1.0, 7.0])
def test_a_bar_is_as_long_as_asked_whatever_its_share(share: float, glyphs: object) -> None:
    assert width_of(bar(share, 20, glyphs)) == 20  # type: ignore[arg-type]


def test_a_bar_fills_in_eighths_of_a_cell() -> None:
    assert plain_text([bar(0.5, 3, UNICODE)]) == "█▌░"
    assert plain_text([bar(0.5, 4, ASCII)]) == "##.."


def test_parts_add_up_and_the_smallest_is_seen() -> None:
    drawn = plain_text([stacked([("W", "weights", 50), ("A", "adapter", 0.001), ("O", "optimizer", 0)], 100, 20)])
    assert drawn == "WWWWWWWWWWA" + "." * 9


def test_parts_larger_than_the_whole_fill_the_bar_and_no_more() -> None:
    drawn = stacked([("W", "weights", 80), ("A", "adapter", 80)], 100, 10)
    assert plain_text([drawn]) == "WWWWWAAAAA"


def test_a_sparkline_shows_the_newest_values_and_leaves_out_what_is_no_number() -> None:
    assert sparkline([9.0, 1.0, 8.0, math.nan], 3, UNICODE) == "▁█"
    assert sparkline([100.0, 101.0, 100.0], 8, UNICODE) == "▅▅▅"
    assert sparkline([], 8, UNICODE) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (42, "42 s"), (125, "2 m 05 s"), (2_160, "36 m"), (11_220, "3 h 07 m")]
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert short_seconds(seconds) == text


def test_sizes_are_short() -> None:
    assert (short_bytes(512 * 2**20), short_bytes(9 * 2**30)) == ("512 MiB", "9.0 GiB")


def test_pairs_take_as_many_lines_as_they_need() -> None:
    rows = labelled([("a", "1", ""), ("b", "2", ""), ("c", "3", "")], 9)
    assert plain_text(rows).splitlines() == ["a 1   b 2", "c 3"]
