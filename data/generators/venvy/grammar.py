"""The command line of venvy 1.1.1 (PyPI), as far as its seven everyday commands go, declared once and used to check.

The declaration follows the program's click declarations: every option, short form, choice and positional. `parse`
reads a command the way click does, except that it never looks at the file system.
"""

from __future__ import annotations

from data.command_line.grammar import Command, Grammar, GrammarError, Option, Positional
from data.command_line.parsing import Parsed
from data.command_line.parsing import parse as parse_by

__all__ = ["COMMANDS", "GRAMMAR", "HELP", "PROGRAM", "PROGRAM_OPTIONS", "VERSION", "GrammarError", "Option", "parse"]

VERSION = "1.1.1"
PROGRAM = "venvy"

HELP = Option("--help")
# The program adds --json to every command that has none of its own.
JSON = Option("--json")

PROGRAM_OPTIONS = (
    Option("--version"),
    Option("--verbose", "-v"),
    JSON,
    Option("--yes", "-y"),
    Option("--quiet", "-q"),
    HELP,
)

COMMANDS = {
    command.name: command
    for command in (
        Command(
            "register",
            (Option("--project", "-p", "path"), Option("--name", "-n", "text"), JSON, HELP),
            (Positional("venv_path", "path", "?"),),
        ),
        Command(
            "ls",
            (
                Option("--sort", "-s", "choice", ("name", "recent", "size", "project")),
                Option("--format", "-f", "choice", ("table", "json", "simple")),
                Option("--hide-missing"),
                JSON,
                HELP,
            ),
        ),
        Command("current", (JSON, HELP)),
        Command(
            "cleanup", (Option("--days", "-d", "integer"), Option("--dry-run"), Option("--force", "-f"), JSON, HELP)
        ),
        Command(
            "scan",
            (Option("--home"), Option("--path", "-p", "path"), Option("--depth", "-d", "integer"), JSON, HELP),
        ),
        Command("stats", (JSON, HELP)),
        Command("shell-hook", (Option("--shell", None, "choice", ("bash", "zsh", "fish", "powershell")), JSON, HELP)),
    )
}

GRAMMAR = Grammar(PROGRAM, tuple(COMMANDS.values()), PROGRAM_OPTIONS, VERSION)


def parse(command: str) -> Parsed:
    """Take a command line apart. Raises GrammarError when venvy would not accept it, or it is not declared here."""
    return parse_by(GRAMMAR, command)
