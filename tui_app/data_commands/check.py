"""`finetui data check`: what is wrong with rows, where, and the command that mends it."""

from __future__ import annotations

import json
import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from data.card import Card, write_card
from data.checking import Limits, Report, check
from data.file_modes import fresh, placed
from data.findings import LEVELS, Finding
from data.loading import Rows
from data.readers import readers
from data.reading.content import content_of
from data.sources import reading_notes
from engine.errors import DataError, RecipeError
from tui_app.data_options.rows import READING, STDIN, WHERE, rows_of, shape_of, source_of
from tui_app.data_options.tokens import add_model, add_rows, readable_elsewhere, recipe_for, wants_tokens
from tui_app.data_options.work_place import work_place
from tui_app.fronts.folding import folded
from tui_app.plain import one_line
from tui_app.shell_words import shell_words

HELP = "faults in rows, where they are, and what mends each"
USAGE = "[OPTIONS] ROWS"

ROWS_IN_JSON = 1000
"""So many rows of each finding stand in --json; --rows-out takes them all."""
FOUND = 3
"""The exit code where something is to be mended: that of DataError."""
SAVED = "saved"
"""What the mending commands call the file of rows that came through standard input."""
SILENT_SECONDS = 2.0
FOLDED = ("--max-rows", "--recipe", "--max-length", "--last-answer")
"""Options that the help of other commands explains."""


def add(parser: ArgumentParser) -> None:
    """One dataset, and what it is held against."""
    add_rows(parser)
    parser.add_argument("--eval", metavar="ROWS", help="rows that must hold none of these requests")
    parser.add_argument("--test", metavar="ROWS", help="the same for test rows")
    parser.add_argument("--near", action="store_true", help="near-duplicates beyond 20,000 rows too")
    parser.add_argument("--strict", action="store_true", help="exit 3 for warnings too, not only errors")
    parser.add_argument("--rows-out", metavar="FILE", help="each row found as a JSON line; --force replaces it")
    parser.add_argument("--card", metavar="DIR", help="write a dataset card there, JSON and Markdown")
    parser.add_argument("--force", action="store_true", help=SUPPRESS)
    parser.add_argument("--list", action="store_true", help="every check there is, and what it is for; reads no rows")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_model(parser)
    folded_here: list[str] = []
    for action in parser._actions:
        if action.dest == "dataset":
            action.nargs, action.required = "?", False
        if set(action.option_strings) & set(FOLDED):
            action.help = SUPPRESS
            folded_here += action.option_strings
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = f"Also {', '.join(folded_here)}: finetui data stats -h\n{READING}"


def run(options: Namespace) -> int:
    """Check, print, and say by the exit code whether there is something to mend."""
    if options.list:
        return _list(as_json=options.json)
    if options.dataset is None:
        raise RecipeError("No ROWS are named.", means=f"ROWS: {WHERE}.", remedy=f"usage: finetui data check {USAGE}")
    with_tokens = wants_tokens(options)
    out = _free_file(options)
    rows = rows_of(options)
    others = dict(_others(options, rows))
    limits = Limits(near_rows=None) if options.near else Limits()
    named = rows_in_words(options)
    saved = _saved(rows) if options.dataset == STDIN else ""
    mended = rows_in_words(options, saved) if options.dataset == STDIN else named
    with work_place(out) as folder:
        progress = Progress()
        report = check(rows, others=others, limits=limits, work_dir=folder, named=mended, progress=progress)
        progress.clear()
    if with_tokens:
        report = _with_tokens(report, options, rows)
    if options.dataset == STDIN and any(one.fix for one in report.findings):
        report = report.with_more((), f"Standard input is used up: save it to a file first, named {saved} here.")
    reading = reading_notes(part for one in (rows, *others.values()) for part in one.parts)
    if out:
        _write_rows(report, out)
    if options.card:
        write_card(_card(options, rows, others, report.with_notes(reading), named), Path(options.card).expanduser())
    if options.json:
        told = {"dataset": rows.dataset, "format": rows.detection.to_json(), "rows_named": ROWS_IN_JSON}
        print(json.dumps(told | report.with_notes(reading).to_json(ROWS_IN_JSON)))
    else:
        top = [f"{rows.detection.format}: {rows.detection.reason}", *reading]
        print("\n".join([*(line for one in top for line in folded(one)), *report_lines(report)]))
    return FOUND if report.has_errors or (options.strict and report.has_warnings) else 0


def _list(*, as_json: bool) -> int:
    from tui_app.data_text.checks import checks_told, list_lines

    print(json.dumps(checks_told()) if as_json else "\n".join(list_lines()))
    return 0


def _saved(rows: Rows) -> str:
    """A name under which what came through standard input can be read again: its ending tells the kind."""
    blob = rows.parts[0].blob
    assert blob is not None
    return SAVED + (".zip" if len(rows.parts) > 1 else content_of(blob, readers()).suffix)


def _with_tokens(report: Report, options: Namespace, rows: Rows) -> Report:
    from engine.token_findings import token_findings

    with readable_elsewhere(rows) as dataset:
        found, note = token_findings(*recipe_for(options, rows, dataset), report.places.words)
    return report.with_more(found, note)


def report_lines(report: Report) -> list[str]:
    """The findings for people, worst first: what, where first, and the command that mends it."""
    unused = report.num_rows - report.num_usable
    told = [f"{report.num_rows:,} rows" + (f", {unused:,} of them cannot be used" if unused else "")]
    for finding in sorted(report.findings, key=lambda one: LEVELS.index(one.level)):
        told += ["", *_finding_lines(finding)]
    told += [line for note in report.notes if note for line in ("", *folded(note))]
    counts = {level: sum(one.level == level for one in report.findings) for level in LEVELS}
    faults = [
        f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts.items() if count and level != "info"
    ]
    told += ["", ", ".join(faults) + "." if faults else "No fault found."]
    # Not folded, as above.
    return [*told, *([f"all of it: {one_line(report.fix_all)}"] if report.fix_all else [])]


def _finding_lines(finding: Finding) -> list[str]:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in finding.kinds)
    what = "" if finding.fix else finding.means
    told = " ".join(part for part in (finding.what, what, f"({kinds})" if kinds else "") if part)
    lines = folded(told, f"{finding.level:<8} ", indent=9)
    if finding.first_rows:
        lines += folded(f"first: {'; '.join(_short_places(finding.first_rows))}", " " * 9, indent=9)
    # Not folded: it is there to be copied.
    return [*lines, *([f"{' ' * 9}{one_line(finding.fix)}"] if finding.fix else [])]


def _short_places(places: Iterable[str]) -> Iterator[str]:
    """The places, each file named once until another comes."""
    before = ""
    for place in places:
        file, _, line = place.partition(", line ")
        yield f"line {line}" if file == before else place
        before = file


def rows_in_words(options: Namespace, instead: str | None = None) -> str:
    """The words that name these rows to another command of `finetui data`; or those of the file `instead`."""
    words = [instead or options.dataset]
    for name in ("format", "template", "system", "subset", "split", "revision", "generator_rows", "max_rows"):
        value = getattr(options, name)
        if value is not None and (name, value) != ("format", "auto"):
            typed = str(value)
            if name == "template":  # as it is typed
                typed = typed.replace("\n", "\\n").replace("\t", "\\t")
            words += [f"--{name.replace('_', '-')}", typed]
    for column in options.column:
        words += ["--column", column]
    return shell_words(words)


def _others(options: Namespace, rows: Rows) -> Iterator[tuple[str, Rows]]:
    usual = {"eval": ("validation", "test"), "test": ("test", "validation")}
    for name, splits in usual.items():
        if (dataset := getattr(options, name)) is not None:
            settings = replace(
                source_of(options), usual_splits=splits, subset=None, split=None, revision=None, generator_rows=None
            )
            yield (
                f"{dataset} (--{name})" if dataset == rows.dataset else dataset,
                Rows(dataset, settings, shape_of(options)),
            )


def _free_file(options: Namespace) -> Path | None:
    """Where the rows found go. Raises RecipeError where it would overwrite a file."""
    if options.rows_out is None:
        return None
    path = Path(options.rows_out).expanduser()
    if path.is_dir():
        raise RecipeError(f"{path} is a folder.", means="Nothing was checked.", remedy="Name a file in it.")
    if path.exists() and not options.force:
        raise RecipeError(
            f"{path} is there already.", means="Nothing was checked.", remedy="Name another file, or add --force."
        )
    if not path.parent.is_dir():
        raise RecipeError(f"There is no folder {path.parent}.", means="Nothing was checked.", remedy="Make it first.")
    return path


def _write_rows(report: Report, path: Path) -> None:
    """Every row of every finding, one JSON line each; under a temporary name until it is whole."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with fresh(temporary).open("x", encoding="utf-8") as file:
            for finding, numbers in report.numbered():
                for number in numbers:
                    name, line = report.places.of(number)
                    told = {"check": finding.check, "level": finding.level, "file": name, "line": line}
                    file.write(json.dumps(told) + "\n")
        placed(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.", means="The rows found are not kept.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _card(options: Namespace, rows: Rows, others: dict[str, Rows], report: Report, named: str) -> Card:
    against = [f"--{name} {shell_words([given])}" for name in ("eval", "test") if (given := getattr(options, name))]
    return Card(
        title=f"Check of {options.dataset}",
        made_by=" ".join(["finetui data check", named, *against]),
        inputs=tuple(file for one in (rows, *others.values()) for file in one.files()),
        outputs=(),
        detection=rows.detection,
        num_read=report.num_rows,
        num_kept=report.num_usable,
        findings=report.findings,
        notes=tuple(note for note in report.notes if note),
        fix_all=report.fix_all,
    )


class Progress:
    """Rows so far, on one line of stderr, where that is a terminal and it takes over two seconds."""

    def __init__(self) -> None:
        self._is_on, self._num_rows = sys.stderr.isatty(), 0
        self._started = self._said = time.monotonic()

    def __call__(self, num_rows: int) -> None:
        self._num_rows += num_rows
        if self._is_on and (now := time.monotonic()) - self._started > SILENT_SECONDS and now - self._said > 0.5:
            self._said = now
            sys.stderr.write(f"\rchecking: {self._num_rows:,} rows ")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away again."""
        if self._said > self._started:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
