"""What the supervisor makes of the ranks' signs of life: who is there, who fell silent, whether all of them wait.

Not here: the beats themselves (`beats`), and what ranks agree on (`training.ranks`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.liveness import ProcessIdentity
from engine.ranks.beats import COLLECTIVE, ENDED, PAUSED, Beat, read_beats, writer_of
from engine.run_dir import RunDir

SILENT_SECONDS = 30.0
"""A rank that lives beats every two seconds, from a thread of its own, whatever it computes."""
LONG_SECONDS = 3600.0
"""Without progress outside of steps: loading, saving or scoring may take long, and it differs by rank."""
END_SECONDS = 30.0
"""From the last word of rank 0 to the end of all ranks."""
LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Watch:
    """The ranks of one attempt, looked at again and again. `look` gives the reason to end them, or nothing.

    Times are those of this process's clock, at which a change of a beat was seen: clocks of hosts may differ.
    """

    folder: Path
    timeout_seconds: float
    clock: Callable[[], float] = time.monotonic
    _seen: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Count of each rank's newest beat, and when it was first seen."""
    _progress: dict[int, tuple[str, int]] = field(default_factory=dict)
    _progressed_at: float = 0.0
    _step_began: float = 0.0
    _longest_step: float = 0.0
    _ended_at: float | None = None
    _next_look: float = 0.0

    def look(self) -> str:
        """Why the attempt has to be ended; empty while there is no reason, or where it is not time to look again."""
        now = self.clock()
        if now < self._next_look:
            return ""
        self._next_look = now + LOOK_SECONDS
        beats = read_beats(self.folder)
        for rank, beat in beats.items():
            if self._seen.get(rank, (-1, 0.0))[0] != beat.count:
                self._seen[rank] = beat.count, now
        self._note_progress(beats, now)
        return self._silence(beats, now) or self._standstill(beats, now) or self._lingering(beats, now)

    def _silence(self, beats: dict[int, Beat], now: float) -> str:
        for rank, beat in sorted(beats.items()):
            silent = now - self._seen[rank][1]
            if beat.phase != ENDED and silent > SILENT_SECONDS:
                where = f"{beat.process.host}, process {beat.process.pid}, in {beat.phase} of step {beat.step}"
                return f"Rank {rank} has given no sign of life for {silent:.0f} s ({where})."
        return ""

    def _standstill(self, beats: dict[int, Beat], now: float) -> str:
        if not beats or any(beat.phase in (ENDED, PAUSED) for beat in beats.values()):
            return ""
        collective = all(beat.phase in COLLECTIVE for beat in beats.values())
        allowed = self.timeout_seconds + self._longest_step if collective else LONG_SECONDS
        stood = now - self._progressed_at
        if stood <= max(allowed, self.timeout_seconds):
            return ""
        doing = ", ".join(f"rank {rank} in {beat.phase} of step {beat.step}" for rank, beat in sorted(beats.items()))
        return f"No rank has got further for {stood:.0f} s: {doing}."

    def _lingering(self, beats: dict[int, Beat], now: float) -> str:
        if 0 not in beats or beats[0].phase != ENDED:
            return ""
        self._ended_at = self._ended_at or now
        return "It had ended, but its processes did not." if now - self._ended_at > END_SECONDS else ""

    def _note_progress(self, beats: dict[int, Beat], now: float) -> None:
        progress = {rank: (beat.phase, beat.step) for rank, beat in beats.items()}
        if progress == self._progress:
            return
        step = max((beat.step for beat in beats.values()), default=0)
        before = max((each for _, each in self._progress.values()), default=0)
        if step > before and self._step_began:
            self._longest_step = max(self._longest_step, (now - self._step_began) / (step - before))
        if step != before or not self._step_began:
            self._step_began = now
        self._progress, self._progressed_at = progress, now


def rank_processes(run: RunDir, attempt: int) -> list[ProcessIdentity]:
    """The ranks of an attempt that live on this host."""
    beats = read_beats(run.beats(attempt))
    return [beat.process for _, beat in sorted(beats.items()) if beat.process.is_alive()]


def still_there(run: RunDir) -> list[ProcessIdentity]:
    """What an earlier supervisor of the run started on this host and still lives: its worker, and ranks."""
    numbers = [path.name.removeprefix("attempt-") for path in (run.path / "ranks").glob("attempt-*")]
    ranks = [each for number in numbers if number.isdigit() for each in rank_processes(run, int(number))]
    worker = ProcessIdentity.read(run.worker)
    return [*([worker] if worker is not None and worker.is_alive() else []), *ranks]


def tell(processes: list[ProcessIdentity], number: int = signal.SIGTERM) -> None:
    """Send each of them a signal, and to what it started; one that is gone already is left out.

    torchrun starts each rank in a session of its own: a signal to torchrun's group does not reach them.
    """
    for process in processes:
        if process.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(process.pid) == process.pid:
                    os.killpg(process.pid, number)
                else:
                    os.kill(process.pid, number)


def writers(run: RunDir, attempt: int) -> list[str]:
    """The event files of an attempt, by name: that of rank 0 first, then every other rank's."""
    ranks = [path.stem for path in run.events.glob(f"attempt-{attempt}-rank-*.jsonl")]
    return [writer_of(attempt, 0), *sorted(ranks, key=lambda name: int(name.rpartition("-")[2]))]
