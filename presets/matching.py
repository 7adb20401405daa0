"""Which presets suit a machine: each one planned for it, ranked, with the reason.

Not here: choosing for the user; the list is shown and the user picks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import FinetuiError
from engine.hardware import Hardware
from engine.memory import Predictor, closed_form
from engine.outlook import expected_time, rung_outlooks
from engine.plan import Plan
from engine.recipe import Recipe
from engine.starting import export_problems, prospect
from engine.time_estimate import TimeEstimate
from engine.units import format_bytes
from presets.preset import Preset, all_presets

LARGE_FOR_A_CPU = 300_000_000
"""Parameters; SmolLM2-135M trains about 400 tokens a second on two cores, and time grows with size."""
ORDER = ("fits", "tight", "unknown", "will not fit", "cannot run")


@dataclass(frozen=True, slots=True)
class Match:
    """A preset on a machine: fits, tight, unknown, will not fit or cannot run, and why; where predicted, in figures."""

    preset: Preset
    verdict: str
    reason: str
    needed_bytes: int | None = None
    capacity_bytes: int | None = None
    time: TimeEstimate | None = None


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
    reason = f"needs about {format_bytes(memory.needed_bytes)} of {format_bytes(memory.capacity_bytes)}"
    if memory.verdict == "will not fit" and found.shape:
        reason += with_the_ladder(found.plan, found.recipe, closed_form(found.shape))
    if found.plan.device == "cpu" and found.shape and found.shape.num_parameters > LARGE_FOR_A_CPU:
        reason += "; there is no NVIDIA card, and a model of this size takes very long on a CPU"
    if export_problems(found.recipe, found.config):
        reason += f"; its export to {', '.join(found.recipe.export.to)} cannot be made here yet"
    time = expected_time(found.plan, found.recipe, found.shape, hardware)
    return Match(each, memory.verdict, reason, memory.needed_bytes, memory.capacity_bytes, time)


def with_the_ladder(plan: Plan, recipe: Recipe, predictor: Predictor) -> str:
    """What the rungs that the recipe allows make of a plan that will not fit."""
    rungs = [each for each in rung_outlooks(plan, recipe, predictor) if each.is_allowed]
    for each in rungs:
        if each.memory and each.memory.verdict != "will not fit":
            return f"; the ladder makes it fit, by rungs up to {each.rung.name}"
    return "; nothing that the recipe allows to give up makes it fit" if rungs else ""


def rank(hardware: Hardware) -> tuple[Match, ...]:
    """All presets, the most usable first."""
    matches = [match(each, hardware) for each in all_presets()]
    return tuple(sorted(matches, key=lambda each: (ORDER.index(each.verdict), each.preset.name)))
