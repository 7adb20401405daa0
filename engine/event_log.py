"""Events on disk: one JSON line each, one writer per file, any number of readers.

A line reads `{"v": 1, "seq": 7, "time": 1763730000.1, "writer": "attempt-1", "event": "StepLogged", ...}`.
Readers ignore fields and events they do not know, so that a run of a newer version can still be looked at.
Does not live here: the event types (`events`) and where the files lie (`run_dir`).
"""

from __future__ import annotations

import dataclasses
import errno
import heapq
import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any

from engine.errors import RunDirError
from engine.event_values import values_of
from engine.events import EVENT_TYPES, Event, Stamped
from engine.last_words import Room
from engine.run_clock import RunClock

VERSION = 1
MAX_LINE_BYTES = 4096
"""One `os.write` each. SIGKILL in the middle of one tears it where it crosses a page of the file: 3 of 250 writers
killed while writing without pause left half a line, and 3 of 40 with lines of 20 kB. Readers and successors cope."""
CHUNK_BYTES = 256 * 1024
LINES_BETWEEN_LOOKS = 32
"""At the clock, while reading in slices: about 0.3 ms."""
BATCH_SECONDS = 0.25
ANCHOR_BYTES = 512
"""By which a file that was replaced is known to be a longer copy of the one that was read."""
LAST_MOMENT = 250_000_000_000.0
"""Unix seconds, in the year 9892: no clock can be asked for the date of much later ones."""


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
        raw = json.loads(line.decode(errors="surrogatepass"))  # text spares json the guess at its encoding
    except RecursionError as fault:
        raise ValueError("not an event line") from fault
    if not isinstance(raw, dict) or not isinstance(raw.get("event"), str):
        raise ValueError("not an event line")
    event_type = EVENT_TYPES.get(raw["event"])
    if event_type is None:
        return None
    try:
        moment = float(raw["time"])
        if not 0 <= moment < LAST_MOMENT:
            raise ValueError(f"no time that a clock shows: {moment}")
        return Stamped(moment, str(raw["writer"]), int(raw["seq"]), event_type(**values_of(event_type, raw)))
    except (KeyError, TypeError, OverflowError) as fault:
        raise ValueError(f"event line lacks a field, or holds a wrong one: {fault}") from fault


def without_secrets(event: Event) -> Event:
    """The event with every secret left out of its texts: errors of libraries may hold what opens something."""
    from engine.redaction import redacted_values  # patterns that only writers need, and no reader waits for

    values = {each.name: getattr(event, each.name) for each in dataclasses.fields(event)}
    changed = {name: clean for name, value in values.items() if (clean := redacted_values(value)) != value}
    return dataclasses.replace(event, **changed) if changed else event


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; a loss that diverged is written as {"nonfinite": "nan"}."""
    return {"nonfinite": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


class EventWriter:
    """The one writer of one event file. A restarted writer ends a torn tail first and counts on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = path.stem
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as fault:
            raise self._unwritable(fault.strerror or str(fault)) from fault
        self._room = Room(self._fd)
        self._is_at_last_words = False
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, MAX_LINE_BYTES * 2, max(0, size - MAX_LINE_BYTES * 2))
        self._torn = bool(tail) and not tail.endswith(b"\n")
        self._seq = max((stamped.seq for stamped in whole_lines(tail)), default=-1) + 1
        self._clock = RunClock.of(path.parent)

    def write(self, event: Event) -> None:
        """Append one event with one `os.write`. Raises RunDirError when the disk refuses it.

        It refuses while there still is room for the few words that come after that.
        """
        line = encode(Stamped(self._clock.now(), self.writer, self._seq, without_secrets(event)))
        if self._torn:
            line = b"\n" + line
        if not self._is_at_last_words and not self._room.keep(os.fstat(self._fd).st_size + len(line)):
            self._is_at_last_words = True
            raise self._unwritable(os.strerror(errno.ENOSPC))
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


def whole_lines(tail: bytes) -> Iterator[Stamped]:
    """The events of a piece of a file; what is no event is left out."""
    for line in tail.split(b"\n"):
        try:
            stamped = decode(line)
        except ValueError:
            continue
        if stamped:
            yield stamped


Key = tuple[float, str, int]
"""What events are ordered by: time, writer, number. The time is never less than that of the line before in its file:
a clock set back keeps a file's own order."""


@dataclass(slots=True)
class _Source:
    """One event file, read in chunks up to its end. Between two calls it holds one event that nobody took yet."""

    path: Path
    inode: int = 0
    size: int = 0
    offset: int = 0
    """Up to which byte the file was read; `tail` and `lines` are the last of those bytes."""
    tail: bytes = b""
    lines: deque[bytes] = field(default_factory=deque)
    opening: bytes = b""
    closing: bytes = b""
    """The first bytes of the file, and the last before `offset`."""
    is_shorter: bool = False
    """Whether there is less of it now than was read: it is being copied anew."""
    last_time: float = -math.inf
    head: tuple[Key, Stamped] | None = None
    num_bad_lines: int = 0
    num_unknown_events: int = 0
    unreadable: str = ""
    """Why it cannot be read, "" where it can."""

    @property
    def num_left(self) -> int:
        """Bytes not turned into events yet; an unfinished line at the end does not count."""
        return self.size - self.offset + sum(map(len, self.lines))

    def look(self) -> None:
        """Note how long the file is now, and begin anew where it was replaced or cut short."""
        self.unreadable = ""
        try:
            stat = fresh_stat(self.path)
        except FileNotFoundError:  # removed since it was listed
            self.size = self.offset
            return
        except OSError as fault:
            self._give_up(fault.strerror or str(fault))
            return
        if not S_ISREG(stat.st_mode):  # to open a pipe would wait for its writer
            self._give_up("it is no regular file")
            return
        if stat.st_ino != self.inode or stat.st_size < self.offset or self.is_shorter:
            self.inode = stat.st_ino
            if not self._goes_on(stat.st_size):
                self.offset, self.tail, self.head, self.opening = 0, b"", None, b""
                self.lines.clear()
        self.is_shorter = stat.st_size < self.offset
        self.size = max(stat.st_size, self.offset)

    def _goes_on(self, size: int) -> bool:
        """Whether a file put in the place of the one that was read, `size` bytes long, holds the same so far.

        A tool that synchronises folders puts a longer copy there, or for a while one that is not whole yet.
        """
        try:
            with self.path.open("rb") as file:
                opening = file.read(ANCHOR_BYTES)
                file.seek(max(self.offset - ANCHOR_BYTES, 0))
                closing = file.read(min(ANCHOR_BYTES, self.offset))
        except OSError:
            return False
        known = self.opening[: self.offset]
        if not size or not known:
            return bool(known)
        if size < self.offset:
            return size >= ANCHOR_BYTES and opening == known
        return opening.startswith(known) and closing == self.closing

    def go_to_end(self) -> None:
        """Go on with the line that the newest end of line begins."""
        self.lines.clear()
        self.tail, self.head = b"", None
        start = max(self.size - 2 * MAX_LINE_BYTES, 0)
        try:
            with self.path.open("rb") as file:
                self.opening = file.read(ANCHOR_BYTES)
                file.seek(start)
                end = file.read(self.size - start)
            self.offset = start + end.rfind(b"\n") + 1
            self.closing = end[: self.offset - start][-ANCHOR_BYTES:]
        except OSError as fault:
            self._give_up(fault.strerror or str(fault))

    def _give_up(self, why: str) -> None:
        self.unreadable, self.size = why, self.offset

    def advance(self, until: float) -> bool:
        """Make the next event the head, None where the file has no more whole lines by now.

        False where bad lines took all the time up to `until`, and more may follow.
        """
        self.head = None
        num_lines = 0
        while self.lines or self._fill():
            line = self.lines.popleft()
            num_lines += 1
            if num_lines % LINES_BETWEEN_LOOKS == 0 and time.perf_counter() > until:
                self.lines.appendleft(line)
                return False
            if not line.strip():
                continue
            try:
                stamped = decode(line)
            except ValueError:
                self.num_bad_lines += 1
                continue
            if stamped is None:
                self.num_unknown_events += 1
                continue
            self.last_time = max(self.last_time, stamped.time)
            self.head = (self.last_time, stamped.writer, stamped.seq), stamped
            return True
        return True

    def _fill(self) -> bool:
        """Read a chunk; whether it brought whole lines."""
        while self.offset < self.size:
            try:
                with self.path.open("rb") as file:
                    file.seek(self.offset)
                    chunk = file.read(min(CHUNK_BYTES, self.size - self.offset))
            except FileNotFoundError:
                return False
            except OSError as fault:
                self._give_up(fault.strerror or str(fault))
                return False
            if not chunk:  # cut short since it was looked at
                return False
            self.opening = self.opening or chunk[:ANCHOR_BYTES]
            self.closing = (self.closing + chunk)[-ANCHOR_BYTES:]
            self.offset += len(chunk)
            *lines, self.tail = (self.tail + chunk).split(b"\n")
            self.tail = self.tail[: 4 * MAX_LINE_BYTES]  # of what is no event, enough to say so
            if lines:
                self.lines.extend(lines)
                return True
        return False


def fresh_stat(path: Path) -> os.stat_result:
    """Of the file as it is now: NFS tells sizes up to a minute old, but asks the server when a file is opened."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # to open a pipe would wait for its writer
    try:
        return os.fstat(opened)
    finally:
        os.close(opened)


@dataclass(slots=True)
class EventReader:
    """Follows every `*.jsonl` in an events folder, whole (`poll`) or in slices (`drain`), in the same order."""

    folder: Path
    _sources: dict[str, _Source] = field(default_factory=dict)

    @property
    def num_bad_lines(self) -> int:
        return sum(source.num_bad_lines for source in self._sources.values())

    @property
    def num_unknown_events(self) -> int:
        return sum(source.num_unknown_events for source in self._sources.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """What of the files is left out and why, in short sentences."""
        told = []
        for name, source in self._sources.items():
            if source.unreadable:
                told.append(f"{name} cannot be read: {source.unreadable}")
            if count := source.num_bad_lines:
                told.append(f"{name}: {count} damaged {'line is' if count == 1 else 'lines are'} left out")
        return tuple(told)

    def poll(self) -> list[Stamped]:
        """Everything that is new, oldest first."""
        return self.drain(math.inf)[0]

    def batches(self, seconds: float = BATCH_SECONDS) -> Iterator[list[Stamped]]:
        """Everything that is new, oldest first, a bounded number at a time: a long history needs little memory."""
        share = 0.0
        while share < 1.0:
            found, share = self.drain(seconds)
            yield found

    def go_to_end(self) -> None:
        """Leave out what lies there now, an unfinished line at the end excepted."""
        for path in sorted(self.folder.glob("*.jsonl")):
            source = self._sources.setdefault(path.name, _Source(path))
            source.look()
            source.go_to_end()

    def drain(self, budget_seconds: float) -> tuple[list[Stamped], float]:
        """What is new, oldest first, as far as it can be read in about that time; the share of bytes read so far.

        The share is 1.0 once everything that lay there at the beginning of the call has been returned. Whatever
        the slices, the files as they are now give the same events in the same order.
        """
        until = time.perf_counter() + budget_seconds
        for path in sorted(self.folder.glob("*.jsonl")):
            self._sources.setdefault(path.name, _Source(path)).look()
        heads: list[tuple[Key, int]] = []
        sources = list(self._sources.values())
        found: list[Stamped] = []
        is_in_time = all([self._push(heads, number, source, until) for number, source in enumerate(sources)])  # noqa: C419
        while heads and is_in_time:
            _, number = heapq.heappop(heads)
            source = sources[number]
            assert source.head is not None
            found.append(source.head[1])
            source.head = None
            if len(found) % LINES_BETWEEN_LOOKS == 0 and time.perf_counter() > until:
                break
            is_in_time = self._push(heads, number, source, until)
        return found, self._share_read()

    def _push(self, heads: list[tuple[Key, int]], number: int, source: _Source, until: float) -> bool:
        is_in_time = source.head is not None or source.advance(until)
        if source.head is not None:
            heapq.heappush(heads, (source.head[0], number))
        return is_in_time

    def _share_read(self) -> float:
        sources = self._sources.values()
        left = sum(source.num_left for source in sources)
        if not left and all(source.head is None for source in sources):
            return 1.0
        return min(1 - left / max(sum(source.size for source in sources), 1), 0.999)


def read_events(folder: Path) -> list[Stamped]:
    """Every event of a run so far, oldest first."""
    return EventReader(folder).poll()
