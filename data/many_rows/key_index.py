"""Which of millions of rows have the same key, with memory that does not grow: keys go to files, cut by their hash.

Not here: what makes two rows the same (`splitting.request_key`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

NUM_FILES = 64
_ENTRY = struct.Struct("<16sQI")
_BUFFERED_BYTES = 32 * 1024


class Seen(NamedTuple):
    """A row with a key: its number, and of which set of rows it is."""

    number: int
    side: int


class KeyIndex:
    """Rows by the BLAKE2b hash (128 bit) of their key; 28 bytes a row on disk, in a folder that is there and empty.

    Two different keys count as one with a probability of 2**-128 per pair.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"keys-{number:02d}" for number in range(NUM_FILES)]
        self._waiting = [bytearray() for _ in self._paths]

    def add(self, key: str, number: int, side: int = 0) -> None:
        """A row's key. Numbers are added in ascending order within a side. Raises OSError where the disk is full."""
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        place = digest[0] % NUM_FILES
        waiting = self._waiting[place]
        waiting += _ENTRY.pack(digest, number, side)
        if len(waiting) >= _BUFFERED_BYTES:
            self._write(place)

    def groups(self) -> Iterator[list[Seen]]:
        """The rows of every key that more than one row has, each group in the order in which it was added."""
        for place, path in enumerate(self._paths):
            content = bytes(self._waiting[place])
            if path.exists():
                self._write(place)
                content = path.read_bytes()
            found: dict[bytes, Seen | list[Seen]] = {}
            for digest, number, side in _ENTRY.iter_unpack(content):
                before = found.get(digest)
                if before is None:
                    found[digest] = Seen(number, side)
                elif isinstance(before, list):
                    before.append(Seen(number, side))
                else:
                    found[digest] = [before, Seen(number, side)]
            yield from (group for group in found.values() if isinstance(group, list))

    def _write(self, place: int) -> None:
        if self._waiting[place]:
            with self._paths[place].open("ab") as file:
                file.write(self._waiting[place])
            self._waiting[place].clear()


class RowNumbers:
    """A set of row numbers, one bit for each number up to the largest: 1.2 MB for 10 million rows."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._count = 0

    def add(self, number: int) -> None:
        place, bit = divmod(number, 8)
        if place >= len(self._bits):
            self._bits.extend(bytes(max(place + 1 - len(self._bits), len(self._bits))))
        if not self._bits[place] >> bit & 1:
            self._bits[place] |= 1 << bit
            self._count += 1

    def __contains__(self, number: int) -> bool:
        place, bit = divmod(number, 8)
        return place < len(self._bits) and bool(self._bits[place] >> bit & 1)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """The numbers, ascending."""
        for place, bits in enumerate(self._bits):
            if bits:
                yield from (8 * place + bit for bit in range(8) if bits >> bit & 1)
