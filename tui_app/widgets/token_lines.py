"""A rendered row as the model reads it, with the tokens that are trained told apart from those that are only read.

Trained text is green, bold and underlined; where there is no Unicode also marked by `^` in a line below. Pure: lines
from pieces. Not here: rendering and tokenizing (`engine/training`).
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from tui_app.drawing import Line, Role, Span, line, literal
from tui_app.glyphs import UNICODE, Glyphs

MOST_CHARACTERS = 20_000
"""Of a row that are drawn; what lies beyond is told as a number."""


def token_lines(pieces: Iterable[tuple[str, bool]], width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """`pieces` are (text, whether it is trained) in order. Line breaks are shown as a sign and then obeyed."""
    rows = _rows(pieces, max(width, 2), "⏎" if glyphs.is_unicode else "\\n")
    if glyphs.is_unicode:
        return [_spans(row) for row in rows]
    told: list[Line] = []
    for row in rows:
        told.append(_spans(row))
        if any(is_trained for _, is_trained in row):
            marks = "".join(("^" if is_trained else " ") * cell_len(text) for text, is_trained in row)
            told.append(line((marks.rstrip(), "trained")))
    return told


def _rows(pieces: Iterable[tuple[str, bool]], width: int, break_sign: str) -> list[list[tuple[str, bool]]]:
    """Characters, each with whether it is trained, broken into rows of at most `width` cells."""
    rows: list[list[tuple[str, bool]]] = [[]]
    used = drawn = left_out = 0

    def put(text: str, is_trained: bool) -> None:
        nonlocal used
        size = cell_len(text)
        if used + size > width:
            rows.append([])
            used = 0
        rows[-1].append((text, is_trained))
        used += size

    for text, is_trained in pieces:
        room = MOST_CHARACTERS - drawn
        left_out += max(len(text) - room, 0)
        drawn += min(len(text), room)
        for character in text[: max(room, 0)]:
            if character == "\n":
                put(break_sign, is_trained)
                rows.append([])
                used = 0
            else:
                for shown in _shown(character, width):
                    put(shown, is_trained)
    if rows and not rows[-1]:
        rows.pop()
    if left_out:
        rows.append([(f"({left_out:,} more characters)", False)])
    return rows


def _shown(character: str, width: int) -> tuple[str, ...]:
    """The character as it is drawn: escapes in full, cut only where a line is shorter than they are."""
    text = literal(character)
    return (text,) if len(text) <= width else tuple(text)


def _spans(row: list[tuple[str, bool]]) -> Line:
    told: list[Span] = []
    for text, is_trained in row:
        role: Role = "trained" if is_trained else "masked"
        if told and told[-1].role == role:
            told[-1] = Span(told[-1].text + text, role)
        else:
            told.append(Span(text, role))
    return tuple(told)


def token_legend(num_trained: int, num_tokens: int) -> Line:
    """What the two looks mean, with counts."""
    share = num_trained / num_tokens if num_tokens else 0.0
    return line(
        (f"trained: {num_trained:,} tokens", "trained"),
        f" ({share:.0%})   ",
        (f"only read: {num_tokens - num_trained:,}", "masked"),
    )
