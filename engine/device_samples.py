"""What the supervisor sees of device and machine while a worker runs: one `DeviceSampled` every few seconds.

Light: /proc and the control groups; NVML only where the plan computes on a card. Not here: who writes the event
(`supervisor`) and how a card is asked (`nvml`).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from engine.events import DeviceSampled
from engine.gpu import Gpu
from engine.host import ROOT, count_cores, disk_free_bytes, lines_of, read_ram
from engine.nvml import OpenCard
from engine.plan import Plan

SAMPLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Processes:
    """A worker and what it started, at `time` (seconds of the monotonic clock).

    `rss_bytes` is resident memory added up, `cpu_seconds` the time they computed so far, on all cores.
    """

    time: float
    pids: frozenset[int]
    rss_bytes: int
    cpu_seconds: float


def processes_of(worker_pid: int, root: Path = ROOT, ranks: frozenset[int] = frozenset()) -> Processes:
    """Every process in the session that the worker leads, or one of its ranks, themselves included."""
    ticks, pages, pids = 0, 0, set()
    for entry in (root / "proc").iterdir():
        if not entry.name.isdigit():
            continue
        fields = "".join(lines_of(entry / "stat")).rpartition(")")[2].split()
        if len(fields) < 22 or int(fields[3]) not in (worker_pid, *ranks):
            continue  # ended meanwhile, or somebody else's
        pids.add(int(entry.name))
        ticks += int(fields[11]) + int(fields[12])
        pages += int(fields[21])
    seconds = ticks / os.sysconf("SC_CLK_TCK")
    return Processes(time.monotonic(), frozenset(pids), pages * os.sysconf("SC_PAGE_SIZE"), seconds)


class DeviceSampler:
    """Looks at the device of a plan (None: the worker computes on the CPU) while one worker runs."""

    def __init__(self, worker_pid: int, plan: Plan | None, folder: Path) -> None:
        self.worker_pid, self.folder = worker_pid, folder
        self.device = plan.device if plan else "cpu"
        self._card = OpenCard(plan.device_uuid) if plan and plan.device != "cpu" else None
        self._num_cores = count_cores()
        self._before: Processes | None = None
        self._last = float("-inf")
        self.ranks: frozenset[int] = frozenset()
        """Processes that torchrun started, each in a session of its own."""

    def is_due(self) -> bool:
        return time.monotonic() - self._last >= SAMPLE_SECONDS

    def sample(self) -> DeviceSampled | None:
        """One look; None while the plan's card does not answer."""
        ram, now = read_ram(), processes_of(self.worker_pid, ranks=self.ranks)
        before, self._before, self._last = self._before, now, time.monotonic()
        machine = {
            "ram_used_bytes": ram.total_bytes - ram.available_bytes,
            "ram_total_bytes": ram.total_bytes,
            "disk_free_bytes": disk_free_bytes(self.folder),
        }
        if self._card is None:
            return DeviceSampled(
                device="cpu",
                device_used_bytes=machine["ram_used_bytes"],
                device_total_bytes=ram.total_bytes,
                own_bytes=now.rss_bytes,
                utilisation_percent=busy_percent(before, now, self._num_cores),
                **machine,
            )
        found = self._card.read()
        if found is None:
            return None
        gpu, watts = found
        return DeviceSampled(
            device=self.device,
            device_used_bytes=gpu.total_bytes - gpu.free_bytes,
            device_total_bytes=gpu.total_bytes,
            own_bytes=own_bytes(gpu, now.pids),
            utilisation_percent=gpu.utilisation_percent,
            temperature_celsius=gpu.temperature_celsius,
            power_watts=watts,
            **machine,
        )


def busy_percent(before: Processes | None, now: Processes, num_cores: int) -> float | None:
    """Share of the usable cores, 0 to 100, that the processes kept busy in between; None without an earlier look."""
    if before is None or now.time <= before.time:
        return None
    computed = max(now.cpu_seconds - before.cpu_seconds, 0.0)  # a child that ended takes its seconds along
    return min(round(100 * computed / (now.time - before.time) / num_cores, 1), 100.0)


def own_bytes(gpu: Gpu, pids: frozenset[int]) -> int | None:
    """What these processes hold of a card; None where the driver does not tell, or names processes by other pids."""
    ours = [process.used_bytes for process in gpu.processes if process.pid in pids]
    if ours:
        told = [size for size in ours if size is not None]
        return sum(told) if len(told) == len(ours) else None
    # A process without a name lives in another container, where this one's processes have other numbers too.
    return None if any(process.name is None for process in gpu.processes) else 0
