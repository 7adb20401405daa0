"""The last step: everything that would be done, before anything is spent.

`review` answers at once, by the closed form; `sharpen` asks the dry run and counts the rows, which takes seconds.
Neither starts anything or asks a network. Not here: how it looks, and the actions (`starting`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from engine.calibration import calibrated
from engine.errors import FinetuiError, RecipeError
from engine.hardware import Hardware
from engine.memory import EIGHT_BIT_STATE_BYTES, closed_form, trainable_parameters
from engine.outlook import Outlook, outlook
from engine.recipe import Problem, Recipe
from engine.row_counts import row_counts
from engine.run_dir import runs_root
from engine.starting import Prospect, prospect, with_absolute_paths
from tui_app.plan_values import Value, plan_values
from tui_app.predicting import predictor_for
from tui_app.steps.draft import Draft
from tui_app.steps.hardware import device_fault
from tui_app.steps.model_facts import ModelFacts, model_facts

STATE_BYTES = 8.0
"""AdamW's two moments in fp32, per trained parameter."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What a run writes, in bytes; None where it cannot be told. `free_bytes` is of the disk that holds runs."""

    download_bytes: int | None
    checkpoint_bytes: int | None
    """All checkpoints that are kept at once, and the one that is being written."""
    result_bytes: int | None
    free_bytes: int
    root: str

    @property
    def needed_bytes(self) -> int | None:
        """All of it; None where a part is not known."""
        parts = (self.download_bytes, self.checkpoint_bytes, self.result_bytes)
        return None if None in parts else sum(part or 0 for part in parts)

    @property
    def is_enough(self) -> bool:
        return (self.needed_bytes or 0) <= self.free_bytes


@dataclass(frozen=True, slots=True)
class Review:
    """A draft on this machine. Where `problems` or `fault` are set there may be no prospect and no outlook.

    `found` is the recipe with its plan, `outlook` the plan with memory, ladder and time, `values` each value with its
    reason, `command` the shell command that starts the same run. `is_sharp`: by the dry run.
    """

    draft: Draft
    problems: tuple[Problem, ...]
    fault: str
    found: Prospect | None
    outlook: Outlook | None
    values: tuple[Value, ...]
    model: ModelFacts
    disk: Disk | None
    command: str
    is_sharp: bool = False

    @property
    def can_start(self) -> bool:
        """Whether nothing is known that would keep the run from starting."""
        return not self.problems and not self.fault and self.found is not None and not self.obstacle

    @property
    def obstacle(self) -> str:
        """What the recipe is fine with and a run is not: rows or a model that are not there, a full disk."""
        if self.found is not None and self.found.missing_rows:
            missing = self.found.missing_rows
            return f"{missing.happened} {missing.remedy}".strip()
        if self.model.fault:
            return self.model.fault
        return ""


def review(draft: Draft, hardware: Hardware) -> Review:
    """Everything at once; memory by the closed form."""
    return _review(draft, hardware, lambda found, machine: _quick(found, machine, draft))


def sharpen(
    draft: Draft,
    hardware: Hardware,
    *,
    on_question: Callable[[int], None] = lambda _: None,
    on_wait: Callable[[], None] = lambda: None,
) -> Review:
    """The same by counted rows and the dry run: seconds, so not on a screen's own thread."""

    def look(found: Prospect, machine: Hardware) -> Outlook:
        rows, rows_from = row_counts(found.recipe, draft.source().base_dir, on_wait=on_wait)
        with predictor_for(found, on_question=on_question, on_wait=on_wait) as predictor:
            return outlook(found.recipe, machine, found.shape, predictor, rows=rows, rows_from=rows_from)

    return dataclasses.replace(_review(draft, hardware, look), is_sharp=True)


def _quick(found: Prospect, hardware: Hardware, draft: Draft) -> Outlook:
    rows, rows_from = row_counts(found.recipe, draft.source().base_dir, may_count=False)
    predictor = calibrated(closed_form(found.shape)) if found.shape else None
    return outlook(found.recipe, hardware, found.shape, predictor, rows=rows, rows_from=rows_from)


def _review(draft: Draft, hardware: Hardware, look: Callable[[Prospect, Hardware], Outlook]) -> Review:
    facts, problems = model_facts(draft), tuple(draft.problems())
    machine = draft.hardware(hardware)
    if problems:
        return Review(draft, problems, "", None, None, (), facts, None, draft_command(draft))
    try:
        if told := device_fault(draft, hardware):
            raise RecipeError(told)
        found = prospect_here(draft, machine)
        seen = look(found, machine)
    except FinetuiError as fault:
        return Review(draft, (), str(fault), None, None, (), facts, None, draft_command(draft))
    found = dataclasses.replace(found, plan=seen.plan)
    values = tuple(plan_values(found, draft.reason))
    disk = disk_needed(found, facts)
    return Review(draft, (), "", found, seen, values, facts, disk, draft_command(draft))


def draft_command(draft: Draft) -> str:
    """The command of a draft, empty where its base is gone."""
    try:
        return draft.command()
    except FinetuiError:
        return ""


def prospect_here(draft: Draft, hardware: Hardware) -> Prospect:
    """The prospect of a draft by what is on this machine: the hub is not asked. Raises FinetuiError."""
    source = draft.source()
    found = prospect(_offline(source.recipe), hardware, base_dir=source.base_dir)
    return dataclasses.replace(found, recipe=with_absolute_paths(source.recipe, source.base_dir))


def _offline(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"offline": True})})


def disk_needed(found: Prospect, facts: ModelFacts) -> Disk:
    """What the run writes: trained weights and the optimizer's state per checkpoint, the result, the download."""
    root = runs_root(found.recipe.run.root)
    checkpoint = result = None
    if found.shape is not None:
        trained = trainable_parameters(found.plan, found.shape)
        state = EIGHT_BIT_STATE_BYTES if "8bit" in found.plan.optim else STATE_BYTES
        weight = 4 if found.plan.method != "full" or found.plan.dtype == "float32" else 2
        result = trained * weight
        checkpoint = int(trained * (weight + state)) * (found.recipe.training.save_total_limit + 1)
    from engine.host import disk_free_bytes

    return Disk(facts.download_bytes, checkpoint, result, disk_free_bytes(root), str(root))
