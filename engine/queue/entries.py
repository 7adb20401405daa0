"""What waits to be run: one file each in `$FINETUI_HOME/queue/`, in the order in which they were added.

    N.json       an entry: the whole recipe, and once it was started the run's folder
    queue.lock   held while entries are added, removed, taken or cleared
    runner.*     who works on the queue (`engine/queue/runner`)

An entry holds what was decided about it; how its run stands is read from the run itself. Not here: starting anything.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from data.file_modes import make_private
from engine.errors import RunDirError
from engine.events import WorkerFailed
from engine.liveness import liveness
from engine.run_dir import RunDir, finetui_home, write_atomic

MAX_ENTRIES = 1000
"""That wait at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run that waits, or was started from here.

    `recipe` is the whole recipe as TOML, so that later edits of its file change nothing; `base_dir` is where its
    relative paths start, `earlier` the folder of a run that it repeats, `visible_cards` CUDA_VISIBLE_DEVICES as it was
    when it was added. `run` is the folder of its run, empty while it waits. `fault` tells why it could not be started.
    """

    number: int
    name: str
    source: str
    recipe: str
    base_dir: str
    added: float
    earlier: str = ""
    visible_cards: str | None = None
    sweep: str = ""
    point: tuple[tuple[str, str], ...] = ()
    """(field, value) of a sweep's grid."""
    making: str = ""
    """Name under which its run's folder is made: by it is known what a runner that was killed over it has left."""
    run: str = ""
    fault: Mapping[str, Any] = field(default_factory=dict)
    """happened, means, remedy, exit_code."""
    damage: str = ""
    """Why the file cannot be read; nothing else is known of the entry then."""

    @property
    def is_waiting(self) -> bool:
        return not (self.run or self.fault or self.damage)

    @property
    def run_dir(self) -> RunDir | None:
        """Its run, None while it has none or once the folder was removed."""
        return RunDir(Path(self.run)) if self.run and Path(self.run).is_dir() else None

    @property
    def is_going_on(self) -> bool:
        """Whether processes of this machine, or of one that can be seen from here, work on its run."""
        run = self.run_dir
        return run is not None and _liveness(run) == "alive"

    @property
    def was_started(self) -> bool:
        """Whether a supervisor ever took charge of its run."""
        run = self.run_dir
        return run is not None and (run.supervisor.exists() or run.event_file("supervisor").exists())


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue below `folder`."""

    folder: Path

    @staticmethod
    def here() -> Queue:
        return Queue(finetui_home() / "queue")

    def entries(self) -> list[Entry]:
        """Every entry, the oldest first; those that cannot be read are among them and say why."""
        return [self.read(number) for number in self._numbers()]

    def waiting(self) -> list[Entry]:
        return [entry for entry in self.entries() if entry.is_waiting]

    def read(self, number: int) -> Entry:
        """One entry; a file that is gone or broken is an entry with its damage."""
        try:
            values = json.loads(self._file(number).read_text(encoding="utf-8"))
            point = tuple((str(name), str(value)) for name, value in values.pop("point"))
            values.pop("number")
            values.pop("damage", None)
            return Entry(number=number, point=point, **values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            why = f"{self._file(number)} cannot be read: {getattr(fault, 'strerror', None) or fault}"
            return Entry(number, "", "", "", "", 0.0, damage=why)

    def add(self, wanted: Sequence[Entry]) -> list[Entry]:
        """Put entries at the end, all or none; they come back with their numbers. Raises RunDirError."""
        added: list[Entry] = []
        with self.locked():
            numbers = self._numbers()
            if sum(entry.is_waiting for entry in self.entries()) + len(wanted) > MAX_ENTRIES:
                raise RunDirError(
                    f"More than {MAX_ENTRIES} runs would wait in the queue.",
                    means="Nothing was added.",
                    remedy="Take some out first: finetui queue remove N, or finetui queue clear.",
                )
            try:
                for number, entry in enumerate(wanted, max(numbers, default=0) + 1):
                    added.append(replace(entry, number=number, added=time.time()))
                    self.write(added[-1])
            except RunDirError:
                for entry in added:
                    self._file(entry.number).unlink(missing_ok=True)
                raise
        return added

    def write(self, entry: Entry) -> None:
        """Replace an entry's file. Raises RunDirError when the disk refuses it."""
        write_atomic(self._file(entry.number), json.dumps(asdict(entry), indent=1))

    def remove(self, number: int) -> Entry:
        """Take an entry out. Raises RunDirError when there is none, or its run goes on."""
        with self.locked():
            if number not in self._numbers():
                known = ", ".join(map(str, self._numbers()[:20]))
                raise RunDirError(
                    f"The queue has no entry {number}.",
                    means="Nothing was removed.",
                    remedy=f"Its entries: {known}." if known else "It is empty.",
                )
            entry = self.read(number)
            if entry.is_going_on:
                raise RunDirError(
                    f"Entry {number} is running, as {Path(entry.run).name}.",
                    means="It was not removed.",
                    remedy=f"End the run first: finetui stop {RunDir(Path(entry.run)).typed}",
                )
            self._file(number).unlink(missing_ok=True)
        return entry

    def clear(self, *, waiting: bool) -> list[Entry]:
        """Take out every entry that waits, or every one that is over; what was taken out."""
        with self.locked():
            gone = [each for each in self.entries() if each.is_waiting == waiting and not each.is_going_on]
            for entry in gone:
                self._file(entry.number).unlink(missing_ok=True)
        return gone

    def mark_making(self, entry: Entry, name: str) -> Entry | None:
        """The run of an entry is about to be made under that name. None where somebody removed the entry meanwhile."""
        return self._marked(entry, making=name)

    def mark_run(self, entry: Entry, run: RunDir) -> Entry | None:
        """An entry was taken: its run's folder is made. None where somebody removed it meanwhile."""
        return self._marked(entry, run=str(run.path))

    def mark_fault(self, entry: Entry, fault: WorkerFailed) -> Entry | None:
        """An entry cannot be started."""
        told = {name: getattr(fault, name) for name in ("happened", "means", "remedy", "exit_code")}
        return self._marked(entry, fault=told)

    def _marked(self, entry: Entry, **values: Any) -> Entry | None:
        with self.locked():
            if entry.number not in self._numbers():
                return None
            marked = replace(entry, **values)
            self.write(marked)
        return marked

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the queue's files, among threads and processes. Raises RunDirError."""
        fd = -1
        try:
            make_private(self.folder)
            fd = os.open(self.folder / "queue.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as fault:
            if fd >= 0:
                os.close(fd)
            raise RunDirError(
                f"{self.folder} cannot be used: {fault.strerror}.",
                means="The queue is as it was.",
                remedy="Free space on that disk, or make the folder writable, and try again.",
            ) from fault
        try:
            yield
        finally:
            os.close(fd)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.json"

    def _numbers(self) -> list[int]:
        found = (re.fullmatch(r"(\d{1,9})\.json", path.name) for path in self.folder.glob("*.json"))
        return sorted(int(match[1]) for match in found if match)


def _liveness(run: RunDir) -> str:
    try:
        return liveness(run)
    except RunDirError:  # a torn file names nobody
        return "dead"
