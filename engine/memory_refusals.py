"""How a run ends for lack of memory: what is missing, and what would help. Sentences only.

Not here: deciding that it ends (`climbing`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.errors import OutOfMemoryError
from engine.ladder import COSTLY, Step
from engine.memory import MemoryPrediction
from engine.plan import Plan
from engine.recipe_sections import LadderSection
from engine.units import format_bytes

REMEDIES = {
    "cuda": "Close other programs on the card (nvidia-smi lists them), choose a smaller model, or use a larger card.",
    "cublas": "cuBLAS or cuDNN found no room for its workspace: close other programs on the card, or leave more of it "
    "free with a lower memory.limit.",
    "cpu allocator": "Raise memory.limit if the machine has more RAM, or choose a smaller model.",
    "host": "Free RAM, raise the container's or batch job's limit, or set memory.limit below what is free: then the "
    "run notices by itself and keeps the step it was in.",
}
ANY_REMEDY = "Choose a smaller model, or give the run more memory."


def exhausted(
    plan: Plan, why: str, reason: str, cause: str, consent: Sequence[Step], limits: LadderSection
) -> Exception:
    """Memory ran out and the ladder has nothing left to give."""
    taken = ", ".join(plan.rungs) or "none"
    means = f"Rungs taken: {taken}."
    return OutOfMemoryError(
        f"Out of memory, and {why}: {reason}",
        means=" ".join([means, *_effects(consent)]),
        remedy=" ".join([*_consenting(consent, limits), REMEDIES.get(cause, ANY_REMEDY)]),
    )


def too_small(lowest: Plan, memory: MemoryPrediction) -> OutOfMemoryError:
    """Not even the smallest plan that the recipe allows has room: no attempt is made."""
    how = f" even with {', '.join(dict.fromkeys(lowest.rungs))}" if lowest.rungs else ""
    return OutOfMemoryError(
        f"This needs at least {format_bytes(memory.needed_bytes)}{how}; "
        f"{format_bytes(memory.capacity_bytes)} may be used.",
        means=f"Weights, adapter and optimizer state alone take {format_bytes(memory.static_bytes)}. "
        f"No attempt was made ({memory.method}).",
        remedy=ANY_REMEDY,
    )


def without_consent(
    lowest: Plan, memory: MemoryPrediction, consent: Sequence[Step], limits: LadderSection
) -> OutOfMemoryError:
    """Only rungs that the recipe does not allow would make it fit: no attempt is made."""
    names = " and ".join(dict.fromkeys(step.rung.name for step in consent))
    taken = f" with {', '.join(lowest.rungs)} taken" if lowest.rungs else ""
    return OutOfMemoryError(
        f"This fits only with {names}, which the recipe does not allow: {format_bytes(memory.needed_bytes)} are needed"
        f"{taken}, {format_bytes(memory.capacity_bytes)} may be used.",
        means=" ".join([*_effects(consent), f"No attempt was made ({memory.method})."]),
        remedy=" ".join([*_consenting(consent, limits), ANY_REMEDY]),
    )


def _effects(consent: Sequence[Step]) -> list[str]:
    """What each rung would bring, in GiB of the predicted peak."""
    told = []
    for step in consent:
        if step.before_bytes is None or step.after_bytes is None:
            told.append(f"{step.rung.name} ({step.rung.cost}) is not allowed by the recipe.")
            continue
        saved = format_bytes(step.before_bytes - step.after_bytes)
        told.append(
            f"{step.rung.name} ({step.rung.cost}) would save {saved}: peak {format_bytes(step.before_bytes)} -> "
            f"{format_bytes(step.after_bytes)}."
        )
    return told


def _consenting(consent: Sequence[Step], limits: LadderSection) -> list[str]:
    if not consent:
        return []
    wanted = {step.rung.name for step in consent}
    added = [rung.name for rung in COSTLY if rung.name in wanted and rung.name not in limits.costly]
    names = json.dumps([*limits.costly, *added]).replace(" ", "")
    sets = [f"--set 'ladder.costly={names}'"] if added else []
    return [f"Allow it: {' '.join([*sets, *([] if limits.enabled else ['--set ladder.enabled=true'])])}."]


def out_of_ram(worker: str, testimony: str) -> OutOfMemoryError:
    """The kernel killed a worker that has no ladder to go down."""
    return OutOfMemoryError(
        f"The process {worker} was killed for lack of RAM: {testimony}",
        means="What was finished before is intact.",
        remedy=REMEDIES["host"],
    )
