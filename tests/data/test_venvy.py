"""The bundled NL -> venvy rows: their shares, their words, and that no command in them is made up."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter

import pytest

from data.errors import DataError
from data.formats import format_named
from data.generators import all_generators
from data.generators.venvy import DEFAULT_ROWS, MOST_ROWS, rows
from data.generators.venvy.commands import SHARES, commands_by_name
from data.generators.venvy.grammar import COMMANDS, HELP, PROGRAM_OPTIONS, VERSION, GrammarError, Option, parse
from data.generators.venvy.wording import wordings

ROWS = list(rows(DEFAULT_ROWS, 42))

# What click reports of the program itself (venvy 1.1.1 from PyPI, click 8.5.1, each command's params): the names of
# every option with its kind, its choices, and the positional argument.
RECORDED_VERSION = "1.1.1"
RECORDED: dict[str, tuple[dict[str, tuple[str, ...]], str | None]] = {
    "register": ({"--project -p": ("path",), "--name -n": ("text",), "--json": ("flag",)}, "venv_path"),
    "ls": (
        {
            "--sort -s": ("choice", "name", "recent", "size", "project"),
            "--format -f": ("choice", "table", "json", "simple"),
            "--hide-missing": ("flag",),
            "--json": ("flag",),
        },
        None,
    ),
    "current": ({"--json": ("flag",)}, None),
    "cleanup": (
        {"--days -d": ("integer",), "--dry-run": ("flag",), "--force -f": ("flag",), "--json": ("flag",)},
        None,
    ),
    "scan": (
        {"--home": ("flag",), "--path -p": ("path",), "--depth -d": ("integer",), "--json": ("flag",)},
        None,
    ),
    "stats": ({"--json": ("flag",)}, None),
    "shell-hook": ({"--shell": ("choice", "bash", "zsh", "fish", "powershell"), "--json": ("flag",)}, None),
}
RECORDED_PROGRAM = {"--version", "--verbose -v", "--json", "--yes -y", "--quiet -q"}


def described(option: Option) -> tuple[str, tuple[str, ...]]:
    return " ".join(filter(None, (option.long, option.short))), (option.kind, *option.choices)


def test_the_grammar_is_that_of_the_recorded_program() -> None:
    assert VERSION == RECORDED_VERSION
    declared = {
        name: (dict(described(option) for option in command.options if option is not HELP), command.positional)
        for name, command in COMMANDS.items()
    }
    assert declared == RECORDED
    assert {described(option)[0] for option in PROGRAM_OPTIONS if option is not HELP} == RECORDED_PROGRAM


@pytest.mark.parametrize(
    "command",
    [
        "venvy ls --sort=size",
        "venvy ls -ssize -f json",
        "venvy cleanup -fd 7",
        "venvy cleanup -d30 --force",
        "venvy register --name --project x",
        "venvy register -- --name",
        "venvy register -",
        "venvy --quiet ls --json",
        "venvy -vq ls",
        "venvy scan -d -1",
        "venvy stats --help",
    ],
)
def test_what_the_program_accepts_is_accepted(command: str) -> None:
    assert parse(command).command == next(word for word in shlex.split(command)[1:] if not word.startswith("-"))


@pytest.mark.parametrize(
    "command",
    [
        "",
        "venvy",
        "pip list",
        "venvy list --python 3",
        "venvy ls --sort",
        "venvy ls --sort age",
        "venvy ls --hide",
        "venvy ls -x",
        "venvy ls extra",
        "venvy register a b",
        "venvy cleanup --days x",
        "venvy cleanup -d=30",
        "venvy cleanup --dry-run=yes",
        "venvy cleanup --long",
        "venvy shell-hook --shell BASH",
        'venvy register "open',
    ],
)
def test_what_the_program_refuses_is_refused_with_a_reason(command: str) -> None:
    with pytest.raises(GrammarError, match=r"\w"):
        parse(command)


def test_a_parsed_command_gives_its_values() -> None:
    parsed = parse("venvy --json register ~/envs/api -p ~/code --name 'my api'")
    assert (parsed.positional, dict(parsed.options)) == ("~/envs/api", {"--project": "~/code", "--name": "my api"})
    assert dict(parsed.program_options) == {"--json": True}
    assert dict(parse("venvy cleanup --days 30 --dry-run").options) == {"--days": 30, "--dry-run": True}


def command_of(row: dict[str, str]) -> str:
    first, second = row["output"].split("\n")
    assert first.startswith("COMMAND: venvy ")
    assert second in {f"CONFIDENCE: {value}" for value in ("0.98", "0.95", "0.92", "0.90")}
    return first.removeprefix("COMMAND: ")


def test_the_default_is_1500_rows_with_1500_requests_and_154_commands_in_their_shares() -> None:
    assert len(ROWS) == 1500
    assert len({" ".join(row["instruction"].casefold().split()) for row in ROWS}) == 1500
    assert len({command_of(row) for row in ROWS}) == 154
    counts = Counter(parse(command_of(row)).command for row in ROWS)
    assert {name: 100 * count / 1500 for name, count in counts.items()} == SHARES


@pytest.mark.parametrize("num_rows", [10, 1500, MOST_ROWS])
@pytest.mark.parametrize("seed", [0, 7])
def test_no_command_is_made_up_and_no_two_commands_share_a_request(num_rows: int, seed: int) -> None:
    by_request: dict[str, str] = {}
    for row in rows(num_rows, seed):
        parse(command_of(row))
        assert by_request.setdefault(row["instruction"].casefold(), row["output"]) == row["output"]
    assert len(by_request) == num_rows


def test_every_value_of_a_command_stands_letter_by_letter_in_its_request() -> None:
    worded = {"--sort", "--format", "--shell"}
    for row in ROWS:
        parsed = parse(command_of(row))
        values = [value for option, value in parsed.options.items() if option not in worded and value is not True]
        for value in [*values, *filter(None, [parsed.positional])]:
            assert str(value) in row["instruction"].replace("?", " ").split(), row


def test_options_are_written_out_in_the_order_in_which_the_program_declares_them() -> None:
    for row in ROWS:
        parsed = parse(command_of(row))
        declared = [option.long for option in COMMANDS[parsed.command].options]
        assert list(parsed.options) == sorted(parsed.options, key=declared.index)
        assert not any(len(word) == 2 and word.startswith("-") for word in command_of(row).split())


def test_the_same_command_always_states_the_same_confidence() -> None:
    stated = {(command_of(row), row["output"].split("\n")[1]) for row in ROWS}
    assert len(stated) == 154


def test_no_wording_of_a_command_is_a_wording_of_another() -> None:
    by_text: dict[str, str] = {}
    for command in (command for group in commands_by_name().values() for command in group):
        every = wordings(command.name, command.options)
        step = max(1, every.count // 100)
        for number in range(0, every.count, step):
            text = every.text(number)
            assert not any(sign in text for sign in "[]<>|"), text
            assert by_text.setdefault(text.casefold(), command.line) == command.line
        with pytest.raises(ValueError, match="there are only"):
            every.text(every.count)


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    """The recorded hash was seen on Python 3.11, 3.12 and 3.13; a change of words changes it, and results with it."""
    written = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    assert hashlib.sha256(written).hexdigest() == "2e75711abf5f8dd931fd89dc5f2cac5bf459c98530eec108a97ce75dbeff9b12"
    assert list(rows(50, 1)) != list(rows(50, 2))


def test_rows_are_of_the_alpaca_format() -> None:
    alpaca = format_named("alpaca")
    assert all(alpaca.matches(row) for row in ROWS)
    assert {alpaca.convert(row, 1).request for row in ROWS} == {row["instruction"] for row in ROWS}


@pytest.mark.parametrize("num_rows", [0, -1, MOST_ROWS + 1])
def test_a_number_of_rows_that_cannot_be_made_is_refused_with_the_range(num_rows: int) -> None:
    with pytest.raises(DataError, match=r"data\.generator_rows") as caught:
        list(rows(num_rows, 42))
    assert str(MOST_ROWS) in caught.value.means


def test_every_bundled_generator_offers_what_the_wizard_shows() -> None:
    for name, generator in all_generators().items():
        assert name == generator.NAME
        assert generator.TITLE
        assert len(list(generator.rows(10, 1))) == 10 <= generator.DEFAULT_ROWS
