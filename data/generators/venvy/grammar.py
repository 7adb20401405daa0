"""The command line of venvy 1.1.1 (PyPI), as far as its seven everyday commands go, declared once and used to check.

The declaration follows the program's click declarations: every option, short form, choice and positional. `parse`
reads a command the way click does, except that it never looks at the file system.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

VERSION = "1.1.1"
PROGRAM = "venvy"

Kind = Literal["flag", "text", "path", "integer", "choice"]


class GrammarError(ValueError):
    """The text is no command of the declared program; the message says which part is not."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its long name, its short one if it has one, and what follows it."""

    long: str
    short: str | None = None
    kind: Kind = "flag"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its options and at most one positional argument, which may be left out."""

    name: str
    options: tuple[Option, ...] = ()
    positional: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command taken apart. Options go by their long names; a flag's value is True."""

    command: str
    positional: str | None
    options: Mapping[str, str | int | bool]
    program_options: Mapping[str, str | int | bool]


HELP = Option("--help")
# The program adds --json to every command that has none of its own.
JSON = Option("--json")

PROGRAM_OPTIONS = (
    Option("--version"),
    Option("--verbose", "-v"),
    JSON,
    Option("--yes", "-y"),
    Option("--quiet", "-q"),
    HELP,
)

COMMANDS = {
    command.name: command
    for command in (
        Command(
            "register",
            (Option("--project", "-p", "path"), Option("--name", "-n", "text"), JSON, HELP),
            positional="venv_path",
        ),
        Command(
            "ls",
            (
                Option("--sort", "-s", "choice", ("name", "recent", "size", "project")),
                Option("--format", "-f", "choice", ("table", "json", "simple")),
                Option("--hide-missing"),
                JSON,
                HELP,
            ),
        ),
        Command("current", (JSON, HELP)),
        Command(
            "cleanup", (Option("--days", "-d", "integer"), Option("--dry-run"), Option("--force", "-f"), JSON, HELP)
        ),
        Command(
            "scan",
            (Option("--home"), Option("--path", "-p", "path"), Option("--depth", "-d", "integer"), JSON, HELP),
        ),
        Command("stats", (JSON, HELP)),
        Command("shell-hook", (Option("--shell", None, "choice", ("bash", "zsh", "fish", "powershell")), JSON, HELP)),
    )
}


def parse(command: str) -> Parsed:
    """Take a command line apart. Raises GrammarError when venvy would not accept it, or it is not declared here."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise GrammarError(f"not a shell command: {error}") from error
    if not words or words[0] != PROGRAM:
        raise GrammarError(f"does not start with {PROGRAM}")
    program_options, rest = _options(words[1:], PROGRAM_OPTIONS, stop_at_word=True)
    if not rest:
        raise GrammarError("no command is named")
    found = COMMANDS.get(rest[0])
    if found is None:
        raise GrammarError(f"there is no command {rest[0]!r}")
    options, words_left = _options(rest[1:], found.options)
    if len(words_left) > (1 if found.positional else 0):
        raise GrammarError(f"{found.name} takes no argument {words_left[-1]!r}")
    return Parsed(found.name, words_left[0] if words_left else None, options, program_options)


def _options(
    words: list[str], declared: tuple[Option, ...], *, stop_at_word: bool = False
) -> tuple[dict[str, str | int | bool], list[str]]:
    """The options at their long names, and the words that are none (from the first one on, if `stop_at_word`)."""
    by_name = {name: option for option in declared for name in (option.long, option.short) if name}
    values: dict[str, str | int | bool] = {}
    plain: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return values, plain + left
        if not word.startswith("-") or word == "-":
            plain.append(word)
            if stop_at_word:
                return values, plain + left
            continue
        for option, value in _named_in(word, by_name):
            values[option.long] = _value(option, value, left)
    return values, plain


def _named_in(word: str, by_name: Mapping[str, Option]) -> list[tuple[Option, str | None]]:
    """The options in one word with the value glued to them: --days=30, -d30, or several flags as in -vq."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        if name not in by_name:
            raise GrammarError(f"there is no option {name}")
        return [(by_name[name], value if equals else None)]
    found: list[tuple[Option, str | None]] = []
    for position, letter in enumerate(word[1:], start=2):
        option = by_name.get(f"-{letter}")
        if option is None:
            raise GrammarError(f"there is no option -{letter}")
        if option.kind != "flag":
            return [*found, (option, word[position:] or None)]
        found.append((option, None))
    return found


def _value(option: Option, glued: str | None, left: list[str]) -> str | int | bool:
    """The value of an option: glued to it, or the next word of `left`, which is then taken from there."""
    if option.kind == "flag":
        if glued is not None:
            raise GrammarError(f"{option.long} takes no value")
        return True
    if glued is None and not left:
        raise GrammarError(f"{option.long} needs a value")
    text = left.pop(0) if glued is None else glued
    if option.kind == "choice" and text not in option.choices:
        raise GrammarError(f"{option.long} is one of {', '.join(option.choices)}, not {text!r}")
    if option.kind == "integer":
        try:
            return int(text)
        except ValueError:
            raise GrammarError(f"{option.long} takes a whole number, not {text!r}") from None
    return text
