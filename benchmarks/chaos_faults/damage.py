"""What a cut of power leaves of a file: shorter, pages of zeros, nothing in it, not there at all.

Journalling file systems keep names and sizes and lose contents: a file that was renamed into place without being
flushed has its name and no bytes (ext4), or its size and only zeros (XFS); one that grew has a tail of zeros or is
cut anywhere. Not here: which files, and what is asked of the folder afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

PAGE_BYTES = 4096

Damage = Callable[[Path, random.Random], None]


def cut(path: Path, chance: random.Random) -> None:
    """The file ends at a byte before its end."""
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(max(len(content), 1))])


def last_page_zeroed(path: Path, _: random.Random) -> None:
    """Its length was kept, what was written last was not."""
    content = path.read_bytes()
    kept = max(len(content) - 1, 0) // PAGE_BYTES * PAGE_BYTES
    path.write_bytes(content[:kept] + bytes(len(content) - kept))


def some_page_zeroed(path: Path, chance: random.Random) -> None:
    """One page in the middle never reached the disk; those behind it did."""
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content) // PAGE_BYTES + 1) * PAGE_BYTES
    end = min(start + PAGE_BYTES, len(content))
    content[start:end] = bytes(end - start)
    path.write_bytes(content)


def all_zeroed(path: Path, _: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def emptied(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def gone(path: Path, _: random.Random) -> None:
    path.unlink()


DAMAGES: Mapping[str, Damage] = {
    "cut short": cut,
    "last page zeroed": last_page_zeroed,
    "a page zeroed": some_page_zeroed,
    "all zeros": all_zeroed,
    "empty": emptied,
    "gone": gone,
}
