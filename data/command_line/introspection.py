"""A program written with argparse or click -> its grammar, exactly; and whether its own parser takes commands.

The program is imported in a process of its own (`parser_process`), with a time limit, because importing it runs its
code. Whether somebody agreed to that is for the caller to know.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data.command_line.grammar import Grammar
from data.command_line.running import ended
from data.command_line.toml_file import from_dict
from data.errors import DataError

CHUNK = 5000
"""Commands that one process tries."""
_TOLD_BYTES = 20_000
_CHILD = Path(__file__).with_name("parser_process.py")


@dataclass(frozen=True, slots=True)
class Program:
    """Where a program's parser is: "argparse" or "click", MODULE:ATTRIBUTE, the interpreter that can import it."""

    kind: Literal["argparse", "click"]
    target: str
    python: str = sys.executable
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that the program's own parser refuses: its number from 1, and why."""

    number: int
    reason: str


def introspected(program: Program) -> Grammar:
    """Its grammar. Raises DataError when it cannot be imported, is no such program, or takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        answer = _asked(program, "describe", Path(folder))
    described = answer["grammar"]
    described["program"] = described["program"].removesuffix(".py")
    return from_dict(described, program.target)


def refusals(program: Program, own_name: str, commands: Iterable[list[str]]) -> list[Refusal]:
    """The first few of the commands (words, the program's name `own_name` in front) that its own parser refuses."""
    found: list[Refusal] = []
    done = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chunk: list[str] = []
        length = len(own_name.split())

        def try_chunk() -> None:
            nonlocal done
            (folder / "commands").write_text("\n".join(chunk), encoding="utf-8")
            for number, reason in _asked(program, "verify", folder)["refused"]:
                if len(found) < CHUNK:
                    found.append(Refusal(done + number + 1, reason))
            done += len(chunk)
            chunk.clear()

        for words in commands:
            chunk.append(json.dumps(words[length:]))
            if len(chunk) == CHUNK:
                try_chunk()
        if chunk:
            try_chunk()
    return found


def _asked(program: Program, task: str, folder: Path) -> dict[str, Any]:
    out = folder / "answer.json"
    command = [program.python, "-P", "-W", "ignore", str(_CHILD), task, program.kind, program.target, str(out)]
    try:
        end = ended([*command, str(folder / "commands")], program.seconds, _TOLD_BYTES, only_errors=True)
    except TimeoutError as error:
        raise DataError(
            f"{program.target} did not answer within {program.seconds:g} s.",
            means="Importing it may wait for something, or do its work at once.",
            remedy="Give a longer --time-limit, or name a function that only builds the parser.",
        ) from error
    except OSError as error:
        raise DataError(
            f"{program.python} cannot be started: {error.strerror or error}.",
            means="It is the interpreter that was to import the program.",
            remedy="Correct --python.",
        ) from error
    answer = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    out.unlink(missing_ok=True)
    if "grammar" in answer or "refused" in answer:
        return dict(answer)
    last = end.printed.decode("utf-8", "replace").strip().splitlines()[-1:]
    reason = answer.get("reason") or (last[0] if last else f"it ended with exit code {end.exit_code}")
    raise DataError(
        f"{program.target} gives no command line: {reason}.",
        means=f"Its {program.kind} declarations are what the rows would be made from.",
        remedy="Name it as package.module:attribute, as seen from this folder: the parser or command, or a function "
        "that returns it.",
    )
