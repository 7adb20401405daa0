"""What a word stands for where a recipe is wanted: a preset, a recipe file or an earlier run.

Not here: what becomes of the recipe (`tui_app/commands`, `tui_app/steps`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.recipe import Recipe
from engine.replaying import recipe_of
from engine.run_dir import RunDir, finetui_home
from engine.starting import require_recipe_file
from presets.preset import all_presets, preset


@dataclass(frozen=True, slots=True)
class Source:
    """A recipe, the name that runs of it get, and the folder that its relative paths start from."""

    recipe: Recipe
    name: str
    base_dir: Path
    run: RunDir | None = None


def source_of(word: str, overrides: Iterable[str]) -> Source:
    """A preset's, a recipe file's or an earlier run's recipe. Raises RecipeError."""
    if word in {each.name for each in all_presets()}:
        return Source(preset(word).recipe(overrides), word, Path.cwd())
    for path in (finetui_home() / "runs" / word, Path(word)):
        if (path / "events").is_dir():
            run = RunDir(path.resolve())
            return Source(recipe_of(run, overrides), stem_of(run), run.path, run)
    path = Path(word).expanduser()
    if path.suffix != ".toml" and not path.exists() and "/" not in word:
        preset(word)  # raises, naming the nearest preset
    path = require_recipe_file(path)
    written_by = RunDir(path.resolve().parent)
    name = stem_of(written_by) if path.resolve() == written_by.settled else path.stem
    return Source(Recipe.load(path, overrides=overrides), name, path.resolve().parent)


def stem_of(run: RunDir) -> str:
    """The run's name without its number."""
    stem, _, number = run.name.rpartition("-")
    return stem if stem and number.isdigit() else run.name
