"""What the log panel shows of a run: its events as lines, and the end of the newest log file, in order of time.

A file is read from its last 64 kB on and then only what is new. Not here: how a line is drawn (`panels/log`).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from engine import events as ev
from engine.events import Stamped
from engine.run_state import RunState
from engine.units import format_bytes
from tui_app.plain import lines
from tui_app.runs.view import LogLine

MAX_LINES = 5_000
TAIL_BYTES = 64 * 1024
BEHIND_BYTES = 4 * TAIL_BYTES
"""Of a file that grows faster than it can be shown; beyond that its middle is left out, and said to be."""
REPEATED = ("{'loss': ", "{'eval_loss': ", "{'train_runtime': ")
"""Beginnings of what the trainer prints at a step; the events say the same."""
BEGINNINGS = (ev.StageStarted, ev.AttemptStarted)
"""Events with which a worker begins, and a log file."""
MAX_LINE_CHARACTERS = 2_000
"""Of a line without an end; the rest is cut off."""


def told(stamped: Stamped, state: RunState) -> list[LogLine]:
    """The log's lines for one event; the message stands first, so that a narrow screen shows it."""
    event = stamped.event
    if isinstance(event, ev.StepLogged):
        norm = "" if event.grad_norm is None else f"  gn {event.grad_norm:.2f}"
        rate = event.num_tokens / max(event.step_seconds, 1e-9)
        text = f"step {event.step}  loss {event.loss:.4f}  lr {event.learning_rate:.1e}{norm}  {rate:,.0f} tok/s"
        return [LogLine(stamped.time, text, "step")]
    return [LogLine(stamped.time, text.strip()) for text in lines(stamped, state)]


class LogTail:
    """The newest file of a log folder, followed; the supervisor's only where there is no other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None
        self._inode = self._offset = 0
        self._rest = b""

    def read(self) -> list[str]:
        """Whole lines written since the last look, of a new file from its last 64 kB on.

        Where more was written than anybody could follow, a line that says so and the last 64 kB of it.
        """
        skipped = 0
        newest = self._newest()
        if newest is None:
            return []
        try:
            with newest.open("rb") as file:
                stat = os.fstat(file.fileno())
                if newest != self.path or stat.st_ino != self._inode or stat.st_size < self._offset:
                    self.path, self._inode, self._rest = newest, stat.st_ino, b""
                    self._offset = max(stat.st_size - TAIL_BYTES, 0)
                elif stat.st_size - self._offset > BEHIND_BYTES:
                    skipped = stat.st_size - TAIL_BYTES - self._offset
                    self._offset, self._rest = stat.st_size - TAIL_BYTES, b""
                file.seek(self._offset)
                chunk = file.read(TAIL_BYTES)
        except OSError:  # removed, or not ours to read
            return []
        self._offset += len(chunk)
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > TAIL_BYTES:
            whole, self._rest = [*whole, self._rest], b""
        told = [_text(line) for line in whole if line.strip()]
        return [f"… {format_bytes(skipped)} of output left out; it is in {self.path.name}", *told] if skipped else told

    def _newest(self) -> Path | None:
        try:
            found = [
                (entry.name != "supervisor.txt", entry.stat().st_mtime, entry.name) for entry in _files(self.folder)
            ]
        except OSError:
            return None
        return self.folder / max(found)[2] if found else None


class RunLog:
    """The newest lines of both, at most `MAX_LINES`."""

    def __init__(self, folder: Path, state: RunState) -> None:
        self.tail = LogTail(folder)
        self._state = state
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._shown: tuple[LogLine, ...] | None = ()

    def add(self, news: Iterable[Stamped]) -> None:
        """Events, oldest first; device samples are no news."""
        newest = deque((each for each in news if not isinstance(each.event, ev.DeviceSampled)), maxlen=MAX_LINES)
        for stamped in newest:
            self._lines.extend(told(stamped, self._state))
            self._shown = None

    def look(self) -> None:
        """Read what the log file got meanwhile."""
        for text in self.tail.read():
            if text.startswith(REPEATED):
                continue
            self._lines.append(LogLine(None, text, "output"))
            self._shown = None

    def tell(self, history: Iterable[Stamped]) -> None:
        """Begin again with this history, oldest first, and what the log file holds.

        No time is known of the file's lines; they stand behind the event with which its worker began.
        """
        self.look()
        output = [each for each in self._lines if each.kind == "output"]
        self._lines.clear()
        newest = deque(history, maxlen=MAX_LINES)
        began = max((at for at, each in enumerate(newest) if isinstance(each.event, BEGINNINGS)), default=-1)
        self.add(islice(newest, began + 1))
        self._lines.extend(output)
        self.add(islice(newest, began + 1, None))
        self._shown = None

    def lines(self) -> tuple[LogLine, ...]:
        if self._shown is None:
            self._shown = tuple(self._lines)
        return self._shown


def _files(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.name.endswith(".txt") and entry.is_file() and entry.stat().st_size]


def _text(line: bytes) -> str:
    """The last state of a line that a progress bar overwrote, at most `MAX_LINE_CHARACTERS` of it."""
    text = line.rstrip(b"\r").rpartition(b"\r")[2] or line
    return text.decode(errors="replace")[:MAX_LINE_CHARACTERS]
