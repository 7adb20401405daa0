"""Commands to a running run: one file each in `control/`, claimed by rename, acknowledged by an event.

The process that does the work at the moment claims them: the attempt while it trains, the supervisor
otherwise. `abort` is for the supervisor alone. Signals are not here.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from engine.event_log import EventWriter
from engine.events import CommandAcknowledged
from engine.run_dir import RunDir, write_atomic

COMMANDS = ("stop", "save", "pause", "continue", "abort")


@dataclass(frozen=True, slots=True)
class Command:
    """`command` is one of `COMMANDS`, or `unreadable` for a file that holds none of them."""

    command_id: str
    command: str


def send(run: RunDir, command: str) -> Command:
    """Leave a command for the run; the id is what its acknowledgement will name."""
    if command not in COMMANDS:
        raise ValueError(f"unknown command {command!r}")
    sent = Command(f"{time.time_ns():020d}-{secrets.token_hex(3)}", command)
    write_atomic(run.control / f"{sent.command_id}.json", json.dumps({"command": command}))
    return sent


def is_waiting(run: RunDir, command: str) -> bool:
    """Whether such a command was sent and nobody has taken it yet."""
    for path in run.control.glob("*.json"):
        try:
            if json.loads(path.read_bytes())["command"] == command:
                return True
        except (OSError, ValueError, KeyError, TypeError):  # taken at this moment, or no command
            continue
    return False


def claim(run: RunDir, *, only: tuple[str, ...] = COMMANDS) -> list[Command]:
    """Take the waiting commands, oldest first; each is handed out once, to one process."""
    claimed = []
    for path in sorted(run.control.glob("*.json")):
        try:
            raw: Any = json.loads(path.read_bytes())
            name = raw["command"] if raw["command"] in COMMANDS else "unreadable"
        except (OSError, ValueError, KeyError, TypeError):
            name = "unreadable"
        if name in COMMANDS and name not in only:
            continue
        try:
            path.rename(path.with_suffix(".claimed"))
        except FileNotFoundError:
            continue
        claimed.append(Command(path.stem, name))
    return claimed


def refuse_leftovers(run: RunDir, writer: EventWriter) -> None:
    """Commands that an earlier supervisor never saw were not meant for this one."""
    for command in claim(run):
        writer.write(
            CommandAcknowledged(
                command_id=command.command_id,
                command=command.command,
                status="refused",
                reason="it was meant for an earlier process",
            )
        )
