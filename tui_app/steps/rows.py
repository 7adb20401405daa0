"""The third step: the rows. Files near by, those of earlier runs and generators are offered; the format is detected."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tui_app.steps.draft import Draft
from tui_app.steps.fields import advanced, asked
from tui_app.steps.model import offered, once
from tui_app.steps.schema import Choice, Step

if TYPE_CHECKING:
    from tui_app.steps.surroundings import Surroundings

ROWS = "data.dataset"
SAMPLED = 50
"""Rows that are read to tell the format while somebody waits."""
GENERATOR = "generator:"


def rows_choices(draft: Draft, surroundings: Surroundings) -> Sequence[Choice]:
    """The draft's own first, then recent, near by, and the generators; each once."""
    from data.generators import all_generators

    present = draft.value(ROWS)
    first = [Choice(present, present, draft.reason(ROWS))] if present else []
    generators = [
        Choice(f"{GENERATOR}{name}", f"{GENERATOR}{name}", "made here", module.TITLE)
        for name, module in all_generators().items()
    ]
    return once(first, offered(surroundings.recent_rows), offered(surroundings.near_rows), generators)


def format_choices(_draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
    """auto, every format with its columns, and the template."""
    from data.formats import all_formats

    found = [Choice("auto", "detect it", "", "Looks at the columns of the first rows and says why.")]
    for name, module in all_formats().items():
        found.append(Choice(name, name, "", (module.__doc__ or "").splitlines()[0]))
    return [*found, Choice("template", "template", "", "Puts any columns into words; needs a template.")]


@dataclass(frozen=True, slots=True)
class Detected:
    """What the first rows of a local file look like: the format and why, or the fault; and the file's columns."""

    reason: str
    fault: str
    columns: tuple[str, ...]


def detected(draft: Draft) -> Detected | None:
    """The format of the draft's rows; None where they would have to be downloaded or generated."""
    from data.readers import readers
    from engine.errors import FinetuiError
    from tui_app.steps.own_sizes import base_folder

    try:
        recipe = draft.recipe()
        folder = base_folder(draft)
    except FinetuiError:
        return None
    dataset = recipe.data.dataset
    if dataset.startswith(GENERATOR):
        return None
    for path in (folder / Path(dataset), Path.cwd() / Path(dataset)):
        if os.path.isfile(path) and path.suffix.lower() in readers():  # noqa: PTH113 - False for names that cannot be
            key = tuple(sorted(recipe.data.columns.items()))
            return _detected(str(path), path.stat().st_mtime_ns, recipe.data.format, recipe.data.template, key)
    return None


@functools.lru_cache(maxsize=32)
def _detected(
    path: str, _changed_ns: int, name: str, template: str | None, columns: tuple[tuple[str, str], ...]
) -> Detected:
    from data.detection import columns_of
    from data.errors import DataError
    from data.loading import Shape, load
    from data.readers import read_file
    from data.sources import SourceSettings

    seen: tuple[str, ...] = ()
    try:
        read = islice(read_file(Path(path)), SAMPLED)
        seen = tuple(columns_of(row.value for row in read if row.value is not None))
        shape = Shape(name, template, dict(columns), None)
        found = load(path, SourceSettings(), shape, max_rows=SAMPLED)
    except DataError as fault:
        return Detected("", f"{fault.happened} {fault.remedy}".strip(), seen)
    return Detected(f"{found.detection.format}: {found.detection.reason}", "", seen)


def is_undetected(draft: Draft) -> bool:
    """Whether the rows cannot be understood without columns or a template."""
    found = detected(draft)
    return found is not None and bool(found.fault)


def is_generated(draft: Draft) -> bool:
    return draft.value(ROWS).startswith(GENERATOR)


def is_fetched(draft: Draft) -> bool:
    """Whether the rows may be those of a hub dataset."""
    return not is_generated(draft) and detected(draft) is None


STEP = Step(
    "data",
    "Data",
    "The rows that are learned from, and how they become trained tokens.",
    (
        asked(ROWS, "Rows", "path", choices=rows_choices),
        asked("data.format", "Format", "choice", choices=format_choices, is_advanced=True, is_needed=is_undetected),
        advanced("data.template", "Template", is_needed=is_undetected),
        advanced("data.columns", "Columns", is_needed=is_undetected),
        advanced("data.system", "System message"),
        advanced("data.generator_rows", "Rows to make", "integer", applies=is_generated),
        advanced("data.subset", "Subset", applies=is_fetched),
        advanced("data.split", "Split", applies=is_fetched),
        advanced("data.max_rows", "Read at most", "integer"),
        advanced("data.eval_fraction", "Share for the eval loss", "number"),
        advanced("data.test_fraction", "Share for the final score", "number"),
        advanced("data.eval_dataset", "Separate eval rows", "path"),
        advanced("data.test_dataset", "Separate test rows", "path"),
        advanced("data.rendering", "Rendering", "choice"),
        advanced("data.completion_only_loss", "Train on answers only", "yes_no"),
        advanced("data.on_overflow", "Rows that are too long", "choice"),
        advanced("data.seed", "Seed of the split", "integer"),
    ),
)
