"""The first row of a screen: where one is, and at its right end on which machine.

Not here: the wizard's row of steps and a run's own header, which say more.
"""

from __future__ import annotations

from collections.abc import Iterable

from tui_app.drawing import Line, line, literal, spread
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.widgets.one_row import OneRow


def crumbs_line(places: Iterable[str], right: str, width: int, glyphs: Glyphs = UNICODE) -> Line:
    """The way here, the present place last and strong: " finetui ▸ runs ▸ demo-cpu-1        gpu-box (ssh)"."""
    *before, here = [literal(place) for place in places] or [""]
    told: Line = line(" ")
    for place in before:
        told = (*told, *line((place, "dim"), (f" {glyphs.pointer} ", "faint")))
    return spread((*told, *line((here, "title"))), line((literal(right), "dim"), " "), width, ellipsis=glyphs.ellipsis)


class Crumbs(OneRow):
    """`at` says where one is now."""

    DEFAULT_CSS = "Crumbs { dock: top; height: 1; width: 1fr; background: $surface; }"

    def __init__(self, *places: str, right: str = "") -> None:
        super().__init__(id="crumbs")
        self._places, self._right = places, right

    def at(self, *places: str, right: str = "") -> None:
        self._places, self._right = places, right
        self.redraw()

    def row(self, width: int) -> Line:
        return crumbs_line(self._places, self._right, width, self.glyphs)
