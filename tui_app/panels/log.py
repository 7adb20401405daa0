"""The log: logged steps, events, and what the worker and its libraries wrote. Follows the end until somebody scrolls.

Text of a log is drawn as it stands; nothing in it is obeyed. Not here: reading the file (`tui_app/runs/log`).
"""

from __future__ import annotations

from typing import ClassVar

from tui_app.drawing import Line, Role, fit, line, literal
from tui_app.meters import clipped, clock
from tui_app.panels.ladder import with_arrow
from tui_app.runs.phases import doing
from tui_app.runs.view import LogLine, RunView
from tui_app.scrolling import Scroll

TIME_WIDTH = 50
"""From this width on the time stands before the message."""
STRIP_HEIGHT = 3
"""Up to this height only events and steps are shown, always the newest: what libraries write is read at length."""
LOOKS: dict[str, Role] = {"step": "", "event": "strong", "output": "dim"}


class Log:
    """`wanted` is the filter: only lines that hold it, in capitals or not."""

    NAME: ClassVar[str] = "log"
    TITLE: ClassVar[str] = "Log"

    def __init__(self) -> None:
        self.scroll = Scroll(follows_end=True)
        self.wanted = ""

    @property
    def note(self) -> str:
        """What stands beside the title."""
        state = "following" if not self.scroll.num_new and self.scroll.first is None else "scrolled"
        if self.scroll.num_new:
            state = f"{self.scroll.num_new} new, End"
        return f"/{literal(self.wanted)}, {state}" if self.wanted else state

    def found(self, view: RunView) -> list[LogLine]:
        """The lines that the filter lets through."""
        if not self.wanted:
            return list(view.log)
        wanted = self.wanted.casefold()
        return [each for each in view.log if wanted in each.text.casefold()]

    def text(self, view: RunView) -> str:
        """What is copied: the filtered lines, control characters shown."""
        return "\n".join(f"{clock(each.time)} {literal(each.text)}".strip() for each in self.found(view))

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        found = self.found(view)
        if height <= STRIP_HEIGHT and not self.wanted:
            found = [each for each in found if each.kind != "output"]
        if not found:
            nothing = f"no line holds {literal(self.wanted)!r}; Esc ends the filter" if self.wanted else "nothing yet"
            waiting = doing(view)
            return clipped(
                [line(" ", (nothing, "dim")), line(" ", (waiting if not self.wanted else "", "dim"))],
                width,
                height,
                view.glyphs,
            )
        if height <= STRIP_HEIGHT and not self.wanted:
            rows = found[-height:] if height > 0 else []
        else:
            rows = found[self.scroll.window(len(found), height)]
        return clipped([self._row(each, width, view) for each in rows], width, height, view.glyphs)

    def _row(self, each: LogLine, width: int, view: RunView) -> Line:
        is_output = each.kind == "output"
        role: Role = "bad" if each.text.startswith("!!") and not is_output else LOOKS.get(each.kind, "")
        text = each.text if is_output else with_arrow(each.text, view.glyphs)
        if width < TIME_WIDTH:
            sign = f"{view.glyphs.upcoming} " if is_output else ""
            return line((fit(sign + literal(text[:400]), width, ellipsis=view.glyphs.ellipsis), role))
        moment = clock(each.time) or view.glyphs.upcoming.center(8)
        return line(f" {moment}  ", (literal(text[:1000]), role))


PANEL = Log
