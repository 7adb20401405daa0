"""Reads the stream that Textual writes: cells go into a `CellGrid`, everything else comes back as passages.

Textual places text by absolute moves and colours it by SGR, so that is all that is understood of drawing. What is
not understood is handed on unchanged, in order, and ends what is known of the screen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tui_app.terminal.cell_grid import CellGrid, Frame
from tui_app.terminal.graphics import PLAIN, after, linked

_TOKEN = re.compile(
    r"\x1b\[(?P<at>[\d;]*)H"
    r"|\x1b\[(?P<sgr>[\d;:]*)m"
    r"|\x1b\]8;(?P<link>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|(?P<sync>\x1b\[\?2026[hl])"
    r"|(?P<setting>\x1b\[\?[\d;]+[hl]|\x1b\[\?[\d;]+\$p|\x1b\[[<>=][\d;]*u|\x1b\](?!8;)[^\x07\x1b]*(?:\x07|\x1b\\)|\x07"
    r"|\x1bPtmux;(?:[^\x1b]|\x1b\x1b)*\x1b\\)"
    r"|(?P<line>\r\n|\n|\r)"
    r"|(?P<other>\x1bP[^\x1b]*\x1b\\|\x1b_[^\x1b]*\x1b\\|\x1b\[[ -?]*[@-~]|\x1b[ -/]*[0-~]?)"
    r"|(?P<text>[^\x1b\r\n\x07]+)"
)
_KIND = re.compile(r"\x1b\[\?([\d;]+)[hl]|\x1b\](\d+)")
# Modes that change what the whole screen shows: the alternate screen in its three spellings.
_SCREEN_MODES = ("47", "1047", "1049")


@dataclass(frozen=True, slots=True)
class Setting:
    """A sequence that touches no cell: a terminal mode, a question, a title, the bell. The newest of a kind counts."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Sequences to send as they are and in order: what they do to the screen is not known."""

    text: str


@dataclass(frozen=True, slots=True)
class Sync:
    """The start or end of what belongs on screen together."""

    begins: bool


Passage = Setting | Raw | Sync


class ScreenStream:
    """Takes the stream piece by piece. Sequences are expected whole within one piece, as Textual writes them."""

    def __init__(self, grid: CellGrid) -> None:
        self._grid = grid
        self._look = PLAIN
        self._lost = False  # the cursor is somewhere that only the terminal knows

    def feed(self, data: str) -> list[Passage]:
        """Put the cells of `data` into the grid; the rest in order."""
        passages: list[Passage] = []
        for token in _TOKEN.finditer(data):
            kind, text = token.lastgroup, token.group()
            if kind == "at":
                self._lost = False
                row, _, column = token["at"].partition(";")
                self._grid.move(int(column or 1) - 1, int(row or 1) - 1)
            elif kind == "sync":
                passages.append(Sync(text.endswith("h")))
            elif kind == "setting":
                passages.append(self._setting(text))
            elif kind == "other" or self._lost:
                passages.append(self._raw(text))
            elif kind == "sgr":
                self._look = after(self._look, token["sgr"])
            elif kind == "link":
                self._look = linked(self._look, token["link"])
            elif text == "\r":
                self._grid.x = 0
            elif kind == "line":
                if not self._grid.next_line():
                    passages.append(self._raw("\r\n"))
            else:
                self._grid.write(text, self._look)
        return passages

    def frame(self) -> Frame:
        """What brings the terminal up to date with everything fed so far."""
        return self._grid.frame(follow_cursor=not self._lost)

    def restart(self) -> None:
        """Begin anew on a screen that something else has used: what was drawn before is to be drawn again."""
        self._look, self._lost = PLAIN, False
        self._grid.forget()

    def _setting(self, text: str) -> Setting:
        match = _KIND.match(text)
        kind = text if match is None else match.group(1) or f"osc {match.group(2)}"
        if match is not None and kind == "25":
            self._grid.cursor_shown = text.endswith("h")
        if kind in _SCREEN_MODES:
            self._grid.forget()
        return Setting(text, kind)

    def _raw(self, text: str) -> Raw:
        before = ""
        if not self._lost:
            before = self._grid.frame(follow_cursor=False).text + self._grid.reach(self._look)
            self._lost = True
            self._grid.clear()
        if (match := re.fullmatch(r"\x1b\[([\d;:]*)m", text)) is not None:
            self._look = after(self._look, match.group(1))
        return Raw(before + text)
