"""The wizard's first row: its steps, which are done, and where one is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len

from tui_app.drawing import Line, line, spread
from tui_app.glyphs import UNICODE, Glyphs


def steps_line(
    titles: Sequence[str], current: int, done: Collection[int], right: str, width: int, glyphs: Glyphs = UNICODE
) -> Line:
    """`NEW RUN  1 Hardware ✓  ▸ 2 Model  · 3 Data …`. Where it is narrow, only the present step has its title."""
    full = _steps(titles, current, done, glyphs, is_short=False)
    taken = sum(cell_len(span.text) for span in full)
    told = full if taken <= width else _steps(titles, current, done, glyphs, is_short=True)
    fits = sum(cell_len(span.text) for span in told) + cell_len(right) + 2 <= width
    return spread(told, line((right, "dim"), " ") if fits else (), width)


def _steps(titles: Sequence[str], current: int, done: Collection[int], glyphs: Glyphs, *, is_short: bool) -> Line:
    told = line((" NEW RUN ", "title"))
    for place, title in enumerate(titles):
        is_here = place == current
        sign = glyphs.pointer if is_here else glyphs.upcoming if place not in done else ""
        mark = f" {glyphs.done}" if place in done and not is_here else ""
        shown = f"{place + 1} {title}" if is_here or not is_short else str(place + 1)
        told += line(
            (f" {sign} " if sign else "  ", "key" if is_here else "dim"),
            (shown, "strong" if is_here else "" if place in done else "dim"),
            (mark, "good"),
        )
    return told
