"""What every command with a parser of its own shares: how it refuses words, and how signals end it.

Not here: the commands (`data_commands`, `result_commands`).
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from data.nearest import nearest
from tui_app.help_examples import EXAMPLES
from tui_app.plain import one_line

SCREEN_LINES = 24


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

    def format_help(self) -> str:
        """The page with the command's example at the end, where that leaves it within a screen."""
        page = super().format_help()
        example = EXAMPLES.get(self.prog.removeprefix("finetui "), "")
        for told in (f"{page}\nexample: {example}\n", f"{page}example: {example}\n"):
            if example and example not in page and told.count("\n") <= SCREEN_LINES:
                return told
        return page

    def _like(self, word: str) -> list[str]:
        names = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        near = nearest(word.partition("=")[0].strip("-"), names) if word.startswith("-") else []
        return [f"--{name}" for name in near]


class NamedParser(argparse.ArgumentParser):
    """A parser of commands by name: a misspelled one is answered with the nearest."""

    is_verbose = False
    """Whether --version is to tell all that a report of a defect needs."""

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            near = nearest(str(value), list(action.choices))
            meant = f"; perhaps {self.prog} {near[0]} is meant" if near else f"; {self.prog} --help lists them"
            self.error(f"there is no command {one_line(str(value))!r}{meant}")
        super()._check_value(action, value)


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
