"""Millions of rows by a key of theirs, in an order that a seed draws, with memory that does not grow.

Keys become hashes in files, cut by the hash's first byte; read one file after the other, each sorted on its own, they
give all rows in order, those of one key side by side. Not here: what the keys are (`splitting`).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from hashlib import blake2b, sha256
from pathlib import Path
from typing import NamedTuple

NUM_FILES = 256
_ENTRY = struct.Struct(">16s16sQ")  # big-endian: bytes sort as the numbers do
_SIZE = _ENTRY.size
_BUFFERED_BYTES = 16 * 1024
_MANY_BYTES = 16 * 1024**2


class Group(NamedTuple):
    """The rows of one key. `firsts` has the first row of every mark, `others` those whose mark stood before."""

    key: bytes
    mark: bytes
    firsts: array[int]
    others: array[int]

    def rows(self) -> Iterator[int]:
        """The numbers of all."""
        yield from self.firsts
        yield from self.others


class SeededIndex:
    """Rows by the SHA-256 of "seed:key" (its first 128 bits), with a mark (BLAKE2b, 128 bits); 40 bytes a row on disk.

    Two different keys, or marks, count as one with a probability of 2**-128 per pair. Memory does not grow, except
    with the rows of one single key: 40 bytes for each.
    """

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        self._paths = [folder / f"{name}-{number:03d}" for number in range(NUM_FILES)]
        self._waiting = [bytearray() for _ in self._paths]
        self._seed = f"{seed}:"

    def add(self, key: str, mark: str, number: int) -> None:
        """A row. Raises OSError where the disk is full."""
        digest = sha256((self._seed + key).encode("utf-8", "surrogatepass")).digest()
        marked = blake2b(mark.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        waiting = self._waiting[digest[0]]
        waiting += _ENTRY.pack(digest, marked, number)
        if len(waiting) >= _BUFFERED_BYTES:
            self._write(digest[0])

    def groups(self) -> Iterator[Group]:
        """The rows of each key in turn, keys in the seed's order."""
        for place, path in enumerate(self._paths):
            self._write(place)
            if path.exists():
                yield from _grouped(_sorted(path.read_bytes()))

    def _write(self, place: int) -> None:
        if self._waiting[place]:
            with self._paths[place].open("ab") as file:
                file.write(self._waiting[place])
            self._waiting[place].clear()


def shared(ours: SeededIndex, others: SeededIndex) -> Iterator[tuple[Group, Group]]:
    """The keys that stand in both, with the rows of each. The two must have the same seed."""
    theirs = others.groups()
    their = next(theirs, None)
    for our in ours.groups():
        while their is not None and their.key < our.key:
            their = next(theirs, None)
        if their is None:
            return
        if their.key == our.key:
            yield our, their


def _sorted(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """The entries by key, mark and number."""
    if len(content) < _MANY_BYTES:
        return map(_ENTRY.unpack, sorted(content[at : at + _SIZE] for at in range(0, len(content), _SIZE)))
    import numpy  # in place, where a Python object for each entry would take four times the memory

    entries = numpy.frombuffer(bytearray(content), dtype=f"S{_SIZE}")
    del content
    entries.sort()
    return _ENTRY.iter_unpack(entries.data)


def _grouped(entries: Iterator[tuple[bytes, bytes, int]]) -> Iterator[Group]:
    group: Group | None = None
    last_mark = b""
    for key, mark, number in entries:
        if group is None or key != group.key:
            if group is not None:
                yield group
            group = Group(key, mark, array("I", (number,)), array("I"))
        else:
            (group.others if mark == last_mark else group.firsts).append(number)
        last_mark = mark
    if group is not None:
        yield group
