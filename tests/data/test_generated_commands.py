"""Rows made from a grammar: in their shares, each request once, and never a command that the program refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from data.command_line.grammar import Command, Exclusive, Grammar, Option, Positional
from data.command_line.introspection import Program, introspected, refusals
from data.command_line.making import Made, Wanted, made_rows
from data.command_line.parsing import parse
from data.command_line.toml_file import from_dict, to_dict
from data.command_line.wording import verb_phrase
from data.errors import DataError
from data.generators.venvy.grammar import GRAMMAR as VENVY

BOX = Grammar(
    "box",
    (
        Command(
            "remote add",
            (Option("--depth", "-d", "integer", phrases=("with a depth of <value>",)),),
            (Positional("name"), Positional("url")),
            phrases=("[add|register] a remote [called|named] <name> at <url>",),
        ),
        Command("push", (Option("--dry-run", "-n"),), (Positional("file", "path", "+"),), help="Pushes files."),
        Command("status", help="Shows the status.", weight=2.0),
    ),
)

words = st.text("abcdef", min_size=1, max_size=5)
values = st.lists(st.text("abc /$'\"[]<>|=é", min_size=1, max_size=6), max_size=3).map(tuple)
arities = st.sampled_from(["1", "2", "?", "*", "+"])


@st.composite
def options(draw: st.DrawFn) -> Option:
    kind = draw(st.sampled_from(["flag", "text", "path", "integer", "number", "choice"]))
    long = draw(st.sampled_from(["--", "--no-"])) + draw(words)
    if kind == "flag":
        return Option(long, repeatable=draw(st.booleans()), help=draw(st.text(max_size=10)))
    choices = draw(values.filter(bool)) if kind == "choice" else ()
    examples = draw(values) if kind in ("text", "path") else ()
    more: dict[str, Any] = {"required": draw(st.booleans()), "repeatable": draw(st.booleans()), "values": examples}
    return Option(long, None, kind, choices, draw(arities), **more)


@st.composite
def commands(draw: st.DrawFn, name: str) -> Command:
    own = tuple(draw(st.lists(options(), max_size=4, unique_by=lambda one: one.long)))
    placed = st.builds(Positional, words, st.sampled_from(["text", "path", "integer"]), arities)
    flags = [option.long for option in own if not option.required]
    group = (Exclusive(tuple(flags), draw(st.booleans())),) if len(flags) > 1 else ()
    return Command(name, own, tuple(draw(st.lists(placed, max_size=3))), group, help=draw(st.text(max_size=12)))


@st.composite
def grammars(draw: st.DrawFn) -> Grammar:
    names = draw(
        st.lists(st.sampled_from(["", "add", "add all", "list", "x y z"]), min_size=1, max_size=3, unique=True)
    )
    before = tuple(draw(st.lists(options(), max_size=2, unique_by=lambda one: one.long))) if "" not in names else ()
    grammar = Grammar("tool", tuple(draw(commands(name)) for name in names), before, "", draw(st.booleans()))
    assume(not grammar.problems())
    return grammar


@given(grammar=grammars(), seed=st.integers(0, 1000))
@settings(max_examples=80, phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False)
def test_every_command_made_from_any_grammar_is_one_that_it_allows(grammar: Grammar, seed: int) -> None:
    assert from_dict(to_dict(grammar), "it") == grammar
    made = Made()
    try:
        for row in made_rows(grammar, Wanted(8, seed, typos=0.3), made):
            parse(grammar, row["output"])
    except DataError as few:
        assert "different requests" in few.happened  # noqa: PT017 - a grammar may have no eight requests
    assert (made.num_fabricated, made.reasons) == (0, [])


def rows_of(grammar: Grammar, wanted: Wanted) -> tuple[list[dict[str, Any]], Made]:
    made = Made()
    return list(made_rows(grammar, wanted, made)), made


def test_the_shares_are_reached_to_the_row() -> None:
    rows, made = rows_of(BOX, Wanted(400, 3, {"push": 0.5}))
    assert {one.command: (one.target, one.reached) for one in made.shares()}["push"] == (200, 200)
    counted = sum(row["output"].startswith("box push") for row in rows)
    assert counted == 200
    assert sum(one.reached for one in made.shares()) == 400


def test_what_a_command_without_further_wordings_owes_goes_to_the_others_and_is_told() -> None:
    rows, made = rows_of(BOX, Wanted(600, 3))
    status = next(one for one in made.shares() if one.command == "status")
    assert status.target == 300
    assert 0 < status.reached < 60
    assert len(rows) == 600


def test_no_request_stands_twice_and_each_names_its_values_letter_by_letter() -> None:
    rows, _ = rows_of(BOX, Wanted(500, 1, typos=0.5))
    assert len({row["instruction"].casefold() for row in rows}) == 500
    for row in rows:
        parsed = parse(BOX, row["output"])
        for value in (one for several in parsed.positionals.values() for one in several):
            assert value in row["instruction"]


def test_typos_change_the_requests_and_never_the_commands() -> None:
    plain, _ = rows_of(BOX, Wanted(200, 5, {"push": 1.0}))
    mistyped, _ = rows_of(BOX, Wanted(200, 5, {"push": 1.0}, typos=1.0))
    assert sum("push" in row["instruction"].lower() for row in plain) == 200
    assert not any(row["instruction"] in {one["instruction"] for one in plain} for row in mistyped)
    assert all(parse(BOX, row["output"]).command == "push" for row in mistyped)


def test_more_rows_than_there_are_requests_are_refused_with_how_many_there_are() -> None:
    only = dataclasses.replace(BOX, commands=BOX.commands[2:])
    with pytest.raises(DataError, match=r"Only \d+ different requests"):
        rows_of(only, Wanted(1000, 1))


@pytest.mark.parametrize(
    ("num_rows", "shares", "reason"),
    [
        (10, {"pull": 0.5}, "no command 'pull'"),
        (10, {"push": 0.8, "status": 0.4}, "cannot be made"),
        (10, {"push": -0.1}, "cannot be made"),
        (0, {}, "cannot be made"),
    ],
)
def test_shares_that_cannot_be_are_refused(num_rows: int, shares: dict[str, float], reason: str) -> None:
    with pytest.raises(DataError, match=reason.replace("'", ".")):
        rows_of(BOX, Wanted(num_rows, 1, shares))


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    rows, _ = rows_of(BOX, Wanted(200, 42, {"push": 0.4}, typos=0.1))
    written = "".join(json.dumps(row) + "\n" for row in rows).encode()
    assert hashlib.sha256(written).hexdigest() == "a1dcf91d0ce13ea3e8dc23dc652dce1fdd4e5ac484fca1114c161cac287cff7a"
    assert rows_of(BOX, Wanted(50, 1))[0] != rows_of(BOX, Wanted(50, 2))[0]


def test_a_grammar_without_phrases_makes_rows_as_well() -> None:
    rows, made = rows_of(VENVY, Wanted(150, 1))
    assert made.num_fabricated == 0
    assert {parse(VENVY, row["output"]).command for row in rows} == {command.name for command in VENVY.commands}


@pytest.mark.parametrize(
    ("told", "phrase"),
    [
        ("Shows the status.", "show the status"),
        ("Push files", "push files"),
        ("Greets everybody (twice).", "greet everybody"),
        ("GPU facts", "GPU facts"),
        ("Applies a patch; see x", "apply a patch"),
        ("Databases.", "databases"),
        ("", ""),
    ],
)
def test_a_help_text_becomes_an_order(told: str, phrase: str) -> None:
    assert verb_phrase(told) == phrase


ARGPARSE = """
import argparse
from pathlib import Path

def build():
    parser = argparse.ArgumentParser(prog="mytool")
    parser.add_argument("--verbose", "-v", action="count")
    commands = parser.add_subparsers(required=True)
    fetch = commands.add_parser("fetch", help="Fetches rows", aliases=["f"])
    fetch.add_argument("url")
    fetch.add_argument("dest", nargs="?", type=Path)
    fetch.add_argument("--retries", "-r", type=int)
    fetch.add_argument("--cache", action=argparse.BooleanOptionalAction)
    kind = fetch.add_mutually_exclusive_group(required=True)
    kind.add_argument("--json", action="store_true")
    kind.add_argument("--csv", action="store_true")
    merge = commands.add_parser("merge", help="merge files")
    merge.add_argument("files", nargs="+", type=argparse.FileType())
    merge.add_argument("--limits", nargs=2, type=float)
    merge.add_argument("--output", "-o", required=True, type=SMALL)
    return parser

def SMALL(text):
    if len(text) > 5:
        raise ValueError
    return text

def main():
    print("a line of the program's own")
    print(build().parse_args())
"""
CLICK = """
import click

@click.group()
@click.option("--quiet", "-q", is_flag=True)
def cli(quiet):
    "A tool."

@cli.command()
@click.argument("path", type=click.Path(exists=True))
@click.option("--level", type=click.IntRange(1, 5), required=True)
@click.option("--shout/--no-shout")
@click.option("--tag", multiple=True, callback=lambda *_: 1 / 0)
def greet(path, level, shout, tag):
    "Greets everybody in a file."

@cli.group()
def db():
    "Databases."

@db.command()
@click.argument("names", nargs=-1)
@click.option("--format", "-f", "fmt", type=click.Choice(["a", "b"]))
def drop(names, fmt):
    "Drop databases."
"""


@pytest.mark.parametrize(
    ("source", "target"), [(CLICK, "click mod_click:cli"), (ARGPARSE, "argparse mod_argparse:main")]
)
def test_a_python_program_is_described_exactly_and_takes_every_command_made(
    source: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind, _, where = target.partition(" ")
    (tmp_path / f"{where.partition(':')[0]}.py").write_text(source)
    program = Program(kind, where)  # type: ignore[arg-type]
    grammar = introspected(program)
    if kind == "argparse":
        merge = grammar.command("merge")
        assert merge is not None
        assert merge.options[-1] == Option("--output", "-o", "text", required=True)
        short = dataclasses.replace(
            merge, options=(*merge.options[:-1], dataclasses.replace(merge.options[-1], values=("a.txt",)))
        )
        fine = dataclasses.replace(grammar, commands=(grammar.commands[0], short))
        assert refused(program, grammar)  # --output takes five letters at most, which no declaration says
        assert refused(program, fine) == []
    else:
        assert {command.name for command in grammar.commands} == {"db", "db drop", "greet"}
        assert refused(program, grammar) == []
        one = refusals(
            program, grammar.program, [["cli", "greet", "x", "--level", "2"], ["cli", "greet", "--level", "9", "x"]]
        )
        assert [refusal.number for refusal in one] == [2]


def refused(program: Program, grammar: Grammar) -> list[Any]:
    rows, made = rows_of(grammar, Wanted(150, 1))
    assert made.num_fabricated == 0
    return refusals(program, grammar.program, (shlex.split(row["output"]) for row in rows))


@pytest.mark.parametrize(
    ("source", "attribute", "seconds", "reason"),
    [
        ("import time\ntime.sleep(60)", "x", 0.5, "did not answer"),
        ("x = 3", "x", 30, "gives no argparse"),
        ("x = 3", "y", 30, "cannot be imported"),
        ("raise SystemExit(4)", "x", 30, "exit code 4"),
        ("import argparse\nx = argparse.ArgumentParser(prefix_chars='+')", "x", 30, "its options start with"),
    ],
)
def test_a_program_that_gives_no_parser_is_refused_with_the_reason(
    source: str, attribute: str, seconds: float, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mod_wrong.py").write_text(source)
    with pytest.raises(DataError) as caught:
        introspected(Program("argparse", f"mod_wrong:{attribute}", seconds=seconds))
    assert reason in caught.value.happened
