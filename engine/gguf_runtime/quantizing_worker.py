"""The process that quantizes one GGUF file: llama.cpp may end it with an abort, and its caller may kill it.

Run as `python -P -m engine.gguf_runtime.quantizing_worker SOURCE TARGET FILE_TYPE IMPORTANCE PARENT_PID`, IMPORTANCE
being a file or "-". stdout: a JSON line [done, tensors] per tensor, and at the end {"reason": ""} or why it failed.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.gguf_runtime import binding
from engine.gguf_runtime.file_types import CODES
from engine.worker_edge import die_with_parent

if TYPE_CHECKING:
    import numpy as np


def quantize(source: Path, target: Path, file_type: str, importance: Path | None) -> str:
    """Why it failed, empty when it did not."""
    library = binding.library()
    binding.listen(_tell)
    parameters = library.llama_model_quantize_default_params()
    parameters.ftype = CODES[file_type]
    parameters.nthread = len(os.sched_getaffinity(0))
    kept: list[Any] = []  # what the library holds pointers to
    if importance is not None:
        from engine.gguf_runtime.importance_file import read_importance

        parameters.imatrix = _entries(library, read_importance(importance).mean_squares(), kept)
    code = library.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(parameters))
    return "" if code == 0 else binding.reason() or f"its code is {code}"


def _entries(library: Any, mean_squares: Mapping[str, np.ndarray], kept: list[Any]) -> Any:
    """The array that `llama_model_quantize` takes: (name, floats, how many), ended by an entry without a name."""
    entries = (library.llama_model_imatrix_data * (len(mean_squares) + 1))()
    for entry, (name, values) in zip(entries, mean_squares.items(), strict=False):
        encoded = name.encode()
        kept += [encoded, values]
        entry.name = encoded
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    kept.append(entries)
    return entries


def _tell(line: str) -> None:
    if match := re.match(r"\[\s*(\d+)/\s*(\d+)\]", line):
        _say([int(match[1]), int(match[2])])


def _say(words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> int:
    source, target, file_type, importance, parent = sys.argv[1:6]
    die_with_parent(int(parent))
    reason = quantize(Path(source), Path(target), file_type, None if importance == "-" else Path(importance))
    _say({"reason": reason})
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
