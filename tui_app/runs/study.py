"""What a viewer reads of a run once per plan: plan, recipe, and the rungs that would come next.

Brings pydantic, so it is imported and called late, in a thread. Nothing is measured or downloaded: rungs are looked
at with the closed form. Not here: what was taken of the ladder (`tui_app/runs/rungs`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.errors import FinetuiError
from engine.run_dir import RunDir, read_json
from tui_app.runs.view import RungStep

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Study:
    """`ahead`: rungs that apply to the plan; `problem`: what could not be read, in a sentence."""

    plan: Plan | None = None
    ahead: tuple[RungStep, ...] = ()
    max_attempts: int | None = None
    has_evaluation: bool | None = None
    eval_steps: int | None = None
    problem: str = ""


def study(run: RunDir) -> Study:
    """Read the newest plan and the recipe; a file that cannot be read is told of, never raised."""
    from engine.plan import Plan
    from engine.recipe import Recipe

    found = Study()
    try:
        recipe = Recipe.load(run.recipe)
        every = recipe.training.eval_steps if recipe.data.eval_fraction or recipe.data.eval_dataset else None
        found = replace(
            found,
            max_attempts=recipe.ladder.max_attempts,
            has_evaluation=recipe.evaluation.enabled,
            eval_steps=every,
        )
        plan = Plan.from_json(read_json(run.newest_plan_file()))
        found = replace(found, plan=plan)
        return replace(found, ahead=rungs_ahead(run, plan, recipe))
    except (FinetuiError, OSError, ValueError) as fault:
        return replace(found, problem=f"the plan cannot be shown: {str(fault).splitlines()[0]}")


def rungs_ahead(run: RunDir, plan: Plan, recipe: Recipe) -> tuple[RungStep, ...]:
    """Rungs from the present plan on, each on top of those before it, with estimated peaks of allocated memory.

    The closed form is scaled to what is predicted of the present plan, so that its figures continue that one.
    """
    from engine.learning import shape_of
    from engine.memory import closed_form
    from engine.outlook import rung_outlooks

    shape = shape_of(run)
    predictor = closed_form(shape) if shape else None
    start = replace(plan, memory=predictor(plan) if predictor else None)
    scale = plan.memory.peak_bytes / start.memory.peak_bytes if plan.memory and start.memory else 1.0
    before = start.memory.peak_bytes if start.memory else None
    steps = []
    for outlook in rung_outlooks(start, recipe, predictor):
        after = outlook.memory.peak_bytes if outlook.memory else None
        steps.append(
            RungStep(
                name=outlook.rung.name,
                cost=outlook.rung.cost,
                status="next" if outlook.is_allowed else "asks",
                changes_objective=outlook.rung.changes_objective,
                before_bytes=None if before is None else round(before * scale),
                after_bytes=None if after is None else round(after * scale),
            )
        )
        before = after
    return tuple(steps)
