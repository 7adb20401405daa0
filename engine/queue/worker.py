"""Who works on the queue: finding that process, starting it, telling it to end. It is detached, as a supervisor is.

    runner.json  heartbeat   the process and its sign of life; both gone after it ended by itself
    runner.lock              held while it lives
    runner.txt               what it did, line by line
    stop                     a wish that it ends after the present run

Not here: what it does (`engine/queue/runner`).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.file_modes import make_private
from engine.environment import child_environment, worker_command
from engine.errors import DiedError, RunDirError
from engine.liveness import HEARTBEAT_SECONDS, ProcessIdentity
from engine.queue.entries import Queue
from engine.run_dir import write_atomic

START_SECONDS = 30.0
TRIES = 3
"""Of two that start at once, or while the one before is about to end, one is refused; the next try is clear."""


@dataclass(frozen=True, slots=True)
class RunnerFiles:
    """The paths of the process that works on a queue."""

    queue: Queue

    @property
    def identity(self) -> Path:
        return self.queue.folder / "runner.json"

    @property
    def heartbeat(self) -> Path:
        return self.queue.folder / "heartbeat"

    @property
    def lock(self) -> Path:
        return self.queue.folder / "runner.lock"

    @property
    def log(self) -> Path:
        return self.queue.folder / "runner.txt"

    @property
    def stop(self) -> Path:
        return self.queue.folder / "stop"

    def last_words(self) -> str:
        """The last line of its log, empty where there is none."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self.log.stat().st_size - 4096, 0))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def standing(queue: Queue) -> str:
    """`alive`, `none` after it ended by itself, `killed` when it left no word, or `unknown, on host X`."""
    files = RunnerFiles(queue)
    try:
        identity = ProcessIdentity.read(files.identity)
    except RunDirError:
        return "killed"
    if identity is None:
        return "none"
    if identity.is_here():
        return "alive" if identity.is_alive() else "killed"
    with contextlib.suppress(OSError):
        if abs(time.time() - files.heartbeat.stat().st_mtime) < 3 * HEARTBEAT_SECONDS:
            return "alive"
    return "killed" if identity.host == os.uname().nodename else f"unknown, on host {identity.host}"


def start(queue: Queue) -> bool:
    """Have somebody work on the queue; False where somebody did already.

    A wish to stop is forgotten. Raises RunDirError when the folder cannot be written, DiedError when the process ended
    before it took charge.
    """
    files = RunnerFiles(queue)
    for _ in range(TRIES):
        with _writable(queue):
            files.stop.unlink(missing_ok=True)
        if standing(queue) == "alive":
            return False
        process = _started(queue)
        exit_code = _taking_charge(queue, process)
        if exit_code in (None, 0):  # 0: it found nothing that waits
            return True
        if standing(queue) != "alive" and not queue.waiting():
            return True
    if standing(queue) == "alive":
        return False
    raise DiedError(
        "The process that works on the queue did not take charge.",
        means="What waits goes on waiting.",
        remedy=f"Its last words are in {files.log}.",
    )


def _started(queue: Queue) -> subprocess.Popen[bytes]:
    with _writable(queue), RunnerFiles(queue).log.open("ab") as log:
        process = subprocess.Popen(
            worker_command("engine.queue.runner", str(queue.folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=queue.folder,
            env=child_environment(),
        )
    # A screen that started it may live longer: somebody has to wait for a child, else it stays a zombie.
    threading.Thread(target=process.wait, name="end of the queue's runner", daemon=True).start()
    return process


def _taking_charge(queue: Queue, process: subprocess.Popen[bytes]) -> int | None:
    """None once somebody is in charge, else the exit code of the process; -1 where it takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if standing(queue) == "alive":
            return None
        if process.returncode is not None:
            return process.returncode
        time.sleep(0.02)
    return -1


def ask_to_stop(queue: Queue) -> None:
    """Have the runner end once the present run is over. Raises RunDirError when the disk refuses it."""
    write_atomic(RunnerFiles(queue).stop, "after the present run\n")


@contextlib.contextmanager
def _writable(queue: Queue) -> Iterator[None]:
    try:
        make_private(queue.folder)
        yield
    except OSError as fault:
        raise RunDirError(
            f"The queue cannot be worked on: {fault.filename or queue.folder}: {fault.strerror}.",
            means="Nothing was started; what waits goes on waiting.",
            remedy="Free space on that disk, or make the folder writable, then: finetui queue start",
        ) from fault
