"""The end of the steps: starting the run that a draft describes, or keeping its recipe.

The path from a recipe to a run is that of `finetui replay` (`engine/beginning`). Not here: watching it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.file_modes import released
from engine.beginning import begin
from engine.errors import RecipeError
from engine.hardware import read_hardware
from engine.run_dir import RunDir, write_atomic
from engine.starting import prospect
from tui_app.steps import draft_file
from tui_app.steps.draft import Draft
from tui_app.steps.hardware import device_fault


def start(draft: Draft, tell: Callable[[str], None], *, called: str = "") -> RunDir:
    """Start the run; the saved draft is dropped. `tell` gets remarks on the way; `called` is what the run is to be.

    Raises FinetuiError.
    """
    source, here = draft.source(), read_hardware()
    if told := device_fault(draft, here):
        raise RecipeError(told, means="Nothing was started.")
    found = prospect(source.recipe, draft.hardware(here), base_dir=source.base_dir)
    run = begin(
        found,
        name=source.name,
        tell=tell,
        called=called,
        earlier=source.run,
        visible_cards=draft.visible_cards(),
    )
    draft_file.drop()
    return run


def save_recipe(draft: Draft, path: Path) -> Path:
    """Write the recipe as TOML; the absolute path. A file that is there is kept. Raises RecipeError, RunDirError."""
    text = draft.recipe().to_toml()
    target = path.expanduser().absolute()
    if target.is_dir() or target.exists():
        raise RecipeError(
            f"{target} is there already.",
            means="Nothing was written.",
            remedy="Choose another name.",
        )
    if not target.parent.is_dir():
        raise RecipeError(
            f"There is no folder {target.parent}.",
            means="Nothing was written.",
            remedy="Make it, or choose another place.",
        )
    write_atomic(target, text)
    return released(target)


def free_recipe_path(draft: Draft, folder: Path) -> Path:
    """A name for the recipe that no file has yet: run name, or the base's, with a number where needed."""
    stem = draft.value("run.name") or Path(draft.source().name).stem or "recipe"
    names = (f"{stem}{f'-{number}' if number > 1 else ''}.toml" for number in range(1, 10_000))
    return next(folder / name for name in names if not (folder / name).exists())
