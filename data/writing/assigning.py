"""Which split each row belongs to, seeded and for any number of rows: about 50 bytes a row are held at most.

Every row gets a 64-bit score by BLAKE2b from the seed and its key (its request, or its group), so rows with one key
have one score. The lowest scores are test, the next eval, the rest train:

    by hash       test below test * 2**64, eval below (test + eval) * 2**64: no other row has a say
    exact shares  the limits are put where the wanted number of rows is reached, in each stratum by itself

Not here: the split of a run (`splitting`), which holds back unseen answers as well.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from data.errors import DataError
from data.loading import ReadRow
from data.splitting import request_key

TRAIN, EVAL, TEST = 0, 1, 2
SPLITS = ("train", "validation", "test")
"""By number; also the words in the files' names."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """How rows are split. The shares are of all rows, 0 up to, not including, 1 together.

    `group_by` and `stratify_by` name columns of the file.
    """

    eval_share: float
    test_share: float
    seed: int
    stratify_by: str | None = None
    group_by: str | None = None
    by_hash: bool = False


@dataclass(slots=True)
class Assigned:
    """The split of every row that was read, by position from 0, and what there is to say about it.

    `strata` counts rows by stratum and split. `num_leaks` counts the requests that stand in more than one split, which
    only grouping can bring about, and `leaking` holds the positions of the first rows with one of them.
    `num_duplicates` counts repeated rows.
    """

    splits: Any
    num_rows: tuple[int, int, int]
    strata: Mapping[str, tuple[int, int, int]]
    num_duplicates: int
    num_leaks: int
    leaking: tuple[int, ...] = ()


@dataclass(slots=True)
class Keys:
    """What is kept of each row in the first pass. A row that will not be written has `is_used` 0, and no content.

    Requests are kept only beside groups: without them, rows with one request have one score, and cannot be parted.
    """

    seed: int
    scores: array[int] = field(default_factory=lambda: array("Q"))
    requests: array[int] = field(default_factory=lambda: array("Q"))
    contents: array[int] = field(default_factory=lambda: array("Q"))
    strata: array[int] = field(default_factory=lambda: array("I"))
    is_used: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)

    def add(self, request: str, answer: str, group: str | None, stratum: str, used: bool) -> None:
        """One row. Without a group, the request is its key."""
        asked = _digest(request)
        self.is_used.append(used)
        self.scores.append(_score(self.seed, asked if group is None else _digest(group)))
        if group is not None:
            self.requests.append(int.from_bytes(asked[:8], "little"))
        if used:
            self.contents.append(int.from_bytes(_digest(answer, asked)[:8], "little"))
        self.strata.append(self.names.setdefault(stratum, len(self.names)))


def _digest(text: str, before: bytes = b"") -> bytes:
    """16 bytes, the same on every machine."""
    return blake2b(before + text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _score(seed: int, digest: bytes) -> int:
    """0 up to 2**64."""
    return int.from_bytes(blake2b(b"%d\n%b" % (seed, digest), digest_size=8).digest(), "little")


def keys_of(rows: Iterable[tuple[ReadRow, bool]], how: Assignment) -> Keys:
    """The first pass over the rows; each comes with whether it will be written. Raises DataError for a column."""
    keys = Keys(how.seed)
    num_rows, missing = 0, Counter[str]()
    for row, used in rows:
        values = row.values or {}
        num_rows += 1
        for column in (how.group_by, how.stratify_by):
            if used and column is not None and column not in values:
                missing[column] += 1
        group = None if how.group_by is None else value_key(values.get(how.group_by))
        stratum = "" if how.stratify_by is None else value_key(values.get(how.stratify_by))
        if row.example is not None:
            keys.add(request_key(row.example), row.example.answer, group, stratum, used)
        else:
            # Rows of no known format count by all their columns.
            keys.add(value_key(row.values), "", group, stratum, used)
    for column, number in missing.items():
        raise _no_column(column, number, num_rows)
    return keys


def value_key(value: object) -> str:
    """A column's value as text: what two rows share that have the same."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def assigned(keys: Keys, how: Assignment) -> Assigned:
    """The second half of the work, in columns."""
    import numpy as np

    num_duplicates = _repeated(keys.contents)
    del keys.contents[:]
    used = np.frombuffer(keys.is_used, dtype=np.bool_)
    scores = np.frombuffer(keys.scores, dtype=np.uint64)
    strata = np.frombuffer(keys.strata, dtype=np.uint32)
    if how.by_hash:
        limits = [min(int(share * 2**64), 2**64 - 1) for share in (how.test_share, how.test_share + how.eval_share)]
        splits = np.full(len(scores), TRAIN, dtype=np.uint8)
        splits[scores < np.uint64(limits[1])] = EVAL
        splits[scores < np.uint64(limits[0])] = TEST
    else:
        splits = _exact(scores, strata, used, how, list(keys.names))
    table = {}
    for name, number in keys.names.items():
        here = splits[used & (strata == number)]
        if len(here):
            table[name] = _counts(here)
    num_leaks, first = 0, tuple[int, ...]()
    if how.group_by is not None:
        num_leaks, first = _leaks(np.frombuffer(keys.requests, dtype=np.uint64), splits, used)
    return Assigned(splits, _counts(splits[used]), table, num_duplicates, num_leaks, first)


def _repeated(contents: array[int]) -> int:
    """How many rows have the content of another before them. Sorts in place: a copy would take 8 bytes a row."""
    import numpy as np

    ordered = np.frombuffer(contents, dtype=np.uint64)
    ordered.sort()
    return int((ordered[1:] == ordered[:-1]).sum())


def _counts(splits: Any) -> tuple[int, int, int]:
    train, evaluation, test = (int((splits == one).sum()) for one in (TRAIN, EVAL, TEST))
    return train, evaluation, test


def _exact(scores: Any, strata: Any, used: Any, how: Assignment, names: list[str]) -> Any:
    """Splits with the wanted number of rows in each stratum, as near as whole groups come to it."""
    import numpy as np

    splits = np.full(len(scores), TRAIN, dtype=np.uint8)
    order = _ordered(scores, used)
    if not len(order):
        return splits
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]).astype(np.uint32)
    del ordered
    sizes = np.diff(starts, append=np.uint32(len(order)))
    # A group lies in the stratum of its first row: stable sorting put that row first.
    group_strata = strata[order[starts]]
    totals = np.bincount(group_strata, weights=sizes, minlength=len(names)).astype(np.int64)
    num_test = apportioned(totals.tolist(), how.test_share, totals.tolist(), how.seed, names)
    left = [total - taken for total, taken in zip(totals.tolist(), num_test, strict=True)]
    num_eval = apportioned(totals.tolist(), how.eval_share, left, how.seed, names)
    group_splits = np.full(len(starts), TRAIN, dtype=np.uint8)
    by_stratum = np.argsort(group_strata, kind="stable")
    bounds = np.searchsorted(group_strata[by_stratum], np.arange(len(names) + 1))
    for number in range(len(names)):
        groups = by_stratum[bounds[number] : bounds[number + 1]]
        after = np.cumsum(sizes[groups])
        test_end = _nearest(after, num_test[number])
        taken = int(after[test_end - 1]) if test_end else 0
        eval_end = max(_nearest(after, taken + num_eval[number]), test_end) if num_eval[number] else test_end
        group_splits[groups[:test_end]] = TEST
        group_splits[groups[test_end:eval_end]] = EVAL
    splits[order] = np.repeat(group_splits, sizes)
    return splits


def _ordered(scores: Any, used: Any) -> Any:
    """The positions of the used rows, by score, in 32 bits each."""
    import numpy as np

    if used.all():
        return np.argsort(scores, kind="stable").astype(np.uint32)
    rows = np.flatnonzero(used).astype(np.uint32)
    return rows[np.argsort(scores[rows], kind="stable")]


def _nearest(after: Any, wanted: int) -> int:
    """How many of the first groups hold as near to `wanted` rows as there is; the fewer where two are as near."""
    import numpy as np

    if wanted <= 0 or not len(after):
        return 0
    place = int(np.searchsorted(after, wanted))
    if place == len(after):
        return place
    before = int(after[place - 1]) if place else 0
    return place + 1 if int(after[place]) - wanted < wanted - before else place


def apportioned(totals: list[int], share: float, most: list[int], seed: int, names: list[str]) -> list[int]:
    """`share` of every total in whole rows, by largest remainder, so that the sum is `share` of all, rounded.

    No part is larger than its `most`. Equal remainders are ordered by the seed.
    """
    wanted = round(sum(totals) * share)
    exact = [total * share for total in totals]
    given = [min(int(part), limit) for part, limit in zip(exact, most, strict=True)]
    turns = sorted(range(len(totals)), key=lambda one: (given[one] - exact[one], _score(seed, _digest(names[one]))))
    rest = wanted - sum(given)
    while rest > 0:
        before = rest
        for one in turns:
            if rest and given[one] < most[one]:
                given[one] += 1
                rest -= 1
        if rest == before:
            break
    return given


def _leaks(requests: Any, splits: Any, used: Any) -> tuple[int, tuple[int, ...]]:
    """How many requests stand in more than one split, and the positions of the first rows that have one of them."""
    import numpy as np

    rows = np.flatnonzero(used)
    order = rows[np.argsort(requests[rows], kind="stable")]
    same = requests[order[1:]] == requests[order[:-1]]
    apart = same & (splits[order[1:]] != splits[order[:-1]])
    leaking = np.unique(requests[order[1:]][apart])
    positions = np.sort(order[1:][apart])[:5]
    return len(leaking), tuple(int(one) for one in positions)


def check_shares(how: Assignment) -> None:
    """Raises DataError for shares that leave nothing to train on."""
    for name, share in (("--eval", how.eval_share), ("--test", how.test_share)):
        if not 0 <= share < 1:
            raise DataError(
                f"{name} is {share}.", means="A share is 0 or more, and less than 1.", remedy="For example 0.1."
            )
    if how.eval_share + how.test_share >= 1:
        raise DataError(
            f"--eval {how.eval_share} and --test {how.test_share} leave no row to train on.",
            means="Together they must be less than 1.",
            remedy="Give smaller ones.",
        )
    if how.eval_share + how.test_share == 0:
        raise DataError(
            "--eval and --test are both 0.", means="There would be one split only.", remedy="Give one of them a share."
        )


def _no_column(column: str, number: int, num_rows: int) -> DataError:
    return DataError(
        f"{number:,} of {num_rows:,} rows have no column {column!r}.",
        means="They cannot be grouped or stratified by it.",
        remedy="Name a column that every row has; finetui data inspect shows them.",
    )
