"""What a trained run can be turned into. Each module here is one kind of artifact, found by being here.

A module holds `EXPORTER`, an object as `Exporter` describes. They run in a process of their own (`worker`), one after
another; each writes into a folder beside its final place, checks what it wrote by reading it, and only then puts it in
place. Not here: what is asked and shown (`tui_app`), and the trained adapter itself (`engine/training/result`).
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from engine.event_log import EventWriter
from engine.events import ArtifactExported, ExportProgressed
from engine.plan import Plan
from engine.recipe import Problem, Recipe
from engine.run_dir import RunDir

NOT_ARTIFACTS = ("worker",)
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """One trained run and what is wanted of it; `settings` are those of the request, as the command line made them."""

    run: RunDir
    recipe: Recipe
    plan: Plan
    settings: Mapping[str, Any]
    writer: EventWriter

    def tell(self, artifact: str, doing: str, num_done: int = 0, num_total: int = 0) -> None:
        """Say what is being done, for whoever watches."""
        self.writer.write(ExportProgressed(artifact=artifact, doing=doing, num_done=num_done, num_total=num_total))

    @property
    def place(self) -> Path:
        """The folder that artifacts go to: the run's `exports/`, or where the user wants them."""
        output = self.settings.get("output")
        return Path(output) if output else self.run.exports


@dataclass(slots=True)
class Throttled:
    """Tells a job's progress now and then, and always the end."""

    job: Job
    artifact: str
    _last: float = 0.0

    def tell(self, doing: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._last > PROGRESS_SECONDS:
            self._last = now
            self.job.tell(self.artifact, doing, done, total)


class Exporter(Protocol):
    """One kind of artifact."""

    NAME: str
    HELP: str
    """One line for `finetui export --help` and the screen."""
    NEEDS: tuple[str, ...]
    """Other kinds that are made first."""

    def problems(self, recipe: Recipe, config: Mapping[str, Any] | None) -> list[Problem]:
        """What is in the way, known before training: pure, quick, loads no heavy library.

        `config` is the base model's config.json, None where it is not known yet.
        """

    def export(self, job: Job) -> list[ArtifactExported]:
        """Make, check and put in place. Raises FinetuiError; then what lay there before still lies there."""


@cache
def all_exporters() -> dict[str, Exporter]:
    """Every kind by name, in alphabetical order."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.ispkg)
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names if name not in NOT_ARTIFACTS]
    return {module.EXPORTER.NAME: module.EXPORTER for module in modules if hasattr(module, "EXPORTER")}


def in_order(wanted: list[str]) -> list[str]:
    """The kinds wanted and those they need, each after what it needs. Raises KeyError for an unknown one."""
    ordered: list[str] = []
    exporters = all_exporters()

    def put(name: str) -> None:
        for needed in exporters[name].NEEDS:
            put(needed)
        if name not in ordered:
            ordered.append(name)

    for name in wanted:
        put(name)
    return ordered
