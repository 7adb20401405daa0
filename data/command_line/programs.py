"""Running a program for its help pages, its commands' too, with a time limit and without a shell -> a grammar.

Only whoever was told to may call this: a program that is run with --help runs all the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from data.command_line.grammar import Grammar
from data.command_line.help_text import HelpPage, read_help
from data.command_line.running import ended
from data.command_line.toml_file import from_dict
from data.errors import DataError

MOST_BYTES = 1_000_000
"""Of one help page; what comes behind is not read, and the program is ended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one page may take (seconds), how many pages are asked for, how deep commands are followed (levels)."""

    seconds: float = 10.0
    pages: int = 60
    depth: int = 2


def grammar_of_program(words: Sequence[str], limits: Limits) -> Grammar:
    """Run the program with --help, and its commands. Raises DataError when it cannot be run or nothing is read.

    A command whose page was not asked for, or whose arguments are written in a way that is not understood, gets the
    weight 0: no row is made for it until somebody has completed it.
    """
    program = " ".join([PurePath(words[0]).name, *words[1:]])
    first = _page(list(words), limits.seconds)
    if first.is_empty:
        raise DataError(
            f"Nothing was recognised in what {program} --help prints.",
            means="No option, argument or command is laid out there as GNU programs, argparse, click or cobra do.",
            remedy="Write a grammar by hand, or give --from-argparse or --from-click where it is a Python program.",
        )
    commands: list[dict[str, Any]] = []
    pages_left = limits.pages
    waiting = [(name, told, 1) for name, told in first.commands.items()]
    while waiting:
        name, told, depth = waiting.pop(0)
        page = _page([*words, *name.split()], limits.seconds) if pages_left > 0 else HelpPage()
        same = page.commands.keys() == first.commands.keys()  # a program that prints its own page for every command
        pages_left -= 1
        below = page.commands if depth < limits.depth and not same else {}
        is_incomplete = bool(below) or page.is_unclear or page.is_empty
        commands.append(_command(name, told, page, is_incomplete))
        waiting += [(f"{name} {word}", text, depth + 1) for word, text in below.items()]
    return _grammar(program, first, commands)


def grammar_of_text(text: str, program: str) -> Grammar:
    """The grammar of one help page; commands that it lists have no options of their own then. Raises DataError."""
    page = read_help(text, program)
    if page.is_empty:
        raise DataError(
            f"Nothing was recognised in the help text of {program}.",
            means="No option, argument or command is laid out there as GNU programs, argparse, click or cobra do.",
            remedy="Write a grammar by hand.",
        )
    return _grammar(program, page, [_command(name, told, HelpPage(), False) for name, told in page.commands.items()])


def _grammar(program: str, first: HelpPage, commands: list[dict[str, Any]]) -> Grammar:
    if not commands:
        commands, options = [_command("", first.told, first, False)], []
    else:
        options = first.options
    described = {
        "program": program,
        "positionals_first": first.is_argparse,
        "option": options,
        "command": commands,
    }
    return from_dict(described, f"of {program}")


def _command(name: str, told: str, page: HelpPage, is_incomplete: bool) -> dict[str, Any]:
    described = {"name": name, "help": told, "option": page.options, "positional": page.positionals}
    return described | ({"weight": 0.0} if is_incomplete else {})


def _page(words: list[str], seconds: float) -> HelpPage:
    """The program's page; --help first, and -h where that shows no usage (git opens a manual for --help)."""
    pages: list[HelpPage] = []
    for flag in ("--help", "-h"):
        page = read_help(
            _printed([*words, flag], seconds), PurePath(words[0]).name + "".join(f" {w}" for w in words[1:])
        )
        if page.has_usage and not page.is_empty:
            return page
        pages.append(page)
    return next((page for page in pages if not page.is_empty), pages[0])


def _printed(command: list[str], seconds: float) -> str:
    # Nothing may wait for a key, ask for a name, colour its words or break its lines by a terminal that is none.
    quiet = {"PAGER": "cat", "GIT_PAGER": "cat", "MANPAGER": "cat", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    try:
        printed = ended(command, seconds, MOST_BYTES, os.environ | quiet).printed
    except TimeoutError as error:
        raise DataError(
            f"{' '.join(command)} did not end within {seconds:g} s.",
            means="It may not know the option, and have begun its work.",
            remedy="Give a longer --time-limit, or save its help to a file and give --help-text FILE.",
        ) from error
    except OSError as error:
        raise DataError(
            f"{command[0]} cannot be run: {error.strerror or error}.",
            means="Its help is what the grammar would be read from.",
            remedy="Correct its name or path, or save its help to a file and give --help-text FILE.",
        ) from error
    return printed.decode("utf-8", "replace")
