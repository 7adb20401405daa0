"""The detached process that starts what waits in the queue, one run after another, whatever became of the one before.

Run as `python -P -m engine.queue.runner FOLDER`. It holds nothing that is not in files: killed at any moment, the next
one goes on where it was; the runs have supervisors of their own and never notice. Not here: starting this process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.beginning import make, set_going
from engine.errors import RunDirError
from engine.events import Event, WorkerFailed
from engine.hardware import read_hardware
from engine.liveness import HEARTBEAT_SECONDS, ProcessIdentity
from engine.queue.entries import Entry, Queue
from engine.queue.worker import RunnerFiles
from engine.recipe import Recipe
from engine.run_dir import RunDir, runs_root, write_atomic
from engine.run_names import numbered
from engine.starting import MIN_FREE_BYTES, prospect
from engine.worker_edge import at_edge

POLL_SECONDS = 0.2


@dataclass(slots=True)
class Faults:
    """Where the edge of starting an entry leaves what escaped."""

    found: list[WorkerFailed] = field(default_factory=list)

    def write(self, event: Event) -> None:
        assert isinstance(event, WorkerFailed)
        self.found.append(event)


@dataclass(slots=True)
class Runner:
    """One queue in the charge of this process."""

    queue: Queue
    lock: int
    is_ended: bool = False
    _last_beat: float = 0.0
    _told: str = ""

    @property
    def files(self) -> RunnerFiles:
        return RunnerFiles(self.queue)

    def work(self) -> int:
        """Start one entry after another until none waits, or somebody asks for an end. Raises RunDirError."""
        while not self.is_ended:
            self._beat()
            if going := next((entry for entry in self.queue.entries() if entry.is_going_on), None):
                self._say_once(f"waiting for {Path(going.run).name}")
                time.sleep(POLL_SECONDS)
                continue
            if self.files.stop.exists():
                self._say("stopped as asked; what waits goes on waiting")
                self._end()
                return 0
            entry = next((each for each in self.queue.entries() if _is_due(each)), None)
            if entry is None:
                if self._end_if_empty():
                    return 0
                continue
            self._start(entry)
        self._say("ended by a signal; a run that goes on is not touched")
        self._end()
        return 0

    def _start(self, entry: Entry) -> None:
        """Make the entry's run and set it going. What keeps it from that is written down, and the queue goes on.

        Raises RunDirError for a full disk: that would keep all the others from it too.
        """
        self._say(f"starting entry {entry.number}, {entry.name}")
        faults = Faults()
        at_edge(lambda: self._set_going(entry), faults)
        for fault in faults.found:
            self._say(f"entry {entry.number} could not be started: {fault.happened}")
            if fault.error == RunDirError.__name__ and shutil.disk_usage(self.queue.folder).free < MIN_FREE_BYTES:
                raise RunDirError(fault.happened, means=fault.means, remedy=fault.remedy)
            self.queue.mark_fault(self.queue.read(entry.number), fault)

    def _set_going(self, entry: Entry) -> int:
        run = entry.run_dir
        if run is None:
            run = self._made(entry)
            if run is None:
                self._say(f"entry {entry.number} was removed")
                return 0
        set_going(run, visible_cards=entry.visible_cards)
        self._say(f"entry {entry.number} is run {run.name}")
        return 0

    def _made(self, entry: Entry) -> RunDir | None:
        """The run's folder, which the entry names before anything starts in it; None for a removed entry."""
        recipe = Recipe.parse(entry.recipe, name=f"entry {entry.number} of the queue")
        found = prospect(recipe, read_hardware(), base_dir=Path(entry.base_dir))
        earlier = RunDir(Path(entry.earlier)) if entry.earlier else None
        root = runs_root(found.recipe.run.root)
        remove_left_over(root, entry.making, found.recipe)
        named = self.queue.mark_making(entry, numbered(root, found.recipe.run.name or entry.name))
        if named is None:
            return None
        run = make(found, name=entry.name, called=named.making, tell=self._say, earlier=earlier)
        if entry.sweep:
            write_atomic(run.sweep, json.dumps({"sweep": entry.sweep, "point": dict(entry.point)}))
        if self.queue.mark_run(named, run) is None:
            shutil.rmtree(run.path)
            return None
        return run

    def _end_if_empty(self) -> bool:
        """Whether nothing is left. Nobody can add anything between the look and the end."""
        with self.queue.locked():
            if any(_is_due(entry) or entry.is_going_on for entry in self.queue.entries()):
                return False
            self._say("nothing waits any more")
            self._end()
        return True

    def _end(self) -> None:
        """Leave no sign of life, then let go of the queue: who adds now starts another runner."""
        for path in (self.files.stop, self.files.heartbeat, self.files.identity):
            path.unlink(missing_ok=True)
        if self.lock >= 0:
            os.close(self.lock)
        self.lock = -1

    def _beat(self) -> None:
        if time.monotonic() - self._last_beat > HEARTBEAT_SECONDS:
            with contextlib.suppress(OSError):  # a full disk ends nothing by itself
                self.files.heartbeat.touch()
            self._last_beat = time.monotonic()

    def _say_once(self, text: str) -> None:
        if text != self._told:
            self._say(text)

    def _say(self, text: str) -> None:
        """One line of the log, which is this process's output."""
        self._told = text
        with contextlib.suppress(OSError):
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)  # noqa: T201


def remove_left_over(root: Path, name: str, recipe: Recipe) -> None:
    """Remove the folder that a runner killed while making it has left: of this recipe, and never started."""
    run = RunDir(root / name)
    if not name or not run.path.is_dir() or run.supervisor.exists() or run.event_file("supervisor").exists():
        return
    if not run.recipe.exists() or run.recipe.read_text(encoding="utf-8", errors="replace") == recipe.to_toml():
        shutil.rmtree(run.path)


def _is_due(entry: Entry) -> bool:
    """Whether it waits, or its run was made by a runner that was killed before it set it going."""
    return entry.is_waiting or (entry.run_dir is not None and not entry.was_started and not entry.fault)


def lock_of(path: Path) -> int | None:
    """Hold the queue for this process; None when another runner holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def main(arguments: list[str]) -> int:
    queue = Queue(Path(arguments[0]))
    files = RunnerFiles(queue)
    lock = lock_of(files.lock)
    if lock is None:
        return RunDirError.exit_code
    runner = Runner(queue, lock)

    def end(*_: Any) -> None:
        runner.is_ended = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    ProcessIdentity.of(os.getpid()).write(files.identity)
    faults = Faults()
    exit_code = at_edge(runner.work, faults)
    for fault in faults.found:
        runner._say(f"ended: {fault.happened} {fault.remedy}")
        runner._end()
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
