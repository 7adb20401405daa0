"""The third step: the rows. Files near by, those of earlier runs, well-known datasets and generators are offered; the
format is detected.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui_app.steps.draft import NO_USE_CASE, USE_CASE, Draft
from tui_app.steps.fields import advanced, asked
from tui_app.steps.model import offered, once
from tui_app.steps.schema import Choice, Question, Step

if TYPE_CHECKING:
    from data.errors import DataError
    from data.preparation import DataRequest
    from data.understanding.detection import Proposal
    from tui_app.steps.surroundings import Surroundings

ROWS = "data.dataset"
SAMPLED = 50
"""Rows that are read to tell the format while somebody waits."""
GENERATOR = "generator:"


def rows_choices(draft: Draft, surroundings: Surroundings) -> Sequence[Choice]:
    """The draft's own first, then well-known ones if asked for, recent, near by, and the generators; each once."""
    from data.generators import all_generators

    present = draft.value(ROWS)
    first = [Choice(present, present, draft.reason(ROWS))] if present else []
    generators = [
        Choice(f"{GENERATOR}{name}", f"{GENERATOR}{name}", "made here", module.TITLE)
        for name, module in all_generators().items()
    ]
    known = catalog_choices(draft.value(USE_CASE))
    return once(first, known, offered(surroundings.recent_rows), offered(surroundings.near_rows), generators)


def use_case_choices(_draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
    """None, and every use case of the catalog with what it is good for and what gets worse."""
    from data.catalog import use_cases

    found = [Choice(NO_USE_CASE, "none", "your own rows or those of the preset", "Offers no well-known dataset.")]
    for case in use_cases():
        about = f"{case.good_for} What gets worse: {case.gets_worse} Usual: {case.usual_rows}."
        found.append(Choice(case.name, case.name, f"{len(case.entries)} datasets", about))
    return found


def catalog_choices(use_case: str) -> Sequence[Choice]:
    """The well-known datasets of a use case: licence and rows, what each is good for and what gets worse."""
    from data.catalog import use_cases

    found = []
    for entry in (entry for case in use_cases() if case.name == use_case for entry in case.entries):
        rows = f", {entry.rows:,} rows" if entry.rows is not None else ""
        gated = ", gated" if entry.gated else ""
        about = f"{entry.good_for} What gets worse: {entry.gets_worse} Licence: {entry.licence}."
        licence = entry.licence.partition(" (")[0].partition(":")[0]
        found.append(Choice(entry.id, entry.id, f"{licence}{rows}{gated}", about))
    return found


def has_no_rows(draft: Draft) -> bool:
    """Whether nothing says yet what is to be learned from."""
    return not draft.value(ROWS)


def format_choices(draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
    """auto, every format with its columns, those first that the rows may have, and the template."""
    from data.formats import all_formats

    found = [Choice("auto", "detect it", "", "Looks at the columns of the first rows and says why.")]
    looked = detected(draft)
    meant = [each.format for each in looked.proposals if each.format and not each.columns] if looked else []
    for name, module in sorted(all_formats().items(), key=lambda each: each[0] not in meant):
        detail = "these rows may be it" if name in meant else ""
        found.append(Choice(name, name, detail, (module.__doc__ or "").splitlines()[0]))
    return [*found, Choice("template", "template", "", "Puts any columns into words; needs a template.")]


def columns_choices(draft: Draft, _surroundings: Surroundings) -> Sequence[Choice]:
    """What the file's columns may mean, where nobody can tell for sure; nothing where it is known."""
    from tui_app.recipe_values import as_text

    looked = detected(draft)
    proposed = [each for each in looked.proposals if each.columns] if looked else []
    if not proposed:
        return ()
    present = draft.value("data.columns")
    found = [Choice(present, "as they are")]
    for each in proposed:
        text = as_text(dict(each.columns))
        found.append(Choice(text, text, f"as {each.format}" if each.format else "", each.example))
    return found


@dataclass(frozen=True, slots=True)
class Detected:
    """What the first rows of a local file or folder look like: the format and why, or the fault; and its columns.

    `proposals` are what the rows may mean where that cannot be told, the likeliest first.
    """

    reason: str
    fault: str
    columns: tuple[str, ...]
    proposals: tuple[Proposal, ...] = ()
    is_folder: bool = False


def detected(draft: Draft) -> Detected | None:
    """The format of the draft's rows; None where they would have to be downloaded or generated."""
    from engine.data_request import data_request, names_rows
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
        is_file = os.path.isfile(path) and names_rows(path.name)  # noqa: PTH113 - False for names that cannot be
        if is_file or os.path.isdir(path):  # noqa: PTH112 - as above
            stamp = path.stat().st_mtime_ns
            found = _detected(Asked(dataclasses.replace(data_request(recipe), dataset=str(path))), stamp)
            return dataclasses.replace(found, is_folder=not is_file)
    return None


class Asked:
    """A request as the key of a cache: equal where everything in it is."""

    def __init__(self, request: DataRequest) -> None:
        self.request = dataclasses.replace(request, max_rows=min(request.max_rows or SAMPLED, SAMPLED))
        self._key = repr(self.request)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asked) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@functools.lru_cache(maxsize=32)
def _detected(asked: Asked, _changed_ns: int) -> Detected:
    from data.errors import DataError
    from data.loading import Rows, check_usable
    from data.preparation import main_source, shape_of
    from data.raw_rows import raw_rows

    request = asked.request
    try:
        raw = raw_rows(request)
    except DataError as fault:
        return Detected("", _told(fault), ())
    try:
        if raw.fault is not None:
            raise raw.fault
        rows = Rows(request.dataset, main_source(request), shape_of(request), request.max_rows)
        check_usable(rows)
    except DataError as fault:
        return Detected("", _told(fault), raw.columns, tuple(getattr(fault, "proposals", ())))
    return Detected(f"{rows.detection.format}: {rows.detection.reason}", "", raw.columns)


def _told(fault: DataError) -> str:
    return f"{fault.happened} {fault.remedy}".strip()


def is_undetected(draft: Draft) -> bool:
    """Whether the rows cannot be understood without columns or a template."""
    found = detected(draft)
    return found is not None and bool(found.fault)


def is_generated(draft: Draft) -> bool:
    return draft.value(ROWS).startswith(GENERATOR)


def is_to_be_fetched(draft: Draft) -> bool:
    """Whether the rows are those of a hub dataset of which nothing is in the hub's cache here."""
    from huggingface_hub.constants import HF_HUB_CACHE

    name = draft.value(ROWS).removeprefix("hub:")
    if not name or is_generated(draft) or detected(draft) is not None:
        return False
    return not Path(HF_HUB_CACHE, f"datasets--{name.replace('/', '--')}").exists()


def fetching(draft: Draft) -> str:
    """The command that brings a hub dataset here."""
    from data.catalog import entry_of

    name = draft.value(ROWS).removeprefix("hub:")
    if entry_of(name):
        return f"Have them now: finetui data catalog {name} --save FOLDER"
    return f"Have them now: hf download --repo-type dataset {name}"


def has_parts(draft: Draft) -> bool:
    """Whether the rows may be a subset and a split: those of a hub dataset or a folder."""
    found = detected(draft)
    return not is_generated(draft) and (found is None or found.is_folder)


STEP = Step(
    "data",
    "Data",
    "The rows that are learned from, and how they become trained tokens.",
    (
        Question(
            name=USE_CASE,
            label="Well-known datasets",
            kind="choice",
            own_help="Offers datasets of the hub for what the model is to become good at. A run downloads the one that "
            "is chosen; `finetui data catalog` tells all about each and keeps one for offline use.",
            choices=use_case_choices,
            is_advanced=True,
            is_needed=has_no_rows,
        ),
        asked(ROWS, "Rows", "path", choices=rows_choices),
        asked("data.format", "Format", "choice", choices=format_choices, is_advanced=True, is_needed=is_undetected),
        advanced("data.template", "Template", is_needed=is_undetected),
        advanced("data.columns", "Columns", choices=columns_choices, is_needed=is_undetected),
        advanced("data.system", "System message"),
        advanced("data.generator_rows", "Rows to make", "integer", applies=is_generated),
        advanced("data.subset", "Subset", applies=has_parts),
        advanced("data.split", "Split", applies=has_parts),
        advanced("data.max_rows", "Read at most", "integer"),
        advanced("data.eval_fraction", "Share for the eval loss", "number"),
        advanced("data.test_fraction", "Share for the final score", "number"),
        advanced("data.eval_dataset", "Separate eval rows", "path"),
        advanced("data.test_dataset", "Separate test rows", "path"),
        advanced("data.rendering", "Rendering", "choice"),
        advanced("data.completion_only_loss", "Train on answers only", "yes_no"),
        advanced("data.trained_answers", "Which answers", "choice"),
        advanced("data.on_overflow", "Rows that are too long", "choice"),
        advanced("data.seed", "Seed of the split", "integer"),
    ),
)
