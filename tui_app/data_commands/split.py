"""`finetui data split`: rows into train, validation and test files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from itertools import islice

from data.errors import DataError
from data.loading import AUTO, ReadRow, Rows
from data.sources import reading_notes
from data.writing.assigning import SPLITS, Assigned, Assignment, assigned, check_shares, keys_of
from data.writing.conversion import (
    SAME,
    Conversion,
    Outgoing,
    RowsAsTheyStand,
    Source,
    columns_for,
    place_of,
    without_misfits,
    write_rows,
)
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
from tui_app.data_options.rows import add_dataset, rows_of, source_of

HELP = "write rows into train, validation and test files, seeded"
USAGE = "[OPTIONS] ROWS -o DIR"
_STRATA_SHOWN = 12


def add(parser: ArgumentParser) -> None:
    """One dataset, one folder."""
    add_dataset(parser)
    short_help(parser)
    add_output(parser, only_folder=True)
    parser.add_argument("--eval", type=float, default=0.1, metavar="SHARE", help="of the rows, to validate on; 0.1")
    parser.add_argument("--test", type=float, default=0.0, metavar="SHARE", help="of the rows, to test on; 0")
    parser.add_argument("--seed", type=int, default=42, metavar="S", help="42 if left out")
    parser.add_argument("--stratify-by", metavar="COLUMN", help="keep the shares for each of its values")
    parser.add_argument("--group-by", metavar="COLUMN", help="keep rows with the same value in one split")
    parser.add_argument("--by-hash", action="store_true", help="added rows never move old ones; shares are near")
    parser.add_argument("--to", default=SAME, metavar="FORMAT", help="also convert; same (default) keeps the columns")
    add_mending(parser)


def run(options: Namespace) -> int:
    """Two passes: who goes where, and writing."""
    how = _assignment(options)
    known, first, second = _passes(options)
    inputs = second.source.files()
    identity = identity_of("split", options, inputs, [options.dataset])
    with interruptible(begun_output(options, identity, only_folder=True)) as output:
        columns, misfits = columns_for(output.kind, watched(second, "looking at columns"))
        result = assigned(keys_of(_used(first, second, misfits), how), how)
        output.with_columns(columns)
        rows: Iterable[Outgoing] = without_misfits(watched(second, "writing"), misfits)
        tally = write_rows(rows, output, lambda position: SPLITS[int(result.splits[position])], options.skip_bad)
        details = {"strata": {name: list(counts) for name, counts in result.strata.items()}}
        takers = {"train": "dataset", "validation": "eval_dataset", "test": "test_dataset"}
        numbers = {"duplicates": result.num_duplicates, "leaks": result.num_leaks}
        account = Account(
            f"{options.dataset}, split",
            identity,
            inputs,
            first.detection,
            tally,
            [*_notes(result, how, known, first), *renaming_notes(second, options.template)],
            (details if how.stratify_by else {}) | numbers,
            reading_notes(second.source.parts),
            {key: options.output for split, key in takers.items() if tally.num_written[split]},
        )
        print(finished(options, output, account))
    return 0


def _assignment(options: Namespace) -> Assignment:
    how = Assignment(options.eval, options.test, options.seed, options.stratify_by, options.group_by, options.by_hash)
    check_shares(how)
    if how.by_hash and how.stratify_by is not None:
        raise RecipeError(
            "--by-hash and --stratify-by are both given.",
            means="By hash, each row is placed by itself, so no stratum can be counted out.",
            remedy="Leave one of them out.",
        )
    return how


def _passes(options: Namespace) -> tuple[bool, Source, Conversion]:
    """Whether the rows' format is known, the rows for the first pass, and the conversion for the second."""
    repairs = repairs_of(options)
    settings = options.format != AUTO or options.template or options.column or options.system
    if options.to != SAME or options.drop or settings:
        rows = rows_of(options)
    else:
        raw = as_they_stand(options)
        try:
            rows = Rows(options.dataset, source_of(options), max_rows=options.max_rows)
        except DataError:
            # Nobody needs to be asked what the columns mean: the rows are written as they stand.
            return False, raw, Conversion(raw, SAME, {}, repairs)
    drops = drops_of(options, rows)
    source = rows if options.to != SAME else RowsAsTheyStand(rows.parts, options.max_rows)
    return True, rows, Conversion(source, options.to, drops, repairs, rows.shape.columns)


def _used(rows: Source, conversion: Conversion, misfits: object) -> Iterator[tuple[ReadRow, bool]]:
    """The rows of the first pass, each with whether the second will write it."""
    assert hasattr(misfits, "__contains__")
    for position, row in enumerate(watched(rows, "placing")):
        yield row, conversion.outgoing(row).values is not None and position not in misfits


def _notes(result: Assigned, how: Assignment, known: bool, rows: Source) -> list[str]:
    notes = []
    if not known:
        notes.append("The format is not known: rows count as the same when all their columns are the same.")
    if result.num_duplicates:
        kept = "kept, each beside its like" if how.group_by is None else "kept"
        notes.append(f"Exact duplicates: {result.num_duplicates:,} rows, {kept} (--drop duplicates leaves them out).")
    if how.stratify_by is not None:
        notes.append(f"By {how.stratify_by} (train, validation, test):")
        ordered = sorted(result.strata.items(), key=lambda item: (-sum(item[1]), item[0]))
        notes += [f"  {name}: {', '.join(f'{one:,}' for one in counts)}" for name, counts in ordered[:_STRATA_SHOWN]]
        if len(ordered) > _STRATA_SHOWN:
            notes.append(f"  and {len(ordered) - _STRATA_SHOWN} values more, in manifest.json")
    if result.num_leaks:
        places = [place_of(row) for row in _at(rows, result.leaking)]
        notes.append(
            f"Leak: {result.num_leaks:,} requests stand in more than one split, in different groups "
            f"(first: {'; '.join(places)})."
        )
    elif isinstance(rows, Rows):
        notes.append("No request stands in more than one split.")
    return notes


def _at(rows: Source, positions: tuple[int, ...]) -> list[ReadRow]:
    wanted = set(positions)
    return [row for position, row in enumerate(islice(rows, max(wanted) + 1)) if position in wanted]
