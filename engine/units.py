"""Bytes and seconds between numbers and people. The only place that divides by 1024.

GiB and MiB are binary (1024), GB and MB are decimal (1000): a card sold as "16 GB" and a file of "16 GiB"
are not the same size, and both spellings occur in what users type.
"""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_FACTORS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": 1024 * GIB,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)


def gib(size_bytes: float) -> float:
    """Bytes as GiB (2**30)."""
    return size_bytes / GIB


def mib(size_bytes: float) -> float:
    """Bytes as MiB (2**20)."""
    return size_bytes / MIB


def parse_bytes(size: str | int) -> int:
    """Whole bytes of "16GiB", "6 GB", "512MiB" or a plain number of bytes. Case and blanks do not matter.

    Raises:
        ValueError: with a sentence that shows how a size is written.
    """
    if isinstance(size, int) and not isinstance(size, bool):
        if size < 0:
            raise ValueError(f"A size cannot be negative: {size}.")
        return size
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(
            f"{size!r} is not a size. Write a number and a unit: 6GiB or 512MiB (binary), 16GB (decimal), or bytes."
        )
    return round(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor


def format_bytes(size_bytes: int) -> str:
    """ "9.4 GiB", "512 MiB", "3 KiB", "17 B": binary, one decimal from GiB on."""
    sign, rest = ("-", -size_bytes) if size_bytes < 0 else ("", size_bytes)
    # The thresholds lie where the smaller unit would round up to 1024 of itself.
    if rest >= GIB - MIB // 2:
        return f"{sign}{rest / GIB:.1f} GiB"
    if rest >= MIB - KIB // 2:
        return f"{sign}{rest / MIB:.0f} MiB"
    if rest >= KIB:
        return f"{sign}{rest / KIB:.0f} KiB"
    return f"{sign}{rest} B"


def format_seconds(seconds: float) -> str:
    """ "0.4 s", "42 s", "2 min 05 s", "3 h 07 min", "2 d 04 h": the two largest units, none below a minute."""
    if seconds < 0:
        return "-" + format_seconds(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, seconds_left = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left:02d} h"
    if hours:
        return f"{hours} h {minutes_left:02d} min"
    if minutes:
        return f"{minutes} min {seconds_left:02d} s"
    return f"{seconds_left} s"
