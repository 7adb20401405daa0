"""From words on the command line to entries of the queue, judged as a run is before it starts; and what lists say.

Brings pydantic with what is judged, so `accepted` is called late. Not here: the runner (`engine/queue`), drawing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cuda_visible import VARIABLE
from engine.errors import FinetuiError, RecipeError
from engine.grid import MAX_NAME, Point
from engine.queue import worker
from engine.queue.entries import Entry, Queue
from engine.run_dir import RunDir, list_runs, read_json
from tui_app.runs.history import RunRow, row_of
from tui_app.runs.history_table import age

if TYPE_CHECKING:
    from engine.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Standing:
    """An entry and how it stands: waiting, failed, gone, damaged, or the phase of its run."""

    entry: Entry
    phase: str
    row: RunRow | None = None
    """Of its run."""
    told: str = ""
    """Why, where there is more to say."""

    @property
    def is_over(self) -> bool:
        return self.phase != "waiting" and not (self.row and self.row.is_live)


def standing_of(entry: Entry) -> Standing:
    """How an entry stands now. Raises nothing: what cannot be read is said."""
    if entry.damage:
        return Standing(entry, "damaged", told=entry.damage)
    if entry.fault:
        return Standing(entry, "failed", told=f"could not be started: {entry.fault.get('happened', '')}")
    if not entry.run:
        return Standing(entry, "waiting")
    run = entry.run_dir
    if run is None:
        return Standing(entry, "gone", told=f"the folder of its run was removed: {entry.run}")
    if not entry.was_started:
        return Standing(entry, "waiting", told="its run is made, and starts next")
    row = row_of(run)
    told = "its processes are gone; finetui resume goes on from the newest checkpoint" if row.phase == "died" else ""
    return Standing(entry, row.phase, row, told)


def about_runner(queue: Queue, standings: Sequence[Standing]) -> str:
    """One sentence on who works on the queue, and what to do where nobody does."""
    num_waiting = sum(each.phase == "waiting" for each in standings)
    waits = f"{num_waiting} wait{'s' * (num_waiting == 1)}" if num_waiting else "nothing waits"
    going = next((each for each in standings if each.row and each.row.is_live), None)
    present = f"{Path(going.entry.run).name} is {going.phase}" if going else "nothing runs"
    state = worker.standing(queue)
    if state == "alive":
        is_stopping = worker.RunnerFiles(queue).stop.exists()
        return f"{present}, {waits}" + ("; the queue stops after the present run." if is_stopping else ".")
    if state == "killed":
        return f"The queue's process was killed or the machine restarted; {present}, {waits}: finetui queue start"
    if state != "none":
        return f"Who works on the queue is {state}; {present}, {waits}."
    if num_waiting:
        words = worker.RunnerFiles(queue).last_words()
        last = f" (its last words: {words[20:]})" if words else ""
        return f"Nobody works on the queue{last}; {waits}: finetui queue start"
    told = f"{present}, {waits}."
    return told if going else told.capitalize()


def accepted(
    word: str,
    overrides: Iterable[str],
    *,
    hardware: Hardware,
    name: str = "",
    sweep: str = "",
    point: Point | None = None,
) -> Entry:
    """An entry for a preset, recipe file or run, resolved and judged as if it started now.

    Raises FinetuiError with what is wrong with it: nothing is added then.
    """
    from engine.starting import prospect, refuse_unready
    from tui_app.recipe_source import source_of

    given = [*overrides, *(point.overrides if point else [])]
    source = source_of(word, given)
    if point:  # its name tells the point; a name in the recipe would be the same for all
        name = point.name(name or source.recipe.run.name or source.name)
    if name:
        source = source_of(word, [*given, f"run.name={name[:MAX_NAME]}"])
    found = prospect(source.recipe, hardware, base_dir=source.base_dir)
    refuse_unready(found)
    return Entry(
        number=0,
        name=found.recipe.run.name or source.name,
        source=word,
        recipe=found.recipe.to_toml(),
        base_dir=str(source.base_dir),
        added=0.0,
        earlier=str(source.run.path) if source.run else "",
        visible_cards=os.environ.get(VARIABLE),
        sweep=sweep,
        point=point.values if point else (),
    )


def accepted_points(
    word: str, overrides: Sequence[str], points: Sequence[Point], *, hardware: Hardware, name: str, sweep: str
) -> list[Entry]:
    """An entry for every point of a grid. Raises RecipeError that names the faults of all points."""
    entries: list[Entry] = []
    faults: dict[str, list[str]] = {}
    first: FinetuiError | None = None
    for point in points:
        try:
            entries.append(accepted(word, overrides, hardware=hardware, name=name, sweep=sweep, point=point))
        except FinetuiError as fault:
            first = first or fault
            faults.setdefault(fault.happened, []).append(point.label)
    if first is None:
        return entries
    if len(points) == 1 or any(len(labels) == len(points) for labels in faults.values()):
        raise first
    told = [f"{_places(labels)}: {happened}" for happened, labels in faults.items()]
    number = sum(map(len, faults.values()))
    raise RecipeError(
        f"{number} of the {len(points)} points cannot be run.\n" + "\n".join(told),
        means="Nothing was started.",
        remedy=first.remedy,
    )


def _places(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return "; ".join(labels[:3]) + more


def runs_of_sweep(name: str) -> list[RunDir]:
    """The runs of a sweep, in the order in which they were made; none for a name that no sweep has."""
    found = [run for run in list_runs() if run.sweep.exists() and _sweep_values(run).get("sweep") == name]
    return sorted(found, key=lambda run: run.sweep.stat().st_mtime_ns)


def sweep_names() -> list[str]:
    """Every sweep that runs or entries of the queue are points of."""
    names = [str(_sweep_values(run).get("sweep", "")) for run in list_runs() if run.sweep.exists()]
    names += [entry.sweep for entry in Queue.here().entries()]
    return sorted({name for name in names if name})


def _sweep_values(run: RunDir) -> dict[str, object]:
    try:
        values = read_json(run.sweep)
    except FinetuiError:
        return {}
    return values if isinstance(values, dict) else {}


def entry_line(standing: Standing, width: int, now: float) -> str:
    """One entry in at most `width` letters of text: number, name, state, step, and what it came from."""
    entry, row = standing.entry, standing.row
    name = Path(entry.run).name if entry.run else entry.name
    steps = f"{row.step}/{row.max_steps}" if row and row.max_steps else "-"
    when = age(now - entry.added) if entry.added else "-"
    return f"{entry.number:>4}  {name:<{max(width - 50, 16)}}  {standing.phase:<11}  {steps:>9}  added {when} ago"
