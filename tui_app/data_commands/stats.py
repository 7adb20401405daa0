"""`finetui data stats`: how long rows are, how many turns they have, how answers begin; and with a model, tokens."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from data.figures.statistics import RowStatistics
from data.loading import Rows, nothing_left
from data.sources import reading_notes
from engine.errors import RecipeError
from tui_app.data_options.rows import rows_of
from tui_app.data_options.tokens import add_model, add_rows, readable_elsewhere, recipe_for, wants_tokens
from tui_app.glyphs import ASCII, UNICODE
from tui_app.plain import one_line

if TYPE_CHECKING:
    from engine.token_counts import Progress

HELP = "lengths, turns and answers; with a model, tokens and packing"
USAGE = "[OPTIONS] ROWS"
SILENT_SECONDS = 2.0
TOLD_EVERY_SECONDS = 0.5


def add(parser: ArgumentParser) -> None:
    """One dataset, and a model for tokens."""
    add_rows(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--sample", type=int, metavar="N", help="count tokens of N rows drawn at random, errors stated")
    parser.add_argument("--batch-size", type=int, metavar="N", help="rows of a micro-batch; the recipe's, or 8")
    add_model(parser)


def run(options: Namespace) -> int:
    """Count, then print."""
    for name in ("sample", "batch_size"):
        if (number := getattr(options, name)) is not None and number < 1:
            raise RecipeError(f"--{name.replace('_', '-')} is {number}.", means="It is a number of rows, 1 or more.")
    with_tokens = wants_tokens(options)
    rows = rows_of(options)
    found = statistics_of(rows)
    notes = reading_notes(rows.parts)
    told = {"dataset": rows.dataset, "format": rows.detection.to_json(), "notes": list(notes)} | found.to_json()
    lines: list[str] = []
    if not options.json:
        from tui_app.data_text.statistics import row_lines
        from tui_app.terminal.abilities import draws_unicode

        glyphs = UNICODE if draws_unicode(os.environ) else ASCII
        read = map(one_line, (f"{rows.detection.format}: {rows.detection.reason}", *notes))
        print("\n".join([*read, *row_lines(found, glyphs)]))
    if with_tokens:
        from engine.length_advice import token_report
        from engine.token_counts import TokenCounting

        watched = Watched(found.num_used if options.sample is None else min(options.sample, found.num_used))
        with readable_elsewhere(rows) as dataset:
            recipe, base = recipe_for(options, rows, dataset)
            counts = TokenCounting(recipe, base, found.num_used, options.sample).count(watched)
        watched.clear()
        batch_size = options.batch_size or recipe.training.per_device_train_batch_size
        report = token_report(counts, recipe.training.max_length, batch_size)
        model = recipe.model.name_or_path
        told |= {"tokens": {"model": model} | report.to_json()}
        if not options.json:
            from tui_app.data_text.statistics import token_lines

            lines = ["", *token_lines(report, model, glyphs)]
    print(json.dumps(told) if options.json else "\n".join(lines))
    return 0


def statistics_of(rows: Rows) -> RowStatistics:
    """Counts of all rows. Raises DataError where none can be used."""
    found = RowStatistics()
    watched = Watched()
    started = time.monotonic()
    for row in rows:
        found.add(row)
        if found.num_rows % 1000 == 0:
            watched.say(found.num_rows, 0, time.monotonic() - started)
    watched.clear()
    if not found.num_used:
        raise nothing_left(rows.dataset, (row.rejection for row in rows if row.rejection is not None))
    return found


class Watched:
    """One line on stderr that says how far it is, where stderr is a terminal and it takes a while."""

    def __init__(self, num_rows: int | None = None) -> None:
        self.num_rows = num_rows
        self.is_on = sys.stderr.isatty()
        self.said = 0.0

    def __call__(self, progress: Progress) -> None:
        self.say(progress.num_rows, progress.num_tokens, progress.seconds)

    def say(self, num_rows: int, num_tokens: int, seconds: float) -> None:
        """Rows a second, and the time left where the number of rows is known."""
        if not self.is_on or seconds < SILENT_SECONDS or seconds - self.said < TOLD_EVERY_SECONDS:
            return
        from engine.units import format_seconds

        self.said = seconds
        rate = num_rows / seconds
        of = f" of {self.num_rows:,}" if self.num_rows else ""
        tokens = f", {num_tokens / seconds:,.0f} tokens/s" if num_tokens else ""
        left = f", {format_seconds(max(self.num_rows - num_rows, 0) / rate)} left" if self.num_rows else ""
        text = f"{'tokens' if num_tokens else 'reading'}: {num_rows:,}{of} rows, {rate:,.0f} rows/s{tokens}{left}"
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.said:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
