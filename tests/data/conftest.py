"""What tests of rows share: writing a dataset file in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[[str, "str | bytes | list[Any]"], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file below the test's own folder: bytes and text as they are, a list as JSON Lines."""

    def written(name: str, content: str | bytes | list[Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written
