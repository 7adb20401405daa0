"""`finetui data …`: everything about rows before they are trained on. Parses and hands over to one command.

Not here: the commands (`data_commands/`) and the options that several of them share (`data_options`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from data.errors import DataError
from tui_app.command_parser import CommandParser, NamedParser, ended_as_by_ctrl_c
from tui_app.data_commands import data_commands
from tui_app.data_options.rows import reading_help
from tui_app.data_text.in_options import in_options
from tui_app.help_page import HelpPage

USAGE = "finetui data COMMAND ..."


def data_parser() -> argparse.ArgumentParser:
    """Every command of `finetui data` with its options."""
    parser = NamedParser(
        prog="finetui data",
        usage=USAGE,
        description="From any rows to rows worth training on.",
        epilog=reading_help(),
        formatter_class=partial(HelpPage, max_help_position=14),
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(
        dest="data_command",
        title="commands, each with --help",
        prog="finetui data",
        required=True,
        parser_class=CommandParser,
    )
    for name, module in data_commands().items():
        usage = f"finetui data {name} {module.USAGE}"
        command = commands.add_parser(name, help=module.HELP, description=module.HELP, usage=usage)
        module.add(command)
        command.set_defaults(run=module.run)
    return parser


def main(given: Sequence[str]) -> int:
    """Carry out one command; its exit code. Raises FinetuiError."""
    options = data_parser().parse_args(list(given))
    with ended_as_by_ctrl_c():
        try:
            return int(options.run(options))
        except DataError as error:
            in_options(error, options.data_command)
            raise
