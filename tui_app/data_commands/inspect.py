"""`finetui data inspect`: how rows were read, what they are taken for and why, the first of them, what is trained."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from data.figures.columns import Column, ColumnSurvey
from data.loading import SAMPLED_ROWS, ReadRow, Rows
from data.rows import Rejection
from engine.errors import DataError, RecipeError
from tui_app.data_options.rows import rows_of
from tui_app.data_options.tokens import add_model, add_rows, readable_elsewhere, recipe_for, wants_tokens
from tui_app.glyphs import ASCII, UNICODE

if TYPE_CHECKING:
    from engine.row_preview import PreviewedRow

HELP = "what rows are taken for, the first of them, what is trained"
USAGE = "[OPTIONS] ROWS"
PATIENCE_SECONDS = 900.0
"""Until the rows are rendered: a row far down in a file of gigabytes is read up to."""


def add(parser: ArgumentParser) -> None:
    """One dataset, and a model for tokens."""
    add_rows(parser)
    parser.add_argument("--rows", type=int, default=3, metavar="N", help="show so many rows; 3 if left out")
    parser.add_argument("--row", type=int, metavar="LINE", help="show the rows from this line on; one, without --rows")
    parser.add_argument("--tokens", action="store_true", help="every token by itself: number, id, text")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_model(parser)


@dataclass(frozen=True, slots=True)
class Looked:
    """The first `num_rows` rows: their columns, those that cannot be used, and the rows to show."""

    num_rows: int
    columns: tuple[Column, ...]
    rejected: tuple[Rejection, ...]
    shown: tuple[ReadRow, ...]


def run(options: Namespace) -> int:
    """Look, then print."""
    num_shown = 1 if options.row is not None and options.rows == 3 else options.rows
    if num_shown < 0 or (options.row is not None and options.row < 1):
        raise RecipeError("--rows and --row count rows and lines.", means="Neither can be less than that: 0, and 1.")
    with_tokens = wants_tokens(options)
    rows = rows_of(options)
    looked = look(rows, options.row or 1, num_shown)
    rendered: tuple[PreviewedRow, ...] = ()
    max_length = 0
    if with_tokens:
        from engine.row_preview import RowPreviewing
        from engine.token_counts import model_files

        with readable_elsewhere(rows) as dataset:
            recipe, base = recipe_for(options, rows, dataset)
            max_length = recipe.training.max_length
            rendered = RowPreviewing(recipe, base, num_shown).rows_from(
                model_files(recipe, base), options.row or 1, PATIENCE_SECONDS
            )
    if options.json:
        print(json.dumps(told(rows, looked, rendered, with_tokens=options.tokens), ensure_ascii=False))
        return 0
    print_looked(rows, looked)
    if with_tokens:
        print_rendered(rendered, max_length, with_tokens=options.tokens)
    else:
        from tui_app.data_text.inspected import row_lines

        for row in looked.shown:
            print("\n".join(["", *row_lines(row)]))
    return 0


def look(rows: Rows, first_line: int, num_shown: int) -> Looked:
    """One pass, ended as soon as all is seen. Raises DataError where there is no row at that line or behind it."""
    columns = ColumnSurvey()
    rejected: list[Rejection] = []
    shown: list[ReadRow] = []
    num_rows = 0
    for row in rows:
        if num_rows < SAMPLED_ROWS:
            num_rows += 1
            if row.values is not None:
                columns.add(row.values)
            if row.rejection is not None:
                rejected.append(row.rejection)
        if row.line >= first_line and len(shown) < num_shown:
            shown.append(row)
        if num_rows >= SAMPLED_ROWS and len(shown) >= num_shown:
            break
    if num_shown and not shown:
        raise DataError(
            f"{rows.dataset} has no row at line {first_line:,} or behind it.",
            means="Lines of several files are counted on from one file to the next.",
            remedy="Name a smaller line with --row.",
        )
    return Looked(num_rows, columns.columns(), tuple(rejected), tuple(shown))


def told(rows: Rows, looked: Looked, rendered: tuple[PreviewedRow, ...], *, with_tokens: bool) -> dict[str, Any]:
    """Everything as one object."""
    values: dict[str, Any] = {
        "dataset": rows.dataset,
        "files": [{"name": part.name, "notes": list(part.notes())} for part in rows.parts],
        "detection": rows.detection.to_json(),
        "sampled_rows": looked.num_rows,
        "columns": [column.to_json() for column in looked.columns],
        "rejected": [asdict(rejection) for rejection in looked.rejected],
        "rows": [_told_row(row) for row in looked.shown],
    }
    if rendered:
        values["rendered"] = [
            {name: value for name, value in asdict(row).items() if name != "tokens" or with_tokens} for row in rendered
        ]
    return values


def _told_row(row: ReadRow) -> dict[str, Any]:
    values: dict[str, Any] = {"file": row.file, "file_line": row.file_line, "line": row.line}
    if row.example is not None:
        values["example"] = row.example.to_json()
    return values | ({"rejected": row.rejection.reason} if row.rejection is not None else {})


def print_looked(rows: Rows, looked: Looked) -> None:
    """How the rows were read, what they are, and what is wrong with the first of them."""
    from tui_app.data_text.inspected import column_lines, detection_lines, problem_lines
    from tui_app.plain import one_line

    lines = []
    for part in islice(rows.parts, 5):
        lines.append(one_line(part.name))
        lines += [f"  {one_line(note)}" for note in part.notes()]
    if len(rows.parts) > 5:
        lines.append(f"and {len(rows.parts) - 5:,} more files")
    lines += [*detection_lines(rows.detection), "", *column_lines(looked.columns), ""]
    print("\n".join([*lines, *problem_lines(looked.rejected, looked.num_rows)]))


def print_rendered(rendered: tuple[PreviewedRow, ...], max_length: int, *, with_tokens: bool) -> None:
    """The rows with the model's template, trained text marked; or token by token."""
    from tui_app.data_text.inspected import legend_line, token_table, trained_lines
    from tui_app.terminal.abilities import colours_of, draws_unicode

    coloured = sys.stdout.isatty() and colours_of(os.environ) != "none" and os.environ.get("TERM") != "dumb"
    glyphs = UNICODE if draws_unicode(os.environ) else ASCII
    for row in rendered:
        drawn = trained_lines(row, max_length, glyphs, coloured=coloured)
        if with_tokens and row.tokens:
            drawn = [drawn[0], *token_table(row.tokens, max_length)]
        elif row.num_tokens:
            drawn.append(legend_line(row, coloured=coloured))
        print("\n".join(["", *drawn]))
