"""Lines of text with roles: what panels draw, without a terminal and without Textual.

A `Line` is a tuple of spans, a span a text and its role. A role says what a text means ("good", "dim", "curve-raw");
`tui_app/roles` says how it looks in a theme. Widths are terminal cells. Not here: widgets, colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from rich.cells import cell_len, chop_cells, set_cell_size

from tui_app.plain import one_line

Role = Literal[
    "",
    "dim",
    "faint",
    "strong",
    "title",
    "key",
    "good",
    "warn",
    "bad",
    "accent",
    "axis",
    "curve-raw",
    "curve-ema",
    "curve-eval",
    "curve-other",
    "curve-4",
    "curve-5",
    "curve-6",
    "curve-7",
    "curve-8",
    "trained",
    "masked",
    "weights",
    "adapter",
    "optimizer",
    "activations",
    "others",
    "free",
    "chosen",
]
ROLES: tuple[str, ...] = get_args(Role)


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    role: Role = ""


Line = tuple[Span, ...]


literal = one_line
"""The text on one line with nothing in it that a terminal would obey: control, bidi and escape characters shown."""


def line(*parts: str | Span | tuple[str, Role]) -> Line:
    """A line of texts and spans; empty ones are left out."""
    spans = (Span(part) if isinstance(part, str) else Span(*part) for part in parts)
    return tuple(span for span in spans if span.text)


def width_of(drawn: Line) -> int:
    """Cells that a line takes."""
    return sum(cell_len(span.text) for span in drawn)


def fit(text: str, width: int, *, ellipsis: str = "…") -> str:
    """The text in at most `width` cells, with an ellipsis where something is cut off."""
    if cell_len(text) <= width:
        return text
    room = width - cell_len(ellipsis)
    if room < 0:
        return ellipsis[: max(width, 0)]
    return (chop_cells(text, room)[0] if room else "") + ellipsis


def fit_line(drawn: Line, width: int, *, ellipsis: str = "…") -> Line:
    """The line in at most `width` cells."""
    if width_of(drawn) <= width:
        return drawn
    kept: list[Span] = []
    room = width
    for span in drawn:
        size = cell_len(span.text)
        if size >= room:
            kept.append(Span(fit(span.text + " " * (size == room), room, ellipsis=ellipsis), span.role))
            break
        kept.append(span)
        room -= size
    return tuple(kept)


def padded(text: str, width: int, *, ellipsis: str = "…") -> str:
    """The text in exactly `width` cells: cut or filled with blanks on its right."""
    return set_cell_size(fit(text, width, ellipsis=ellipsis), width)


def spread(left: Line, right: Line, width: int, *, ellipsis: str = "…") -> Line:
    """One line with `right` at its right end; `left` is cut where both do not fit."""
    room = width - width_of(right) - (1 if right else 0)
    left = fit_line(left, max(room, 0), ellipsis=ellipsis)
    gap = width - width_of(left) - width_of(right)
    return fit_line((*left, Span(" " * max(gap, 0)), *right), width, ellipsis=ellipsis)


def wrap(text: str, width: int, role: Role = "", *, indent: int = 0) -> list[Line]:
    """A sentence over as many lines as it needs, each but the first indented; words longer than a line are cut."""
    told: list[Line] = []
    current = ""
    for word in text.split():
        start = " " * indent if told else ""
        candidate = f"{current} {word}" if current else start + word
        if cell_len(candidate) <= width or not current:
            current = candidate
        else:
            told.append(line((current, role)))
            current = " " * indent + word
        while cell_len(current) > width > indent:
            head = chop_cells(current, width)[0]
            told.append(line((head, role)))
            current = " " * indent + current[len(head) :]
    return [*told, line((current, role))] if current.strip() else told


def plain_text(drawn: Iterable[Line]) -> str:
    """The lines without their roles, for tests and for copying."""
    return "\n".join("".join(span.text for span in each).rstrip() for each in drawn)
