"""The part of `finetui data generate` for command lines: where the grammar comes from, and what is done with it.

Not here: grammars, rows and their checks (`data/command_line`).
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from data.command_line.grammar import Grammar
from data.command_line.introspection import Program, introspected, refusals
from data.command_line.making import Made, Wanted, made_rows
from data.command_line.programs import Limits, grammar_of_program, grammar_of_text
from data.command_line.toml_file import read_grammar, write_toml
from data.command_line.verification import check_column, checked
from data.errors import DataError
from data.file_modes import fresh, placed
from data.generators.row_file import kind_of, write_rows
from data.sources import SourceSettings, open_source
from engine.errors import RecipeError
from tui_app.data_options.outputs import check_is_path
from tui_app.data_text.progress import counted
from tui_app.plain import one_line

Say = Callable[[str], None]
DEFAULT_ROWS = 1000
SHOWN_ROWS = 20
SHOWN_NAMES = 8
MOST_SECONDS = 86_400
_SOURCES = ("grammar", "from_help", "help_text", "from_argparse", "from_click")
_OWN = {"share": [], "typos": 0.0, "verify": None, "field": None, "pattern": None, "grammar_out": None}
_OTHERS = {"allow_import": False, "python": None, "time_limit": None}


def add(parser: ArgumentParser) -> None:
    """Options of `generate commands`; its help shows them once `show` was called."""
    parser.add_argument("--grammar", metavar="FILE", help=SUPPRESS)
    parser.add_argument("--from-help", metavar="PROGRAM", help=SUPPRESS)
    parser.add_argument("--help-text", metavar="FILE", help=SUPPRESS)
    parser.add_argument("--from-argparse", metavar="M:A", help=SUPPRESS)
    parser.add_argument("--from-click", metavar="M:A", help=SUPPRESS)
    parser.add_argument("--import", dest="allow_import", action="store_true", help=SUPPRESS)
    parser.add_argument("--python", metavar="PATH", help=SUPPRESS)
    parser.add_argument("--time-limit", type=float, metavar="S", help=SUPPRESS)
    parser.add_argument("--grammar-out", metavar="FILE", help=SUPPRESS)
    parser.add_argument("--share", action="append", default=[], metavar="CMD=0.25", help=SUPPRESS)
    parser.add_argument("--typos", type=float, default=0.0, metavar="0.05", help=SUPPRESS)
    parser.add_argument("--verify", metavar="ROWS", help=SUPPRESS)
    parser.add_argument("--field", metavar="NAME", help=SUPPRESS)
    parser.add_argument("--pattern", metavar="REGEX", help=SUPPRESS)


SENTENCES = {
    "grammar": "declared command line, TOML",
    "from_help": "runs PROGRAM --help, and its commands'",
    "help_text": "a saved help page; its name is the program's",
    "from_argparse": "MODULE:ATTRIBUTE, parser or function; with --import",
    "from_click": "MODULE:ATTRIBUTE, click or Typer; with --import",
    "allow_import": "import the module, which runs its code",
    "python": "interpreter that has the module installed",
    "time_limit": "seconds for each program that is run",
    "grammar_out": "write the grammar, to edit and use again",
    "share": "share of the rows; may be given again",
    "typos": "share of requests with a mistyped word",
    "verify": "find made-up commands in a dataset or in answers",
    "field": "column with the command; output if left out",
    "pattern": "finds the command in it: '^COMMAND: (.+)$'",
}


def show(parser: ArgumentParser) -> None:
    """Let the help speak of command lines: what has nothing to do with them is hidden instead."""
    parser.usage, parser.description, parser.epilog = "finetui data generate commands [OPTIONS]", None, None
    for action in parser._actions:
        if action.dest in SENTENCES:
            action.help = SENTENCES[action.dest]
        elif action.dest in ("help", "name", "form", "validate"):
            action.help = SUPPRESS


def given(options: Namespace) -> list[str]:
    """The options above that were given, as they are typed."""
    names = [name for name in _SOURCES if getattr(options, name) is not None]
    names += [name for name, usual in (_OWN | _OTHERS).items() if getattr(options, name) != usual]
    return ["--" + ("import" if name == "allow_import" else name.replace("_", "-")) for name in names]


def run(options: Namespace, say: Say) -> int:
    """Rows for a command line, or a look for made-up commands. Raises DataError or RecipeError."""
    if options.time_limit is not None and not 0 < options.time_limit < MOST_SECONDS:
        raise RecipeError(
            f"--time-limit is {options.time_limit:g}.",
            means="It is how many seconds a program may take.",
            remedy=f"Give more than 0 and less than {MOST_SECONDS:,}, for example 30.",
        )
    shares, program = _shares(options), _program(options)
    grammar = _grammar(options, program)
    if options.grammar_out is not None:
        _write_grammar(grammar, Path(options.grammar_out), options, say)
    if options.verify is not None:
        return _verify(grammar, options, say)
    num_rows = DEFAULT_ROWS if options.rows is None else options.rows
    wanted = Wanted(num_rows, options.seed, shares, options.typos)
    made = Made()
    rows = made_rows(grammar, wanted, made)
    if options.preview is not None:
        for row in islice(rows, max(0, options.preview)):
            say(one_line(json.dumps(row, ensure_ascii=False)))
        return 0
    if options.output is None:
        if options.grammar_out is not None:
            return 0
        raise RecipeError(
            "Nothing says where the rows go.",
            means="Nothing was made.",
            remedy="Give -o FILE, --grammar-out FILE, or --preview 3 to look at some rows.",
        )
    return _write(grammar, wanted, made, rows, program, options, say)


def _write(
    grammar: Grammar,
    wanted: Wanted,
    made: Made,
    rows: Iterator[dict[str, Any]],
    program: Program | None,
    options: Namespace,
    say: Say,
) -> int:
    check_is_path(options.output)
    path = Path(options.output).expanduser()
    kind = kind_of(path, options.force)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as commands:

        def kept() -> Iterator[dict[str, Any]]:
            for row in counted(rows, wanted.num_rows):
                if program is not None:
                    commands.write(row["output"] + "\n")
                yield row

        def check() -> None:
            commands.seek(0)
            _check(grammar, wanted, made, program, (shlex.split(line) for line in commands))

        written = write_rows(kept(), path, kind, check)
    from_help = options.from_help is not None or options.help_text is not None
    by = "the grammar" if program is None else f"the grammar and the program's own {program.kind} parser"
    by = "the grammar read from the help, not by the program" if from_help else by
    unknown = grammar.of_unknown_kind() if from_help else []
    report = {"fabricated": 0, "verified_by": by, "shares": [share.to_json() for share in made.shares()]}
    report |= {"of_unknown_kind": unknown} if from_help else {}
    if options.json:
        say(json.dumps(written.to_json() | {"path": str(path)} | report))
        return 0
    say(one_line(f"{path}: {written.num_rows} rows, {written.num_bytes} bytes, SHA-256 {written.sha256}"))
    say(f"made-up commands: 0 of {written.num_rows} (0.0 %), each parsed by {by}")
    if unknown:
        from tui_app.fronts.folding import folded  # it takes a while to load

        for line in folded(_of_unknown_kind(unknown), indent=2):
            say(line)
    for share in made.shares():
        missed = "" if share.target == share.reached else f"   (target {share.target / wanted.num_rows:.1%})"
        name = share.command or grammar.program
        say(one_line(f"  {name:<24} {share.reached:>7} rows {share.reached / wanted.num_rows:>6.1%}{missed}"))
    return 0


def _of_unknown_kind(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    who, were = ("value", "was") if len(names) == 1 else ("values", "were")
    return (
        f"{len(names)} {who} of unknown kind ({', '.join(names[:SHOWN_NAMES])}{more}) {were} made up as text, "
        "which the program may refuse: say their kind in the grammar (--grammar-out), "
        "or use --from-argparse or --from-click, which know it"
    )


def _check(
    grammar: Grammar, wanted: Wanted, made: Made, program: Program | None, commands: Iterator[list[str]]
) -> None:
    """Raises DataError for any command that is made up; then nothing is written."""
    reasons, count = made.reasons, made.num_fabricated
    if not count and program is not None:
        found = refusals(program, grammar.program, commands)
        reasons, count = [f"row {one.number}: {one.reason}" for one in found[:5]], len(found)
    if count:
        raise DataError(
            f"{count} of {wanted.num_rows} commands ({count / wanted.num_rows:.1%}) are made up; nothing was written.",
            means="\n".join(
                ["A model trained on them would learn what the program refuses:", *(f"  {one}" for one in reasons)]
            ),
            remedy="Write the grammar with --grammar-out, give these options values that are accepted, and use it.",
        )


def _verify(grammar: Grammar, options: Namespace, say: Say) -> int:
    """Print the rows whose command the grammar refuses, and their share; 3 where there is any."""
    for word in ("output", "rows", "preview"):
        if getattr(options, word) is not None:
            raise RecipeError(
                f"--{word} means nothing for --verify.", means="It would have no effect.", remedy=f"Leave --{word} out."
            )
    parts = open_source(options.verify, SourceSettings())
    field = options.field or "output"
    check_column((row for part in parts for row in part.rows()), field, options.verify)
    rows = (row for part in parts for row in part.rows())
    num_rows, num_wrong = 0, 0
    for one in checked(grammar, rows, field, options.pattern):
        num_rows += 1
        if one.reason is None:
            continue
        num_wrong += 1
        if options.json:
            say(json.dumps(one.to_json()))
        elif num_wrong <= SHOWN_ROWS:
            say(one_line(f"row {one.row} (line {one.line}): {one.reason}: {one.command or ''}".rstrip(": ")))
    if not num_rows:
        raise DataError(f"{options.verify} holds no row.", means="Nothing was looked at.", remedy="Name other rows.")
    if options.json:
        say(json.dumps({"rows": num_rows, "fabricated": num_wrong, "rate": num_wrong / num_rows}))
    else:
        if num_wrong > SHOWN_ROWS:
            say(f"and {num_wrong - SHOWN_ROWS} more; --json prints them all")
        say(f"made-up commands: {num_wrong} of {num_rows} ({num_wrong / num_rows:.1%})")
    return DataError.exit_code if num_wrong else 0


def _shares(options: Namespace) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in options.share:
        name, _, share = text.rpartition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise RecipeError(
                f"--share {text} is not COMMAND=SHARE.",
                means="It says which part of the rows a command gets.",
                remedy='For example: --share push=0.25 --share "remote add=0.1"',
            ) from None
    if not 0 <= options.typos <= 1:
        raise RecipeError(f"--typos is {options.typos:g}.", means="It is a share of rows.", remedy="Give 0 to 1.")
    return shares


def _program(options: Namespace) -> Program | None:
    """The Python program that is to be imported, if one is named. Raises RecipeError without --import."""
    target = options.from_argparse or options.from_click
    if target is None:
        return None
    if not options.allow_import:
        raise RecipeError(
            f"{target} was not imported.",
            means="Importing it runs its code with your rights, which needs your word.",
            remedy="Look at what it does, and add --import.",
        )
    kind = "argparse" if options.from_argparse else "click"
    return Program(kind, target, options.python or sys.executable, options.time_limit or 30.0)  # type: ignore[arg-type]


def _grammar(options: Namespace, program: Program | None) -> Grammar:
    named = [name for name in _SOURCES if getattr(options, name) is not None]
    if len(named) != 1:
        raise RecipeError(
            "Nothing says which command line the rows are for." if not named else "Two command lines are named.",
            means="Rows are made from one grammar.",
            remedy=f"Give one of {', '.join('--' + name.replace('_', '-') for name in _SOURCES)}.",
        )
    if options.grammar is not None:
        return read_grammar(Path(options.grammar))
    if program is not None:
        return introspected(program)
    if options.from_help is not None:
        return grammar_of_program(_words(options.from_help), Limits(seconds=options.time_limit or 10.0))
    path = Path(options.help_text)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}.",
            means="The grammar was to be read from it.",
            remedy="Correct the path behind --help-text.",
        ) from error
    return grammar_of_text(text, path.stem)


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words:
        raise RecipeError(f"--from-help {text!r} names no program.", means="It is run with --help.", remedy="Name one.")
    return words


def _write_grammar(grammar: Grammar, path: Path, options: Namespace, say: Say) -> None:
    if path.exists() and not options.force:
        raise DataError(
            f"{path} exists already.", means="It is as it was.", remedy="Give another name, or --force to replace it."
        )
    temporary = path.with_name(f".{path.name}.part")
    try:
        with fresh(temporary).open("x", encoding="utf-8") as file:
            file.write(write_toml(grammar))
        placed(temporary, path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}.", means="", remedy="Check the path and its rights."
        ) from error
    idle = sum(not command.weight for command in grammar.commands if command.runs)
    num_options = sum(len(command.options) for command in grammar.commands)
    told = f"{path}: {len(grammar.commands)} commands, {num_options} options"
    more = f"; {idle} commands have weight 0 and get no rows: look at them" if idle else ""
    if not options.json:
        say(one_line(told + more))
    else:
        say(json.dumps({"grammar": str(path), "commands": len(grammar.commands), "options": num_options, "idle": idle}))
