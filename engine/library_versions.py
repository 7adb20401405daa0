"""Installed versions of the libraries that decide how a step runs and what it takes. Nothing is imported for it.

Not here: what a run's manifest records of them (`starting`).
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util

STEP_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes")
"""Another version of any of these may take another amount of memory for the same plan."""

OPTIONAL_LIBRARIES = ("liger_kernel", "flash_attn", "deepspeed", "kernels")
"""Modules that finetui runs without, and uses where somebody installed them."""


def optional_libraries() -> tuple[str, ...]:
    """Those of `OPTIONAL_LIBRARIES` that can be imported here, by looking only."""
    return tuple(name for name in OPTIONAL_LIBRARIES if importlib.util.find_spec(name) is not None)


@functools.cache
def step_versions() -> tuple[tuple[str, str], ...]:
    """(name, version) of each; "absent" for one that is not installed."""
    return tuple((name, _version(name)) for name in STEP_LIBRARIES)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
