"""Sizes for a draft that starts from a model of one's own: what `presets.sizing` works out, as suggestions.

The model's shape is read from what is on this machine; no network is asked. Not here: the sizes themselves.
"""

from __future__ import annotations

import functools
from pathlib import Path

from engine.errors import FinetuiError, ModelError
from engine.hardware import Hardware
from engine.model_shape import ModelShape, model_shape
from engine.model_source import fetch_config, locate
from presets.sizing import SIZES, Size, size_named, sizes
from tui_app.own_recipe_defaults import added
from tui_app.steps.draft import SIZE, Draft, Suggestion
from tui_app.steps.resolving import NOTHING_YET, own_questions


@functools.lru_cache(maxsize=64)
def shape_here(name_or_path: str, revision: str | None, folder: Path) -> ModelShape | None:
    """The dimensions of a model, from its config on this machine or from facts that finetui ships; else None."""
    try:
        source = locate(name_or_path, base_dir=folder, revision=revision, complete=False)
        return model_shape(fetch_config(source, offline=True))
    except ModelError:
        return None


def forget_shapes() -> None:
    """Look again: a config was fetched, or a file has come."""
    shape_here.cache_clear()


def shape_of_draft(draft: Draft) -> ModelShape | None:
    """The shape of the model that a draft names, None where it is not known here."""
    name = draft.value("model.name_or_path")
    if not name:
        return None
    try:
        folder = base_folder(draft)
    except FinetuiError:
        return None
    return shape_here(name, draft.value("model.revision") or None, folder)


def base_folder(draft: Draft) -> Path:
    """The folder that relative paths of a draft start from. Raises FinetuiError for a base that is gone."""
    from tui_app.steps.resolving import base_source

    source = base_source(draft.base)
    return source.base_dir if source else Path.cwd()


def sized(draft: Draft, hardware: Hardware | None) -> Draft:
    """The draft with the sizes of its model on this machine as suggestions; none where nothing can be sized."""
    if not draft.is_own or hardware is None or not draft.value("model.name_or_path"):
        return draft.with_suggestions(())
    name = draft.value(SIZE)
    size = size_named(
        name if name in SIZES else SIZES[0],
        shape_of_draft(draft),
        draft.hardware(hardware),
        fixed=_fixed(draft),
    )
    return draft.with_suggestions(tuple(Suggestion(*value) for value in size.values))


def offered_sizes(draft: Draft, hardware: Hardware) -> tuple[Size, ...]:
    """Every size for the draft's model on this machine."""
    return sizes(shape_of_draft(draft), draft.hardware(hardware), fixed=_fixed(draft))


def _fixed(draft: Draft) -> dict[str, str]:
    """What was typed, or stands in the user's defaults, and changes memory."""
    sections = ("model.", "adapter.", "training.", "memory.")
    typed = dict(added(NOTHING_YET)) | own_questions(draft.with_suggestions(()))
    return {name: text for name, text in typed.items() if name.startswith(sections) and name != "model.name_or_path"}
