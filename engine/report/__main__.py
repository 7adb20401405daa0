"""The process that writes a report; see the package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.report import write_report
from engine.run_dir import RunDir
from engine.worker_edge import answer_in_lines


def answers() -> Iterator[dict[str, Any]]:
    """One answer: the files, or the fault they could not be written for."""
    files = write_report(RunDir(Path(sys.argv[1])), Path(sys.argv[2]))
    yield {"files": [str(path) for path in files]}


if __name__ == "__main__":
    sys.exit(answer_in_lines(answers))
