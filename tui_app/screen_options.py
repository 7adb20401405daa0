"""The options of every command that may open a screen. Not here: what they mean (`looks`, `display`)."""

from __future__ import annotations

import argparse


def add_looks(command: argparse.ArgumentParser) -> None:
    """How screens are drawn."""
    command.add_argument("--ascii", action="store_true", help="draw with ASCII letters only")
    background = command.add_mutually_exclusive_group()
    background.add_argument("--light", action="store_true", help="colours for a light background")
    background.add_argument("--dark", action="store_true", help="colours for a dark background")
    command.add_argument("--no-diff", action="store_true", help="send whole regions, not only what changed")
