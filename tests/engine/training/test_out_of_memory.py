"""Which exceptions mean that memory ran out, which that the disk is full, and that nothing else does.

Words of a card's libraries are given as they print them; what can be made here is made: a full disk, an
allocation that no machine can serve, and a model that is loaded under a cap it does not fit.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.training.out_of_memory import Raised, forget_frames, is_disk_full, out_of_memory

FILL = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from engine.training.out_of_memory import Raised, disk_full, is_disk_full, out_of_memory
folder, tensor = Path(sys.argv[1]), {"x": torch.zeros(100_000)}
writes = {
    "python": lambda: (folder / "file").write_text("x" * 10**6),
    "torch.save": lambda: torch.save(tensor, folder / "file"),
    "safetensors": lambda: save_file(tensor, folder / "file"),
}
try:
    writes[sys.argv[2]]()
except Raised as fault:
    assert is_disk_full(fault)
    error = disk_full(fault, str(folder))
    print(out_of_memory(fault), error.happened, error.remedy, sep="\\n")
"""
LOAD_CAPPED = """
import resource, sys
from pathlib import Path
import bitsandbytes, psutil, torch
from engine.training.model_loading import load_model
from engine.training.out_of_memory import Raised, out_of_memory
torch.set_num_threads(1)
quantization = sys.argv[2] or None
load_model(Path(sys.argv[3]), dtype="float32", quantization=quantization)  # what is loaded once does not count
used = psutil.Process().memory_info().data
resource.setrlimit(resource.RLIMIT_DATA, (used + 24 * 2**20, -1))
try:
    load_model(Path(sys.argv[1]), dtype="float32", quantization=quantization)
except Raised as fault:
    lacking = out_of_memory(fault)
    print(lacking.cause if lacking else f"not understood: {fault!r}")
"""


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (MemoryError(), "cpu allocator"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "cuda"),
        (RuntimeError("CUDA error: out of memory"), "cuda"),
        (RuntimeError("NCCL Error 1: unhandled cuda error, NCCL out of memory"), "cuda"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "cublas"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "cublas"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), "cpu allocator"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
            "cpu allocator",
        ),
        (
            RuntimeError("unable to mmap 538090408 bytes from file <model>: Cannot allocate memory (12)"),
            "cpu allocator",
        ),
        (RuntimeError("could not create a primitive"), "cpu allocator"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "cpu allocator"),
        (ImportError("libx.so: failed to map segment: Cannot allocate memory"), "cpu allocator"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_allocators_wording_is_known(fault: BaseException, cause: str) -> None:
    lacking = out_of_memory(fault)
    assert lacking is not None
    assert lacking.cause == cause
    assert lacking.message
    assert not is_disk_full(fault)


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        OSError(errno.ENOENT, "No such file or directory"),
        ImportError("No module named 'flash_attn'"),
        KeyError("memory"),
        RuntimeError("can't start new thread"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_lack_of_memory_is_not_taken_for_one(fault: BaseException) -> None:
    assert out_of_memory(fault) is None
    assert not is_disk_full(fault)


def test_an_allocation_that_no_machine_can_serve_is_understood() -> None:
    with pytest.raises(Raised) as told:
        torch.empty(2**58)
    lacking = out_of_memory(told.value)
    assert lacking is not None
    assert lacking.cause == "cpu allocator"


def wrapped(*, hidden: bool) -> RuntimeError:
    try:
        try:
            raise MemoryError
        except MemoryError as fault:
            raise RuntimeError("the loader stopped") from (None if hidden else fault)
    except RuntimeError as outer:
        return outer


def test_a_fault_wrapped_in_another_is_found() -> None:
    assert out_of_memory(wrapped(hidden=False)) is not None
    assert out_of_memory(wrapped(hidden=True)) is None


def can_mount() -> bool:
    """Whether this user may have a small disk of its own, in a namespace that nobody else sees."""
    tool = shutil.which("unshare")
    return tool is not None and subprocess.run([tool, "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this machine lets its users mount nothing")
@pytest.mark.parametrize("write", ["python", "torch.save", "safetensors"])
def test_a_full_disk_is_no_lack_of_memory_and_has_a_remedy_of_its_own(tmp_path: Path, write: str) -> None:
    command = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -P -c "$3" "$1" "$4"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, "sh", tmp_path, sys.executable, FILL, write],
        capture_output=True,
        text=True,
        check=False,
    )
    memory, happened, remedy = done.stdout.splitlines()
    assert memory == "None", done.stdout + done.stderr
    assert happened.startswith("The disk is full")
    assert f"Make room on the disk that holds {tmp_path}" in remedy


def test_a_forgotten_fault_keeps_no_tensor_of_the_frames_it_passed_through() -> None:
    freed: list[str] = []

    class Activations:
        def __del__(self) -> None:
            freed.append("activations")

    def step() -> None:
        held = Activations()
        raise MemoryError(str(held))

    try:
        step()
    except MemoryError as fault:
        assert not freed
        forget_frames(fault)
        assert freed == ["activations"]


@pytest.mark.parametrize("quantization", ["", "nf4"])
def test_a_model_too_large_for_its_cap_is_out_of_memory_however_transformers_words_it(
    tmp_path: Path, tiny_model_folder: Path, quantization: str
) -> None:
    """While quantizing, transformers swallows the allocator's exception and tells of a table in its log."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=256, hidden_size=1024, intermediate_size=4096, num_hidden_layers=2, num_attention_heads=8
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model_folder / name, tmp_path)
    arguments: list[Any] = [sys.executable, "-P", "-c", LOAD_CAPPED, tmp_path, quantization, tiny_model_folder]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[-2] == "cpu allocator", done.stdout + done.stderr[-2000:]
