"""What an exception means for memory: which allocator gave up, whether the disk is full, or neither.

Each library has a wording of its own, and some wrap another's fault in theirs, so the causes of an exception are
looked at too. Whatever is not named here is no lack of memory and never changes a plan. Not here: what becomes of
it (`attempt`, and the supervisor's ladder).
"""

from __future__ import annotations

import errno
import resource
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from safetensors import SafetensorError

from engine.errors import RunDirError
from engine.events import clip

Raised = (RuntimeError, MemoryError, OSError, ImportError, SafetensorError)
"""Types by which allocators and disks tell; `cause_of` and `is_disk_full` judge what is caught."""

CUDA = ("CUDA out of memory", "CUDA error: out of memory", "cudaErrorMemoryAllocation", "NCCL out of memory")
CUDA_LIBRARIES = (
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUSPARSE_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED"),
    *("CUDNN_STATUS_ALLOC_FAILED", "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    *("CUSOLVER_STATUS_ALLOC_FAILED", "cusolver error: CUSOLVER_STATUS_ALLOC"),
)
# The allocator, the C++ runtime and oneDNN (which needs memory for its kernels) each have a wording of their own.
CPU = (
    *("DefaultCPUAllocator", "std::bad_alloc", "could not create a primitive", "could not create a memory"),
    *("Cannot allocate memory", "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
)
DISK = ("No space left on device", "Disk quota exceeded")
TORCH_SAVE = ("basic_ios::clear: iostream error", "PytorchStreamWriter failed writing", "file write failed")
"""torch.save's way to say that a disk refused; what the disk said is lost by then, and it is hardly ever not full."""
NO_THREAD = "can't start new thread"
"""No room for a stack where this process's memory is capped; elsewhere the system allows no more threads."""
MAX_CAUSES = 8


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """One lack of memory: `cause` is cuda, cublas or cpu allocator, `message` what it said, on one line."""

    cause: str
    message: str


def out_of_memory(fault: BaseException) -> OutOfMemory | None:
    """What memory an exception says is lacking; None for any other exception, a full disk included."""
    if is_disk_full(fault):
        return None
    for one in _causes(fault):
        if cause := cause_of(one):
            return OutOfMemory(cause, clip(str(one).strip().split("\n")[0] or type(one).__name__, 400))
    return None


def cause_of(fault: BaseException) -> str:
    """cuda, cublas (one of the card's libraries), cpu allocator, or empty. Looks at this exception alone."""
    text = str(fault)
    if isinstance(fault, torch.OutOfMemoryError) or any(words in text for words in CUDA):
        return "cuda"
    if any(words in text for words in CUDA_LIBRARIES):
        return "cublas"
    is_cpu = isinstance(fault, MemoryError) or getattr(fault, "errno", None) == errno.ENOMEM
    is_cpu = is_cpu or any(words in text for words in CPU) or (NO_THREAD in text and _is_capped())
    return "cpu allocator" if is_cpu else ""


def is_disk_full(fault: BaseException) -> bool:
    """Whether an exception, or what caused it, says that a disk or a quota is full."""
    return any(
        getattr(one, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        or any(words in str(one) for words in (*DISK, *TORCH_SAVE))
        for one in _causes(fault)
    )


def disk_full(fault: BaseException, folder: str) -> RunDirError:
    """The error for a full disk under `folder`, which no change of plan would mend."""
    said = [str(one).strip().split("\n")[0] for one in _causes(fault) if is_disk_full(one)]
    return RunDirError(
        f"The disk is full, or refused to write: {clip(said[-1] if said else str(fault), 200)}",
        means="What was being written is not kept; checkpoints written before are intact. No memory is lacking.",
        remedy=f"Make room on the disk that holds {folder}, then `finetui resume` the run: it goes on from the newest.",
    )


def forget_frames(fault: BaseException) -> None:
    """Let go of what an exception keeps alive: the frames it passed through hold the step's activations."""
    for one in _causes(fault):
        traceback.clear_frames(one.__traceback__)
        one.__traceback__ = None


def _is_capped() -> bool:
    return resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """The exception, and what it was raised from or while handling."""
    one: BaseException | None = fault
    for _ in range(MAX_CAUSES):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
