"""What a draft would take on a machine, at once: its plan by the closed form. Asks no network and starts nothing.

Not here: the better prediction by a dry run, and everything else a review shows (`review`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from engine.calibration import calibrated
from engine.errors import FinetuiError
from engine.hardware import Hardware
from engine.memory import Predictor, closed_form, trainable_parameters
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.row_counts import row_counts
from engine.row_lengths import RowLengths
from engine.starting import with_absolute_paths
from engine.units import format_bytes
from tui_app.steps.draft import Draft
from tui_app.steps.own_sizes import base_folder, shape_of_draft


@dataclass(frozen=True, slots=True)
class Foresight:
    """A recipe with absolute paths and its plan. `fault` says why there is none; an unknown `shape` is None."""

    recipe: Recipe | None
    plan: Plan | None
    shape: ModelShape | None
    rows: RowLengths | None = None
    rows_from: str = ""
    fault: str = ""

    @property
    def predictor(self) -> Predictor | None:
        """The closed form of the model, scaled by what was measured here."""
        return calibrated(closed_form(self.shape)) if self.shape else None

    @property
    def num_trained(self) -> int | None:
        """Parameters that are trained."""
        return trainable_parameters(self.plan, self.shape) if self.plan and self.shape else None

    def cost(self) -> str:
        """Needed memory and verdict in a few words; the fault where there is no plan."""
        if self.plan is None:
            return self.fault
        memory = self.plan.memory
        if memory is None:
            return "memory not known: the model's config is not here yet"
        trained = f", {self.num_trained / 1e6:,.1f} M trained" if self.num_trained is not None else ""
        share = f"{format_bytes(memory.needed_bytes)} of {format_bytes(memory.capacity_bytes)}"
        return f"{share}, {memory.verdict}{trained}"


@functools.lru_cache(maxsize=128)
def foresee(draft: Draft, hardware: Hardware) -> Foresight:
    """The plan of a draft on the machine as it is (the draft's device is applied here)."""
    shape = shape_of_draft(draft)
    try:
        recipe = with_absolute_paths(draft.recipe(), base_folder(draft))
        rows, rows_from = row_counts(recipe, base_folder(draft), may_count=False)
        seen = Foresight(recipe, None, shape, rows, rows_from)
        chosen = plan(recipe, draft.hardware(hardware), shape, rows=rows, predictor=seen.predictor)
    except FinetuiError as fault:
        lines = [line.strip() for line in fault.happened.splitlines() if line.strip()]
        return Foresight(None, None, shape, fault=lines[1] if len(lines) > 1 else fault.happened)
    return Foresight(recipe, chosen, shape, rows, rows_from)
