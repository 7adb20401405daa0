"""What the checks find in the rows of a recipe, before there is a run: the same checks as `finetui data check`.

`findings_of` is the call; a worker process (`python -P -m engine.row_findings PARENT_PID`, the recipe on stdin, its
paths absolute) makes it for who must not wait, and `RowChecking` starts and ends that worker. The first `MAX_ROWS` rows
are looked at, nothing is downloaded. Not here: the checks (`data.checking`), and the rows' tokens (`row_preview`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.findings import Finding
from engine.environment import child_environment, worker_command
from engine.errors import DataError, DiedError
from engine.recipe import Recipe

MODULE = "engine.row_findings"
MAX_ROWS = 20_000
"""Rows that are looked at: 2 to 5 s on one core."""


@dataclass(frozen=True, slots=True)
class RowFindings:
    """The findings, worst first. `is_partial`: there may be more rows than the `num_rows` that were looked at."""

    num_rows: int
    is_partial: bool
    findings: tuple[Finding, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RowFindings:
        found = tuple(Finding.from_json(finding) for finding in value["findings"])
        return cls(int(value["num_rows"]), bool(value["is_partial"]), found)


def findings_of(recipe: Recipe) -> RowFindings:
    """Check the main dataset of a recipe whose paths are absolute, without the network. Raises DataError."""
    from data.checking import check
    from data.loading import Rows
    from data.preparation import main_source, shape_of
    from engine.data_request import command_words, data_request

    asked = data_request(recipe)
    most = min(asked.max_rows or MAX_ROWS, MAX_ROWS)
    request = replace(asked, offline=True, max_rows=most)
    rows = Rows(request.dataset, main_source(request), shape_of(request), most)
    with tempfile.TemporaryDirectory() as folder:
        report = check(rows, work_dir=Path(folder), named=command_words(asked))
    is_partial = report.num_rows >= most and most != asked.max_rows
    return RowFindings(report.num_rows, is_partial, report.findings)


class RowChecking:
    """One worker that checks the rows of a recipe. `run` blocks; `cancel` may be called from any thread."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._cancelled = threading.Event()
        self._worker: subprocess.Popen[bytes] | None = None

    def run(self) -> RowFindings | None:
        """What was found; None once cancelled. Raises DataError, and DiedError where the worker gives no answer."""
        with subprocess.Popen(
            worker_command(MODULE, str(os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(offline=True),
        ) as worker:
            self._worker, said = worker, b""
            try:
                if self._cancelled.is_set():
                    return None
                with contextlib.suppress(BrokenPipeError):
                    said, _ = worker.communicate(self.recipe.to_toml().encode())
            finally:
                worker.kill()
        if self._cancelled.is_set():
            return None
        try:
            told = json.loads(said)
        except ValueError:
            raise DiedError(
                "The process that checks the rows ended without an answer.",
                means="Nothing is known of faults in them; a run goes on all the same.",
                remedy="Run finetui data check on them to see why.",
            ) from None
        if error := told.get("error"):
            raise DataError(error["happened"], means=error["means"], remedy=error["remedy"])
        return RowFindings.from_json(told)

    def cancel(self) -> None:
        """End the worker, if one runs."""
        self._cancelled.set()
        if self._worker is not None:
            self._worker.kill()


def answer(text: str) -> dict[str, Any]:
    """What `findings_of` finds in a recipe's text. Raises DataError or RecipeError."""
    found = findings_of(Recipe.parse(text))
    return asdict(found) | {"findings": [finding.to_json() for finding in found.findings]}


def main(arguments: list[str]) -> int:
    from engine.worker_edge import answer_in_lines, die_with_parent

    die_with_parent(int(arguments[0]))
    return answer_in_lines(lambda: [answer(sys.stdin.read())])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
