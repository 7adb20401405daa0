"""Questions that are a field of the recipe: made from its name, label and kind, with the recipe's own choices.

Not here: questions of our own (the modules of the steps), and the sentences, which the recipe has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tui_app.steps.schema import Choice, Kind, Question, always, never, no_choices

if TYPE_CHECKING:
    from tui_app.steps.draft import Draft
    from tui_app.steps.surroundings import Surroundings

YES_NO = (Choice("true", "yes"), Choice("false", "no"))


def asked(
    name: str,
    label: str,
    kind: Kind = "text",
    *,
    is_advanced: bool = False,
    choices: Callable[[Draft, Surroundings], Sequence[Choice]] = no_choices,
    applies: Callable[[Draft], bool] = always,
    is_needed: Callable[[Draft], bool] = never,
) -> Question:
    """A question that is a field."""
    if kind == "choice" and choices is no_choices:
        choices = literals(name)
    elif kind == "yes_no" and choices is no_choices:
        choices = yes_or_no
    return Question(
        name=name,
        label=label,
        kind=kind,
        choices=choices,
        is_advanced=is_advanced,
        applies=applies,
        is_needed=is_needed,
    )


def advanced(name: str, label: str, kind: Kind = "text", **more: Any) -> Question:
    """A question that is asked on request only."""
    return asked(name, label, kind, is_advanced=True, **more)


def yes_or_no(_draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
    return YES_NO


def literals(name: str) -> Callable[[Draft, Surroundings], Sequence[Choice]]:
    """The values that the recipe takes for a field."""

    def found(_draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
        from engine.recipe import literal_values

        labels = {True: "yes", False: "no"}
        return [
            Choice(
                "true" if value is True else "false" if value is False else str(value), labels.get(value, str(value))
            )
            for value in literal_values(name)
        ]

    return found


def only(*values: tuple[str, str]) -> Callable[[Draft, Surroundings], Sequence[Choice]]:
    """A fixed beginning of choices: (value, label)."""
    offered = tuple(Choice(value, label) for value, label in values)
    return lambda _draft, _surroundings: offered
