"""What is asked of a damaged run folder, and what counts as an answer.

Each command works, or ends with an error of ours that says what happened and what to do, under its exit code; never
with a traceback. Not here: the damage.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EXIT_CODES
from engine.event_log import EventReader, whole_lines
from engine.events import Stamped
from tui_app import cli

PHASES = (
    "waiting",
    "preparing",
    "training",
    "paused",
    "evaluating",
    "exporting",
    "finished",
    "stopped",
    "failed",
    "died",
    "damaged",
)
UNSURE = ("unknown", "as of")
"""How the phase begins of a run that only another host could tell of."""
READING: Mapping[str, tuple[str, ...]] = {
    "status": ("status", "{run}"),
    "status --json": ("status", "{run}", "--json"),
    "runs": ("runs",),
    "runs --json": ("runs", "--json"),
    "attach": ("attach", "{run}", "--plain"),
    "compare": ("compare", "{run}", "{other}", "--plain"),
    "report": ("report", "{run}"),
    "replay": ("replay", "{run}", "--dry-run"),
}
"""Commands that only read the folder: no process is started, nothing is trained."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended, and what it said."""

    exit_code: int
    out: str
    err: str


@contextlib.contextmanager
def at_home(home: Path) -> Iterator[None]:
    """Runs are looked for below `home` meanwhile."""
    before = os.environ.get("FINETUI_HOME")
    os.environ["FINETUI_HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FINETUI_HOME"]
        else:
            os.environ["FINETUI_HOME"] = before


def ask(words: Sequence[str]) -> Answer:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            exit_code = cli.main(list(words))
        except SystemExit as ended:
            exit_code = ended.code if isinstance(ended.code, int) else 1
    return Answer(exit_code, out.getvalue(), err.getvalue())


def faults_of(answer: Answer) -> str:
    """What is wrong with how a command ended; "" where nothing is."""
    said = answer.out + answer.err
    if "Traceback (most recent call last)" in said or "This is a defect" in said or "hit an unexpected" in said:
        return f"a defect on the screen: {said[-300:]}"
    if answer.exit_code not in (0, *EXIT_CODES.values()):
        return f"exit code {answer.exit_code}"
    if answer.exit_code and not said.strip():
        return f"exit code {answer.exit_code} without a word"
    if answer.exit_code and answer.err.startswith("finetui: ") and len(answer.err.strip().splitlines()) < 2:
        return f"an error that does not say what to do: {answer.err}"
    return ""


def whole_events(path: Path) -> list[Stamped]:
    """The events that a file holds in whole lines, read line by line without the product's reader."""
    return list(whole_lines(path.read_bytes().rpartition(b"\n")[0])) if path.is_file() else []


def lost_events(events: Path) -> str:
    """Which events that lie whole on the disk the product's reader leaves out, or puts in; "" for none."""
    read: dict[str, list[Stamped]] = {}
    for stamped in EventReader(events).poll():
        read.setdefault(stamped.writer, []).append(stamped)
    for path in sorted(events.glob("*.jsonl")):
        there = whole_events(path)
        if [each.seq for each in there] != [each.seq for each in read.get(path.stem, [])]:
            return f"{path.name}: {len(there)} whole events on the disk, {len(read.get(path.stem, []))} read"
    return ""


def untrue_status(answer: Answer) -> str:
    """What `status --json` says that cannot be; "" where it holds, or where it ended with an error."""
    if answer.exit_code:
        return ""
    try:
        phase = str(json.loads(answer.out)["phase"])
    except (ValueError, KeyError, TypeError) as fault:
        return f"status --json is no JSON: {fault}"
    return "" if phase in PHASES or phase.startswith(UNSURE) else f"status tells the phase {phase!r}"


def complaints(home: Path, run: str, other: str, commands: Sequence[str]) -> list[str]:
    """Everything wrong with what these commands say of a run of that home; `other` is a sound one beside it."""
    found = []
    with at_home(home):
        for name in commands:
            answer = ask([word.format(run=run, other=other) for word in READING[name]])
            told = faults_of(answer) or (untrue_status(answer) if name == "status --json" else "")
            if not told and name.startswith("runs") and (answer.exit_code or other not in answer.out):
                told = f"the sound run beside it is hidden (exit code {answer.exit_code}): {answer.err[-200:]}"
            if told:
                found.append(f"{name}: {told}")
    return found
