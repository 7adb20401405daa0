"""`finetui data catalog`: well-known datasets by use case, one of them in full, and keeping one for offline use."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from data.catalog import Entry, UseCase, named, use_cases
from data.catalog.saving import recipe_lines, save
from engine.errors import RecipeError
from engine.units import format_bytes
from tui_app.fronts.folding import folded
from tui_app.plain import one_line

HELP = "well-known datasets by use case; keep one for offline use"
USAGE = "[OPTIONS] [NAME]"
ID_WIDTH, ROWS_WIDTH = 44, 9


def add(parser: ArgumentParser) -> None:
    """A use case or a dataset, and where to save it."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="code, chat, domain, creative, reasoning, or owner/name"
    )
    parser.add_argument("--save", type=Path, metavar="DIR", help="download it and keep it in this folder")
    parser.add_argument("--revision", metavar="NAME", help="with --save: branch, tag or commit")
    parser.add_argument("--offline", action="store_true", help="with --save: only from the hub's cache here")
    parser.add_argument("--force", action="store_true", help="with --save: replace files that differ")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")


def run(options: Namespace) -> int:
    """Print the catalog or a part of it, or save a dataset. Raises DataError or RecipeError."""
    found = None if options.name is None else named(options.name)
    if options.save is not None:
        if not isinstance(found, Entry):
            raise RecipeError(
                "--save wants the id of one dataset.",
                means="A whole use case is never downloaded.",
                remedy="For example: finetui data catalog openai/gsm8k --save rows/gsm8k",
            )
        return _save(found, options)
    for option in ("revision", "offline", "force"):
        if getattr(options, option):
            raise RecipeError(f"--{option} goes with --save.", remedy="Add --save DIR, or leave it out.")
    shown = use_cases() if found is None else (found,)
    if options.json:
        print("\n".join(json.dumps(each.to_json(), ensure_ascii=False) for each in shown))
    elif isinstance(found, Entry):
        print("\n".join(entry_lines(found)))
    else:
        print("\n".join(catalog_lines(use_cases() if found is None else (found,), in_full=found is not None)))
    return 0


def catalog_lines(cases: Sequence[UseCase], *, in_full: bool) -> list[str]:
    """A table of datasets for each use case; `in_full` with what it is good for and the settings that suit it."""
    told: list[str] = []
    for case in cases:
        told.append(f"{case.name}: {case.title.partition(': ')[2]}")
        if in_full:
            told += folded(case.good_for, "  good for: ", indent=4)
            told += folded(case.gets_worse, "  what gets worse: ", indent=4)
            told += folded(case.usual_rows, "  usual rows: ", indent=4)
            told += folded(
                ", ".join(f"{name}={json.dumps(value)}" for name, value in case.settings.items()), "  try: ", indent=4
            )
            told.append("")
        told.append(f"  {'dataset':{ID_WIDTH}} {'rows':>{ROWS_WIDTH}}  licence")
        for entry in case.entries:
            told += entry_rows(entry)
            told += folded(entry.title, "      ", indent=6) if in_full else []
        told.append("")
    return [*told, "One of them in full: finetui data catalog NAME"]


def entry_rows(entry: Entry) -> list[str]:
    """id, rows and licence in columns; an id that is longer than its column has a line of its own."""
    rows = f"{entry.rows:,}" if entry.rows is not None else "?"
    licence, _, doubt = entry.licence.partition(" (check")
    notes = licence.partition(":")[0] + (", check" if doubt else "") + (", gated" if entry.gated else "")
    figures = f"{rows:>{ROWS_WIDTH}}  {notes}"
    if len(entry.id) > ID_WIDTH:
        return [f"  {entry.id}", f"  {'':{ID_WIDTH}} {figures}"]
    return [f"  {entry.id:{ID_WIDTH}} {figures}"]


def entry_lines(entry: Entry) -> list[str]:
    """Everything about one dataset."""
    size = format_bytes(entry.download_bytes) if entry.download_bytes is not None else "not known"
    facts: dict[str, str] = {
        "use case": entry.use_case,
        "licence": entry.licence,
        "rows": f"{entry.rows:,}" if entry.rows is not None else "not known",
        "download": size,
        "access": "gated: accept its terms on the hub first" if entry.gated else "free",
        "language": entry.language,
        "subset": entry.subset or "(none)",
        "split": entry.split or "(none)",
        "columns": ", ".join(entry.file_columns),
        "good for": entry.good_for,
        "gets worse": entry.gets_worse,
        "facts": entry.facts_checked,
    }
    told = [entry.title, f"https://huggingface.co/datasets/{entry.id}", ""]
    for name, text in facts.items():
        told += folded(text, f"{name}:".ljust(12), indent=12)
    told += ["files on the hub, for example:", *(f"  {name}" for name in entry.files)]
    return [*told, "", *recipe_lines(entry, entry.id)]


def _save(entry: Entry, options: Namespace) -> int:
    saved = save(
        entry,
        options.save,
        revision=options.revision,
        offline=options.offline,
        force=options.force,
        told=_tell_file,
    )
    if options.json:
        print(json.dumps(saved.to_json(), ensure_ascii=False))
        return 0
    total = format_bytes(sum(file.num_bytes for file in saved.files))
    kept = f", {saved.num_kept} of them there already" if saved.num_kept else ""
    files = "file" if len(saved.files) == 1 else "files"
    print(one_line(f"{entry.id} at {saved.revision}: {len(saved.files)} {files}, {total}{kept}, in {saved.folder}"))
    print(f"Licence: {entry.licence}\n")
    print("\n".join(map(one_line, recipe_lines(entry, str(saved.folder)))))
    return 0


def _tell_file(name: str, is_kept: bool) -> None:
    if sys.stderr.isatty():
        print(one_line(f"{name}: {'there already' if is_kept else 'saved'}"), file=sys.stderr)
