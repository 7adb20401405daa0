"""Whether the kernel killed a process because RAM ran out. It tells nobody, so this is a matter of evidence.

Readings are taken while a worker runs; when it ends by SIGKILL without a last word, the readings around that
moment decide. Without evidence a kill is somebody's kill. Not here: what a run does about it (`climbing`).
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from engine.host import ROOT, control_groups, lines_of, read_ram
from engine.units import KIB, format_bytes

RECENT_SECONDS = 3.0
"""The machine's counter also counts other people's processes: it is believed only for a kill at the same moment."""
SCARCE_SHARE = 0.03
"""Less of the RAM than this was free at the last look: enough to believe a kill that no counter shows."""
OOM_SCORE_ADJ = 500
"""How much sooner than others a worker is chosen, -1000 to 1000: it can be started again, its supervisor cannot."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the counters, at `time` (seconds of the monotonic clock). Sizes in bytes."""

    time: float
    group_kills: int
    machine_kills: int
    total_bytes: int
    available_bytes: int
    worker_bytes: int


def look(worker_pid: int, root: Path = ROOT) -> Reading:
    """Read the kernel's counters of killed processes, what RAM is left, and what the worker has of it."""
    ram = read_ram(root)
    return Reading(
        time=time.monotonic(),
        group_kills=sum(_group_kills(group) for group in control_groups("memory", root)),
        machine_kills=_counter(root / "proc/vmstat", "oom_kill"),
        total_bytes=ram.total_bytes,
        available_bytes=ram.available_bytes,
        worker_bytes=_counter(root / f"proc/{worker_pid}/status", "VmRSS:") * KIB,
    )


@dataclass(slots=True)
class Witness:
    """Watches one worker. `look` is called again and again while it runs, `testimony` once it is dead."""

    worker_pid: int
    root: Path = ROOT
    _first: Reading | None = None
    _recent: deque[Reading] = field(default_factory=deque)

    def look(self) -> None:
        reading = look(self.worker_pid, self.root)
        self._first = self._first or reading
        self._recent.append(reading)
        while len(self._recent) > 1 and self._recent[1].time < reading.time - RECENT_SECONDS:
            self._recent.popleft()

    def testimony(self) -> str:
        """What shows that the kernel killed the worker for its memory, in one sentence; empty without evidence."""
        if self._first is None:
            return ""
        after = look(self.worker_pid, self.root)
        # The dead hold nothing, and their RAM is free again: what counts is the last look at the living.
        last = next((each for each in reversed(self._recent) if each.worker_bytes), self._recent[-1])
        held = f"it held {format_bytes(last.worker_bytes)}"
        if after.group_kills > self._first.group_kills:
            return f"The kernel killed it because its control group ran out of RAM; {held}."
        if after.machine_kills > self._recent[0].machine_kills:
            return f"The kernel killed a process for lack of RAM at that moment; {held}."
        scarce = last.available_bytes < last.total_bytes * SCARCE_SHARE
        if scarce and last.worker_bytes > last.available_bytes:
            left = format_bytes(last.available_bytes)
            return f"It was killed when {left} of {format_bytes(last.total_bytes)} RAM were left; {held}."
        return ""


def volunteer(worker_pid: int) -> None:
    """Have the kernel choose this worker before its supervisor, should RAM run out. A dead worker needs no choice."""
    try:
        Path(f"/proc/{worker_pid}/oom_score_adj").write_text(str(OOM_SCORE_ADJ))
    except OSError:  # ended already, or a system without this knob
        return


def _group_kills(group: Path) -> int:
    """Version 2 counts in memory.events, version 1 in memory.oom_control; a group has one of them."""
    return _counter(group / "memory.events", "oom_kill") + _counter(group / "memory.oom_control", "oom_kill")


def _counter(path: Path, name: str) -> int:
    """The number behind a name in one of the kernel's tables; 0 where either is absent."""
    for line in lines_of(path):
        words = line.split()
        if len(words) >= 2 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return 0
