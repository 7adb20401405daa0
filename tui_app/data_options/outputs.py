"""What the commands that write rows share: options for the output, its files, the account of it, and the last words.

Not here: what each command does with the rows (`data_commands/`), and how files are written (`data/writing/shards`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from data.card import JSON_NAME, MARKDOWN_NAME, Card, write_card
from data.checking import check_names, flagged, repairs
from data.errors import DataError
from data.loading import Rows
from data.many_rows.key_index import RowNumbers
from data.nearest import nearest
from data.sources import SourceFile, open_source
from data.understanding.detection import Detection
from data.writers import FileKind, kind_named, kind_of_name, kinds
from data.writing.conversion import SAME, Conversion, Repair, RowsAsTheyStand, Tally, check_fits, listed_reasons
from data.writing.manifest import manifest_of, write_manifest, write_zip
from data.writing.open_file import WrittenFile
from data.writing.shards import Folder, Output, SingleFile
from engine.errors import RecipeError
from engine.units import format_bytes
from tui_app.data_options.rows import READING, STDIN, WHERE, source_of
from tui_app.data_options.work_place import work_place
from tui_app.plain import one_line

_Row = TypeVar("_Row")
_ROWS = f"ROWS: {WHERE}.\n{READING}"
# What the written bytes do not depend on.
_OF_THE_MOMENT = frozenset(
    {"command", "data_command", "run", "output", "force", "json", "zip", "card", "preview", "offline", "dataset", "mix"}
)
_SILENT_SECONDS = 2.0


def short_help(parser: ArgumentParser) -> None:
    """Name what is given so far, the rows and how they are read, in two lines: the page must fit a screen."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _ROWS
    for action in parser._actions:
        action.help = argparse.SUPPRESS


def add_output(parser: ArgumentParser, only_folder: bool = False, needed: bool = True) -> None:
    """Where the rows go, and as what."""
    where, what = ("DIR", "a new folder") if only_folder else ("OUT", "a file, or a folder of shards")
    parser.add_argument("-o", "--output", required=needed, metavar=where, help=what)
    parser.add_argument("--kind", metavar="KIND", help="of files in a folder: jsonl, csv, parquet, jsonl.gz …")
    parser.add_argument("--shard-size", type=int, metavar="N", help="rows a file: train-00000-of-00007.jsonl …")
    parser.add_argument("--skip-bad", action="store_true", help="list bad rows in rejected.jsonl, write the rest")
    if not only_folder:
        parser.add_argument("--card", action="store_true", help="write the card beside a single file, too")
    parser.add_argument("--zip", action="store_true", help="also OUT.zip, the same bytes each time")
    parser.add_argument("--force", action="store_true", help="replace what is there")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def add_mending(parser: ArgumentParser) -> None:
    """Rows left out, and texts repaired."""
    parser.add_argument("--drop", metavar="CHECK,…", help="leave out what it finds; names: data check --list")
    parser.add_argument("--clean", metavar="CHECK,…", help="repair what it finds; names: data check --list")


def begun_output(options: Namespace, identity: Mapping[str, Any], only_folder: bool = False) -> Output:
    """The file or folder that the options name. Raises RecipeError for options that do not go together."""
    if options.output is None:
        raise RecipeError("No output is named.", means="There is no place for the rows.", remedy="Give -o OUT.")
    if options.shard_size is not None and options.shard_size < 1:
        raise RecipeError(
            f"--shard-size is {options.shard_size}.", means="A file holds a row or more.", remedy="For example 2500."
        )
    check_is_path(options.output)
    path, named = Path(options.output).expanduser(), kind_of_name(options.output)
    _check_ending(options.output, path)
    output: Output
    if named is None or path.is_dir() or only_folder:
        kind = kind_named(options.kind or "jsonl")
        output = Folder(path, kind, options.shard_size, {**identity, "kind": kind.suffix})
    else:
        _refuse_for_file(options, named)
        output = SingleFile(path, named)
    check_fits(options.to, output.kind)
    _check_beside(options, path, isinstance(output, Folder))
    output.begin(options.force)
    return output


def check_is_path(output: str) -> None:
    """Raises RecipeError for "-" and for nothing: rows go to files only."""
    if output in ("", STDIN):
        raise RecipeError(
            f"-o {output or repr(output)} names no file or folder.",
            means="Rows are written to files, each with its SHA-256; standard output takes the account of them.",
            remedy="For example: -o rows.jsonl",
        )


def _check_ending(output: str, path: Path) -> None:
    """Raises RecipeError for what looks like a single file of a kind that is not written."""
    looks_so = re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{0,5}", path.suffix) and not output.endswith(("/", os.sep))
    if looks_so and kind_of_name(output) is None and not path.is_dir():
        raise RecipeError(
            f"{output} looks like a {path.suffix} file, and that kind is not written.",
            means="Nothing was written.",
            remedy=f"Choose one of {', '.join(kinds())} (.csv opens in Excel);"
            f" a folder of that name is -o {shlex.quote(output + '/')}.",
        )


def _check_beside(options: Namespace, path: Path, is_folder: bool) -> None:
    """Raises DataError where a zip or a card of something else would be replaced."""
    beside = [_zip_of(path)] if options.zip else []
    if not is_folder and getattr(options, "card", False):
        beside += [path.parent / JSON_NAME, path.parent / MARKDOWN_NAME]
    for one in beside:
        if one.exists() and not options.force:
            raise DataError(
                f"{one} is there already.",
                means="Nothing was written.",
                remedy="Name another output, or replace it with --force.",
            )


def _zip_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.zip")


def _refuse_for_file(options: Namespace, kind: FileKind) -> None:
    for name, given in (("--shard-size", options.shard_size), ("--zip", options.zip), ("--kind", options.kind)):
        if given:
            raise RecipeError(
                f"{name} is for a folder, and {options.output} names a single {kind.suffix} file.",
                means="It would have no effect.",
                remedy=f"Leave {name} out, or give -o a name without an ending for a folder.",
            )


def identity_of(command: str, options: Namespace, inputs: Sequence[SourceFile], words: Sequence[str]) -> dict[str, Any]:
    """What the written bytes depend on: command, options, and the hashes of the rows' files."""
    given = {
        name: value
        for name, value in sorted(vars(options).items())
        if name not in _OF_THE_MOMENT and value not in (None, False, [])
    }
    files = [{"name": one.name, "sha256": one.sha256} for one in inputs]
    return {"made_by": f"finetui data {command}", "rows": list(words), "options": given, "inputs": files}


def as_they_stand(options: Namespace) -> RowsAsTheyStand:
    """The rows that the options name, whatever they mean. Raises DataError or RecipeError."""
    if options.max_rows is not None and options.max_rows < 1:
        raise RecipeError(f"--max-rows is {options.max_rows}.", means="No row would be read.", remedy="Give 1 or more.")
    return RowsAsTheyStand(open_source(options.dataset, source_of(options)), options.max_rows)


def drops_of(options: Namespace, rows: Rows) -> Mapping[str, RowNumbers]:
    """The rows that --drop names, by check. Goes through all rows. Raises RecipeError for a check that there is not."""
    names = _named(options.drop, "--drop", check_names())
    if not names:
        return {}
    with work_place() as folder:
        return flagged(rows, names, folder)


def repairs_of(options: Namespace) -> Mapping[str, Repair]:
    """The repairs that --clean names. Raises RecipeError for one that there is not."""
    known = repairs()
    return {name: known[name] for name in _named(options.clean, "--clean", known)}


def _named(given: str | None, option: str, known: Collection[str]) -> list[str]:
    """The names behind an option. Raises RecipeError that lists all where one is none of them."""
    names = [name.strip() for name in (given or "").split(",") if name.strip()]
    if unknown := next((name for name in names if name not in known), None):
        near = nearest(unknown, known)
        raise RecipeError(
            f"{option} names {unknown!r}, and there is no such {'check' if option == '--drop' else 'repair'}.",
            means="Nothing was changed.",
            remedy=f"{'Perhaps ' + near[0] + '. ' if near else ''}There are: {', '.join(known)}.\n"
            "What each of them finds: finetui data check --list",
        )
    return names


def renaming_notes(conversion: Conversion, template: str | None) -> list[str]:
    """How somebody reads the columns again that are kept as they are, or under new names."""
    if conversion.to != SAME:
        return []
    pairs = [f"{old} -> {new}" for new, old in conversion.columns.items() if old != new]
    notes = [f"columns {', '.join(pairs)}"] if pairs else []
    if template is not None:
        typed = shlex.quote(template.replace("\n", "\\n").replace("\t", "\\t"))
        notes.append(
            f"the columns keep their names; read it with --template {typed}, or write it with --to prompt_completion"
        )
    return notes


@dataclass(frozen=True, slots=True)
class Account:
    """What there is to say about a written output beside its files."""

    title: str
    identity: Mapping[str, Any]
    inputs: Sequence[SourceFile]
    detection: Detection
    tally: Tally
    notes: Sequence[str] = ()
    details: Mapping[str, Any] | None = None
    """More for --json and the manifest."""
    reading: Sequence[str] = ()
    """What was guessed while the inputs were read."""
    recipe: Mapping[str, str] = field(default_factory=dict)
    """Lines under [data] of a recipe that take what was written."""


def finished(options: Namespace, output: Output, account: Account) -> str:
    """Give the files their names, write card, manifest and zip; the text that says what was done."""
    files = output.finish()
    if isinstance(output, Folder) or getattr(options, "card", False):
        write_card(_card(files, account), output.folder)
    if isinstance(output, Folder):
        told = {**account.identity["options"], "rows": account.identity["rows"]}
        manifest = manifest_of(str(account.identity["made_by"]), told, account.inputs, files)
        write_manifest(manifest | {"counts": _counts(account)} | dict(account.details or {}), output.folder)
        output.close()
    archive = write_zip(output.folder, _zip_of(output.folder)) if options.zip else None
    if options.json:
        shown = {"output": options.output, "files": [file.to_json() for file in files], **_counts(account)}
        notes = [*account.reading, *account.notes]
        shown |= {"notes": notes, "zip": None if archive is None else str(archive)}
        shown |= {"recipe": dict(account.recipe)} if account.recipe else {}
        return json.dumps(shown | dict(account.details or {}), ensure_ascii=True)
    return "\n".join(map(one_line, _told(options, files, account, archive, output.rejected_name)))


def _card(files: Sequence[WrittenFile], account: Account) -> Card:
    return Card(
        title=account.title,
        made_by=_command_line(account.identity),
        inputs=tuple(account.inputs),
        outputs=tuple(SourceFile(file.name, file.sha256, file.num_bytes) for file in files),
        detection=account.detection,
        num_read=account.tally.num_read,
        num_kept=account.tally.num_written.total(),
        changes=account.tally.as_changes(),
        notes=(*account.reading, *account.notes),
    )


def _command_line(identity: Mapping[str, Any]) -> str:
    words = [*str(identity["made_by"]).split(), *identity["rows"]]
    for name, value in identity["options"].items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list) else [value]:
            words += [option] if one is True else [option, str(one)]
    return shlex.join(words)


def _counts(account: Account) -> dict[str, Any]:
    tally = account.tally
    return {
        "rows_read": tally.num_read,
        "rows_written": dict(sorted(tally.num_written.items())),
        "rejected": {reason: one.num_rows for reason, one in tally.bad.items()},
        "dropped": {name: one.num_rows for name, one in tally.dropped.items()},
        "repaired": {name: one.num_rows for name, one in tally.repaired.items()},
        "written_otherwise": tally.changes,
    }


def _told(
    options: Namespace, files: Sequence[WrittenFile], account: Account, archive: Path | None, rejected: str
) -> list[str]:
    tally = account.tally
    size = format_bytes(sum(file.num_bytes for file in files))
    lines = [f"{tally.num_written.total():,} of {tally.num_read:,} rows written to {options.output}: {size}"]
    lines += account.reading
    lines += [f"  {file.name}: {file.num_rows:,} rows" for file in files[:3]]
    if len(files) > 3:
        lines += [f"  … {len(files)} files in all"]
    if tally.bad:
        lines += [f"left out, and listed in {rejected}: {tally.num_bad:,}", *listed_reasons(tally.bad)]
    lines += [f"left out by {name}: {one.num_rows:,}" for name, one in tally.dropped.items()]
    lines += [f"repaired by {name}: {one.num_rows:,}" for name, one in tally.repaired.items()]
    lines += [f"{what}: {number:,} rows" for what, number in tally.changes.items()]
    lines += list(account.notes)
    if archive is not None:
        lines.append(f"zip: {archive}")
    told = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in account.recipe.items()]
    lines += ["In a recipe, under [data]:", *(f"  {line}" for line in told)] if told else []
    return lines


def watched(rows: Iterable[_Row], doing: str) -> Iterator[_Row]:
    """The rows themselves; on a terminal, after two seconds, with their number so far on one line of stderr."""
    if not sys.stderr.isatty():
        yield from rows
        return
    started = told = time.monotonic()
    number = 0
    try:
        for number, row in enumerate(rows, start=1):
            if number % 1000 == 0 and (now := time.monotonic()) - told > 0.5 and now - started > _SILENT_SECONDS:
                told = now
                sys.stderr.write(f"\r{doing}: {number:,} rows ")
                sys.stderr.flush()
            yield row
    finally:
        if told > started:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def interruptible(output: Output) -> Iterator[Output]:
    """The output as a context that says after Ctrl-C what is kept."""
    with output:
        try:
            yield output
        except KeyboardInterrupt:
            kept = output.kept() if isinstance(output, Folder) else "Nothing of it is kept."
            sys.stderr.write(f"Stopped. {one_line(kept)}\n")
            raise
