"""The process that carries out one export request: each kind in order, each artifact told once it is in place.

Run as `python -P -m engine.exporters.worker RUN_DIR SUPERVISOR_PID REQUEST`. Ended at any moment it leaves what was
exported before as it was; started again it goes on with the kinds that are not up to date. Not here: the kinds.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from engine import requests
from engine.errors import OutOfMemoryError, RecipeError, RunDirError, StoppedError
from engine.event_log import EventWriter
from engine.events import clip
from engine.exporters import Job, all_exporters, in_order
from engine.foreign_code import refuse_unconfirmed
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.worker_edge import at_edge, die_with_parent


def export(run: RunDir, writer: EventWriter, number: int) -> int:
    """Make what request `number` asks for, in order. Raises FinetuiError."""
    request = requests.read(run, number)
    job = job_of(run, dict(request.arguments), writer)
    try:
        kinds = in_order([str(name) for name in job.settings["to"]])
    except KeyError as fault:
        raise RecipeError(
            f"There is no export {fault}.",
            means="Nothing was exported.",
            remedy=f"The kinds are {', '.join(all_exporters())}.",
        ) from fault
    for kind in kinds:
        for event in _exported(kind, job):
            writer.write(event)
    return 0


def job_of(run: RunDir, settings: dict[str, Any], writer: EventWriter) -> Job:
    """The run as its last attempt left it. Raises RunDirError where it is not complete."""
    from engine.training.capping import settle

    if requests.is_evaluation_only(run):
        raise RunDirError(
            f"The run {run.name} scored a model as it is.",
            means="Nothing was trained there that could be exported.",
            remedy="Export a run that trained: `finetui runs` lists them.",
        )
    plan = Plan.from_json(read_json(run.newest_plan_file()))
    settle(plan)
    return Job(run, refuse_unconfirmed(Recipe.load(run.recipe)), plan, settings, writer)


def _exported(kind: str, job: Job) -> list[Any]:
    """The kind's artifacts. Raises FinetuiError, OutOfMemoryError for what does not fit into memory."""
    from engine.training.out_of_memory import out_of_memory

    try:
        return all_exporters()[kind].export(job)
    except (RuntimeError, MemoryError) as fault:
        if out_of_memory(fault) is None:
            raise
        raise OutOfMemoryError(
            f"Out of memory while exporting {kind}: {clip(str(fault), 300)}",
            means="The trained adapter is safe, and so is what was exported before.",
            remedy="Free memory, then export again; --device cpu uses the machine's RAM.",
        ) from fault


def _stop(_number: int, _frame: object) -> None:
    """A stop unwinds what is being written, so that nothing half-made stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StoppedError("The export was stopped.", means="What was exported before is as it was.")


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, _stop)
    die_with_parent(int(arguments[1]))
    run = RunDir(Path(arguments[0]))
    writer = EventWriter(run.event_file("export"))
    return at_edge(lambda: export(run, writer, int(arguments[2])), writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
