"""`finetui data convert`: rows in another format, another kind of file, or in shards."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from itertools import islice

from data.file_choice import SPLIT_WORDS
from data.loading import AUTO, Rows
from data.sources import reading_notes
from data.writing.conversion import (
    SAME,
    Conversion,
    Outgoing,
    RowsAsTheyStand,
    columns_for,
    without_misfits,
    write_rows,
)
from data.writing.json_text import json_values
from data.writing.shards import Folder, Output
from engine.errors import RecipeError
from tui_app.data_options.outputs import (
    Account,
    add_mending,
    add_output,
    as_they_stand,
    begun_output,
    drops_of,
    finished,
    identity_of,
    interruptible,
    renaming_notes,
    repairs_of,
    short_help,
    watched,
)
from tui_app.data_options.rows import add_dataset, rows_of
from tui_app.plain import one_line

HELP = "write rows in another format or kind of file"
USAGE = "[OPTIONS] ROWS -o OUT"


def add(parser: ArgumentParser) -> None:
    """One dataset, one output."""
    add_dataset(parser)
    short_help(parser)
    parser.add_argument(
        "--to", default=SAME, metavar="FORMAT", help="messages, alpaca, …; same (default) keeps the columns"
    )
    add_output(parser, needed=False)
    add_mending(parser)
    parser.add_argument("--preview", type=int, metavar="N", help="show N rows before and after; writes nothing")


def run(options: Namespace) -> int:
    """Write them, or show the first of them."""
    if options.preview is not None and options.preview < 1:
        raise RecipeError(f"--preview is {options.preview}.", means="No row would be shown.", remedy="Give 1 or more.")
    conversion = conversion_of(options)
    if options.preview is not None:
        return _preview(conversion, options.preview, options.json)
    inputs = conversion.source.files()
    identity = identity_of("convert", options, inputs, [options.dataset])
    with interruptible(begun_output(options, identity)) as output:
        if isinstance(output, Folder) and output.num_kept_shards and not options.json:
            print(f"going on after {output.num_kept_shards} complete shards")
        columns, misfits = columns_for(output.kind, watched(conversion, "looking at columns"))
        output.with_columns(columns)
        rows: Iterable[Outgoing] = without_misfits(watched(conversion, "converting"), misfits)
        split = split_word(options.split)
        tally = write_rows(rows, output, lambda _: split, options.skip_bad)
        account = Account(
            f"{options.dataset} as {_described(conversion, output)}",
            identity,
            inputs,
            conversion.source.detection,
            tally,
            renaming_notes(conversion, options.template),
            reading=reading_notes(conversion.source.parts),
        )
        print(finished(options, output, account))
    return 0


def conversion_of(options: Namespace) -> Conversion:
    """The conversion that the options name. Raises DataError or RecipeError."""
    repairs = repairs_of(options)
    if options.to != SAME or options.drop or (options.column and not options.system):
        rows = rows_of(options)
        drops = drops_of(options, rows)
        source = rows if options.to != SAME else RowsAsTheyStand(rows.parts, options.max_rows)
        return Conversion(source, options.to, drops, repairs, rows.shape.columns)
    for name, given in (
        ("--system", options.system),
        ("--format", options.format != AUTO),
        ("--template", options.template),
    ):
        if given:
            raise RecipeError(
                f"{name} says what the rows mean, and without --to they are written as they stand.",
                means="It would have no effect.",
                remedy="Name the format to write, for example --to messages, or leave it out.",
            )
    return Conversion(as_they_stand(options), SAME, {}, repairs)


def split_word(split: str | None) -> str:
    """The split's word in the files' names: the one that was read, train where none was named."""
    return split if split in SPLIT_WORDS else "train"


def _described(conversion: Conversion, output: Output) -> str:
    return f"{output.kind.suffix} files" if conversion.to == SAME else f"{conversion.to}, {output.kind.suffix} files"


def _preview(conversion: Conversion, num_rows: int, as_json: bool) -> int:
    source = conversion.source
    if not as_json:
        known = [f"{source.detection.format}: {source.detection.reason}"] if isinstance(source, Rows) else []
        for line in (*known, *reading_notes(source.parts)):
            print(one_line(line))
    for one in islice(conversion, num_rows):
        after = None if one.values is None else _shown(one.values)
        if as_json:
            told = {"file": one.row.file, "line": one.row.file_line, "before": None, "after": after}
            told["before"] = None if one.row.values is None else _shown(one.row.values)
            print(json.dumps(told | {"problem": one.problem or None, "dropped_by": one.dropped_by or None}))
            continue
        print(one_line(f"{one.row.file}, line {one.row.file_line}:"))
        print(f"  before  {_text(one.row.values)}")
        left_out = f"left out by {one.dropped_by}" if one.dropped_by else f"cannot be written: {one.problem}"
        print(f"  after   {_text(one.values)}" if one.values is not None else one_line(f"  {left_out}"))
    return 0


def _shown(values: object) -> object:
    from collections import Counter

    assert isinstance(values, dict)
    return json_values(values, Counter())


def _text(values: object) -> str:
    return "(not readable)" if values is None else one_line(json.dumps(_shown(values), ensure_ascii=False))
