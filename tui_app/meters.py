"""Bars and small curves made of characters, and figures short enough to stand beside them.

Not here: which figures (`tui_app/panels`), and the loss chart (`tui_app/chart`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from engine.units import GIB, MIB
from tui_app.drawing import Line, Role, Span, fit_line, line
from tui_app.glyphs import Glyphs

FLAT_SHARE = 0.05
"""A curve that varies less than this share of its largest value is drawn flat: noise is no news."""


def clipped(lines: Iterable[Line], width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """At most `height` lines of at most `width` cells."""
    return [fit_line(each, width, ellipsis=glyphs.ellipsis) for each in list(lines)[: max(height, 0)]]


def bar(share: float, width: int, glyphs: Glyphs, role: Role = "accent") -> Line:
    """A bar `width` cells long, filled to `share` (0 to 1) in eighths of a cell where the glyphs have them."""
    share = min(max(share, 0.0), 1.0)
    steps = len(glyphs.eighths) + 1
    filled, rest = divmod(round(share * width * steps), steps)
    partial = glyphs.eighths[rest - 1] if rest else ""
    empty = glyphs.empty * (width - filled - len(partial))
    return line((glyphs.full * filled + partial, role), (empty, "faint"))


def stacked(parts: Sequence[tuple[str, Role, float]], total: float, width: int) -> Line:
    """Parts side by side, each drawn with its letter; what is left of `total` is dots. One larger than zero is seen."""
    spans: list[Span] = []
    drawn, upto = 0, 0.0
    total = max(total, sum(max(size, 0) for _, _, size in parts), 1.0)
    for letter, role, size in parts:
        if size <= 0:
            continue
        upto += size
        cells = max(round(upto / total * width) - drawn, 1)
        cells = min(cells, width - drawn)
        spans.append(Span(letter * cells, role))
        drawn += cells
    return line(*spans, ("." * (width - drawn), "faint"))


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs) -> str:
    """The newest values as one row of levels, one a cell; short rows are not stretched."""
    newest = [value for value in values[-width:] if value == value] if width > 0 else []
    if not newest:
        return ""
    low, high = min(newest), max(newest)
    levels = glyphs.levels
    if high - low <= FLAT_SHARE * abs(high):
        return levels[len(levels) // 2] * len(newest)
    return "".join(levels[round((value - low) / (high - low) * (len(levels) - 1))] for value in newest)


def short_bytes(size_bytes: float, *, unit: bool = True) -> str:
    """ "8.4 GiB" or "512 MiB", without the unit "8.4" (of GiB)."""
    if not unit:
        return f"{size_bytes / GIB:.1f}"
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB - MIB // 2 else f"{size_bytes / MIB:.0f} MiB"


def short_seconds(seconds: float) -> str:
    """ "36 m", "2 h 05", "42 s": for a corner of the screen."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, seconds_left = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} m {seconds_left:02d} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{minutes} m" if not hours else f"{hours} h {minutes_left:02d} m"


def clock(moment: float | None, *, seconds: bool = True) -> str:
    """A Unix time as local time of day."""
    if moment is None:
        return ""
    try:
        return time.strftime("%H:%M:%S" if seconds else "%H:%M", time.localtime(moment))
    except (OverflowError, ValueError, OSError):  # a damaged event
        return "??:??"


def labelled(pairs: Iterable[tuple[str, str, Role]], width: int) -> list[Line]:
    """Label and value, pair after pair, on as many lines as they need."""
    rows: list[Line] = []
    current: Line = ()
    used = 0
    for label, value, role in pairs:
        part = line((f"{label} ", "dim"), (value, role)) if label else line((value, role))
        size = len(label) + 1 + len(value) if label else len(value)
        if current and used + 3 + size > width:
            rows.append(current)
            current, used = (), 0
        current = (*current, *line("   " if current else ""), *part)
        used += size + (3 if used else 0)
    return [*rows, current] if current else rows
