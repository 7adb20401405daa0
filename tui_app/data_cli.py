"""`finetui data …`: everything about rows before they are trained on. Parses and hands over to one command.

Not here: the commands (`data_commands/`) and the options that several of them share (`data_options`).
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from data.errors import DataError
from data.nearest import nearest
from tui_app.data_commands import data_commands
from tui_app.data_options.rows import reading_help
from tui_app.data_text.in_options import in_options
from tui_app.help_page import HelpPage
from tui_app.plain import one_line

USAGE = "finetui data COMMAND ..."


class CommandParser(argparse.ArgumentParser):
    """A command's own parser: it refuses what it does not know itself, so that the usage shown is the command's."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse does; ends the program with exit code 2 for an argument that the command does not take."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = [found[0] for word in unknown if (found := self._like(word))]
            meant = f"; perhaps {' and '.join(dict.fromkeys(near))} is meant" if near else ""
            self.error(f"unrecognized arguments: {' '.join(map(one_line, unknown))}{meant}")
        return options, unknown

    def _like(self, word: str) -> list[str]:
        names = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        near = nearest(word.partition("=")[0].strip("-"), names) if word.startswith("-") else []
        return [f"--{name}" for name in near]


def data_parser() -> argparse.ArgumentParser:
    """Every command of `finetui data` with its options."""
    parser = argparse.ArgumentParser(
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


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a closed terminal, end the command as Ctrl-C does: nothing half-written is left."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
                before[number] = signal.signal(number, _as_ctrl_c)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt
