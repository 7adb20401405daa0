"""How a page of help that lists commands is laid out. Not here: the commands (`cli`, `data_cli`)."""

from __future__ import annotations

import argparse

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("begin", ("new", "replay", "resume", "join", "sweep", "queue")),
    ("look", ("status", "attach", "runs", "rename", "clean", "serve")),
    ("steer", ("stop", "save", "pause", "continue")),
    ("after", ("eval", "report", "export", "chat", "compare")),
    ("ask", ("plan", "presets", "schema", "explain", "doctor", "data", "config", "trust", "completion")),
)
"""The program's commands by what they are for. One that is in no group stands in the last one."""
TOGETHER: dict[tuple[str, ...], str] = {
    ("stop", "save", "pause", "continue"): "end it, write a checkpoint, hold it, go on",
    ("sweep", "queue"): "a recipe for many values; runs one after another",
    ("runs", "rename", "clean"): "list them, name one anew, free disk space",
    ("config", "trust", "completion"): "your defaults; code you allow; Tab keys",
    ("presets", "schema", "explain"): "presets here; a recipe's JSON Schema; a word",
}
"""Neighbours in a group that take one line: the commands say it themselves."""
HEADING = "commands:"
NAME_COLUMN, TEXT_COLUMN = 9, 19


class HelpPage(argparse.RawDescriptionHelpFormatter):
    """Commands without a line above them that only says COMMAND, in groups where there are: the page fits 24 lines."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        commands = {each.dest: each.help or "" for each in action._get_subactions()}
        if any(name in commands for _, names in GROUPS for name in names[:1]):
            return grouped(commands)
        self._indent()
        told = "".join(super(HelpPage, self)._format_action(each) for each in action._get_subactions())
        self._dedent()
        return told

    def format_help(self) -> str:
        """The page, whose last paragraph follows without an empty line for the same reason."""
        page = super().format_help()
        if f"\n{HEADING}\n" in page:  # the program's own page: its groups have names, and 24 lines no room
            page = page.replace(f"\n{HEADING}\n", "", 1).replace("\n\n", "\n", 1)
        before, _, last = page.rstrip().rpartition("\n\n")
        return f"{before}\n{last}\n" if before else page  # a usage line comes through here, too


def grouped(commands: dict[str, str]) -> str:
    """A line for each command, the name of its group before the first."""
    in_groups = {name for _, names in GROUPS for name in names}
    others = tuple(name for name in commands if name not in in_groups)
    lines: list[str] = []
    for title, names in (*GROUPS[:-1], (GROUPS[-1][0], (*GROUPS[-1][1], *others))):
        there = [name for name in names if name in commands]
        together = {name: (shared, text) for shared, text in TOGETHER.items() for name in shared}
        for number, name in enumerate(there):
            shared, text = together.get(name, ((name,), commands[name]))
            if name != shared[0]:
                continue
            shared = tuple(each for each in shared if each in commands)
            head = f"{'' if number else title:<{NAME_COLUMN}}{', '.join(shared)}{':' if len(shared) > 1 else ''}"
            lines.append(f"{head:<{TEXT_COLUMN}} {text}" if len(shared) > 1 else f"{head:<{TEXT_COLUMN}}{text}")
    return "\n".join(lines) + "\n"
