"""Completion of a path while it is typed: what could come next. Reads names of one folder only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

MOST = 50
Wanted = Literal["model", "rows", "any"]


def completions(text: str, folder: Path, wanted: Wanted = "any") -> tuple[str, ...]:
    """Texts that begin like `text`, folders with a slash at their end; sorted, hidden ones only when asked for.

    `folder` is where relative paths start from. What cannot be read has no completions.
    """
    typed_folder, _, start = text.rpartition("/")
    shown = f"{typed_folder}/" if "/" in text else ""
    try:
        looked_at = folder / Path(shown).expanduser() if shown else folder
        with os.scandir(looked_at) as entries:
            found = [
                shown + entry.name + ("/" if entry.is_dir() else "")
                for entry in entries
                if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith("."))
                if entry.is_dir() or _fits(entry.name, wanted)
            ]
    except (OSError, ValueError, RuntimeError):
        return ()
    return tuple(sorted(found, key=lambda each: (not each.endswith("/"), each))[:MOST])


def _fits(name: str, wanted: Wanted) -> bool:
    if wanted == "rows":
        from engine.data_request import names_rows  # late: the first frame completes nothing

        return names_rows(name)
    return wanted == "any" or name.lower().endswith(".gguf")
