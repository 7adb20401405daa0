"""The commands for what comes after training: `finetui eval`, `export` and so on. Each module here is one.

A command is a module with
  HELP         one line, the same that `finetui --help` shows
  USAGE        its arguments as the usage line shows them: "[OPTIONS] RUN"
  add(parser)  its arguments
  run(options) does it; the exit code
Its name is the module's; `eval` is in `evaluate`. Only the module of the command that was called is loaded.
"""

from __future__ import annotations

import argparse
import importlib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from tui_app.command_parser import CommandParser, ended_as_by_ctrl_c

COMMANDS: Mapping[str, tuple[str, str]] = {
    "eval": ("evaluate", "score base, tuned model and exports on the same rows"),
    "report": ("report", "a run on one page, with its curves (md, html)"),
    "export": ("export", "merged, gguf, ollama, notebook or hub, checked"),
    "chat": ("chat", "talk to the tuned model, and to its base beside it"),
    "compare": ("compare", "runs side by side: recipe, curves, scores, memory"),
    "sweep": ("sweep", "a recipe once for each value of a field, in turn"),
    "queue": ("queue", "runs that wait for each other: add, list, remove"),
}
"""Command -> (module, what `finetui --help` says of it); they stand here so that no module is loaded for the list."""


class ResultCommand(Protocol):
    """What every module in this folder offers."""

    HELP: str
    USAGE: str

    def add(self, parser: ArgumentParser) -> None:
        """Its arguments."""

    def run(self, options: Namespace) -> int:
        """Do it; the exit code. Raises FinetuiError."""


def command_module(name: str) -> ResultCommand:
    """The module behind a command."""
    return cast(ResultCommand, importlib.import_module(f"{__name__}.{COMMANDS[name][0]}"))


def parser_of(name: str) -> CommandParser:
    """What a command takes."""
    module = command_module(name)
    parser = CommandParser(
        prog=f"finetui {name}",
        usage=f"finetui {name} {module.USAGE}",
        description=module.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add(parser)
    return parser


def carry_out(name: str, words: Sequence[str]) -> int:
    """Parse the words behind a command and do it; its exit code. Raises FinetuiError."""
    options = parser_of(name).parse_args(list(words))
    with ended_as_by_ctrl_c():
        return int(command_module(name).run(options))
