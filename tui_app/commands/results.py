"""`finetui eval`, `export`, `chat` and so on: handed over with all their words to `tui_app/result_commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from tui_app.result_commands import COMMANDS as RESULT_COMMANDS
from tui_app.result_commands import carry_out


def result(name: str, options: argparse.Namespace) -> int:
    return carry_out(name, options.words)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {name: partial(result, name) for name in RESULT_COMMANDS}
