"""Which version of finetui made a run's folder, and what this one may do with it.

A folder's format is the `version` of its manifest.json. Runs of every earlier format open here; of a newer one is read
what can be read, and nothing is written: what this version does not know it might spoil. Not here: recipes of other
versions (`migrations`), and events, of which readers pass over what they do not know (`event_log`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from engine.errors import RunDirError
from engine.run_dir import RunDir

RUN_FORMAT = 1
"""Raised when a version that knows only earlier formats would do harm in the folder, or misread it."""
UPGRADE = "pip install --upgrade finetui"


@dataclass(frozen=True, slots=True)
class MadeBy:
    """`format` is 0 and `finetui` "" where the folder does not tell: it is damaged, or of somebody else's making."""

    format: int
    finetui: str

    @property
    def is_newer(self) -> bool:
        return self.format > RUN_FORMAT


def made_by(run: RunDir) -> MadeBy:
    """What a run's manifest says of who made it. Never raises."""
    try:
        told = json.loads(run.manifest.read_bytes())
        number, version = told.get("version"), told.get("versions", {}).get("finetui")
    except (OSError, ValueError, AttributeError, RecursionError):
        return MadeBy(0, "")
    return MadeBy(number if type(number) is int else 0, version if isinstance(version, str) else "")


def note_of(run: RunDir) -> str:
    """A line for whoever looks at a run of a newer format; "" for any other."""
    maker = made_by(run)
    if not maker.is_newer:
        return ""
    by = f"finetui {maker.finetui}" if maker.finetui else "a newer finetui"
    return f"note: {run.name} was made by {by}, newer than this one: some of it may not be shown. {UPGRADE}"


def refuse_newer(run: RunDir) -> None:
    """Raises RunDirError for a folder that this version must not write to."""
    maker = made_by(run)
    if maker.is_newer:
        by = maker.finetui or "version unknown"
        raise RunDirError(
            f"Run {run.name} was made by a newer finetui ({by}): its folder has format {maker.format}.",
            means=f"This one knows formats up to {RUN_FORMAT} and would spoil it, so nothing was changed. It can be "
            "looked at with status, attach, report and compare.",
            remedy=f"Upgrade, then try again: {UPGRADE}",
        )
