"""What happened at a step, as signs on the x axis. Not here: when it happened (`engine/run_trace`)."""

from __future__ import annotations

from collections.abc import Iterable

from engine.run_trace import Mark
from tui_app.chart.buckets import Buckets
from tui_app.chart.plot import AxisMark
from tui_app.drawing import Role
from tui_app.glyphs import Glyphs

ORDER = ("checkpoint", "paused", "resumed", "rung", "oom", "nonfinite")
"""Of two marks in one place the later kind is seen."""


def sign_of(kind: str, glyphs: Glyphs) -> tuple[str, Role]:
    """The sign of a kind of mark; a bullet for one that has none."""
    signs: dict[str, tuple[str, Role]] = {
        "checkpoint": (glyphs.checkpoint_mark, "dim"),
        "paused": (glyphs.paused, "dim"),
        "resumed": (glyphs.pointer, "accent"),
        "rung": (glyphs.rung_mark, "warn"),
        "oom": (glyphs.oom_mark, "bad"),
        "nonfinite": (glyphs.nonfinite_mark, "bad"),
    }
    return signs.get(kind, (glyphs.bullet, "dim"))


def axis_marks(marks: Iterable[Mark], buckets: Buckets | None, glyphs: Glyphs) -> tuple[AxisMark, ...]:
    """The marks in the order in which they are drawn, and one for every bucket that holds a loss that is no number."""
    ordered = sorted(marks, key=lambda mark: ORDER.index(mark.kind) if mark.kind in ORDER else -1)
    drawn = [AxisMark(mark.step, *sign_of(mark.kind, glyphs)) for mark in ordered]
    if buckets is not None and any(buckets.nonfinite):
        start, stop = buckets.window
        width = (stop - start) / len(buckets)
        bad = sign_of("nonfinite", glyphs)
        drawn += [
            AxisMark(start + (column + 0.5) * width, *bad) for column, seen in enumerate(buckets.nonfinite) if seen
        ]
    return tuple(drawn)
