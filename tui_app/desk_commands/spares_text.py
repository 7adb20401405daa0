"""How what can be freed is told: a table with the command for each kind, paths, or values for programs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.cleaning import Spare, size_of
from engine.run_dir import cache_dir, finetui_home
from engine.units import format_bytes
from tui_app.plain import one_line

KINDS: Mapping[str, str] = {
    "leftovers": "left over from what was cut off",
    "checkpoints": "checkpoints that nothing needs any more",
    "rows": "training rows as tokens, of trained runs",
    "logs": "logs of trained runs",
    "exports": "exports, which can be made again",
    "cache": "cached: worked out again when it is needed",
    "drafts": "the wizard's draft, the last traceback",
    "runs": "whole runs, with their results",
}
"""Each kind in the order of the table: what it is."""
MOST_NAMED = 3


def overview(found: Sequence[Spare], num_busy: int, older_than: str | None) -> list[str]:
    """The table: size, what it is, the command that frees it."""
    since = f" --older-than {older_than}" if older_than else ""
    lines: list[str] = []
    for kind, told in KINDS.items():
        of_kind = [each for each in found if each.kind == kind]
        free = [each for each in of_kind if not each.needed_by and kind != "runs"]
        if free:
            lines += _line(free, f"{told}{_owners(free)}", f"finetui clean --{kind}{since}")
        for each in of_kind:
            if each.needed_by:
                users = ", ".join(each.needed_by[:MOST_NAMED])
                more = f" and {len(each.needed_by) - MOST_NAMED} more" if len(each.needed_by) > MOST_NAMED else ""
                text = f"a converted model that {users}{more} would need again: {each.told}"
                lines += _line([each], text, f"finetui clean --cache {shlex.quote(each.path.name)}")
        if kind == "runs" and of_kind:
            largest = sorted(of_kind, key=lambda each: each.num_bytes, reverse=True)[:MOST_NAMED]
            named = ", ".join(f"{each.path.name} ({format_bytes(each.num_bytes)})" for each in largest)
            lines += _line(of_kind, f"{told}; the largest: {named}", f"finetui clean --runs RUN…{since}")
    hub = hub_cache()
    if hub.is_dir():
        lines += _table(
            size_of(hub), f"models and datasets of the hub, for all programs: {hub}", "hf cache ls; hf cache rm …"
        )
    if not lines:
        return ["Nothing to free."]
    left = f" {num_busy} {'run is' if num_busy == 1 else 'runs are'} in use and left alone." if num_busy else ""
    return [f"{finetui_home()}, {cache_dir()}", *lines, f"Nothing was removed.{left}"]


def hub_cache() -> Path:
    """Where the hub's libraries keep what they fetched: told, never touched."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def path_lines(found: Sequence[Spare]) -> Iterator[str]:
    """A line for each thing, and who needs it."""
    for each in found:
        users = f"; {', '.join(each.needed_by)} cannot go on without" if each.needed_by else ""
        yield one_line(f"{format_bytes(each.num_bytes):>10}  {each.path}  ({each.told}{users})")


def values(found: Sequence[Spare], faults: Sequence[str], *, is_done: bool) -> dict[str, Any]:
    """For programs: sizes in bytes."""
    return {
        "removed": is_done,
        "num_bytes": sum(each.num_bytes for each in found if each.kind != "runs" or is_done),
        "faults": list(faults),
        "items": [
            {
                "kind": each.kind,
                "path": str(each.path),
                "num_bytes": each.num_bytes,
                "run": each.run.name if each.run else None,
                "needed_by": list(each.needed_by),
                "told": each.told,
            }
            for each in found
        ],
    }


def _owners(found: Sequence[Spare]) -> str:
    names = list(dict.fromkeys(each.run.name for each in found if each.run))
    if not names:
        return ""
    return f" ({names[0]})" if len(names) == 1 else f" ({len(names)} runs)"


def _line(found: Sequence[Spare], text: str, command: str) -> list[str]:
    return _table(sum(each.num_bytes for each in found), text, command)


def _table(num_bytes: int, text: str, command: str) -> list[str]:
    return [one_line(f"{format_bytes(num_bytes):>10}  {text}"), one_line(f"{'':>12}{command}")]
