"""The commands that have parsers of their own: which module is behind each, and how it is called.

A command is a module of `result_commands/` (what comes after training) or `desk_commands/` (the desk around runs) with
  HELP         one line, the same that `finetui --help` shows
  USAGE        its arguments as the usage line shows them: "[OPTIONS] RUN"
  add(parser)  its arguments
  run(options) does it; the exit code
Only the module of the command that was called is loaded. Not here: commands that start or watch runs (`cli`).
"""

from __future__ import annotations

import argparse
import importlib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from tui_app.command_parser import CommandParser, ended_as_by_ctrl_c

COMMANDS: Mapping[str, tuple[str, str]] = {
    "eval": ("result_commands.evaluate", "score base, tuned model and exports on the same rows"),
    "report": ("result_commands.report", "a run on one page, with its curves (md, html)"),
    "export": ("result_commands.export", "merged, gguf, ollama, notebook, hub; a Slurm or SkyPilot job"),
    "chat": ("result_commands.chat", "talk to the tuned model, and to its base beside it"),
    "compare": ("result_commands.compare", "runs side by side: recipe, curves, scores, memory"),
    "sweep": ("result_commands.sweep", "a recipe once for each value of a field, in turn"),
    "queue": ("result_commands.queue", "runs that wait for each other: add, list, remove"),
    "rename": ("desk_commands.rename", "another name for a run that is over"),
    "clean": ("desk_commands.clean", "what could be freed on the disk, and freeing what is named"),
    "config": ("desk_commands.config", "your defaults: show, set, edit them"),
    "trust": ("desk_commands.trust", "allow by name the Python code of a model to run"),
    "completion": ("desk_commands.completion", "Tab completion for bash, zsh and fish"),
    "explain": ("desk_commands.explain", "a word of fine-tuning in two sentences"),
    "doctor": ("desk_commands.doctor", "check this machine and say how to mend it"),
}
"""Command -> (module, what `finetui --help` says of it); they stand here so that no module is loaded for the list."""


class CommandModule(Protocol):
    """What every such module offers."""

    HELP: str
    USAGE: str

    def add(self, parser: ArgumentParser) -> None:
        """Its arguments."""

    def run(self, options: Namespace) -> int:
        """Do it; the exit code. Raises FinetuiError."""


def command_module(name: str) -> CommandModule:
    """The module behind a command."""
    return cast(CommandModule, importlib.import_module(f"tui_app.{COMMANDS[name][0]}"))


def parser_of(name: str, words: Sequence[str] = ()) -> CommandParser:
    """What a command takes; its words decide only for `export`, whose jobs have options of their own."""
    if name == "export" and (engine := _job_engine(words)):
        return job_parser(engine)
    module = command_module(name)
    parser = CommandParser(
        prog=f"finetui {name}",
        usage=f"finetui {name} {module.USAGE}",
        description=module.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add(parser)
    return parser


def carry_out(name: str, words: Sequence[str]) -> int:
    """Parse the words behind a command and do it; its exit code. Raises FinetuiError."""
    parser = parser_of(name, words)
    options = parser.parse_args(list(words))
    with ended_as_by_ctrl_c():
        return int((parser.get_default("carry_out") or command_module(name).run)(options))


def job_parser(engine: str) -> CommandParser:
    """What `finetui export … --to ENGINE` takes for a scheduler."""
    from tui_app.result_commands import export_job

    parser = CommandParser(
        prog=f"finetui export --to {engine}",
        usage=f"finetui export {export_job.USAGE.format(engine)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.set_defaults(carry_out=export_job.run)
    export_job.add(parser, engine)
    return parser


def _job_engine(words: Sequence[str]) -> str | None:
    from tui_app.result_commands.export_job import engine_asked

    return engine_asked(words)
