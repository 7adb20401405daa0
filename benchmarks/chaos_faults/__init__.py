"""Faults that `benchmarks/chaos.py` and its short version in tests/runs/test_chaos.py put a run through.

Each module here offers FAULTS: name of the fault -> what tries it once. Not here: how often each is
tried, and the table.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault put to one run. `lost` says what was lost or untrue, "" where nothing was; `seen` what happened."""

    seen: str
    lost: str = ""


Fault = Callable[[Path, random.Random], Trial]
"""Tries a fault once in an empty folder of its own; chance comes from the second argument only."""
