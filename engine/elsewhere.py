"""A run whose folder is shared with another host, or is a copy of a folder there: what can be said of it from here.

Two hosts' clocks differ. A heartbeat's age is therefore taken by the clock of the filesystem that stamped it, where a
file can be touched there, and otherwise by whether it changes from one look to the next. A copy, made by rsync or a
synchronised folder, is known by its inode: the supervisor wrote down that of the folder it writes to. Not here: a
process of this host (`liveness`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RunDirError
from engine.event_log import MAX_LINE_BYTES, fresh_stat, whole_lines
from engine.events import FINAL_EVENTS
from engine.run_dir import RunDir

CLOCK_SECONDS = 60.0
"""How long a comparison with the clock of a filesystem is good for: two clocks drift by milliseconds meanwhile."""
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """`folder`: the path of the folder that the supervisor writes to, on `host`; both "" where it is not told."""

    host: str = ""
    folder: str = ""
    is_copy: bool = False


@dataclass(slots=True)
class _Looks:
    """What this process saw of one heartbeat. Nanoseconds of its stamp; seconds of this process's own clock."""

    stamp: int
    changed_at: float | None = None
    first_at: float = 0.0


_looks: dict[Path, _Looks] = {}
_clocks: dict[Path, tuple[float, float]] = {}
"""By folder: when it was asked (monotonic), and how many seconds the filesystem's clock is ahead of ours."""


def place_of(run: RunDir) -> Place:
    """Where the supervisor works. Folders of earlier versions do not tell, and count as what they seem to be."""
    try:
        told = json.loads(run.supervisor.read_bytes())
        inode, here = told.get("folder_inode"), run.path.stat().st_ino
        is_copy = inode is not None and inode != here and not _is_fuse(run.path)
        return Place(str(told.get("host", "")), str(told.get("folder", "")), is_copy)
    except (OSError, ValueError, AttributeError):
        return Place()


def _is_fuse(path: Path) -> bool:
    """sshfs and its kind number files as they like: there an inode says nothing."""
    device = os.stat(path).st_dev  # noqa: PTH116
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            if line.split(maxsplit=3)[2] == wanted:
                return line.partition(" - ")[2].startswith("fuse")
    return False


def is_beating(run: RunDir, fresh_seconds: float, patience: float = 0.0) -> bool:
    """Whether the heartbeat is younger than `fresh_seconds`; both clocks are that of the filesystem where it can be.

    Where nothing can be written it has to change before our eyes: within `patience` seconds of the first look, or
    from one look of this process to the next.
    """
    age = heartbeat_age(run)
    if age is None:
        return False
    if _clock_ahead(run) is not None:
        return age < fresh_seconds
    if _has_moved(run, fresh_seconds):
        return True
    until = time.monotonic() + patience
    while time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        if _has_moved(run, fresh_seconds):
            return True
    looks = _looks.get(run.path)
    is_first = looks is not None and time.monotonic() - looks.first_at < fresh_seconds
    return is_first and not patience and abs(age) < fresh_seconds


def heartbeat_age(run: RunDir) -> float | None:
    """Seconds since the heartbeat, by the filesystem's clock where it can be asked, else by ours; None without one."""
    try:
        stamp = fresh_stat(run.heartbeat).st_mtime
    except OSError:
        return None
    return time.time() + (_clock_ahead(run) or 0.0) - stamp


def _has_moved(run: RunDir, fresh_seconds: float) -> bool:
    """Whether the heartbeat changed between two looks of this process, and lately."""
    now = time.monotonic()
    try:
        stamp = fresh_stat(run.heartbeat).st_mtime_ns
    except OSError:
        return False
    looks = _looks.setdefault(run.path, _Looks(stamp, first_at=now))
    if stamp != looks.stamp:
        looks.stamp, looks.changed_at = stamp, now
    return looks.changed_at is not None and now - looks.changed_at < fresh_seconds


def _clock_ahead(run: RunDir) -> float | None:
    """Seconds that the filesystem's clock is ahead of this host's; None where no file can be touched there.

    The file has no name where the filesystem can do that, and is gone at once where it cannot.
    """
    known = _clocks.get(run.path)
    if known is not None and time.monotonic() - known[0] < CLOCK_SECONDS:
        return known[1]
    if not os.access(run.control, os.W_OK):
        return None
    try:
        with tempfile.TemporaryFile(dir=run.control) as file:
            os.utime(file.fileno())
            ahead = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:
        return None
    _clocks[run.path] = (time.monotonic(), ahead)
    return ahead


def has_ended(run: RunDir) -> bool:
    """Whether the last word of the run's supervisor was its final event."""
    try:
        with run.event_file("supervisor").open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - 2 * MAX_LINE_BYTES, 0))
            newest = list(whole_lines(file.read()))
    except OSError:
        return False
    return bool(newest) and isinstance(newest[-1].event, FINAL_EVENTS)


def told(run: RunDir, host: str, *, is_copy: bool) -> str:
    """What to say of a run that cannot be looked at: since when nothing was heard, or which moment a copy shows."""
    age = heartbeat_age(run)
    if age is None:
        return f"as of an unknown time, on host {host}" if is_copy else f"unknown, on host {host}"
    moment = time.strftime("%H:%M:%S", time.localtime(time.time() - age))
    ago = f"{moment}, {max(age, 0):.0f} s ago"
    return f"as of {ago}, on host {host}" if is_copy else f"unknown, on host {host}: silent since {ago}"


def refuse_out_of_reach(run: RunDir, command: str) -> None:
    """Raises RunDirError where a command left in this folder would never be seen by the run."""
    place = place_of(run)
    if place.is_copy:
        why, means = "is a copy", "The run does not look into this folder, so it would never see the command."
    elif not os.access(run.control, os.W_OK):
        why, means = "cannot be written to from here", "A command is a file in it."
    else:
        return
    there = f"finetui {command} {shlex.quote(place.folder or run.name)}"
    host = place.host or "the host of the run"
    raise RunDirError(
        f"{command} was not sent: the folder {run.path} {why}.",
        means=means,
        remedy=f"Give it on {host}: ssh {place.host} {shlex.quote(there)}" if place.host else f"On {host}: {there}",
    )
