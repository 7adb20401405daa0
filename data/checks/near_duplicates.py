"""Rows that are nearly the text of an earlier row, or of a row in another dataset: MinHash signatures and banding.

A row is the set of its runs of three words. rensa signs it with 128 numbers, from which the share of runs that two rows
have in common (Jaccard) is estimated with an error of about 0.03. Rows that agree in one of 16 bands of 8 numbers are
compared; of pairs with a share of 0.8, 95 % do. Signatures and bands lie on disk (about 1 kB a row), so memory does not
grow; time does, hence the number of rows in `Limits`.

rensa 0.5 (MIT, a wheel without requirements) was measured against datasketch 2.0 (MIT, needs numpy and scipy).
"""

from __future__ import annotations

import os
import re
import struct
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice, pairwise
from typing import NamedTuple

from data.findings import Level
from data.looking import Block, Found, Setup
from data.many_rows.key_index import KeyIndex, Seen
from data.splitting import collapsed

TITLE = "Nearly the same text as an earlier row"
LEVEL: Level = "warning"
MEANS = "What comes back in small variations is learned by heart, at the cost of what is rare."
IS_DROPPABLE = True
_STORY = " ".join(f"then through wood number {number} and past field number {number}" for number in range(9))
EXAMPLE = (
    {"prompt": "Tell me of the fox.", "completion": f"The quick brown fox jumps over the lazy dog and {_STORY} home."},
    {"prompt": "Tell me of the fox.", "completion": f"The quick brown fox jumps over the lazy dog and {_STORY} away."},
)
ACROSS = "near-contamination"
"""The name of what is found across datasets."""

_MEANS_ACROSS = "What is nearly trained on measures little: the score comes out too good."

LEAST_SIMILARITY = 0.85
LONGEST_CHARACTERS = 50_000
"""Of longer texts, so much of their beginning is compared."""
LEAST_WORDS = 8
"""Shorter texts differ in too few places to be told apart by their parts."""

NUM_SLOTS, NUM_BANDS, SEED = 128, 16, 42
_SLOTS_PER_BAND = NUM_SLOTS // NUM_BANDS
_SIGNED_AT_ONCE = 64
_HEAD, _LENGTH = struct.Struct("<QI8s"), struct.Struct("<Q")
_RECORD_BYTES = _HEAD.size + 4 * NUM_SLOTS
_WORD = re.compile(r"\w+")


class _Signed(NamedTuple):
    """A row of the signature file: its number, dataset, a hash of its text, and the signature."""

    line: int
    side: int
    text_hash: bytes
    slots: array[int]


class _Unsigned(NamedTuple):
    """A row to be signed: its number, dataset, a hash of its text, and the beginning of its text, collapsed."""

    line: int
    side: int
    text_hash: bytes
    key: str


class _NearDuplicates:
    """Rows are signed as they come; with a limit, only once all are known to be within: signing takes the most time."""

    def __init__(self, setup: Setup) -> None:
        self._most, self._datasets = setup.limits.near_rows, setup.datasets
        folder = setup.made_folder()
        self._path, self._waiting = folder / "signatures", folder / "unsigned"
        self._setup, self._num_seen = setup, 0
        self._file = (self._path if self._most is None else self._waiting).open("wb", buffering=1 << 20)

    def look(self, block: Block) -> None:
        self._num_seen += len(block.usable)
        if self._is_too_many:
            if not self._file.closed:
                self._file.close()
                self._waiting.unlink()
            return
        rows = []
        for (line, _), text in zip(block.usable, block.texts, strict=True):
            key = collapsed(text[:LONGEST_CHARACTERS])
            whole = key if len(text) <= LONGEST_CHARACTERS else text
            text_hash = blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            rows.append(_Unsigned(line, block.side, text_hash, key))
        if self._most is None:
            self._sign(rows)
        else:
            self._keep(rows)

    def _keep(self, rows: list[_Unsigned]) -> None:
        for line, side, text_hash, key in rows:
            encoded = key.encode("utf-8", "surrogatepass")
            self._file.write(_HEAD.pack(line, side, text_hash) + _LENGTH.pack(len(encoded)) + encoded)

    def _kept(self) -> Iterator[_Unsigned]:
        with self._waiting.open("rb") as file:
            while head := file.read(_HEAD.size):
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
                line, side, text_hash = _HEAD.unpack(head)
                yield _Unsigned(line, side, text_hash, file.read(length).decode("utf-8", "surrogatepass"))

    def _sign(self, rows: list[_Unsigned]) -> None:
        from rensa import RMinHash

        shingled = [(row, parts) for row in rows if (parts := _parts(row.key))]
        signatures = RMinHash.digests_from_token_sets([parts for _, parts in shingled], NUM_SLOTS, SEED)
        for ((line, side, text_hash, _), _), signature in zip(shingled, signatures, strict=True):
            self._file.write(_HEAD.pack(line, side, text_hash) + array("I", signature).tobytes())

    @property
    def _is_too_many(self) -> bool:
        return self._most is not None and self._num_seen > self._most

    def finish(self) -> tuple[list[Found], str]:
        self._file.close()
        if self._is_too_many:
            told = (
                f"Near-duplicates were not looked for: there are more than {self._most:,} rows; --near looks for them."
            )
            return [], told if self._most else ""
        if self._most is not None:
            with self._path.open("wb", buffering=1 << 20) as self._file:
                rows = self._kept()
                while some := list(islice(rows, _SIGNED_AT_ONCE)):
                    self._sign(some)
        within = Found()
        across = {
            side: Found(name=ACROSS, means=_MEANS_ACROSS, title=f"Nearly the same text as a row of {name}")
            for side, name in enumerate(self._datasets[1:], start=1)
        }
        with self._path.open("rb") as file:
            for earlier, later in self._pairs(file.fileno()):
                if later.side == 0:
                    within.pair(later.line, 0, earlier.line)
                elif earlier.side == 0:
                    across[later.side].pair(earlier.line, later.side, later.line)
        return [within, *across.values()], ""

    def _banded(self) -> list[KeyIndex]:
        """For each band, the signed rows by what stands in it."""
        bands = [KeyIndex(self._setup.made_folder(f"band-{number:02d}")) for number in range(NUM_BANDS)]
        width = 4 * _SLOTS_PER_BAND
        with self._path.open("rb") as file:
            for number, record in enumerate(iter(lambda: file.read(_RECORD_BYTES), b"")):
                for band, start in zip(bands, range(_HEAD.size, _RECORD_BYTES, width), strict=True):
                    band.add(record[start : start + width].decode("latin-1"), number)
        return bands

    def _pairs(self, file: int) -> Iterator[tuple[_Signed, _Signed]]:
        """Rows alike, the earlier first. In each group rows are held against the first and the one before."""
        for band in self._banded():
            for group in band.groups():
                first = before = _signed(file, group[0])
                for seen in group[1:]:
                    row = _signed(file, seen)
                    if _are_alike(first, row):
                        yield first, row
                    elif before is not first and _are_alike(before, row):
                        yield before, row
                    before = row


def start(setup: Setup) -> _NearDuplicates:
    """The check, ready for the first rows."""
    return _NearDuplicates(setup)


def similarity(first: str, second: str) -> float:
    """The estimated share of runs of words that two texts have in common, 0 to 1; 0 where one is too short."""
    from rensa import RMinHash

    parts = [_parts(collapsed(text)) for text in (first, second)]
    if not all(parts):
        return 0.0
    one, other = RMinHash.digests_from_token_sets(parts, NUM_SLOTS, SEED)
    return _share(array("I", one), array("I", other))


def _parts(key: str) -> list[str]:
    """The runs of three words; of five characters where a text has hardly any blanks, as Chinese; [] if too short."""
    words = _WORD.findall(key)
    if len(key) > 20 * len(words) and len(key) >= 4 * LEAST_WORDS:
        return [key[at : at + 5] for at in range(len(key) - 4)]
    if len(words) < LEAST_WORDS:
        return []
    return [f"{first} {second} {third}" for (first, second), third in zip(pairwise(words), words[2:], strict=False)]


def _signed(file: int, seen: Seen) -> _Signed:
    record = os.pread(file, _RECORD_BYTES, seen.number * _RECORD_BYTES)
    line, side, text_hash = _HEAD.unpack_from(record)
    return _Signed(line, side, text_hash, array("I", record[_HEAD.size :]))


def _are_alike(earlier: _Signed, later: _Signed) -> bool:
    """Whether two rows are nearly the same. Not where they are exactly so, which other checks tell."""
    is_wanted = later.side == 0 or earlier.side == 0
    return is_wanted and earlier.text_hash != later.text_hash and _share(earlier.slots, later.slots) >= LEAST_SIMILARITY


def _share(first: array[int], second: array[int]) -> float:
    return sum(map(int.__eq__, first, second)) / NUM_SLOTS
