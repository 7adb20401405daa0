"""Events on disk: one JSON line each, one writer per file, any number of readers.

A line reads `{"v": 1, "seq": 7, "time": 1763730000.1, "writer": "attempt-1", "event": "StepLogged", ...}`.
Readers ignore fields and events they do not know, so that a run of a newer version can still be looked at.
Does not live here: the event types (`events`) and where the files lie (`run_dir`).
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import RunDirError
from engine.events import EVENT_TYPES, Event, Stamped

VERSION = 1
MAX_LINE_BYTES = 4096
"""One `os.write` each. SIGKILL in the middle of one tears it where it crosses a page of the file: 3 of 250 writers
killed while writing without pause left half a line, and 3 of 40 with lines of 20 kB. Readers and successors cope."""


def encode(stamped: Stamped) -> bytes:
    """One line, newline included. Raises ValueError beyond `MAX_LINE_BYTES`: use a side file."""
    head = {"v": VERSION, "seq": stamped.seq, "time": round(stamped.time, 4), "writer": stamped.writer}
    values = {name: _plain(value) for name, value in dataclasses.asdict(stamped.event).items()}
    body = {"event": type(stamped.event).__name__, **values}
    text = json.dumps(head | body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A file name that is no UTF-8 reaches Python as lone surrogates; escaped, JSON carries them unharmed.
    line = text.encode(errors="backslashreplace") + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"{body['event']} takes {len(line)} bytes; an event holds {MAX_LINE_BYTES} at most")
    return line


def decode(line: bytes) -> Stamped | None:
    """The event of one complete line; None for an event this version does not know. ValueError if broken."""
    try:
        raw = json.loads(line)
    except RecursionError as fault:
        raise ValueError("not an event line") from fault
    if not isinstance(raw, dict) or not isinstance(raw.get("event"), str):
        raise ValueError("not an event line")
    event_type = EVENT_TYPES.get(raw["event"])
    if event_type is None:
        return None
    values = {f.name: _freeze(raw[f.name]) for f in dataclasses.fields(event_type) if f.name in raw}
    try:
        return Stamped(float(raw["time"]), str(raw["writer"]), int(raw["seq"]), event_type(**values))
    except (KeyError, TypeError, OverflowError) as fault:
        raise ValueError(f"event line lacks a field: {fault}") from fault


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; a loss that diverged is written as {"nonfinite": "nan"}."""
    return {"nonfinite": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _freeze(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"nonfinite"}:
        return float(value["nonfinite"])
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


class EventWriter:
    """The one writer of one event file. A restarted writer ends a torn tail first and counts on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = path.stem
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, MAX_LINE_BYTES * 2, max(0, size - MAX_LINE_BYTES * 2))
        self._torn = bool(tail) and not tail.endswith(b"\n")
        self._seq = max((stamped.seq for stamped in _whole_lines(tail)), default=-1) + 1

    def write(self, event: Event) -> None:
        """Append one event with one `os.write`. Raises RunDirError when the disk refuses it."""
        line = encode(Stamped(time.time(), self.writer, self._seq, event))
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError as fault:
            raise self._unwritable(fault.strerror or str(fault)) from fault
        self._torn = written != len(line)
        if self._torn:  # a disk that fills up takes the beginning of a line before it refuses
            raise self._unwritable(os.strerror(errno.ENOSPC))
        self._seq += 1

    def _unwritable(self, why: str) -> RunDirError:
        return RunDirError(
            f"The event file {self.path} cannot be written: {why}.",
            means="The run cannot record what it does, so it stops here; earlier checkpoints are intact.",
            remedy="Free space on that disk (or make it writable), then `finetui resume` the run.",
        )

    def close(self) -> None:
        os.close(self._fd)


def _whole_lines(tail: bytes) -> Iterator[Stamped]:
    for line in tail.split(b"\n"):
        try:
            stamped = decode(line)
        except ValueError:
            continue
        if stamped:
            yield stamped


@dataclass(slots=True)
class _Source:
    path: Path
    inode: int = 0
    offset: int = 0
    tail: bytes = b""
    last_time: float = 0.0


@dataclass(slots=True)
class EventReader:
    """Follows every `*.jsonl` in an events folder. Each `poll` returns what is new, oldest first."""

    folder: Path
    num_bad_lines: int = 0
    num_unknown_events: int = 0
    _sources: dict[str, _Source] = field(default_factory=dict)

    def poll(self) -> list[Stamped]:
        fresh: list[tuple[float, str, int, Stamped]] = []
        for path in sorted(self.folder.glob("*.jsonl")):
            source = self._sources.setdefault(path.name, _Source(path))
            for stamped in self._read(source):
                source.last_time = max(source.last_time, stamped.time)  # a clock set back keeps a file's own order
                fresh.append((source.last_time, stamped.writer, stamped.seq, stamped))
        fresh.sort(key=lambda item: item[:3])
        return [item[3] for item in fresh]

    def _read(self, source: _Source) -> Iterator[Stamped]:
        try:
            with source.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != source.inode or stat.st_size < source.offset:
                    source.inode, source.offset, source.tail = stat.st_ino, 0, b""
                file.seek(source.offset)
                chunk = file.read()
        except FileNotFoundError:  # removed since it was listed
            return
        source.offset += len(chunk)
        *lines, source.tail = (source.tail + chunk).split(b"\n")
        for line in lines:
            if not line.strip():
                continue
            try:
                stamped = decode(line)
            except ValueError:
                self.num_bad_lines += 1
                continue
            if stamped is None:
                self.num_unknown_events += 1
            else:
                yield stamped


def read_events(folder: Path) -> list[Stamped]:
    """Every event of a run so far, oldest first."""
    return EventReader(folder).poll()
