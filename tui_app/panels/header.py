"""The first rows: which run, what it is doing, how far it is, how long it still takes, and on which machine.

Not here: what is wrong (`status`).
"""

from __future__ import annotations

from typing import ClassVar

from tui_app.drawing import Line, fit, line, literal, spread, width_of
from tui_app.meters import bar, clipped, short_seconds
from tui_app.runs.phases import LATE_PHASES, is_over, phase_of, work_of
from tui_app.runs.view import RunView

MIN_BAR, MAX_BAR = 8, 60


def eta_of(view: RunView) -> float | None:
    """Seconds of training left; evaluations and checkpoints count, where the trace knows them."""
    if is_over(view) or view.state.phase not in ("training", "paused") or not view.state.max_steps:
        return None
    return view.trace.eta_seconds(view.state.max_steps) or view.state.eta_seconds


class Header:
    """One row that says it all; on a second one what is trained."""

    NAME: ClassVar[str] = "header"
    TITLE: ClassVar[str] = "Run"

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        first = self._first(view, width)
        state = view.state
        model = literal(state.model.name) if state.model else ""
        second = "  ".join(part for part in (literal(state.recipe), model) if part) or "nothing is known of it yet"
        return clipped([first, line(" ", (second, "dim"))], width, height, view.glyphs)

    def _first(self, view: RunView, width: int) -> Line:
        phase = phase_of(view)
        name = fit(literal(view.name), max(width // 3, 8), ellipsis=view.glyphs.ellipsis)
        left = line(" ", (name, "title"), "  ", (f"{phase.glyph} {phase.word}", phase.role))
        right = line((self._host(view, width), "dim"), " ")
        counted, share, eta = self._progress(view)
        left = (*left, *line(f"  {counted}" if counted else ""))
        tail = line("  ETA ", (short_seconds(eta), "strong")) if eta is not None else ()
        if share is not None:
            percent = line(f" {share:.0%}")
            room = width - width_of(left) - width_of(right) - width_of(tail) - width_of(percent) - 3
            if room >= MIN_BAR:
                left = (*left, *line("  "), *bar(share, min(room, MAX_BAR), view.glyphs, phase.role), *percent)
        if width_of(left) + width_of(tail) + width_of(right) >= width:
            right = ()
        return spread((*left, *tail), right, width, ellipsis=view.glyphs.ellipsis)

    def _progress(self, view: RunView) -> tuple[str, float | None, float | None]:
        """(counted in words, share done, seconds left): of the steps, or of what is scored or exported now."""
        state = view.state
        if not is_over(view) and (state.phase in LATE_PHASES or state.finished is not None):
            work = work_of(view)
            if work is None or not work.num_total:
                return "", None, None
            return f"{work.num_done}/{work.num_total}", work.share, work.eta_seconds
        if not state.max_steps:
            return "", None, None
        return f"{state.step}/{state.max_steps}", state.step / state.max_steps, eta_of(view)

    def _host(self, view: RunView, width: int) -> str:
        mode = "read-only" if view.is_readonly else ""
        host = fit(literal(view.state.host), 24, ellipsis=view.glyphs.ellipsis) if width >= 70 else ""
        return "  ".join(part for part in (mode, host) if part)


PANEL = Header
