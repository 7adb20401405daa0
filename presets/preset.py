"""Presets: named starting points, each a recipe in `catalog/` with a title, a description and its hardware.

A preset is added by adding its TOML file. Not here: which preset suits a machine (`matching`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from engine.errors import RecipeError
from engine.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Preset:
    """One shipped recipe; `text` is its file as it stands."""

    name: str
    text: str

    def recipe(self, overrides: Iterable[str] = ()) -> Recipe:
        """The preset as a recipe. Raises RecipeError for faulty overrides."""
        return Recipe.parse(self.text, name=f"preset {self.name}", overrides=overrides)


def all_presets() -> tuple[Preset, ...]:
    """Every preset, by name."""
    folder = files("presets") / "catalog"
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(
        Preset(entry.name.removesuffix(".toml"), entry.read_text(encoding="utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    )


def preset(name: str) -> Preset:
    """The preset of that name. Raises RecipeError naming the nearest one."""
    known = {each.name: each for each in all_presets()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.4)
    raise RecipeError(
        f"There is no preset {name!r}.",
        remedy=f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}.",
    )
