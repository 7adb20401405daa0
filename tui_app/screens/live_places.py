"""Where the panels of the live view stand, by the size of the screen: one, one and a strip, or all of them.

Not here: what they show and when they are drawn.
"""

from __future__ import annotations

from tui_app.drawing import Line, fit, line, spread, width_of
from tui_app.glyphs import Glyphs

TINY = (60, 18)
WIDE = (120, 32)
LOG_STRIP_FROM = 24
SIDE_WIDTH = 46
CSS = f"""
LiveScreen #header {{ dock: top; height: 1; background: $surface; }}
LiveScreen #tabs {{ height: 1; }}
LiveScreen #middle {{ height: 1fr; layout: vertical; }}
LiveScreen #main {{ height: 1fr; width: 1fr; }}
LiveScreen #side {{ height: 3; width: 1fr; background: $surface; }}
LiveScreen #side PanelView {{ height: 1; }}
LiveScreen #below {{ height: 2; layout: horizontal; }}
LiveScreen #below.-gone {{ display: none; }}
LiveScreen #second {{ display: none; }}
LiveScreen #status {{ height: 1; }}
LiveScreen #filter {{ display: none; height: 1; border: none; padding: 0 1; background: $panel; }}
LiveScreen.-filtering #filter {{ display: block; }}
LiveScreen.-filtering KeyFooter {{ display: none; }}
LiveScreen.-all #tabs {{ display: none; }}
LiveScreen.-all #middle {{ layout: horizontal; }}
LiveScreen.-all #side {{ width: {SIDE_WIDTH}; height: 1fr; margin-left: 1; background: $background; }}
LiveScreen.-all #side #memory {{ height: 13; }}
LiveScreen.-all #side #throughput {{ height: 6; }}
LiveScreen.-all #side #ladder {{ height: 1fr; }}
LiveScreen.-all #below {{ height: 27%; min-height: 9; }}
LiveScreen.-all #below #first {{ width: 1fr; }}
LiveScreen.-all #below #second {{ display: block; width: {SIDE_WIDTH}; margin-left: 1; }}
LiveScreen.-alone #side, LiveScreen.-alone #below {{ display: none; }}
LiveScreen.-tiny #tabs {{ display: none; }}
"""


def mode_of(width: int, height: int) -> str:
    """tiny, strip or all."""
    if width < TINY[0] or height < TINY[1]:
        return "tiny"
    return "all" if width >= WIDE[0] and height >= WIDE[1] else "strip"


def tabs_line(titles: list[str], active: int, note: str, width: int, glyphs: Glyphs) -> Line:
    """The panels by their digits, the chosen one in brackets; on a narrow screen the others by their digits alone.

    `note` is what the chosen panel has to say of itself, at the right end.
    """
    drawn = _tabs(titles, active, is_short=False)
    if width_of(drawn) > width:
        drawn = _tabs(titles, active, is_short=True)
    room = width - width_of(drawn) - 2
    right = line((fit(note, room, ellipsis=glyphs.ellipsis), "dim"), " ") if note and room > 0 else ()
    return spread(drawn, right, width, ellipsis=glyphs.ellipsis)


def _tabs(titles: list[str], active: int, *, is_short: bool) -> Line:
    drawn: Line = ()
    for number, title in enumerate(titles, start=1):
        if number == active:
            drawn = (*drawn, *line(" ", (f"[{number} {title}]", "title")))
        else:
            drawn = (*drawn, *line(" ", (str(number), "key"), ("" if is_short else f" {title}", "dim")))
    return drawn
