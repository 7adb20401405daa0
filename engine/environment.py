"""The environment that processes of a run start with: telemetry off, imports safe, allocator settled.

It must be in place before the libraries are imported; they read it once. Not here: starting the processes.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from engine.own_defaults import pinned

if TYPE_CHECKING:
    from engine.plan import Plan

QUIET: dict[str, str] = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_DISABLED": "true",
    "WANDB_MODE": "disabled",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "BITSANDBYTES_NOWELCOME": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONUNBUFFERED": "1",
}
# glibc returns large blocks to the kernel after every step and faults them in again; keeping them cut
# page faults 7.6M -> 1.25M and system time 14.8 -> 4.2 s over a 5-step run on 2 cores.
CPU_ALLOCATOR: dict[str, str] = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
# glibc raises this limit by itself up to 32 MiB; activations below it then share one heap, whose holes go back to
# nobody: LoRA steps whose tensors peaked at 708 to 1070 MiB needed 330 to 390 MiB more. Fixed, they need 77 to 88
# more, for a fifth more CPU time.
# oneDNN and torch's binding to it each keep 1,024 kernels with their scratch space, and every row length needs new
# ones: a step with a new length added 30 MiB (257 MiB in 10 steps of a model of 39 MiB). With 8 kept by either it adds
# none, the step takes as long, and the losses are the same to the last bit.
CAPPED_ALLOCATOR: dict[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8",
    "LRU_CACHE_CAPACITY": "8",
}
CPU_THREADS: dict[str, str] = {
    # How long libgomp's threads spin at a barrier before they sleep. Its default of 300,000 starves everyone
    # as soon as another process wants a core (10 tokens/s were seen on two cores); not to spin at all halves
    # the speed of idle ones (240 against 430 tokens/s); this gave 390.
    "GOMP_SPINCOUNT": "30000",
}

OTHERS_RANKS = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("TORCHELASTIC_RUN_ID", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_MIXED_PRECISION"),
)
"""What a launcher around finetui sets for processes of its own: a run is none, and its recipe says how to train."""


def silence_telemetry() -> None:
    """Turn off, in this process, what libraries underneath would send."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ[name] = "1"


def child_environment(*, offline: bool = False) -> dict[str, str]:
    """The environment of a worker process that does not compute on a plan's device."""
    environment = {name: value for name, value in os.environ.items() if name not in OTHERS_RANKS} | QUIET | pinned()
    if offline:
        environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return environment


def device_environment(*, device: str, uuid: str, expandable_segments: bool, is_capped: bool) -> dict[str, str]:
    """What a worker needs on top to compute on one device. The user's own settings of the allocator win.

    A capped CPU run holds nothing back for speed: whatever glibc keeps counts against the cap.
    """
    if device == "cpu":
        wanted = CPU_THREADS | (CAPPED_ALLOCATOR if is_capped else CPU_ALLOCATOR)
        return {name: os.environ.get(name, value) for name, value in wanted.items()} | {"CUDA_VISIBLE_DEVICES": ""}
    environment = {"CUDA_VISIBLE_DEVICES": uuid} if uuid else {}
    if expandable_segments and "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        environment["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    return environment


def looking_environment() -> dict[str, str]:
    """Of a worker that answers questions about rows and models: offline, and no card is looked for.

    A context on a card would take memory from a run.
    """
    return child_environment(offline=True) | {"CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}


def environment_of(plan: Plan) -> dict[str, str]:
    """What an attempt needs on top to follow that plan. Once memory was short nothing is held back for speed."""
    return device_environment(
        device=plan.device,
        uuid=plan.device_uuid,
        expandable_segments=plan.expandable_segments,
        is_capped=plan.enforce_limit or bool(plan.rungs),
    )


def worker_command(module: str, *arguments: str) -> list[str]:
    """`python -P -m module …`: with -P a `data/` or `engine/` package of the user's folder is never imported."""
    return [sys.executable, "-P", "-W", "ignore::FutureWarning", "-m", module, *arguments]
