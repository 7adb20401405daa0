"""What a word stands for where a recipe is wanted: a preset, a recipe file or an earlier run.

Not here: what becomes of the recipe (`tui_app/commands`, `tui_app/steps`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.own_defaults import config_file
from engine.recipe import Recipe, changes_of
from engine.replaying import recipe_of
from engine.run_dir import RunDir, runs_root
from engine.starting import require_recipe_file
from presets.preset import all_presets, preset
from tui_app.own_recipe_defaults import added
from tui_app.recipe_values import as_text, field


@dataclass(frozen=True, slots=True)
class Source:
    """A recipe, the name that runs of it get, and the folder that its relative paths start from."""

    recipe: Recipe
    name: str
    base_dir: Path
    run: RunDir | None = None
    own: tuple[str, ...] = ()
    """Fields whose values are the user's defaults (`own_recipe_defaults`)."""
    changes: tuple[str, ...] = ()
    """What is read otherwise than it is written, in a recipe of an earlier version."""

    def told(self) -> list[str]:
        """Lines for people about those fields and changes; none where there are none."""
        values = {name: field(self.recipe.model_dump(mode="json"), name) for name in self.own}
        shown = ", ".join(f"{name} = {as_text(value) or 'unset'}" for name, value in values.items())
        told = [f"a recipe of an earlier version: {change}" for change in self.changes]
        return [*told, f"from your defaults ({config_file()}): {shown}"] if shown else told


def source_of(word: str, overrides: Iterable[str]) -> Source:
    """A preset's, a recipe file's or an earlier run's recipe. Raises RecipeError."""
    overrides = list(overrides)
    if word in {each.name for each in all_presets()}:
        own = added(preset(word).text)
        made = preset(word).recipe([*(f"{name}={text}" for name, text in own), *overrides])
        given = {each.partition("=")[0].strip() for each in overrides}
        return Source(made, word, Path.cwd(), own=tuple(name for name, _ in own if name not in given))
    for path in (runs_root() / word, Path(word)):
        if (path / "events").is_dir():
            run = RunDir(path.resolve())
            return Source(recipe_of(run, overrides), stem_of(run), run.path, run, changes=changes_of(run.recipe))
    path = Path(word).expanduser()
    if path.suffix != ".toml" and not path.exists() and "/" not in word:
        preset(word)  # raises, naming the nearest preset
    path = require_recipe_file(path)
    written_by = RunDir(path.resolve().parent)
    name = stem_of(written_by) if path.resolve() == written_by.settled else path.stem
    recipe = Recipe.load(path, overrides=overrides)
    return Source(recipe, name, path.resolve().parent, changes=changes_of(path))


def stem_of(run: RunDir) -> str:
    """The run's name without its number."""
    stem, _, number = run.name.rpartition("-")
    return stem if stem and number.isdigit() else run.name
