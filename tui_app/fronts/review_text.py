"""A review as lines of text: what `--line` and `--plain` show before anything is spent. No escapes.

Not here: what is in it (`tui_app/steps/review`).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.units import format_bytes
from tui_app.fronts.folding import folded
from tui_app.fronts.rows_text import rows_fault
from tui_app.memory_table import ladder_lines, memory_lines, time_lines, value_line, wrapped
from tui_app.plain import one_line, printable
from tui_app.steps.review import Disk, Review
from tui_app.steps.sequence import step_of


def faults(seen: Review) -> list[str]:
    """Why the run cannot be started, or would fail at its rows; empty where nothing is known to be wrong."""
    told = [f"{step_of(each.field).title}: {each}" for each in seen.problems]
    told += [fault for fault in (seen.fault, seen.obstacle) if fault]
    if not told and (fault := rows_fault(seen.draft)):
        told.append(f"Data: the rows cannot be read. {fault}")
    if not told and not seen.can_start:
        told.append("There is no plan for it.")
    return told


def fault_lines(wrong: Sequence[str]) -> list[str]:
    """The last lines before somebody decides; none where nothing is wrong."""
    if not wrong:
        return []
    return [
        "",
        "This cannot be started yet:",
        *(line for each in wrong for line in folded(f"! {' '.join(each.splitlines())}")),
    ]


def review_lines(seen: Review) -> list[str]:
    """Values with their reasons, memory, ladder, time, disk and the command. What is wrong is `fault_lines`."""
    told: list[str] = []
    found, outlook = seen.found, seen.outlook
    if found is not None and outlook is not None:
        told += wrapped(one_line(found.recipe.title or "(untitled recipe)"))
        for value in seen.values:
            told += value_line(value.name, one_line(value.text), one_line(value.reason))
        told += ["", *folded("Model: " + "; ".join(seen.model.sentences()))]
        told += ["", *memory_lines(outlook.plan), *time_lines(outlook.time)]
        told += disk_lines(seen.disk) if seen.disk else []
        told += ["", *ladder_lines(outlook, found.recipe.ladder)]
        for note in (*outlook.plan.notes, *found.notes):
            told += wrapped(f"note: {one_line(note)}")
    if seen.command:
        told += ["", "The same from the shell:", f"  {printable(seen.command)}"]
    return told


def disk_lines(disk: Disk) -> list[str]:
    """What is written where, against what is free."""
    parts = [
        (disk.download_bytes, "to download"),
        (disk.checkpoint_bytes, "of checkpoints at most"),
        (disk.result_bytes, "of result"),
    ]
    told = ", ".join(f"{format_bytes(size) if size is not None else '?'} {what}" for size, what in parts)
    enough = "" if disk.is_enough else ": NOT ENOUGH"
    return wrapped(f"disk: {told}; {format_bytes(disk.free_bytes)} free at {one_line(disk.root)}{enough}")
