"""manifest.json of a written folder: each file with rows, bytes and SHA-256, what it was made from, and how.

Also the folder as one zip, the same bytes each time. Not here: writing the rows (`shards`), the account for people
(`card`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.file_modes import fresh, placed
from data.sources import SourceFile
from data.writing.open_file import WrittenFile, sha256_of, writing
from data.writing.shards import MANIFEST

VERSION = 1
_FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def manifest_of(
    made_by: str, options: Mapping[str, Any], inputs: Sequence[SourceFile], files: Sequence[WrittenFile]
) -> dict[str, Any]:
    """Plain dict. Neither a date nor a path beyond those that the options name."""
    return {
        "manifest_version": VERSION,
        "made_by": made_by,
        "options": dict(options),
        "inputs": [{"name": one.name, "bytes": one.num_bytes, "sha256": one.sha256} for one in inputs],
        "files": [file.to_json() for file in files],
    }


def write_manifest(manifest: Mapping[str, Any], folder: Path) -> Path:
    """Write it, whole or not at all. Raises DataError."""
    path = folder / MANIFEST
    temporary = path.with_name(f".{path.name}.part")
    with writing(path, lambda: "The rows are written; only the manifest is missing."):
        with fresh(temporary).open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n")
        placed(temporary, path)
    return path


def changed_files(folder: Path) -> list[str]:
    """The files that are not as the folder's manifest says, each with what is wrong. Raises DataError without one."""
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        expected = {str(file["name"]): (str(file["sha256"]), int(file["bytes"])) for file in files}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder / MANIFEST} is missing or damaged.",
            means="What the folder should hold is not known.",
            remedy="Write the folder again.",
        ) from error
    wrong = []
    for name, (sha256, num_bytes) in expected.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != num_bytes or sha256_of(path) != sha256:
            wrong.append(f"{name} has changed")
    return wrong


def write_zip(folder: Path, path: Path) -> Path:
    """Every file of the folder in one zip, sorted by name, with a fixed date and rights. Raises DataError."""
    temporary = path.with_name(f".{path.name}.part")
    names = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())
    with writing(path, lambda: f"The folder {folder} is complete; only the zip is missing."):
        try:
            with zipfile.ZipFile(fresh(temporary), "x", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                for name in names:
                    if not name.startswith("."):
                        _add(archive, folder / name, f"{folder.name}/{name}")
            placed(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _FIRST_ZIP_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # Unix, on every machine
    entry.file_size = path.stat().st_size  # tells the archive whether 64-bit sizes are needed
    with path.open("rb") as source, archive.open(entry, "w") as target:
        while piece := source.read(1024 * 1024):
            target.write(piece)
