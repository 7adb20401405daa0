"""The base model as a complete local folder of safetensors, and the record of what lies in it.

Not here: finding and fetching (`engine.model_source`), converting (`gguf_conversion`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.converted_models import conversion_of
from engine.file_hashes import file_hashes
from engine.model_folder import read_config
from engine.model_source import fetch, locate
from engine.recipe import Recipe
from engine.run_dir import RunDir, write_atomic


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """`files` are those of the source (name, sha256, bytes); `folder` is what is loaded."""

    folder: Path
    files: tuple[tuple[str, str, int], ...]
    notes: tuple[str, ...]


def ready_model(run: RunDir, recipe: Recipe, cache: Path) -> ReadyModel:
    """Fetch or convert the recipe's model and write `model.json`. Raises ModelError."""
    model = recipe.model
    source = locate(model.name_or_path, base_dir=run.path, revision=model.revision)
    found = fetch(source, offline=model.offline, trust_remote_code=model.trust_remote_code)
    notes = [source.note] if source.note else []
    folder = found
    if source.kind in ("gguf", "bundled"):
        folder, told = conversion_of(found, cache) or _converted(found, cache)
        notes += told
    files = file_hashes(found)
    ready = ReadyModel(folder, files, tuple(notes))
    record = {
        "name": model.name_or_path,
        "kind": source.kind,
        "folder": str(folder),
        "files": [{"name": name, "sha256": digest, "bytes": size} for name, digest, size in files],
        "notes": notes,
    }
    write_atomic(run.model_config, json.dumps(read_config(folder)))
    write_atomic(run.model, json.dumps(record, indent=1))
    return ready


def _converted(gguf_path: Path, cache: Path) -> tuple[Path, tuple[str, ...]]:
    from engine.training.gguf_conversion import convert  # the classes of models take seconds to import

    made = convert(gguf_path, cache)
    return made.folder, made.notes
