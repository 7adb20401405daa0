"""The ranks of an attempt as the supervisor has them on its host: looked after, told to stop, ended, explained.

Not here: torchrun's process, which the supervisor holds itself (`supervisor`), and what the ranks say of themselves
(`attempt_outcome`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.kernel_kills import Witness, volunteer
from engine.launcher import kill_group
from engine.liveness import ProcessIdentity
from engine.plan import Plan
from engine.ranks.beats import mark_lost, read_beats
from engine.ranks.watching import Watch, tell
from engine.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class Failure:
    """A rank that torchrun saw end badly. `exit_code` is negative for a signal."""

    rank: int
    pid: int
    exit_code: int

    def words(self) -> str:
        how = f"was killed by signal {-self.exit_code}" if self.exit_code < 0 else f"ended with {self.exit_code}"
        return f"Rank {self.rank} (process {self.pid}) {how}."


def note_failures(folder: Path, failures: list[Failure]) -> None:
    """What torchrun saw, for its supervisor."""
    (folder / "failures.json").write_text(json.dumps([[each.rank, each.pid, each.exit_code] for each in failures]))


def failures_in(folder: Path) -> list[Failure]:
    """What torchrun noted, in its order; nothing where it noted nothing."""
    try:
        return [Failure(*map(int, each)) for each in json.loads((folder / "failures.json").read_bytes())]
    except (OSError, ValueError, TypeError):
        return []


def team_of(run: RunDir, number: int, plan: Plan, timeout_seconds: float) -> Team | None:
    """Those of an attempt to be started, with an empty folder for their beats; None for a lone process."""
    if plan.world_size == 1:
        return None
    shutil.rmtree(run.beats(number), ignore_errors=True)
    run.beats(number).mkdir(parents=True)
    return Team(run, number, plan.nproc_per_node, timeout_seconds)


@dataclass(slots=True)
class Team:
    """Those of one attempt. `look` is called again and again while torchrun runs."""

    run: RunDir
    number: int
    num_ranks: int
    """On this host."""
    timeout_seconds: float
    ended_because: str = ""
    """Why this supervisor ended the ranks; empty where it did not."""
    _watch: Watch | None = None
    _witnesses: dict[int, Witness] = field(default_factory=dict)
    _known: dict[int, ProcessIdentity] = field(default_factory=dict)
    _is_lost: bool = False

    @property
    def folder(self) -> Path:
        return self.run.beats(self.number)

    @property
    def pids(self) -> frozenset[int]:
        """Of the ranks on this host, once they have begun."""
        return frozenset(process.pid for process in self._known.values())

    def look(self) -> str:
        """Why the ranks have to be ended now; empty while they live and get on."""
        if self._watch is None:
            self._watch = Watch(self.folder, self.timeout_seconds)
        if len(self._known) < self.num_ranks:
            self._meet()
        for rank, process in self._known.items():
            if process.is_alive():
                self._witnesses[rank].look()
            elif not self._is_lost:
                self._is_lost = True
                mark_lost(self.folder)
        if not self.ended_because:
            self.ended_because = self._watch.look()
            return self.ended_because
        return ""

    def stop(self) -> bool:
        """Ask every rank to save and end; False where not all have begun, and torchrun has to be told."""
        self._meet()
        if len(self._known) < self.num_ranks:
            return False
        tell(list(self._known.values()), signal.SIGTERM)
        return True

    def end(self) -> None:
        """No rank survives: torchrun's group does not hold them, and one that hangs obeys nothing else."""
        self._meet()
        tell(list(self._known.values()), signal.SIGKILL)

    def testimony(self, failure: Failure) -> str:
        """What shows that the kernel killed a rank for its memory; empty without evidence."""
        witness = self._witnesses.get(failure.rank)
        return witness.testimony() if witness and failure.exit_code == -signal.SIGKILL else ""

    def _meet(self) -> None:
        for rank, beat in read_beats(self.folder).items():
            if rank not in self._known and beat.process.is_here():
                self._known[rank] = beat.process
                self._witnesses[rank] = Witness(beat.process.pid)
                volunteer(beat.process.pid)


@contextlib.contextmanager
def ending(pid: int, team: Team | None) -> Iterator[None]:
    """However this is left, nothing of the worker outlives it, helpers that it started included."""
    try:
        yield
    finally:
        end(pid, team)


def end(pid: int, team: Team | None) -> None:
    """End a worker with all that it started."""
    kill_group(pid, signal.SIGKILL)
    if team is not None:
        team.end()
