"""Names of runs as people type them: which are allowed, which are free, and which run a shortened one means.

Not here: the folder behind a name (`run_dir`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.errors import RecipeError, RunDirError

NEWEST = "-"
"""Stands for the newest run, as it does for the last folder in `cd -`."""
LONGEST = 100
_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def require_name(name: str) -> str:
    """The name, if a run may be called so. Raises RecipeError."""
    if len(name) > LONGEST or not _ALLOWED.fullmatch(name) or name.endswith((".toml", ".")):
        near = re.sub(r"[^A-Za-z0-9._-]+", "-", name.removesuffix(".toml")).strip("-._")[:LONGEST]
        raise RecipeError(
            f"A run cannot be called {name!r}.",
            means=f"A name has letters, digits, '.', '_' and '-', {LONGEST} at most; a letter or digit is first.",
            remedy=f"For example: {near or 'first-try'}",
        )
    return name


def require_free(root: Path, name: str) -> Path:
    """The folder that a run of this name gets below `root`. Raises RecipeError, RunDirError naming one that is free."""
    path = root / require_name(name)
    if os.path.lexists(path):
        raise RunDirError(
            f"There is a run {name} already.",
            means="Nothing was started or renamed.",
            remedy=f"{nearest_free(root, name)} is free.",
        )
    return path


def numbered(root: Path, recipe_name: str) -> str:
    """The name that the next run of a recipe gets below `root`: `<recipe>-<n>`, one more than the highest there is.

    Raises OSError where the root cannot be listed.
    """
    stem = re.sub(r"[^a-z0-9]+", "-", recipe_name.lower()).strip("-")[: LONGEST - 10].rstrip("-") or "run"
    found = [re.fullmatch(rf"{stem}-(\d+)", path.name) for path in root.iterdir()] if root.is_dir() else []
    return f"{stem}-{max((int(m[1]) for m in found if m), default=0) + 1}"


def nearest_free(root: Path, name: str) -> str:
    """The name with the next number that nobody has: demo -> demo-2, demo-7 -> demo-8."""
    stem, _, number = name.rpartition("-")
    stem, number = (stem, number) if stem and number.isdecimal() and len(number) < 10 else (name, "1")
    return next(each for n in range(int(number) + 1, 10**10) if not os.path.lexists(root / (each := f"{stem}-{n}")))


def meant(shortened: str, names: Iterable[str]) -> str | None:
    """The only one of `names` (the newest last) that begins so; `-` is the newest. None where none does.

    A number is never cut in two: demo-1 does not mean demo-10, which it would once demo-1 is gone.
    Raises RunDirError where several begin so.
    """
    known = list(names)
    if shortened == NEWEST:
        return known[-1] if known else None
    found = [name for name in known if _begins(name, shortened)]
    if len(found) > 1:
        raise RunDirError(
            f"{shortened!r} may be {_some(found)}.",
            means="Nothing was done to any of them.",
            remedy="Type more of the name; Tab does it (`finetui completion`).",
        )
    return found[0] if found else None


def _begins(name: str, shortened: str) -> bool:
    cuts_number = shortened[-1:].isdigit() and name[len(shortened) : len(shortened) + 1].isdigit()
    return bool(shortened) and name.startswith(shortened) and not cuts_number


def _some(found: Sequence[str]) -> str:
    shown = list(reversed(found))[:5]
    rest = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"{' or '.join(shown)}{rest}" if not rest else f"{', '.join(shown)}{rest}"
