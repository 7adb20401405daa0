"""What happened, in sentences with the time of day: stages, attempts, checkpoints, evals, OOMs, rungs, commands.

Not here: logged steps (`log`).
"""

from __future__ import annotations

from typing import ClassVar

from engine.events import EvaluationProgressed
from tui_app.drawing import Line, Role, line, literal, wrap
from tui_app.meters import clipped, clock
from tui_app.panels.ladder import with_arrow
from tui_app.plain import lines
from tui_app.runs.view import RunView
from tui_app.scrolling import Scroll

MAX_SHOWN = 500
LONGEST = 1_200
"""Characters of one sentence; an error of a library may be far longer."""


class Events:
    """Newest at the end, which is followed until somebody scrolls."""

    NAME: ClassVar[str] = "events"
    TITLE: ClassVar[str] = "Events"

    def __init__(self) -> None:
        self.scroll = Scroll(follows_end=True)
        self._seen: tuple[object, int] | None = None
        self._rows: list[Line] = []

    @property
    def note(self) -> str:
        return f"{self.scroll.num_new} new, End" if self.scroll.num_new else ""

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        newest = view.trace.recent[-1] if view.trace.recent else None
        if self._seen is None or self._seen[0] is not newest or self._seen[1] != width:
            self._seen, self._rows = (newest, width), self._told(view, width)
        if not self._rows:
            return clipped([line(" ", ("nothing has happened yet", "dim"))], width, height, view.glyphs)
        return clipped(self._rows[self.scroll.window(len(self._rows), height)], width, height, view.glyphs)

    def _told(self, view: RunView, width: int) -> list[Line]:
        rows: list[Line] = []
        newest = list(view.trace.recent)[-MAX_SHOWN:]
        for stamped in newest:
            if isinstance(stamped.event, EvaluationProgressed):
                continue
            for number, text in enumerate(lines(stamped, view.state)):
                moment = clock(stamped.time, seconds=width >= 60) if not number else ""
                indent = 10 if width >= 60 else 7
                role: Role = "bad" if text.startswith("!!") else "title" if text.startswith("==") else ""
                body = literal(with_arrow(text.strip().removeprefix("== "), view.glyphs))[:LONGEST]
                first, *rest = wrap(body, max(width - indent - 1, 8), role) or [line("")]
                rows.append((*line((f" {moment}".ljust(indent), "dim")), *first))
                rows += [(*line(" " * indent), *each) for each in rest]
        return rows


PANEL = Events
