"""llama.cpp's shared library, as llama-cpp-python's low-level module offers it, with its log kept instead of printed.

Not here: what is done with it (`model`, `quantizing`).
"""

from __future__ import annotations

import atexit
import importlib.util
import os
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

from engine.errors import ModelError

REMEDY = "Run `make gguf` in finetui's folder, or: pip install 'finetui[gguf]' (compiled on the spot: a C++ compiler)."
KEPT_LINES = 200
ERROR_LEVEL = 4
"""ggml's GGML_LOG_LEVEL_ERROR; 5 continues the line before."""
CONTINUED = 5
_lines: deque[tuple[int, str]] = deque(maxlen=KEPT_LINES)
_callbacks: list[Any] = []
_listeners: list[Callable[[str], None]] = []


def is_installed() -> bool:
    """Whether llama-cpp-python is there; nothing of it is loaded."""
    return importlib.util.find_spec("llama_cpp") is not None


@cache
def library() -> Any:
    """The module `llama_cpp.llama_cpp`, ready for use and silent.

    Raises ModelError when it is not installed, or its shared library cannot be loaded here.
    """
    if not is_installed():
        raise ModelError(
            "llama.cpp is not installed.",
            means="Running, quantizing and checking GGUF files is done by it, through llama-cpp-python.",
            remedy=REMEDY,
        )
    try:
        from llama_cpp import llama_cpp as library
    except (OSError, RuntimeError, ImportError, AttributeError) as fault:
        raise ModelError(
            f"llama.cpp cannot be loaded: {fault}",
            means="llama-cpp-python is installed, but was built for another machine, or a library it needs is missing.",
            remedy="Build it again: pip install --force-reinstall --no-cache-dir --no-deps llama-cpp-python",
        ) from fault
    _close_at_exit()
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # else an abort starts a debugger
    callback = library.llama_log_callback(_keep)
    _callbacks.append(callback)  # the library keeps the pointer only
    library.llama_log_set(callback, None)
    library.llama_backend_init()
    return library


def reason() -> str:
    """What llama.cpp said last about an error, on one line; empty when it said nothing."""
    for level, text in reversed(_lines):
        if level == ERROR_LEVEL and ":" in text and "failed to load model" not in text:
            # "function_name: what happened"; what follows the name is for people.
            function, said = text.split(":", 1)
            words = " ".join((said if " " not in function.strip() else text).split())
            return words.removeprefix("error loading model: ")
    return ""


def forget() -> None:
    """Drop what was said before: the next `reason` is about what follows."""
    _lines.clear()


def log() -> str:
    """The last lines that llama.cpp wrote, errors and all."""
    return "".join(text for _, text in _lines)


def listen(listener: Callable[[str], None]) -> None:
    """Let everything that llama.cpp begins to write be told to `listener`, for as long as the process lives."""
    _listeners.append(listener)


def _close_at_exit() -> None:
    """llama-cpp-python opens the null device on import and leaves it to the interpreter, which warns about that."""
    from llama_cpp import _utils

    for name in ("outnull_file", "errnull_file"):
        if (file := getattr(_utils, name, None)) is not None:
            atexit.register(file.close)


def _keep(level: int, text: bytes, _data: Any) -> None:
    words = text.decode("utf-8", errors="replace")
    if level == CONTINUED and _lines:
        before, begun = _lines.pop()
        _lines.append((before, begun + words))
        return
    _lines.append((level, words))
    for listener in _listeners:
        listener(words)
