"""Quantizing a GGUF file: a process of llama.cpp's own, watched, and its result read before it counts.

Not here: which types there are and what they come to (`file_types`), where the importance matrix comes from
(`importance`), and whether the file still answers well (`engine.exporters.verification`).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.environment import child_environment, worker_command
from engine.errors import FinetuiError, ModelError, RunDirError
from engine.gguf_runtime import binding
from engine.gguf_runtime.file_types import CODES, contents, foresee

MODULE = "engine.gguf_runtime.quantizing_worker"
UNQUANTIZED = frozenset({"F16", "BF16", "F32"})


@dataclass(frozen=True, slots=True)
class Quantized:
    """One quantized file. `tensor_types` counts tensors by type, the commonest first."""

    path: Path
    file_type: str
    num_bytes: int
    bits_per_weight: float
    tensor_types: Mapping[str, int]
    fallbacks: int


def quantize(
    source: Path,
    target: Path,
    file_type: str,
    *,
    importance: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Quantized:
    """Write `source`, a file of 16 or 32 bits per weight, as `file_type` to `target`; what was written.

    `importance` is a file as `importance_file` writes it. `progress` is told (tensors done, of how many); what it
    raises ends the work. Raises ModelError where llama.cpp refuses or dies, RunDirError for a full disk; then no
    `target` is left. Raises KeyError for a type not offered.
    """
    binding.library()
    before = contents(source)
    if not set(before.tensor_types) <= UNQUANTIZED:
        raise ModelError(
            f"{source.name} is quantized already ({', '.join(before.tensor_types)}).",
            means="Rounding it a second time would lose more than its type says.",
            remedy="Quantize the F16 file.",
        )
    expected = foresee(before.tensors, file_type)
    try:
        _run(source, target, file_type, importance, progress)
        written = contents(target)
        if written.file_type != file_type:
            raise _not_as_named(target, file_type, written.file_type)
        if len(written.tensors) != len(before.tensors):
            raise _failed(source, file_type, f"{len(written.tensors)} of {len(before.tensors)} tensors were written")
    except (OSError, ValueError) as fault:
        target.unlink(missing_ok=True)
        raise _failed(source, file_type, str(fault)) from fault
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Quantized(
        target,
        file_type,
        written.num_bytes,
        written.bits_per_weight,
        written.tensor_types,
        expected.fallbacks,
    )


def check_file_type(path: Path, file_type: str) -> None:
    """Raises ModelError when the header of a GGUF file names another type than `file_type`, or cannot be read."""
    try:
        found = contents(path).file_type
    except (OSError, ValueError) as fault:
        raise _failed(path, file_type, str(fault)) from fault
    if found != file_type:
        raise _not_as_named(path, file_type, found)


def _run(
    source: Path,
    target: Path,
    file_type: str,
    importance: Path | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """The process, to its end."""
    assert file_type in CODES
    words = (str(source), str(target), file_type, str(importance or "-"), str(os.getpid()))
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            worker_command(MODULE, *words), stdout=subprocess.PIPE, stderr=errors, env=child_environment(offline=True)
        ) as process,
    ):
        assert process.stdout is not None
        reason: str | None = None
        try:
            for line in process.stdout:
                told = json.loads(line)
                if isinstance(told, dict):
                    reason = told["reason"]
                elif progress is not None:
                    progress(told[0], told[1])
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        if reason is None:
            errors.seek(0)
            last = errors.read().decode("utf-8", errors="replace").strip().splitlines()[-1:]
            reason = last[0] if last else f"its process ended with {code}"
    if reason:
        raise _failed(source, file_type, reason)


def _failed(source: Path, file_type: str, reason: str) -> FinetuiError:
    if "iostream error" in reason or "No space left" in reason:
        return RunDirError(
            f"The {file_type} file could not be written whole: {reason}.",
            means="The disk is full, or refuses to be written. Nothing half-made is left.",
            remedy="Free space there, or choose another folder with --output.",
        )
    return ModelError(
        f"llama.cpp could not make {file_type} of {source.name}: {reason}.",
        means="Nothing half-made is left; what was exported before is as it was.",
        remedy="Choose another type, for example Q8_0, or F16, which is not quantized.",
    )


def _not_as_named(path: Path, file_type: str, found: str) -> ModelError:
    return ModelError(
        f"{path.name} was to be {file_type}, but its header says {found}.",
        means="Programs that load it would take it for something else.",
        remedy="Export it again; if it stays so, the installed llama.cpp writes another number for this type.",
    )
