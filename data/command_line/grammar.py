"""What a command line may hold, declared: commands, options with what follows them, positional arguments.

Only values and whether they fit together. Reading a command by them lives in `parsing`, their file in `toml_file`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["flag", "text", "path", "integer", "number", "choice"]
Arity = Literal["1", "2", "3", "?", "*", "+"]
KINDS, ARITIES = get_args(Kind), get_args(Arity)
ENDLESS = 10**9
_NUM_VALUES = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "?": (0, 1), "*": (0, ENDLESS), "+": (1, ENDLESS)}
_OPTION = re.compile(r"--?[A-Za-z0-9?@#][\w.:-]*")
_WORD = re.compile(r"[^\s-]\S*")
INFORMING = ("--help", "-h", "--version", "-V", "--usage", "-?")
"""Options after which a program looks at nothing else."""
UNASKED = (*INFORMING, "--install-completion", "--show-completion")
"""Options that no request is made for."""


class GrammarError(ValueError):
    """The text is no command of the declared program; the message says which part is not."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name, its short one if it has one, and what follows it.

    `aliases` are further names. `arity` says how many values: "1", "2", "3", "?" (one, glued on by "="), "*" or "+".
    `values` are examples, `phrases` the words that ask for it, with <value> for its value.
    """

    long: str
    short: str | None = None
    kind: Kind = "flag"
    choices: tuple[str, ...] = ()
    arity: Arity = "1"
    required: bool = False
    repeatable: bool = False
    values: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    help: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that it goes by."""
        return (self.long, *((self.short,) if self.short else ()), *self.aliases)


@dataclass(frozen=True, slots=True)
class Positional:
    """An argument that is known by its place. `arity`, `values` and `phrases` as for an option."""

    name: str
    kind: Kind = "text"
    arity: Arity = "1"
    choices: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    help: str = ""


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Options of which a command takes one at most; exactly one where it is `required`."""

    options: tuple[str, ...]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command: "remote add", or "" for the program itself. `runs` False: only the commands below it do something.

    `phrases` ask for it, with <name> for the positional argument of that name; `weight` is its share of the rows
    against the others'.
    """

    name: str
    options: tuple[Option, ...] = ()
    positionals: tuple[Positional, ...] = ()
    exclusive: tuple[Exclusive, ...] = ()
    phrases: tuple[str, ...] = ()
    weight: float = 1.0
    runs: bool = True
    help: str = ""

    @property
    def positional(self) -> str | None:
        """The name of the first positional argument, if there is one."""
        return self.positionals[0].name if self.positionals else None


@dataclass(frozen=True, slots=True)
class Grammar:
    """A program: how it is called, its commands, and the options that stand before the command.

    `positionals_first`: commands are written with their positional arguments before their options, which argparse
    needs where some may be left out.
    """

    program: str
    commands: tuple[Command, ...]
    options: tuple[Option, ...] = ()
    version: str = ""
    positionals_first: bool = False

    def command(self, name: str) -> Command | None:
        """The declared command of that name."""
        return next((command for command in self.commands if command.name == name), None)

    def of_unknown_kind(self) -> list[str]:
        """Names of the options and arguments that take any text, and for which there is no example."""
        commands = [command for command in self.commands if command.runs and command.weight]
        options = [*self.options, *(option for command in commands for option in command.options)]
        every: list[tuple[str, Positional | Option]] = [(option.long, option) for option in options]
        every[:0] = [(one.name, one) for command in commands for one in command.positionals]
        return list(dict.fromkeys(name for name, one in every if one.kind == "text" and not one.values))

    def problems(self) -> list[str]:
        """Every fault of the declaration, each naming its place; empty where there is none."""
        return list(_grammar_faults(self))


def num_values(arity: str) -> tuple[int, int]:
    """How many values at least and at most."""
    return _NUM_VALUES[arity]


def fits(kind: Kind, choices: Iterable[str], text: str) -> str | None:
    """Why `text` is no value of that kind; None where it is one."""
    if kind == "choice" and text not in choices:
        return f"is one of {', '.join(choices)}, not {text!r}"
    if kind == "integer":
        try:
            int(text)
        except ValueError:
            return f"takes a whole number, not {text!r}"
    if kind == "number":
        try:
            float(text)
        except ValueError:
            return f"takes a number, not {text!r}"
    return None


def _grammar_faults(grammar: Grammar) -> Iterator[str]:
    if not grammar.program.strip() or any(word.startswith("-") for word in grammar.program.split()):
        yield "program: is no name"
    if not any(command.runs for command in grammar.commands):
        yield "command: there is none"
    root = grammar.command("")
    for name, count in Counter(command.name for command in grammar.commands).items():
        if count > 1:
            yield f"command {name!r}: is declared {count} times"
    yield from (f"option {fault}" for fault in _option_faults(grammar.options))
    yield from (f"option {fault}" for fault in _unending(grammar.options if grammar.commands != (root,) else ()))
    for command in grammar.commands:
        if any(other.name.startswith(f"{command.name} ".lstrip()) for other in grammar.commands if other != command):
            yield from (f"command {command.name!r}: option {fault}" for fault in _unending(command.options))
        for fault in _command_faults(command):
            yield f"command {command.name!r}: {fault}"
    if root is not None and root.options and grammar.options:
        yield "command '': its options belong in the program's own, under [[option]]"


def _command_faults(command: Command) -> Iterator[str]:
    if any(not _WORD.fullmatch(word) for word in command.name.split()) or command.name != " ".join(
        command.name.split()
    ):
        yield "is no name"
    if not 0 <= command.weight < float("inf"):
        yield f"weight is {command.weight}, no number from 0"
    yield from (f"option {fault}" for fault in _option_faults(command.options))
    endless = [one.name for one in command.positionals if num_values(one.arity)[1] == ENDLESS]
    if len(endless) > 1:
        yield f"positionals {', '.join(endless)} both take any number, so nobody can tell which is which"
    for name, count in Counter(one.name for one in command.positionals).items():
        if count > 1:
            yield f"positional {name}: is declared {count} times"
    for positional in command.positionals:
        if positional.kind == "flag":
            yield f"positional {positional.name}: cannot be a flag"
        yield from (
            f"positional {positional.name}: {fault}"
            for fault in _value_faults(positional.kind, positional.choices, positional.values)
        )
    known = {option.long for option in command.options}
    for group in command.exclusive:
        for name in group.options:
            if name not in known:
                yield f"exclusive names {name}, which is none of its options"
    required = [option.long for option in command.options if option.required]
    for group in command.exclusive:
        if len([name for name in group.options if name in required]) > 1:
            yield f"exclusive {', '.join(group.options)}: more than one of them is required"


def _option_faults(options: tuple[Option, ...]) -> Iterator[str]:
    names = Counter(name for option in options for name in option.names)
    yield from (f"{name}: is declared {count} times" for name, count in names.items() if count > 1)
    for option in options:
        for name in option.names:
            if not _OPTION.fullmatch(name):
                yield f"{name}: is no name of an option"
        if option.kind == "flag" and (option.choices or option.values or option.arity != "1"):
            yield f"{option.long}: is a flag, and flags have no values"
        if option.required and option.kind == "flag":
            yield f"{option.long}: is a flag, and cannot be required"
        if option.kind != "flag":
            yield from (
                f"{option.long}: {fault}" for fault in _value_faults(option.kind, option.choices, option.values)
            )


def _unending(options: tuple[Option, ...]) -> Iterator[str]:
    for option in options:
        if num_values(option.arity)[1] == ENDLESS:
            yield f"{option.long}: takes any number of values before a command, so nobody can tell where they end"


def _value_faults(kind: Kind, choices: tuple[str, ...], values: tuple[str, ...]) -> Iterator[str]:
    if kind == "choice" and not choices:
        yield "is a choice without choices"
    for value in (*choices, *values):
        if not value or value.startswith("-") or not value.isprintable():
            yield f"the value {value!r} is empty, starts with - or holds a control character"
    for value in values:
        reason = fits(kind, choices, value)
        if reason is not None:
            yield f"the example {value!r} does not fit: it {reason}"
