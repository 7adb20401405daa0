"""Installed versions of the libraries that decide how a step runs and what it takes. Nothing is imported for it.

Not here: what a run's manifest records of them (`starting`).
"""

from __future__ import annotations

import functools
import importlib.metadata

STEP_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes")
"""Another version of any of these may take another amount of memory for the same plan."""


@functools.cache
def step_versions() -> tuple[tuple[str, str], ...]:
    """(name, version) of each; "absent" for one that is not installed."""
    return tuple((name, _version(name)) for name in STEP_LIBRARIES)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
