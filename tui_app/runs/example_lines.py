"""How rows with two answers are drawn: a list of them, and one of them whole with what differs marked.

Every text is the user's or the model's: it is drawn literally. Not here: reading them (`answers`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from rich.cells import cell_len, chop_cells

from tui_app.drawing import Line, Role, Span, fit, fit_line, line, literal, padded, width_of
from tui_app.glyphs import Glyphs
from tui_app.runs.answers import KINDS, Example

BESIDE_FROM = 70
"""Width from which the two answers stand side by side."""
MAX_TEXT = 8_000
"""Characters of a text that are drawn; what nobody scrolls to is left out, and said so."""
ROLES: Mapping[str, Role] = {"better": "good", "worse": "bad", "wrong": "warn", "right": "dim"}
Piece = tuple[str, Role]


def kinds_line(counts: Mapping[str, int], chosen: str, words: str, width: int, glyphs: Glyphs) -> Line:
    """The kinds with how many rows each has, the chosen one in brackets."""
    told: Line = ()
    for name in KINDS:
        text = f"{name} {counts[name]:,}"
        part = line(" ", (f"[{text}]", "title")) if name == chosen else line("  ", (text, "dim"), " ")
        told = (*told, *part)
    if words:
        told = (*told, *line(f"   / {literal(words)}"))
    return fit_line(told, width, ellipsis=glyphs.ellipsis)


def list_line(example: Example | None, width: int, *, pointed: bool, glyphs: Glyphs) -> Line:
    """One row of the list: its line in the source, whether each answer is right, the group and the request."""
    head = line((glyphs.pointer if pointed else " ", "key"), " ")
    if example is None:
        return (*head, *line(("this row cannot be read any more", "dim")))
    signs = [glyphs.done if correct else glyphs.impossible for correct in example.corrects]
    role = ROLES[example.kind]
    told = (
        *head,
        *line((f"{example.line:>6} ", "dim"), (f"{signs[0]}{glyphs.arrow}{signs[1]} ", role)),
        *line((padded(literal(example.group), 12, ellipsis=glyphs.ellipsis) if example.group else "", "dim")),
    )
    request = " ".join(example.request[:400].split())
    return fit_line((*told, Span(f" {literal(request)}", "strong" if pointed else "")), width, ellipsis=glyphs.ellipsis)


def detail_lines(example: Example, titles: tuple[str, str], width: int, glyphs: Glyphs) -> list[Line]:
    """The whole row: request, what was wanted, and both answers side by side with what differs marked."""
    rows = _labelled("request", _plain(example.request), width)
    rows += _labelled("expected", _plain(example.expected), width)
    heads = [
        (f"{glyphs.done if correct else glyphs.impossible} {literal(title)}", "good" if correct else "bad")
        for title, correct in zip(titles, example.corrects, strict=True)
    ]
    bodies = [_answer(example, place) for place in (0, 1)]
    if width < BESIDE_FROM:
        for head, body in zip(heads, bodies, strict=True):
            rows += [line(""), line(" ", head), *[(*line("   "), *each) for each in flow(body, width - 4)]]  # type: ignore[arg-type]
        return rows
    room = (width - 5) // 2
    left, right = (flow(body, room) for body in bodies)
    rule = line(" ", (glyphs.vertical, "faint"), " ")
    rows += [line(""), _beside(line(heads[0]), line(heads[1]), room, rule, glyphs)]  # type: ignore[arg-type]
    for number in range(max(len(left), len(right))):
        first = left[number] if number < len(left) else ()
        second = right[number] if number < len(right) else ()
        rows.append(_beside(first, second, room, rule, glyphs))
    return rows


def _beside(left: Line, right: Line, room: int, rule: Line, glyphs: Glyphs) -> Line:
    left = fit_line(left, room, ellipsis=glyphs.ellipsis)
    return (Span(" "), *left, Span(" " * (room - width_of(left))), *rule, *fit_line(right, room))


def _labelled(label: str, pieces: Sequence[Piece], width: int) -> list[Line]:
    return [
        (*line((padded(f" {label}" if not number else "", 11), "title")), *each)
        for number, each in enumerate(flow(pieces, max(width - 12, 10)) or [()])
    ]


def _plain(text: str) -> list[Piece]:
    return [(_shortened(text), "")]


def _answer(example: Example, place: int) -> list[Piece]:
    """An answer with the words marked that the expected one does not have, and what was compared of it."""
    answer, found = example.answers[place], example.founds[place]
    if not answer.strip():
        return [("(no answer)", "dim")]
    pieces = marked(_shortened(answer.rstrip()), _shortened(example.expected))
    if example.corrects[place] and found is not None:
        pieces = [(text, "" if role == "bad" else role) for text, role in pieces]
    told = "nothing in it could be compared" if found is None else f"compared: {found}"
    is_part = found is None or " ".join(answer.split()) != found
    return [*pieces, ("\n", ""), (told, "dim")] if is_part else pieces


def marked(answer: str, expected: str) -> list[Piece]:
    """The answer in pieces; words that the expected text does not have at that place are marked."""
    words, wanted = (re.findall(r"\s+|[^\s]+", text) for text in (answer, expected))
    matcher = difflib.SequenceMatcher(None, wanted, words, autojunk=False)
    pieces: list[Piece] = []
    for kind, _, _, start, stop in matcher.get_opcodes():
        if start < stop:
            pieces.append(("".join(words[start:stop]), "" if kind == "equal" else "bad"))
    return pieces


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} [{len(text) - MAX_TEXT:,} characters more]"


def flow(pieces: Sequence[Piece], width: int) -> list[Line]:
    """Pieces of text over lines of `width` cells: line breaks and blanks stay, what is too long goes on below."""
    rows: list[list[Span]] = [[]]
    used = 0
    for text, role in pieces:
        for token in re.findall(r"\n|[^\S\n]+|[^\s]+", text):
            if token == "\n":
                rows.append([])
                used = 0
                continue
            shown = literal(token)
            size = cell_len(shown)
            if used + size > width and used:
                rows.append([])
                used = 0
                if token.isspace():
                    continue
            for part in chop_cells(shown, width) if size > width else [shown]:
                if used + cell_len(part) > width and used:
                    rows.append([])
                    used = 0
                rows[-1].append(Span(part, role))
                used += cell_len(part)
    while rows and not rows[-1]:
        rows.pop()
    return [tuple(row) for row in rows]


def empty_lines(kind: str, words: str, *, num_rows: int, is_reading: bool) -> list[Line]:
    """What stands where no row is to be shown."""
    if is_reading:
        told = "reading the answers"
    elif words:
        told = f"no {'' if kind == 'all' else kind + ' '}row holds {literal(words)!r}; Esc drops the search"
    elif not num_rows:
        told = "no row was answered by both yet; they appear here as they come"
    else:
        told = f"no row is {fit(KINDS[kind], 60)}"
    return [line(""), line("  ", (told, "dim"))]
