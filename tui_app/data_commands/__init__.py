"""The commands behind `finetui data`. Each module here is one, found by being here; there is no list to add it to.

A command is a module with
  HELP         one line for the list of commands
  USAGE        its arguments as the usage line shows them: "[OPTIONS] ROWS"
  add(parser)  its arguments
  run(options) does it; the exit code
Its name is the module's, with a hyphen for an underscore. Modules are loaded for `finetui data` only.
"""

from __future__ import annotations

import importlib
import pkgutil
from argparse import ArgumentParser, Namespace
from functools import cache
from typing import Protocol, cast


class DataCommand(Protocol):
    """What every module in this folder offers."""

    HELP: str
    USAGE: str

    def add(self, parser: ArgumentParser) -> None:
        """Its arguments."""

    def run(self, options: Namespace) -> int:
        """Do it; the exit code. Raises FinetuiError."""


@cache
def data_commands() -> dict[str, DataCommand]:
    """Every command by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name.replace("_", "-"): cast(DataCommand, importlib.import_module(f"{__name__}.{name}")) for name in names}
