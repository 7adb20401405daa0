"""Threads and memory cap of a process that computes, enforced for real, and the reserve that lets it still save.

Not here: how large the cap is (`engine.plan`) and what happens when it is reached (`attempt`).
"""

from __future__ import annotations

import resource

import psutil
import torch

from engine.memory import outside_bytes
from engine.plan import Plan

RESERVE_BYTES = 64 * 2**20
"""Given up when memory runs out, so that the checkpoint can be written. Untouched pages: they cost no RAM."""
PROBE_MARGIN_BYTES = 24 * 2**20
"""Kept from the probe: threads and kernels that come later took 12 MiB more in the step than in the probe before it."""


class Reserve:
    """Address space of a capped CPU process that training cannot take. Empty on a card: saving copies to RAM."""

    def __init__(self, num_bytes: int) -> None:
        self._held: torch.Tensor | None = torch.empty(num_bytes, dtype=torch.uint8) if num_bytes else None

    def give_up(self) -> None:
        self._held = None


def probe_margin(plan: Plan) -> Reserve:
    """What a probe must leave, so that a plan that passes it does not run out a moment later."""
    return Reserve(PROBE_MARGIN_BYTES if plan.enforce_limit and plan.device == "cpu" else 0)


def settle(plan: Plan) -> Reserve:
    """Threads and cap of this process, before anything is loaded.

    On a CPU the cap is what may be allocated on top of the imported libraries. On a card it is all that the
    process takes there, so what lies outside PyTorch's pool is subtracted; paged optimizer state escapes it.
    """
    torch.set_num_threads(plan.num_threads)
    if not plan.enforce_limit:
        return Reserve(0)
    if plan.device == "cpu":
        used = psutil.Process().memory_info().data  # RLIMIT_DATA counts exactly that
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (used + plan.capacity_bytes + RESERVE_BYTES, hard))
        return Reserve(RESERVE_BYTES)
    outside = plan.memory.outside_bytes if plan.memory else outside_bytes(plan.device, plan.compute_capability)
    total = torch.cuda.get_device_properties(plan.device).total_memory
    pool = min(max(plan.capacity_bytes - outside, 0), total)
    torch.cuda.set_per_process_memory_fraction(pool / total, plan.device)
    return Reserve(0)
