"""Code that comes from others and that a run would execute: only for models that the user has confirmed by name.

A recipe may ask for it (`model.trust_remote_code`, `evaluation.run_code`), but recipes are handed around, so what they
ask for is not what their reader has agreed to. The names agreed to lie in `trusted.json` under finetui's home. Not
here: how models' code is confined while it runs (`evaluation/confined_program`); code of a model is not confined.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from engine.errors import RecipeError, RunDirError
from engine.recipe import Recipe
from engine.run_dir import finetui_home, write_atomic

Kind = Literal["code", "answers"]
"""Python that came with a model, or Python that it writes when it is scored."""
KINDS: tuple[Kind, ...] = ("code", "answers")


def trusted_file() -> Path:
    """Where the confirmed names lie."""
    return finetui_home() / "trusted.json"


def plain_name(model: str) -> str:
    """The name under which a model is confirmed: a local path whole, whatever else it is called as it stands."""
    path = os.path.expanduser(model)  # noqa: PTH111 - leaves an unknown ~name
    return str(Path(path).resolve()) if os.path.exists(path) else model  # noqa: PTH110 - False for names that cannot be


def confirmed() -> dict[Kind, list[str]]:
    """The confirmed names of each kind. Raises RunDirError for a file that cannot be read as such."""
    path = trusted_file()
    if not path.exists():
        return {kind: [] for kind in KINDS}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {kind: [str(name) for name in found.get(kind, [])] for kind in KINDS}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as fault:
        raise RunDirError(
            f"{path} cannot be read: {fault}.",
            means="It lists the models whose code you allow to run, so none is allowed.",
            remedy="Remove it, and confirm them again: finetui trust MODEL",
        ) from fault


def confirm(kind: Kind, model: str, *, allowed: bool = True) -> None:
    """Add a model's name to the confirmed ones, or take it away. Raises RunDirError where that cannot be written."""
    names, name = confirmed(), plain_name(model)
    names[kind] = sorted({*names[kind], name} if allowed else {*names[kind]} - {name})
    trusted_file().parent.mkdir(parents=True, exist_ok=True)
    write_atomic(trusted_file(), json.dumps(names, indent=1) + "\n")


def asked_of(recipe: Recipe) -> Iterator[tuple[Kind, str, str]]:
    """(kind, the field that asks for it, what would run) for all foreign code that a recipe would execute."""
    model = recipe.model.name_or_path
    if recipe.model.trust_remote_code:
        yield "code", "model.trust_remote_code", f"Python files that come with the model {model}, with all your rights"
    if recipe.evaluation.run_code:
        yield "answers", "evaluation.run_code", f"Python that the model {model} writes, confined but not harmless"


def unconfirmed(recipe: Recipe) -> list[tuple[Kind, str, str]]:
    """Of what `asked_of` names, that which nobody has confirmed here. Raises RunDirError as `confirmed` does."""
    asked = list(asked_of(recipe))
    names = confirmed() if asked else {}
    return [each for each in asked if plain_name(recipe.model.name_or_path) not in names[each[0]]]


def refuse_unconfirmed(recipe: Recipe) -> Recipe:
    """The recipe, once all the foreign code that it would execute is confirmed. Raises RecipeError saying how to."""
    for kind, field, what in unconfirmed(recipe):
        option = "--answers " if kind == "answers" else ""
        name = shlex.quote(plain_name(recipe.model.name_or_path))
        raise RecipeError(
            f"The recipe sets {field} = true: it would run {what}.",
            means="Nobody has confirmed that here, so nothing was started.",
            remedy=f"If you trust it, confirm it by name: finetui trust {option}{name}",
        )
    return recipe


def confirming_commands(recipe: Recipe) -> Iterator[str]:
    """The lines of a shell that confirm, on the machine of a job, what was confirmed where the job was written."""
    for kind, _, _ in asked_of(recipe):
        option = " --answers" if kind == "answers" else ""
        yield f"finetui trust{option} {shlex.quote(recipe.model.name_or_path)} > /dev/null  # as confirmed for this job"


def told(recipe: Recipe) -> Iterator[str]:
    """What is said loudly before a run starts."""
    for _, field, what in asked_of(recipe):
        yield f"WARNING: this run executes {what} ({field})"
