"""`finetui eval`, `export`, `explain` and so on: handed over with all their words to their own modules."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from tui_app.command_modules import COMMANDS as WITH_OWN_PARSER
from tui_app.command_modules import carry_out


def result(name: str, options: argparse.Namespace) -> int:
    return carry_out(name, options.words)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {name: partial(result, name) for name in WITH_OWN_PARSER}
