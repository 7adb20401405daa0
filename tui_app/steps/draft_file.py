"""The draft on disk: saved at each step, offered again, dropped once its run has started.

One file in the folder of the runs, readable by its owner only, replaced whole. A file that is broken or of another
version is set aside and said, never a fault. Not here: what is in a draft (`draft`).
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.file_modes import make_private
from engine.errors import RunDirError
from engine.redaction import secret_in
from engine.run_dir import finetui_home, write_atomic
from tui_app.steps.draft import Draft

VERSION = 1


@dataclass(frozen=True, slots=True)
class Saved:
    """What was found: a draft and how many seconds ago it was saved, or a note on why there is none.

    `place` is the step that was left, 0 the first.
    """

    draft: Draft | None
    age_seconds: float
    note: str = ""
    place: int = 0


def draft_path() -> Path:
    return finetui_home() / "draft.json"


def save(draft: Draft, place: int = 0) -> None:
    """Keep a draft and the step one is at. Raises RunDirError when the disk refuses it."""
    path = draft_path()
    answers = [list(answer) for answer in draft.answers if not secret_in(str(answer))]
    values = {"version": VERSION, "base": draft.base, "answers": answers, "place": place}
    try:
        make_private(path.parent)
    except OSError as fault:
        raise RunDirError(
            f"{path.parent} cannot be made: {fault.strerror}.",
            means="The draft is not kept; everything else goes on.",
            remedy="Choose another place with FINETUI_HOME.",
        ) from fault
    write_atomic(path, json.dumps(values, indent=1))


def saved_draft() -> Saved | None:
    """The draft that was kept, None where there is no file. One that cannot be used is set aside and told."""
    path = draft_path()
    try:
        age = max(0.0, time.time() - path.stat().st_mtime)
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        return Saved(None, 0.0, _set_aside(path, f"it cannot be read ({type(fault).__name__})"))
    draft = _draft(values)
    if draft is None:
        version = values.get("version") if isinstance(values, dict) else None
        other = f"it was written by another version of finetui ({version})" if version != VERSION else "it is damaged"
        return Saved(None, 0.0, _set_aside(path, other))
    place = values.get("place")
    return Saved(draft, age, place=place if type(place) is int and place > 0 else 0)


def drop() -> None:
    """Forget the draft: its run has started, or nobody wants it."""
    with contextlib.suppress(OSError):
        draft_path().unlink(missing_ok=True)


def _draft(values: Any) -> Draft | None:
    """The draft in a file's values, None where they are none. Suggestions are worked out anew."""
    if not isinstance(values, dict) or values.get("version") != VERSION or not isinstance(values.get("base"), str):
        return None
    answers = values.get("answers")
    if not isinstance(answers, list):
        return None
    for answer in answers:
        if not (isinstance(answer, list) and len(answer) == 2 and all(isinstance(part, str) for part in answer)):
            return None
    return Draft(values["base"], tuple((name, text) for name, text in answers))


def _set_aside(path: Path, why: str) -> str:
    aside = path.with_name("draft-unusable.json")
    try:
        path.replace(aside)
    except OSError:
        return f"The saved draft {path} is left out: {why}."
    return f"The saved draft is left out: {why}. It lies in {aside} now."
