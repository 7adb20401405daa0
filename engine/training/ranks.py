"""What the ranks of an attempt tell each other: decisions, sums, and that they live.

A lone process is rank 0 of one: it agrees with itself and loads nothing of torch.distributed. Not here: gradients,
which DDP and FSDP reduce by themselves, and what the supervisor makes of the signs of life (`ranks.watching`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch

from engine.event_log import EventWriter
from engine.events import Event, OomHit, PeerLost, RankMeasured, WorkerFailed
from engine.liveness import ProcessIdentity
from engine.ranks.beats import BEAT_SECONDS, ENDED, Beat, is_lost
from engine.worker_edge import die_with_parent

AGENT_VARIABLE = "FINETUI_AGENT_PID"
PATIENT_SECONDS = 24 * 3600
"""For what ranks may wait for long: one that loads, or rank 0 that saves. The dead are found by their silence."""
OWN = (RankMeasured, OomHit, PeerLost, WorkerFailed)
"""Events that each rank tells of itself."""
LOST = (
    *("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused", "[gloo/"),
    *(
        "NCCL error",
        "NCCL communicator",
        "ncclRemoteError",
        "ncclSystemError",
        "ncclInternalError",
        "socketPollConnect",
    ),
    *("Socket Timeout", "failed to recv", "Watchdog caught collective", "process group has been aborted"),
)
"""How gloo, NCCL and the store say that another rank is gone."""


class Ranks:
    """This process among those of its attempt. `group` is for decisions and figures, on the CPU."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        """Where ranks leave what rank 0 may need once one of them is gone."""
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.alone = self.size == 1
        """Nobody to agree with: a lone process, or one that goes on by itself to save after the others were lost."""
        self.group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this one writes what belongs to the run."""
        return self.rank == 0

    def join(self, device: str, timeout_seconds: float) -> None:
        """Meet the others. `device` is this rank's; collectives that take longer than the timeout fail."""
        if self.size == 1:
            return
        import torch.distributed as dist

        card = torch.device(device)
        is_card = card.type == "cuda"
        if is_card:
            torch.cuda.set_device(card)
        dist.init_process_group(
            backend="cuda:nccl,cpu:gloo" if is_card else "gloo",
            timeout=timedelta(seconds=timeout_seconds),
            device_id=card if is_card else None,
        )
        self.group = dist.new_group(backend="gloo", timeout=timedelta(seconds=PATIENT_SECONDS))

    def agree(self, wishes: Iterable[bool]) -> tuple[bool, ...]:
        """For each wish whether any rank has it."""
        mine = tuple(wishes)
        if self.alone:
            return mine
        import torch.distributed as dist

        told = torch.tensor(mine, dtype=torch.int32)
        dist.all_reduce(told, op=dist.ReduceOp.MAX, group=self.group)
        return tuple(bool(each) for each in told.tolist())

    def any(self, wish: bool) -> bool:
        return self.agree((wish,))[0]

    def figures(self, mine: Iterable[float]) -> list[list[float]]:
        """Every rank's figures, by rank."""
        told = torch.tensor([*mine], dtype=torch.float64)
        if self.alone:
            return [told.tolist()]
        import torch.distributed as dist

        everyone = [torch.empty_like(told) for _ in range(self.size)]
        dist.all_gather(everyone, told, group=self.group)
        return [each.tolist() for each in everyone]

    def gather(self, mine: Any) -> list[Any]:
        """Something small of every rank, by rank."""
        if self.alone:
            return [mine]
        import torch.distributed as dist

        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, mine, group=self.group)
        return everyone

    def wait(self) -> None:
        """Until every rank is here."""
        self.any(False)

    def leave(self) -> None:
        """Part from the others, all of whom do the same now."""
        if self.alone:
            return
        import torch.distributed as dist

        self.wait()
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def peer_lost(fault: BaseException) -> str:
    """What an exception says of another rank's end, on one line; empty for any other exception."""
    one: BaseException | None = fault
    for _ in range(8):
        if one is None:
            return ""
        text = str(one)
        if isinstance(one, RuntimeError) and any(words in text for words in LOST):
            return text.strip().split("\n")[0]
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return ""


def follow_agent() -> None:
    """End with torchrun, which started this process; at once where it is gone already: there is nothing to save."""
    if os.getppid() != int(os.environ[AGENT_VARIABLE]):
        leave_now(1)
    die_with_parent(int(os.environ[AGENT_VARIABLE]))


class QuietWriter(EventWriter):
    """The event file of a rank that is not the first: only what is its own, since rank 0 tells the rest."""

    def write(self, event: Event) -> None:
        if isinstance(event, OWN):
            super().write(event)


class Heart:
    """Beats in `folder` from a thread of its own until `stop`; without a folder it does nothing.

    It also sees when another rank is gone: the thread that computes may be waiting for that one in a library.
    """

    def __init__(self, folder: Path | None, rank: int) -> None:
        self.folder, self.rank = folder, rank
        self._doing: Callable[[], tuple[str, int]] = lambda: ("load", 0)
        self._on_lost: Callable[[], None] = lambda: None
        self._count = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._me = ProcessIdentity.of(os.getpid())

    def follow(self, doing: Callable[[], tuple[str, int]], on_lost: Callable[[], None]) -> None:
        """From now on tell (phase, step) of `doing`; `on_lost` is called once another rank is gone."""
        self._doing, self._on_lost = doing, on_lost

    def start(self) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._beat(*self._doing())
        threading.Thread(target=self._go_on, name="heart", daemon=True).start()

    def stop(self) -> None:
        """The last beat."""
        self._stopped.set()
        self._beat(ENDED, self._doing()[1])

    def _beat(self, phase: str, step: int) -> None:
        """A full disk is for those to tell whose work it ends."""
        assert self.folder is not None
        with self._lock, contextlib.suppress(OSError):
            self._count += 1
            Beat(self.rank, self._me, self._count, phase, step).write(self.folder)

    def _go_on(self) -> None:
        assert self.folder is not None
        has_told = False
        while not self._stopped.wait(BEAT_SECONDS):
            self._beat(*self._doing())
            if not has_told and is_lost(self.folder):
                has_told = True
                with contextlib.suppress(OSError, RuntimeError):  # else this thread ends, and with it the beats
                    self._on_lost()
                    give_up_waiting()


def give_up_waiting() -> None:
    """Have what waits for other ranks on a card fail now: NCCL would not notice that one is gone for minutes."""
    import torch.distributed as dist

    if dist.is_initialized() and torch.cuda.is_initialized() and torch.cuda.is_available():
        from torch.distributed.distributed_c10d import _abort_process_group

        _abort_process_group()


def speak_into(file: Path) -> None:
    """From now on this process's output goes to a file of its own, that of libraries below Python too."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(fd, stream)
    os.close(fd)


def leave_now(exit_code: int) -> NoReturn:
    """End this process without waiting for threads: two of seven gloo runs hung there with all their work done."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)
