"""The hub's cache on disk, laid out as huggingface_hub does it, so that models and datasets are found by their ids.

Not here: what the hub itself answers, which needs a server (tests/engine/test_model_hub).
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMIT = "c" * 40


def put(cache: Path, kind: str, repo: str, files: Mapping[str, bytes]) -> Path:
    """Lay out a repository of `kind` "models" or "datasets": blobs by hash, a snapshot of links. Returns the entry."""
    entry = cache / f"{kind}--{repo.replace('/', '--')}"
    for name, content in files.items():
        blob = entry / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = entry / "snapshots" / COMMIT / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text(COMMIT)
    return entry


def put_model(cache: Path, repo: str, folder: Path, changed: Mapping[str, bytes] | None = None) -> Path:
    """The files of a model folder, as the repository of that id. `changed` ones have another content."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return put(cache, "models", repo, files | dict(changed or {}))


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
    return buffer.getvalue()
