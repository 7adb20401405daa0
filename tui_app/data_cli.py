"""`finetui data …`: everything about rows before they are trained on. Parses and hands over to one command.

Not here: the commands (`data_commands/`) and the options that several of them share (`data_options`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tui_app.data_commands import data_commands

USAGE = "finetui data COMMAND ..."


def data_parser() -> argparse.ArgumentParser:
    """Every command of `finetui data` with its options."""
    parser = argparse.ArgumentParser(
        prog="finetui data", usage=USAGE, description="From any rows to rows worth training on."
    )
    commands = parser.add_subparsers(
        dest="data_command", title="commands, each with --help", metavar="COMMAND", prog="finetui data", required=True
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
    return int(options.run(options))
