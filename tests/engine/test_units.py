"""Sizes and durations, as people write and read them."""

from __future__ import annotations

import pytest

from engine.units import GIB, MIB, format_bytes, format_seconds, gib, parse_bytes


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("16GiB", 16 * GIB),
        ("6 GB", 6_000_000_000),
        ("512MiB", 512 * MIB),
        (" 1.5 gib ", GIB * 3 // 2),
        ("0.1GB", 100_000_000),
        ("7", 7),
        ("7 B", 7),
        (7, 7),
    ],
)
def test_a_size_is_read_as_written_binary_with_an_i_decimal_without(written: str | int, size: int) -> None:
    assert parse_bytes(written) == size


def test_a_large_size_loses_no_byte_to_floating_point() -> None:
    assert parse_bytes("9007199254740993") == 9007199254740993


@pytest.mark.parametrize("written", ["", "GiB", "six GiB", "6 G", "-6GiB", "6GiB 2", "1e9", -1, None, True, 1.5])
def test_what_is_not_a_size_is_refused_with_a_sentence(written: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_bytes(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (MIB - 1, "1 MiB"),
        (512 * MIB, "512 MiB"),
        (GIB - 1, "1.0 GiB"),
        (round(9.4 * GIB), "9.4 GiB"),
        (-3 * GIB, "-3.0 GiB"),
    ],
)
def test_a_size_is_shown_in_the_largest_fitting_unit_and_never_as_1024_of_a_smaller_one(size: int, shown: str) -> None:
    assert format_bytes(size) == shown


def test_gib_divides_by_two_to_the_thirty() -> None:
    assert gib(14_912 * MIB) == 14.5625


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (11_225, "3 h 07 min"),
        (187_200, "2 d 04 h"),
        (-125, "-2 min 05 s"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert format_seconds(seconds) == shown
