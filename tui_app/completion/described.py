"""The whole command line as plain values, kept in a file: a Tab is answered from it without loading any command.

It is taken from the parsers themselves, so a new command or option is completed unasked; what a word may be follows
from its metavar (`KINDS`). The file is written anew as soon as a module of the command line has changed. Not here:
answering (`answering`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RunDirError
from engine.run_dir import cache_dir, write_atomic

if TYPE_CHECKING:
    import argparse

VERSION = 1
KINDS: Mapping[str, str] = {
    "RUN": "run",
    "RUN|MODEL": "run model",
    "RUN|SWEEP": "run",
    "SIDE": "side run model",
    "START": "preset run recipe",
    "PRESET|RECIPE|RUN": "preset run recipe",
    "R": "preset run recipe",
    "PRESET": "preset",
    "MODEL": "model",
    "M": "model",
    "ROWS": "rows",
    "ROWS=WEIGHT": "rows",
    "KEY=VALUE": "field",
    "SECTION.KEY=VALUE": "field",
    "KEY=V,V…": "field",
    "CARD": "card",
    "SIZE|CARD": "card",
    "METHOD": "method",
    "TERM": "term",
    "SETTING": "setting",
    "CHECK,…": "check,",
    "KIND[,KIND]": "export,",
    "FORM": "form",
    "GENERATOR": "generator",
    **dict.fromkeys(("FILE", "PATH", "OUT"), "file"),
    **dict.fromkeys(("DIR", "FOLDER"), "folder"),
}
"""Metavar -> the kinds of words that it stands for; one that ends with a comma takes several, joined by commas."""
OPTIONS: Mapping[str, str] = {
    "--size": "size",
    "--metric": "metric",
    "--format": "format",
    "data generate name": "generator",
    "data catalog name": "use_case",
}
"""Where the metavar alone does not say it: an option, or a command and its argument."""
WRITTEN_IN = (
    "",
    "commands",
    "data_commands",
    "data_options",
    "desk_commands",
    "result_commands",
    "completion",
    "steps",
)
"""Folders of this package whose modules make the command line what it is."""


def described() -> dict[str, Any]:
    """`commands` (a tree), `jobs` (by scheduler) and `words` (kind -> word -> sentence), from a fresh file."""
    path, stamp = cache_dir() / "completion.json", stamp_of_the_code()
    try:
        found = json.loads(path.read_bytes())
        if found["stamp"] == stamp:
            return dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    fresh = {"stamp": stamp, **describe()}
    with contextlib.suppress(RunDirError, OSError):  # a full or read-only disk makes a Tab slower, not wrong
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, json.dumps(fresh))
    return fresh


def stamp_of_the_code() -> list[int]:
    """Changes with every module that the command line is written in, and with where it is installed."""
    package = Path(__file__).parents[1]
    folders = [os.path.join(package, name) for name in WRITTEN_IN]  # noqa: PTH118 - of a hundred files at each Tab
    folders.append(os.path.join(package.parent, "presets", "catalog"))  # noqa: PTH118
    newest, size, number = 0, 0, 0
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".py", ".toml")):
                    seen = entry.stat()
                    newest, size, number = max(newest, seen.st_mtime_ns), size + seen.st_size, number + 1
    return [VERSION, newest, size, number]


def describe() -> dict[str, Any]:
    """The same, from the parsers and lists of the program. Takes about a second."""
    from engine.jobs.engines import JOB_ENGINES
    from tui_app.cli import build_parser
    from tui_app.command_modules import COMMANDS, job_parser, parser_of
    from tui_app.completion.words import words
    from tui_app.data_cli import data_parser

    tree = parser_values(build_parser(), "")
    for name in COMMANDS:
        tree["commands"][name] |= parser_values(parser_of(name, [name]), name)
    tree["commands"]["data"] |= parser_values(data_parser(), "data")
    jobs = {name: parser_values(job_parser(name), "export") for name in JOB_ENGINES}
    return {"commands": tree, "jobs": jobs, "words": words()}


def parser_values(parser: argparse.ArgumentParser, place: str) -> dict[str, Any]:
    """A parser as plain values; `place` is its command."""
    import argparse

    told: dict[str, Any] = {"arguments": [], "commands": {}}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            sentences = {each.dest: each.help or "" for each in action._get_subactions()}
            for name, inner in action.choices.items():
                values = parser_values(inner, f"{place} {name}".strip())
                told["commands"][name] = {"help": sentences.get(name, ""), **values}
        else:
            told["arguments"].append(_argument_values(action, place))
    return told


def _argument_values(action: argparse.Action, place: str) -> dict[str, Any]:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    name = action.option_strings[-1] if action.option_strings else f"{place} {action.dest}"
    values: dict[str, Any] = {
        "options": list(action.option_strings),
        "name": action.dest,
        "nargs": action.nargs,
        "kind": OPTIONS.get(name) or KINDS.get(metavar, ""),
    }
    if action.choices is not None:
        values["choices"] = [str(each) for each in action.choices]
    if action.help and action.help != "==SUPPRESS==":
        values["help"] = action.help.replace("%%", "%")
    return values
