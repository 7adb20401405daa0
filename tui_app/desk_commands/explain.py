"""`finetui explain TERM`: a word of fine-tuning, a field, a rung, a metric or a check in its own sentences.

Not here: where the sentences are found (`explaining`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from dataclasses import asdict

from data.nearest import nearest
from engine.errors import RecipeError
from tui_app.desk_commands.explaining import Entry, everything, explained, names, words
from tui_app.plain import one_line

HELP = "a word of fine-tuning in two sentences"
USAGE = "[--json] [TERM]"
WIDEST = 100
"""Columns of text; longer lines are hard to read."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("term", metavar="TERM", nargs="*", help="rank, training.learning_rate, halve_rank, rouge, …")
    parser.add_argument("--json", action="store_true", help="one JSON object for each entry; without TERM all of them")
    parser.epilog = "Without TERM: every word there is, by name."


def run(options: argparse.Namespace) -> int:
    term = " ".join(options.term)
    if not term:
        told = [json.dumps(asdict(entry)) for entry in everything()] if options.json else [e.name for e in words()]
        print("\n".join(told))
        return 0
    found = explained(term)
    if not found:
        near = nearest(term, names())
        raise RecipeError(
            f"Nothing here is called {one_line(term)!r}.",
            means="Words, fields of a recipe, rungs, metrics and checks of rows are explained.",
            remedy=f"Did you mean {' or '.join(near)}?" if near else "`finetui explain` lists every word.",
        )
    print("\n".join(json.dumps(asdict(entry)) for entry in found) if options.json else "\n\n".join(map(shown, found)))
    return 0


def shown(entry: Entry) -> str:
    """A paragraph of one entry, as wide as the terminal is, at most 100 columns."""
    told = [f"{entry.name}: {entry.text}" if entry.kind == "word" else f"{entry.name} ({entry.kind}): {entry.text}"]
    if entry.default:
        told.append(f"default: {entry.default}")
    if entry.fields:
        told.append(f"{'see' if entry.kind == 'field' else 'fields'}: {', '.join(entry.fields)}")
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return "\n".join(textwrap.fill(line, max(width, 20), break_on_hyphens=False) for line in told)
