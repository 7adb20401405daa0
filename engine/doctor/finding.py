"""One thing that was looked at, and what it came to. Not here: looking."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`status` is fail for what keeps runs from working. `remedy` says in words what mends it, and `command` is the
    shell command that does ("" where none can). Where all is well both are empty, or a hint."""

    name: str
    status: Status
    found: str
    remedy: str = ""
    command: str = ""

    @staticmethod
    def from_json(stored: dict[str, Any]) -> Finding:
        """What `dataclasses.asdict` took apart, as it comes from another process."""
        return Finding(**stored)


def command(*words: str) -> str:
    """Words as a shell takes them."""
    return shlex.join(words)


def worst(findings: Iterable[Finding]) -> Status:
    """The worst status among findings."""
    found = {finding.status for finding in findings}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"
