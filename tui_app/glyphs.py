"""The signs that screens are drawn with, once in Unicode and once in ASCII. Letters and words carry the meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Every sign that is no letter. `eighths` fills a cell from the left in eighths, `levels` from below."""

    done: str
    current: str
    upcoming: str
    asks: str
    impossible: str
    selected: str
    unselected: str
    pointer: str
    running: str
    paused: str
    arrow: str
    down: str
    up: str
    warning: str
    bullet: str
    ellipsis: str
    vertical: str
    horizontal: str
    tick: str
    corner: str
    full: str
    empty: str
    eighths: str
    levels: str
    eval_mark: str
    checkpoint_mark: str
    rung_mark: str
    oom_mark: str
    nonfinite_mark: str
    cursor: str
    is_unicode: bool


UNICODE = Glyphs(
    done="✓",
    current="▸",
    upcoming="·",
    asks="?",
    impossible="✗",
    selected="●",
    unselected="○",
    pointer="▸",
    running="●",
    paused="‖",
    arrow="→",
    down="▼",
    up="▲",
    warning="!",
    bullet="•",
    ellipsis="…",
    vertical="│",
    horizontal="─",
    tick="┤",
    corner="└",
    full="█",
    empty="░",
    eighths="▏▎▍▌▋▊▉",
    levels="▁▂▃▄▅▆▇█",
    eval_mark="◆",
    checkpoint_mark="▪",
    rung_mark="▾",
    oom_mark="✗",
    nonfinite_mark="!",
    cursor="│",
    is_unicode=True,
)
ASCII = Glyphs(
    done="+",
    current=">",
    upcoming=".",
    asks="?",
    impossible="-",
    selected="*",
    unselected="o",
    pointer=">",
    running="*",
    paused="=",
    arrow="->",
    down="v",
    up="^",
    warning="!",
    bullet="-",
    ellipsis="...",
    vertical="|",
    horizontal="-",
    tick="+",
    corner="+",
    full="#",
    empty=".",
    eighths="",
    levels="_.-=*#",
    eval_mark="E",
    checkpoint_mark="c",
    rung_mark="v",
    oom_mark="X",
    nonfinite_mark="!",
    cursor="|",
    is_unicode=False,
)
