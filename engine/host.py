"""Reads the machine around the card: processor, RAM, control-group limits, disk.

Lives here: what /proc and /sys say (psutil where there is no /proc), and the limits that a container or a
batch system sets. The cards are read by `nvml`. `root` is "/" except in a test that lays out such files elsewhere.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.units import KIB, format_bytes

ROOT = Path("/")
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16", "sve")
"""avx2 is bitsandbytes's minimum on x86; the bf16 ones make bf16 fast on a processor (`bf16`, `sve`: Arm)."""


@dataclass(frozen=True, slots=True)
class Ram:
    """Bytes this process may have in all and now, and the sentence on what limits it ("" if nothing does)."""

    total_bytes: int
    available_bytes: int
    limit_note: str


def read_ram(root: Path = ROOT) -> Ram:
    """The machine's RAM, cut to the tightest control group above this process."""
    built_in, available = _machine_ram(root)
    total, note = built_in, ""
    for group in control_groups("memory", root):
        limit, used = _group_memory(group)
        if limit is None or limit >= built_in:
            continue
        available = min(available, max(limit - used, 0))
        if limit < total:
            total = limit
            note = (
                f"The control group {group} allows {format_bytes(limit)} of the machine's {format_bytes(built_in)} RAM."
            )
    return Ram(total, available, note)


def _machine_ram(root: Path) -> tuple[int, int]:
    """Total and available bytes; from the kernel itself where it tells, which is Linux."""
    told = dict(line.split(":", 1) for line in lines_of(root / "proc/meminfo") if ":" in line)
    if "MemTotal" in told and "MemAvailable" in told:
        return int(told["MemTotal"].split()[0]) * KIB, int(told["MemAvailable"].split()[0]) * KIB
    import psutil

    memory = psutil.virtual_memory()
    return int(memory.total), int(memory.available)


def _group_memory(group: Path) -> tuple[int | None, int]:
    """Limit (None: none) and use in bytes, version 2 or 1. Cached file pages are given back under pressure,
    so the inactive ones do not count as used."""
    limits = [_number(group / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    limit = min((limit for limit in limits if limit is not None), default=None)
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
    statistics = dict(line.split()[:2] for line in lines_of(group / "memory.stat") if len(line.split()) >= 2)
    cached = int(statistics.get("total_inactive_file") or statistics.get("inactive_file") or 0)
    return limit, max(used - cached, 0)


def count_cores(root: Path = ROOT) -> int:
    """Cores this process may keep busy: its affinity mask, cut to the quota of every control group above."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in control_groups("cpu", root):
        quota = _cpu_quota(group)
        if quota is not None:
            cores = min(cores, int(quota))
    return max(cores, 1)


def _cpu_quota(group: Path) -> float | None:
    """Cores' worth of time per second, from cpu.max (version 2) or cfs_quota (version 1); None if unlimited."""
    words = " ".join(lines_of(group / "cpu.max")).split()
    quota = int(words[0]) if len(words) == 2 and words[0].isdigit() else _number(group / "cpu.cfs_quota_us")
    period = int(words[1]) if len(words) == 2 and words[1].isdigit() else _number(group / "cpu.cfs_period_us")
    return quota / period if quota and period else None


def control_groups(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """The directories of this process's control groups, own first, then each one above it.

    Both versions can be mounted at once. A container without a namespace of its own sees a mount that
    begins below the path in /proc/self/cgroup, hence the mount's root is taken off that path.
    """
    own: dict[str, str] = {}
    for line in lines_of(root / "proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(",") if names else ["cgroup2"], path)
    for line in lines_of(root / "proc/self/mountinfo"):
        mount, _, kind = line.partition(" - ")
        kind_words, mount_words = kind.split(), mount.split()
        if not kind_words or kind_words[0] not in ("cgroup", "cgroup2"):
            continue
        name = "cgroup2" if kind_words[0] == "cgroup2" else controller
        if name not in own or (name == controller and controller not in kind_words[-1].split(",")):
            continue
        top = root / mount_words[4].lstrip("/")
        below = own[name].removeprefix(mount_words[3].rstrip("/")).strip("/")
        # ".." stands there when the process was moved in from outside its namespace: only the mount is known.
        group = top if ".." in below.split("/") else top / below
        yield from (place for place in (group, *group.parents) if place.is_relative_to(top) and place.is_dir())


def cpu_name(root: Path = ROOT) -> str:
    """The processor as it calls itself, else its architecture."""
    for line in lines_of(root / "proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_flags(root: Path = ROOT) -> tuple[str, ...]:
    """Those of `CPU_FLAGS` that this processor has."""
    for line in lines_of(root / "proc/cpuinfo"):
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return tuple(flag for flag in CPU_FLAGS if flag in present)
    return ()


def disk_free_bytes(path: Path) -> int:
    """Free bytes for this user where `path` is, or would be once made."""
    return shutil.disk_usage(existing_parent(path)).free


def existing_parent(path: Path) -> Path:
    """`path` itself if it exists, else the nearest directory above it that does."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if _exists(place)), path)


def _exists(place: Path) -> bool:
    """False also for what a directory above it forbids to look at."""
    try:
        return place.exists()
    except PermissionError:
        return False


def other_accelerator(root: Path = ROOT) -> str:
    """Why there is no NVIDIA driver to ask: what this machine has instead, and what to do about it."""
    vendors = {_first(path): path.parent for path in sorted(root.glob("sys/bus/pci/devices/*/vendor")) if _is_gpu(path)}
    vendors |= {_first(path): path.parent for path in sorted(root.glob("sys/class/drm/card*/device/vendor"))}
    if "0x10de" in vendors or (root / "dev/nvidiactl").exists():
        return (
            "An NVIDIA card is present, but its driver library (libnvidia-ml.so.1) is not: install the driver "
            "(Ubuntu: sudo ubuntu-drivers install), or start the container with --gpus all."
        )
    if "0x1002" in vendors or (root / "dev/kfd").exists() or (root / "sys/class/kfd").exists():
        return "No NVIDIA card: this machine has an AMD one, which finetui does not train on yet. Runs use the CPU."
    if platform.system() == "Darwin":
        return "No NVIDIA card: this is a Mac, and finetui does not train on Apple GPUs yet. Runs use the CPU."
    if "0x8086" in vendors:
        return "No NVIDIA card: this machine has an Intel one, which finetui does not train on. Runs use the CPU."
    return "No NVIDIA card, and no driver library (libnvidia-ml.so.1): runs use the CPU."


def _is_gpu(vendor: Path) -> bool:
    """PCI class 0x03: display controllers, 3D accelerators without a screen included."""
    return _first(vendor.parent / "class").startswith("0x03")


def lines_of(path: Path) -> list[str]:
    """The file's lines; none where the kernel has no such file or forbids it, which is the usual case here."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _first(path: Path) -> str:
    return next(iter(lines_of(path)), "").strip()


def _number(path: Path) -> int | None:
    """The file's number; None if absent, "max", or negative, all of which mean "no limit"."""
    text = _first(path)
    return int(text) if text.isascii() and text.isdigit() else None
