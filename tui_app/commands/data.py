"""`finetui data`: handed over with all its words. Its commands are those of `tui_app/data_commands`."""

from __future__ import annotations

import argparse

from tui_app.data_cli import main


def data(options: argparse.Namespace) -> int:
    return main(options.words)


COMMANDS = {"data": data}
