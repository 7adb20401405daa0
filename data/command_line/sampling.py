"""A grammar -> one command after another that it allows, and how each is written.

Values are the declared examples and choices, or made up by kind and name. Not here: the words that ask for it.
"""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.chance import below, one_of, shuffled
from data.command_line.grammar import UNASKED, Command, Grammar, Kind, Option, Positional, num_values
from data.command_line.parsing import Value

NUM_OPTIONS = (0, 0, 1, 1, 1, 2, 2, 3)
"""How many optional options a command gets, each as likely."""
PROGRAM_OPTION, OPTIONAL_POSITIONAL, REPEATED = 0.1, 0.5, 0.25

_PLAIN_WORD = re.compile(r"[\w@%+=:,./~-]+", re.ASCII)
_FIRST = ("blue", "core", "daily", "edge", "fast", "green", "main", "north", "old", "prime", "rapid", "small", "west")
_SECOND = ("api", "blog", "cache", "demo", "etl", "index", "jobs", "lab", "mail", "notes", "proxy", "shop", "web")
_FOLDERS = ("src", "docs", "data", "build", "~/projects", "~/work", "/srv/app", "/tmp", "config", "tests")
_FILES = (
    "main.py",
    "report.txt",
    "notes.md",
    "rows.csv",
    "app.toml",
    "users.json",
    "run.log",
    "index.html",
    "photo.png",
)
_SENTENCES = ("fix the typo", "first draft", "update the readme", "add more tests", "clean up", "work in progress")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One command with its values, in the order in which it is written."""

    command: Command
    positionals: tuple[tuple[Positional, tuple[str, ...]], ...]
    options: tuple[tuple[Option, tuple[str, ...]], ...]
    program_options: tuple[tuple[Option, tuple[str, ...]], ...]


def chosen(grammar: Grammar, command: Command, chance: random.Random) -> Chosen:
    """Any command line of that command."""
    positionals = _positionals(command.positionals, chance)
    names = {name for option in command.options for name in option.names}
    before: list[Option] = []
    if command.name and chance.random() < PROGRAM_OPTION:
        usable = [one for one in grammar.options if _is_usable(one) and not names & set(one.names)]
        before = [one_of(usable, chance)] if usable else []
    before += [one for one in grammar.options if one.required and one not in before]
    own = command.options if command.name else grammar.options + command.options
    return Chosen(
        command,
        tuple(positionals),
        tuple((option, _option_values(option, chance)) for option in _some_options(command, own, chance)),
        tuple((option, _option_values(option, chance)) for option in before if command.name),
    )


def words(grammar: Grammar, one: Chosen) -> list[str]:
    """The command as the words of its line."""
    placed = [value for _, values in one.positionals for value in values]
    options = [word for option, values in one.options for word in _written(option, values)]
    first = grammar.positionals_first or any(num_values(option.arity)[1] > 3 for option, _ in one.options)
    return [
        *grammar.program.split(),
        *(word for option, values in one.program_options for word in _written(option, values)),
        *one.command.name.split(),
        *((*placed, *options) if first else (*options, *placed)),
    ]


def line(command_words: Sequence[str]) -> str:
    """The words as one types them: quoted only where a shell would take them apart."""
    return " ".join(word if _PLAIN_WORD.fullmatch(word) else shlex.quote(word) for word in command_words)


def expected(one: Chosen) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, Value]]:
    """What parsing the command has to give: positional arguments, and the options of the command."""
    options = {option.long: _meant(option, values) for option, values in one.options}
    return {positional.name: values for positional, values in one.positionals}, options


def _meant(option: Option, values: tuple[str, ...]) -> Value:
    if option.kind == "flag":
        return True
    if option.repeatable or option.arity not in ("1", "?"):
        return values
    if not values:
        return True
    if option.kind == "integer":
        return int(values[0])
    return float(values[0]) if option.kind == "number" else values[0]


def _written(option: Option, values: tuple[str, ...]) -> list[str]:
    if option.kind == "flag" or not values:
        return [option.long]
    if option.arity == "?":
        return [f"{option.long}={values[0]}"]
    if option.repeatable and option.arity == "1":
        return [word for value in values for word in (option.long, value)]
    return [option.long, *values]


def _is_usable(option: Option) -> bool:
    """Whether a request may ask for it: --help does nothing, and before a command nobody knows where "+" ends."""
    return not set(option.names) & set(UNASKED) and num_values(option.arity)[1] <= 3


def _some_options(command: Command, declared: Sequence[Option], chance: random.Random) -> list[Option]:
    """Every required option, and some others that go together, in declared order."""
    taken = {option.long for option in declared if option.required}
    for group in command.exclusive:
        if group.required and not taken & set(group.options):
            taken.add(one_of(group.options, chance))
    wanted = len(taken) + one_of(NUM_OPTIONS, chance)
    for option in shuffled(declared, chance):
        if len(taken) >= wanted:
            break
        barred = any(option.long in group.options and taken & set(group.options) for group in command.exclusive)
        opposite = (
            option.long.replace("--no-", "--", 1) if option.long.startswith("--no-") else f"--no-{option.long[2:]}"
        )
        if not (barred or opposite in taken or set(option.names) & set(UNASKED)):
            taken.add(option.long)
    return [option for option in declared if option.long in taken]


def _positionals(declared: Sequence[Positional], chance: random.Random) -> list[tuple[Positional, tuple[str, ...]]]:
    """Values from left to right; behind one that could take more there are only those that must be there."""
    given: list[tuple[Positional, tuple[str, ...]]] = []
    is_full = True
    for one in declared:
        least, most = num_values(one.arity)
        count = least
        if is_full and least == 0 and chance.random() < OPTIONAL_POSITIONAL:
            count = 1
        if is_full and count and most > 3 and chance.random() < REPEATED:
            count += 1
        is_full = is_full and count == most
        if count:
            values = tuple(_value(one.kind, one.name, one.choices, one.values, chance) for _ in range(count))
            given.append((one, values))
    return given


def _option_values(option: Option, chance: random.Random) -> tuple[str, ...]:
    if option.kind == "flag":
        return ()
    least, most = num_values(option.arity)
    glued = option.long.startswith("--")
    if option.arity == "?" and (not glued or chance.random() < OPTIONAL_POSITIONAL):
        return ()
    count = max(least, 1)
    if (most > 3 or (option.repeatable and option.arity == "1")) and chance.random() < REPEATED:
        count += 1
    name = option.long.lstrip("-")
    return tuple(_value(option.kind, name, option.choices, option.values, chance) for _ in range(count))


def _value(kind: Kind, name: str, choices: Sequence[str], values: Sequence[str], chance: random.Random) -> str:
    if values or choices:
        return one_of(values or choices, chance)
    if kind == "path":
        folder = one_of(_FOLDERS, chance)
        return folder if "dir" in name.lower() or "folder" in name.lower() else f"{folder}/{one_of(_FILES, chance)}"
    if kind == "integer":
        return str(1 + below(50, chance) if chance.random() < 0.5 else 10 * (1 + below(50, chance)))
    if kind == "number":
        return str(round(0.05 * (1 + below(100, chance)), 2))
    return _text(name.lower(), chance)


def _text(name: str, chance: random.Random) -> str:
    first, second = one_of(_FIRST, chance), one_of(_SECOND, chance)
    if "url" in name or "uri" in name:
        return f"https://example.com/{first}/{second}"
    if "mail" in name:
        return f"{first}@example.com"
    if "message" in name or "title" in name or "description" in name:
        return one_of(_SENTENCES, chance)
    if "host" in name or "server" in name or "domain" in name:
        return f"{second}.example.com"
    if "port" in name:
        return str(1024 + below(40000, chance))
    if "date" in name or "since" in name or "until" in name:
        return f"2024-{1 + below(12, chance):02d}-{1 + below(28, chance):02d}"
    if any(part in name for part in ("file", "path", "dir", "output", "input")):
        return f"{one_of(_FOLDERS, chance)}/{one_of(_FILES, chance)}"
    return f"{first}-{second}"
