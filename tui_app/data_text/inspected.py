"""What `finetui data inspect` prints of rows: how they were read, their columns, conversations, and trained tokens.

Trained text is told apart without colour too: by `^` in a line below it, and token by token by a word. Not here:
reading and rendering (`data`, `engine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.conversation import Conversation
from data.figures.columns import Column
from data.loading import ReadRow
from data.rows import Rejection
from data.understanding.detection import Detection
from tui_app.drawing import Line, fit
from tui_app.glyphs import ASCII, UNICODE, Glyphs
from tui_app.plain import one_line, printable
from tui_app.widgets.token_lines import token_legend, token_lines

if TYPE_CHECKING:
    from engine.row_preview import PreviewedRow, Token

COLUMNS = 80
LONGEST_TEXT = 2000
"""Characters of one message that are shown; how many are left out is said."""
MOST_PROBLEMS = 8
LOOKS = {"trained": "\x1b[1;4;32m", "masked": "\x1b[2m"}
PLAIN = "\x1b[0m"


def detection_lines(detection: Detection) -> list[str]:
    """The format, how sure that is, and why."""
    sure = f"{detection.certainty:.0%}".replace("%", " %")
    return [f"{detection.format} ({sure} sure): {one_line(detection.reason)}"]


def column_lines(columns: Sequence[Column], glyphs: Glyphs = UNICODE) -> list[str]:
    """One line a column: name, kinds of values, share filled, an example."""
    if not columns:
        return []
    names = [fit(one_line(column.name), 20, ellipsis=glyphs.ellipsis) for column in columns]
    kinds = [", ".join(kind for kind, _ in column.kinds) for column in columns]
    first = max(6, *(len(name) for name in names))
    second = min(22, max(6, *(len(kind) for kind in kinds)))
    lines = [f"{'column':<{first}}  {'values':<{second}}  filled  example"]
    for name, kind, column in zip(names, kinds, columns, strict=True):
        filled = f"{column.share_filled:.0%}".replace("%", " %")
        kept = fit(kind, second, ellipsis=glyphs.ellipsis)
        text = f"{name:<{first}}  {kept:<{second}}  {filled:>6}  {one_line(column.example)}"
        lines.append(fit(text, COLUMNS, ellipsis=glyphs.ellipsis))
    return lines


def row_lines(row: ReadRow) -> list[str]:
    """A row as it will be trained on, or why not."""
    place = one_line(f"{row.file}, line {row.file_line}")
    if row.rejection is not None:
        return [f"{place}: not used: {one_line(row.rejection.reason)}"]
    if not isinstance(row.example, Conversation):
        return [f"{place}:", *_indented("text", row.example.text if row.example else "")]
    turns = [line for message in row.example.messages for line in _indented(message.role, message.content)]
    refused = _indented("refused", row.example.refused) if row.example.refused is not None else []
    return [f"{place}:", *turns, *refused]


def _indented(name: str, text: str) -> list[str]:
    left_out = len(text) - LONGEST_TEXT
    lines = printable(text[:LONGEST_TEXT]).split("\n")
    told = [f"  {name + ':':<10} {lines[0]}", *(f"{'':13}{line}" for line in lines[1:])]
    return [*told, f"{'':13}({left_out:,} more characters)"] if left_out > 0 else told


def problem_lines(rejected: Sequence[Rejection], num_rows: int) -> list[str]:
    """Why rows of the sample cannot be used, the commonest reason first."""
    if not rejected:
        return [f"problems: none among the first {num_rows:,} rows"]
    by_reason: dict[str, list[Rejection]] = {}
    for rejection in rejected:
        by_reason.setdefault(rejection.reason, []).append(rejection)
    lines = [f"problems: {len(rejected):,} of the first {num_rows:,} rows cannot be used"]
    commonest = sorted(by_reason.items(), key=lambda one: -len(one[1]))
    for reason, found in commonest[:MOST_PROBLEMS]:
        lines.append(one_line(f"  {len(found):,} x {reason} (first: {found[0].file}, line {found[0].line})"))
    return [*lines, "  `finetui data check` looks at every row, and for much more"]


def trained_lines(row: PreviewedRow, max_length: int, glyphs: Glyphs = UNICODE, *, coloured: bool) -> list[str]:
    """A rendered row with the tokens that are trained marked, and where max_length cuts it."""
    head = f"line {row.line}"
    if row.refusal:
        return [f"{head}: {one_line(row.refusal)}"]
    num_tokens, num_trained = row.num_tokens or 0, row.num_trained or 0
    left_out = "; not trained on at all" if row.is_left_out else ""
    cut = f" before the cut at max_length {max_length:,}" if row.is_cut else ""
    lines = [f"{head}: {num_tokens:,} tokens, {num_trained:,} trained{cut}{left_out}"]
    looks = glyphs if coloured else ASCII
    kept, beyond = row.pieces[: row.num_pieces_kept], row.pieces[row.num_pieces_kept :]
    lines += [_drawn(line, coloured) for line in token_lines(kept, COLUMNS - 2, looks)]
    if beyond:
        num_lost = num_tokens - max_length
        lines.append(f"  {glyphs.horizontal * 3} cut here: {num_lost:,} tokens are left out {glyphs.horizontal * 3}")
        lines += [
            _drawn(line, coloured) for line in token_lines([(text, False) for text, _ in beyond], COLUMNS - 2, looks)
        ]
    return lines


def _drawn(line: Line, coloured: bool) -> str:
    if not coloured:
        return "  " + "".join(span.text for span in line)
    return "  " + "".join(f"{LOOKS[span.role]}{span.text}{PLAIN}" if span.role in LOOKS else span.text for span in line)


def legend_line(row: PreviewedRow, *, coloured: bool) -> str:
    """What the looks mean, with the counts of a row."""
    told = _drawn(token_legend(row.num_trained or 0, row.num_tokens or 0), coloured)
    return told if coloured else f"{told}   (trained text has ^ below it)"


def token_table(tokens: Sequence[Token], max_length: int) -> list[str]:
    """Token by token: its number from 1, id, whether it is trained, and text."""
    lines = [f"{'token':>7}{'id':>9}  {'':<8} text"]
    for number, (token, text, is_trained) in enumerate(tokens, start=1):
        word = "cut" if number > max_length else "trained" if is_trained else ""
        lines.append(f"{number:>7,}{token:>9}  {word:<8} {one_line(repr(text))}")
    return lines
