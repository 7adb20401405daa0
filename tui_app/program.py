"""The program's first steps: a Tab of the shell is answered without loading the command line behind it."""

from __future__ import annotations

import os


def main() -> int:
    """What `finetui` starts; the exit code."""
    if "_ARGCOMPLETE" in os.environ:  # as the shell's script sets it
        from tui_app.completion.answering import answer

        answer()
    from tui_app.cli import main as carry_out

    return carry_out()
