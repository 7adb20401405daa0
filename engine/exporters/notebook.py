"""A notebook, for Colab or VS Code, that replays the recipe with an explanation before each step.

It carries the recipe and no weights. Rows in files are not in it: it says which it needs and compares their SHA-256.
Not here: what the cells say (`notebook_cells`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from engine.events import ArtifactExported
from engine.exporters import Job, placing
from engine.exporters.notebook_cells import local_rows, notebook_of
from engine.recipe import Problem, Recipe
from engine.run_dir import RunDir, read_json

ARTIFACT = "notebook"
FILE = "notebook.ipynb"
LAYOUT = 1
"""Raised when the cells change, so that an older notebook is not taken for this one."""


class Notebook:
    """The exporter."""

    NAME = "notebook"
    HELP = "a notebook (Colab, VS Code) that replays the recipe step by step"
    NEEDS: tuple[str, ...] = ()

    def problems(self, recipe: Recipe, config: Mapping[str, Any] | None) -> list[Problem]:  # noqa: ARG002
        """None: every recipe can be replayed."""
        return []

    def export(self, job: Job) -> list[ArtifactExported]:
        begun = time.monotonic()
        made_from, final = placing.origin(job, layout=LAYOUT), job.place / FILE
        if not job.settings.get("force") and (there := placing.up_to_date(final, made_from)):
            job.tell(ARTIFACT, "is there already and up to date")
            return [there]
        job.tell(ARTIFACT, "writing the cells")
        hashes = row_hashes(job.run, job.recipe)
        text = written(notebook_of(job.recipe, hashes, prompt=_first_request(job.run)))
        with placing.staged_file(job.place, FILE, made_from, len(text)) as folder:
            (folder / FILE).write_bytes(text)
            check(json.loads((folder / FILE).read_bytes()))
        notes = [f"needs {PurePath(path).name} beside it" for path in local_rows(job.recipe).values()]
        event = ArtifactExported(
            artifact=ARTIFACT,
            kind=self.NAME,
            path=placing.place_name(job, final),
            num_bytes=len(text),
            seconds=round(time.monotonic() - begun, 2),
            file_type="nbformat 4.5",
            notes=tuple(notes),
        )
        return [placing.remember(final, event)]


EXPORTER = Notebook()


def written(notebook: Mapping[str, Any]) -> bytes:
    """The file as Jupyter itself would write it."""
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def check(notebook: Mapping[str, Any]) -> None:
    """Raises ValueError where a notebook has a cell that is none, or code that no Python is."""
    if (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        raise ValueError("it is not nbformat 4.5")
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.startswith("%%"):
            plain = "".join(line for line in source.splitlines(keepends=True) if not line.lstrip().startswith("%"))
            compile(plain + ("\n    pass" if plain != source else ""), "cell", "exec")


def row_hashes(run: RunDir, recipe: Recipe) -> dict[str, str]:
    """SHA-256 of the recipe's local files of rows, as preparation read them: path in the recipe -> hash."""
    files = read_json(run.prepared).get("files", []) if run.prepared.exists() else []
    known = {PurePath(str(file["name"])).name: str(file["sha256"]) for file in files}
    return {path: known[PurePath(path).name] for path in local_rows(recipe).values() if PurePath(path).name in known}


def _first_request(run: RunDir) -> str:
    """The last thing a person says in the first test row; empty where there is none."""
    path: Path = run.dataset / "test.jsonl"
    if not path.exists():
        return ""
    with path.open("rb") as file:
        line = file.readline()
    try:
        messages = json.loads(line).get("messages", ())
    except ValueError:
        return ""
    asked = [str(message.get("content", "")) for message in messages if message.get("role") == "user"]
    return asked[-1] if asked else ""
