"""Disks as a run meets them: room, files left, speed, locks, what kind of filesystem, shared memory, /tmp.

Speed and locks are tried for real, in files that are gone afterwards. Nothing is made where nothing was.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.doctor.finding import Finding, Status, command
from engine.host import ROOT, existing_parent, lines_of
from engine.run_dir import cache_dir
from engine.units import GIB, MIB, format_bytes, format_seconds

DISK_NEEDED_BYTES = 2 * GIB
DISK_COMFORTABLE_BYTES = 10 * GIB
FEW_INODES, MANY_INODES = 1_000, 20_000
"""A run makes some hundred files, the hub's cache and an environment some ten thousand."""
WRITTEN_BYTES = 16 * MIB
WRITE_SECONDS = 3.0
"""Written for so long at most, the last sync apart."""
SLOW_BYTES_PER_SECOND = 50 * MIB
SHM_NEEDED_BYTES = 64 * MIB
"""What a container gets unless told otherwise; workers of the data loader hand rows over in it."""
TMP_NEEDED_BYTES = 512 * MIB
NETWORK = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "panfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "virtiofs", "vboxsf"),
)
IN_MEMORY = ("tmpfs", "ramfs")
LOCAL_HOME = "export FINETUI_HOME=/var/tmp/finetui"


class Mount(NamedTuple):
    """The filesystem that a path lies on: its kind as the kernel calls it, and where it is mounted."""

    kind: str
    place: str


def storage(run_root: Path, needed_bytes: int = DISK_NEEDED_BYTES) -> Iterator[Finding]:
    """Everything about the disks below `run_root`, finetui's cache and /tmp."""
    place = existing_parent(run_root)
    if fault := write_fault(place):
        yield run_root_refused(place, fault)
    else:
        yield write_speed(place)
        yield locks(place)
    yield disk_space("disk space", place, needed_bytes)
    yield from inodes(place)
    yield filesystem(place)
    yield cache(cache_dir())
    yield from shared_memory()
    yield temporary_folder()


def write_fault(place: Path) -> str:
    """Why no file can be written and synced in a folder; "" if one can."""
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".finetui-doctor-") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def run_root_refused(place: Path, fault: str) -> Finding:
    quoted = shlex.quote(str(place))
    remedy = f"Look at its owner and mount: ls -ld {quoted}; findmnt -T {quoted}. Or let runs lie elsewhere."
    return Finding("run directory", "fail", f"{place} cannot be written: {fault}", remedy, LOCAL_HOME)


def write_speed(place: Path) -> Finding:
    """Random bytes, which no filesystem can squeeze, written and synced."""
    block = os.urandom(MIB)
    written = 0
    began = time.monotonic()
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".finetui-doctor-") as file:
            while written < WRITTEN_BYTES and time.monotonic() - began < WRITE_SECONDS:
                written += file.write(block)
            file.flush()
            os.fsync(file.fileno())
            seconds = time.monotonic() - began
    except OSError as error:
        return run_root_refused(place, error.strerror or type(error).__name__)
    speed = written / max(seconds, 1e-6)
    found = f"{place} takes {speed / 1e6:,.0f} MB/s; a checkpoint of 1 GiB takes {format_seconds(GIB / speed)}"
    if speed >= SLOW_BYTES_PER_SECOND:
        return Finding("run directory", "ok", found)
    remedy = "Checkpoints hold training up for so long. Let runs lie on a local disk, or save less often."
    return Finding("run directory", "warn", found, remedy, LOCAL_HOME)


def locks(place: Path) -> Finding:
    """Whether both kinds of lock that runs take exclude anybody here, as NFS, FUSE and Lustre may not."""
    remedy = "Two programs could write one run. Let runs lie on a filesystem with locks."
    try:
        with (
            tempfile.NamedTemporaryFile(dir=place, prefix=".finetui-doctor-") as file,
            Path(file.name).open("rb+") as again,
        ):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return Finding("locks", "ok", "flock and fcntl locks work there")
            return Finding("locks", "fail", f"{place}: two programs got the same lock at once", remedy, LOCAL_HOME)
    except OSError as error:
        return Finding("locks", "fail", f"{place} has no locks: {error.strerror}", remedy, LOCAL_HOME)


def disk_space(name: str, place: Path, needed_bytes: int) -> Finding:
    """Free bytes for this user at an existing place against what is needed there."""
    usage = os.statvfs(place)
    free = usage.f_bavail * usage.f_frsize
    found = f"{format_bytes(free)} free at {place}"
    if free >= max(DISK_COMFORTABLE_BYTES, needed_bytes):
        return Finding(name, "ok", found)
    remedy = f"{format_bytes(needed_bytes)} are needed. See what fills it, or `finetui clean`:"
    look = f"du -xh --max-depth=2 {shlex.quote(str(place))} | sort -h | tail"
    return Finding(name, "fail" if free < needed_bytes else "warn", found, remedy, look)


def inodes(place: Path) -> Iterator[Finding]:
    """Files that can still be made; says nothing where the filesystem sets no number."""
    usage = os.statvfs(place)
    if not usage.f_files:
        return
    found = f"{usage.f_favail:,} of {usage.f_files:,} left at {place}"
    if usage.f_favail >= MANY_INODES:
        yield Finding("inodes", "ok", found)
        return
    look = f"du -x --inodes --max-depth=2 {shlex.quote(str(place))} | sort -n | tail"
    status: Status = "fail" if usage.f_favail < FEW_INODES else "warn"
    yield Finding("inodes", status, found, "The disk runs out of files before bytes. See where they are:", look)


def mount_of(place: Path, root: Path = ROOT) -> Mount:
    """The innermost mount that holds a place; of two at one place the later one."""
    best = Mount("unknown", "")
    for line in lines_of(root / "proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        words, kind = left.split(), right.split()
        if len(words) < 5 or not kind:
            continue
        at = words[4].replace("\\040", " ")
        if place.is_relative_to(at) and len(at) >= len(best.place):
            best = Mount(kind[0], at)
    return best


def filesystem(place: Path, root: Path = ROOT) -> Finding:
    """What kind of filesystem runs lie on, and what follows from that."""
    mount = mount_of(place.resolve(), root)
    found = f"{mount.kind} at {mount.place}" if mount.place else mount.kind
    if mount.kind in NETWORK:
        remedy = "Runs work there; a local disk is quicker, and its locks are surer. For new runs:"
        return Finding("filesystem", "warn", f"{found}: shared over a network", remedy, LOCAL_HOME)
    if mount.kind in IN_MEMORY:
        remedy = "Runs there take RAM and are gone after a reboot. Let them lie on a disk."
        return Finding("filesystem", "warn", f"{found}: in RAM", remedy, LOCAL_HOME)
    if mount.kind == "overlay":
        remedy = "Runs there are gone with the container. Mount a volume, and name it."
        return Finding("filesystem", "ok", f"{found}: the container's own", remedy)
    return Finding("filesystem", "ok", found)


def cache(place: Path) -> Finding:
    """Where converted models are kept: whether it can be written."""
    existing = existing_parent(place)
    if fault := write_fault(existing):
        remedy = "Name another place for converted models."
        return Finding(
            "cache",
            "fail",
            f"{existing} cannot be written: {fault}",
            remedy,
            "export FINETUI_CACHE=/var/tmp/finetui-cache",
        )
    return Finding("cache", "ok", f"{place}{'' if place.exists() else ' (not made yet)'} can be written")


def shared_memory(place: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Room in /dev/shm, which workers of the data loader and ranks of one host share."""
    if not place.is_dir():
        return
    usage = os.statvfs(place)
    total, free = usage.f_blocks * usage.f_frsize, usage.f_bavail * usage.f_frsize
    found = f"{format_bytes(free)} of {format_bytes(total)} free"
    if free > SHM_NEEDED_BYTES:
        yield Finding(str(place), "ok", found)
        return
    remedy = "Workers of the data loader may die with a bus error. Start the container with --shm-size=2g, or:"
    mend = command("sudo", "mount", "-o", "remount,size=2G", str(place))
    yield Finding(str(place), "warn", found, remedy, mend)


def temporary_folder() -> Finding:
    """Whether temporary files can be written, and how much room they have."""
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        return Finding("temporary files", "fail", str(error), "Name a folder for them.", "export TMPDIR=/var/tmp")
    usage = os.statvfs(place)
    free = usage.f_bavail * usage.f_frsize
    found = f"{format_bytes(free)} free at {place}"
    if free < TMP_NEEDED_BYTES:
        return Finding("temporary files", "warn", found, "Name a folder with more room.", "export TMPDIR=/var/tmp")
    return Finding("temporary files", "ok", found)
