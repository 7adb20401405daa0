"""What becomes of rows of these lengths in batches: padding, and how full packs are. Pure; in tokens.

Packs are filled as TRL's `pack_dataset` fills them: best fit decreasing ("bfd", which cuts longer rows; ours) or
"wrapped" (one strip of all rows, cut wherever a pack is full, only counted), `rows_at_once` rows by themselves. Not
here: counting tokens, joining the rows of a pack (`training.dataset_files`), what a batch costs in memory (`memory`).
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ROWS_AT_ONCE = 1000
"""Rows that TRL packs by themselves: `datasets.map` hands it so many at a time."""


@dataclass(frozen=True, slots=True)
class Packs:
    """Rows joined into packs of at most `max_length` tokens.

    `num_rows_cut` rows lie in more than one pack, or lost their end; `num_tokens_lost` are in no pack at all.
    """

    strategy: str
    max_length: int
    num_rows: int
    num_packs: int
    num_tokens: int
    num_rows_cut: int
    num_tokens_lost: int

    @property
    def share_filled(self) -> float:
        """Tokens in the packs over the room in them, 0 to 1."""
        room = self.num_packs * self.max_length
        return self.num_tokens / room if room else 0.0


@dataclass(frozen=True, slots=True)
class Batches:
    """Micro-batches of `batch_size` rows drawn at random, each row cut at `max_length`.

    `mean_longest` is the expected length of a batch's longest row; padding fills the others up to it.
    `num_tokens_largest` is what the batch of the longest rows holds, without padding.
    """

    batch_size: int
    max_length: int
    mean_length: float
    mean_longest: float
    num_tokens_largest: int

    @property
    def share_padding(self) -> float:
        """Padding over all positions of padded batches, 0 to 1, expected."""
        return 1 - self.mean_length / self.mean_longest if self.mean_longest else 0.0


def packed(
    lengths: Sequence[int], max_length: int, strategy: str = "bfd", rows_at_once: int | None = ROWS_AT_ONCE
) -> Packs:
    """Pack rows of these lengths, in this order. Raises ValueError for another strategy or no room."""
    if strategy not in ("bfd", "wrapped"):
        raise ValueError(f"strategy is {strategy!r}, not bfd or wrapped")
    if max_length < 1 or (rows_at_once is not None and rows_at_once < 1):
        raise ValueError("max_length and rows_at_once are at least 1")
    step = rows_at_once or max(len(lengths), 1)
    parts = [lengths[at : at + step] for at in range(0, len(lengths), step)]
    pack = _wrapped if strategy == "wrapped" else _best_fit
    counted = [pack(part, max_length) for part in parts]
    packs, cut, lost = (sum(column) for column in zip(*counted, strict=True)) if counted else (0, 0, 0)
    return Packs(strategy, max_length, len(lengths), packs, sum(lengths) - lost, cut, lost)


def batches(lengths: Iterable[int], max_length: int, batch_size: int) -> Batches:
    """What random micro-batches of these rows hold. Raises ValueError where there is no row."""
    if batch_size < 1 or max_length < 1:
        raise ValueError("batch_size and max_length are at least 1")
    counts = Counter(min(length, max_length) for length in lengths)
    num_rows = counts.total()
    if not num_rows:
        raise ValueError("no rows to put into batches")
    size = min(batch_size, num_rows)
    below, mean_longest = 0.0, 0.0
    seen = 0
    for length in sorted(counts):
        seen += counts[length]
        upto = (seen / num_rows) ** size
        mean_longest += length * (upto - below)
        below = upto
    longest, wanted = 0, size
    for length in sorted(counts, reverse=True):
        taken = min(counts[length], wanted)
        longest, wanted = longest + taken * length, wanted - taken
    total = sum(length * count for length, count in counts.items())
    return Batches(batch_size, max_length, total / num_rows, mean_longest, longest)


def padding_by_step(
    counts: Mapping[int, int], max_length: int, batch_size: int, num_batches: int
) -> tuple[float, float]:
    """Expected share of padding with a step's rows as drawn, and sorted by length before they fall into micro-batches.

    `counts`: rows of each length. A step has `num_batches` micro-batches of `batch_size` rows. Raises ValueError where
    there is no row.
    """
    lengths = sorted((length, num) for length, num in counts.items() if num)
    num_rows = sum(num for _, num in lengths)
    if not num_rows:
        raise ValueError("no rows to put into batches")
    ends, seen = [], 0  # (length, rows of at most that length)
    for length, num in lengths:
        seen += num
        ends.append((min(length, max_length), seen))
    mean = sum(min(length, max_length) * num for length, num in lengths) / num_rows
    window = batch_size * num_batches

    def at(share: float) -> int:
        """The length that this share of the rows does not exceed."""
        return ends[bisect_left(ends, share * num_rows, key=lambda pair: pair[1])][0]

    # The longest of each sorted micro-batch is an order statistic of the step's rows; its expectation is close to the
    # quantile at its expected rank, k / (window + 1). As drawn, all micro-batches are alike.
    sorted_longest = [at((window - batch * batch_size) / (window + 1)) for batch in range(num_batches)]
    below, drawn = 0.0, 0.0
    for length, seen in ends:
        upto = (seen / num_rows) ** batch_size
        drawn, below = drawn + length * (upto - below), upto
    after = sum(sorted_longest) / num_batches
    return 1 - mean / drawn if drawn else 0.0, max(0.0, 1 - mean / after) if after else 0.0


def packs_of(counts: Mapping[int, int], max_length: int) -> dict[int, int]:
    """Packs that hold so many tokens, best fit decreasing; `counts` are rows of each length, cut at `max_length`."""
    cut = Counter[int]()
    for length, num in counts.items():
        cut[min(length, max_length)] += num
    rooms, num_packs = _filled(cut, max_length)
    sizes = {max_length - room: num for room, num in sorted(rooms.items())}
    full = num_packs - sum(rooms.values())
    return {max_length: full, **sizes} if full else sizes


def best_fit(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """The rows of each pack, by their places in `lengths`; longer rows count as `max_length`.

    The longest row is placed first, each where it leaves the least room, equal ones in their order. Packs stand in the
    order of their first rows' places, and the rows of a pack in the order of theirs.
    """
    packs: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    spaces: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        length = min(lengths[row], max_length)
        place = bisect_left(spaces, length)
        if place == len(spaces):
            packs.append([row])
            space, pack = max_length, len(packs) - 1
        else:
            space = spaces[place]
            pack = with_room[space].pop()
            packs[pack].append(row)
            if not with_room[space]:
                del with_room[space], spaces[place]
        if left := space - length:
            if left not in with_room:
                insort(spaces, left)
            with_room.setdefault(left, []).append(pack)
    return sorted(sorted(rows) for rows in packs)


def _best_fit(lengths: Sequence[int], max_length: int) -> tuple[int, int, int]:
    """(packs, rows cut, tokens lost) when the longest rows are placed first, each where it leaves the least room."""
    over = [length for length in lengths if length > max_length]
    _, num_packs = _filled(Counter(min(length, max_length) for length in lengths if length > 0), max_length)
    return num_packs, len(over), sum(over) - len(over) * max_length


def _filled(counts: Mapping[int, int], max_length: int) -> tuple[dict[int, int], int]:
    """(packs by the room left in them, those that are full left out; number of packs) of rows of at most `max_length`.

    Rows of one length are placed together: having taken one, a pack is the best fit for the next while there is room.
    """
    packs_with = Counter[int]()
    spaces: list[int] = []
    num_packs = 0

    def leave(space: int, num: int) -> None:
        if not num or not space:
            return
        if not packs_with[space]:
            insort(spaces, space)
        packs_with[space] += num

    for length in sorted((length for length in counts if length > 0), reverse=True):
        waiting = counts[length]
        while waiting:
            place = bisect_left(spaces, length)
            is_new = place == len(spaces)
            space = max_length if is_new else spaces[place]
            each = space // length
            filled, rest = divmod(waiting, each)
            if is_new:
                num_packs += filled + bool(rest)
            else:
                there = packs_with.pop(space)
                del spaces[place]
                if filled >= there:
                    filled, rest, unused = there, 0, 0
                else:
                    unused = there - filled - bool(rest)
                leave(space, unused)
            waiting -= filled * each + rest
            leave(space - each * length, filled)
            leave(space - rest * length, int(bool(rest)))
    return {space: num for space, num in packs_with.items() if num}, num_packs


def _wrapped(lengths: Sequence[int], max_length: int) -> tuple[int, int, int]:
    """(packs, rows cut, tokens lost) when rows stand one behind the other in a strip that is cut at each full pack."""
    end = cut = 0
    for length in lengths:
        start, end = end, end + length
        cut += length > 0 and start // max_length != (end - 1) // max_length
    return math.ceil(end / max_length), cut, 0
