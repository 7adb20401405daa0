"""How a page of help that lists commands is laid out. Not here: the commands (`cli`, `data_cli`)."""

from __future__ import annotations

import argparse


class HelpPage(argparse.RawDescriptionHelpFormatter):
    """Commands without a line above them that only says COMMAND: the page fits 24 lines."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        self._indent()
        told = "".join(super(HelpPage, self)._format_action(each) for each in action._get_subactions())
        self._dedent()
        return told

    def format_help(self) -> str:
        """The page, whose last paragraph follows without an empty line for the same reason."""
        page = super().format_help()
        before, _, last = page.rstrip().rpartition("\n\n")
        return f"{before}\n{last}\n" if before else page  # a usage line comes through here, too
