"""What an allocator makes of a sequence of allocations: the pool torch would reserve, the capacity that survives.

`replay` follows torch 2.13's native CUDA caching allocator on one stream (c10/cuda/CUDACachingAllocator.cpp,
constants in c10/core/AllocatorConfig.h). Not here: where a sequence comes from, and the verdict drawn from it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

MiB = 1 << 20

MIN_BLOCK = 512
"""kMinBlockSize: every size is rounded up to a multiple of it."""
SMALL_SIZE = MiB
"""kSmallSize: the largest request served from the small pool."""
SMALL_SEGMENT = 2 * MiB
"""kSmallBuffer: a segment of the small pool, and a page of its expandable segment."""
MIN_LARGE_REQUEST = 10 * MiB
"""kMinLargeAlloc: from here on a segment is as large as the request."""
LARGE_SEGMENT = 20 * MiB
"""large_segment_size: a segment for a request below 10 MiB, and a page of the large expandable segment."""
ROUND_LARGE = 2 * MiB
"""kRoundLarge: segments for requests of 10 MiB and more are a multiple of it."""
ADDRESS_SPACE = LARGE_SEGMENT << 26
"""Addresses of an expandable segment, a whole number of either pool's pages; more than any card has."""

CPU_EXTRA_BYTES = 112 * MiB
CPU_EXTRA_SHARE = 0.01
"""What a capped CPU process takes beside its tensors: allocator events of the measured step, libraries that load
late, oneDNN's scratch, stacks of two threads, glibc's holes. Greatest size of RLIMIT_DATA's count in real attempts
(torch 2.13, glibc with MALLOC_MMAP_THRESHOLD_ = 128 KiB), peak of the tensors -> needed, MiB: LoRA on bf16 weights
708 -> 796, QLoRA 799 -> 913, LoRA 1070 -> 1147, LoRA padded under bf16 autocast 1326 -> 1426, full training
2161 -> 2265. With glibc's own, growing threshold the first and third needed 1038 and 1460."""

Trace = Sequence[tuple[int, int]]
"""(id, +bytes) for an allocation and (id, -bytes) for its release, in order."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a trace did to the allocator. `survived` is False where it ran out; the peaks are then those up to there."""

    peak_reserved_bytes: int
    peak_allocated_bytes: int
    survived: bool
    num_retries: int
    """Times the cache had to be given back before a segment could be had (torch's num_alloc_retries)."""


def replay(trace: Trace, *, capacity: int | None = None, expandable: bool = False) -> Replay:
    """Feed `trace` to the allocator with at most `capacity` bytes of segments (None: no limit).

    `expandable` is PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True. Raises ValueError where the trace releases
    what it never allocated, or allocates an id twice.
    """
    allocator = _Expandable(capacity) if expandable else _Segmented(capacity)
    survived = allocator.follow(trace)
    return Replay(allocator.peak_reserved, allocator.peak_allocated, survived, allocator.num_retries)


def smallest_capacity(trace: Trace, *, expandable: bool = False, step: int = 16 * MiB) -> int:
    """Bytes of segments with which the trace survives, found by bisection to within `step` bytes."""
    unlimited = replay(trace, expandable=expandable)
    too_small, enough = unlimited.peak_allocated_bytes - 1, unlimited.peak_reserved_bytes
    while enough - too_small > step:
        middle = (too_small + enough) // 2
        if replay(trace, capacity=middle, expandable=expandable).survived:
            enough = middle
        else:
            too_small = middle
    return enough


def needed_on_cpu(peak_bytes: int, *, load_bytes: int = 0) -> int:
    """The memory cap, in bytes, with which a CPU process survives a step whose tensors peak at `peak_bytes`.

    `load_bytes` is what loading holds at once, where that is more: the weights, and their files beside them wherever
    the type in memory is not the file's (torch maps them privately, which counts against the cap).
    """
    most = max(peak_bytes, load_bytes)
    return most + CPU_EXTRA_BYTES + int(CPU_EXTRA_SHARE * most)


class _Block:
    """A piece of a segment. Neighbours lie in the same segment; `mapped` is False for addresses without memory."""

    __slots__ = ("address", "free", "mapped", "next", "prev", "size")

    def __init__(self, address: int, size: int, *, mapped: bool = True) -> None:
        self.address, self.size, self.mapped, self.free = address, size, mapped, True
        self.prev: _Block | None = None
        self.next: _Block | None = None


class _Pool:
    """The cached blocks of one size class, smallest first and then by address, as torch orders them."""

    __slots__ = ("blocks", "page", "unmapped")

    def __init__(self, page: int) -> None:
        self.page = page
        self.blocks: list[tuple[int, int, _Block]] = []
        self.unmapped: list[tuple[int, _Block]] = []

    def add(self, block: _Block) -> None:
        insort(self.blocks, (block.size, block.address, block))

    def remove(self, block: _Block) -> None:
        del self.blocks[bisect_left(self.blocks, (block.size, block.address))]

    def hide(self, block: _Block) -> None:
        insort(self.unmapped, (block.address, block))

    def unhide(self, block: _Block) -> None:
        del self.unmapped[bisect_left(self.unmapped, (block.address,))]


class _Allocator:
    """What both kinds of segment share: rounding, best fit, splitting, merging, retry after giving back the cache."""

    def __init__(self, capacity: int | None) -> None:
        self.capacity = capacity
        self.reserved = self.peak_reserved = self.allocated = self.peak_allocated = self.num_retries = 0
        self.small, self.large = _Pool(SMALL_SEGMENT), _Pool(LARGE_SEGMENT)

    def follow(self, trace: Trace) -> bool:
        """Whether the whole trace could be served."""
        live: dict[int, tuple[_Block, _Pool]] = {}
        for number, num_bytes in trace:
            if num_bytes > 0:
                if number in live:
                    raise ValueError(f"allocation {number} is made twice")
                size = -(-num_bytes // MIN_BLOCK) * MIN_BLOCK
                pool = self.small if size <= SMALL_SIZE else self.large
                block = self.allocate(pool, size)
                if block is None:
                    return False
                live[number] = block, pool
            elif num_bytes < 0:
                if number not in live:
                    raise ValueError(f"allocation {number} is released but was never made")
                self.release(*live.pop(number))
        return True

    def allocate(self, pool: _Pool, size: int) -> _Block | None:
        block = self.cached(pool, size) or self.grow(pool, size)
        if block is None:
            self.give_back()
            self.num_retries += 1
            block = self.grow(pool, size)
            if block is None:
                return None
        if self.splits(pool, block.size - size):
            rest = _Block(block.address + size, block.size - size)
            rest.prev, rest.next = block, block.next
            if block.next is not None:
                block.next.prev = rest
            block.next, block.size = rest, size
            pool.add(rest)
        block.free = False
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def release(self, block: _Block, pool: _Pool) -> None:
        self.allocated -= block.size
        block.free = True
        self.merge(block, pool)
        pool.add(block)

    def merge(self, block: _Block, pool: _Pool) -> None:
        """Swallow the free neighbours of the same kind. `block` itself must stand in no list of the pool."""
        for other in (block.prev, block.next):
            if other is None or not other.free or other.mapped != block.mapped:
                continue
            if other.mapped:
                pool.remove(other)
            else:
                pool.unhide(other)
            block.size += other.size
            if other is block.prev:
                block.address, block.prev = other.address, other.prev
                if block.prev is not None:
                    block.prev.next = block
            else:
                block.next = other.next
                if block.next is not None:
                    block.next.prev = block

    def reserve(self, num_bytes: int) -> bool:
        if self.capacity is not None and self.reserved + num_bytes > self.capacity:
            return False
        self.reserved += num_bytes
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return True

    def cached(self, pool: _Pool, size: int) -> _Block | None:
        """The best fitting cached block, taken out of its pool."""
        place = bisect_left(pool.blocks, (size,))
        return pool.blocks.pop(place)[2] if place < len(pool.blocks) else None

    def splits(self, pool: _Pool, rest: int) -> bool:
        raise NotImplementedError

    def grow(self, pool: _Pool, size: int) -> _Block | None:
        """A free block of at least `size` from new memory, in no list of the pool; None where there is none."""
        raise NotImplementedError

    def give_back(self) -> None:
        raise NotImplementedError


class _Segmented(_Allocator):
    """One cudaMalloc per segment; a segment goes back only when nothing in it is in use."""

    end = 0

    def splits(self, pool: _Pool, rest: int) -> bool:
        return rest >= MIN_BLOCK if pool is self.small else rest > SMALL_SIZE

    def grow(self, pool: _Pool, size: int) -> _Block | None:
        if pool is self.small:
            segment = SMALL_SEGMENT
        elif size < MIN_LARGE_REQUEST:
            segment = LARGE_SEGMENT
        else:
            segment = -(-size // ROUND_LARGE) * ROUND_LARGE
        if not self.reserve(segment):
            return None
        block = _Block(self.end, segment)
        self.end += segment
        return block

    def give_back(self) -> None:
        for pool in (self.small, self.large):
            kept = [entry for entry in pool.blocks if entry[2].prev is not None or entry[2].next is not None]
            self.reserved -= sum(entry[0] for entry in pool.blocks) - sum(entry[0] for entry in kept)
            pool.blocks = kept


class _Expandable(_Allocator):
    """One range of addresses per pool, backed page by page; whole free pages go back."""

    def __init__(self, capacity: int | None) -> None:
        super().__init__(capacity)
        for start, pool in enumerate((self.small, self.large)):
            pool.hide(_Block(start * ADDRESS_SPACE, ADDRESS_SPACE, mapped=False))

    def splits(self, pool: _Pool, rest: int) -> bool:  # noqa: ARG002 (the other kind looks at the pool)
        return rest >= MIN_BLOCK

    def cached(self, pool: _Pool, size: int) -> _Block | None:
        """Best fit, where a block that could still grow counts as large as it could become."""
        blocks = pool.blocks
        place = bisect_left(blocks, (size,))
        while place + 1 < len(blocks) and _could_become(blocks[place + 1][2]) < _could_become(blocks[place][2]):
            place += 1
        return blocks.pop(place)[2] if place < len(blocks) else None

    def grow(self, pool: _Pool, size: int) -> _Block | None:
        block = _first_room(pool, size)
        if not block.mapped and not self.map(pool, block, min(block.size, size)):
            return None
        while block.size < size:
            following = block.next
            assert following is not None
            if not self.map(pool, following, min(size - block.size, following.size)):
                return None
            block = following  # it has swallowed the one before
        pool.remove(block)
        return block

    def map(self, pool: _Pool, block: _Block, size: int) -> bool:
        """Back the first `size` bytes of an unmapped block, in whole pages, and join it to its free neighbours."""
        size = -(-size // pool.page) * pool.page
        if not self.reserve(size):
            return False
        pool.unhide(block)
        block.mapped = True
        if size < block.size:
            rest = _Block(block.address + size, block.size - size, mapped=False)
            _put_after(block, rest)
            block.size = size
            pool.hide(rest)
        self.merge(block, pool)
        pool.add(block)
        return True

    def give_back(self) -> None:
        for pool in (self.small, self.large):
            for _, _, block in list(pool.blocks):
                self.unmap(pool, block)

    def unmap(self, pool: _Pool, block: _Block) -> None:
        """Give back the whole pages inside a cached block; what is left of it at both ends stays cached."""
        first = -(-block.address // pool.page) * pool.page
        last = (block.address + block.size) // pool.page * pool.page
        if last <= first:
            return
        pool.remove(block)
        before, after = first - block.address, block.address + block.size - last
        if before:
            left = _Block(block.address, before)
            left.prev, left.next = block.prev, block
            if block.prev is not None:
                block.prev.next = left
            block.prev = left
            pool.add(left)
        if after:
            right = _Block(last, after)
            _put_after(block, right)
            pool.add(right)
        block.address, block.size, block.mapped = first, last - first, False
        self.merge(block, pool)
        pool.hide(block)
        self.reserved -= last - first


def _could_become(block: _Block) -> int:
    following = block.next
    return block.size + (following.size if following is not None and not following.mapped else 0)


def _first_room(pool: _Pool, size: int) -> _Block:
    """The lowest block from which `size` bytes of addresses follow that nothing uses."""
    for _, unmapped in pool.unmapped:
        start = unmapped.prev if unmapped.prev is not None and unmapped.prev.free else unmapped
        room = 0
        block: _Block | None = start
        while block is not None and block.free and room < size:
            room += block.size
            block = block.next
        if room >= size:
            return start
    raise AssertionError("the range of addresses is larger than any request")


def _put_after(block: _Block, new: _Block) -> None:
    new.prev, new.next = block, block.next
    if block.next is not None:
        block.next.prev = new
    block.next = new
