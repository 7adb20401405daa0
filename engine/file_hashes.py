"""SHA-256 of model and data files, for manifests. Large files are hashed once and then remembered.

What is remembered is keyed by path, size and modification time, in one small file of the cache folder. What
the hashes are compared with is the caller's business.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from pathlib import Path

from data.file_modes import make_private
from engine.errors import ModelError, RunDirError
from engine.run_dir import cache_dir as default_cache_dir
from engine.run_dir import write_atomic

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Below this size a file is hashed faster than it is looked up.
_REMEMBER_FROM_BYTES = 8 * 1024 * 1024
# A file this fresh could be written again without its time stamp changing.
_SETTLED_AFTER_NS = 2_000_000_000


def file_hashes(path: Path, *, cache_dir: Path | None = None) -> tuple[tuple[str, str, int], ...]:
    """(name, sha256, size in bytes) of a file, or of every file of a folder, in the order of their names.

    Names are relative to the folder, with "/" between parts. Hidden files are left out: they hold no model.
    In the hub's cache a large file is a link to a blob whose name is its SHA-256; that name is taken as it is.
    `cache_dir` is where hashes are remembered, by default finetui's own. Raises ModelError for unreadable files.
    """
    memory = _Memory((cache_dir or default_cache_dir()) / "file-hashes.json")
    if path.is_file():
        found = [(path.name, path)]
    elif path.is_dir():
        inside = (file for file in path.rglob("*") if file.is_file())
        named = ((file.relative_to(path), file) for file in inside)
        found = sorted((name.as_posix(), file) for name, file in named if not any(p[0] == "." for p in name.parts))
    else:
        raise ModelError(f"{path} does not exist.", remedy="Check the path, or fetch the model again.")
    try:
        hashes = tuple((name, _hash_of(file, memory), file.stat().st_size) for name, file in found)
    except OSError as error:
        raise ModelError(
            f"Cannot read {error.filename or path}: {error.strerror}.", remedy="Check its permissions and the disk."
        ) from error
    memory.save()
    return hashes


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits. Always reads the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of(file: Path, memory: _Memory) -> str:
    blob = file.resolve()
    if file.is_symlink() and blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
        return blob.name
    stat = blob.stat()
    if stat.st_size < _REMEMBER_FROM_BYTES:
        return sha256_of(blob)
    key = f"{blob}\n{stat.st_size}\n{stat.st_mtime_ns}"
    known = memory.get(key)
    if known is None:
        known = sha256_of(blob)
        if time.time_ns() - stat.st_mtime_ns > _SETTLED_AFTER_NS:
            memory.put(str(blob), key, known)
    return known


class _Memory:
    """The remembered hashes. A lost or broken file only means hashing again, so its faults are not errors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, str] = {}
        self.changed = False
        with contextlib.suppress(OSError, ValueError):
            read = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(read, dict):
                self.entries = {key: value for key, value in read.items() if _SHA256.fullmatch(str(value))}

    def get(self, key: str) -> str | None:
        return self.entries.get(key)

    def put(self, path: str, key: str, sha256: str) -> None:
        """Remember one file under its new key; what was known of an older state of it is forgotten."""
        self.entries = {k: v for k, v in self.entries.items() if k.split("\n", 1)[0] != path} | {key: sha256}
        self.changed = True

    def save(self) -> None:
        if not self.changed:
            return
        with contextlib.suppress(OSError, RunDirError):
            make_private(self.path.parent)
            write_atomic(self.path, json.dumps(self.entries, indent=0, sort_keys=True))
