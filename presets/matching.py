"""Which presets suit a machine: each one planned for it, ranked, with the reason.

Not here: choosing for the user; the list is shown and the user picks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import FinetuiError
from engine.hardware import Hardware
from engine.starting import prospect
from engine.units import format_bytes
from presets.preset import Preset, all_presets

ORDER = ("fits", "tight", "unknown", "will not fit", "cannot run")


@dataclass(frozen=True, slots=True)
class Match:
    """A preset on a machine: fits, tight, unknown, will not fit or cannot run, and why."""

    preset: Preset
    verdict: str
    reason: str


def match(each: Preset, hardware: Hardware) -> Match:
    """How one preset would do on this hardware."""
    try:
        found = prospect(each.recipe(), hardware, base_dir=Path.cwd())
    except FinetuiError as fault:
        first = next((line.strip() for line in str(fault).splitlines()[1:] if line.strip()), fault.happened)
        return Match(each, "cannot run", first)
    memory = found.plan.memory
    if memory is None:
        return Match(each, "unknown", "; ".join(found.notes) or "memory is not predicted")
    needed = format_bytes(memory.peak_bytes + memory.outside_bytes)
    return Match(each, memory.verdict, f"needs about {needed} of {format_bytes(memory.capacity_bytes)}")


def rank(hardware: Hardware) -> tuple[Match, ...]:
    """All presets, the most usable first."""
    matches = [match(each, hardware) for each in all_presets()]
    return tuple(sorted(matches, key=lambda each: (ORDER.index(each.verdict), each.preset.name)))
