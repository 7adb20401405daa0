"""What `finetui --version` tells, and with --verbose what a report of a defect needs.

Nothing is imported for it but the records of what is installed. Not here: whether it works (`finetui doctor`).
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

LIBRARIES = (
    *("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "datasets", "huggingface_hub"),
    *("textual", "gguf", "llama-cpp-python"),
)
GIT_SECONDS = 5


def version_text(*, is_verbose: bool) -> str:
    """One line for programs and people; verbose also commit, Python, system, libraries and folders."""
    from importlib.metadata import version

    first = f"finetui {version('finetui')}"
    if not is_verbose:
        return first
    from engine.own_defaults import own_file
    from engine.run_dir import cache_dir, finetui_home

    own = own_file()
    told = {
        "program": f"{Path(__file__).resolve().parents[1]}{_commit()}",
        "python": f"{platform.python_version()}, {sys.executable}",
        "system": f"{_distribution()}, {platform.machine()}, kernel {platform.release()}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
        "terminal": f"TERM={os.environ.get('TERM', '')} COLORTERM={os.environ.get('COLORTERM', '')}",
        "home": str(finetui_home()),
        "cache": str(cache_dir()),
        "config": f"{own.path}{'' if own.exists else ' (not there)'}{' (faulty)' if own.faults else ''}",
    }
    return "\n".join([first, *(f"{name:<10} {text}" for name, text in told.items()), "GPU, driver: finetui doctor"])


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _commit() -> str:
    """The commit of the checkout that the program runs from; empty for an installed one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
        state = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ", a checkout"
    return f", commit {commit.stdout.strip()}{', changed' if state.stdout.strip() else ''}"
