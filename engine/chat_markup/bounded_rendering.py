"""A chat template carried out with bounds: it is a program that came with the model.

transformers renders it in Jinja's immutable sandbox, which keeps it from Python's objects, but neither from computing
for ever nor from filling the memory. Not here: what is made of the text (`engine.training.rendering`, `served_chat`).
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from typing import Any

from data.time_limit import TimeLimit, TookTooLong

SECONDS = 10.0
"""For one conversation, compiling the template included. Real ones take less than a millisecond."""
MEMORY_BYTES = 256 * 1024**2
"""More than the process has when the rendering begins."""
MAX_GROWTH, MAX_CHARACTERS = 50, 1024**2
"""The text has at most so many characters for each of the messages, and so many besides."""


class RefusedByTemplateError(ValueError):
    """The template cannot or must not render the messages; the text says why, on one line."""


def rendered(tokenizer: Any, turns: Sequence[dict[str, str]], *, prompt: bool) -> str:
    """The conversation as the tokenizer's chat template writes it, with an answer's opening for a `prompt`.

    Raises RefusedByTemplateError for whatever keeps the template from it, its own refusals included, and for one that
    exceeds the bounds above. Time is bounded in the main thread only, as memory is.
    """
    try:
        with TimeLimit(SECONDS), _MemoryLimit(MEMORY_BYTES):
            text = str(tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=prompt))
    except TookTooLong:
        raise RefusedByTemplateError(f"it computes for more than {SECONDS:g} s") from None
    except MemoryError:
        raise RefusedByTemplateError(f"it asks for more than {MEMORY_BYTES // 1024**2} MiB of memory") from None
    except RecursionError:
        raise RefusedByTemplateError("it calls itself without an end") from None
    except Exception as fault:  # a program of somebody else's: it can fail in every way there is
        raise RefusedByTemplateError(_one_line(fault)) from fault
    most = MAX_CHARACTERS + MAX_GROWTH * sum(len(turn["content"]) for turn in turns)
    if len(text) > most:
        raise RefusedByTemplateError(f"it makes {len(text):,} characters of the messages, and {most:,} are taken")
    return text


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())[:300] or type(fault).__name__


def _address_space() -> int:
    """Bytes of this process's address space. By system calls: it is asked for every row."""
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(file, 64).split(None, 1)[0]) * resource.getpagesize()
    finally:
        os.close(file)


class _MemoryLimit:
    """So many bytes of address space more than there are now, while it lasts; what asks for more gets MemoryError."""

    __slots__ = ("_before", "_num_bytes")

    def __init__(self, num_bytes: int) -> None:
        self._num_bytes = num_bytes
        self._before: tuple[int, int] | None = None

    def __enter__(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = _address_space() + self._num_bytes
        if wanted < min((each for each in (soft, hard) if each != resource.RLIM_INFINITY), default=wanted + 1):
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
            self._before = soft, hard

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            resource.setrlimit(resource.RLIMIT_AS, self._before)
