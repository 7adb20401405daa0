"""The model of torch's caching allocator, against cases worked out by hand from its rules."""

from __future__ import annotations

import random
import time

import pytest

from engine.allocator import MiB, Replay, needed_on_cpu, replay, smallest_capacity

KiB = 1024


def made(*sizes: int) -> list[tuple[int, int]]:
    """One allocation of each size, ids 1, 2, 3…"""
    return list(enumerate(sizes, 1))


def random_trace(num_events: int, seed: int = 0) -> list[tuple[int, int]]:
    """Allocations of 64 B to 64 MiB, released in any order."""
    numbers = random.Random(seed)
    live: dict[int, int] = {}
    trace: list[tuple[int, int]] = []
    for number in range(num_events):
        if live and (numbers.random() < 0.48 or len(live) > 300):
            chosen = numbers.choice(list(live))
            trace.append((chosen, -live.pop(chosen)))
        else:
            live[number] = int(2 ** numbers.uniform(6, 26))
            trace.append((number, live[number]))
    return trace


@pytest.mark.parametrize(
    ("size", "reserved", "allocated"),
    [
        (1, 2 * MiB, 512),
        (513, 2 * MiB, 1024),
        (MiB, 2 * MiB, MiB),
        (MiB + 1, 20 * MiB, MiB + 512),
        (10 * MiB - 512, 20 * MiB, 10 * MiB - 512),
        (10 * MiB, 10 * MiB, 10 * MiB),
        (11 * MiB, 12 * MiB, 12 * MiB),  # what is left, 1 MiB, is not cut off
        (100 * MiB + 512, 102 * MiB, 100 * MiB + 512),
    ],
)
def test_the_first_allocation_gets_a_segment_of_its_class(size: int, reserved: int, allocated: int) -> None:
    assert replay(made(size)) == Replay(reserved, allocated, survived=True, num_retries=0)


def test_small_requests_share_segments_of_two_mebibytes() -> None:
    assert replay(made(*[512 * KiB] * 4)).peak_reserved_bytes == 2 * MiB
    assert replay(made(*[512 * KiB] * 5)).peak_reserved_bytes == 4 * MiB


def test_small_requests_never_use_the_large_pool() -> None:
    trace = [(1, 16 * MiB), (1, -16 * MiB), (2, 512)]
    assert replay(trace).peak_reserved_bytes == 18 * MiB


def test_a_large_block_is_split_only_where_more_than_a_mebibyte_is_left() -> None:
    """12 MiB are cached. 11 MiB of it leave 1 MiB: taken whole. 10 MiB leave 2 MiB: a second request fits there."""
    cached = [(1, 12 * MiB), (1, -12 * MiB)]
    assert replay([*cached, (2, 11 * MiB)]).peak_allocated_bytes == 12 * MiB
    assert replay([*cached, (2, 10 * MiB), (3, 2 * MiB)]).peak_reserved_bytes == 12 * MiB
    assert replay([*cached, (2, 11 * MiB), (3, MiB + 512)]).peak_reserved_bytes == 32 * MiB


def test_the_smallest_cached_block_that_fits_is_taken() -> None:
    """From 30 and 40 MiB cached, 30 MiB come out of the 30: the 40 still serve the next request."""
    cached = [(1, 40 * MiB), (2, 30 * MiB), (1, -40 * MiB), (2, -30 * MiB)]
    assert replay([*cached, (3, 30 * MiB), (4, 40 * MiB)]).peak_reserved_bytes == 70 * MiB


def test_neighbours_that_are_both_free_become_one_block() -> None:
    thirds = [(1, 6 * MiB), (2, 6 * MiB), (3, 6 * MiB)]  # one segment of 20 MiB
    apart = [*thirds, (1, -6 * MiB), (3, -6 * MiB), (4, 12 * MiB)]
    assert replay(apart).peak_reserved_bytes == 32 * MiB
    together = [*thirds, (1, -6 * MiB), (2, -6 * MiB), (4, 12 * MiB)]
    assert replay(together).peak_reserved_bytes == 20 * MiB


def test_a_full_card_gives_back_whole_segments_and_tries_once_more() -> None:
    trace = [(1, 40 * MiB), (1, -40 * MiB), (2, 60 * MiB)]
    assert replay(trace).peak_reserved_bytes == 100 * MiB
    assert replay(trace, capacity=60 * MiB) == Replay(60 * MiB, 60 * MiB, survived=True, num_retries=1)
    assert not replay(trace, capacity=59 * MiB).survived
    assert smallest_capacity(trace, step=1) == 60 * MiB


def test_a_segment_that_is_partly_in_use_is_not_given_back() -> None:
    """40 MiB, cached, are cut for a request of 10; the rest of 30 MiB stays reserved and of no use to 60."""
    trace = [(1, 40 * MiB), (1, -40 * MiB), (2, 10 * MiB), (3, 60 * MiB)]
    assert smallest_capacity(trace, step=1) == 100 * MiB


def test_an_expandable_segment_grows_by_pages_of_its_pool() -> None:
    assert replay(made(512), expandable=True).peak_reserved_bytes == 2 * MiB
    assert replay(made(2 * MiB), expandable=True).peak_reserved_bytes == 20 * MiB
    assert replay(made(21 * MiB), expandable=True).peak_reserved_bytes == 40 * MiB


def test_an_expandable_segment_is_enlarged_where_a_plain_one_would_be_a_second() -> None:
    trace = [(1, 40 * MiB), (1, -40 * MiB), (2, 60 * MiB)]
    assert replay(trace, expandable=True).peak_reserved_bytes == 60 * MiB
    cut = [(1, 40 * MiB), (1, -40 * MiB), (2, 10 * MiB), (3, 60 * MiB)]
    assert replay(cut, expandable=True).peak_reserved_bytes == 80 * MiB
    assert smallest_capacity(cut, expandable=True, step=1) == 80 * MiB


def test_pages_within_an_expandable_segment_are_given_back_and_used_elsewhere() -> None:
    """A hole of 40 MiB between two blocks of 20 cannot hold 60, but its pages can serve at the end."""
    trace = [(1, 20 * MiB), (2, 40 * MiB), (3, 20 * MiB), (2, -40 * MiB), (4, 60 * MiB)]
    assert replay(trace, expandable=True).peak_reserved_bytes == 140 * MiB
    assert replay(trace, expandable=True, capacity=100 * MiB) == Replay(100 * MiB, 100 * MiB, True, 1)
    assert not replay(trace, expandable=True, capacity=99 * MiB).survived


def test_a_hole_is_filled_before_the_segment_grows() -> None:
    made_hole = [(1, 20 * MiB), (2, 40 * MiB), (3, 20 * MiB), (2, -40 * MiB), (4, 60 * MiB), (4, -60 * MiB)]
    trace = [*made_hole, (5, 40 * MiB), (6, 20 * MiB)]
    assert replay(trace, expandable=True, capacity=100 * MiB).survived


@pytest.mark.parametrize("expandable", [False, True])
def test_the_smallest_capacity_survives_and_lies_between_allocated_and_reserved(expandable: bool) -> None:
    trace = random_trace(2000)
    unlimited = replay(trace, expandable=expandable)
    least = smallest_capacity(trace, expandable=expandable)
    assert unlimited.peak_allocated_bytes <= least <= unlimited.peak_reserved_bytes
    assert replay(trace, capacity=least, expandable=expandable).survived
    assert not replay(trace, capacity=unlimited.peak_allocated_bytes - 512, expandable=expandable).survived


@pytest.mark.parametrize("expandable", [False, True])
def test_everything_can_be_given_back_at_the_end(expandable: bool) -> None:
    """Once nothing is in use, one request as large as the whole capacity is served: no block was lost or overlaps."""
    trace = random_trace(2000)
    live = dict(trace)
    for number, num_bytes in trace:
        if num_bytes < 0:
            live.pop(number, None)
    freed = [*trace, *((number, -num_bytes) for number, num_bytes in live.items())]
    capacity = replay(freed, expandable=expandable).peak_reserved_bytes // (20 * MiB) * (20 * MiB) + 20 * MiB
    assert replay([*freed, (-1, capacity)], capacity=capacity, expandable=expandable).survived


@pytest.mark.parametrize("expandable", [False, True])
def test_a_hundred_thousand_events_take_about_a_second(expandable: bool) -> None:
    trace = random_trace(100_000)
    begin = time.process_time()
    replay(trace, expandable=expandable)
    assert time.process_time() - begin < 3, "with room for a slow machine"


def test_a_trace_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="never made"):
        replay([(1, -512)])
    with pytest.raises(ValueError, match="made twice"):
        replay([(1, 512), (1, 512)])


@pytest.mark.parametrize(("peak", "needed"), [(708, 796), (799, 913), (1070, 1147), (1326, 1426), (2161, 2265)])
def test_a_capped_cpu_process_is_given_what_real_attempts_needed_and_little_more(peak: int, needed: int) -> None:
    assert needed * MiB <= needed_on_cpu(peak * MiB) <= 1.05 * needed * MiB


def test_loading_counts_where_it_holds_more_than_a_step() -> None:
    assert needed_on_cpu(100 * MiB, load_bytes=300 * MiB) == needed_on_cpu(300 * MiB)
