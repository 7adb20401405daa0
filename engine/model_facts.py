"""A recipe's base model without its weights: its configuration and its dimensions.

Not here: fetching weights (`model_source`), and the plan made of it (`starting`, `climbing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.model_folder import folder_fault
from engine.model_shape import ModelShape, model_shape
from engine.model_source import fetch_config, locate
from engine.recipe import Recipe


def shape_for(recipe: Recipe, base_dir: Path) -> tuple[ModelShape | None, tuple[str, ...]]:
    """The model's dimensions without its weights, and what has to be said about them. Raises as `model_facts`."""
    _, shape, notes = model_facts(recipe, base_dir)
    return shape, notes


def model_facts(recipe: Recipe, base_dir: Path) -> tuple[Mapping[str, Any] | None, ModelShape | None, tuple[str, ...]]:
    """The model's config, its dimensions, and what has to be said about them, without its weights.

    Raises ModelError for a local model that cannot be used. A hub model whose config cannot be had yet has
    neither: the preparation stage meets the same obstacle with all its means and reports it.
    """
    model = recipe.model
    source = locate(model.name_or_path, base_dir=base_dir, revision=model.revision, complete=False)
    notes = (source.note,) if source.note else ()
    if source.kind == "folder" and source.path is not None and (fault := folder_fault(source.path)):
        notes = (*notes, f"{fault.happened} A run is refused until then.")
    try:
        config = fetch_config(source, offline=model.offline)
    except ModelError as fault:
        if source.kind != "hub":
            raise
        return None, None, (*notes, fault.happened)
    try:
        return config, model_shape(config), notes
    except ModelError as fault:  # a family whose memory nobody has worked out may still train
        return config, None, (*notes, f"not validated: {fault.happened}")
