"""`finetui data inspect`: what rows are taken for and why, their columns, and the first of them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from itertools import islice

from data.conversation import Conversation
from data.loading import ReadRow
from tui_app.data_options import add_dataset, rows_of
from tui_app.plain import one_line

HELP = "what the rows are taken for and why, and the first of them"
USAGE = "[OPTIONS] ROWS"


def add(parser: ArgumentParser) -> None:
    """One dataset."""
    add_dataset(parser)
    parser.add_argument("--rows", type=int, default=3, metavar="N", help="show so many rows; 3 if left out")


def run(options: Namespace) -> int:
    """Print it."""
    rows = rows_of(options)
    print(f"{rows.detection.format}: {rows.detection.reason}")
    for row in islice(rows, options.rows):
        print("\n".join(map(one_line, shown(row))))
    return 0


def shown(row: ReadRow) -> list[str]:
    """A row as it will be trained on, or why not."""
    place = f"{row.file}, line {row.file_line}"
    if row.rejection is not None:
        return [f"{place}: not used: {row.rejection.reason}"]
    if isinstance(row.example, Conversation):
        return [f"{place}:", *(f"  {message.role}: {message.content}" for message in row.example.messages)]
    return [f"{place}:", f"  text: {row.example.text if row.example else ''}"]
