"""Fields of a recipe that the user's file of defaults names ([recipe.SECTION]): what they add to a start of finetui's.

A preset, or a recipe begun anew, takes those fields from there that it does not name itself. A recipe file and an
earlier run are complete: nothing is added to them, so a replay stays exact. Not here: reading the file
(`engine/own_defaults`).
"""

from __future__ import annotations

from engine.errors import RecipeError
from engine.own_defaults import RECIPE, own_file
from engine.recipe import faults, field_names, recipe_error, values_of
from tui_app.recipe_values import as_text, field

REASON = "your defaults"
"""Where such a value comes from, as the review and the plan say it."""


def added(text: str) -> tuple[tuple[str, str], ...]:
    """(field, value as --set takes it) for each that the file names and the recipe's TOML text does not.

    Raises RecipeError for what is no field of a recipe, or no value of one.
    """
    named = own_file().recipe
    if not named:
        return ()
    _refuse_faulty(named)
    values = values_of(text)
    return tuple((name, as_text(value)) for name, value in named.items() if field(values, name) is None)


def _refuse_faulty(named: object) -> None:
    assert isinstance(named, dict)
    values: dict[str, dict[str, object]] = {"model": {"name_or_path": "m"}, "data": {"dataset": "d"}}
    for name, value in named.items():
        section, _, key = name.partition(".")
        values.setdefault(section, {})[key] = value
    wrong = [each for each in faults(values) if each.field in named or each.field.partition(".")[0] not in _sections()]
    if wrong:
        told = recipe_error(wrong)
        raise RecipeError(
            told.happened.replace("The recipe has", f"[{RECIPE}] in {own_file().path} has"),
            means="Nothing was started.",
            remedy="Mend it: finetui config edit",
        )


def _sections() -> set[str]:
    return {name.partition(".")[0] for name in field_names()}
