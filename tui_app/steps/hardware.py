"""The first step: the machine, and where to start from. Presets are ranked, the impossible ones with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.units import format_bytes
from tui_app.steps.draft import AUTO, CPU, DEVICE, OWN, PRESET, Draft
from tui_app.steps.schema import Choice, Question, Step

if TYPE_CHECKING:
    from engine.hardware import Hardware
    from presets.matching import Match
    from tui_app.steps.surroundings import Surroundings

REFUSED = "cannot run"


def preset_choices(draft: Draft, surroundings: Surroundings) -> Sequence[Choice]:
    """Presets, the most usable first, then a model of one's own, then the base where it is none of them."""
    found = [_preset(each) for each in surroundings.matches or ()]
    found.append(
        Choice(
            OWN,
            "Your own model and rows",
            "sized to this machine",
            "Name any model and any rows. Method, rank, context and batch are chosen for the memory there is here.",
        )
    )
    if draft.base not in {each.value for each in found}:
        found.append(Choice(draft.base, draft.base, "recipe or run", "The recipe that you named."))
    return found


def _preset(each: Match) -> Choice:
    recipe = each.preset.recipe()
    explanation = " ".join(recipe.description.split())
    return Choice(
        each.preset.name,
        recipe.title or each.preset.name,
        each.verdict,
        f"{explanation} For: {recipe.hardware} Here: {each.reason}.",
        each.reason if each.verdict == REFUSED else "",
    )


def device_choices(_draft: Draft, surroundings: Surroundings) -> Sequence[Choice]:
    """The visible cards and the CPU; auto takes the card with the most free memory."""
    hardware = surroundings.hardware
    best = hardware.best_gpu if hardware else None
    if hardware is None or best is None:
        what = hardware.cpu_name if hardware else "the machine is being looked at"
        return [Choice(AUTO, "CPU", what, hardware.gpu_note if hardware else "")]
    found = [Choice(AUTO, "The card with the most free memory", best.name)]
    for gpu in hardware.gpus:
        detail = f"{format_bytes(gpu.free_bytes)} free of {format_bytes(gpu.total_bytes)}"
        found.append(Choice(gpu.uuid, f"GPU {gpu.index}: {gpu.name}", detail, gpu.bf16.reason))
    free = f"{format_bytes(hardware.ram_available_bytes)} of RAM free"
    return [*found, Choice(CPU, f"CPU: {hardware.cpu_name}", free, "Leaves the cards alone. Very much slower.")]


def device_fault(draft: Draft, hardware: Hardware) -> str:
    """Why the chosen device cannot be used: its card is not here (any more). Empty where it can."""
    chosen = draft.value(DEVICE)
    if chosen in (AUTO, CPU) or any(gpu.uuid == chosen for gpu in hardware.gpus):
        return ""
    return f"The card {chosen} that was chosen is not visible here. Choose another one under {STEP.title}."


STEP = Step(
    "hardware",
    "Hardware & preset",
    "What this machine can carry, and which starting point suits it.",
    (
        Question(
            name=PRESET,
            label="Start from",
            kind="choice",
            own_help="A preset is a whole recipe that is known to work; every value of it can be changed later. "
            "Your own model and rows get sizes that fit the memory of this machine.",
            choices=preset_choices,
        ),
        Question(
            name=DEVICE,
            label="Train on",
            kind="choice",
            own_help="The card that the run gets to see, or the CPU. It is no part of the recipe: the same recipe runs "
            "on another machine.",
            choices=device_choices,
            is_advanced=True,
        ),
    ),
)
