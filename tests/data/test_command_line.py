"""Declared command lines: their files, how commands are read by them, and what a help page declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.command_line.grammar import Command, Exclusive, Grammar, GrammarError, Option, Positional
from data.command_line.help_text import read_help
from data.command_line.parsing import parse
from data.command_line.programs import Limits, grammar_of_program, grammar_of_text
from data.command_line.toml_file import from_dict, read_grammar, to_dict, write_toml
from data.command_line.verification import checked
from data.errors import DataError
from data.generators.venvy.grammar import GRAMMAR as VENVY
from data.rows import SourceRow

BOX = Grammar(
    "box",
    (
        Command("remote", runs=False, weight=0.0),
        Command("remote add", (Option("--depth", "-d", "integer"),), (Positional("name"), Positional("url"))),
        Command("stash", (Option("--all", "-a"),), (Positional("path", "path", "?"),)),
        Command("stash list"),
        Command(
            "push",
            (
                Option("--force", "-f"),
                Option("--dry-run", "-n"),
                Option("--tag", "-t", "text", repeatable=True),
                Option("--color", None, "choice", ("always", "never"), "?"),
                Option("--size", None, "number", (), "2"),
                Option("--to", None, "text", required=True, aliases=("--target",)),
            ),
            (Positional("file", "path", "+"), Positional("place")),
            (Exclusive(("--force", "--dry-run")),),
        ),
    ),
    (Option("--verbose", "-v"),),
)


@pytest.mark.parametrize(
    ("text", "positionals", "options"),
    [
        ("box remote add a b -d5", {"name": ("a",), "url": ("b",)}, {"--depth": 5}),
        ("box -v stash", {}, {}),
        ("box stash -a src", {"path": ("src",)}, {"--all": True}),
        ("box stash src -a", {"path": ("src",)}, {"--all": True}),
        ("box push --to x a b c", {"file": ("a", "b"), "place": ("c",)}, {"--to": "x"}),
        ("box push a b --target=x --tag 1 -t2", {"file": ("a",), "place": ("b",)}, {"--to": "x", "--tag": ("1", "2")}),
        ("box push --color a b --to x", {"file": ("a",), "place": ("b",)}, {"--color": True, "--to": "x"}),
        ("box push --color=never a b --to x", {"file": ("a",), "place": ("b",)}, {"--color": "never", "--to": "x"}),
        ("box push --size 1 2.5 a b --to x", {"file": ("a",), "place": ("b",)}, {"--size": ("1", "2.5"), "--to": "x"}),
        ("box push --to x -- -a -b", {"file": ("-a",), "place": ("-b",)}, {"--to": "x"}),
    ],
)
def test_a_command_is_taken_apart(text: str, positionals: dict[str, Any], options: dict[str, Any]) -> None:
    parsed = parse(BOX, text)
    assert (dict(parsed.positionals), dict(parsed.options)) == (positionals, options)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("box remote", "remote needs a command"),
        ("box remote drop", "no command 'remote drop'"),
        ("box", "no command is named"),
        ("box remote add a", "needs url"),
        ("box remote add a b c", "takes no argument 'c'"),
        ("box stash list x", "takes no argument 'x'"),
        ("box push a b", "--to is missing"),
        ("box push -fn a b --to x", "exclude each other"),
        ("box push --size 1 --to x a b", "takes a number, not .--to."),
        ("box push --color=blue --to x a b", "one of always, never"),
        ("box push --to x a", "needs place"),
        ("box --all stash", "no option --all"),
        ("rm -rf /", "does not start with box"),
        ("box 'open", "not a shell command"),
    ],
)
def test_a_made_up_command_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(GrammarError, match=reason.replace("'", ".")):
        parse(BOX, text)


@pytest.mark.parametrize("grammar", [BOX, VENVY])
def test_a_grammar_comes_back_from_its_file(grammar: Grammar, tmp_path: Path) -> None:
    path = tmp_path / "tool.toml"
    path.write_text(write_toml(grammar))
    assert read_grammar(path) == grammar
    assert from_dict(to_dict(grammar), "it") == grammar


def test_every_fault_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tool.toml"
    path.write_text(
        'program = "x"\nwurst = 1\n[[command]]\nname = "a"\nwieght = 2\n'
        '[[command.option]]\nname = "--b"\nkind = "colour"\n'
    )
    with pytest.raises(DataError) as caught:
        read_grammar(path)
    for part in ("wurst", "perhaps weight is meant", "command 1, option 1, kind: is 'colour'"):
        assert part in caught.value.means
    for text, part in (("program =", "no TOML"), ('program = "x"', "is not right"), ("command = 3", "is not right")):
        path.write_text(text)
        with pytest.raises(DataError, match=part):
            read_grammar(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_grammar(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (Command("a", (Option("--x", "-y"), Option("--z", "-y"))), "-y: is declared 2 times"),
        (Command("a", (Option("x"),)), "no name of an option"),
        (Command("a", (Option("--x", None, "choice"),)), "choice without choices"),
        (Command("a", (Option("--x", None, "integer", values=("many",)),)), "example 'many' does not fit"),
        (Command("a", (Option("--x", None, "text", values=("-y",)),)), "starts with -"),
        (Command("a", (), (Positional("x", arity="*"), Positional("y", arity="+"))), "nobody can tell"),
        (Command("a", (), (), (Exclusive(("--b",)),)), "none of its options"),
        (Command("a  b"), "is no name"),
        (Command("a", weight=-1.0), "weight"),
    ],
)
def test_a_declaration_that_cannot_be_is_a_problem(command: Command, fault: str) -> None:
    assert any(fault in problem for problem in Grammar("tool", (command,)).problems())


ARGPARSE = """usage: tool fetch [-h] [--sort {name,age}] [-r RETRIES] [-o FILE] url [dest ...]

Fetches rows.

positional arguments:
  url                   where from
  dest                  where to

options:
  -h, --help            show this help message and exit
  --sort {name,age}     order
  -r RETRIES, --retries RETRIES
                        how often
  -o FILE, --output FILE
"""
CLICK = """Usage: tool [OPTIONS] COMMAND [ARGS]...

  A tool.

Options:
  --format [a|b]         The format.
  -n, --count INTEGER    How many.  [default: 3]
  --help                 Show this message and exit.

Commands:
  db     Databases.
  greet  Greets everybody.
"""
COBRA = """Tool does things.

Usage:
  tool get NAME [flags]

Flags:
  -n, --namespace string   If present, the scope
      --watch              Keep looking
      --limit int          At most so many

Global Flags:
      --context string     where
"""
GNU = """Usage: tool [OPTION]... FILE...
Print files.

  -n, --lines=NUM            print NUM lines
      --color[=WHEN]         colour it; WHEN can be always, auto or never
  -z                         end lines with NUL

Exit status:
 0  if OK,
 1  if minor problems
"""
GIT = """usage: git mv [<options>] <source>... <destination>

    -v, --[no-]verbose    be verbose
    --depth <depth>       how deep
"""
CLAP = """Run it

Usage: tool check [OPTIONS] [FILES]...

Arguments:
  [FILES]...  List of files

Options:
      --fix  Apply fixes
      --target <TARGET>
          The version [possible values: py311, py312]
"""


def spelled(text: str, program: str) -> tuple[dict[str, tuple[str, str]], dict[str, str], list[str]]:
    page = read_help(text, program)
    options = {one["name"]: (one.get("kind", "flag"), one.get("arity", "1")) for one in page.options}
    return options, {one["name"]: one["arity"] for one in page.positionals}, list(page.commands)


@pytest.mark.parametrize(
    ("text", "program", "options", "positionals", "commands"),
    [
        (
            ARGPARSE,
            "tool fetch",
            {"--help": "flag", "--sort": "choice", "--retries": "text", "--output": "path"},
            {"url": "1", "dest": "*"},
            [],
        ),
        (CLICK, "tool", {"--format": "choice", "--count": "integer", "--help": "flag"}, {}, ["db", "greet"]),
        (
            COBRA,
            "tool get",
            {"--namespace": "text", "--watch": "flag", "--limit": "integer", "--context": "text"},
            {"NAME": "1"},
            [],
        ),
        (GNU, "tool", {"--lines": "integer", "--color": "choice", "-z": "flag"}, {"FILE": "+"}, []),
        (
            GIT,
            "git mv",
            {"--verbose": "flag", "--no-verbose": "flag", "--depth": "text"},
            {"source": "+", "destination": "1"},
            [],
        ),
        (CLAP, "tool check", {"--fix": "flag", "--target": "choice"}, {"FILES": "*"}, []),
    ],
    ids=["argparse", "click", "cobra", "gnu", "git", "clap"],
)
def test_a_help_page_of_every_layout_is_read(
    text: str, program: str, options: dict[str, str], positionals: dict[str, str], commands: list[str]
) -> None:
    found = spelled(text, program)
    assert {name: kind for name, (kind, _) in found[0].items()} == options
    assert found[1:] == (positionals, commands)
    assert grammar_of_text(text, program).problems() == []


def test_an_option_whose_value_may_be_left_out_and_choices_in_words_are_seen() -> None:
    page = read_help(GNU, "tool")
    color = next(one for one in page.options if one["name"] == "--color")
    assert (color["arity"], color["choices"]) == ("?", ["always", "auto", "never"])


def test_a_program_is_asked_for_its_commands_pages_too(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in greet) echo "Usage: tool greet [OPTIONS] NAME"; echo; echo "Options:"; '
        'echo "  --loud  Shout it";; --help) cat <<END\n' + CLICK + "END\n;; esac\n"
    )
    program.chmod(0o755)
    grammar = grammar_of_program([str(program)], Limits(seconds=20))
    assert parse(grammar, "tool --count 3 greet Ada --loud").options == {"--loud": True}
    db = grammar.command("db")
    assert db is not None
    assert db.weight == 0


@pytest.mark.parametrize(
    ("body", "seconds", "reason"),
    [("echo nothing here", 20, "Nothing was recognised"), ("exec sleep 60", 0.2, "did not end")],
)
def test_a_program_that_shows_no_help_is_refused(tmp_path: Path, body: str, seconds: float, reason: str) -> None:
    program = tmp_path / "tool"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    with pytest.raises(DataError, match=reason):
        grammar_of_program([str(program)], Limits(seconds=seconds))
    with pytest.raises(DataError, match="cannot be run"):
        grammar_of_program([str(tmp_path / "none")], Limits())


def test_made_up_commands_in_rows_are_found_with_their_numbers() -> None:
    rows: list[dict[str, Any]] = [
        {"output": "COMMAND: venvy ls --sort size\nCONFIDENCE: 0.9"},
        {"output": "COMMAND: venvy ls --sort colour\n"},
        {"output": "no command"},
        {"output": 3},
        {"messages": [{"content": "COMMAND: venvy stats"}]},
    ]
    source = [SourceRow(2 * number, row, None) for number, row in enumerate(rows, start=1)]
    source.append(SourceRow(12, None, "no JSON"))
    found = [
        (one.row, one.line, one.reason) for one in checked(VENVY, source, "output", "^COMMAND: (.+)$") if one.reason
    ]
    assert [one[:2] for one in found] == [(2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]
    assert "one of name, recent" in (found[0][2] or "")
    last = next(checked(VENVY, source[4:], "messages.-1.content", "COMMAND: (.+)"))
    assert last.reason is None
    with pytest.raises(DataError, match="no regular expression"):
        next(checked(VENVY, source, "output", "("))
