"""`finetui data generate`: rows made here, by a bundled generator or for any command line.

Not here: the rows (`data/generators`, `data/command_line`) and the options for command lines (`data_options/`).
"""

from __future__ import annotations

import argparse
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.generators import COMMANDS, all_generators, form_named, generator_named
from data.generators.row_file import kind_of, write_rows
from data.readers import read_file
from engine.errors import RecipeError
from tui_app.data_options import command_rows
from tui_app.data_options.outputs import check_is_path
from tui_app.data_text.progress import counted
from tui_app.plain import one_line

HELP = "make rows: a bundled generator, or for any command line"
USAGE = "[OPTIONS] [NAME]"
SHOWN_FAULTS = 20


class _Name(argparse.Action):
    """The generator. Named before --help, it decides which options the help shows."""

    def __call__(self, parser: ArgumentParser, options: Namespace, value: Any, _: str | None = None) -> None:
        options.name = value
        if value == COMMANDS:
            command_rows.show(parser)


def add(parser: ArgumentParser) -> None:
    """The generator, how many rows, where to."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, max_help_position=26, width=80)
    parser.epilog = f"finetui data generate {COMMANDS} --help shows how rows for any command line are made."
    parser.add_argument("name", nargs="?", metavar="NAME", action=_Name, help="a generator; without one, a list")
    parser.add_argument("--rows", type=int, metavar="N", help="how many rows")
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="same seed, same bytes; 42 if left out")
    parser.add_argument("-o", "--output", metavar="FILE", help=".jsonl, .csv or .jsonl.gz")
    parser.add_argument("--as", dest="form", metavar="FORM", help="kind of rows, for example conversations")
    parser.add_argument("--preview", type=int, metavar="N", help="print N rows, write nothing")
    parser.add_argument("--validate", metavar="FILE", help="recompute every row of a table of links")
    parser.add_argument("--force", action="store_true", help="replace FILE")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    command_rows.add(parser)


def run(options: Namespace) -> int:
    """Do it. Raises DataError or RecipeError."""
    if options.name == COMMANDS:
        for word, value in (("--as", options.form), ("--validate", options.validate)):
            if value is not None:
                raise _unused(word, f"generate {COMMANDS}")
        _check_numbers(options)
        return command_rows.run(options, print)
    for word in command_rows.given(options):
        raise _unused(word, f"generate {options.name}" if options.name else "the list of generators")
    _check_numbers(options)
    if options.name is None:
        for word, value in (*_given(options), ("--validate", options.validate)):
            if value is not None:
                raise _unused(word, "the list of generators")
        return _list(options)
    generator = generator_named(options.name)
    if options.validate is not None:
        return _validate(options)
    num_rows = options.rows
    if num_rows is None:
        num_rows = generator.DEFAULT_ROWS if options.preview is None else max(1, options.preview)
    rows = form_named(generator, options.form)(num_rows, options.seed)
    if options.preview is not None:
        return preview(islice(rows, max(0, options.preview)))
    path = output_of(options)
    kind = kind_of(path, options.force)
    told(write_rows(counted(rows, num_rows), path, kind).to_json(), path, options.json)
    return 0


def output_of(options: Namespace) -> Path:
    """Where to write. Raises RecipeError where nothing says so."""
    if options.output is None:
        raise RecipeError(
            "Nothing says where the rows go.",
            means="Nothing was made.",
            remedy=f"Give -o FILE, for example -o {options.name}.jsonl, or --preview 3 to look at some.",
        )
    check_is_path(options.output)
    return Path(options.output).expanduser()


def preview(rows: Iterator[dict[str, Any]]) -> int:
    """Print rows as JSON Lines."""
    for row in rows:
        print(one_line(json.dumps(row, ensure_ascii=False)))
    return 0


def told(written: dict[str, Any], path: Path, as_json: bool) -> None:
    """Say what was written."""
    if as_json:
        print(json.dumps(written | {"path": str(path)}))
    else:
        print(one_line(f"{path}: {written['rows']} rows, {written['bytes']} bytes, SHA-256 {written['sha256']}"))


def _list(options: Namespace) -> int:
    found: list[dict[str, Any]] = [
        {"name": name, "title": one.TITLE, "rows": one.DEFAULT_ROWS, "forms": list(one.FORMS)}
        for name, one in all_generators().items()
    ]
    if options.json:
        print("\n".join(json.dumps(one) for one in found))
        return 0
    for one in found:
        print(f"{one['name']:<10} {one['title']}")
        print(f"{'':<10} {one['rows']} rows unless --rows says otherwise; --as {' or '.join(one['forms'])}")
    print(f"{COMMANDS:<10} plain English -> any command line: --grammar FILE, or from a program's own help")
    return 0


def _validate(options: Namespace) -> int:
    """Print every fault of a table, the first ones without --json; 3 where there is any."""
    find_faults = getattr(generator_named(options.name), "faults", None)
    if find_faults is None:
        raise DataError(
            f"Rows of {options.name} cannot be recomputed.",
            means="Nothing in them follows from the rest by a formula.",
            remedy="--validate is for: "
            + ", ".join(name for name, one in all_generators().items() if hasattr(one, "faults")),
        )
    for word, value in _given(options):
        if value is not None:
            raise _unused(word, "--validate")
    path = Path(options.validate)
    if not path.is_file():
        raise DataError(
            f"There is no file {path}.", means="Nothing was looked at.", remedy="Correct the path behind --validate."
        )
    num_rows, num_faults, faulty = 0, 0, set[int]()

    def rows() -> Iterator[Any]:
        nonlocal num_rows
        for row in read_file(path):
            num_rows += 1
            yield row

    for fault in find_faults(rows()):
        num_faults += 1
        faulty.add(fault.row)
        if options.json:
            print(json.dumps(fault.to_json()))
        elif num_faults <= SHOWN_FAULTS:
            print(one_line(f"row {fault.row} (line {fault.line}): {fault.column} {fault.reason}".strip()))
    if not num_rows:
        raise DataError(f"{path} holds no row.", means="Nothing was looked at.", remedy="Name another file.")
    if options.json:
        print(json.dumps({"rows": num_rows, "rows_with_faults": len(faulty), "faults": num_faults}))
    else:
        if num_faults > SHOWN_FAULTS:
            print(f"and {num_faults - SHOWN_FAULTS} more; --json prints them all")
        print(f"{num_rows} rows, {len(faulty)} of them wrong; every derived value may differ by half its last decimal")
    return DataError.exit_code if num_faults else 0


def _given(options: Namespace) -> tuple[tuple[str, Any], ...]:
    """What says which rows are made, and where they go."""
    names = {"--output": options.output, "--rows": options.rows, "--preview": options.preview, "--as": options.form}
    return tuple(names.items())


def _check_numbers(options: Namespace) -> None:
    """Raises RecipeError for a number of rows that is none."""
    numbers = {"--preview": options.preview, "--rows": options.rows if options.name == COMMANDS else None}
    for word, number in numbers.items():
        if number is not None and number < 1:
            raise RecipeError(f"{word} is {number}.", means="No row would be made.", remedy="Give 1 or more.")


def _unused(word: str, what: str) -> RecipeError:
    return RecipeError(
        f"{word} means nothing for {what}.", means="It would have no effect.", remedy=f"Leave {word} out."
    )
