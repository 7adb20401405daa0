"""One step down the ladder as a run takes it after an OOM in a step. For tests of rungs and presets."""

from __future__ import annotations

from engine.ladder import Failure, Rung, descend
from engine.memory import Predictor
from engine.plan import Plan
from engine.recipe_sections import LadderSection


def next_plan(plan: Plan, limits: LadderSection, predictor: Predictor | None) -> tuple[Plan, tuple[Rung, ...]] | None:
    """After an OOM in a step of `plan`: the next plan and the rungs to it; None at the end of the ladder."""
    failure = Failure.of(predictor(plan) if predictor else None, "step")
    found = descend(plan, limits, predictor, failure=failure)
    return (found.plan, tuple(step.rung for step in found.steps)) if found else None
