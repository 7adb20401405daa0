"""What every event is. Not here: the events (`events`, `result_events`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact about a run."""
