"""Who is in charge of a run, and whether that process still lives.

A process is named by host, boot, pid and start time, so a reused pid is never taken for it. Not here: what
the run is doing; its events tell that.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine import elsewhere
from engine.errors import RunDirError
from engine.run_dir import RunDir, write_atomic

HEARTBEAT_SECONDS = 2.0
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What a filesystem without locks answers: NFS without its lock daemon, some of FUSE, Lustre without `-o flock`."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process on one boot of one host; `start_time` is in clock ticks since boot (field 22 of stat)."""

    host: str
    boot_id: str
    pid: int
    start_time: int

    @staticmethod
    def of(pid: int) -> ProcessIdentity:
        return ProcessIdentity(socket.gethostname(), _boot_id(), pid, _start_time(pid) or 0)

    @staticmethod
    def read(path: Path) -> ProcessIdentity | None:
        """The process that a file names, None where there is no file. Raises RunDirError for a broken one."""
        if not path.exists():
            return None
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
            return ProcessIdentity(str(raw["host"]), str(raw["boot_id"]), int(raw["pid"]), int(raw["start_time"]))
        except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as fault:
            raise RunDirError(
                f"{path} names no process: {fault}.",
                means="Whether the run is still in someone's charge cannot be told.",
                remedy="Of a copy that is still on its way, wait for the rest. Here: if no process of the run lives "
                "any more, delete that file and try again.",
            ) from fault

    def write(self, path: Path) -> None:
        write_atomic(path, json.dumps(asdict(self)))

    def is_here(self) -> bool:
        return self.host == socket.gethostname() and self.boot_id == _boot_id()

    def is_alive(self) -> bool:
        """Whether exactly this process runs, zombies excluded. Meaningful where `is_here()`."""
        return self.is_here() and _start_time(self.pid) == self.start_time


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_time(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # a process may call itself by any bytes
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def announce(run: RunDir) -> None:
    """Write down that this process is the run's supervisor, and which folder it writes to."""
    identity = ProcessIdentity.of(os.getpid())
    place = {"folder": str(run.path), "folder_inode": run.path.stat().st_ino}
    write_atomic(run.supervisor, json.dumps(asdict(identity) | place))
    beat(run)


def beat(run: RunDir) -> None:
    """Renew the heartbeat; its time of change is what readers on other hosts go by."""
    run.heartbeat.touch()


def supervisor_of(run: RunDir) -> ProcessIdentity | None:
    return ProcessIdentity.read(run.supervisor)


def liveness(run: RunDir, *, patience: float = 0.0) -> str:
    """Whether somebody is in charge of the run, as a word or a few.

    `alive` or `dead`; of a supervisor on another host, where the folder is shared with it, also `unknown, on host X`
    with since when it is silent; of a copy of a run's folder, `as of` the moment it shows, `on host X`. `patience`:
    for how many seconds to watch for a sign of life where no clock can be compared.
    """
    identity = supervisor_of(run)
    if identity is None:
        return "dead"
    if identity.is_here() and not identity.is_alive():
        return "dead"
    place = elsewhere.place_of(run)
    if not place.is_copy:
        if identity.is_here():
            return "alive"
        if identity.host == socket.gethostname():
            return "dead"  # the machine was restarted since
        if elsewhere.is_beating(run, 3 * HEARTBEAT_SECONDS, patience):
            return "alive"
    if elsewhere.has_ended(run):
        return "dead"
    return elsewhere.told(run, identity.host, is_copy=place.is_copy)


def take_lock(run: RunDir) -> int | None:
    """Hold the run for this process; None when another supervisor holds it. Raises RunDirError.

    A POSIX lock, freed when its process dies even if children live on. It only refuses a second
    supervisor; liveness never relies on it.
    """
    try:
        fd = os.open(run.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as fault:
        raise RunDirError(
            f"{run.lock} cannot be opened: {fault.strerror}.",
            means="Nobody can take charge of a run in a folder that cannot be written; nothing was changed.",
            remedy="Make the folder writable or free space on its disk, and try again.",
        ) from fault
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(fd)
        return _hold_on_this_host(run) if fault.errno in NO_LOCKS else None
    return fd


def _hold_on_this_host(run: RunDir) -> int | None:
    """In the place of a lock, on a filesystem that has none: a name among the sockets of this host, freed likewise."""
    if sys.platform != "linux":
        return os.open(os.devnull, os.O_RDONLY)
    place = run.path.stat()
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0finetui-{place.st_dev}-{place.st_ino}")
    except OSError:
        holder.close()
        return None
    return holder.detach()
