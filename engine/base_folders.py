"""Where programs of a user keep things, by the XDG Base Directory Specification (0.8).

Not here: what finetui keeps below them (`run_dir`, `own_defaults`).
"""

from __future__ import annotations

import os
from pathlib import Path


def config_base() -> Path:
    """`$XDG_CONFIG_HOME`, else `~/.config`."""
    return _base("XDG_CONFIG_HOME", ".config")


def data_base() -> Path:
    """`$XDG_DATA_HOME`, else `~/.local/share`."""
    return _base("XDG_DATA_HOME", ".local", "share")


def cache_base() -> Path:
    """`$XDG_CACHE_HOME`, else `~/.cache`."""
    return _base("XDG_CACHE_HOME", ".cache")


def _base(variable: str, *otherwise: str) -> Path:
    """ "All paths set in these environment variables must be absolute": a relative one is ignored, as it says there."""
    named = os.environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else Path.home().joinpath(*otherwise)  # noqa: PTH117 - no Path of ""
