"""The command and the environment that start an attempt on this host: one process, or torchrun for several.

Not here: what the supervisor does with it, and how other hosts join (`hosts`).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import worker_start
from engine.environment import worker_command
from engine.run_dir import RunDir

if TYPE_CHECKING:
    from engine.plan import Plan

ATTEMPT = "engine.training.attempt"
AGENT = "engine.training.agent"


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where and as which one this host meets the others. By default it is alone and nobody else can come."""

    node_rank: int = 0
    rdzv_backend: str = "c10d"
    rdzv_endpoint: str = ""
    """HOST:PORT of the first host; empty for a port of this host's own that only its own processes reach."""
    local_addr: str = "127.0.0.1"
    """Address of this host as the others reach it."""
    is_host: bool = True
    """Whether the meeting point is on this host."""
    interface: str = ""
    """Network interface for what ranks tell each other; empty to find it by the host's name."""
    run_id: str = ""
    """What all hosts call this attempt; empty for a name made of the run's."""


def attempt_command(run: RunDir, number: int, plan: Plan, meeting: Meeting = Meeting()) -> list[str]:
    """What to start for attempt `number` on this host. The process ends with this one."""
    arguments = [str(run.path), str(os.getpid()), str(number)]
    if plan.world_size == 1:
        return worker_command(worker_start.MODULE, ATTEMPT, *arguments)
    return worker_command(
        AGENT, str(os.getpid()), str(run.beats(number)), *torchrun_arguments(run, number, plan, meeting)
    )


def torchrun_arguments(run: RunDir, number: int, plan: Plan, meeting: Meeting) -> list[str]:
    """What torchrun is told. An attempt is never restarted in place: the supervisor starts the next one."""
    told = [
        *("--nnodes", str(plan.nnodes), "--nproc-per-node", str(plan.nproc_per_node), "--max-restarts", "0"),
        *("--rdzv-id", meeting.run_id or f"{run.name}-attempt-{number}", "--local-addr", meeting.local_addr),
    ]
    if meeting.rdzv_backend == "static":
        host, _, port = meeting.rdzv_endpoint.rpartition(":")
        told += ["--rdzv-backend", "static", "--node-rank", str(meeting.node_rank)]
        told += ["--master-addr", host, "--master-port", port]
    elif meeting.rdzv_endpoint:
        told += ["--rdzv-backend", meeting.rdzv_backend, "--rdzv-endpoint", meeting.rdzv_endpoint]
        told += ["--rdzv-conf", f"is_host={int(meeting.is_host)}"]
    told += ["--no-python", "--", *rank_command(run, number)]
    return told


def rank_command(run: RunDir, number: int) -> list[str]:
    """What each rank is. Its parent is torchrun, which `AGENT` names to it in the environment."""
    return worker_command(worker_start.MODULE, ATTEMPT, str(run.path), "0", str(number))


def rank_environment(plan: Plan, meeting: Meeting = Meeting()) -> dict[str, str]:
    """What ranks need besides the device's own environment; empty for a lone process. The user's settings win."""
    if plan.world_size == 1:
        return {}
    wanted = {"OMP_NUM_THREADS": str(plan.num_threads)}
    if plan.nnodes == 1 and sys.platform == "linux":
        meeting_at = "lo"
    else:
        meeting_at = meeting.interface
    if meeting_at:
        wanted |= {"GLOO_SOCKET_IFNAME": meeting_at} | ({"NCCL_SOCKET_IFNAME": meeting_at} if plan.nnodes > 1 else {})
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(plan.device_uuids)} if plan.device_uuids else {}
    return {name: os.environ.get(name, value) for name, value in wanted.items()} | visible
