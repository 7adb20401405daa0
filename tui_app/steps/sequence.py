"""The steps in their order. A step is one module beside this one; what is asked in it stands there."""

from __future__ import annotations

from collections.abc import Iterator

from tui_app.steps import hardware, method, model, rows
from tui_app.steps.draft import Draft
from tui_app.steps.schema import Question, Step

REVIEW = Step(
    "review",
    "Review",
    "Everything before it is spent: memory, time, disk, each value with its reason.",
)
STEPS: tuple[Step, ...] = (hardware.STEP, model.STEP, rows.STEP, method.STEP, REVIEW)


def questions(draft: Draft, step: Step, *, with_advanced: bool = False) -> Iterator[Question]:
    """The questions of a step that apply to a draft; advanced ones on request, or where they cannot be left out."""
    for question in step.questions:
        if question.applies(draft) and (with_advanced or not question.is_advanced or question.is_needed(draft)):
            yield question


def step_of(name: str) -> Step:
    """The step where a field is decided; the review for one that nobody is asked about."""
    return next((step for step in STEPS for each in step.questions if each.name == name), REVIEW)
