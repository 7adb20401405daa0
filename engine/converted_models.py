"""Where the folder made of a GGUF file lies in the cache, and whether a whole one lies there. No torch.

Not here: making it (`training.gguf_conversion`).
"""

from __future__ import annotations

import glob
import json
from pathlib import Path

from engine.file_hashes import file_hashes
from engine.library_versions import step_versions
from engine.model_folder import folder_fault

MANIFEST = "finetui-conversion.json"
FORMAT = 1
"""Part of the folder's name: raised when a conversion would come out differently."""


def shelf_of(cache_dir: Path) -> Path:
    """The folder that holds every conversion."""
    return cache_dir / "converted"


def folder_name(gguf_path: Path, sha256: str) -> str:
    """Named by file, its SHA-256 and the transformers version. `sha256` "*" gives a pattern for any content."""
    version = dict(step_versions())["transformers"]
    stem = glob.escape(gguf_path.stem) if sha256 == "*" else gguf_path.stem
    return f"{stem}-{sha256[:16]}-transformers-{version}-{FORMAT}"


def notes_if_whole(folder: Path, sha256: str, cache_dir: Path) -> tuple[str, ...] | None:
    """The notes of a conversion in the cache, or None when it is absent, of another file, or damaged.

    `sha256` is that of the GGUF file; every file of the folder is compared with the manifest.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        promised = {entry["name"]: (entry["sha256"], entry["bytes"]) for entry in manifest["files"]}
        notes = tuple(str(note) for note in manifest["notes"])
        if manifest["gguf"]["sha256"] != sha256:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found = {name: (digest, size) for name, digest, size in file_hashes(folder, cache_dir=cache_dir)}
    found.pop(MANIFEST, None)
    return notes if found == promised and folder_fault(folder) is None else None


def conversion_of(gguf_path: Path, cache_dir: Path) -> tuple[Path, tuple[str, ...]] | None:
    """The folder made of a GGUF file earlier and its notes, None where none lies in the cache. Raises ModelError.

    The file is hashed only where a conversion of one of its name is there.
    """
    shelf = shelf_of(cache_dir)
    if next(shelf.glob(folder_name(gguf_path, "*")), None) is None:
        return None
    ((_, sha256, _),) = file_hashes(gguf_path, cache_dir=cache_dir)
    folder = shelf / folder_name(gguf_path, sha256)
    notes = notes_if_whole(folder, sha256, cache_dir)
    return None if notes is None else (folder, notes)


def converted_folder(gguf_path: Path, cache_dir: Path) -> Path | None:
    """The folder of `conversion_of`."""
    made = conversion_of(gguf_path, cache_dir)
    return made[0] if made else None
